"""What the chain stores of a job, of each of its slots and of each execution.

"A" is the active clock of spec/chain.md's agenda: it stands still while no blocks are made, so that an outage of the
chain expires no lease. Deadlines are in A, schedules in milliseconds.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from pallets.jobs import bounds
from pallets.jobs.failure import Failure
from pallets.jobs.report import Delivery, Output
from pallets.jobs.types import Blob, RuntimeKind
from runtime.scale import U8, U32, U64, U128, Bounded, Fixed, SumType, variant
from runtime.types import AccountId, Hash


class JobState(Enum):
    """DESIGN §7. Done, Cancelled, Expired, Skipped and Omitted absorb."""

    WAITING = 0
    OPEN = 1
    MATCHED = 2
    ASSIGNED = 3
    DONE = 4
    CANCELLED = 5
    EXPIRED = 6
    SKIPPED = 7
    OMITTED = 8


LIVE_STATES = (JobState.WAITING, JobState.OPEN, JobState.MATCHED, JobState.ASSIGNED)


class Expiry(Enum):
    """Which time-out ended a job."""

    QUEUE = 0
    FIRST_START = 1
    TOTAL = 2


class JobEnd(SumType):
    """How a job ended."""

    __slots__ = ()


@variant(0)
@dataclass(frozen=True, slots=True)
class JobSucceeded(JobEnd):
    """Enough results were accepted."""


@variant(1)
@dataclass(frozen=True, slots=True)
class JobFailed(JobEnd):
    """Too few results were accepted; `reason` is the last failure."""

    reason: Failure


@variant(2)
@dataclass(frozen=True, slots=True)
class JobCancelled(JobEnd):
    """The owner cancelled it."""


@variant(3)
@dataclass(frozen=True, slots=True)
class JobExpired(JobEnd):
    """A time-out of the whole job passed."""

    expiry: Expiry


class SlotState(Enum):
    """A slot is a place for one processor, for all executions."""

    VACANT = 0
    OFFERED = 1
    ACKNOWLEDGED = 2
    CLOSED = 3


class ExecutionState(Enum):
    """DESIGN §7. Committed, Reported and Disputed await a judgment; the states after Reported up to Skipped absorb."""

    SCHEDULED = 0
    RUNNING = 1
    SUSPECT = 2
    COMMITTED = 3
    REPORTED = 4
    ACCEPTED = 5
    REJECTED = 6
    FAILED = 7
    LOST = 8
    TIMED_OUT = 9
    CANCELLED = 10
    SKIPPED = 11
    DISPUTED = 12


@dataclass(frozen=True, slots=True)
class Job:
    """A job's changing part. The specification is stored once, beside it.

    `id_hash` names the job on every fork: H(genesis ‖ owner ‖ sequence ‖ H(spec)). `executions` is per slot.
    `vacant`, `acknowledged` and `closed_slots` count slots; `closed`, `accepted` and `skipped` (execution, slot) pairs.
    `wake` is the chain slot at which the agenda looks at the job. `_at` fields and deadlines are in A. `seed` is drawn
    from the beacon when the job is assigned, after every promise was signed: it feeds the chance that scripts see.
    `fell_back`: its last execution is that of its fallback.
    `paused_at` is set while the job is paused. Until `leave_until_ms` processors may resign freely, because the owner
    changed what they had promised.
    `awaiting` counts results that are not judged yet; `closing` is the end that waits for them.
    """

    id_hash: Hash
    owner: AccountId
    sequence: U64
    spec_hash: Hash
    state: JobState
    end: JobEnd | None
    runtime: RuntimeKind
    slots: U8
    executions: U32
    reward: U128
    registered_slot: U64
    registered_block: U32
    registered_at: U64
    ended_slot: U64
    queue_deadline: U64
    total_deadline: U64
    vacant: U8
    acknowledged: U8
    closed_slots: U8
    closed: U32
    accepted: U32
    skipped: U32
    inputs_unavailable: U8
    last_failure: Failure | None
    wake: U64
    seed: Hash
    fell_back: bool
    paused_at: U64 | None
    leave_until_ms: U64
    awaiting: U32
    closing: JobEnd | None


@dataclass(frozen=True, slots=True)
class Slot:
    """One of a job's slots. `generation` rises with each vacation and fences every call of a processor.

    `ask` is the agreed price per execution; `drawn` tells that sortition was part of the match, so that its results
    count for reputation. `deadline` (A): an offer lapses then; an acknowledged slot may be left freely from then on,
    as long as the job is not assigned. `vacant_at` (A) and `vacant_block` say since when it waits. `key` (X25519) came
    with the acknowledgment: the job's secrets are sealed to it. `sealed`: they are there, for this generation.

    `first` is the execution from which on its processor has the slot; where executions are competed for, the only one.
    `next` is the first execution that has not come up yet, `live` those that have and are to be run, `awaiting` how
    many were run and are not judged yet, `ended` how many are over, `kept` the latest of them, whose records are still
    there. `results_hash` chains every one that is over:
    H(previous ‖ u32 execution ‖ record).
    """

    state: SlotState
    generation: U32
    processor: AccountId | None
    manager: AccountId | None
    matcher: AccountId | None
    ask: U128
    drawn: bool
    start_delay_ms: U64
    deadline: U64
    vacant_at: U64
    vacant_block: U32
    key: Annotated[bytes, Fixed(32)] | None
    sealed: bool
    first: U32
    next: U32
    live: Annotated[tuple[U32, ...], Bounded(bounds.LIVE_PER_SLOT_MAX)]
    awaiting: U32
    kept: Annotated[tuple[U32, ...], Bounded(bounds.RECORDS_PER_SLOT_MAX)]
    ended: U32
    results_hash: Hash
    wake: U64


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of one slot: its present attempt, then how it ended.

    `attempt` counts from 1 and fences reports. `due_ms` is when it may start, `deadline` (A) when it must have
    started (Scheduled) or reported (Running). `processor` runs it, under this generation of the slot. `heartbeat_at`
    (A) is its last sign of life.
    """

    state: ExecutionState
    attempt: U8
    attempts_left: U8
    lost_left: U8
    due_ms: U64
    deadline: U64
    processor: AccountId | None
    generation: U32
    started_ms: U64
    heartbeat_at: U64
    failure: Failure | None
    digest: Hash | None
    fuel: U64
    paid: U128
    ended_slot: U64


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms an attempt was made. They outlive its lease, for the judgment of its result."""

    processor: AccountId
    manager: AccountId
    matcher: AccountId | None
    ask: U128
    drawn: bool
    generation: U32
    attempt: U8


@dataclass(frozen=True, slots=True)
class ScriptVersion:
    """The script of all executions from `first` on, until the next version's."""

    first: U32
    script: Blob


@dataclass(frozen=True, slots=True)
class Result:
    """The accepted output of one execution of one slot."""

    output: Output
    deliveries: Annotated[tuple[Delivery, ...], Bounded(bounds.DESTINATIONS_MAX)]


@dataclass(frozen=True, slots=True)
class Mark:
    """What a job remembers of a manager: lost executions, and whether it is excluded from the job."""

    manager: AccountId
    failures: U8
    excluded: bool
