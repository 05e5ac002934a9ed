"""The arithmetic of a job's times: how many executions, when each starts, how long a retry waits."""

from pallets.jobs.types import Competing, JobSpec, RetryPolicy, Schedule
from pallets.processors.calendar import Lease

RUN_GRACE_SLOTS = 15
"""After its duration, a run may report for this long (spec/job-layer.md §2)."""
START_GRACE_SLOTS = 8
LONG_RUN_SLOTS = 120
"""Runs that may last longer give signs of life."""
SUSPECT_SLOTS = 60
"""Without a sign of life for so long a run is suspect, and lost after as long again."""
LEASE_CORES = 1
COMPETING_OPENS_MS = 300_000
"""So long before its start an execution is competed for (spec/job-layer.md §2)."""


def executions_of(schedule: Schedule) -> int:
    """N = ⌊(end − start − 1) / interval⌋ + 1, for end > start and interval > 0."""
    return (schedule.end_ms - schedule.start_ms - 1) // schedule.interval_ms + 1


def opens_ms(spec: JobSpec, execution: int) -> int:
    """From when on processors may compete for an execution, before its scheduled start; at once if they do not."""
    if not isinstance(spec.assignment, Competing):
        return 0
    return start_of(spec.schedule, 0, execution) - COMPETING_OPENS_MS


def start_of(schedule: Schedule, start_delay_ms: int, execution: int) -> int:
    """When `execution` may start on a slot with this delay."""
    return schedule.start_ms + start_delay_ms + execution * schedule.interval_ms


def first_from(schedule: Schedule, moment_ms: int) -> int:
    """The first execution whose scheduled start is not before this moment."""
    return max(0, -(-(moment_ms - schedule.start_ms) // schedule.interval_ms))


def backoff_ms(retry: RetryPolicy, retries: int) -> int:
    """The wait before the n-th retry, n ≥ 1: initial · ratio^(n−1), floored at each step, at most max."""
    wait = retry.initial_ms
    for _ in range(retries - 1):
        wait = min(wait * retry.numerator // retry.denominator, retry.max_ms)
    return min(wait, retry.max_ms)


def retry_horizon_ms(spec: JobSpec) -> int:
    """An upper bound of the time that all retries of one execution take, without the slots of grace."""
    retries = spec.retry.attempts_max - 1 + spec.retry.lost_max
    return retries * (spec.retry.max_ms + spec.schedule.start_delay_max_ms + spec.schedule.duration_ms)


def retry_grace_slots(spec: JobSpec) -> int:
    """The slots of grace of all attempts of one execution."""
    attempts = spec.retry.attempts_max + spec.retry.lost_max
    return attempts * (START_GRACE_SLOTS + RUN_GRACE_SLOTS + 2 * SUSPECT_SLOTS)


def lease_of(job: int, slot: int, spec: JobSpec, start_delay_ms: int, first: int, executions: int) -> Lease:
    """What a processor reserves for a slot: all executions from `first` on, or that one if they are competed for."""
    schedule = spec.schedule
    return Lease(
        job=job,
        slot=slot,
        offset_ms=start_of(schedule, start_delay_ms, first),
        period_ms=schedule.interval_ms,
        length_ms=schedule.duration_ms + schedule.start_delay_max_ms,
        count=1 if isinstance(spec.assignment, Competing) else executions - first,
        memory_bytes=spec.resources.memory_bytes,
        storage_bytes=spec.resources.storage_bytes,
        cores=LEASE_CORES,
    )
