"""One processor at work on a lab's chain: real parts, runs that end when the test says, webhooks that are noted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from node.blobs import Blobs, BlobStore
from node.keys.pair import Pair, from_uri
from node.processor.destinations.sender import DestinationFailed
from node.processor.executor import Executor
from node.processor.journal import Journal
from node.processor.matcher import Matcher
from node.processor.runtimes.outcome import Outcome, Status
from node.processor.runtimes.pool import RuntimePool
from node.processor.runtimes.port import Fetch, OnBytes, OnProgress, OnText, Sign
from node.processor.runtimes.spec import RunSpec, check_spec
from node.processor.submitter import Submitter
from node.processor.vault import Vault
from node.processor.watcher import Watcher
from pallets.jobs import destinations, types
from pallets.processors.calendar import Capacity
from pallets.processors.types import FREE, Advert
from runtime.hashing import blake2b256
from tests.helpers.chain_lab import BOB, UNIT, Lab
from tests.sim.disk import MemoryDatabase
from tests.sim.network import Switchboard

PAIR = from_uri("//Alice//processor")
OWNER = BOB
SCRIPT = b"a script"
ADVERT = Advert(
    runtimes=(types.RuntimeKind.WASM, types.RuntimeKind.PYTHON),
    capacity=Capacity(memory_bytes=64 << 30, storage_bytes=64 << 30, cores=8),
    requests_max=16,
    modules=(),
    labels=(),
    architecture=None,
    accelerators=(),
    fetch=True,
    storage=True,
    sign=False,
    benchmark=10**6,
    pricing=replace(FREE, base=UNIT),
    consumers=(),
    start_delay_min_ms=0,
)
BLOCKS_MAX = 40


class GatedPool(RuntimePool):
    """Runs wait at a gate. Each one's output has a number of its own, so that a repeated run would be seen.

    With an `output` every run gives that, as deterministic runs do.
    """

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.gate = trio.Event()
        self.started: list[RunSpec] = []
        self.ended = 0
        self.percent: int | None = None
        """How far each script says that it is, when it starts."""
        self.output: bytes | None = None
        self.states: list[bytes] = []
        """What each script saves, when it starts."""
        self.accidents = 0
        """So many runs break off in a way that nobody foresaw."""

    def runtime_ids(self) -> dict[str, str]:
        return {"wasm": "gated/1"}

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
        self.started.append(spec)
        if self.accidents:
            self.accidents -= 1
            raise RuntimeError("what nobody foresaw")
        output = self.output or b"run %d" % len(self.started)
        if self.percent is not None and on_progress is not None:
            on_progress(self.percent, "")
        for state in self.states:
            if on_checkpoint is not None:
                on_checkpoint(state)
        await self.gate.wait()
        self.ended += 1
        tape_hash = blake2b256(b"")
        return Outcome("gated/1", Status.SUCCEEDED, output, None, "", 1_000, 4_096, 0, b"", tape_hash, "", True)


class Colleague:
    """One more processor on a lab's chain, with a disk of its own. Its runs end at once, all with one output."""

    def __init__(self, lab: ProcessorLab, name: str, output: bytes, *, challenge_ppm: int = 0) -> None:
        self.lab = lab
        self.pair = from_uri(f"//{name}//processor")
        self.disk = MemoryDatabase()
        self.output = output
        self.challenge_ppm = challenge_ppm
        self.awake = True
        """Whether it looks at the chain."""
        self.deliveries: list[tuple[str, str, str]] = []
        self.refusals = 0
        self.start_again()

    def start_again(self) -> None:
        """A new process on the same disk."""
        self.submitter = Submitter(self.lab.chain, self.lab.transactions, self.pair)
        self.runs = GatedPool(2)
        self.runs.output = self.output
        self.runs.gate.set()
        self.executor = Executor(self.lab.blobs, self.runs, None, 2)
        self.journal = Journal(self.disk)
        self.watcher = Watcher(
            *(self.lab.chain, self.submitter, self.executor, self.journal),
            *(lambda: ADVERT, self._deliver),
            vault=Vault(self.disk, self.pair.secret),
            challenge_ppm=self.challenge_ppm,
        )

    async def _deliver(self, url: str, identity: str, payload: str) -> bytes:
        self.deliveries.append((url, identity, payload))
        if self.refusals:
            self.refusals -= 1
            raise DestinationFailed("HTTP 400")
        return blake2b256(identity.encode())


class ProcessorLab(Lab):
    """A lab with a processor. `deliveries` are (url, idempotency key, payload) in order; `refusals` that many fail."""

    def __init__(self, folder: Path, workers: int = 2, pair: Pair = PAIR) -> None:
        super().__init__(folder)
        self.pair = pair
        self.workers = workers
        self.disk = MemoryDatabase()
        self.blobs = Blobs(BlobStore(folder / "blobs"), Switchboard(0).join("lab"))
        self.script = types.Blob(self.blobs.store.put(SCRIPT), len(SCRIPT))
        self.deliveries: list[tuple[str, str, str]] = []
        self.refusals = 0
        self.colleagues: list[Colleague] = []
        self.awake = True
        """Whether the lab's own processor looks at the chain."""
        self.start_again()

    def start_again(self) -> None:
        """A new process on the same disk: only the journal, the blobs and the chain are as they were."""
        self.submitter = Submitter(self.chain, self.transactions, self.pair)
        self.runs = GatedPool(self.workers)
        self.executor = Executor(self.blobs, self.runs, None, self.workers)
        self.jobs_journal = Journal(self.disk)
        self.vault = Vault(self.disk, self.pair.secret)
        self.watcher = Watcher(
            *(self.chain, self.submitter, self.executor, self.jobs_journal, lambda: ADVERT, self._deliver),
            vault=self.vault,
        )
        self.matcher = Matcher(self.chain, self.submitter)

    async def _deliver(self, url: str, identity: str, payload: str) -> bytes:
        self.deliveries.append((url, identity, payload))
        if self.refusals:
            self.refusals -= 1
            raise DestinationFailed("HTTP 400")
        return blake2b256(identity.encode())

    # Jobs.

    def spec(self, **fields: Any) -> types.JobSpec:
        """A job for now, on one public processor. Any field may be given by its name."""
        now_ms = self.clock.time_ms
        spec = types.JobSpec(
            script=self.script,
            runtime=types.RuntimeKind.WASM,
            entrypoint="",
            input=types.NoInput(),
            processors=types.Public(0, attested_only=False),
            assignment=types.Single(),
            schedule=types.Schedule(now_ms, now_ms + 1, 600_000, 60_000, 300_000),
            resources=types.Resources(64 << 20, 0, 0, 1_000_000, 1 << 16),
            requirements=types.Requirements(),
            slots=1,
            reward=2 * UNIT,
            destinations=(destinations.Chain(),),
            gas_per_delivery=0,
            verification=types.Trusted(),
            stake_multiple=0,
            accepted_min=None,
            retry=types.RETRY_DEFAULT,
            timeouts=types.TIMEOUTS_DEFAULT,
            queue=types.Queue(),
            environment=None,
            capabilities=types.NO_CAPABILITIES,
            mutability=types.Immutable(),
            fallback=None,
        )
        return replace(spec, **fields)

    def register(self, spec: types.JobSpec) -> None:
        """Put a registration into the pool."""
        nonce = self.pool.next_nonce(OWNER.public)
        self.submit(self.sign(self.call("Jobs", "register", spec), nonce, OWNER))

    # Time.

    @asynccontextmanager
    async def working(self) -> AsyncIterator[trio.Nursery]:
        """The watcher's tasks live until the end of the block, which is their crash."""
        async with trio.open_nursery() as nursery:
            yield nursery
            nursery.cancel_scope.cancel()

    async def block(self, nursery: trio.Nursery, *, final: bool = True) -> None:
        """One block with what is in the pool, then one look of the watcher, until nothing more happens by itself."""
        await self.author_block()
        if final:
            self.finalise()
        await self.look_around(nursery)

    async def look_around(self, nursery: trio.Nursery) -> None:
        """One step of the watcher, and all that follows from it."""
        if self.awake:
            self.watcher.step(nursery)
        for colleague in self.colleagues:
            if colleague.awake:
                colleague.watcher.step(nursery)
        await wait_all_tasks_blocked()

    async def blocks_until(self, nursery: trio.Nursery, condition: Any, *, final: bool = True) -> None:
        """Blocks until `condition()` holds; AssertionError after BLOCKS_MAX."""
        for _ in range(BLOCKS_MAX):
            if condition():
                return
            await self.block(nursery, final=final)
        raise AssertionError(f"not within {BLOCKS_MAX} blocks; sent so far: {self.sent()}")

    # Looking.

    def sent(self) -> list[str]:
        """The processor's calls in the pool."""
        own = [entry.extrinsic for entry in self.pool.entries.values() if entry.extrinsic.signer == self.pair.public]
        return [f"{one.call.definition.pallet}.{one.call.definition.name}" for one in own]

    def advertised(self) -> bool:
        """Whether the best block lists the processor with an advert."""
        return bool(self.look().processors.adverts.contains(self.pair.public))

    def execution(self, job: int = 0) -> Any:
        """Execution 0 on slot 0 of a job, or None."""
        return self.look().jobs.executions.find((job, 0, 0))

    def state(self, job: int = 0) -> Any:
        """A job's state."""
        return self.look().jobs.job(job).state
