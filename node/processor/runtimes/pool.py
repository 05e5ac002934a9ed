"""The pool of worker processes of this machine, as the node sees it.

    async with RuntimePool(workers=2) as pool:
        outcome = await pool.run(spec, fetch=guard.fetch)

A worker runs one spec at a time and lives for many. It is killed when a run passes its wall limit, when `run` is
cancelled, when it breaks the protocol, and when the pool closes; the next run then starts a new one. A worker that
dies by itself raises WorkerCrashed from that one `run`. Nothing a script does reaches the node but typed frames, each
under a cap and checked here.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import trio

from node.processor.runtimes.artifacts import REPOSITORY, default_cache_dir, runtime_id
from node.processor.runtimes.conversation import ended, run_within_wall
from node.processor.runtimes.engine import available
from node.processor.runtimes.framed_process import FramedProcess
from node.processor.runtimes.launch import bare_environment, cpu_ns, worker_command
from node.processor.runtimes.native.bubblewrap import native_modules
from node.processor.runtimes.native.offered import native_runtimes
from node.processor.runtimes.outcome import Outcome, RuntimeUnsupported
from node.processor.runtimes.port import (
    Callbacks,
    Fetch,
    OnBytes,
    OnProgress,
    OnText,
    Room,
    Sign,
    WorkerCrashed,
)
from node.processor.runtimes.spec import RUNTIME_NAMES, RunSpec, SpecInvalid, check_spec

WORKERS_MAX = 16
CORES_MAX = 64
MEMORY_BYTES_MAX = 16 << 30
"""What one machine offers at most, however much it has."""
START_TIMEOUT_MS = 60_000
RUNS_PER_WORKER_MAX = 256


async def _start_worker(cache_dir: Path, extra: Mapping[str, str]) -> FramedProcess:
    """A new worker, once it says that it is ready."""
    worker = await FramedProcess.start(worker_command(cache_dir), bare_environment(extra), REPOSITORY)
    try:
        with trio.fail_after(START_TIMEOUT_MS / 1000):
            match await worker.receive():
                case ["ready"]:
                    return worker
                case frame:
                    raise WorkerCrashed(f"started with {frame[0]}")
    except BaseException:
        await worker.kill()
        raise


class RuntimePool:
    """Up to `workers` runs at once, each in a process of its own.

    `cache_dir` holds the built interpreters; `environment` is added to what a worker process gets; `native` are the
    native runtimes that the operator offers, and that work here.
    """

    def __init__(
        self,
        workers: int = 2,
        cache_dir: Path | None = None,
        environment: Mapping[str, str] | None = None,
        native: tuple[str, ...] = (),
    ) -> None:
        if not 1 <= workers <= WORKERS_MAX:
            raise ValueError(f"workers is {workers}, allowed is 1..{WORKERS_MAX}")
        self.cache_dir = cache_dir if cache_dir is not None else default_cache_dir()
        self._environment = dict(environment or {})
        self.native = native
        self.workers = workers
        self._slots = trio.CapacityLimiter(workers)
        self._idle: list[FramedProcess] = []
        self._busy: dict[int, FramedProcess] = {}
        self._closed = False

    def runtime_ids(self) -> dict[str, str]:
        metered = [name for name in RUNTIME_NAMES if available(name, self.cache_dir)]
        return {name: runtime_id(name) for name in (*metered, *self.native)}

    def modules(self) -> tuple[str, ...]:
        return native_modules(self.native)

    def room(self) -> Room:
        """What this machine has. Half of its memory is the node's and the system's."""
        memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
        return Room(platform.machine(), min(os.cpu_count() or 1, CORES_MAX), min(memory_bytes, MEMORY_BYTES_MAX))

    def check_room(self, spec: RunSpec) -> None:
        """Nothing to refuse: what a sandbox may be given is bounded by `check_spec`."""

    def cpu_used_ns(self) -> int:
        return sum(map(cpu_ns, self.worker_pids))

    async def offer_native(self) -> None:
        self.native = await trio.to_thread.run_sync(native_runtimes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Kill every worker. A run in progress ends in WorkerCrashed."""
        self._closed = True
        for worker in [*self._idle, *self._busy.values()]:
            await worker.kill()
        self._idle.clear()

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the living workers, for status and tests."""
        return sorted(worker.process.pid for worker in [*self._idle, *self._busy.values()])

    async def run(
        self,
        spec: RunSpec,
        fetch: Fetch | None = None,
        *,
        sign: Sign | None = None,
        on_progress: OnProgress | None = None,
        on_log: OnText | None = None,
        on_checkpoint: OnBytes | None = None,
    ) -> Outcome:
        check_spec(spec)
        if spec.runtime not in self.runtime_ids():
            known = runtime_id(spec.runtime)
            return ended(known, RuntimeUnsupported(), f"no runtime {spec.runtime} here", reproducible=True)
        callbacks = Callbacks(fetch, sign, on_progress, on_log, on_checkpoint)
        async with self._slots:
            while True:
                worker = await self._take_worker()
                waited, frames = worker.runs > 0, worker.frames
                try:
                    return await self._run_on(worker, spec, callbacks)
                except WorkerCrashed:
                    # One that died while it waited was not yet seen dead: its run never began.
                    if not waited or worker.frames > frames or self._closed:
                        raise

    async def _run_on(self, worker: FramedProcess, spec: RunSpec, callbacks: Callbacks) -> Outcome:
        self._busy[worker.process.pid] = worker
        reusable = False
        try:
            worker.runs += 1
            outcome, in_time = await run_within_wall(worker, spec, callbacks, runtime_id(spec.runtime))
            reusable = in_time and worker.runs < RUNS_PER_WORKER_MAX and not self._closed
            return outcome
        except SpecInvalid:
            reusable = True
            raise
        finally:
            del self._busy[worker.process.pid]
            if reusable:
                self._idle.append(worker)
            else:
                await worker.kill()

    async def _take_worker(self) -> FramedProcess:
        if self._closed:
            raise WorkerCrashed("pool is closed")
        while self._idle:
            worker = self._idle.pop()
            if worker.process.poll() is None:
                return worker
            await worker.kill()
        return await _start_worker(self.cache_dir, self._environment)
