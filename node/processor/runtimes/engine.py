"""The one wasmtime engine of a worker: its settings, and modules ready to run.

Settings that change results or fuel are part of the runtime id through ENGINE_VERSION and HOST_ABI: changing one here
means a new HOST_ABI. Compiled files are native code, so only a cache that no one else may write to is loaded.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from importlib.metadata import version
from pathlib import Path

from wasmtime import Config, Engine, Module, WasmtimeError

from node.processor.runtimes.artifacts import (
    ENGINE_VERSION,
    ArtifactMissing,
    checked_source,
    compiled_path,
    source_path,
)
from node.processor.runtimes.outcome import blake2b256

WASM_STACK_BYTES = 2 << 20  # as large as wasmtime lets it be; QuickJS stops at its own, lower limit
THREAD_STACK_BYTES = 32 << 20  # of the thread that runs guests: above the wasm stack with room for host functions
SCRIPT_MODULES_MAX = 8


class CacheUnsafe(Exception):
    """The cache directory may be written by someone else."""


def make_engine() -> Engine:
    """An engine with fuel, canonical NaNs, and no feature whose result may differ between machines."""
    installed = version("wasmtime")
    if installed != ENGINE_VERSION:
        raise ArtifactMissing(f"wasmtime {installed} is installed, the runtime ids say {ENGINE_VERSION}")
    config = Config()
    config.consume_fuel = True
    config.cranelift_nan_canonicalization = True
    config.cranelift_opt_level = "speed"
    config.wasm_relaxed_simd = False
    config.wasm_threads = False
    config.wasm_memory64 = False
    config.wasm_multi_memory = False
    config.wasm_exceptions = False
    config.wasm_tail_call = False
    config.max_wasm_stack = WASM_STACK_BYTES
    return Engine(config)


def check_cache(cache_dir: Path) -> None:
    """Refuse, by CacheUnsafe, a cache that is not ours or that others may write to."""
    status = cache_dir.stat()
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CacheUnsafe(f"{cache_dir} must belong to this user and be writable by no one else")


def compile_interpreter(engine: Engine, runtime: str, cache_dir: Path) -> Path:
    """Compile `javascript` or `python` into the cache, unless that is done; the path of the compiled file."""
    target = compiled_path(runtime, cache_dir)
    if target.is_file():
        return target
    module = Module(engine, checked_source(runtime, cache_dir))
    partial = target.with_suffix(f".{os.getpid()}.partial")
    partial.write_bytes(module.serialize())
    partial.replace(target)
    return target


def available(runtime: str, cache_dir: Path) -> bool:
    """Whether this machine has what `runtime` needs."""
    if runtime == "wasm":
        return True
    if compiled_path(runtime, cache_dir).is_file():
        return True
    try:
        return source_path(runtime, cache_dir)[0].is_file()
    except ArtifactMissing:
        return False


class Modules:
    """Compiled modules of one worker: each interpreter once, and the last few scripts."""

    def __init__(self, cache_dir: Path) -> None:
        self.engine = make_engine()
        self._cache_dir = cache_dir
        self._interpreters: dict[str, Module] = {}
        self._scripts: OrderedDict[bytes, Module] = OrderedDict()

    def interpreter(self, runtime: str) -> Module:
        """The module of `javascript` or `python`; ArtifactMissing or CacheUnsafe where it cannot be had."""
        module = self._interpreters.get(runtime)
        if module is None:
            check_cache(self._cache_dir)
            path = compile_interpreter(self.engine, runtime, self._cache_dir)
            try:
                module = Module.deserialize_file(self.engine, str(path))
            except WasmtimeError:  # written by other settings or a damaged disk: make it anew, once
                path.unlink()
                path = compile_interpreter(self.engine, runtime, self._cache_dir)
                module = Module.deserialize_file(self.engine, str(path))
            self._interpreters[runtime] = module
        return module

    def script(self, script: bytes) -> Module:
        """The module of a wasm script; WasmtimeError where it is none."""
        key = blake2b256(script)
        module = self._scripts.pop(key, None) or Module(self.engine, script)
        self._scripts[key] = module
        if len(self._scripts) > SCRIPT_MODULES_MAX:
            self._scripts.popitem(last=False)
        return module
