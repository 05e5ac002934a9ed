"""Fallback: what runs once instead, after a job has failed, with the money that is left of it.

It is one more execution of the same job, with another script, in the same slots, which are matched anew; its results
alone say then whether the job has succeeded.
"""

from dataclasses import replace

from pallets.jobs import terms
from pallets.jobs.events import JobFellBack
from pallets.jobs.records import Job, JobEnd, JobFailed, JobState, SlotState
from pallets.jobs.store import JobStore
from pallets.jobs.types import JobSpec


def begin(store: JobStore, id: int, end: JobEnd) -> bool:
    """Whether a job that would end so falls back instead: it has something to, and can pay for it."""
    job, spec = store.jobs.get(id), store.specs.get(id)
    if not isinstance(end, JobFailed) or spec.fallback is None or job.fell_back:
        return False
    second = replaced(spec, job, store.system.now_ms)
    if not store.escrow.rededicate(id, terms.deposit(store, second, 1)):
        return False
    store.specs.put(id, second)
    store.scripts.remove(id)
    for number, slot in list(store.slots_of(id)):
        vacant = replace(
            slot,
            state=SlotState.VACANT,
            generation=slot.generation + 1,
            processor=None,
            manager=None,
            matcher=None,
            key=None,
            sealed=False,
            vacant_at=store.agenda.now(),
            vacant_block=store.system.number,
        )
        store.slots.put((id, number), vacant)
    store.change_job(
        id,
        state=JobState.OPEN,
        fell_back=True,
        runtime=second.runtime,
        executions=job.executions + 1,
        accepted=0,
        inputs_unavailable=0,
        vacant=job.slots,
        acknowledged=0,
        closed_slots=0,
        leave_until_ms=0,
        queue_deadline=terms.queue_deadline(store, second),
        total_deadline=terms.total_deadline(store, second),
    )
    store.emit(JobFellBack(id))
    store.relist(id)
    terms.rearm_job(store, id)
    return True


def replaced(spec: JobSpec, job: Job, now_ms: int) -> JobSpec:
    """The specification after the fall: one more execution, which starts now."""
    assert spec.fallback is not None, "the caller checked"
    start_ms = now_ms - job.executions * spec.schedule.interval_ms
    return replace(
        spec,
        script=spec.fallback.script,
        runtime=spec.fallback.runtime,
        entrypoint=spec.fallback.entrypoint,
        schedule=replace(spec.schedule, start_ms=start_ms, end_ms=now_ms + 1),
    )
