"""Competing assignment: each execution is competed for shortly before it starts; then its slot is open again."""

from dataclasses import replace
from typing import Any

from pallets.balances import HoldReason
from pallets.jobs import types
from pallets.jobs.events import JobAssigned, SlotVacated
from pallets.jobs.failure import Released
from pallets.jobs.queries import open_jobs
from pallets.jobs.records import ExecutionState, JobState, JobSucceeded, SlotState
from pallets.matching.types import Reason
from pallets.processors.types import FREE
from tests.helpers.job_world import ALICE, HDL, PARAMETERS, PROCESSORS, World

ONE, TWO, THREE = PROCESSORS[:3]
QUIET = {**PARAMETERS, "matching": {**PARAMETERS["matching"], "fallbackAfterSlots": 100_000}}
INTERVAL_MS = 1_000_000


def ready() -> World:
    """Three processors that advertise."""
    world = World(QUIET)
    for processor in (ONE, TWO, THREE):
        world.offer_capacity(processor)
    return world


def competing(world: World, count: int = 3, *, slots: int = 1, wait_ms: int = 1_000_000, **changes: Any) -> int:
    """A job whose executions are competed for."""
    start = world.system.now_ms + wait_ms
    schedule = types.Schedule(start, start + (count - 1) * INTERVAL_MS + 1, INTERVAL_MS, 10_000, 20_000)
    terms = {"slots": slots, "schedule": schedule, "assignment": types.Competing(), **changes}
    return world.register(spec=world.spec(**terms))


def until_open(world: World, job: int) -> None:
    """Blocks until a slot of the job is competed for, and the draw is known."""
    world.until(lambda: open_jobs(world.jobs) == [job], slots_max=1_100)
    world.slots(3)
    for processor in (ONE, TWO, THREE):
        world.call("Processors", "heartbeat", processor, 1)


def acknowledge(world: World, job: int) -> None:
    """The winner promises its execution, which then comes up."""
    world.until_slot(job, 0, SlotState.OFFERED)
    world.acknowledge(job, 0)
    world.until(lambda: bool(world.slot(job, 0).live), slots_max=300)


def test_an_execution_is_competed_for_five_minutes_before_it_starts() -> None:
    """Until then the job is not in the queue, and a proposal is too early."""
    world = ready()
    job = competing(world)
    assert open_jobs(world.jobs) == []
    world.slots(3)
    world.propose(job, ONE)
    assert world.jobs.rejections.get(job)[Reason.TOO_EARLY.value] == 1
    start = world.jobs.specs.get(job).schedule.start_ms
    until_open(world, job)
    assert start - 300_000 <= world.system.now_ms <= start - 295_000
    world.check()


def test_each_execution_may_go_to_another_processor() -> None:
    """Whoever is best has it, for this execution alone: one interval in the calendar, a bond, its pay."""
    world = ready()
    job = competing(world)
    for execution, who in enumerate((ONE, TWO, ONE)):
        until_open(world, job)
        world.propose(job, who)
        world.until_slot(job, 0, SlotState.OFFERED)
        assert [lease.count for lease in world.processors.leases.get(who)] == [1]
        acknowledge(world, job)
        assert world.job(job).state is JobState.ASSIGNED
        world.check()
        world.run(job, execution, 0)
        assert world.balances.held(who, HoldReason.BOND) == 0
        assert not world.processors.leases.get(who)
        world.check()
    assert world.job(job).end == JobSucceeded()
    assert [event.reason for event in world.events(SlotVacated)] == [Released(), Released()]
    assert len(world.events(JobAssigned)) == 1
    assert [world.balances.total(who) for who in (ONE, TWO)] == [10_002 * HDL, 10_001 * HDL]


def test_the_best_of_several_proposals_has_the_execution() -> None:
    """The cheaper one wins the window, though it came last, and in the next round as well."""
    world = ready()
    world.call("Processors", "advertise", TWO, world.advert(pricing=replace(FREE, base=HDL // 2)))
    job = competing(world, 2)
    for execution in range(2):
        until_open(world, job)
        world.propose(job, ONE)
        world.propose(job, TWO)
        world.until_slot(job, 0, SlotState.OFFERED)
        assert world.slot(job, 0).processor == TWO
        acknowledge(world, job)
        world.run(job, execution, 0)
    assert world.job(job).end == JobSucceeded()


def test_a_job_begins_with_the_first_slot_that_is_taken() -> None:
    """There is no all or nothing over the slots: one is run while the other still waits."""
    world = ready()
    job = competing(world, 1, slots=2, accepted_min=1)
    until_open(world, job)
    world.propose(job, ONE)
    acknowledge(world, job)
    assert world.job(job).state is JobState.ASSIGNED
    world.run(job, 0, 0)
    assert world.job(job).accepted == 1
    assert open_jobs(world.jobs) == [job]
    world.check()


def test_an_execution_that_nobody_takes_is_lost_and_the_next_is_competed_for() -> None:
    """The job goes on, the money of the lost one comes back at its end."""
    world = ready()
    retry = types.RetryPolicy(1, 0, 1_000, 1_000, 1, 1)
    job = competing(world, 3, retry=retry, accepted_min=2)
    for execution in (0, 2):
        until_open(world, job)
        world.propose(job, ONE)
        acknowledge(world, job)
        world.run(job, execution, 0)
        if not execution:
            until_open(world, job)
            world.until(lambda: world.slot(job, 0).ended == 2, slots_max=400)
            assert world.execution(job, 0, 1).state is ExecutionState.LOST
            world.check()
    assert world.job(job).end == JobSucceeded()
    assert world.balances.total(ONE) == 10_002 * HDL
    world.check()


def test_a_processor_that_fails_its_execution_gives_it_to_others() -> None:
    """Lost before its start: a fine for the one, and another takes the same execution."""
    world = ready()
    job = competing(world, 1)
    until_open(world, job)
    world.propose(job, ONE)
    acknowledge(world, job)
    world.until(lambda: world.slot(job, 0).state is SlotState.VACANT, slots_max=400)
    assert world.balances.total(ONE) < 10_000 * HDL
    world.slots(3)
    world.propose(job, TWO)
    acknowledge(world, job)
    world.run(job, 0, 0)
    assert world.job(job).end == JobSucceeded()
    world.check()


def test_a_far_start_does_not_use_up_the_time_in_the_queue() -> None:
    """The queue deadline counts from when the first execution is competed for."""
    world = ready()
    job = competing(world, 1, wait_ms=800_000, timeouts=types.Timeouts(30, 60_000))
    world.slots(490)
    assert world.job(job).state is JobState.OPEN
    world.slots(75)
    assert world.job(job).state is JobState.EXPIRED
    assert world.balances.held(ALICE, HoldReason.JOB_ESCROW) == 0


def test_an_extension_needs_nobodys_consent() -> None:
    """Nobody has promised more than one execution."""
    world = ready()
    job = competing(world, 1)
    until_open(world, job)
    world.propose(job, ONE)
    acknowledge(world, job)
    world.call("Jobs", "extend", ALICE, job, world.jobs.specs.get(job).schedule.end_ms + INTERVAL_MS)
    assert [lease.count for lease in world.processors.leases.get(ONE)] == [1]
    world.run(job, 0, 0)
    assert world.slot(job, 0).state is SlotState.VACANT
    world.check()


def test_the_slots_that_nobody_had_end_with_the_job() -> None:
    """They have a record all the same, because they wait for their time; no slot of an ended job is vacant."""
    world = ready()
    job = competing(world, slots=2)
    until_open(world, job)
    world.propose(job, ONE)
    world.until_slot(job, 0, SlotState.OFFERED)
    world.acknowledge(job, 0)
    assert world.jobs.slots.contains((job, 1))
    world.call("Jobs", "cancel", ALICE, job)
    assert world.slot(job, 1).state is SlotState.CLOSED
    world.check()
