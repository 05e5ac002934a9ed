"""`make soak`: the same kind of tests as `make test`, for as long as there is time, always with new seeds.

    soak.py [--part sim|jobs] [--minutes N]

`sim` runs simulated networks seed after seed; `jobs` runs the job layer's state machine with new random choices. What
has been done is kept in build/soak.json, so that the next soak goes on behind it and the counts add up. A failure
prints how to run it again and ends with exit code 1.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / "build" / "soak.json"
FIRST_SEED = 1_000_000
SEEDS_PER_ROUND = 4
MACHINE = "tests/unit/pallets/jobs/test_job_machine.py"


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
    return [sys.executable, "-m", "pytest", "-q", MACHINE, f"--hypothesis-seed={FIRST_SEED + done}", "-n", "2"]


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
        done[arguments.part] = done.get(arguments.part, 0) + 1
        save(done)
    sys.stdout.write(f"{rounds} rounds of {arguments.part}, {done.get(arguments.part, 0)} in all\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
