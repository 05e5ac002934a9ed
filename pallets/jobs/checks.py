"""The invariants of Jobs, checked after every block in tests."""

from pallets.jobs.executions import AWAITING_STATES, LIVE_EXECUTION_STATES
from pallets.jobs.lanes import lane_of
from pallets.jobs.queue import rank
from pallets.jobs.records import LIVE_STATES, ExecutionState, Job, JobState, SlotState
from pallets.jobs.store import JobStore, LaneKey, wants_processors
from pallets.jobs.types import Competing
from runtime.errors import InvariantBroken


def check_jobs(store: JobStore) -> None:
    """Raises InvariantBroken naming the job."""
    listed = _check_queue(store)
    owners: dict[bytes, int] = {}
    for job_id, job in store.jobs.items():
        live = job.state in LIVE_STATES
        owners[job.owner] = owners.get(job.owner, 0) + live
        _require(job_id, _is_listed_rightly(store, job_id, job, job_id in listed), "queue")
        ledger = store.escrow.ledgers.find(job_id)
        _require(job_id, ledger is not None, "no ledger")
        if not live:
            _require(job_id, ledger is not None and ledger.pots.total() == 0, "ended, but money is held")
            _require(job_id, job.end is not None, "ended without an end")
        _check_slots(store, job_id, job, live=live)
    _check_awaiting(store)
    for owner, count in owners.items():
        if store.owner_live.get(owner) != count:
            raise InvariantBroken(f"jobs: 0x{owner.hex()} has {count} live jobs, counted {store.owner_live.get(owner)}")
    _check_lanes(store)
    for (job_id, number, execution), _state in store.checkpoints.items():  # noqa: PERF102 - storage maps have items only
        _require(job_id, execution in store.slot(job_id, number).live, f"checkpoint of execution {execution}")
    for job_id, versions in store.scripts.items():
        firsts = [version.first for version in versions]
        _require(job_id, firsts == sorted(set(firsts)), f"versions of the script from {firsts}")
    for who, leases in store.processors.leases.items():
        for lease in leases:
            slot = store.slot(lease.job, lease.slot)
            _require(lease.job, slot.processor == who, f"lease of 0x{who.hex()} without its slot")


def _is_listed_rightly(store: JobStore, id: int, job: Job, listed: bool) -> bool:
    """A job whose executions are competed for may have a vacant slot whose time has not come."""
    wanted = wants_processors(job)
    return (not listed or wanted) if isinstance(store.specs.get(id).assignment, Competing) else listed == wanted


def _check_queue(store: JobStore) -> set[int]:
    """The jobs of the dense list, which the lines hold too, each at the place that its record names."""
    queue, clock = store.queue, store.agenda.now()
    listed = [queue.at.get(place) for place in range(queue.count.get())]
    ordered = list(queue.in_order(clock))
    if len(set(ordered)) != len(ordered) or sorted(ordered) != sorted(listed):
        raise InvariantBroken(f"jobs: the lines hold {ordered}, the list {listed}")
    # Of jobs that came in the same slot the line keeps the order of arrival, whatever their numbers.
    ranks = [rank(queue.places.get(job), clock, job)[:2] for job in ordered]
    if ranks != sorted(ranks):
        raise InvariantBroken(f"jobs: the queue is out of order: {ranks}")
    return set(listed)


def _check_lanes(store: JobStore) -> None:
    """Each lane counts its live jobs that do not wait, and holds those that do."""
    found: dict[LaneKey, tuple[int, list[int]]] = {}
    for job_id, job in store.jobs.items():
        key = lane_of(store, job_id)
        if key is not None and job.state in LIVE_STATES:
            under_way, waiting = found.get(key, (0, []))
            waits = job.state is JobState.WAITING
            found[key] = (under_way + (not waits), [*waiting, job_id] if waits else waiting)
    clock = store.agenda.now()
    kept = {key: (lane.under_way, sorted(store.queue.merged(lane.waiting, clock))) for key, lane in store.lanes.items()}
    if kept != {key: (count, sorted(waiting)) for key, (count, waiting) in found.items()}:
        raise InvariantBroken(f"jobs: lanes hold {kept}, jobs say {found}")


def _check_slots(store: JobStore, id: int, job: Job, *, live: bool) -> None:
    counts = dict.fromkeys(SlotState, 0)
    closed = awaiting = 0
    for number, slot in store.slots_of(id):
        counts[slot.state] += 1
        closed += slot.ended
        awaiting += slot.awaiting
        held = slot.state in (SlotState.OFFERED, SlotState.ACKNOWLEDGED)
        _require(id, live or slot.state is SlotState.CLOSED, f"ended, but slot {number} is {slot.state.name}")
        bond = store.escrow.bonds.find((id, number, slot.generation))
        bonded = bond is not None and bond.leased
        _require(id, bonded == (slot.state is SlotState.ACKNOWLEDGED and job.reward > 0), f"bond of slot {number}")
        leases = store.processors.leases.get(slot.processor) if held and slot.processor is not None else ()
        _require(id, not held or any((x.job, x.slot) == (id, number) for x in leases), f"lease of slot {number}")
        for execution in slot.live:
            record = store.executions.find((id, number, execution))
            good = record is not None and record.state in LIVE_EXECUTION_STATES
            _require(id, good, f"execution {execution} of slot {number} is not live")
            waits = record is not None and record.state is ExecutionState.SCHEDULED
            good = waits or slot.state is SlotState.ACKNOWLEDGED
            _require(id, good, f"execution {execution} runs in slot {number}, which nobody holds")
        for execution in slot.kept:
            record = store.executions.find((id, number, execution))
            good = record is not None and record.state not in (*LIVE_EXECUTION_STATES, *AWAITING_STATES)
            _require(id, good, f"execution {execution} of slot {number} is not over")
    _require(id, job.awaiting == awaiting, f"{job.awaiting} awaiting, slots have {awaiting}")
    if job.closing is not None:
        _require(id, live and awaiting > 0, "closing, but nothing awaits judgment")
        _require(id, counts[SlotState.CLOSED] == job.slots, "closing, but a slot is not closed")
    elif live:
        counters = (job.vacant, job.acknowledged, job.closed_slots)
        found = (counts[SlotState.VACANT], counts[SlotState.ACKNOWLEDGED], counts[SlotState.CLOSED])
        _require(id, counters == found, f"counters {counters}, slots {found}")
        _require(id, job.closed == closed + job.skipped, f"{job.closed} closed, {closed} ended")


def _check_awaiting(store: JobStore) -> None:
    found: dict[tuple[int, int], int] = {}
    for (job, number, execution), record in store.executions.items():
        waits = record.state in AWAITING_STATES
        found[job, number] = found.get((job, number), 0) + waits
        slot = store.slot(job, number)
        _require(job, waits or execution in (*slot.live, *slot.kept), f"execution {execution} belongs to no list")
    for (job, number), slot in store.slots.items():
        counted = found.get((job, number), 0)
        _require(job, slot.awaiting == counted, f"slot {number}: {slot.awaiting} awaiting, {counted} found")


def _require(id: int, good: bool, what: str) -> None:
    if not good:
        raise InvariantBroken(f"jobs: job {id}: {what}")
