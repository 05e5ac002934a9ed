"""How many steps the state machines of the job layer make, in `make test` and in a soak."""

import ast
from pathlib import Path

import pytest

from scripts import soak
from tests.helpers.machine_runs import PLANS, PROPERTY, STEPS_MIN

TESTS = Path(__file__).resolve().parents[2]
AREAS = ("jobs", "juries", "secrets", "verification")


def machines() -> dict[str, str]:
    """Each machine that a test of the job layer runs, with that test as pytest names it."""
    found = {}
    for path in (one for area in AREAS for one in sorted((TESTS / "unit" / "pallets" / area).glob("test_*.py"))):
        for test in (one for one in ast.parse(path.read_text()).body if isinstance(one, ast.FunctionDef)):
            for call in ast.walk(test):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "run_machine":
                    found[ast.unparse(call.args[0])] = f"{path.relative_to(TESTS.parent)}::{test.name}"
    return found


def test_the_machines_make_enough_steps_together() -> None:
    """Each run asserts its own least number of steps; these add up to 20,000, and no plan is without its run."""
    assert machines().keys() == PLANS.keys()
    assert sum(plan.least for plan in PLANS.values()) >= STEPS_MIN


def test_no_machine_runs_uncounted() -> None:
    """Every machine of the job layer is run by `run_machine`, which counts."""
    for area in AREAS:
        for path in (TESTS / "unit" / "pallets" / area).glob("test_*.py"):
            text = path.read_text()
            assert "run_state_machine_as_test" not in text, path
            assert ".TestCase" not in text, path


def test_a_soak_runs_every_machine() -> None:
    """What `make soak PART=jobs` runs is what `make test` runs, with a seed of its own for each round."""
    tests = set(machines().values())
    for one in soak.MACHINES:
        assert any(one in (test, test.partition("::")[0]) for test in tests), one
    assert all(any(test.startswith(one) for one in soak.MACHINES) for test in tests)
    first, second = soak.command_of("jobs", 0), soak.command_of("jobs", 1)
    assert set(soak.MACHINES) <= set(first)
    assert first != second


def test_the_counts_of_a_soak_come_from_its_report(tmp_path: Path) -> None:
    """Only counts of steps are taken, by machine."""
    report = tmp_path / "soak.xml"
    properties = f'<property name="{PROPERTY}JobMachine" value="12"/><property name="other" value="x"/>'
    report.write_text(f"<testsuites><testcase><properties>{properties}</properties></testcase></testsuites>")
    assert soak.steps_in(report) == {"steps of JobMachine": 12}


def test_soaks_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    """A second soak goes on behind the first: other seeds, and sums of both."""
    done: dict[str, int] = {}
    for _ in range(2):
        soak.add(done, "jobs", {"steps of JobMachine": 12, "steps of RoundMachine": 3})
    assert done == {"jobs": 2, "steps of JobMachine": 24, "steps of RoundMachine": 6}
    soak.tell(done)
    assert "30 steps in all" in capsys.readouterr().out
