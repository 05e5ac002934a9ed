"""What an owner may do with a live job: pause, resume, top up, extend; who may not, and what it does to the others."""

from dataclasses import replace
from typing import Any

import pytest

from pallets.balances import HoldReason
from pallets.escrow.errors import DepositNotAvailable
from pallets.jobs import bounds, errors, types
from pallets.jobs.events import JobExtended, JobPaused, JobResumed, SlotVacated
from pallets.jobs.failure import Paused
from pallets.jobs.queries import open_jobs
from pallets.jobs.records import ExecutionState, Expiry, JobExpired, JobState, JobSucceeded, SlotState
from pallets.matching.types import Reason
from pallets.processors.calendar import Capacity
from pallets.processors.errors import NoRoomInCalendar
from tests.helpers.job_world import ALICE, BOB, HDL, PARAMETERS, PROCESSORS, SLOT_MS, World

ONE, TWO = PROCESSORS[:2]
QUIET = {**PARAMETERS, "matching": {**PARAMETERS["matching"], "fallbackAfterSlots": 100_000}}
OWNER_CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("pause", ()),
    ("resume", ()),
    ("top_up", (HDL,)),
    ("extend", (10**13,)),
]


def ready(parameters: dict[str, dict[str, int]] | None = None, **advert: Any) -> World:
    """Two processors that advertise."""
    world = World(QUIET if parameters is None else parameters)
    for processor in (ONE, TWO):
        world.offer_capacity(processor, world.advert(**advert))
    return world


def interval(world: World, count: int, *, interval_ms: int = 100_000, wait_ms: int = 10_000, **changes: Any) -> int:
    """A one-slot job with so many executions."""
    start = world.system.now_ms + wait_ms
    schedule = types.Schedule(start, start + (count - 1) * interval_ms + 1, interval_ms, 10_000, 20_000)
    return world.register(spec=world.spec(slots=1, schedule=schedule, **changes))


@pytest.mark.parametrize(("name", "arguments"), OWNER_CALLS)
def test_only_the_owner_of_a_live_job_may(name: str, arguments: tuple[Any, ...]) -> None:
    """NotOwner for others, JobNotFound, JobEnded; nothing has changed."""
    world = ready()
    job = world.register()
    mark = world.state.mark()
    assert world.refuses("Jobs", name, BOB, job, *arguments) is errors.NotOwner
    assert world.refuses("Jobs", name, ONE, job, *arguments) is errors.NotOwner
    assert world.refuses("Jobs", name, ALICE, job + 1, *arguments) is errors.JobNotFound
    assert world.state.mark() == mark
    world.call("Jobs", "cancel", ALICE, job)
    assert world.refuses("Jobs", name, ALICE, job, *arguments) is errors.JobEnded


# Pause and resume.


def test_a_paused_job_is_not_matched_and_says_why() -> None:
    """It leaves the queue, proposals are turned down as PAUSED, and it comes back when it is resumed."""
    world = ready()
    job = world.register()
    world.slots(3)
    world.call("Jobs", "pause", ALICE, job)
    assert open_jobs(world.jobs) == []
    world.propose(job, ONE)
    assert world.jobs.rejections.get(job)[Reason.PAUSED.value] == 1
    assert world.refuses("Jobs", "pause", ALICE, job) is errors.AlreadyPaused
    world.check()
    world.call("Jobs", "resume", ALICE, job)
    assert open_jobs(world.jobs) == [job]
    assert world.refuses("Jobs", "resume", ALICE, job) is errors.NotPaused
    world.assign(job, ONE, TWO)
    assert world.job(job).state is JobState.ASSIGNED
    assert [len(world.events(kind)) for kind in (JobPaused, JobResumed)] == [1, 1]


def test_a_window_that_closes_during_a_pause_gives_no_offer() -> None:
    """The proposals competed before; the job is paused when they are judged again."""
    world = ready()
    job = world.register()
    world.slots(3)
    world.propose(job, ONE)
    world.call("Jobs", "pause", ALICE, job)
    world.slots(4)
    assert world.slot(job, 0).state is SlotState.VACANT
    world.check()


def test_during_a_pause_no_execution_comes_up_and_what_runs_ends_as_ever() -> None:
    """The running one is reported and paid; those that the pause swallowed are left out, and the rest succeeds."""
    world = ready()
    job = interval(world, 4)
    world.assign(job, ONE)
    world.start(job, 0, 0)
    world.call("Jobs", "pause", ALICE, job)
    world.slots(2)
    world.report(job, 0, 0)
    assert world.execution(job, 0, 0).state is ExecutionState.ACCEPTED
    world.slots(230)
    assert world.slot(job, 0).next == 1
    assert world.slot(job, 0).processor == ONE
    world.call("Jobs", "resume", ALICE, job)
    assert world.job(job).skipped == 2
    world.run(job, 3, 0)
    assert world.job(job).end == JobSucceeded()
    assert world.balances.total(ONE) == 10_002 * HDL
    assert world.balances.held(ALICE, HoldReason.JOB_ESCROW) == 0
    world.check()


def test_a_pause_of_more_than_an_hour_lets_the_processors_go_without_fault() -> None:
    """The bond comes back, nothing is fined or debited, the slot is vacant, and is matched anew after the pause."""
    world = ready()
    job = interval(world, 3, interval_ms=5_000_000, wait_ms=4_000_000)
    world.assign(job, ONE)
    world.call("Jobs", "pause", ALICE, job)
    world.slots(3_599)
    assert world.slot(job, 0).processor == ONE
    world.slots(1)
    assert world.slot(job, 0).state is SlotState.VACANT
    assert world.events(SlotVacated)[-1].reason == Paused()
    assert world.balances.total(ONE) == 10_000 * HDL
    assert world.balances.held(ONE, HoldReason.BOND) == 0
    assert not world.jobs.marks.get(job)
    assert open_jobs(world.jobs) == []
    world.check()
    world.call("Jobs", "resume", ALICE, job)
    world.call("Processors", "heartbeat", TWO, 1)
    world.slots(3)
    world.propose(job, TWO)
    world.until_slot(job, 0, SlotState.OFFERED)


def test_a_long_pause_waits_for_a_run_that_is_longer() -> None:
    """A run of two hours ends and is paid; then its processor is let go."""
    world = ready()
    start = world.system.now_ms + 5_000
    schedule = types.Schedule(start, start + 8_000_001, 8_000_000, 7_200_000, 20_000)
    job = world.register(spec=world.spec(slots=1, schedule=schedule))
    world.assign(job, ONE)
    world.start(job, 0, 0)
    world.call("Jobs", "pause", ALICE, job)
    slot = world.slot(job, 0)
    for _ in range(74):
        world.slots(50)
        world.call("Jobs", "progress", ONE, job, 0, 0, slot.generation, 1, 500)
    assert world.slot(job, 0).processor == ONE
    world.report(job, 0, 0)
    world.slots(2)
    assert world.execution(job, 0, 0).state is ExecutionState.ACCEPTED
    assert world.slot(job, 0).state is SlotState.VACANT
    world.check()


def test_a_processor_may_leave_a_paused_job_freely() -> None:
    """No notice is needed while nothing of the job is under way."""
    world = ready()
    job = interval(world, 2, wait_ms=200_000)
    world.assign(job, ONE)
    world.call("Jobs", "pause", ALICE, job)
    world.call("Jobs", "resign", ONE, job, 0, world.slot(job, 0).generation)
    assert world.balances.total(ONE) == 10_000 * HDL
    assert world.slot(job, 0).state is SlotState.VACANT


def test_a_pause_stops_no_deadline_of_the_job_itself() -> None:
    """Paused for ever, it expires, and everything comes back."""
    world = ready()
    job = world.register()
    world.call("Jobs", "pause", ALICE, job)
    world.until(lambda: world.job(job).state is JobState.EXPIRED)
    assert world.job(job).end == JobExpired(Expiry.FIRST_START)
    assert world.balances.total(ALICE) == world.balances.free(ALICE) == 10_000 * HDL
    world.check()


# Top-up and extension.


def test_money_that_was_added_and_not_used_comes_back() -> None:
    """It is held at once, counts as deposited, and the end releases it."""
    world = ready()
    job = world.register()
    before = world.escrow.ledgers.get(job)
    world.call("Jobs", "top_up", ALICE, job, 7 * HDL)
    after = world.escrow.ledgers.get(job)
    assert after.pots.spare == 7 * HDL
    assert after.deposited - before.deposited == 7 * HDL
    world.check()
    world.call("Jobs", "cancel", ALICE, job)
    assert world.balances.free(ALICE) == 10_000 * HDL


def test_what_cannot_be_held_cannot_be_added() -> None:
    """DepositNotAvailable past the free balance, OutOfBounds for nothing and for more than there can be."""
    world = ready()
    job = world.register()
    free = world.balances.free(ALICE) - world.balances.existential_deposit
    for amount, error in (
        (0, errors.OutOfBounds),
        (bounds.REWARD_MAX + 1, errors.OutOfBounds),
        (free + 1, DepositNotAvailable),
    ):
        assert world.refuses("Jobs", "top_up", ALICE, job, amount) is error
    world.call("Jobs", "top_up", ALICE, job, free)
    world.check()


def test_an_extended_job_has_more_executions_and_pays_each() -> None:
    """The deposit grows to that of a longer job, the lease with it, and all executions are run and paid."""
    world = ready()
    job, twin = (interval(world, count) for count in (2, 4))
    schedule = world.jobs.specs.get(twin).schedule
    world.call("Jobs", "extend", ALICE, job, schedule.end_ms)
    assert world.job(job).executions == 4
    assert world.escrow.ledgers.get(job).pots == world.escrow.ledgers.get(twin).pots
    assert world.job(job).total_deadline == world.job(twin).total_deadline
    assert world.events(JobExtended) == [JobExtended(job, schedule.end_ms, 4)]
    world.assign(job, ONE)
    longest = schedule.end_ms + 100_000
    world.call("Jobs", "extend", ALICE, job, longest)
    assert [lease.count for lease in world.processors.leases.get(ONE)] == [5]
    world.check()
    for execution in range(5):
        world.run(job, execution, 0)
    assert world.job(job).end == JobSucceeded()
    assert world.balances.total(ONE) == 10_005 * HDL
    world.check()


def test_an_extension_uses_what_was_added_before() -> None:
    """Only what the spare money lacks is taken from the owner."""
    world = ready()
    job = interval(world, 1)
    end_ms = world.jobs.specs.get(job).schedule.end_ms + 100_000
    world.call("Jobs", "top_up", ALICE, job, HDL)
    deposited = world.escrow.ledgers.get(job).deposited
    world.call("Jobs", "extend", ALICE, job, end_ms)
    ledger = world.escrow.ledgers.get(job)
    assert ledger.pots.spare == 0
    rates = world.escrow.rates.get()
    one_more = world.escrow.cost_of(2 * HDL) + 3 * (2 * HDL // 10) + rates.agenda_fee
    assert ledger.deposited - deposited == one_more - HDL
    world.check()


def test_an_extension_is_refused_where_it_cannot_be_kept() -> None:
    """Not longer, past the horizon, too many, too dear, without room at the processor, too late: nothing changes."""
    world = ready(capacity=Capacity(8 << 30, 8 << 30, 1))
    job = interval(world, 2)
    end_ms = world.jobs.specs.get(job).schedule.end_ms
    poor = replace(world.spec(slots=1, reward=1_000 * HDL), schedule=world.jobs.specs.get(job).schedule)
    dear = world.register(BOB, poor)
    world.assign(job, ONE)
    later = interval(world, 1, wait_ms=220_000)
    world.slots(3)
    world.propose(later, ONE)
    world.until_slot(later, 0, SlotState.OFFERED)
    mark = world.state.mark()
    for who, which, end, error in (
        (ALICE, job, end_ms, errors.OutOfBounds),
        (ALICE, job, end_ms + 99_998, errors.OutOfBounds),
        (ALICE, job, world.system.now_ms + bounds.HORIZON_MS + 1, errors.EndPastHorizon),
        (ALICE, job, end_ms + 200_000, NoRoomInCalendar),
        (BOB, dear, end_ms + 10**6, DepositNotAvailable),
    ):
        assert world.refuses("Jobs", "extend", who, which, end) is error
    assert world.state.mark() == mark
    many = interval(world, 100, interval_ms=20_000, reward=1)
    quick = replace(world.jobs.specs.get(many).schedule, interval_ms=2, duration_ms=1)
    world.jobs.specs.put(many, replace(world.jobs.specs.get(many), schedule=quick))
    assert world.refuses("Jobs", "extend", ALICE, many, quick.end_ms + 10**6) is errors.TooManyExecutions


def test_a_job_whose_slot_is_closed_is_not_extended() -> None:
    """One of two slots is over; it cannot begin anew."""
    world = ready()
    job = world.register()
    world.assign(job, ONE, TWO)
    world.run(job, 0, 0)
    assert world.refuses("Jobs", "extend", ALICE, job, world.system.now_ms + 10**6) is errors.ExtensionTooLate


def test_a_processor_may_leave_freely_until_an_extension_takes_effect() -> None:
    """Before the first added execution it goes without a fine; once that has come up it owes notice again."""
    world = ready()
    job = interval(world, 2, wait_ms=50_000)
    spec = world.jobs.specs.get(job)
    world.assign(job, ONE)
    world.call("Jobs", "extend", ALICE, job, spec.schedule.end_ms + 400_000)
    assert world.job(job).leave_until_ms == spec.schedule.start_ms + 2 * spec.schedule.interval_ms
    world.run(job, 0, 0)
    world.call("Jobs", "resign", ONE, job, 0, world.slot(job, 0).generation)
    assert world.balances.total(ONE) == 10_001 * HDL
    world.check()


def test_a_pause_outlasts_an_outage_of_the_chain() -> None:
    """The hour is counted in the chain's own time, not on the clock."""
    world = ready()
    job = interval(world, 2, interval_ms=50_000_000, wait_ms=40_000_000)
    world.assign(job, ONE)
    world.call("Jobs", "pause", ALICE, job)
    world.slots(1, gap=30_000_000 // SLOT_MS)
    assert world.slot(job, 0).processor == ONE
    world.check()


def test_an_extension_keeps_to_the_rules_of_the_mode() -> None:
    """A week to doubt a single result is well; with more executions so many would wait that the slots run full."""
    world = ready()
    mode = types.OwnerAccept(bounds.WINDOW_MS_MAX)
    single = interval(world, 1, verification=mode)
    end_ms = world.jobs.specs.get(single).schedule.end_ms
    mark = world.state.mark()
    assert world.refuses("Jobs", "extend", ALICE, single, end_ms + 10**6) is errors.OutOfBounds
    assert world.state.mark() == mark
    short = interval(world, 1, verification=types.OwnerAccept(bounds.WINDOW_MS_MIN))
    world.call("Jobs", "extend", ALICE, short, end_ms + 10**6)
    world.check()
