"""The queue: priority, what age makes up for, fairness, and its bounds."""

import random

import pytest

from pallets.jobs import bounds, errors, types
from pallets.jobs.queries import open_jobs
from pallets.jobs.queue import AGEING_SLOTS, rank
from pallets.jobs.records import JobState, SlotState
from pallets.processors.calendar import Capacity
from tests.helpers.job_world import ALICE, BOB, MATCHER, PARAMETERS, PROCESSORS, World

ONE = PROCESSORS[0]
QUIET = {**PARAMETERS, "matching": {**PARAMETERS["matching"], "fallbackAfterSlots": 100_000}}
LATE_MS = 80_000_000


def waiting(world: World, priority: int, **changes: object) -> int:
    """A one-slot job of this priority that waits for days."""
    start = world.system.now_ms + LATE_MS
    schedule = types.Schedule(start, start + 1, 60_000, 10_000, 60_000)
    timeouts = types.Timeouts(30, bounds.QUEUE_MS_MAX)
    queue = types.Queue(priority=priority)
    return world.register(spec=world.spec(slots=1, schedule=schedule, timeouts=timeouts, queue=queue, **changes))


def test_a_higher_priority_comes_first_and_of_equals_the_oldest() -> None:
    """The order of the queue is not that of registration."""
    world = World(QUIET)
    jobs = [waiting(world, priority) for priority in (0, 5, 31, 5, 0)]
    assert open_jobs(world.jobs) == [jobs[2], jobs[1], jobs[3], jobs[0], jobs[4]]
    assert open_jobs(world.jobs, 2) == [jobs[2], jobs[1]]
    world.check()


def test_a_priority_is_made_up_for_by_three_hundred_slots_of_waiting() -> None:
    """One slot less and the younger job of the next priority is still in front; as old in all, the older one is."""
    world = World(QUIET)
    old = waiting(world, 1)
    world.slots(AGEING_SLOTS - 1)
    young = waiting(world, 2)
    assert open_jobs(world.jobs) == [young, old]
    world.slots(1)
    assert open_jobs(world.jobs) == [old, young]


def test_a_job_leaves_the_queue_at_its_place_and_comes_back_at_the_end() -> None:
    """From the middle, the head and the end of its line; a slot that is vacant again waits from then on."""
    world = World(QUIET)
    world.offer_capacity(ONE)
    jobs = [waiting(world, 3) for _ in range(4)]
    world.call("Jobs", "cancel", ALICE, jobs[1])
    assert open_jobs(world.jobs) == [jobs[0], jobs[2], jobs[3]]
    world.call("Jobs", "cancel", ALICE, jobs[3])
    world.slots(3)
    world.propose(jobs[0], ONE)
    world.until_slot(jobs[0], 0, SlotState.OFFERED)
    assert open_jobs(world.jobs) == [jobs[2]]
    world.until_slot(jobs[0], 0, SlotState.VACANT)
    assert open_jobs(world.jobs) == [jobs[2], jobs[0]]
    world.check()
    for job in (jobs[0], jobs[2]):
        world.call("Jobs", "cancel", ALICE, job)
    assert world.jobs.queue.lines.get() == ()
    world.check()


def test_the_chain_places_the_job_of_the_highest_priority_first() -> None:
    """There is one processor with one core, and the last job to come gets it."""
    world = World()
    jobs = [waiting(world, priority) for priority in (0, 1, 0, 0, 0, 9)]
    world.slots(6)
    world.offer_capacity(ONE, world.advert(capacity=Capacity(8 << 30, 8 << 30, 1)))
    world.until(lambda: any(not world.job(job).vacant for job in jobs))
    assert [world.job(job).state for job in jobs] == [JobState.OPEN] * 5 + [JobState.MATCHED]


def test_jobs_that_nobody_can_take_do_not_starve_the_others() -> None:
    """Behind many impossible jobs of the highest priority, one of the lowest is looked at going round."""
    world = World()
    world.offer_capacity(ONE)
    for _ in range(12):
        waiting(world, bounds.PRIORITY_MAX, requirements=types.Requirements(labels=("moon",)))
    job = waiting(world, 0)
    world.until(lambda: world.slot(job, 0).processor == ONE, slots_max=14)


def test_a_full_queue_refuses_new_jobs_and_says_so() -> None:
    """QueueFull; slots that become vacant again still find their place."""
    world = World({**QUIET, "jobs": {"openJobsMax": 2}})
    world.offer_capacity(ONE)
    jobs = [waiting(world, 0) for _ in range(2)]
    assert world.refuses("Jobs", "register", BOB, world.spec()) is errors.QueueFull
    world.slots(3)
    world.propose(jobs[0], ONE)
    world.until_slot(jobs[0], 0, SlotState.OFFERED)
    waiting(world, 0)
    world.until_slot(jobs[0], 0, SlotState.VACANT)
    assert len(open_jobs(world.jobs)) == 3
    assert world.refuses("Jobs", "register", BOB, world.spec()) is errors.QueueFull
    world.check()


@pytest.mark.parametrize("seed", range(8))
def test_the_lines_keep_the_order_of_a_sorted_list(seed: int) -> None:
    """Jobs enter and leave at random; the merge of the lines is the waiting jobs, sorted by their rank."""
    world, chance = World(QUIET), random.Random(seed)
    queue, clock, waits = world.jobs.queue, 0, set[int]()
    for job in range(300):
        clock += chance.choice((0, 0, 1, 40, 500))
        queue.enter(job, chance.choice((0, 1, 1, 2, 7)), clock)
        waits.add(job)
        while waits and chance.random() < 0.45:
            leaving = chance.choice(sorted(waits))
            queue.leave(leaving)
            waits.discard(leaving)
        expected = sorted(waits, key=lambda one: rank(queue.places.get(one), clock, one))
        assert list(queue.in_order(clock)) == expected
        assert sorted(queue.going_round(chance.randrange(10))) == sorted(waits)


def test_finding_the_best_place_does_not_read_the_whole_queue() -> None:
    """With a thousand jobs in the queue as many records are read as with ten."""
    world = World(QUIET)
    reads = []
    for count in (10, 1_000):
        for job in range(world.jobs.queue.count.get(), count):
            world.jobs.queue.enter(job, job % 3, 0)
        before = world.state.reads
        assert len([job for job, _ in zip(world.jobs.queue.in_order(50), range(2), strict=False)]) == 2
        reads.append(world.state.reads - before)
    assert reads[0] == reads[1] < 10


def test_proposals_may_still_name_any_open_job() -> None:
    """The queue is an order of looking, not a permission."""
    world = World(QUIET)
    world.offer_capacity(ONE)
    jobs = [waiting(world, priority) for priority in (9, 0)]
    world.slots(3)
    world.call("Matching", "propose", MATCHER, jobs[1], (world.placement(0, ONE),))
    world.until_slot(jobs[1], 0, SlotState.OFFERED)
    assert world.slot(jobs[0], 0).state is SlotState.VACANT
