"""What Jobs keeps, and how its records are found and changed. The rules are in the modules beside it.

`JobStore` is the part of the pallet below its calls: slots.py, executions.py and ending.py work on it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

from pallets.agenda import Agenda
from pallets.beacon import Beacon
from pallets.escrow.pallet import Escrow
from pallets.jobs import bounds
from pallets.jobs.errors import ERRORS, JobEnded, JobNotFound
from pallets.jobs.events import EVENTS
from pallets.jobs.fields import Label
from pallets.jobs.queue import JobQueue, LaneRecord
from pallets.jobs.records import (
    LIVE_STATES,
    Execution,
    Job,
    JobState,
    Mark,
    Result,
    ScriptVersion,
    Slot,
    SlotState,
    Terms,
)
from pallets.jobs.report import Succeeded
from pallets.jobs.schedule import opens_ms
from pallets.jobs.types import Blob, BlobInput, Competing, JobSpec, PartsInput
from pallets.processors.pallet import Processors
from pallets.reputation import Reputation
from pallets.system import System
from runtime.pallet import Cost, Pallet
from runtime.records import replace
from runtime.scale import U8, U32, U64, Bounded, Registry
from runtime.state import State
from runtime.storage import BLAKE2, TWOX, Map, Value
from runtime.types import ZERO_HASH, AccountId, Hash

JOB_KIND = 1
SLOT_KIND = 2
SLOT_BITS = 6
"""The agenda's id of a slot is job · 64 + slot."""
REASONS_MAX = 64
KEYS_PER_SLOT = 10 + bounds.LIVE_PER_SLOT_MAX
"""Slot, lease, bond, balance, holds, checkpoints, reputation, agenda; and each live execution."""
WHOLE_JOB = Cost(reads=8 * bounds.SLOTS_MAX, writes=KEYS_PER_SLOT * bounds.SLOTS_MAX)
"""The worst case of nearly every call: what is due may end the job, with all its slots, leases and bonds."""

LaneKey = tuple[bytes, str]
"""(owner, name)"""
Placer = Callable[[int, int, bytes, int, bool], None]
"""placer(job, slot, processor, start delay, whether sortition is skipped)"""


@dataclass(frozen=True, slots=True)
class JobParameters:
    """`assign_slots`: how long an acknowledged slot waits for the others; `retention_slots`: how long ends are kept.

    `open_jobs_max`: jobs that wait for processors on the whole chain, beyond which new ones are refused.
    """

    assign_slots: U64 = 60
    retention_slots: U64 = 1_296_000
    open_jobs_max: U64 = 20_000


class JobStore(Pallet):
    """Storage of Jobs and the pallets it uses."""

    name, index = "Jobs", 22
    events = EVENTS
    errors = ERRORS

    def __init__(
        self,
        state: State,
        registry: Registry,
        system: System,
        agenda: Agenda,
        beacon: Beacon,
        processors: Processors,
        escrow: Escrow,
        reputation: Reputation,
    ) -> None:
        super().__init__(state, registry)
        self.system, self.agenda, self.beacon, self.processors = system, agenda, beacon, processors
        self.escrow, self.reputation = escrow, reputation
        self.on_offer: list[Callable[[int, int, Slot], None]] = []
        self.on_end: list[Callable[[int], None]] = []
        """What pallets that know of Jobs do when a slot is offered and when a job has ended."""
        self.on_over: list[Callable[[int, int], None]] = []
        """Told (job, execution) whenever an execution of a slot is over; must not change what Jobs keeps."""
        self.on_report: list[Callable[[int, int, int, Terms, Succeeded], None]] = []
        """Told (job, execution, slot, terms, outcome) of a result that waits for its judgment."""
        slot_keys = ((U64, TWOX), (U8, TWOX))
        execution_keys = (*slot_keys, (U32, TWOX))
        self.parameters: Value[JobParameters] = self.value(
            "Parameters", JobParameters, JobParameters(), "Set by the chain spec."
        )
        self.next_job: Value[int] = self.value("NextJob", U64, 0, "The id of the next job.")
        self.jobs: Map[int, Job] = self.map("Jobs", U64, Job, None, "Jobs, live and ended.", hasher=TWOX)
        self.specs: Map[int, JobSpec] = self.map(
            "Specs", U64, JobSpec, None, "What was registered.", hasher=TWOX, remembered=True
        )
        self.slots: Map[tuple[int, int], Slot] = self.maps(
            "Slots", slot_keys, Slot, None, "A job's slot; absent until its first offer."
        )
        self.executions: Map[tuple[int, int, int], Execution] = self.maps(
            "Executions", execution_keys, Execution, None, "By job, slot, execution: the live ones and the last 16."
        )
        self.results: Map[tuple[int, int, int], Result] = self.maps(
            "Results", execution_keys, Result, None, "Accepted outputs, kept as long as their execution."
        )
        self.job_by_hash: Map[bytes, int] = self.map("JobByHash", Hash, U64, None, "A job's id by its hash.")
        self.sequences: Map[bytes, int] = self.map("OwnerSequence", AccountId, U64, 0, "Jobs an owner registered.")
        self.owner_live: Map[bytes, int] = self.map("OwnerLive", AccountId, U32, 0, "An owner's live jobs.")
        self.scripts: Map[int, tuple[ScriptVersion, ...]] = self.map(
            "Scripts",
            U64,
            Annotated[tuple[ScriptVersion, ...], Bounded(bounds.SCRIPT_VERSIONS_MAX)],
            (),
            "What the editor put in the script's place, ascending by first execution.",
            hasher=TWOX,
        )
        self.checkpoints: Map[tuple[int, int, int], Blob] = self.maps(
            "Checkpoints", execution_keys, Blob, None, "The latest state of a live execution, for its next attempt."
        )
        self.queue = JobQueue(self)
        self.lanes: Map[LaneKey, LaneRecord] = self.maps(
            "Lanes", ((AccountId, BLAKE2), (Label, BLAKE2)), LaneRecord, LaneRecord(), "Lanes with live jobs."
        )
        self.placer: Placer = _nobody
        """Matching's: offers a slot to a processor that the owner names, or raises why not."""
        self.marks: Map[int, tuple[Mark, ...]] = self.map(
            "Marks",
            U64,
            Annotated[tuple[Mark, ...], Bounded(bounds.MARKS_PER_JOB_MAX)],
            (),
            "Managers who failed a job.",
            hasher=TWOX,
        )
        self.rejections: Map[int, tuple[int, ...]] = self.map(
            "Rejections",
            U64,
            Annotated[tuple[U32, ...], Bounded(REASONS_MAX)],
            (),
            "How often a processor was turned down for a job, by reason.",
            hasher=TWOX,
        )

    # Finding.

    def job(self, id: int) -> Job:
        """Raises JobNotFound."""
        job = self.jobs.find(id)
        if job is None:
            raise JobNotFound
        return job

    def live_job(self, id: int) -> Job:
        """Raises JobNotFound, JobEnded."""
        job = self.job(id)
        if job.state not in LIVE_STATES:
            raise JobEnded
        return job

    def spec_for(self, id: int, execution: int) -> JobSpec:
        """An existing job's specification as it holds for one execution: with its script and its part of the input."""
        spec = self.specs.get(id)
        for version in self.scripts.get(id):
            if version.first <= execution:
                spec = replace(spec, script=version.script)
        if isinstance(spec.input, PartsInput):
            spec = replace(spec, input=BlobInput(spec.input.parts[execution]))
        return spec

    def is_live(self, id: int) -> bool:
        """Whether the job exists and has not ended."""
        job = self.jobs.find(id)
        return job is not None and job.state in LIVE_STATES

    def slot(self, id: int, number: int) -> Slot:
        """A slot of an existing job; one that was never offered is vacant since registration."""
        return self.slots.find((id, number)) or new_slot(self.jobs.get(id))

    def slots_of(self, id: int) -> Iterator[tuple[int, Slot]]:
        """All slots of an existing job, by number."""
        for number in range(self.jobs.get(id).slots):
            yield number, self.slot(id, number)

    def change_job(self, id: int, **changes: object) -> Job:
        """Put a job with some fields changed."""
        job: Job = replace(self.jobs.get(id), **changes)  # type: ignore[arg-type]  # the fields' own types
        self.jobs.put(id, job)
        return job

    def put_slot(self, id: int, number: int, slot: Slot) -> None:
        """Put a slot; the job's counters and the list of open jobs follow its state."""
        before = self.slot(id, number).state
        self.slots.put((id, number), slot)
        if before is slot.state:
            return
        job = self.jobs.get(id)
        counts = {
            SlotState.VACANT: job.vacant,
            SlotState.OFFERED: 0,
            SlotState.ACKNOWLEDGED: job.acknowledged,
            SlotState.CLOSED: job.closed_slots,
        }
        counts[before] -= 1
        counts[slot.state] += 1
        self.change_job(
            id,
            vacant=counts[SlotState.VACANT],
            acknowledged=counts[SlotState.ACKNOWLEDGED],
            closed_slots=counts[SlotState.CLOSED],
        )
        self.relist(id)

    # The queue of jobs with a vacant slot.

    def relist(self, id: int) -> None:
        """Have the job in the queue if it wants a processor, and only then."""
        self.list_open(id, wanted=wants_processors(self.jobs.get(id)) and self._is_time(id))

    def _is_time(self, id: int) -> bool:
        """Whether an execution of a vacant slot may be matched now: where they are competed for, shortly before it."""
        spec, now_ms = self.specs.get(id), self.system.now_ms
        return not isinstance(spec.assignment, Competing) or any(
            slot.state is SlotState.VACANT and opens_ms(spec, min((*slot.live, slot.next))) <= now_ms
            for _, slot in self.slots_of(id)
        )

    def list_open(self, id: int, *, wanted: bool) -> None:
        """Have the job in the queue, or not."""
        if wanted == (id in self.queue):
            return
        if wanted:
            self.queue.enter(id, self.specs.get(id).queue.priority, self.agenda.now())
        else:
            self.queue.leave(id)

    # What a job remembers of managers.

    def mark(self, id: int, manager: bytes, *, failures: int = 0, exclude: bool = False) -> None:
        """Note a manager's lost executions, or that it is excluded. The oldest mark gives way beyond 64."""
        marks = self.marks.get(id)
        before = next((mark for mark in marks if mark.manager == manager), Mark(manager, 0, excluded=False))
        after = Mark(manager, min(before.failures + failures, 255), before.excluded or exclude)
        others = tuple(mark for mark in marks if mark.manager != manager)
        self.marks.put(id, (*others, after)[-bounds.MARKS_PER_JOB_MAX :])

    def mark_of(self, id: int, manager: bytes) -> Mark:
        """What the job remembers of a manager."""
        found = (mark for mark in self.marks.get(id) if mark.manager == manager)
        return next(found, Mark(manager, 0, excluded=False))

    def agenda_id(self, id: int, slot: int) -> int:
        """The agenda's id of a slot."""
        return id << SLOT_BITS | slot


def _nobody(_job: int, _slot: int, _processor: bytes, _start_delay_ms: int, _named: bool) -> None:
    raise AssertionError("no pallet matches processors")


def wants_processors(job: Job) -> bool:
    """Whether slots of the job may be matched now."""
    live = job.state in LIVE_STATES and job.state is not JobState.WAITING
    return live and job.vacant > 0 and job.paused_at is None


def new_slot(job: Job) -> Slot:
    """A slot that was never offered."""
    return Slot(
        state=SlotState.CLOSED if job.closing is not None or job.state not in LIVE_STATES else SlotState.VACANT,
        generation=0,
        processor=None,
        manager=None,
        matcher=None,
        ask=0,
        drawn=False,
        start_delay_ms=0,
        deadline=0,
        vacant_at=job.registered_at,
        vacant_block=job.registered_block,
        key=None,
        sealed=False,
        first=0,
        next=0,
        live=(),
        awaiting=0,
        kept=(),
        ended=0,
        results_hash=ZERO_HASH,
        wake=0,
    )
