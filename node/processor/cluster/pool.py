"""The pool whose workers are on the machines of a Ray cluster.

    async with RayPool("10.0.0.1:6379", token) as pool:
        outcome = await pool.run(spec, fetch=guard.fetch)

Each run has a place of its own, with the cores and the memory that Ray holds for it. Its frames are those of a worker
on this machine, and checked by the same code. A cluster that is lost is asked for again with growing pauses; until it
is back nothing is on offer, and a run that was promised waits for a while and then ends in WorkerCrashed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trio

from node.log import logger
from node.processor.cluster.connection import Connection, RemoteWorker
from node.processor.cluster.errors import ClusterError
from node.processor.cluster.messages import PLACE_TIMEOUT_S, RUN_CORES, RUNS_MAX, Machine, no_room
from node.processor.runtimes.artifacts import runtime_id
from node.processor.runtimes.conversation import ended, run_within_wall
from node.processor.runtimes.outcome import Outcome, RuntimeUnsupported
from node.processor.runtimes.port import (
    Callbacks,
    Fetch,
    NoRoom,
    OnBytes,
    OnProgress,
    OnText,
    Room,
    Sign,
    WorkerCrashed,
)
from node.processor.runtimes.spec import RunSpec, check_spec

log = logger("processor")

PAUSE_S_FIRST = 1
PAUSE_S_MAX = 60


class RayPool:
    """Up to `workers_max` runs at once on a cluster, as many as it has cores.

    `address` is the cluster's, host:port; `token` the secret that it was started with. `cache_dir` holds the built
    interpreters on each machine, None for where `make setup` put them; `environment` is added to what workers get.
    """

    def __init__(
        self,
        address: str,
        token: str,
        *,
        workers_max: int = RUNS_MAX,
        cache_dir: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if not 1 <= workers_max <= RUNS_MAX:
            raise ValueError(f"workers_max is {workers_max}, allowed is 1..{RUNS_MAX}")
        self.workers_max = workers_max
        self._address = address
        self._token = token
        self._cache_dir = None if cache_dir is None else str(cache_dir)
        self._environment = dict(environment or {})
        self._native = False
        self._slots = trio.CapacityLimiter(workers_max)
        self._connection: Connection | None = None
        self._connected = trio.Event()
        self._workers: set[RemoteWorker] = set()
        self._used_ns = 0
        self._closed = False
        self._nursery: trio.Nursery | None = None
        self._tasks: Any = None

    # The cluster.

    async def __aenter__(self) -> Self:
        """Connect; a ClusterError says why that cannot be."""
        await self._connect()
        self._tasks = trio.open_nursery()
        self._nursery = await self._tasks.__aenter__()
        self._nursery.start_soon(self._stay_connected)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def close(self) -> None:
        """End the bridge, and with it every worker. A run in progress ends in WorkerCrashed."""
        self._closed = True
        if self._connection is not None:
            await self._connection.close()

    async def _connect(self) -> None:
        connection = await Connection.open(self._address, self._token, self._cache_dir)
        connection.on_machines = self._cluster_changed
        self._connection = connection
        self._cluster_changed()
        self._connected.set()

    async def _stay_connected(self) -> None:
        """Serve the connection, and after its end make another."""
        pause_s = PAUSE_S_FIRST
        while True:
            if self._connection is not None:
                await self._connection.serve()
                self._connection, self._connected = None, trio.Event()
                if self._closed:
                    return
                log.warning("the cluster is lost", address=self._address)
            try:
                await self._connect()
                pause_s = PAUSE_S_FIRST
                log.info("the cluster is back", address=self._address)
            except ClusterError as error:
                log.warning("no cluster", reason=str(error), again_in_s=pause_s)
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_S_MAX)

    def _cluster_changed(self) -> None:
        self._slots.total_tokens = self.workers
        room = self.room()
        log.info("cluster", machines=len(self._machines()), cores=room.cores, memory_bytes=room.memory_bytes)

    def _machines(self) -> tuple[Machine, ...]:
        return () if self._connection is None else self._connection.machines

    # What is there.

    @property
    def workers(self) -> int:
        return max(min(self.room().cores // RUN_CORES, self.workers_max), 1)

    def runtime_ids(self) -> dict[str, str]:
        """Those that every machine has alike: Ray chooses the machine. None while the cluster is lost."""
        machines = self._machines()
        if not machines:
            return {}
        shared = set.intersection(*(set(one.runtimes.items()) for one in machines))
        native = {name for machine in machines for name in machine.native}
        ids = {name: known for name, known in shared if name not in native or self._native}
        # In the order of the first machine, which is that of one machine alone.
        return {name: ids[name] for name in machines[0].runtimes if name in ids}

    def modules(self) -> tuple[str, ...]:
        """Those of the native runtimes, as far as every machine has them."""
        machines = self._machines()
        if not self._native or not machines:
            return ()
        return tuple(name for name in machines[0].modules if all(name in one.modules for one in machines))

    def room(self) -> Room:
        machines = self._machines()
        kinds = {one.kind for one in machines}
        return Room(
            kinds.pop() if len(kinds) == 1 else None,
            sum(one.cores for one in machines),
            sum(one.memory_bytes for one in machines),
        )

    def check_room(self, spec: RunSpec) -> None:
        if not any(one.holds(spec.limits.memory_bytes) for one in self._machines()):
            raise NoRoom(no_room(spec.limits.memory_bytes))

    def cpu_used_ns(self) -> int:
        return self._used_ns + sum(worker.used_ns for worker in self._workers)

    async def offer_native(self) -> None:
        self._native = True

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers of runs in progress, each on its own machine: for status and tests."""
        return sorted(worker.pid for worker in self._workers)

    @property
    def bridge_pid(self) -> int | None:
        """The process id of the bridge, for status and tests; None while there is none."""
        return None if self._connection is None else self._connection.pid

    # Runs.

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
        connection = await self._wait_connected()
        known = self.runtime_ids().get(spec.runtime)
        if known is None:
            message = f"no runtime {spec.runtime} on this cluster"
            return ended(runtime_id(spec.runtime), RuntimeUnsupported(), message, reproducible=True)
        self.check_room(spec)
        callbacks = Callbacks(fetch, sign, on_progress, on_log, on_checkpoint)
        async with self._slots:
            worker = await connection.place(spec, self._environment)
            self._workers.add(worker)
            try:
                await _await_ready(worker)
                outcome, _ = await run_within_wall(worker, spec, callbacks, known)
                return outcome
            finally:
                await worker.end()
                self._workers.discard(worker)
                self._used_ns += worker.used_ns

    async def _wait_connected(self) -> Connection:
        if self._closed:
            raise WorkerCrashed("pool is closed")
        with trio.move_on_after(PLACE_TIMEOUT_S):
            await self._connected.wait()
        connection = self._connection
        if connection is None:
            raise WorkerCrashed("has no cluster")
        return connection


async def _await_ready(worker: RemoteWorker) -> None:
    """The worker's first frame, which comes before its wall limit counts."""
    with trio.move_on_after(PLACE_TIMEOUT_S):
        match await worker.receive():
            case ["ready"]:
                worker.count_from_here()
                return
            case frame:
                raise WorkerCrashed(f"started with {str(frame[0])[:32]!r}")
    raise WorkerCrashed("did not start in time")
