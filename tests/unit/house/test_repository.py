"""Rules that hold for every file: no machine's paths, every test explained, nothing switched off without a reason."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FILE_LINES_MAX = 700
FUNCTION_LINES_MAX = 110


def tracked_files() -> list[Path]:
    """The files of the repository, or, outside a clone, all that would be."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and not set(path.parts) & {".venv", "build", ".git"}]


def sources(*parts: str) -> Iterator[Path]:
    """The Python files under the given top-level folders, without the jobs that misbehave on purpose."""
    for part in parts:
        yield from (path for path in sorted((ROOT / part).rglob("*.py")) if "hostile" not in path.parts)


def test_no_path_of_one_machine() -> None:
    """Nothing in the repository names a home folder or a work folder of the machine it was written on."""
    # Put together from words, so that this file does not find itself.
    folders = b"|".join([b"work", b"root", b"farm", b"home/\\w+"])
    pattern = re.compile(rb"(?<![\w.])/(?:" + folders + rb")/")
    found = [path.relative_to(ROOT).as_posix() for path in tracked_files() if pattern.search(path.read_bytes())]
    assert not found


def test_every_test_says_what_it_shows() -> None:
    """Each test function has a docstring."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources("tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert not silent


def test_tests_neither_sleep_nor_mock() -> None:
    """Tests wait for conditions and use real parts: no time.sleep, no mocks, no monkeypatch."""
    pattern = re.compile(r"\btime\.sleep\(|unittest\.mock|MagicMock|\bmonkeypatch\b")
    house = Path(__file__).resolve()
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources("tests")
        if path != house
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found


def test_a_silenced_check_has_its_reason_beside_it() -> None:
    """`noqa` and `type: ignore` name their rule and say why, behind it or in a comment on the line above."""
    silenced = re.compile(r"#\s*(?:noqa|type:\s*ignore)(?P<rule>:\s*[A-Z]+\d+|\[[\w, -]+\])?(?P<rest>.*)")
    found = []
    for path in sources("runtime", "pallets", "consensus", "node", "cli", "tests", "scripts", "benchmarks"):
        if path == Path(__file__).resolve():
            continue
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            hit = silenced.search(line)
            if hit is None:
                continue
            explained = re.search(r"[-—#]\s*\w+", hit["rest"]) or lines[max(0, number - 1)].lstrip().startswith("#")
            if not hit["rule"] or not explained:
                found.append(f"{path.relative_to(ROOT)}:{number + 1}")
    assert not found


def test_no_unfinished_code() -> None:
    """What is in the tree works: no marks of unfinished code outside of tests."""
    pattern = re.compile(r"\bNotImplementedError\b|\b(?:TODO|FIXME|XXX)\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources("runtime", "pallets", "consensus", "node", "cli", "scripts", "benchmarks")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found


def test_files_and_functions_stay_readable() -> None:
    """No file and no function grows past what a reader can hold (tables of data excepted by being no functions)."""
    long_files = [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for path in sources("runtime", "pallets", "consensus", "node", "cli")
        if (lines := len(path.read_text().splitlines())) > FILE_LINES_MAX
    ]
    long_functions = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources("runtime", "pallets", "consensus", "node", "cli")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert not long_files + long_functions


def test_broad_catches_stand_only_in_supervisors() -> None:
    """`except Exception` or `BaseException` either raises again or stands beside a comment on its supervisor."""
    found = []
    for path in sources("runtime", "pallets", "consensus", "node", "cli"):
        source = path.read_text()
        lines = source.splitlines()
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.ExceptHandler) or isinstance(node.body[-1], ast.Raise):
                continue
            kind = ast.unparse(node.type) if node.type else "BaseException"
            around = " ".join(lines[max(0, node.lineno - 4) : node.lineno + 1])
            if re.search(r"\b(Base)?Exception\b", kind) and "supervis" not in around:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found


def test_every_pin_of_the_project_is_in_the_constraints() -> None:
    """pyproject.toml and constraints.txt agree on every version, and constraints.txt holds nothing but exact pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert not [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)]
    pins = {normal(line) for line in lines}
    assert not [pin for pin in wanted if normal(pin) not in pins]


def normal(pin: str) -> str:
    """A pin with its name as packaging tools compare it."""
    name, _, version = pin.partition("==")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"
