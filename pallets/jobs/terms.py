"""What follows from a specification: the deposit and the deadlines, at registration and when the terms change."""

from pallets.escrow.types import Pots
from pallets.jobs.records import Job, JobState
from pallets.jobs.schedule import opens_ms, retry_grace_slots, retry_horizon_ms, start_of
from pallets.jobs.store import JOB_KIND, JobStore
from pallets.jobs.types import Adaptive, JobSpec, Reexecution

SLOT_BYTES = 512
"""What a slot's records take in storage at most, apart from outputs; for the storage deposit."""


def deposit(store: JobStore, spec: JobSpec, executions: int) -> Pots:
    """What has to be held for a job with so many executions per slot."""
    stored_bytes = len(store.specs.codec.encode(spec)) + SLOT_BYTES * spec.slots
    attempts, audited = spec.retry.attempts_max, isinstance(spec.verification, Adaptive | Reexecution)
    return store.escrow.pots_of(spec.reward, spec.slots, executions, attempts, stored_bytes, audited=audited)


def queue_deadline(store: JobStore, spec: JobSpec) -> int:
    """Until when, in A, a job that begins to wait now may wait for processors."""
    unopened_ms = max(0, opens_ms(spec, 0) - store.system.now_ms)
    return store.agenda.now() + store.agenda.slots_of(unopened_ms + spec.timeouts.queue_ms)


def total_deadline(store: JobStore, spec: JobSpec) -> int:
    """D_total, in A: the end of the schedule and the longest that the last execution may take from there."""
    schedule = spec.schedule
    last_ms = max(0, schedule.end_ms - store.system.now_ms) + schedule.start_delay_max_ms * 2 + schedule.duration_ms
    slots = store.agenda.slots_of(last_ms + retry_horizon_ms(spec))
    return store.agenda.now() + slots + retry_grace_slots(spec)


def rearm_job(store: JobStore, id: int) -> None:
    """Have the agenda look at a live job at its next deadline."""
    job, spec = store.jobs.get(id), store.specs.get(id)
    offset = store.system.slot - store.agenda.now()
    due = job.total_deadline + offset
    if job.closed_slots == job.slots:
        return
    if job.state is JobState.WAITING:
        due = job.queue_deadline + offset
    elif job.state is not JobState.ASSIGNED:
        due = min(due, job.queue_deadline + offset, latest_start_ms(job, spec) // store.system.slot_ms + 1)
    store.change_job(id, wake=store.agenda.arm(JOB_KIND, id, job.wake, due))


def latest_start_ms(job: Job, spec: JobSpec) -> int:
    """When the first start of a job that is not assigned yet, and its delay, are over."""
    first = job.executions - 1 if job.fell_back else 0
    return start_of(spec.schedule, 0, first) + spec.schedule.start_delay_max_ms
