"""The test runner and the mutants: what counts as passed, and that neither can be green for nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import mutants, run_tests
from scripts.run_tests import Outcome


@pytest.mark.parametrize(
    ("outcomes", "expected", "code", "closing"),
    [
        ([Outcome("unit", True, 1.0, 3)], True, 0, "3 passed, 0 failed"),
        ([Outcome("unit", False, 1.0, 3, 1)], True, 1, "3 passed, 1 failed"),
        ([Outcome("unit", False, 1.0, 3), Outcome("sim", True, 1.0, 2)], True, 1, "5 passed, 0 failed"),
        ([Outcome("unit", True, 1.0)], True, 1, "0 passed, 0 failed"),
        ([Outcome("unit", True, 1.0, 3, 0, 2)], True, 0, "3 passed, 0 failed, 2 skipped"),
        ([Outcome("ruff", False, 1.0), Outcome("unit", True, 1.0, 3)], True, 1, "3 passed, 0 failed"),
        ([], True, 1, "0 passed, 0 failed"),
    ],
)
def test_the_verdict_is_the_worst_part(
    capsys: pytest.CaptureFixture[str], outcomes: list[Outcome], expected: bool, code: int, closing: str
) -> None:
    """One failed part, or no test at all, fails the run; the closing line counts the tests of all parts."""
    assert run_tests.summarise(outcomes, tests_expected=expected) == code
    assert capsys.readouterr().out.splitlines()[-1] == closing


def test_checks_alone_need_no_test(capsys: pytest.CaptureFixture[str]) -> None:
    """`make check` passes without a test, and fails with a failing check."""
    assert run_tests.summarise([Outcome("ruff", True, 1.0)], tests_expected=False) == 0
    assert run_tests.summarise([Outcome("ruff", False, 1.0)], tests_expected=False) == 1
    assert " passed," not in capsys.readouterr().out


def test_the_counts_are_pytest_s(tmp_path: Path) -> None:
    """Passed, failed and skipped tests are read from the report of a real run; no report counts as nothing."""
    body = "import unittest\ndef test_a(): pass\ndef test_b(): assert 0\ndef test_c(): raise unittest.SkipTest\n"
    (tmp_path / "test_x.py").write_text(body)
    report = tmp_path / "x.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", "-c", "/dev/null", str(tmp_path)]
    subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, timeout=50)
    assert run_tests.count(report) == (1, 1, 1)
    assert run_tests.count(tmp_path / "none.xml") == (0, 0, 0)


def mutant_of(folder: Path, old: str, new: str) -> mutants.Mutant:
    """A mutant of a small made-up project in `folder`, guarded by one test."""
    (folder / "rule.py").write_text("def allowed(age):\n    return age >= 18\n")
    (folder / "test_rule.py").write_text("import rule\ndef test_it():\n    assert rule.allowed(18)\n")
    return mutants.Mutant("age", "an age", "rule.py", old, new, ("test_rule.py",))


def test_a_broken_rule_is_noticed_and_put_back(tmp_path: Path) -> None:
    """A mutant that a test catches counts as noticed, and the file is as it was."""
    mutant = mutant_of(tmp_path, "age >= 18", "age > 18")
    assert mutants.guards_pass(tmp_path, mutant.guards)
    assert mutants.is_noticed(tmp_path, mutant)
    assert "age >= 18" in (tmp_path / "rule.py").read_text()


def test_a_mutant_that_no_test_catches_survives(tmp_path: Path) -> None:
    """A change that no guard notices is reported as a survivor, not as success."""
    assert not mutants.is_noticed(tmp_path, mutant_of(tmp_path, "age >= 18", "age >= 17"))


@pytest.mark.parametrize("old", ["not there", "e"])
def test_a_mutant_must_fit(tmp_path: Path, old: str) -> None:
    """A text that is not there exactly once is an error: the table is out of date."""
    with pytest.raises(mutants.Unfit):
        mutants.is_noticed(tmp_path, mutant_of(tmp_path, old, "x"))


def test_guards_that_cannot_run_are_no_success(tmp_path: Path) -> None:
    """A guard that does not exist is an error: a mutant is never noticed by a test that did not run."""
    with pytest.raises(RuntimeError):
        mutants.guards_pass(tmp_path, ("test_missing.py",))


def test_every_mutant_still_fits() -> None:
    """Each text of the table stands in its file exactly once, and each guard exists."""
    for mutant in mutants.MUTANTS:
        assert (mutants.ROOT / mutant.path).read_text().count(mutant.old) == 1, mutant.name
        assert all((mutants.ROOT / guard.partition("::")[0]).exists() for guard in mutant.guards), mutant.name
