"""Set-up of the runtimes: `python -m node.processor.runtimes.build`, run by `make setup`.

Builds QuickJS-ng and the example C jobs to wasm with Zig's C compiler, checks the results against their pinned sha256,
and compiles the interpreters to native code in `build/runtimes`. What is there with the right hash is left alone, so a
second call takes a second. Zig (438 MB) lives in a temporary folder and is gone afterwards. The same inputs give the
same bytes on every machine, so the pins hold the whole chain of tools together.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.processor.runtimes.artifacts import (
    CPYTHON_SHA256,
    QUICKJS_FILE,
    QUICKJS_SHA256,
    REPOSITORY,
    SOURCES,
    ArtifactMissing,
    compiled_path,
    cpython_path,
    default_cache_dir,
    sha256_file,
)
from node.processor.runtimes.engine import compile_interpreter, make_engine

ZIGLANG = "ziglang==0.17.0"
QUICKJS_PACKAGE = "quickjs-ng==0.17.0.2"
QUICKJS_SDIST_SHA256 = "43d2e48272208721a7aaea8e3f02d4b9318f12ef20cc4f5421b59d9a470706ef"
QUICKJS_SOURCES = ("quickjs.c", "libregexp.c", "libunicode.c", "dtoa.c")
# -s matters: with names and debug sections the output holds build paths and differs from build to build.
COMMON_FLAGS = ("-target", "wasm32-wasi", "-mexec-model=reactor", "-O2", "-s", "-Wl,-z,stack-size=1048576")
QUICKJS_FLAGS = ("-D_GNU_SOURCE", "-DNDEBUG", "-fno-sanitize=undefined")

EXAMPLES = REPOSITORY / "examples" / "jobs"

Say = Callable[[str], None]


class BuildFailed(Exception):
    """A step of the set-up went wrong; the message is the tool's own."""


@dataclass(frozen=True, slots=True)
class Target:
    """One wasm file to build: its name for people, where it goes, the pinned hash, how to build it."""

    name: str
    path: Path
    sha256: str
    build: Callable[[Toolchain, Path], None]

    def ready(self) -> bool:
        """Whether the right file is there."""
        return self.path.is_file() and sha256_file(self.path) == self.sha256


class Toolchain:
    """Zig in a temporary folder, fetched when first used."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder = folder
        self._say = say
        self._installed = False

    def pip(self, *arguments: str) -> None:
        """Run pip quietly; BuildFailed with its own words."""
        self._run([sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"], self.folder)

    def compile(self, sources: tuple[str, ...], flags: tuple[str, ...], output: Path, folder: Path) -> None:
        """C to wasm. Sources are named relative to `folder`, so that no path of this machine gets in."""
        if not self._installed:
            self._say("fetching Zig's C compiler (100 MB, removed afterwards)")
            self.pip("install", "--no-deps", "--target", str(self.folder / "zig"), ZIGLANG)
            self._installed = True
        zig = [str(self.folder / "zig" / "ziglang" / "zig"), "cc"]
        self._run([*zig, *COMMON_FLAGS, *flags, "-o", str(output), *sources], folder)

    def _run(self, command: list[str], folder: Path) -> None:
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.folder),
            "ZIG_GLOBAL_CACHE_DIR": str(self.folder / "zig-cache"),
            "ZIG_LOCAL_CACHE_DIR": str(self.folder / "zig-cache"),
        }
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise BuildFailed(f"{' '.join(command[:4])} ...: {(done.stderr or done.stdout).strip()[-2000:]}")


def _quickjs_sources(toolchain: Toolchain) -> Path:
    """The C sources of QuickJS-ng, out of the hash-checked sdist of the PyPI package that carries them."""
    toolchain.pip(
        "download", "--no-deps", "--no-binary", "quickjs-ng", "--dest", str(toolchain.folder), QUICKJS_PACKAGE
    )
    archive = next(toolchain.folder.glob("quickjs_ng-*.tar.gz"))
    found = sha256_file(archive)
    if found != QUICKJS_SDIST_SHA256:
        raise BuildFailed(f"{archive.name} has sha256 {found}, pinned is {QUICKJS_SDIST_SHA256}")
    folder = toolchain.folder / "quickjs"
    folder.mkdir()
    with tarfile.open(archive) as bundle:
        for member in bundle.getmembers():
            parts = Path(member.name).parts
            if member.isfile() and len(parts) == 3 and parts[1] == "upstream-quickjs":
                source = bundle.extractfile(member)
                assert source is not None
                (folder / parts[2]).write_bytes(source.read())
    return folder


def build_quickjs(toolchain: Toolchain, output: Path) -> None:
    """QuickJS-ng and our host.c as one wasm module."""
    folder = _quickjs_sources(toolchain)
    for own in (SOURCES / "quickjs" / "host.c", SOURCES / "heddle.h"):
        (folder / own.name).write_bytes(own.read_bytes())
    toolchain.compile(("host.c", *QUICKJS_SOURCES), QUICKJS_FLAGS, output, folder)


def build_example(source: Path) -> Callable[[Toolchain, Path], None]:
    """An example job in one C file, with heddle.h beside it."""

    def build(toolchain: Toolchain, output: Path) -> None:
        folder = toolchain.folder / source.parent.name
        folder.mkdir()
        for file in (source, SOURCES / "heddle.h"):
            (folder / file.name).write_bytes(file.read_bytes())
        toolchain.compile((source.name,), (), output, folder)

    return build


def targets(cache_dir: Path) -> list[Target]:
    """Every wasm file that set-up builds. An example's pin is the file `<name>.wasm.sha256` beside its source."""
    found = [Target("QuickJS", cache_dir / QUICKJS_FILE, QUICKJS_SHA256, build_quickjs)]
    for pin in sorted(EXAMPLES.glob("*/*.wasm.sha256")):
        source = pin.with_name(pin.name.removesuffix(".wasm.sha256") + ".c")
        output = pin.parent / "build" / pin.name.removesuffix(".sha256")
        found.append(Target(pin.parent.name, output, pin.read_text().strip(), build_example(source)))
    return found


def prepare(cache_dir: Path, say: Say, *, pin: bool = False) -> None:
    """Make everything that is not there yet. With `pin`, print the hashes found instead of checking them."""
    cache_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    missing = [target for target in targets(cache_dir) if pin or not target.ready()]
    if missing:
        with tempfile.TemporaryDirectory(prefix="heddle-build-") as folder:
            toolchain = Toolchain(Path(folder), say)
            for target in missing:
                _build(target, toolchain, say, pin=pin)
    if sha256_file(cpython_path()) != CPYTHON_SHA256:
        raise BuildFailed(f"{cpython_path()} is not the pinned CPython: sha256 {CPYTHON_SHA256}")
    engine = make_engine()
    for runtime in ("javascript", "python"):
        if not pin or runtime == "python":
            started = time.monotonic()
            path = compile_interpreter(engine, runtime, cache_dir)
            say(f"{runtime}: {path.name} ({path.stat().st_size >> 20} MiB, {time.monotonic() - started:.1f} s)")


def check(cache_dir: Path) -> list[str]:
    """What `prepare` would have to make, by name; empty when all is there."""
    missing = [target.name for target in targets(cache_dir) if not target.ready()]
    compiled = {runtime: compiled_path(runtime, cache_dir) for runtime in ("javascript", "python")}
    missing += [f"compiled {runtime}" for runtime, path in compiled.items() if not path.is_file()]
    if sha256_file(cpython_path()) != CPYTHON_SHA256:
        missing.append("the pinned CPython")
    return missing


def _build(target: Target, toolchain: Toolchain, say: Say, *, pin: bool) -> None:
    say(f"building {target.name} to wasm")
    started = time.monotonic()
    output = toolchain.folder / "output.wasm"
    target.build(toolchain, output)
    found = sha256_file(output)
    if pin:
        say(f"{target.name}: sha256 {found}")
    elif found != target.sha256:
        raise BuildFailed(f"{target.name} has sha256 {found}, pinned is {target.sha256}")
    target.path.parent.mkdir(parents=True, exist_ok=True)
    partial = target.path.with_suffix(".partial")
    partial.write_bytes(output.read_bytes())
    partial.replace(target.path)
    output.unlink()
    size = target.path.stat().st_size
    say(f"{target.name}: {size} bytes in {time.monotonic() - started:.1f} s{'' if pin else ', sha256 as pinned'}")


def say(text: str) -> None:
    """One line of progress."""
    sys.stdout.write(f"runtimes: {text}\n")
    sys.stdout.flush()


def main() -> int:
    """Entry point: progress on standard output, 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m node.processor.runtimes.build", description=__doc__)
    parser.add_argument("--cache-dir", type=Path, default=default_cache_dir())
    parser.add_argument("--pin", action="store_true", help="print the hashes of a fresh build instead of checking them")
    parser.add_argument("--check", action="store_true", help="make nothing; 1 and a list if something is missing")
    arguments = parser.parse_args()
    try:
        if arguments.check:
            missing = check(arguments.cache_dir)
            say(f"missing: {', '.join(missing)}" if missing else "complete")
            return int(bool(missing))
        prepare(arguments.cache_dir, say, pin=arguments.pin)
    except (BuildFailed, ArtifactMissing) as error:
        sys.stderr.write(f"runtimes: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
