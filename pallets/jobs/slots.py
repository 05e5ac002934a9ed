"""The life of slots: offered, acknowledged, lost, offered anew; and the deadlines of what runs in them.

`advance` applies everything that is due for a slot: the agenda calls it, and so does every call before it looks at the
slot. `rearm` then asks the agenda for the next time. Deadlines: spec/job-layer.md §2.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pallets.beacon import Beacon
from pallets.jobs import credibility, ending, executions, terms
from pallets.jobs.events import (
    ExecutionSuspected,
    JobAssigned,
    JobMatched,
    JobReopened,
    SlotAcknowledged,
    SlotOffered,
    SlotVacated,
)
from pallets.jobs.executions import COMING_UP_MS
from pallets.jobs.failure import (
    AckTimeout,
    Failure,
    NodeLost,
    Paused,
    Preempted,
    Released,
    RunTimeout,
    SecretsUnavailable,
)
from pallets.jobs.modes import bond_multiple
from pallets.jobs.records import (
    LIVE_STATES,
    Execution,
    ExecutionState,
    Expiry,
    JobExpired,
    JobState,
    Slot,
    SlotState,
)
from pallets.jobs.schedule import LONG_RUN_SLOTS, SUSPECT_SLOTS, lease_of, opens_ms, start_of
from pallets.jobs.store import SLOT_BITS, SLOT_KIND, JobStore
from pallets.jobs.types import Competing, Credibility
from runtime.hashing import personal
from runtime.records import replace
from runtime.types import ZERO_HASH

_seed = personal(b"heddle/jobseed")
LOST_QUARTERS, TIMEOUT_QUARTERS, UNANSWERED_QUARTERS = 4, 2, 1
LOST_HALVES, TIMEOUT_HALVES = 2, 1
UNANSWERED_DEBITED = 2
HELD = (SlotState.OFFERED, SlotState.ACKNOWLEDGED)
PAUSE_MS_MAX = 3_600_000
"""A pause that lasts longer lets the processors go (spec/job-layer.md §1)."""


@dataclass(frozen=True, slots=True)
class Match:
    """Who gets a slot, for what, and by whose proposal. `drawn`: sortition was part of it."""

    processor: bytes
    manager: bytes
    matcher: bytes | None
    ask: int
    start_delay_ms: int
    drawn: bool


def offer(store: JobStore, id: int, number: int, match: Match) -> None:
    """Offer a vacant slot of a live job, and reserve its time in the processor's calendar."""
    job, spec, slot = store.jobs.get(id), store.specs.get(id), store.slot(id, number)
    first = min((*slot.live, slot.next))
    store.processors.reserve(match.processor, lease_of(id, number, spec, match.start_delay_ms, first, job.executions))
    offered = replace(
        slot,
        state=SlotState.OFFERED,
        processor=match.processor,
        manager=match.manager,
        matcher=match.matcher,
        ask=match.ask,
        drawn=match.drawn,
        start_delay_ms=match.start_delay_ms,
        first=first,
        deadline=store.agenda.now() + spec.timeouts.acknowledge_slots,
    )
    store.put_slot(id, number, offered)
    store.emit(SlotOffered(id, number, slot.generation, match.processor, match.ask))
    for tell in store.on_offer:
        tell(id, number, offered)
    job = store.jobs.get(id)
    if job.state is JobState.OPEN and not job.vacant:
        store.change_job(id, state=JobState.MATCHED)
        store.emit(JobMatched(id))
    rearm(store, id, number)


def acknowledge(store: JobStore, id: int, number: int, key: bytes | None) -> None:
    """The offer is taken: the bond is locked, and with the last slot the whole job is assigned.

    Raises BondNotAvailable. The work on the other slots was paid for by their own acknowledgments.
    """
    job, slot = store.jobs.get(id), store.slot(id, number)
    assert slot.processor is not None, "an offered slot has a processor"
    bond = bond_multiple(store.specs.get(id)) * job.reward
    store.escrow.lock_bond((id, number, slot.generation), slot.processor, bond)
    until = store.agenda.now() + store.parameters.get().assign_slots
    store.put_slot(id, number, replace(slot, state=SlotState.ACKNOWLEDGED, deadline=until, key=key))
    store.processors.note_acknowledged(slot.processor)
    store.emit(SlotAcknowledged(id, number, slot.generation, slot.processor, key))
    if job.state is not JobState.ASSIGNED and (_is_competed_for(store, id) or _all_are_there(store, id)):
        store.change_job(id, state=JobState.ASSIGNED, seed=job_seed(store.beacon, store.system.number, job.id_hash))
        store.emit(JobAssigned(id))
        for other in range(job.slots):
            rearm(store, id, other)
    else:
        executions.give_time(store, id, number)
        rearm(store, id, number)


def _is_competed_for(store: JobStore, id: int) -> bool:
    """Whether a processor has a slot for one execution only. Such a job begins with the first that has one."""
    return isinstance(store.specs.get(id).assignment, Competing)


def _all_are_there(store: JobStore, id: int) -> bool:
    """Whether a job that is not assigned has all its processors' promises."""
    job = store.jobs.get(id)
    waiting = job.state in (JobState.OPEN, JobState.MATCHED)
    if waiting and isinstance(store.specs.get(id).verification, Credibility):
        if not credibility.close_spare_slots(store, id):
            return False
        if job.state is JobState.OPEN:
            store.change_job(id, state=JobState.MATCHED)
            store.emit(JobMatched(id))
        return True
    return job.state is JobState.MATCHED and job.acknowledged == job.slots


def job_seed(beacon: Beacon, number: int, id_hash: bytes) -> bytes:
    """H(the mix of block `number` ‖ job): what its scripts take for chance (spec/job-layer.md §1).

    Nobody who signed a promise in that block, or registered the job, knew its mix.
    """
    return _seed((beacon.randomness_at(number) or ZERO_HASH) + id_hash)


def note_sealed(store: JobStore, id: int, number: int) -> None:
    """The secrets of a slot's processor are there: what waited for them may start as late as if it came up now."""
    slot = store.slot(id, number)
    if slot.sealed:
        return
    store.slots.put((id, number), replace(slot, sealed=True))
    if slot.state is SlotState.ACKNOWLEDGED:
        executions.give_time(store, id, number)
        rearm(store, id, number)


def vacate(store: JobStore, id: int, number: int, reason: Failure, lost: dict[int, Failure]) -> None:
    """Take a slot from its processor and open it again; `lost` are the executions that it costs an attempt.

    What else the processor was running is lost with it; what had not started keeps its attempt.
    """
    slot = store.slot(id, number)
    assert slot.processor is not None, "only a slot with a processor is vacated"
    ending.release(store, id, number, slot)
    vacant = replace(
        slot,
        state=SlotState.VACANT,
        generation=slot.generation + 1,
        processor=None,
        manager=None,
        matcher=None,
        vacant_at=store.agenda.now(),
        vacant_block=store.system.number,
        key=None,
        sealed=False,
    )
    store.put_slot(id, number, vacant)
    store.emit(SlotVacated(id, number, vacant.generation, slot.processor, reason))
    if store.jobs.get(id).state is JobState.MATCHED:
        store.change_job(id, state=JobState.OPEN)
        store.emit(JobReopened(id))
    running = (ExecutionState.RUNNING, ExecutionState.SUSPECT)
    for execution in slot.live:
        state = store.executions.get((id, number, execution)).state
        if execution in lost:
            executions.end_attempt(store, id, number, execution, lost[execution])
        elif state in running:
            failure = reason if isinstance(reason, Preempted) else NodeLost()
            executions.end_attempt(store, id, number, execution, failure)


def advance(store: JobStore, id: int, number: int) -> None:
    """Apply what is due for a slot of a live job, then bring up what is near. The job may end by it."""
    slot, clock = store.slot(id, number), store.agenda.now()
    if slot.state is SlotState.OFFERED and clock >= slot.deadline:
        _unanswered(store, id, number, slot)
    elif slot.live:
        _check_executions(store, id, number, slot, clock)
    if store.is_live(id) and _let_go_at(store, id, number) in range(1, clock + 1):
        vacate(store, id, number, Paused(), {})
    if store.is_live(id):
        rearm(store, id, number)


def _unanswered(store: JobStore, id: int, number: int, slot: Slot) -> None:
    """No acknowledgment in time: the manager is out of this job; no fine."""
    assert slot.processor is not None, "an offered slot has a processor"
    assert slot.manager is not None, "and its manager"
    missed = store.processors.note_unacknowledged(slot.processor)
    if slot.drawn and missed >= UNANSWERED_DEBITED:
        store.reputation.debit(slot.processor, store.jobs.get(id).runtime, slot.ask, UNANSWERED_QUARTERS)
    store.mark(id, slot.manager, exclude=True)
    vacate(store, id, number, AckTimeout(), {})


def _check_executions(store: JobStore, id: int, number: int, slot: Slot, clock: int) -> None:
    spec = store.specs.get(id)
    long_run = store.agenda.slots_of(spec.schedule.duration_ms) > LONG_RUN_SLOTS
    held = slot.state is SlotState.ACKNOWLEDGED
    waits_for_secrets = held and spec.environment is not None and not slot.sealed
    overdue: dict[int, Failure] = {}
    blameless: dict[int, Failure] = {}
    for execution in slot.live:
        record = store.executions.get((id, number, execution))
        failure = overdue_failure(record, clock, long_run=long_run)
        if failure is not None and record.state is ExecutionState.SCHEDULED and waits_for_secrets:
            blameless[execution] = SecretsUnavailable()
        elif failure is not None:
            overdue[execution] = failure
        elif long_run and record.state is ExecutionState.RUNNING and clock >= record.heartbeat_at + SUSPECT_SLOTS:
            store.executions.put((id, number, execution), replace(record, state=ExecutionState.SUSPECT))
            store.emit(ExecutionSuspected(id, execution, number, record.attempt))
    for execution, failure in (blameless if held else overdue).items():
        executions.end_attempt(store, id, number, execution, failure)
    if held and overdue and store.is_live(id):
        lose(store, id, number, overdue)


def _let_go_at(store: JobStore, id: int, number: int) -> int:
    """When (A) the pause of a job lets a slot's processor go, 0 if not: what runs may end first."""
    job, slot = store.jobs.get(id), store.slot(id, number)
    if job.paused_at is None or slot.state not in HELD:
        return 0
    records = [store.executions.get((id, number, execution)) for execution in slot.live]
    if any(record.state is not ExecutionState.SCHEDULED for record in records):
        return 0
    return job.paused_at + store.agenda.slots_of(PAUSE_MS_MAX)


def overdue_failure(record: Execution, clock: int, *, long_run: bool) -> Failure | None:
    """What has become of an execution by A = `clock`: not started, gone silent, too slow, or nothing yet."""
    if record.state is ExecutionState.SCHEDULED:
        return NodeLost() if clock >= record.deadline else None
    if long_run and clock >= record.heartbeat_at + 2 * SUSPECT_SLOTS:
        return NodeLost()
    return RunTimeout() if clock >= record.deadline else None


def lose(store: JobStore, id: int, number: int, overdue: dict[int, Failure]) -> None:
    """M6: the processor of an acknowledged slot failed its promise. One fine, one debit, and the slot is open again."""
    slot, job = store.slot(id, number), store.jobs.get(id)
    assert slot.processor is not None, "an acknowledged slot has a processor"
    assert slot.manager is not None, "and its manager"
    vanished = any(isinstance(failure, NodeLost) for failure in overdue.values())
    store.escrow.fine((id, number, slot.generation), slot.ask, LOST_HALVES if vanished else TIMEOUT_HALVES)
    if slot.drawn:
        quarters = LOST_QUARTERS if vanished else TIMEOUT_QUARTERS
        store.reputation.debit(slot.processor, job.runtime, slot.ask, quarters)
    store.mark(id, slot.manager, failures=1)
    vacate(store, id, number, NodeLost() if vanished else RunTimeout(), overdue)


def rearm(store: JobStore, id: int, number: int) -> None:
    """Bring up what is near and have the agenda look at the slot when the next thing is due.

    A slot whose one execution was competed for and is over is open to all for the next.
    """
    slot, competed_for = store.slot(id, number), _is_competed_for(store, id)
    over = slot.state is SlotState.ACKNOWLEDGED and not slot.live and slot.next > slot.first
    if competed_for and over and store.is_live(id):
        vacate(store, id, number, Released(), {})
    executions.bring_up(store, id, number)
    slot = store.slot(id, number)
    if not store.is_live(id) or slot.state is SlotState.CLOSED:
        return
    if competed_for and slot.state is SlotState.VACANT:
        store.relist(id)
    due = min(_due_slots(store, id, number, slot), default=0)
    if due:
        wake = store.agenda.arm(SLOT_KIND, store.agenda_id(id, number), slot.wake, due)
        if wake != slot.wake:
            store.slots.put((id, number), replace(slot, wake=wake))


def _due_slots(store: JobStore, id: int, number: int, slot: Slot) -> Iterator[int]:
    """The chain slots in which something may be due for a slot."""
    job, spec = store.jobs.get(id), store.specs.get(id)
    offset = store.system.slot - store.agenda.now()
    if slot.state is SlotState.OFFERED:
        yield slot.deadline + offset
    long_run = store.agenda.slots_of(spec.schedule.duration_ms) > LONG_RUN_SLOTS
    for execution in slot.live:
        record = store.executions.get((id, number, execution))
        yield record.deadline + offset
        if long_run and record.state is ExecutionState.RUNNING:
            yield record.heartbeat_at + SUSPECT_SLOTS + offset
        elif long_run and record.state is ExecutionState.SUSPECT:
            yield record.heartbeat_at + 2 * SUSPECT_SLOTS + offset
    let_go_at = _let_go_at(store, id, number)
    if let_go_at:
        yield let_go_at + offset
    opens = opens_ms(spec, min((*slot.live, slot.next)))
    if slot.state is SlotState.VACANT and opens > store.system.now_ms:
        yield store.agenda.slots_of(opens)
    comes_up = job.state is JobState.ASSIGNED and job.paused_at is None and slot.next < job.executions
    if comes_up and executions.has_room(slot, spec):
        coming_up = start_of(spec.schedule, slot.start_delay_ms, slot.next) - COMING_UP_MS
        yield store.agenda.slots_of(max(0, coming_up))


def wake_slot(store: JobStore, agenda_id: int, at: int) -> None:
    """The agenda's handler of slots."""
    job, number = agenda_id >> SLOT_BITS, agenda_id & (1 << SLOT_BITS) - 1
    if store.is_live(job) and store.slot(job, number).wake == at:
        advance(store, job, number)


# The job's own deadlines.


def advance_job(store: JobStore, id: int) -> None:
    """Apply what is due for a live job as a whole: it may end by it. Judgments outlast its deadlines."""
    job, spec, clock = store.jobs.get(id), store.specs.get(id), store.agenda.now()
    if job.closed_slots == job.slots:
        return
    latest_start = terms.latest_start_ms(job, spec)
    expiry = None
    if job.state is JobState.WAITING:
        expiry = Expiry.QUEUE if clock >= job.queue_deadline else None
    elif clock >= job.total_deadline:
        expiry = Expiry.TOTAL
    elif job.state is not JobState.ASSIGNED and clock >= job.queue_deadline:
        expiry = Expiry.QUEUE
    elif job.state is not JobState.ASSIGNED and store.system.now_ms > latest_start:
        expiry = Expiry.FIRST_START
    if expiry is not None:
        ending.finish(store, id, JobExpired(expiry))


def wake_job(store: JobStore, id: int, at: int) -> None:
    """The agenda's handler of jobs: deadlines while it lives, its removal long after its end."""
    job = store.jobs.find(id)
    if job is None or job.wake != at:
        return
    if job.state not in LIVE_STATES:
        ending.forget(store, id)
        return
    advance_job(store, id)
    if store.is_live(id):
        terms.rearm_job(store, id)
