"""Whole lives of jobs in block import, measured against raw libsodium verification in the same run.

A life is five signed transactions - register, propose, acknowledge, started, report - and what the chain does of
itself: sortition, the window in which proposals compete, deadlines, payment, reputation and the refund. Jobs are
public, with one slot and a reward, in the mode Trusted. Blocks are made apart; only their import is measured.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from node.benchmark_chain import FIRST_SLOT, SLOT_MS, BenchmarkChain, Signer, raw_verify_seconds
from node.collecting import collect_seldom
from pallets.balances import UNIT
from pallets.jobs import destinations, types
from pallets.jobs.bounds import CID_PREFIX
from pallets.jobs.records import ExecutionState, JobSucceeded, SlotState
from pallets.jobs.report import InlineOutput, Succeeded
from pallets.matching.eligibility import Candidate
from pallets.matching.types import Placement
from pallets.processors.calendar import Capacity
from pallets.processors.types import FREE, Advert
from runtime.executive import Executive
from runtime.extrinsic import ExtrinsicCache
from runtime.hashing import blake2b256
from runtime.heddle import Heddle

TRANSACTIONS_PER_LIFE = 5
START_AFTER_SLOTS = 16
"""From registration to the first start: room for the draw, the window and the acknowledgments."""
BLOCKS_PER_BATCH_MAX = 64
STAKE = 1_000 * UNIT
ADVERT = Advert(
    runtimes=(types.RuntimeKind.WASM,),
    capacity=Capacity(memory_bytes=64 << 30, storage_bytes=1 << 40, cores=64),
    requests_max=100,
    modules=(),
    labels=(),
    architecture=types.Architecture.X86_64,
    accelerators=(),
    fetch=True,
    storage=True,
    sign=True,
    benchmark=10**6,
    pricing=replace(FREE, base=UNIT),
    consumers=(),
    start_delay_min_ms=0,
)


@dataclass(frozen=True, slots=True)
class JobsFigures:
    """Rates are per second on one core. A batch is `jobs` whole lives; of several batches the median counts."""

    jobs: int
    accounts: int
    processors: int
    batches: int
    blocks_per_batch: int
    raw_verify_per_second: float
    lifecycles_per_second: float

    @property
    def lifecycles_per_raw_verify(self) -> float:
        """Whole lives in import with verification, relative to verification alone."""
        return self.lifecycles_per_second / self.raw_verify_per_second


class JobsWorkload:
    """A chain with consumers and processors, and the blocks of whole batches of jobs."""

    def __init__(self, folder: Path, jobs: int, processors: int, accounts: int) -> None:
        self.jobs = jobs
        self.consumers = [Signer(blake2b256(b"consumer %d" % n)) for n in range(jobs)]
        self.processors = [Signer(blake2b256(b"processor %d" % n)) for n in range(processors)]
        self.matcher = Signer(blake2b256(b"matcher"))
        self.by_account = {signer.public: signer for signer in self.processors}
        self.random = random.Random(1)  # noqa: S311 - a repeatable workload, no secret
        parties = [signer.public for signer in (*self.consumers, *self.processors, self.matcher)]
        others = [self.random.randbytes(32) for _ in range(max(accounts - len(parties), 0))]
        genesis: dict[str, dict[str, Any]] = {
            "balances": {"balances": [[who, 1_000_000 * UNIT] for who in (*parties, *others)]},
            "matching": {"advertAgeSlotsMin": 0},
        }
        self.chain = BenchmarkChain(folder, self.matcher.public, genesis)

    def advertise(self, executive: Executive) -> None:
        """The processors register, bond the stake that the lottery weighs, and advertise."""
        chain = self.chain
        calls: list[tuple[str, tuple[Any, ...]]] = [("register", (1,)), ("stake", (STAKE,)), ("advertise", (ADVERT,))]
        for name, arguments in calls:
            raws = [chain.signed(signer, "Processors", name, *arguments) for signer in self.processors]
            chain.import_block(chain.make_block(raws), executive)

    def batch(self) -> Iterator[list[bytes]]:
        """The transactions of each block until all jobs of a batch have ended; the caller imports block by block."""
        chain = self.chain
        first = chain.look().jobs.next_job.get()
        start_ms = (FIRST_SLOT + chain.head.number + 1 + START_AFTER_SLOTS) * SLOT_MS
        yield [chain.signed(who, "Jobs", "register", job_spec(start_ms, who.public)) for who in self.consumers]
        live = list(range(first, first + self.jobs))
        for _ in range(BLOCKS_PER_BATCH_MAX):
            runtime = chain.look()
            live = [job for job in live if runtime.jobs.is_live(job)]
            if not live:
                ends = {runtime.jobs.jobs.get(job).end for job in range(first, first + self.jobs)}
                assert ends == {JobSucceeded()}, f"every job of the workload succeeds: {ends}"
                return
            yield [raw for job in live if (raw := self._next_step(runtime, job)) is not None]
        raise AssertionError(f"{len(live)} jobs have not ended after {BLOCKS_PER_BATCH_MAX} blocks")

    def _next_step(self, runtime: Heddle, job: int) -> bytes | None:
        """The transaction that takes a job on from the present state; None if it has to wait."""
        slot = runtime.jobs.slot(job, 0)
        if slot.processor is None:
            return None if runtime.matching.windows.contains((job, 0)) else self._proposal(runtime, job)
        signer = self.by_account[slot.processor]
        if slot.state is SlotState.OFFERED:
            return self.chain.signed(signer, "Jobs", "acknowledge", job, 0, slot.generation, None)
        record = runtime.jobs.executions.find((job, 0, 0))
        if record is None or record.due_ms > runtime.system.now_ms + SLOT_MS:
            return None
        place = (job, 0, 0, slot.generation, record.attempt)
        if record.state is ExecutionState.SCHEDULED:
            return self.chain.signed(signer, "Jobs", "started", *place)
        return self.chain.signed(signer, "Jobs", "report", *place, result_of(job))

    def _proposal(self, runtime: Heddle, job: int) -> bytes | None:
        """A proposal of a processor that the lottery allows, once it is drawn."""
        matching = runtime.matching
        parameters, seat = matching.parameters.get(), matching.eligibility.seat(job, 0)
        for signer in self.random.sample(self.processors, len(self.processors)):
            judged = matching.eligibility.judge(parameters, seat, signer.public, 0, self.matcher.public)
            if isinstance(judged, Candidate):
                placements = (Placement(0, signer.public, 0),)
                return self.chain.signed(self.matcher, "Matching", "propose", job, placements)
        return None


def job_spec(start_ms: int, input_bytes: bytes) -> types.JobSpec:
    """A public job with one slot and one execution. No two jobs of a batch are the same."""
    return types.JobSpec(
        script=types.Blob(CID_PREFIX + blake2b256(b"script"), 10_000),
        runtime=types.RuntimeKind.WASM,
        entrypoint="main",
        input=types.InlineInput(input_bytes),
        processors=types.Public(0, attested_only=False),
        assignment=types.Single(),
        schedule=types.Schedule(start_ms, start_ms + 1, 60_000, 10_000, 60_000),
        resources=types.Resources(1 << 26, 1 << 20, 0, 10**9, 4_096),
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


def result_of(job: int) -> Succeeded:
    """What a processor reports."""
    output = job.to_bytes(64, "little")
    return Succeeded(blake2b256(output), InlineOutput(output), 10**6, ())


def measure_jobs(
    batches: int = 3,
    jobs: int = 200,
    accounts: int = 100_000,
    processors: int = 100,
    progress: Callable[[str], None] = lambda _: None,
) -> JobsFigures:
    """Measure batches of whole lives, and beside each block raw verification of as many signatures as it has."""
    raw, lives, blocks = [], [], 0
    signatures = jobs * TRANSACTIONS_PER_LIFE
    with tempfile.TemporaryDirectory(prefix="heddle-bench-") as folder:
        progress(f"building a state of {accounts} accounts and {processors} processors")
        workload = JobsWorkload(Path(folder), jobs, processors, accounts)
        chain = workload.chain
        importing = chain.new_executive(ExtrinsicCache())
        workload.advertise(importing)
        collect_seldom()
        for number in range(batches):
            progress(f"batch {number + 1} of {batches}: {jobs} jobs from registration to settlement")
            verifying, taken, blocks = 0.0, 0.0, 0
            for transactions in workload.batch():
                block = chain.make_block(transactions)
                # As many signatures, at the same moment: on a busy machine both are slowed alike.
                verifying += raw_verify_seconds(len(transactions))
                taken += chain.import_block(block, importing)
                blocks += 1
            raw.append(verifying)
            lives.append(taken)
        chain.store.close()
    raw_rate, lives_rate = signatures / sorted(raw)[batches // 2], jobs / sorted(lives)[batches // 2]
    return JobsFigures(jobs, accounts, processors, batches, blocks, raw_rate, lives_rate)
