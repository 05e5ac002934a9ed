"""Lanes: named queues of an owner, of which so many jobs are under way at a time as their concurrency says.

A job beyond it is Waiting: it is not matched, its time does not run, only its queue deadline does. When one of the
lane ends, the next is opened, by priority and age. A start that went by meanwhile is moved to the present, with the
rest of the schedule: a sequence of builds needs no guess how long each will take.
"""

from dataclasses import replace

from pallets.jobs import terms
from pallets.jobs.events import JobOpened, JobWaiting
from pallets.jobs.records import JobState
from pallets.jobs.store import JobStore, LaneKey

OPENED_AT_ONCE = 4
"""One end makes room for one job; a lane whose concurrency was raised catches up a few at a time."""


def enter(store: JobStore, id: int) -> None:
    """A new job takes a place of its lane, or waits for one."""
    spec, key = store.specs.get(id), lane_of(store, id)
    if key is None or spec.queue.lane is None:
        return
    lane = store.lanes.get(key)
    if not lane.waiting and lane.under_way < spec.queue.lane.concurrency:
        store.lanes.put(key, replace(lane, under_way=lane.under_way + 1))
        return
    waiting = store.queue.join(lane.waiting, id, spec.queue.priority, store.agenda.now())
    store.lanes.put(key, replace(lane, waiting=waiting))
    store.change_job(id, state=JobState.WAITING)
    store.emit(JobWaiting(id))


def leave(store: JobStore, id: int) -> None:
    """A live job is about to end: it gives its place to the next, or stops waiting for one."""
    key = lane_of(store, id)
    if key is None:
        return
    lane = store.lanes.get(key)
    if store.jobs.get(id).state is JobState.WAITING:
        store.lanes.put(key, replace(lane, waiting=store.queue.quit(lane.waiting, id)))
    else:
        store.lanes.put(key, replace(lane, under_way=lane.under_way - 1))
    _open_next(store, key)
    if not store.lanes.get(key).under_way:
        store.lanes.remove(key)


def _open_next(store: JobStore, key: LaneKey) -> None:
    for _ in range(OPENED_AT_ONCE):
        lane = store.lanes.get(key)
        best = next(store.queue.merged(lane.waiting, store.agenda.now()), None)
        if best is None:
            return
        wanted = store.specs.get(best).queue.lane
        assert wanted is not None, "who waits in a lane names it"
        if lane.under_way >= wanted.concurrency:
            return
        waiting = store.queue.quit(lane.waiting, best)
        store.lanes.put(key, replace(lane, under_way=lane.under_way + 1, waiting=waiting))
        _open(store, best)


def _open(store: JobStore, id: int) -> None:
    spec, now = store.specs.get(id), store.system.now_ms
    late = max(0, now - spec.schedule.start_ms)
    if late:
        schedule = spec.schedule
        moved = replace(schedule, start_ms=schedule.start_ms + late, end_ms=schedule.end_ms + late)
        spec = replace(spec, schedule=moved)
        store.specs.put(id, spec)
    store.change_job(
        id,
        state=JobState.OPEN,
        queue_deadline=terms.queue_deadline(store, spec),
        total_deadline=terms.total_deadline(store, spec),
    )
    store.relist(id)
    store.emit(JobOpened(id, spec.schedule.start_ms))
    terms.rearm_job(store, id)


def lane_of(store: JobStore, id: int) -> LaneKey | None:
    """The owner and name of a job's lane."""
    lane = store.specs.get(id).queue.lane
    return None if lane is None else (store.jobs.get(id).owner, lane.name)
