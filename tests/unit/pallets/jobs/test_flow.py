"""The way of a job from registration to its settled end, with every amount."""

import pytest

from pallets.balances import HoldReason
from pallets.jobs import errors, types
from pallets.jobs.events import JobAssigned, JobDone, JobMatched
from pallets.jobs.failure import AppError, CapabilityDenied, DeliveryFailed, NodeLost, OutOfResources, Resource
from pallets.jobs.records import ExecutionState, JobFailed, JobState, JobSucceeded, SlotState
from pallets.jobs.report import BlobOutput, Delivery, InlineOutput, Succeeded
from runtime.types import ZERO_HASH
from tests.helpers.job_world import ALICE, BOB, HDL, MATCHER, PROCESSORS, SCRIPT, World, failure, success

ONE, TWO, THREE = PROCESSORS[:3]


def ready() -> World:
    """Three processors that advertise."""
    world = World()
    for processor in PROCESSORS[:3]:
        world.offer_capacity(processor)
    return world


def test_a_job_on_two_processors_runs_to_its_end_and_every_unit_is_accounted_for() -> None:
    """OPEN, MATCHED, ASSIGNED, executed, reported, DONE; payer, processors, matcher and burn add up."""
    world = ready()
    before = {who: world.balances.total(who) for who in (ALICE, ONE, TWO, MATCHER)}
    issuance = world.balances.total_issuance()
    job = world.register()
    states = [world.job(job).state]
    world.slots(3)
    world.propose(job, ONE, TWO)
    world.until(lambda: world.job(job).state is JobState.MATCHED)
    world.acknowledge(job, 0)
    assert world.job(job).state is JobState.MATCHED
    world.acknowledge(job, 1)
    states.append(world.job(job).state)
    assert world.balances.held(ONE, HoldReason.BOND) == 2 * HDL
    world.run(job, 0, 0)
    world.run(job, 0, 1)
    states.append(world.job(job).state)
    world.check()
    assert states == [JobState.OPEN, JobState.ASSIGNED, JobState.DONE]
    assert world.job(job).end == JobSucceeded()
    burn, share, agenda = 20_000_000_000, 20_000_000_000, 10**7
    assert world.balances.total(ONE) == before[ONE] + HDL
    assert world.balances.total(TWO) == before[TWO] + HDL
    assert world.balances.total(MATCHER) == before[MATCHER] + 2 * share
    assert world.balances.total(ALICE) == before[ALICE] - 2 * (HDL + burn + share + agenda)
    assert world.balances.total_issuance() == issuance - 2 * (burn + agenda)
    kinds = [type(event) for _, event in world.state.events]
    assert kinds.index(JobMatched) < kinds.index(JobAssigned) < kinds.index(JobDone)


def test_the_beacon_of_the_assigning_block_is_the_jobs_chance() -> None:
    """A job's seed is unknown until its last promise is in a block, is its own, and never changes again."""
    world = ready()
    one, other = world.register(), world.register()
    assert world.job(one).seed == ZERO_HASH
    world.assign(one, ONE, TWO)
    world.assign(other, ONE, TWO)
    seed = world.job(one).seed
    assert len({seed, world.job(other).seed, ZERO_HASH}) == 3
    world.run(one, 0, 0)
    assert world.job(one).seed == seed


def test_accepted_results_raise_the_reputation_of_drawn_processors_only() -> None:
    """Public placements count; Known ones do not."""
    world = ready()
    world.assign(job := world.register(), ONE, TWO)
    world.run(job, 0, 0)
    known = world.register(spec=world.spec(slots=1, processors=types.Known((TWO,))))
    world.assign(known, TWO)
    world.run(known, 0, 0)
    kind = types.RuntimeKind.WASM
    assert world.reputation.score(ONE, kind) > 509_803
    assert world.reputation.score(TWO, kind) == 509_803


def test_an_interval_job_runs_every_execution_on_every_slot() -> None:
    """Three executions on two slots: six results, all paid, sixteen kept at most."""
    world = ready()
    start = world.system.now_ms + 10_000
    spec = world.spec(schedule=types.Schedule(start, start + 40_001, 20_000, 5_000, 10_000))
    world.assign(job := world.register(spec=spec), ONE, TWO)
    for execution in range(3):
        for slot in (0, 1):
            world.run(job, execution, slot)
            world.check()
    assert world.job(job).end == JobSucceeded()
    assert world.job(job).accepted == 6
    assert world.escrow.ledgers.get(job).paid == 6 * HDL + 6 * 20_000_000_000


def test_only_the_last_sixteen_results_of_a_slot_are_kept_and_all_are_chained() -> None:
    """After twenty executions the first four records are gone; the hash chain covers them all."""
    world = ready()
    start = world.system.now_ms + 10_000
    spec = world.spec(slots=1, schedule=types.Schedule(start, start + 57_001, 3_000, 2_000, 30_000))
    world.assign(job := world.register(spec=spec), ONE)
    chains = set()
    for execution in range(20):
        world.run(job, execution, 0, success(bytes([execution])))
        chains.add(world.slot(job, 0).results_hash)
        world.check()
    assert len(chains) == 20
    kept = [execution for _, _, execution in (key for key, _ in world.jobs.results.items())]
    assert sorted(kept) == list(range(4, 20))


def test_the_processors_own_ask_is_paid_and_the_rest_comes_back_at_once() -> None:
    """R − a and the shares on it return to the payer with the acceptance, not at the job's end."""
    world = ready()
    world.assign(job := world.register(), ONE, TWO)
    free = world.balances.free(ALICE)
    world.run(job, 0, 0)
    unit = 2 * HDL + 2 * 40_000_000_000
    assert world.balances.free(ALICE) == free + unit - HDL - 2 * 20_000_000_000


def test_a_deterministic_failure_ends_the_execution_at_once_with_its_reason() -> None:
    """Each slot gets the error share once; the job is Done(Failed(OutOfResources(compute)))."""
    world = ready()
    world.assign(job := world.register(), ONE, TWO)
    before = world.balances.total(ONE)
    for slot in (0, 1):
        world.run(job, 0, slot, failure(OutOfResources(Resource.COMPUTE)))
    assert world.job(job).end == JobFailed(OutOfResources(Resource.COMPUTE))
    assert world.balances.total(ONE) == before + HDL // 10
    assert world.execution(job, 0, 0).state is ExecutionState.FAILED
    assert world.reputation.score(ONE, types.RuntimeKind.WASM) == 509_803
    world.check()


def test_an_application_error_is_tried_again_until_its_attempts_are_used_up() -> None:
    """Three attempts with growing back-off, the error share for each, then Failed(AppError(7))."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    waits = []
    for attempt in (1, 2, 3):
        assert world.execution(job, 0, 0).attempt == attempt
        world.run(job, 0, 0, failure(AppError(7)))
        waits.append(world.execution(job, 0, 0).due_ms - world.system.now_ms)
    assert waits[:2] == [2_000, 4_000]
    assert world.job(job).end == JobFailed(AppError(7))
    assert world.execution(job, 0, 0).paid == 3 * (HDL // 10)
    assert world.escrow.ledgers.get(job).paid == 3 * (HDL // 10)


def test_a_retry_may_succeed_and_is_paid_as_any_result() -> None:
    """The error share of the failed attempt stays with the processor."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    world.run(job, 0, 0, failure(AppError(1)))
    world.run(job, 0, 0)
    assert world.job(job).end == JobSucceeded()
    assert world.execution(job, 0, 0).paid == HDL + HDL // 10


def test_a_failed_delivery_earns_no_error_share() -> None:
    """Only failures of the job itself are paid."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    world.run(job, 0, 0, failure(DeliveryFailed(0)))
    assert world.escrow.ledgers.get(job).paid == 0


def test_success_may_need_fewer_results_than_there_are() -> None:
    """With accepted_min 1, one failing slot of two does not fail the job."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(accepted_min=1)), ONE, TWO)
    world.run(job, 0, 0, failure(CapabilityDenied("fetch")))
    world.run(job, 0, 1)
    assert world.job(job).end == JobSucceeded()


def test_a_job_without_reward_moves_no_money_but_its_fees() -> None:
    """Known processors for nothing: no bond, no pay; the deposit comes back but for the agenda's fee."""
    world = ready()
    before = world.balances.total(ALICE)
    spec = world.spec(slots=1, reward=0, processors=types.Personal((ONE,)))
    world.call("Processors", "advertise", ONE, world.advert(consumers=(ALICE,)))
    world.assign(job := world.register(spec=spec), ONE)
    assert world.balances.held(ONE, HoldReason.BOND) == 0
    world.run(job, 0, 0)
    assert world.job(job).end == JobSucceeded()
    assert world.balances.total(ALICE) == before - 10**7


def test_a_report_is_fenced_by_generation_attempt_processor_and_state() -> None:
    """Each way to report what is not one's own, or not any more, has its error and changes nothing."""
    world = ready()
    job = world.register(spec=world.spec(slots=1))
    world.assign(job, ONE)

    def report(who: bytes, execution: int = 0, slot: int = 0, generation: int = 0, attempt: int = 1) -> object:
        return world.refuses("Jobs", "report", who, job, execution, slot, generation, attempt, success())

    world.until(lambda: 0 in world.slot(job, 0).live)
    assert report(ONE) is errors.NotRunning
    world.start(job, 0, 0)
    assert report(TWO) is errors.NotTheProcessor
    assert report(ONE, execution=1) is errors.ExecutionNotLive
    assert report(ONE, slot=1) is errors.SlotNotFound
    assert report(ONE, generation=1) is errors.StaleGeneration
    assert report(ONE, attempt=2) is errors.StaleAttempt
    assert report(ONE) is None
    assert report(ONE) is errors.JobEnded
    assert world.refuses("Jobs", "report", ONE, 99, 0, 0, 0, 1, success()) is errors.JobNotFound
    world.check()


def test_an_old_attempt_cannot_be_reported_after_its_retry_began() -> None:
    """Nothing is settled twice."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    world.run(job, 0, 0, failure(AppError(1)))
    world.start(job, 0, 0)
    assert world.refuses("Jobs", "report", ONE, job, 0, 0, 0, 1, success()) is errors.StaleAttempt
    world.report(job, 0, 0)
    assert world.escrow.ledgers.get(job).paid == HDL + HDL // 10 + 20_000_000_000


def test_started_is_refused_before_its_time_and_a_second_time() -> None:
    """StartTooEarly, then NotScheduled."""
    world = ready()
    start = world.system.now_ms + 30_000
    spec = world.spec(slots=1, schedule=types.Schedule(start, start + 1, 60_000, 10_000, 60_000))
    world.assign(job := world.register(spec=spec), ONE)
    assert world.refuses("Jobs", "started", ONE, job, 0, 0, 0, 1) is errors.StartTooEarly
    world.start(job, 0, 0)
    assert world.refuses("Jobs", "started", ONE, job, 0, 0, 0, 1) is errors.NotScheduled


def test_what_the_chain_finds_itself_cannot_be_reported() -> None:
    """A processor does not report that it was lost."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    world.start(job, 0, 0)
    arguments = (job, 0, 0, 0, 1, failure(NodeLost()))
    assert world.refuses("Jobs", "report", ONE, *arguments) is errors.FailureNotReportable


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Succeeded(bytes(32), InlineOutput(bytes(2_001)), 0, ()), errors.OutputTooLarge),
        (Succeeded(bytes(32), BlobOutput(types.Blob(SCRIPT.cid, 2_001)), 0, ()), errors.OutputTooLarge),
        (Succeeded(bytes(32), BlobOutput(types.Blob(b"cid", 10)), 0, ()), errors.OutputTooLarge),
        (Succeeded(bytes(32), InlineOutput(b""), 0, (Delivery(1, b""),)), errors.UnknownDestination),
        (Succeeded(bytes(32), InlineOutput(b""), 0, (Delivery(0, b""), Delivery(0, b"x"))), errors.UnknownDestination),
        (Succeeded(bytes(32), InlineOutput(bytes(2_000)), 0, (Delivery(0, b"hash"),)), None),
        (Succeeded(bytes(32), BlobOutput(types.Blob(SCRIPT.cid, 2_000)), 0, ()), None),
    ],
)
def test_a_result_stays_within_what_the_job_allows(outcome: Succeeded, error: type | None) -> None:
    """Output size and CID, and destinations that exist, each once."""
    world = ready()
    resources = types.Resources(1 << 28, 0, 0, 10**9, 2_000)
    world.assign(job := world.register(spec=world.spec(slots=1, resources=resources)), ONE)
    world.start(job, 0, 0)
    assert world.refuses("Jobs", "report", ONE, job, 0, 0, 0, 1, outcome) is error


def test_only_an_offered_slot_can_be_acknowledged_or_declined_and_only_by_its_processor() -> None:
    """NotOffered, NotTheProcessor, StaleGeneration, and KeyMismatch: a job without secrets takes no key."""
    world = ready()
    job = world.register(spec=world.spec(slots=1))
    assert world.refuses("Jobs", "acknowledge", ONE, job, 0, 0, None) is errors.NotTheProcessor
    world.slots(3)
    world.propose(job, ONE)
    world.until(lambda: world.slot(job, 0).state is SlotState.OFFERED)
    assert world.refuses("Jobs", "acknowledge", TWO, job, 0, 0, None) is errors.NotTheProcessor
    assert world.refuses("Jobs", "acknowledge", ONE, job, 0, 1, None) is errors.StaleGeneration
    assert world.refuses("Jobs", "acknowledge", ONE, job, 0, 0, bytes(32)) is errors.KeyMismatch
    world.acknowledge(job, 0)
    assert world.refuses("Jobs", "acknowledge", ONE, job, 0, 0, None) is errors.NotOffered
    assert world.refuses("Jobs", "cancel", BOB, job) is errors.NotOwner
