"""Lanes: how many jobs of one are under way, who is next, and what waiting costs: nothing but time."""

from dataclasses import replace
from typing import Any

from pallets.balances import HoldReason
from pallets.jobs import types
from pallets.jobs.events import JobOpened, JobWaiting
from pallets.jobs.queries import open_jobs
from pallets.jobs.records import Expiry, JobExpired, JobState
from pallets.matching.types import Reason
from tests.helpers.job_world import ALICE, BOB, HDL, PARAMETERS, PROCESSORS, World

ONE, TWO = PROCESSORS[:2]
QUIET = {**PARAMETERS, "matching": {**PARAMETERS["matching"], "fallbackAfterSlots": 100_000}}


def submit(world: World, concurrency: int = 1, *, who: bytes = ALICE, priority: int = 0, **changes: Any) -> int:
    """A one-slot job of the lane "builds"."""
    queue = types.Queue(priority, types.Lane("builds", concurrency))
    return world.register(who, world.spec(slots=1, queue=queue, **changes))


def states(world: World, jobs: list[int]) -> list[str]:
    """Their states by name."""
    return [world.job(job).state.name for job in jobs]


def test_a_sequential_lane_runs_one_job_after_the_other() -> None:
    """Three jobs in one lane of concurrency 1: each is opened when the one before it is done, and all succeed."""
    world = World(QUIET)
    world.offer_capacity(ONE)
    jobs = [submit(world) for _ in range(3)]
    assert states(world, jobs) == ["OPEN", "WAITING", "WAITING"]
    assert [event.job for event in world.events(JobWaiting)] == jobs[1:]
    assert open_jobs(world.jobs) == jobs[:1]
    world.check()
    for job in jobs:
        assert world.job(job).state is JobState.OPEN
        world.assign(job, ONE)
        world.run(job, 0, 0)
        assert world.job(job).state is JobState.DONE
        world.check()
    assert [event.job for event in world.events(JobOpened)] == jobs[1:]
    assert not list(world.jobs.lanes.items())
    assert world.balances.total(ONE) == 10_003 * HDL


def test_a_lane_takes_as_many_as_its_concurrency_and_the_rest_by_priority() -> None:
    """Two at a time; of those that wait the higher priority is next, then the older."""
    world = World(QUIET)
    jobs = [submit(world, 2, priority=priority) for priority in (0, 0, 0, 3, 0)]
    assert states(world, jobs) == ["OPEN", "OPEN", "WAITING", "WAITING", "WAITING"]
    world.call("Jobs", "cancel", ALICE, jobs[1])
    assert states(world, jobs) == ["OPEN", "CANCELLED", "WAITING", "OPEN", "WAITING"]
    world.call("Jobs", "cancel", ALICE, jobs[0])
    assert states(world, jobs) == ["CANCELLED", "CANCELLED", "OPEN", "OPEN", "WAITING"]
    world.check()


def test_lanes_of_other_names_and_other_owners_do_not_wait_for_each_other() -> None:
    """A lane is a name of one owner."""
    world = World(QUIET)
    other = world.register(spec=world.spec(slots=1, queue=types.Queue(lane=types.Lane("tests", 1))))
    jobs = [submit(world), submit(world, who=BOB), other]
    assert states(world, jobs) == ["OPEN"] * 3


def test_a_start_that_went_by_while_waiting_is_moved_to_the_present() -> None:
    """The whole schedule moves; a start that is still to come stays."""
    world = World(QUIET)
    first, late = submit(world), submit(world)
    early = world.jobs.specs.get(late).schedule
    far = submit(world, schedule=replace(early, start_ms=early.start_ms + 10**6, end_ms=early.end_ms + 10**6))
    world.slots(50)
    world.call("Jobs", "cancel", ALICE, first)
    moved = world.jobs.specs.get(late).schedule
    assert moved.start_ms == world.system.now_ms > early.start_ms
    assert moved.end_ms - moved.start_ms == early.end_ms - early.start_ms
    world.call("Jobs", "cancel", ALICE, late)
    assert world.jobs.specs.get(far).schedule.start_ms == early.start_ms + 10**6
    world.check()


def test_a_job_that_waits_in_its_lane_for_too_long_expires() -> None:
    """Its queue deadline ends it with all its money back; once it is open it has that time anew."""
    world = World(QUIET)
    patient = types.Schedule(world.system.now_ms + 10**7, world.system.now_ms + 10**7 + 1, 60_000, 10_000, 60_000)
    brief = types.Timeouts(30, 60_000)
    first, second = submit(world, schedule=patient), submit(world, timeouts=brief)
    third = submit(world, timeouts=types.Timeouts(30, 100_000), schedule=patient)
    world.slots(60)
    assert world.job(second).end == JobExpired(Expiry.QUEUE)
    world.call("Jobs", "cancel", ALICE, first)
    world.slots(90)
    assert world.job(third).state is JobState.OPEN
    world.slots(10)
    assert world.job(third).end == JobExpired(Expiry.QUEUE)
    assert world.balances.held(ALICE, HoldReason.JOB_ESCROW) == 0
    world.check()


def test_a_job_that_waits_is_not_matched_and_says_so() -> None:
    """A proposal is turned down as WAITING; the owner may cancel it without touching the job under way."""
    world = World(QUIET)
    world.offer_capacity(ONE)
    first, second = submit(world), submit(world)
    world.slots(3)
    world.propose(second, ONE)
    assert world.jobs.rejections.get(second)[Reason.WAITING.value] == 1
    world.call("Jobs", "cancel", ALICE, second)
    assert states(world, [first, second]) == ["OPEN", "CANCELLED"]
    world.check()


def test_a_paused_job_keeps_its_place_in_the_lane() -> None:
    """Paused while it waits, it is opened in its turn and matched only after the pause."""
    world = World(QUIET)
    first, second = submit(world), submit(world)
    world.call("Jobs", "pause", ALICE, second)
    world.call("Jobs", "cancel", ALICE, first)
    assert world.job(second).state is JobState.OPEN
    assert open_jobs(world.jobs) == []
    world.check()
    world.call("Jobs", "resume", ALICE, second)
    assert open_jobs(world.jobs) == [second]
    world.check()


def test_a_raised_concurrency_counts_from_the_jobs_that_have_it() -> None:
    """Who waits for a narrow lane is not overtaken; then the wide ones are opened together."""
    world = World(QUIET)
    jobs = [submit(world, concurrency) for concurrency in (1, 1, 3, 3)]
    assert states(world, jobs) == ["OPEN", "WAITING", "WAITING", "WAITING"]
    world.call("Jobs", "cancel", ALICE, jobs[0])
    assert states(world, jobs) == ["CANCELLED", "OPEN", "OPEN", "OPEN"]
    world.check()
