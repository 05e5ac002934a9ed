"""The table of docs/jobs.md: each thing asked for has its feature and tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TESTS = ROOT / "tests"
ROWS_MIN = 40
COLUMNS = 4
HEADING = "## What was asked for, and what shows it"
NAME = re.compile(r"`(test_\w+)`")


def rows(text: str) -> list[list[str]]:
    """The cells of the rows below the heading, without the two lines of the table's head."""
    section = text.split(f"{HEADING}\n")[1].split("\n## ", maxsplit=1)[0]
    lines = [line.strip() for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names_of_tests() -> set[str]:
    """The name of every test function below tests/."""
    return {
        node.name
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def faults(table: list[list[str]], there: set[str]) -> list[str]:
    """What is wrong with the table, line by line."""
    found = [] if len(table) >= ROWS_MIN else [f"{len(table)} rows of {ROWS_MIN}"]
    for cells in table:
        named = NAME.findall(cells[-1])
        if len(cells) != COLUMNS or not all(cells):
            found.append(f"{cells[0]}: an empty cell, or one too many or too few")
        if not named or NAME.sub("", cells[-1]).strip(" ,"):
            found.append(f"{cells[0]}: something else than tests by their names")
        found += [f"{cells[0]}: {name} does not exist" for name in named if name not in there]
    numbers = [cells[0] for cells in table]
    return found + [f"{number} stands twice" for number in sorted(set(numbers)) if numbers.count(number) > 1]


def test_everything_asked_for_has_a_feature_and_a_test() -> None:
    """At least forty rows, no empty cell, and every test that is named exists."""
    assert faults(rows((ROOT / "docs" / "jobs.md").read_text()), names_of_tests()) == []


def test_a_bad_table_is_noticed() -> None:
    """Too few rows, an empty cell, no test, an unknown test and a number used twice are each told."""
    there = {"test_a"}
    good = [[str(number), "asked", "has", "`test_a`"] for number in range(ROWS_MIN)]
    assert faults(good, there) == []
    assert len(faults(good[1:], there)) == 1
    for row in (
        ["0", "asked", "", "`test_a`"],
        ["0", "asked", "has", ""],
        ["0", "asked", "has", "`test_b`"],
        ["0", "asked", "has", "by hand"],
        ["1", "asked", "has", "`test_a`"],
        ["0", "asked", "`test_a`"],
    ):
        assert faults([row, *good[1:]], there), row
    head = f"# A page\n\n{HEADING}\n\n| # | a | b | c |\n|---|---|---|---|\n"
    assert rows(f"{head}| 1 | x | y | `test_a` |\n\n## Next\n| 2 | z |\n") == [["1", "x", "y", "`test_a`"]]
