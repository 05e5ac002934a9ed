"""`make soak`: the same kind of tests as `make test`, for as long as there is time, always with new seeds.

    soak.py [--part sim|jobs] [--minutes N]

`sim` runs simulated networks seed after seed; `jobs` runs all state machines of the job layer with new random choices
and counts their steps. What has been done is kept in build/soak.json, so that the next soak goes on behind it and the
counts add up. A failure prints how to run it again and ends with exit code 1. The last round may outlast the time.
"""

import argparse
import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / "build" / "soak.json"
FIRST_SEED = 1_000_000
SEEDS_PER_ROUND = 4
REPORT = ROOT / "build" / "reports" / "soak.xml"
MACHINES = (
    "tests/unit/pallets/jobs/test_job_machine.py",
    "tests/unit/pallets/verification/test_round_machine.py",
    "tests/unit/pallets/juries/test_jury_machine.py",
    "tests/unit/pallets/secrets/test_secrets_machine.py",
    "tests/unit/pallets/jobs/test_fleet_machine.py",
    "tests/unit/pallets/jobs/test_stakes.py::test_stakes_hold_whatever_anyone_does",
)
"""Every one of tests/helpers/machine_runs.py."""
STEPS = "steps of "
"""So begin the names of their counts in a report, and here."""


def load() -> dict[str, int]:
    """What earlier soaks did."""
    if not STATE.exists():
        return {}
    found: dict[str, int] = json.loads(STATE.read_text())
    return found


def save(done: dict[str, int]) -> None:
    """Replace the record whole."""
    STATE.parent.mkdir(exist_ok=True)
    written = STATE.with_suffix(".new")
    written.write_text(json.dumps(done, indent=1) + "\n")
    written.replace(STATE)


def command_of(part: str, done: int) -> list[str]:
    """One round of a part, behind `done` rounds."""
    if part == "sim":
        first = FIRST_SEED + done * SEEDS_PER_ROUND
        return [sys.executable, "-m", "tests.sim.run", "--first", str(first), "--seeds", str(SEEDS_PER_ROUND)]
    seed = f"--hypothesis-seed={FIRST_SEED + done}"
    return [sys.executable, "-m", "pytest", "-q", *MACHINES, seed, "-n", "2", f"--junitxml={REPORT}"]


def steps_in(report: Path) -> dict[str, int]:
    """The steps of each machine in a report of pytest, by the name that they are counted under."""
    found = ET.parse(report).getroot().iter("property")  # noqa: S314 - pytest wrote it a moment ago
    return {one.get("name", ""): int(one.get("value", 0)) for one in found if one.get("name", "").startswith(STEPS)}


def add(done: dict[str, int], part: str, steps: dict[str, int]) -> None:
    """One more round of a part, with the steps that its machines made."""
    for name, count in {part: 1, **steps}.items():
        done[name] = done.get(name, 0) + count


def tell(done: dict[str, int]) -> None:
    """The steps of all soaks, by machine and together."""
    counts = {name: count for name, count in done.items() if name.startswith(STEPS)}
    sys.stdout.writelines(f"{count:12,d} {name}\n" for name, count in counts.items())
    sys.stdout.write(f"{sum(counts.values()):12,d} steps in all\n")


def main() -> int:
    """Rounds until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("sim", "jobs"), default="sim")
    parser.add_argument("--minutes", type=int, default=10)
    arguments = parser.parse_args()
    ends = time.monotonic() + arguments.minutes * 60
    done, rounds = load(), 0
    while time.monotonic() < ends:
        command = command_of(arguments.part, done.get(arguments.part, 0))
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            sys.stdout.write(f"failed, again with: {' '.join(command[1:])}\n")
            return 1
        rounds += 1
        add(done, arguments.part, steps_in(REPORT) if arguments.part == "jobs" else {})
        save(done)
    if arguments.part == "jobs":
        tell(done)
    sys.stdout.write(f"{rounds} rounds of {arguments.part}, {done.get(arguments.part, 0)} in all\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
