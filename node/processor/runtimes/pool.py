"""The pool of worker processes, as the node sees it.

    async with RuntimePool(workers=2) as pool:
        outcome = await pool.run(spec, fetch=guard.fetch)

A worker runs one spec at a time and lives for many. It is killed when a run passes its wall limit, when `run` is
cancelled, when it breaks the protocol, and when the pool closes; the next run then starts a new one. A worker that
dies by itself raises WorkerCrashed from that one `run`. Nothing a script does reaches the node but typed frames, each
under a cap and checked here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trio

from node.processor.runtimes.artifacts import PYTHON_PATH_VARIABLE, REPOSITORY, default_cache_dir, runtime_id
from node.processor.runtimes.engine import available
from node.processor.runtimes.frames import LENGTH_BYTES, FrameInvalid, decode_body, encode_frame, frame_length
from node.processor.runtimes.outcome import (
    Failure,
    Outcome,
    OutOfResources,
    Resource,
    RuntimeUnsupported,
    Status,
    blake2b256,
    failure_from,
)
from node.processor.runtimes.spec import (
    RUNTIME_NAMES,
    DestinationRefused,
    FetchFailed,
    FetchReply,
    FetchRequest,
    RunSpec,
    SpecInvalid,
    check_spec,
    pack_spec,
)

WORKERS_MAX = 16
START_TIMEOUT_MS = 60_000
EXIT_WAIT_MS = 1_000
RUNS_PER_WORKER_MAX = 256
PIPE_BYTES_MAX = 1 << 16
EMPTY_TAPE = b"\x90"  # msgpack of no entries

Fetch = Callable[[FetchRequest], Awaitable[FetchReply]]
Sign = Callable[[bytes], Awaitable[bytes]]
OnProgress = Callable[[int, str], None]
OnText = Callable[[str], None]
OnBytes = Callable[[bytes], None]


class WorkerCrashed(Exception):
    """The worker process died or broke the protocol: the machine's fault, or an attack; never a script's typed end."""

    def __init__(self, reason: str, exit_code: int | None = None) -> None:
        super().__init__(f"worker {reason} (exit code {exit_code})")
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What the node does for a run. Those that are None are ignored (progress, log) or refused (fetch, sign)."""

    fetch: Fetch | None = None
    sign: Sign | None = None
    on_progress: OnProgress | None = None
    on_log: OnText | None = None
    on_checkpoint: OnBytes | None = None


class _Worker:
    """One process and the frames to and from it."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.runs = 0
        self.frames = 0
        self._buffer = bytearray()

    @classmethod
    async def start(cls, cache_dir: Path, extra: Mapping[str, str]) -> _Worker:
        """A new process, once it says that it is ready."""
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "node.processor.runtimes.worker", str(cache_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_worker_environment(extra),
            cwd=REPOSITORY,
        )
        worker = cls(process)
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

    async def send(self, *items: Any) -> None:
        """Write one frame; WorkerCrashed if the process is gone."""
        assert self.process.stdin is not None
        try:
            await self.process.stdin.send_all(encode_frame(*items))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise WorkerCrashed("closed its input", await self._exit_code()) from error

    async def receive(self) -> list[Any]:
        """Read one frame; WorkerCrashed at the end of its output or for a frame that is none."""
        try:
            length = frame_length(await self._take(LENGTH_BYTES))
            body = decode_body(await self._take(length))
        except FrameInvalid as error:
            raise WorkerCrashed(f"broke the protocol: {error}") from error
        self.frames += 1
        return body

    async def _take(self, length: int) -> bytes:
        assert self.process.stdout is not None
        while len(self._buffer) < length:
            part = await self.process.stdout.receive_some(PIPE_BYTES_MAX)
            if not part:
                raise WorkerCrashed("ended", await self._exit_code())
            self._buffer += part
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    async def _exit_code(self) -> int | None:
        with trio.move_on_after(EXIT_WAIT_MS / 1000):
            await self.process.wait()
        return self.process.returncode

    async def kill(self) -> None:
        """End the process and wait until it is gone, even under cancellation."""
        with trio.CancelScope(shield=True):
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    await trio.aclose_forcefully(stream)


def _worker_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What a worker may know of the node's environment: where its own code is, and nothing else."""
    kept = ("PATH", "VIRTUAL_ENV", "PYTHONPATH", PYTHON_PATH_VARIABLE)
    environment = {**{name: os.environ[name] for name in kept if name in os.environ}, **extra}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), environment.get("PYTHONPATH")]))
    return environment


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
        self._slots = trio.CapacityLimiter(workers)
        self._idle: list[_Worker] = []
        self._busy: dict[int, _Worker] = {}
        self._closed = False

    def runtime_ids(self) -> dict[str, str]:
        """Name to runtime id of what this machine can run: the content of a processor's advert."""
        metered = [name for name in RUNTIME_NAMES if available(name, self.cache_dir)]
        return {name: runtime_id(name) for name in (*metered, *self.native)}

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
        """Run `spec` to its end. Cancel the surrounding scope to stop it; the worker is then killed.

        Raises SpecInvalid for a value out of bounds and WorkerCrashed if the process died. The wall limit counts from
        when a worker has taken the spec.
        """
        check_spec(spec)
        if spec.runtime not in self.runtime_ids():
            return _ended(spec, RuntimeUnsupported(), f"no runtime {spec.runtime} here", reproducible=True)
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

    async def _run_on(self, worker: _Worker, spec: RunSpec, callbacks: Callbacks) -> Outcome:
        self._busy[worker.process.pid] = worker
        reusable = False
        try:
            with trio.move_on_after(spec.limits.wall_ms / 1000) as wall:
                outcome = await _converse(worker, spec, callbacks)
            if wall.cancelled_caught:
                message = f"ran longer than {spec.limits.wall_ms} ms"
                return _ended(spec, OutOfResources(Resource.WALL), message, reproducible=False)
            reusable = worker.runs < RUNS_PER_WORKER_MAX and not self._closed
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

    async def _take_worker(self) -> _Worker:
        if self._closed:
            raise WorkerCrashed("pool is closed")
        while self._idle:
            worker = self._idle.pop()
            if worker.process.poll() is None:
                return worker
            await worker.kill()
        return await _Worker.start(self.cache_dir, self._environment)


async def _converse(worker: _Worker, spec: RunSpec, callbacks: Callbacks) -> Outcome:
    """Send the spec and answer frames until the outcome."""
    worker.runs += 1
    await worker.send("run", pack_spec(spec))
    while True:
        match await worker.receive():
            case ["progress", int(percent), str(note)]:
                if callbacks.on_progress is not None:
                    callbacks.on_progress(percent, note)
            case ["log", str(text)]:
                if callbacks.on_log is not None:
                    callbacks.on_log(text)
            case ["checkpoint", bytes(content)]:
                if callbacks.on_checkpoint is not None:
                    callbacks.on_checkpoint(content)
            case ["call", "fetch", dict(raw)]:
                await worker.send("reply", *await _answer_fetch(callbacks.fetch, raw))
            case ["call", "sign", bytes(content)]:
                signature = b"" if callbacks.sign is None else await callbacks.sign(content)
                await worker.send("reply", "ok", signature)
            case ["refused", str(text)]:
                raise SpecInvalid(text)
            case ["done", dict(raw)]:
                return _read_outcome(spec, raw)
            case frame:
                raise WorkerCrashed(f"sent an unknown frame {str(frame[0])[:32]!r}")


async def _answer_fetch(fetch: Fetch | None, raw: dict[str, Any]) -> tuple[str, Any]:
    match raw:
        case {"method": str(method), "url": str(url), "headers": [*pairs], "body": bytes(body), "hosts": [*names]}:
            headers = tuple((str(name), str(value)) for name, value in pairs)
            request = FetchRequest(method, url, headers, body, tuple(map(str, names)))
        case _:
            raise WorkerCrashed("sent a malformed fetch")
    if fetch is None:
        return "refused", "this processor does no requests"
    try:
        reply = await fetch(request)
    except DestinationRefused as error:
        return "refused", str(error)
    except FetchFailed as error:
        return "failed", str(error)
    return "ok", [reply.status, [list(pair) for pair in reply.headers], reply.body]


def _read_outcome(spec: RunSpec, raw: dict[str, Any]) -> Outcome:
    """The `done` frame, checked against the spec: a worker is not trusted with more than its run."""
    try:
        failed = raw.pop("failure")
        failure = failure_from(int(failed[0]), str(failed[1])) if failed is not None else None
        status = Status.SUCCEEDED if failure is None else Status.FAILED
        outcome = Outcome(status=status, failure=failure, **raw)
        consistent = (
            outcome.runtime_id == runtime_id(spec.runtime)
            and len(outcome.output) <= spec.limits.output_bytes
            and 0 <= outcome.fuel_used <= spec.limits.fuel
            and blake2b256(outcome.tape) == outcome.tape_hash
            and isinstance(outcome.logs, str)
            and isinstance(outcome.message, str)
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise WorkerCrashed("sent a malformed outcome") from error
    if not consistent:
        raise WorkerCrashed("sent an outcome past its limits")
    return outcome


def _ended(spec: RunSpec, failure: Failure, message: str, *, reproducible: bool) -> Outcome:
    """The outcome of a run that no worker finished."""
    return Outcome(
        runtime_id=runtime_id(spec.runtime),
        status=Status.FAILED,
        output=b"",
        failure=failure,
        message=message,
        fuel_used=0,
        memory_peak=0,
        network_used=0,
        tape=EMPTY_TAPE,
        tape_hash=blake2b256(EMPTY_TAPE),
        logs="",
        reproducible=reproducible,
    )
