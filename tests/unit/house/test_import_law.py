"""The import law: what each part of Heddle may import. Read from the syntax trees, so nothing hides in a function."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PARTS = ("runtime", "pallets", "consensus", "node", "cli")
DETERMINISTIC = ("runtime", "pallets", "consensus")

# What reaches the world, or differs from one run or machine to the next.
WORLD = frozenset(
    {
        "trio", "anyio", "asyncio", "plyvel", "libp2p", "httpx", "h11", "websockets", "wasmtime", "structlog",
        "time", "datetime", "random", "secrets", "uuid", "os", "pathlib", "io", "tempfile", "shutil", "platform",
        "socket", "ssl", "select", "selectors", "signal", "subprocess", "threading", "multiprocessing", "concurrent",
        "queue", "locale", "pickle", "sched", "urllib", "http",
    }
)  # fmt: skip
# part -> the parts it may import besides itself
MAY_IMPORT = {
    "runtime": frozenset[str](),
    "pallets": frozenset({"runtime"}),
    "consensus": frozenset({"runtime"}),
    "node": frozenset({"runtime", "pallets", "consensus"}),
    "cli": frozenset({"runtime", "pallets", "consensus", "node"}),
}
# The one page that lists the pallets of the chain has to name them.
COMPOSITION = "runtime/heddle.py"


@dataclass(frozen=True)
class Import:
    """One imported module, and where."""

    path: str
    line: int
    module: str
    for_types_only: bool

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.module}"


def imports_in(path: str, source: str) -> Iterator[Import]:
    """Every import statement of a file, at any depth, relative ones made absolute."""
    tree = ast.parse(source, path)
    typing_lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for statement in node.body:
                typing_lines.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    package = Path(path).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name, node.lineno in typing_lines)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            for alias in node.names:
                yield Import(path, node.lineno, f"{module}.{alias.name}", node.lineno in typing_lines)


def all_imports(part: str) -> list[Import]:
    """Every import of one part of the repository."""
    return [
        found
        for file in sorted((ROOT / part).rglob("*.py"))
        for found in imports_in(file.relative_to(ROOT).as_posix(), file.read_text())
    ]


def breaks_the_law(part: str, found: Import) -> bool:
    """Whether `part` may not import this."""
    if part in DETERMINISTIC and found.top in WORLD:
        return True
    if found.top not in PARTS or found.top == part:
        return False
    if found.path == COMPOSITION and found.top == "pallets":
        return False
    if found.for_types_only and part == "runtime" and found.top == "pallets":
        # A name in an annotation, never imported when the program runs.
        return False
    return found.top not in MAY_IMPORT[part]


@pytest.mark.parametrize("part", PARTS)
def test_each_part_imports_only_what_it_may(part: str) -> None:
    """runtime, pallets and consensus reach nothing of the world, and each part only those below it."""
    broken = [str(found) for found in all_imports(part) if breaks_the_law(part, found)]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("runtime/state.py", "import time"),
        ("runtime/state.py", "from os import path"),
        ("runtime/state.py", "def f():\n    import random"),
        ("runtime/state.py", "from pallets import balances"),
        ("pallets/balances.py", "import trio.testing"),
        ("pallets/balances.py", "from consensus import aura"),
        ("pallets/balances.py", "from node.store import database"),
        ("consensus/aura.py", "from pallets import aura"),
        ("pallets/balances.py", "if TYPE_CHECKING:\n    from node.store import database"),
        ("runtime/state.py", "if TYPE_CHECKING:\n    import trio"),
        ("consensus/aura.py", "import socket"),
        ("node/service.py", "from cli import main"),
    ],
)
def test_a_breach_is_noticed(path: str, source: str) -> None:
    """The test above can fail: each kind of forbidden import is found in a made-up file."""
    (found,) = imports_in(path, source)
    assert breaks_the_law(path.partition("/")[0], found)


def test_relative_imports_are_seen_through() -> None:
    """`from ..node import x` inside a pallet counts as an import of node's."""
    (found,) = imports_in("pallets/jobs/calls.py", "from ...node import store")
    assert found.module == "node.store"


def siblings_used(file: Path) -> list[str]:
    """Imports by which a pallet's file takes another pallet's code, not merely its class's name."""
    path = file.relative_to(ROOT).as_posix()
    own = file.relative_to(ROOT / "pallets").parts[0].removesuffix(".py")
    source = file.read_text()
    foreign = [found for found in imports_in(path, source) if found.top == "pallets"]
    others = [found for found in foreign if found.module.split(".")[1] != own]
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return [str(found) for found in others if is_pallet_class(found) and found.module.rsplit(".", 1)[1] in calls]


def is_pallet_class(found: Import) -> bool:
    """Whether this import names a class that derives from Pallet."""
    module, _, name = found.module.rpartition(".")
    for candidate in (ROOT / (module.replace(".", "/") + ".py"), ROOT / module.replace(".", "/") / "__init__.py"):
        if candidate.exists():
            for node in ast.walk(ast.parse(candidate.read_text())):
                if isinstance(node, ast.ClassDef) and node.name == name:
                    return any("Pallet" in ast.unparse(base) for base in node.bases)
    return False


def test_pallets_get_each_other_by_constructor() -> None:
    """A pallet may name another's class for its types, but never makes one: runtime/heddle.py hands it in."""
    files = [file for file in sorted((ROOT / "pallets").rglob("*.py")) if file.name != "__init__.py"]
    assert not [line for file in files for line in siblings_used(file)]


def test_only_the_network_knows_libp2p() -> None:
    """libp2p is imported in node/network and nowhere else, so that it can be exchanged in one place."""
    users = {found.path for part in PARTS for found in all_imports(part) if found.top in {"libp2p", "multiaddr"}}
    assert not {path for path in users if not path.startswith("node/network/")}


def test_the_command_imports_no_slow_library_at_start() -> None:
    """cli/main.py and what every command shares import only the standard library and typer at module level."""
    allowed = sys.stdlib_module_names | {"typer", "cli"}
    shared = ("main", "errors", "output", "options", "amounts", "__init__")
    slow = []
    for name in shared:
        tree = ast.parse((ROOT / "cli" / f"{name}.py").read_text())
        top_level = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
        slow += [str(one) for one in imports_in(f"cli/{name}.py", ast.unparse(top_level)) if one.top not in allowed]
    assert not slow


def test_no_package_shadows_a_library() -> None:
    """No top-level package is called like one that libp2p installs (examples, docs, interop)."""
    clashes = {"examples", "docs", "interop", "tests"}
    assert not [name for name in clashes if (ROOT / name / "__init__.py").exists()]
