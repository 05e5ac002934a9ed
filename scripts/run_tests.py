"""Runs the checks and the test tiers one after the other; prints the minutes of each and one closing line.

    run_tests.py [--only-checks] [PART ...]

A part is `ruff`, `format`, `mypy`, or a folder of tests/ (unit, sim, ...); without parts all of them run. A failing
part does not stop the others. The exit code is 0 only if every part passed and at least one test ran (checks alone
need none).
"""

import argparse
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "build" / "reports"
CHECKS = ("ruff", "format", "mypy")
TIERS = ("unit", "typing", "sim", "crash", "net", "clients", "fuzz", "e2e")
# What needs an optional extra: run by `make test-extras` in an environment of its own, never by `make test`.
EXTRAS = {
    "extras": ("tests/extras", "tests/unit/processor/test_runtime_pool.py", "tests/unit/processor/test_executor.py")
}
# Tiers of many small tests use both cores; the others start processes of their own and would disturb each other.
TIERS_ON_TWO_WORKERS = frozenset({"unit", "sim", "crash", "fuzz"})
# A part that takes longer than this hangs: it is ended and counts as failed.
PART_TIMEOUT_S = 20 * 60
# pytest's own exit code for "nothing was collected"
NO_TESTS = 5


@dataclass(frozen=True)
class Outcome:
    """One part: did it pass, how long did it take, how many tests did it run."""

    part: str
    passed: bool
    seconds: float
    tests_passed: int = 0
    tests_failed: int = 0
    tests_skipped: int = 0


def command_of(part: str, report: Path) -> list[str]:
    """The command line that runs `part`."""
    if part == "ruff":
        return [sys.executable, "-m", "ruff", "check", "."]
    if part == "format":
        return [sys.executable, "-m", "ruff", "format", "--check", "."]
    if part == "mypy":
        return [sys.executable, "-m", "mypy"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        *EXTRAS.get(part, (f"tests/{part}",)),
        "-q",
        f"--junitxml={report}",
        "--durations=5",
    ]
    if part in TIERS_ON_TWO_WORKERS:
        command += ["-n", "2", "--dist", "worksteal"]
    return command


def count(report: Path) -> tuple[int, int, int]:
    """(passed, failed, skipped) of a JUnit report; all 0 when pytest did not live to write it."""
    if not report.exists():
        return 0, 0, 0
    suites = list(ET.parse(report).getroot().iter("testsuite"))  # noqa: S314 - pytest wrote it a moment ago
    total, failed, skipped = (
        sum(sum(int(suite.get(name, 0)) for name in names) for suite in suites)
        for names in (("tests",), ("failures", "errors"), ("skipped",))
    )
    return total - failed - skipped, failed, skipped


def run(part: str) -> Outcome:
    """Run one part with its output going straight to ours."""
    report = REPORTS / f"{part}.xml"
    report.unlink(missing_ok=True)
    sys.stdout.write(f"\n== {part} ==\n")
    sys.stdout.flush()
    started = time.monotonic()
    try:
        code = subprocess.run(command_of(part, report), cwd=ROOT, check=False, timeout=PART_TIMEOUT_S).returncode
    except subprocess.TimeoutExpired:
        sys.stdout.write(f"{part} did not end within {PART_TIMEOUT_S / 60:.0f} minutes\n")
        code = 1
    seconds = time.monotonic() - started
    passed, failed, skipped = (0, 0, 0) if part in CHECKS else count(report)
    fine = code == 0 or (code == NO_TESTS and part not in CHECKS)
    return Outcome(part, fine and failed == 0, seconds, passed, failed, skipped)


def parts_there() -> list[str]:
    """The checks, and each tier that has a test."""
    return [*CHECKS, *(tier for tier in TIERS if any((ROOT / "tests" / tier).rglob("test_*.py")))]


def summarise(outcomes: list[Outcome], *, tests_expected: bool) -> int:
    """Print minutes and counts, and last the line `N passed, N failed`; the process's exit code."""
    sys.stdout.write("\npart        minutes   passed  failed  skipped\n")
    for one in outcomes:
        counts = f"{one.tests_passed:8d}{one.tests_failed:8d}{one.tests_skipped:9d}" if one.part not in CHECKS else ""
        verdict = "" if one.passed else "   <- failed"
        sys.stdout.write(f"{one.part:10s}{one.seconds / 60:9.2f} {counts}{verdict}\n")
    sys.stdout.write(f"{'total':10s}{sum(one.seconds for one in outcomes) / 60:9.2f}\n\n")
    passed = sum(one.tests_passed for one in outcomes)
    failed = sum(one.tests_failed for one in outcomes)
    skipped = sum(one.tests_skipped for one in outcomes)
    broken = [one.part for one in outcomes if not one.passed]
    if broken:
        sys.stdout.write(f"failed: {', '.join(broken)}\n")
    if tests_expected:
        if passed + failed == 0:
            sys.stdout.write("no test ran\n")
        sys.stdout.write(f"{passed} passed, {failed} failed" + (f", {skipped} skipped\n" if skipped else "\n"))
    sys.stdout.flush()
    return 1 if broken or (tests_expected and passed == 0) else 0


def main() -> int:
    """Run what was asked for; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*CHECKS, *TIERS, *EXTRAS, []], metavar="PART")
    parser.add_argument("--only-checks", action="store_true")
    arguments = parser.parse_args()
    parts = list(CHECKS) if arguments.only_checks else arguments.parts or parts_there()
    REPORTS.mkdir(parents=True, exist_ok=True)
    return summarise([run(part) for part in parts], tests_expected=any(part not in CHECKS for part in parts))


if __name__ == "__main__":
    sys.exit(main())
