"""Fallback: it runs once, after a failure, with what is left; its result alone counts."""

from typing import Any

from pallets.balances import HoldReason
from pallets.jobs import types
from pallets.jobs.errors import ExtensionTooLate
from pallets.jobs.events import JobFellBack
from pallets.jobs.failure import AppError, ScriptInvalid
from pallets.jobs.queries import open_jobs
from pallets.jobs.records import Expiry, JobExpired, JobFailed, JobState, JobSucceeded, SlotState
from tests.helpers.job_world import ALICE, HDL, PARAMETERS, PROCESSORS, SCRIPT, World, failure

ONE, TWO = PROCESSORS[:2]
QUIET = {**PARAMETERS, "matching": {**PARAMETERS["matching"], "fallbackAfterSlots": 100_000}}
OTHER = types.Blob(SCRIPT.cid[:-1] + b"\x07", 50)
FALLBACK = types.Fallback(OTHER, types.RuntimeKind.PYTHON, "second")


def ready() -> World:
    """Two processors that advertise."""
    world = World(QUIET)
    for processor in (ONE, TWO):
        world.offer_capacity(processor)
    return world


def failed(world: World, count: int = 2, **changes: Any) -> int:
    """A one-slot job with a fallback, all of whose executions have failed but the first."""
    start = world.system.now_ms + 10_000
    schedule = types.Schedule(start, start + (count - 1) * 100_000 + 1, 100_000, 10_000, 20_000)
    terms = {"slots": 1, "schedule": schedule, "fallback": FALLBACK, **changes}
    job = world.register(spec=world.spec(**terms))
    world.assign(job, ONE)
    for execution in range(count):
        world.run(job, execution, 0, failure(ScriptInvalid()) if execution else None)
    return job


def test_a_failed_job_runs_its_fallback_and_succeeds_by_it() -> None:
    """One more execution with the other script and runtime, matched anew; its result is the job's."""
    world = ready()
    job = failed(world)
    assert world.job(job).state is JobState.OPEN
    assert world.job(job).executions == 3
    assert open_jobs(world.jobs) == [job]
    spec = world.jobs.spec_for(job, 2)
    assert (spec.script, spec.runtime, spec.entrypoint) == (OTHER, types.RuntimeKind.PYTHON, "second")
    world.check()
    world.assign(job, TWO)
    world.run(job, 2, 0)
    assert world.job(job).end == JobSucceeded()
    assert world.events(JobFellBack) == [JobFellBack(job)]
    assert world.balances.total(TWO) == 10_001 * HDL
    assert world.balances.held(ALICE, HoldReason.JOB_ESCROW) == 0
    world.check()


def test_a_fallback_that_fails_too_ends_the_job() -> None:
    """It is not run again."""
    world = ready()
    job = failed(world)
    world.assign(job, TWO)
    world.run(job, 2, 0, failure(ScriptInvalid()))
    assert world.job(job).end == JobFailed(ScriptInvalid())
    assert len(world.events(JobFellBack)) == 1
    world.check()


def test_a_job_that_succeeds_needs_no_fallback() -> None:
    """It ends, and what the fallback would have cost was never held."""
    world = ready()
    job = failed(world, 1)
    assert world.job(job).end == JobSucceeded()
    assert not world.events(JobFellBack)


def test_a_one_shot_job_can_pay_its_fallback_after_every_attempt_had_its_error_share() -> None:
    """The reward was not spent; error shares and friction of the fallback are what is left of them."""
    world = ready()
    retry = types.RetryPolicy(3, 3, 1_000, 1_000, 1, 1)
    start = world.system.now_ms + 10_000
    schedule = types.Schedule(start, start + 1, 100_000, 10_000, 50_000)
    job = world.register(spec=world.spec(slots=1, schedule=schedule, fallback=FALLBACK, retry=retry))
    world.assign(job, ONE)
    for _ in range(3):
        world.run(job, 0, 0, failure(AppError(1)))
    pots = world.escrow.ledgers.get(job).pots
    assert pots.reward == world.escrow.cost_of(2 * HDL)
    assert pots.error < 2 * HDL // 10 * 3
    world.check()
    world.assign(job, TWO)
    world.run(job, 1, 0)
    assert world.job(job).end == JobSucceeded()
    world.check()


def test_a_fallback_that_nobody_takes_expires_in_its_own_time() -> None:
    """Its start is now, not that of the first execution, and its delay is the job's."""
    world = ready()
    job = failed(world, 3)
    world.slots(18)
    assert world.job(job).state is JobState.OPEN
    world.slots(6)
    assert world.job(job).end == JobExpired(Expiry.FIRST_START)
    assert world.slot(job, 0).state is SlotState.CLOSED
    world.check()


def test_two_slots_must_both_bring_the_fallbacks_result_and_be_paid_for() -> None:
    """One of two results was paid, so the money of both is not there any more, unless the owner added some."""
    for added in (0, 10 * HDL):
        world = ready()
        job = world.register(spec=world.spec(reward=20 * HDL, fallback=FALLBACK))
        if added:
            world.call("Jobs", "top_up", ALICE, job, added)
        world.assign(job, ONE, TWO)
        world.run(job, 0, 0)
        world.run(job, 0, 1, failure(ScriptInvalid()))
        world.check()
        if not added:
            assert world.job(job).end == JobFailed(ScriptInvalid())
            continue
        world.assign(job, TWO, ONE)
        world.run(job, 1, 0)
        assert world.job(job).state is JobState.ASSIGNED
        world.run(job, 1, 1)
        assert world.job(job).end == JobSucceeded()
        world.check()


def test_a_paused_job_falls_back_and_waits() -> None:
    """The pause goes on: the fallback is matched after it."""
    world = ready()
    start = world.system.now_ms + 10_000
    schedule = types.Schedule(start, start + 1, 100_000, 10_000, 50_000)
    job = world.register(spec=world.spec(slots=1, schedule=schedule, fallback=FALLBACK))
    world.assign(job, ONE)
    world.start(job, 0, 0)
    world.call("Jobs", "pause", ALICE, job)
    world.report(job, 0, 0, failure(ScriptInvalid()))
    assert world.job(job).state is JobState.OPEN
    assert open_jobs(world.jobs) == []
    world.call("Jobs", "resume", ALICE, job)
    assert open_jobs(world.jobs) == [job]
    world.check()


def test_a_fallback_is_not_extended() -> None:
    """It runs once, and its results are counted against that: more of them would make the job fail by succeeding."""
    world = ready()
    job = failed(world)
    world.assign(job, TWO)
    mark = world.state.mark()
    assert world.refuses("Jobs", "extend", ALICE, job, world.system.now_ms + 10**6) is ExtensionTooLate
    assert world.state.mark() == mark
    world.run(job, 2, 0)
    assert world.job(job).end == JobSucceeded()
    world.check()
