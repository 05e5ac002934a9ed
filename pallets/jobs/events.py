"""What happens to jobs: one event per transition, so that a watcher can follow a job by events alone."""

from dataclasses import dataclass
from typing import Annotated

from pallets.jobs.failure import Failure
from pallets.jobs.records import JobEnd
from pallets.jobs.types import Blob
from runtime.pallet import Event
from runtime.scale import U8, U16, U32, U64, U128, Fixed
from runtime.types import AccountId, Hash


@dataclass(slots=True)
class JobRegistered(Event):
    """A job is open for processors."""

    job: U64
    owner: AccountId
    id_hash: Hash


@dataclass(slots=True)
class SlotOffered(Event):
    """A slot was offered to a processor, which has to acknowledge or decline."""

    job: U64
    slot: U8
    generation: U32
    processor: AccountId
    ask: U128


@dataclass(slots=True)
class JobMatched(Event):
    """Every slot of a job has an offer."""

    job: U64


@dataclass(slots=True)
class JobReopened(Event):
    """A slot of a matched job became vacant before all were acknowledged."""

    job: U64


@dataclass(slots=True)
class SlotAcknowledged(Event):
    """A processor promised all executions of its slot; secrets are sealed to `key`."""

    job: U64
    slot: U8
    generation: U32
    processor: AccountId
    key: Annotated[bytes, Fixed(32)] | None


@dataclass(slots=True)
class JobAssigned(Event):
    """Every slot is acknowledged: the job will be executed."""

    job: U64


@dataclass(slots=True)
class SlotVacated(Event):
    """A slot lost its processor and is matched anew; its next generation begins."""

    job: U64
    slot: U8
    generation: U32
    processor: AccountId
    reason: Failure


@dataclass(slots=True)
class SlotResigned(Event):
    """A processor gave its slot back."""

    job: U64
    slot: U8
    generation: U32
    processor: AccountId


@dataclass(slots=True)
class SlotClosed(Event):
    """A slot has no more executions."""

    job: U64
    slot: U8


@dataclass(slots=True)
class ExecutionScheduled(Event):
    """An attempt may start from `due_ms` on."""

    job: U64
    execution: U32
    slot: U8
    attempt: U8
    due_ms: U64


@dataclass(slots=True)
class ExecutionStarted(Event):
    """A processor runs an attempt."""

    job: U64
    execution: U32
    slot: U8
    attempt: U8
    processor: AccountId


@dataclass(slots=True)
class ExecutionProgressed(Event):
    """A sign of life of a run, in thousandths of the work."""

    job: U64
    execution: U32
    slot: U8
    attempt: U8
    permille: U16


@dataclass(slots=True)
class ExecutionSuspected(Event):
    """A run gives no sign of life."""

    job: U64
    execution: U32
    slot: U8
    attempt: U8


@dataclass(slots=True)
class ExecutionReported(Event):
    """A processor reported an output."""

    job: U64
    execution: U32
    slot: U8
    attempt: U8
    digest: Hash


@dataclass(slots=True)
class ExecutionAccepted(Event):
    """A result was accepted and paid."""

    job: U64
    execution: U32
    slot: U8
    attempt: U8
    paid: U128


@dataclass(slots=True)
class AttemptFailed(Event):
    """An attempt ended without a result; `final` tells whether the execution is over with it."""

    job: U64
    execution: U32
    slot: U8
    attempt: U8
    failure: Failure
    message: str
    final: bool


@dataclass(slots=True)
class ExecutionCancelled(Event):
    """An execution ended because its job did; `paid` went to the processor."""

    job: U64
    execution: U32
    slot: U8
    attempt: U8
    paid: U128


@dataclass(slots=True)
class JobDone(Event):
    """A job ended; nothing is held for it any more."""

    job: U64
    outcome: JobEnd


@dataclass(slots=True)
class JobForgotten(Event):
    """The record of an ended job was removed."""

    job: U64


@dataclass(slots=True)
class JobPaused(Event):
    """The owner paused a job."""

    job: U64


@dataclass(slots=True)
class JobResumed(Event):
    """The owner ended a pause."""

    job: U64


@dataclass(slots=True)
class JobToppedUp(Event):
    """The owner added money to a job."""

    job: U64
    amount: U128


@dataclass(slots=True)
class JobExtended(Event):
    """The owner moved the end of a job's schedule; `executions` is the new number per slot."""

    job: U64
    end_ms: U64
    executions: U32


@dataclass(slots=True)
class JobClosing(Event):
    """A job ends as soon as its results are judged; nothing of it runs any more."""

    job: U64
    outcome: JobEnd


@dataclass(slots=True)
class ExecutionCommitted(Event):
    """A processor bound itself to a result without showing it."""

    job: U64
    execution: U32
    slot: U8
    attempt: U8
    commitment: Hash


@dataclass(slots=True)
class ExecutionDisputed(Event):
    """A result is before a jury."""

    job: U64
    execution: U32
    slot: U8
    attempt: U8


@dataclass(slots=True)
class ExecutionRejected(Event):
    """A result was not accepted; `paid` went to the processor all the same."""

    job: U64
    execution: U32
    slot: U8
    attempt: U8
    failure: Failure
    paid: U128


@dataclass(slots=True)
class JobWaiting(Event):
    """A job waits until its lane has a place."""

    job: U64


@dataclass(slots=True)
class JobOpened(Event):
    """A job that waited is open for processors now; `start_ms` is its first start, moved if it had gone by."""

    job: U64
    start_ms: U64


@dataclass(slots=True)
class ScriptEdited(Event):
    """The editor replaced a job's script for its executions from `first` on."""

    job: U64
    first: U32
    script: Blob


@dataclass(slots=True)
class EditorChanged(Event):
    """A job's script has another editor."""

    job: U64
    editor: AccountId


@dataclass(slots=True)
class CheckpointStored(Event):
    """A processor published the state of an attempt, from which the next one may go on."""

    job: U64
    execution: U32
    slot: U8
    attempt: U8
    state: Blob


@dataclass(slots=True)
class JobFellBack(Event):
    """A job that failed runs its fallback instead."""

    job: U64


@dataclass(slots=True)
class JobPreempted(Event):
    """A job took the processor of another one's slot and paid `paid` for what it had done there."""

    job: U64
    victim: U64
    victim_slot: U8
    processor: AccountId
    paid: U128


@dataclass(slots=True)
class ExecutionsSkipped(Event):
    """The starts of `count` executions of a slot, from `first` on, passed while nobody could begin them."""

    job: U64
    slot: U8
    first: U32
    count: U32


EVENTS = (
    JobRegistered,
    SlotOffered,
    JobMatched,
    JobReopened,
    SlotAcknowledged,
    JobAssigned,
    SlotVacated,
    SlotResigned,
    SlotClosed,
    ExecutionScheduled,
    ExecutionStarted,
    ExecutionProgressed,
    ExecutionSuspected,
    ExecutionReported,
    ExecutionAccepted,
    AttemptFailed,
    ExecutionCancelled,
    JobDone,
    JobForgotten,
    JobPaused,
    JobResumed,
    JobToppedUp,
    JobExtended,
    JobClosing,
    ExecutionCommitted,
    ExecutionDisputed,
    ExecutionRejected,
    JobWaiting,
    JobOpened,
    ScriptEdited,
    EditorChanged,
    CheckpointStored,
    JobFellBack,
    JobPreempted,
    ExecutionsSkipped,
)
