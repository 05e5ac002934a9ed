"""Jobs: the calls of consumers and processors.

A job is Open until every slot has an offer (Matched) and every processor has promised all executions (Assigned: all or
nothing). Then its executions come up one by one, run, are reported and settled, until none is left (Done). Deadlines
end what nobody answers for, and every end gives the payer back what was not earned.

Every call first applies what is due for the job and the slot, then checks, then acts. A processor's call names the
slot's generation and the execution's attempt; old ones are refused, so nothing is settled twice.

Invariants (`check_state`): counters equal what they count; the open list holds exactly the live jobs with a vacant
slot; an ended job holds no money, bond or lease; every held slot has its lease and, for a reward, its bond.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pallets.agenda import Agenda
from pallets.beacon import Beacon
from pallets.escrow.pallet import Escrow
from pallets.jobs import bounds, checks, ending, executions, lanes, settling, slots, terms
from pallets.jobs.errors import (
    AgendaOverloaded,
    CheckpointNotAllowed,
    ExecutionNotLive,
    FailureNotReportable,
    KeyMismatch,
    NotAcknowledged,
    NotOffered,
    NotRunning,
    NotScheduled,
    NotTheProcessor,
    OutputTooLarge,
    QueueFull,
    SlotNotFound,
    StaleAttempt,
    StaleGeneration,
    StartTooEarly,
    TooManyOpenJobs,
    UnknownDestination,
    UseCommit,
)
from pallets.jobs.events import (
    CheckpointStored,
    ExecutionProgressed,
    ExecutionReported,
    ExecutionStarted,
    JobRegistered,
    SlotResigned,
)
from pallets.jobs.failure import JOBS_OWN_FAULT, REPORTABLE, Declined, Failure, InputUnavailable, NodeLost
from pallets.jobs.modes import commits, is_compared, is_result
from pallets.jobs.preempting import PreemptCalls
from pallets.jobs.records import (
    Execution,
    ExecutionState,
    Job,
    JobCancelled,
    JobFailed,
    JobState,
    Slot,
    SlotState,
)
from pallets.jobs.report import BlobOutput, Failed, InlineOutput, Outcome, Output, Succeeded
from pallets.jobs.schedule import RUN_GRACE_SLOTS, start_of
from pallets.jobs.store import JOB_KIND, SLOT_KIND, WHOLE_JOB, JobParameters
from pallets.jobs.types import Blob, Competing, JobSpec, Single, Trusted
from pallets.jobs.validate import check_spec, is_blob
from pallets.parameters import parameters_from
from pallets.processors.pallet import Processors
from pallets.reputation import Reputation
from pallets.system import System
from runtime.hashing import blake2b256
from runtime.pallet import Signed, call
from runtime.records import replace
from runtime.scale import U8, U16, U32, U64, Fixed, Registry
from runtime.state import State
from runtime.types import ZERO_HASH
from runtime.weight import cost_ps

NOTICE_SLOTS_MIN = 300
NOTICE_INTERVALS = 2
PERMILLE_MAX = 1_000
WAKE_PS = WHOLE_JOB.weight_ps
REGISTER_PS = cost_ps(reads=16, writes=22, extra_us=100)
NAMED_PS = cost_ps(reads=18, writes=10, extra_us=30)
RUNNING = (ExecutionState.RUNNING, ExecutionState.SUSPECT)


def register_weight(spec: JobSpec) -> int:
    """In picoseconds: named processors get their offers at once; slots that are competed for have their own times."""
    named = len(spec.assignment.instant) if isinstance(spec.assignment, Single) else spec.slots
    return REGISTER_PS + named * NAMED_PS


class Jobs(PreemptCalls):
    """The calls of jobs."""

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
        super().__init__(state, registry, system, agenda, beacon, processors, escrow, reputation)
        agenda.register(JOB_KIND, lambda job, at: slots.wake_job(self, job, at), WAKE_PS)
        agenda.register(SLOT_KIND, lambda slot, at: slots.wake_slot(self, slot, at), WAKE_PS)

    def genesis(self, config: Mapping[str, Any]) -> None:
        """The fields of JobParameters."""
        limits = dict.fromkeys(JobParameters.__slots__, (1, 1 << 32))
        self.parameters.put(parameters_from("jobs", JobParameters(), limits, config))

    # The consumer.

    @call(index=0, weight=register_weight)
    def register(self, origin: Signed, spec: JobSpec) -> None:
        """Register a job and lock its deposit; processors are matched from the next block on."""
        count = check_spec(spec, self.system.now_ms)
        live = self.owner_live.get(origin.who)
        if live >= bounds.OPEN_JOBS_PER_OWNER_MAX:
            raise TooManyOpenJobs
        if self.agenda.overloaded():
            raise AgendaOverloaded
        if self.queue.count.get() >= self.parameters.get().open_jobs_max:
            raise QueueFull
        job_id, sequence = self.next_job.get(), self.sequences.get(origin.who)
        self.escrow.open(job_id, origin.who, terms.deposit(self, spec, count))
        job = self._new_job(origin.who, sequence, spec, blake2b256(self.specs.codec.encode(spec)), count)
        self.jobs.put(job_id, job)
        self.specs.put(job_id, spec)
        self.job_by_hash.put(job.id_hash, job_id)
        self.next_job.put(job_id + 1)
        self.sequences.put(origin.who, sequence + 1)
        self.owner_live.put(origin.who, live + 1)
        self.emit(JobRegistered(job_id, origin.who, job.id_hash))
        lanes.enter(self, job_id)
        self.relist(job_id)
        terms.rearm_job(self, job_id)
        if isinstance(spec.assignment, Competing):
            self._rearm_slots(job_id)
        if isinstance(spec.assignment, Single):
            for number, chosen in enumerate(spec.assignment.instant):
                self.placer(job_id, number, chosen.processor, chosen.start_delay_ms, True)

    def _new_job(self, owner: bytes, sequence: int, spec: JobSpec, spec_hash: bytes, count: int) -> Job:
        return Job(
            id_hash=job_hash(self.system.genesis_hash, owner, sequence, spec_hash),
            owner=owner,
            sequence=sequence,
            spec_hash=spec_hash,
            state=JobState.OPEN,
            end=None,
            runtime=spec.runtime,
            slots=spec.slots,
            executions=count,
            reward=spec.reward,
            registered_slot=self.system.slot,
            registered_block=self.system.number,
            registered_at=self.agenda.now(),
            ended_slot=0,
            queue_deadline=terms.queue_deadline(self, spec),
            total_deadline=terms.total_deadline(self, spec),
            vacant=spec.slots,
            acknowledged=0,
            closed_slots=0,
            closed=0,
            accepted=0,
            skipped=0,
            inputs_unavailable=0,
            last_failure=None,
            wake=0,
            seed=ZERO_HASH,
            fell_back=False,
            paused_at=None,
            leave_until_ms=0,
            awaiting=0,
            closing=None,
        )

    @call(index=1, weight=WHOLE_JOB, refundable=True)
    def cancel(self, origin: Signed, job: U64) -> None:
        """End a job of one's own; processors get what they have earned, the rest comes back."""
        self._own(origin.who, job)
        ending.finish(self, job, JobCancelled())

    # The processor: promises.

    @call(index=2, weight=WHOLE_JOB, refundable=True)
    def acknowledge(
        self, origin: Signed, job: U64, slot: U8, generation: U32, key: Annotated[bytes, Fixed(32)] | None
    ) -> None:
        """Promise all executions of an offered slot; locks the bond. `key`: where the job's secrets are sealed to."""
        self._offered(origin.who, job, slot, generation)
        if (key is None) != (self.specs.get(job).environment is None):
            raise KeyMismatch
        slots.acknowledge(self, job, slot, key)

    @call(index=3, weight=WHOLE_JOB, refundable=True)
    def decline(self, origin: Signed, job: U64, slot: U8, generation: U32, reason: Failure) -> None:
        """Turn an offer down, for a reason; costs nothing. The manager gets no further offer of this job."""
        offered = self._offered(origin.who, job, slot, generation)
        assert offered.manager is not None, "an offered slot has a manager"
        if not isinstance(reason, (Declined, *REPORTABLE)):
            raise FailureNotReportable
        self.processors.note_acknowledged(origin.who)
        self.mark(job, offered.manager, exclude=True)
        slots.vacate(self, job, slot, reason, {})
        if isinstance(reason, InputUnavailable):
            self._note_input_unavailable(origin.who, job)
        if self.is_live(job):
            slots.rearm(self, job, slot)

    def _note_input_unavailable(self, who: bytes, id: int) -> None:
        """Pay the effort; the third manager who cannot have the input ends the job."""
        job = self.jobs.get(id)
        self.escrow.pay_input_unavailable(id, job.reward, who)
        missing = job.inputs_unavailable + 1
        self.change_job(id, inputs_unavailable=missing)
        if missing >= bounds.INPUT_UNAVAILABLE_MAX:
            ending.finish(self, id, JobFailed(InputUnavailable()))

    @call(index=7, weight=WHOLE_JOB, refundable=True)
    def resign(self, origin: Signed, job: U64, slot: U8, generation: U32) -> None:
        """Give an acknowledged slot back: free with notice, else as a lost lease."""
        held = self._held(origin.who, job, slot, generation)
        assert held.manager is not None, "an acknowledged slot has a manager"
        self.emit(SlotResigned(job, slot, generation, origin.who))
        if self._may_leave(job, slot, held):
            self.mark(job, held.manager, exclude=True)
            slots.vacate(self, job, slot, Declined(), {})
        else:
            slots.lose(self, job, slot, {e: NodeLost() for e in held.live[:1]} or {held.next: NodeLost()})
        if self.is_live(job):
            slots.rearm(self, job, slot)

    def _may_leave(self, id: int, number: int, slot: Slot) -> bool:
        """Whether the others were awaited long enough, the notice is long enough, or the owner changed the terms."""
        job = self.jobs.get(id)
        if job.state is not JobState.ASSIGNED:
            return self.agenda.now() >= slot.deadline
        if job.paused_at is not None or self.system.now_ms < job.leave_until_ms:
            return not slot.live
        schedule = self.specs.get(id).schedule
        notice = max(NOTICE_INTERVALS * schedule.interval_ms, NOTICE_SLOTS_MIN * self.system.slot_ms)
        next_start = start_of(schedule, slot.start_delay_ms, slot.next)
        return not slot.live and next_start >= self.system.now_ms + notice

    # The processor: runs.

    @call(index=4, weight=WHOLE_JOB, refundable=True)
    def started(self, origin: Signed, job: U64, execution: U32, slot: U8, generation: U32, attempt: U8) -> None:
        """Say that an attempt is running."""
        record = self._live(origin.who, job, execution, slot, generation, attempt)
        if record.state is not ExecutionState.SCHEDULED:
            raise NotScheduled
        if self.system.now_ms < record.due_ms:
            raise StartTooEarly
        clock, spec = self.agenda.now(), self.specs.get(job)
        running = replace(
            record,
            state=ExecutionState.RUNNING,
            deadline=clock + self.agenda.slots_of(spec.schedule.duration_ms) + RUN_GRACE_SLOTS,
            processor=origin.who,
            generation=generation,
            started_ms=self.system.now_ms,
            heartbeat_at=clock,
        )
        self.executions.put((job, slot, execution), running)
        self.emit(ExecutionStarted(job, execution, slot, attempt, origin.who))
        slots.rearm(self, job, slot)

    @call(index=5, weight=WHOLE_JOB, refundable=True)
    def progress(
        self, origin: Signed, job: U64, execution: U32, slot: U8, generation: U32, attempt: U8, permille: U16
    ) -> None:
        """A sign of life of a long run."""
        record = self.running(origin.who, job, execution, slot, generation, attempt)
        alive = replace(record, state=ExecutionState.RUNNING, heartbeat_at=self.agenda.now())
        self.executions.put((job, slot, execution), alive)
        self.emit(ExecutionProgressed(job, execution, slot, attempt, min(permille, PERMILLE_MAX)))
        slots.rearm(self, job, slot)

    @call(index=15, weight=WHOLE_JOB, refundable=True)
    def checkpoint(
        self, origin: Signed, job: U64, execution: U32, slot: U8, generation: U32, attempt: U8, state: Blob
    ) -> None:
        """Publish the state of a run, so that another attempt, here or elsewhere, may go on from it. A sign of life."""
        record = self.running(origin.who, job, execution, slot, generation, attempt)
        if is_compared(self.specs.get(job)):
            raise CheckpointNotAllowed
        if not is_blob(state):
            raise OutputTooLarge
        self.checkpoints.put((job, slot, execution), state)
        alive = replace(record, state=ExecutionState.RUNNING, heartbeat_at=self.agenda.now())
        self.executions.put((job, slot, execution), alive)
        self.emit(CheckpointStored(job, execution, slot, attempt, state))
        slots.rearm(self, job, slot)

    @call(index=6, weight=WHOLE_JOB, refundable=True)
    def report(
        self, origin: Signed, job: U64, execution: U32, slot: U8, generation: U32, attempt: U8, outcome: Outcome
    ) -> None:
        """Report how an attempt ended. In the mode Trusted a result is accepted and paid at once.

        Where replicas are compared, results go by Verification.commit and reveal.
        """
        record = self.running(origin.who, job, execution, slot, generation, attempt)
        spec = self.specs.get(job)
        if commits(spec) and is_result(outcome):
            raise UseCommit
        if isinstance(outcome, Succeeded):
            self._succeed(job, execution, slot, record, outcome)
        elif isinstance(outcome, Failed):
            self._fail(job, execution, slot, record, outcome)
        if self.is_live(job):
            slots.rearm(self, job, slot)

    def _succeed(self, id: int, execution: int, number: int, record: Execution, outcome: Succeeded) -> None:
        """Accept at once, or let the result wait for its judgment, as the mode says."""
        spec = self.specs.get(id)
        check_output(spec, outcome)
        agreed = settling.terms_of(self.slot(id, number), record.attempt)
        self.emit(ExecutionReported(id, execution, number, record.attempt, outcome.digest))
        if isinstance(spec.verification, Trusted):
            settling.accept(self, id, execution, number, agreed, outcome)
            return
        settling.await_judgment(self, id, execution, number, ExecutionState.REPORTED)
        for listener in self.on_report:
            listener(id, execution, number, agreed, outcome)

    def _fail(self, id: int, execution: int, number: int, record: Execution, outcome: Failed) -> None:
        if not isinstance(outcome.failure, REPORTABLE):
            raise FailureNotReportable
        slot = self.slot(id, number)
        assert slot.processor is not None, "an acknowledged slot has a processor"
        paid = 0
        if isinstance(outcome.failure, JOBS_OWN_FAULT):
            paid = self.escrow.pay_error_share(id, slot.ask, slot.processor)
        failed = replace(record, fuel=outcome.fuel, paid=record.paid + paid)
        self.executions.put((id, number, execution), failed)
        executions.end_attempt(self, id, number, execution, outcome.failure, outcome.message)

    # Anyone.

    @call(index=8, weight=WHOLE_JOB, refundable=True)
    def poke(self, origin: Signed, job: U64) -> None:
        """Apply what is due for a job now, without waiting for the chain's own work."""
        slots.advance_job(self, self._existing(job))
        for number in range(self.job(job).slots):
            if self.is_live(job):
                slots.advance(self, job, number)

    # What every call checks first.

    def _existing(self, id: int) -> int:
        """Raises JobNotFound, JobEnded."""
        self.live_job(id)
        return id

    def _slot(self, who: bytes, id: int, number: int, generation: int) -> Slot:
        """The slot that `who` holds, after what is due: raises NotTheProcessor, StaleGeneration."""
        slots.advance_job(self, self._existing(id))
        if number >= self.live_job(id).slots:
            raise SlotNotFound
        slots.advance(self, id, number)
        self.live_job(id)
        slot = self.slot(id, number)
        if slot.generation != generation:
            raise StaleGeneration
        if slot.processor != who:
            raise NotTheProcessor
        return slot

    def _offered(self, who: bytes, id: int, number: int, generation: int) -> Slot:
        slot = self._slot(who, id, number, generation)
        if slot.state is not SlotState.OFFERED:
            raise NotOffered
        return slot

    def _held(self, who: bytes, id: int, number: int, generation: int) -> Slot:
        slot = self._slot(who, id, number, generation)
        if slot.state is not SlotState.ACKNOWLEDGED:
            raise NotAcknowledged
        return slot

    def _live(self, who: bytes, id: int, execution: int, number: int, generation: int, attempt: int) -> Execution:
        slot = self._held(who, id, number, generation)
        if execution not in slot.live:
            raise ExecutionNotLive
        record = self.executions.get((id, number, execution))
        if record.attempt != attempt:
            raise StaleAttempt
        return record

    def running(self, who: bytes, id: int, execution: int, number: int, generation: int, attempt: int) -> Execution:
        record = self._live(who, id, execution, number, generation, attempt)
        if record.state not in RUNNING:
            raise NotRunning
        return record

    def check_state(self) -> None:
        checks.check_jobs(self)


def job_hash(genesis_hash: bytes, owner: bytes, sequence: int, spec_hash: bytes) -> bytes:
    """A job's name on every fork: H(genesis ‖ owner ‖ u64 sequence ‖ H(spec))."""
    return blake2b256(genesis_hash + owner + sequence.to_bytes(8, "little") + spec_hash)


def check_output(spec: JobSpec, outcome: Succeeded) -> None:
    """Raises OutputTooLarge, UnknownDestination."""
    if not _fits(spec, outcome.output):
        raise OutputTooLarge
    places = [delivery.destination for delivery in outcome.deliveries]
    if len(set(places)) != len(places) or any(place >= len(spec.destinations) for place in places):
        raise UnknownDestination


def _fits(spec: JobSpec, output: Output) -> bool:
    if isinstance(output, InlineOutput):
        return len(output.data) <= spec.resources.output_bytes
    assert isinstance(output, BlobOutput), "an output is inline or a blob"
    return is_blob(output.blob) and output.blob.size <= spec.resources.output_bytes
