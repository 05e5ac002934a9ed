"""The life of executions: they come up a minute before their start, run, and end; a failed attempt is made again.

Every end goes through `close`, every failed attempt through `end_attempt`: that is where the budgets count.
"""

from pallets.jobs import bounds, ending
from pallets.jobs.events import AttemptFailed, ExecutionScheduled, ExecutionsSkipped, SlotClosed
from pallets.jobs.failure import Failure, NodeLost, Preempted, RunTimeout, may_differ_next_time
from pallets.jobs.records import Execution, ExecutionState, JobState, Slot, SlotState
from pallets.jobs.schedule import START_GRACE_SLOTS, backoff_ms, start_of
from pallets.jobs.store import JobStore
from pallets.jobs.types import Competing, JobSpec
from runtime.hashing import blake2b256
from runtime.records import replace

COMING_UP_MS = 60_000
"""An execution is materialised so long before its start."""

AWAITING_STATES = (ExecutionState.COMMITTED, ExecutionState.REPORTED, ExecutionState.DISPUTED)
LIVE_EXECUTION_STATES = (ExecutionState.SCHEDULED, ExecutionState.RUNNING, ExecutionState.SUSPECT)


def bring_up(store: JobStore, id: int, number: int) -> None:
    """Materialise the executions of an assigned job's slot whose start is near; skip those an outage swallowed."""
    job = store.jobs.get(id)
    if job.state is not JobState.ASSIGNED or job.paused_at is not None:
        return
    spec, slot, now = store.specs.get(id), store.slot(id, number), store.system.now_ms
    if slot.state is SlotState.CLOSED:
        return
    missed = _missed(spec, slot, now, job.executions)
    if missed:
        _skip(store, id, number, slot, missed)
        slot = store.slot(id, number)
    while (
        slot.next < job.executions
        and has_room(slot, spec)
        and start_of(spec.schedule, slot.start_delay_ms, slot.next) <= now + COMING_UP_MS
    ):
        due = start_of(spec.schedule, slot.start_delay_ms, slot.next)
        record = _scheduled(store, spec, due)
        store.executions.put((id, number, slot.next), record)
        store.emit(ExecutionScheduled(id, slot.next, number, record.attempt, due))
        slot = replace(slot, next=slot.next + 1, live=(*slot.live, slot.next))
        store.slots.put((id, number), slot)


def has_room(slot: Slot, spec: JobSpec) -> bool:
    """Whether one more execution may come up; where they are competed for, only if nobody has the slot for another."""
    if isinstance(spec.assignment, Competing) and (
        slot.live or (slot.state is not SlotState.VACANT and slot.next > slot.first)
    ):
        return False
    return len(slot.live) < bounds.LIVE_PER_SLOT_MAX and slot.awaiting < bounds.AWAITING_PER_SLOT_MAX


def _missed(spec: JobSpec, slot: Slot, now: int, executions: int) -> int:
    """How many executions that have not come up yet are past their start and its delay."""
    latest = start_of(spec.schedule, slot.start_delay_ms, slot.next) + spec.schedule.start_delay_max_ms
    if slot.next >= executions or latest >= now:
        return 0
    return min((now - latest - 1) // spec.schedule.interval_ms + 1, executions - slot.next)


def _skip(store: JobStore, id: int, number: int, slot: Slot, count: int) -> None:
    """In bulk, without records, fees or blame: the chain was not there to start them, or the vacant slot was full."""
    store.slots.put((id, number), replace(slot, next=slot.next + count))
    job = store.jobs.get(id)
    store.change_job(id, closed=job.closed + count, skipped=job.skipped + count)
    store.emit(ExecutionsSkipped(id, number, slot.next, count))
    close_slot_if_over(store, id, number)


def _scheduled(store: JobStore, spec: JobSpec, due: int) -> Execution:
    return Execution(
        state=ExecutionState.SCHEDULED,
        attempt=1,
        attempts_left=spec.retry.attempts_max,
        lost_left=spec.retry.lost_max,
        due_ms=due,
        deadline=_start_deadline(store, spec, due),
        processor=None,
        generation=0,
        started_ms=0,
        heartbeat_at=0,
        failure=None,
        digest=None,
        fuel=0,
        paid=0,
        ended_slot=0,
    )


def _start_deadline(store: JobStore, spec: JobSpec, due: int) -> int:
    """D_start = A_due + S(max_start_delay) + 8."""
    agenda = store.agenda
    wait = agenda.slots_of(max(0, due - store.system.now_ms))
    return agenda.now() + wait + agenda.slots_of(spec.schedule.start_delay_max_ms) + START_GRACE_SLOTS


def give_time(store: JobStore, id: int, number: int) -> None:
    """A new processor took the slot: what waits in it may be started as late as if it came up now."""
    spec = store.specs.get(id)
    for execution in store.slot(id, number).live:
        record = store.executions.get((id, number, execution))
        deadline = max(record.deadline, _start_deadline(store, spec, record.due_ms))
        store.executions.put((id, number, execution), replace(record, deadline=deadline))


def end_attempt(store: JobStore, id: int, number: int, execution: int, failure: Failure, message: str = "") -> None:
    """An attempt gave no result: make another after the back-off, or close the execution if a budget is used up.

    NodeLost uses up `lost_max`, Preempted nothing, everything else `attempts_max`; what would come out the same is not
    tried again.
    """
    spec = store.specs.get(id)
    record = store.executions.get((id, number, execution))
    lost, blameless = isinstance(failure, NodeLost), isinstance(failure, Preempted)
    attempts_left = record.attempts_left - (not lost and not blameless)
    used_up = record.lost_left == 0 if lost else attempts_left == 0
    final = (used_up and not blameless) or not may_differ_next_time(failure)
    store.emit(AttemptFailed(id, execution, number, record.attempt, failure, message, final))
    if final:
        states: dict[type[Failure], ExecutionState] = {
            NodeLost: ExecutionState.LOST,
            RunTimeout: ExecutionState.TIMED_OUT,
        }
        state = states.get(type(failure), ExecutionState.FAILED)
        close(store, id, number, execution, replace(record, state=state, failure=failure))
        return
    due = store.system.now_ms + (0 if blameless else backoff_ms(spec.retry, record.attempt))
    retry = replace(
        record,
        state=ExecutionState.SCHEDULED,
        attempt=record.attempt + 1,
        attempts_left=attempts_left,
        lost_left=record.lost_left - lost,
        due_ms=due,
        deadline=_start_deadline(store, spec, due),
        processor=None,
        failure=failure,
    )
    store.executions.put((id, number, execution), retry)
    store.emit(ExecutionScheduled(id, execution, number, retry.attempt, due))


def close(store: JobStore, id: int, number: int, execution: int, record: Execution) -> None:
    """An execution is over: keep its record, count it, and end the slot and the job if it was the last one."""
    judged = store.executions.get((id, number, execution)).state in AWAITING_STATES
    record = replace(record, ended_slot=store.system.slot)
    store.executions.put((id, number, execution), record)
    store.checkpoints.remove((id, number, execution))
    slot = store.slot(id, number)
    chained = slot.results_hash + execution.to_bytes(4, "little") + store.executions.codec.encode(record)
    kept = slot.kept
    if len(kept) >= bounds.RESULTS_PER_SLOT_MAX:
        store.executions.remove((id, number, kept[0]))
        store.results.remove((id, number, kept[0]))
        kept = kept[1:]
    after = replace(
        slot,
        live=tuple(e for e in slot.live if e != execution),
        kept=(*kept, execution),
        awaiting=slot.awaiting - judged,
        ended=slot.ended + 1,
        results_hash=blake2b256(chained),
    )
    store.slots.put((id, number), after)
    job = store.jobs.get(id)
    accepted = record.state is ExecutionState.ACCEPTED
    failure = job.last_failure if accepted or record.failure is None else record.failure
    counts = {"closed": job.closed + 1, "accepted": job.accepted + accepted, "awaiting": job.awaiting - judged}
    store.change_job(id, **counts, last_failure=failure)
    if judged:
        store.escrow.unbind((id, number, record.generation))
    store.escrow.charge_agenda(id)
    for listener in store.on_over:
        listener(id, execution)
    close_slot_if_over(store, id, number)


def close_slot_if_over(store: JobStore, id: int, number: int) -> None:
    """Close a slot in which nothing is left to run, and the job with its last execution."""
    job, slot = store.jobs.get(id), store.slot(id, number)
    if slot.next == job.executions and not slot.live and slot.state is not SlotState.CLOSED:
        ending.release(store, id, number, slot)
        store.put_slot(id, number, replace(slot, state=SlotState.CLOSED))
        store.emit(SlotClosed(id, number))
    ending.finish_if_over(store, id)
