"""How a job ends: live executions are cancelled and paid what they are due, and nothing stays held."""

from pallets.jobs import fallback, lanes
from pallets.jobs.events import ExecutionCancelled, JobClosing, JobDone, JobForgotten
from pallets.jobs.failure import NodeLost
from pallets.jobs.records import (
    Execution,
    ExecutionState,
    Job,
    JobCancelled,
    JobEnd,
    JobExpired,
    JobFailed,
    JobState,
    JobSucceeded,
    Slot,
    SlotState,
)
from pallets.jobs.schedule import start_of
from pallets.jobs.store import JOB_KIND, JobStore
from runtime.records import replace

RECORDS_FORGOTTEN_AT_ONCE = 64

END_STATES = {
    JobSucceeded: JobState.DONE,
    JobFailed: JobState.DONE,
    JobCancelled: JobState.CANCELLED,
    JobExpired: JobState.EXPIRED,
}


def end_of(job: Job, accepted_min: int | None) -> JobEnd:
    """How a job whose executions are all over ends. What an outage skipped is not required for success."""
    if job.fell_back:
        return JobSucceeded() if job.accepted == job.slots else JobFailed(job.last_failure or NodeLost())
    wanted = job.slots * job.executions if accepted_min is None else accepted_min
    if job.accepted and job.accepted >= wanted - job.skipped:
        return JobSucceeded()
    return JobFailed(job.last_failure or NodeLost())


def finish(store: JobStore, id: int, end: JobEnd) -> None:
    """End a live job. Work is bounded by its slots and their live executions.

    Results that are not judged yet are judged first: until then the job is closing, and nothing of it runs.
    """
    for number, slot in store.slots_of(id):
        if slot.state is not SlotState.CLOSED:
            _cancel_slot(store, id, number, slot)
    job = store.jobs.get(id)
    if job.awaiting:
        store.change_job(id, closing=end, vacant=0, acknowledged=0, closed_slots=job.slots)
        store.list_open(id, wanted=False)
        store.emit(JobClosing(id, end))
    else:
        _end(store, id, job, end)


def finish_if_over(store: JobStore, id: int) -> None:
    """End a job whose last execution is over, or whose end waited for the last judgment."""
    job = store.jobs.get(id)
    if job.awaiting:
        return
    if job.closing is not None:
        _end(store, id, job, job.closing)
    elif job.closed == job.slots * job.executions:
        end = end_of(job, store.specs.get(id).accepted_min)
        if not fallback.begin(store, id, end):
            finish(store, id, end)


def _end(store: JobStore, id: int, job: Job, end: JobEnd) -> None:
    lanes.leave(store, id)
    store.escrow.close(id)
    for tell in store.on_end:
        tell(id)
    store.owner_live.put(job.owner, store.owner_live.get(job.owner) - 1)
    store.list_open(id, wanted=False)
    until = store.system.slot + store.parameters.get().retention_slots
    store.change_job(
        id,
        state=END_STATES[type(end)],
        end=end,
        closing=None,
        vacant=0,
        acknowledged=0,
        closed_slots=job.slots,
        ended_slot=store.system.slot,
        wake=store.agenda.arm(JOB_KIND, id, 0, until),
    )
    store.emit(JobDone(id, end))


def _cancel_slot(store: JobStore, id: int, number: int, slot: Slot) -> None:
    schedule = store.specs.get(id).schedule
    about_to_start = True
    for execution in sorted(slot.live, key=lambda e: start_of(schedule, slot.start_delay_ms, e)):
        record = store.executions.get((id, number, execution))
        paid = 0
        if slot.state is SlotState.ACKNOWLEDGED and slot.processor is not None:
            if record.state is not ExecutionState.SCHEDULED:
                elapsed = store.system.now_ms - record.started_ms
                paid = store.escrow.pay_late_cancel(id, slot.ask, slot.processor, elapsed, schedule.duration_ms)
            elif about_to_start:
                paid = store.escrow.pay_late_cancel(id, slot.ask, slot.processor, 0, schedule.duration_ms)
                about_to_start = False
        _put_cancelled(store, (id, number, execution), record, paid)
    release(store, id, number, slot)
    if store.slots.contains((id, number)):
        kept = (*slot.kept, *slot.live)
        store.slots.put((id, number), replace(slot, state=SlotState.CLOSED, live=(), kept=kept))


def _put_cancelled(store: JobStore, key: tuple[int, int, int], record: Execution, paid: int) -> None:
    ended = replace(record, state=ExecutionState.CANCELLED, paid=record.paid + paid, ended_slot=store.system.slot)
    store.executions.put(key, ended)
    store.checkpoints.remove(key)
    store.emit(ExecutionCancelled(key[0], key[2], key[1], record.attempt, paid))


def release(store: JobStore, id: int, number: int, slot: Slot) -> None:
    """Give a slot's bond and its place in the processor's calendar back."""
    if slot.processor is not None and slot.state in (SlotState.OFFERED, SlotState.ACKNOWLEDGED):
        store.escrow.release_bond((id, number, slot.generation))
        store.processors.free(slot.processor, id, number)


def forget(store: JobStore, id: int) -> None:
    """Remove an ended job's records, slot by slot, about 64 executions at a time; the agenda goes on with the rest."""
    removed = 0
    for number in range(store.jobs.get(id).slots):
        if removed >= RECORDS_FORGOTTEN_AT_ONCE:
            store.change_job(id, wake=store.agenda.arm(JOB_KIND, id, 0, store.system.slot + 1))
            return
        removed += _forget_slot(store, id, number)
    store.job_by_hash.remove(store.jobs.get(id).id_hash)
    for item in (store.specs, store.scripts, store.marks, store.rejections, store.jobs):
        item.remove(id)
    store.escrow.forget(id)
    store.emit(JobForgotten(id))


def _forget_slot(store: JobStore, id: int, number: int) -> int:
    """Remove what is kept of a slot, by the names that it remembers: nothing walks the state. How many executions."""
    slot = store.slots.find((id, number))
    if slot is None:
        return 0
    for execution in slot.kept:
        store.executions.remove((id, number, execution))
        if store.results.contains((id, number, execution)):
            store.results.remove((id, number, execution))
    store.slots.remove((id, number))
    return len(slot.kept)
