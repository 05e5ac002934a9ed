"""Breaks ten rules, one at a time, in a copy of the repository; each break must make a test fail.

    mutants.py [NAME ...]

A mutant is a file, a text that stands in it exactly once, what to put there instead, and the tests that guard the
rule. First the guards run on the untouched copy: they must pass. Exit code 0 only if every mutant was noticed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 600
TESTS_FAILED = 1  # pytest's exit code; any other than 0 and this means that the tests did not run as they should


@dataclass(frozen=True)
class Mutant:
    """One broken rule. `rule` says in words what is no longer kept."""

    name: str
    rule: str
    path: str
    old: str
    new: str
    guards: tuple[str, ...]


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "origin",
        "only the sudo key may act as root",
        "pallets/sudo.py",
        "if self.key.get() != origin.who:",
        "if self.key.get() is None:",
        ("tests/unit/pallets/test_sudo.py",),
    ),
    Mutant(
        "comparison",
        "a block's slot rises above its parent's",
        "consensus/aura.py",
        "sealed.slot <= parent_slot",
        "sealed.slot < parent_slot",
        ("tests/unit/consensus/test_aura.py",),
    ),
    Mutant(
        "seal",
        "a block is sealed by the author of its slot",
        "consensus/aura.py",
        "if not verify(slot_author(sealed.slot, authorities), sealed.pre_hash, sealed.signature):",
        "if not any(verify(key, sealed.pre_hash, sealed.signature) for key in authorities):",
        ("tests/unit/consensus/test_aura.py",),
    ),
    Mutant(
        "threshold",
        "finality needs more than two thirds of the votes",
        "consensus/grandpa/voter_set.py",
        "self.tolerated = (self.total - 1) // 3",
        "self.tolerated = self.total // 3",
        ("tests/unit/consensus/test_voter_set.py",),
    ),
    Mutant(
        "proof",
        "a proof of absence does not pass for a key that is there",
        "runtime/proof.py",
        "        if found is not None:\n            raise ProofRejected",
        "        if found == b'':\n            raise ProofRejected",
        ("tests/unit/tree/test_proof.py",),
    ),
    Mutant(
        "refund",
        "what an ended job did not spend goes back to its payer",
        "pallets/escrow/pallet.py",
        "refunded=ledger.refunded + left))",
        "refunded=ledger.refunded))",
        ("tests/unit/pallets/jobs/test_flow.py",),
    ),
    Mutant(
        "nonce",
        "a nonce is used once",
        "runtime/validity.py",
        "if extrinsic.nonce < expected:",
        "if extrinsic.nonce + 1 < expected:",
        ("tests/unit/runtime/test_executive.py",),
    ),
    Mutant(
        "fee",
        "the tip goes to the author",
        "pallets/transaction_payment.py",
        "share = self.fees * AUTHOR_PERCENT // 100 + self.tips",
        "share = (self.fees + self.tips) * AUTHOR_PERCENT // 100",
        ("tests/unit/runtime/test_executive.py",),
    ),
    Mutant(
        "limit",
        "a job has at most 64 slots",
        "pallets/jobs/validate.py",
        "if not 0 < spec.slots <= bounds.SLOTS_MAX:",
        "if not 0 < spec.slots:",
        ("tests/unit/pallets/jobs/test_registration.py",),
    ),
    Mutant(
        "fence",
        "a report of an earlier attempt is refused",
        "pallets/jobs/pallet.py",
        "if record.attempt != attempt:",
        "if record.attempt < attempt:",
        ("tests/unit/pallets/jobs/test_flow.py",),
    ),
)


class Unfit(Exception):
    """The text to change is not there exactly once: the code has moved on, and the table has to follow."""


def copy_of_repository(target: Path) -> None:
    """All files of the work tree that git does not ignore, as they are now."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    # The compiled job runtimes are no sources, but the guards may need them.
    if (ROOT / "build").is_dir():
        (target / "build").symlink_to(ROOT / "build", target_is_directory=True)


def guards_pass(folder: Path, guards: tuple[str, ...]) -> bool:
    """Run tests in the copy, which comes before any installed Heddle; RuntimeError if they could not run."""
    command = [sys.executable, "-P", "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *guards]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, TESTS_FAILED):
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def is_noticed(folder: Path, mutant: Mutant) -> bool:
    """Whether a guard fails while the rule is broken; the file is put back."""
    file = folder / mutant.path
    original = file.read_text()
    if original.count(mutant.old) != 1:
        raise Unfit(f"{mutant.path}: {mutant.old!r} stands there {original.count(mutant.old)} times")
    file.write_text(original.replace(mutant.old, mutant.new))
    try:
        return not guards_pass(folder, mutant.guards)
    finally:
        file.write_text(original)


def main() -> int:
    """Run all mutants, or those named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args().names
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    if not chosen:
        sys.stdout.write(f"no such mutant; there are: {', '.join(mutant.name for mutant in MUTANTS)}\n")
        return 2
    survivors = []
    with tempfile.TemporaryDirectory(prefix="heddle-mutants-") as place:
        folder = Path(place)
        copy_of_repository(folder)
        guards = tuple(sorted({guard for mutant in chosen for guard in mutant.guards}))
        if not guards_pass(folder, guards):
            sys.stdout.write("the guards fail without any mutant: see `make test`\n")
            return 1
        for mutant in chosen:
            started = time.monotonic()
            try:
                noticed = is_noticed(folder, mutant)
            except (Unfit, RuntimeError) as error:
                noticed = False
                sys.stdout.write(f"{error}\n")
            verdict = "noticed" if noticed else "SURVIVED"
            sys.stdout.write(f"{mutant.name:12s} {verdict:9s} {time.monotonic() - started:6.1f} s  {mutant.rule}\n")
            sys.stdout.flush()
            if not noticed:
                survivors.append(mutant.name)
    sys.stdout.write(f"{len(chosen) - len(survivors)} passed, {len(survivors)} failed\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
