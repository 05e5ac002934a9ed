"""Whether the fields that steer a job's life have a meaning together: lanes, named processors, parts of an input."""

from pallets.jobs import bounds
from pallets.jobs.errors import Field, OutOfBounds
from pallets.jobs.modes import is_compared
from pallets.jobs.types import Competing, JobSpec, PartsInput, Single


def check_life(spec: JobSpec, executions: int) -> None:
    """Raises OutOfBounds."""
    _check_lane(spec)
    if spec.queue.preemptible and is_compared(spec):
        # Its replicas must all be there in time: an interruption would cost the others their round.
        raise OutOfBounds(Field.PREEMPTION)
    if isinstance(spec.assignment, Competing) and (is_compared(spec) or spec.queue.lane is not None):
        raise OutOfBounds(Field.ASSIGNMENT)
    if isinstance(spec.input, PartsInput) and len(spec.input.parts) != executions:
        raise OutOfBounds(Field.INPUT)
    if isinstance(spec.assignment, Single) and spec.assignment.instant:
        _check_named(spec, spec.assignment)


def _check_lane(spec: JobSpec) -> None:
    lane = spec.queue.lane
    if lane is not None and not (lane.name and 0 < lane.concurrency <= bounds.LANE_CONCURRENCY_MAX):
        raise OutOfBounds(Field.LANE)


def _check_named(spec: JobSpec, assignment: Single) -> None:
    """One processor for each slot, at once: a job that may have to wait in a lane cannot name any."""
    named = assignment.instant
    late = any(chosen.start_delay_ms > spec.schedule.start_delay_max_ms for chosen in named)
    different = len({chosen.processor for chosen in named}) == len(named) == spec.slots
    if late or not different or spec.queue.lane is not None:
        raise OutOfBounds(Field.INSTANT_MATCH)
