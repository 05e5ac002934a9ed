"""One run inside wasmtime: instantiate, call the entry point, and turn every end into an Outcome.

Called by the worker process only, in one thread. One Linker serves all runs of the process (wasmtime's table of host
functions is not thread-safe); its functions act on the run in progress.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wasmtime import (
    Func,
    FuncType,
    Instance,
    Linker,
    Memory,
    MemoryType,
    Module,
    Store,
    Trap,
    TrapCode,
    ValType,
    WasmtimeError,
)

from node.processor.runtimes.artifacts import SOURCES, ArtifactMissing, runtime_id
from node.processor.runtimes.calls import CALL_NAME_BYTES_MAX, CallChannel, HostCalls, Link
from node.processor.runtimes.ended import GuestExit, RunEnded, over
from node.processor.runtimes.engine import CacheUnsafe, Modules
from node.processor.runtimes.files import FileSystem, Storage
from node.processor.runtimes.memory import MASK_32, GuestMemory, OutOfBounds
from node.processor.runtimes.outcome import (
    AppError,
    Failure,
    Outcome,
    OutOfResources,
    Resource,
    RuntimeUnsupported,
    ScriptInvalid,
    Status,
    TapeInconsistent,
    blake2b256,
    clip_message,
)
from node.processor.runtimes.spec import RunSpec
from node.processor.runtimes.virtual import SeededRandom, VirtualClock
from node.processor.runtimes.wasi import Wasi
from node.processor.runtimes.wasi_abi import MODULE, SIGNATURES

HOST_MODULE = "heddle"
# A host call costs this much fuel and one more per byte it moves, so that a loop of host calls meets the fuel limit
# about when it would meet it computing (a call takes about 10 µs, a wasm operator about 1 ns).
HOST_CALL_FUEL = 10_000
TABLE_ELEMENTS_MAX = 100_000
TRAP_CODE_BASE = 256
PAGE_BYTES = 65_536
# A guest that fails with less than this share of its memory left failed because memory.grow refused it: C programs
# only show that as an exit code or a trap of their own.
MEMORY_FULL_SHARE = 8

PYTHON_ARGUMENTS = ("python", "-S", "-B", "-P", "-s", "/job/boot.py")
PYTHON_ENVIRONMENT = ("PYTHONHASHSEED=0", "PYTHONUTF8=1", "HOME=/tmp", "TMPDIR=/tmp", "TZ=UTC")


class _Run:
    """The state of the run in progress."""

    def __init__(self, spec: RunSpec, link: Link, modules: Modules) -> None:
        self.spec = spec
        self.store = Store(modules.engine)
        self.store.set_limits(
            memory_size=spec.limits.memory_bytes,
            table_elements=TABLE_ELEMENTS_MAX,
            instances=1,
            tables=8,
            memories=1,
        )
        self.store.set_fuel(spec.limits.fuel)
        storage = Storage(spec.limits.storage_bytes, spec.capabilities.storage)
        files = FileSystem(storage)
        clock = VirtualClock(spec.now_ms)
        random = SeededRandom(spec.seed)
        self.calls = HostCalls(spec, link, storage, clock, random, _texts(spec))
        files.add_folder("tmp")
        python = spec.runtime == "python"
        if python:
            files.add_runtime_file("job", "boot.py", _source("guest/boot.py"))
            files.add_channel("job", "channel")
        self.wasi = Wasi(
            files,
            clock,
            random,
            self.calls.print_out,
            CallChannel(self.calls),
            PYTHON_ARGUMENTS if python else (spec.runtime,),
            PYTHON_ENVIRONMENT if python else (),
        )
        self.memory: GuestMemory | None = None
        self.reply = b""

    def attach(self, memory: Memory) -> None:
        """Give the host functions the guest's memory."""
        self.memory = self.wasi.memory = GuestMemory(self.store, memory)

    def charge(self, moved_bytes: int) -> None:
        """Take the fuel of one host call."""
        fuel = self.store.get_fuel() - HOST_CALL_FUEL - moved_bytes
        self.store.set_fuel(max(fuel, 0))
        if fuel <= 0:
            raise over(Resource.COMPUTE, "fuel is used up")

    def request(self, name: int, name_length: int, body: int, body_length: int) -> int:
        """`heddle.request`: run a call. Its reply's length, or -1 - length of an error text; see `heddle.h`."""
        if self.memory is None or name_length > CALL_NAME_BYTES_MAX:
            return -1
        call = self.memory.read(name, name_length).decode(errors="replace")
        ok, self.reply = self.calls.call(call, self.memory.read(body, body_length))
        return len(self.reply) if ok else -1 - len(self.reply)

    def take_reply(self, pointer: int, offset: int, length: int) -> int:
        """`heddle.reply`: copy `length` bytes of the last reply from `offset`; how many there were."""
        if self.memory is None:
            return 0
        part = self.reply[offset : offset + length]
        self.memory.write(pointer, part)
        return len(part)


def _texts(spec: RunSpec) -> dict[str, bytes]:
    """What the language's own start-up code reads by calls."""
    texts = {"entrypoint": (spec.entrypoint or "main").encode(), "script": spec.script}
    if spec.runtime == "javascript":
        texts["prelude"] = _source("quickjs/prelude.js")
    return {} if spec.runtime == "wasm" else texts


_sources: dict[str, bytes] = {}


def _source(name: str) -> bytes:
    if name not in _sources:
        _sources[name] = (SOURCES / name).read_bytes()
    return _sources[name]


class Sandbox:
    """Runs specs one after another."""

    def __init__(self, cache_dir: Path) -> None:
        self._modules = Modules(cache_dir)
        self._run: _Run | None = None
        self._linker = Linker(self._modules.engine)
        self._known: set[tuple[str, str]] = set()
        for name, signature in SIGNATURES.items():
            self._define_wasi(name, signature)
        self._define(HOST_MODULE, "request", "iiii", lambda run, arguments: run.request(*arguments))
        self._define(HOST_MODULE, "reply", "iii", lambda run, arguments: run.take_reply(*arguments))

    def _define_wasi(self, name: str, signature: str) -> None:
        self._define(MODULE, name, signature, lambda run, arguments: run.wasi.call(name, arguments))

    def _define(self, module: str, name: str, signature: str, body: Callable[[_Run, tuple[int, ...]], int]) -> None:
        kinds = {"i": ValType.i32, "I": ValType.i64}
        masks = tuple(MASK_32 if kind == "i" else (1 << 64) - 1 for kind in signature)
        returns = name != "proc_exit"

        def function(*raw: int) -> int | None:
            run = self._run
            assert run is not None
            before = run.memory.moved_bytes if run.memory else 0
            result = body(run, tuple(value & mask for value, mask in zip(raw, masks, strict=True)))
            run.charge((run.memory.moved_bytes if run.memory else 0) - before)
            return result if returns else None

        parameters = [kinds[kind]() for kind in signature]
        self._linker.define_func(module, name, FuncType(parameters, [ValType.i32()] if returns else []), function)
        self._known.add((module, name))

    def run(self, spec: RunSpec, link: Link) -> Outcome:
        """One run from start to end. Never raises for anything the script does."""
        run = self._run = _Run(spec, link, self._modules)
        failure: Failure | None = None
        message = ""
        try:
            self._execute(run)
        except RunEnded as ended:
            failure, message = ended.failure, ended.message
        except GuestExit as ended:
            failure, message = self._exit_failure(run, ended.code)
        except OutOfBounds as error:
            failure, message = AppError(TRAP_CODE_BASE + 1), f"host call outside the memory: {error}"
        except Trap as trap:
            failure, message = self._trap_failure(run, trap)
        except (ArtifactMissing, CacheUnsafe) as error:
            failure, message = RuntimeUnsupported(), str(error)
        finally:
            self._run = None
        rest = run.calls.replay.rest() if run.calls.replay is not None else ""
        if rest and failure != OutOfResources(Resource.STACK):  # that one may be this machine's, not the tape's
            failure, message = TapeInconsistent(), rest
        outcome = _outcome(run, failure, message)
        run.store.close()
        return outcome

    def _execute(self, run: _Run) -> None:
        module = self._load(run.spec)
        instance = self._instantiate(run, module)
        exports = instance.exports(run.store)
        entrypoint = {"javascript": "run", "python": "_start"}.get(run.spec.runtime, run.spec.entrypoint or "_start")
        function = _entry(exports.get(entrypoint), run.store, entrypoint)
        initialize = exports.get("_initialize")
        if isinstance(initialize, Func) and entrypoint != "_initialize":
            _entry(initialize, run.store, "_initialize")(run.store)
        result = function(run.store)
        if isinstance(result, int) and result & MASK_32 != 0:
            raise GuestExit(result & MASK_32)

    def _load(self, spec: RunSpec) -> Module:
        if spec.runtime != "wasm":
            return self._modules.interpreter(spec.runtime)
        try:
            module = self._modules.script(spec.script)
        except (WasmtimeError, UnicodeDecodeError) as error:
            raise RunEnded(ScriptInvalid(), f"not a wasm module: {error}") from error
        for needed in module.imports:
            if (needed.module, needed.name) not in self._known:
                raise RunEnded(ScriptInvalid(), f"unknown import {needed.module}.{needed.name}")
        return module

    def _instantiate(self, run: _Run, module: Module) -> Instance:
        memory = next((kind.type for kind in module.exports if kind.name == "memory"), None)
        if not isinstance(memory, MemoryType):
            raise RunEnded(ScriptInvalid(), "the module exports no memory")
        if memory.limits.min * PAGE_BYTES > run.spec.limits.memory_bytes:
            raise over(Resource.MEMORY, f"the module starts with more than {run.spec.limits.memory_bytes} bytes")
        try:
            instance = self._linker.instantiate(run.store, module)
        except WasmtimeError as error:
            raise RunEnded(ScriptInvalid(), f"does not link: {error}") from error
        exported = instance.exports(run.store)["memory"]
        assert isinstance(exported, Memory)
        run.attach(exported)
        return instance

    @staticmethod
    def _exit_failure(run: _Run, code: int) -> tuple[Failure | None, str]:
        if code == 0:
            return None, ""
        if _memory_full(run):
            return OutOfResources(Resource.MEMORY), f"exit {code} with memory full"
        return AppError(code & 0xFF or 1), f"exit {code}"

    @staticmethod
    def _trap_failure(run: _Run, trap: Trap) -> tuple[Failure, str]:
        code = trap.trap_code
        if code is TrapCode.OUT_OF_FUEL:
            run.store.set_fuel(0)
            return OutOfResources(Resource.COMPUTE), "fuel is used up"
        if code is TrapCode.STACK_OVERFLOW:
            return OutOfResources(Resource.STACK), "the wasm stack overflowed"
        if _memory_full(run):
            return OutOfResources(Resource.MEMORY), "a trap with memory full"
        return AppError(TRAP_CODE_BASE + (code.value if code else 0)), f"trap: {code.name if code else trap.message}"


def _entry(export: Any, store: Store, name: str) -> Func:
    if not isinstance(export, Func):
        raise RunEnded(ScriptInvalid(), f"the module exports no function {name}")
    kind = export.type(store)
    results = [str(result) for result in kind.results]
    if kind.params or results not in ([], ["i32"]):
        raise RunEnded(ScriptInvalid(), f"{name} must take nothing and return nothing or an i32")
    return export


def _memory_full(run: _Run) -> bool:
    limit = run.spec.limits.memory_bytes
    return run.memory is not None and limit - run.memory.size() < limit // MEMORY_FULL_SHARE


def _outcome(run: _Run, failure: Failure | None, message: str) -> Outcome:
    tape = run.calls.tape.encode()
    stack = failure == OutOfResources(Resource.STACK) and message.startswith("the wasm stack")
    return Outcome(
        runtime_id=runtime_id(run.spec.runtime),
        status=Status.SUCCEEDED if failure is None else Status.FAILED,
        output=bytes(run.calls.output) if failure is None else b"",
        failure=failure,
        message=clip_message(message),
        fuel_used=run.spec.limits.fuel - run.store.get_fuel(),
        memory_peak=run.memory.size() if run.memory else 0,
        network_used=run.calls.network_used,
        tape=tape,
        tape_hash=blake2b256(tape),
        logs=bytes(run.calls.logs).decode(errors="replace"),
        reproducible=not stack,
    )
