"""Quorum: replicas commit, then reveal; what equal, missing and different results lead to."""

import pytest

from pallets.balances import HoldReason
from pallets.jobs import errors as job_errors
from pallets.jobs import types
from pallets.jobs.failure import AppError, InputUnavailable, NoAgreement, NotRevealed
from pallets.jobs.records import ExecutionState, JobCancelled, JobFailed, JobState, JobSucceeded, SlotState
from pallets.verification import errors
from pallets.verification.events import BondFrozen, LateRevealed, RoundSettled
from pallets.verification.types import RoundState
from tests.helpers.job_world import ALICE, HDL, MATCHER, PROCESSORS, SALT, World, failure

ONE, TWO, THREE, FOUR = PROCESSORS[:4]
BOND = 12 * 2 * HDL
SLOTS = (0, 1, 2)


def assigned(agreeing: int = 2, **changes: object) -> tuple[World, int]:
    """A job on three of four processors, of which some must agree."""
    world = World()
    for processor in PROCESSORS[:4]:
        world.offer_capacity(processor)
    spec = world.spec(slots=3, verification=types.Quorum(agreeing), **changes)
    world.assign(job := world.register(spec=spec), ONE, TWO, THREE)
    return world, job


def committed(agreeing: int = 2, **changes: object) -> tuple[World, int]:
    """The same, with the commitments of all to one result, and reveals open."""
    world, job = assigned(agreeing, **changes)
    for slot in SLOTS:
        world.compute(job, 0, slot)
    world.slots(4)
    return world, job


def test_three_equal_results_are_accepted_and_paid_and_the_bonds_come_back() -> None:
    """Committed, revealed, accepted: each replica gets its price, the lowest slot delivers, nothing is held."""
    world, job = assigned()
    before = {who: world.balances.total(who) for who in (ALICE, ONE, MATCHER)}
    assert world.balances.held(ONE, HoldReason.BOND) == BOND
    for slot in SLOTS:
        world.compute(job, 0, slot)
        assert world.execution(job, slot, 0).state is ExecutionState.COMMITTED
        world.check()
    assert world.slot(job, 0).state is SlotState.CLOSED
    assert world.balances.held(ONE, HoldReason.BOND) == BOND
    world.slots(4)
    for slot in SLOTS:
        assert world.job(job).state is JobState.ASSIGNED
        world.reveal_result(job, 0, slot)
        world.check()
    assert world.job(job).end == JobSucceeded()
    assert all(world.execution(job, slot, 0).state is ExecutionState.ACCEPTED for slot in SLOTS)
    assert world.jobs.results.get((job, 0, 0)).output == world.found(job).output
    settled = world.events(RoundSettled)
    assert settled == [RoundSettled(job, 0, world.found(job).digest, 0)]
    share, agenda = 20_000_000_000, 10**7
    assert world.balances.total(ONE) == before[ONE] + HDL
    assert world.balances.total(MATCHER) == before[MATCHER] + 3 * share
    assert world.balances.total(ALICE) == before[ALICE] - 3 * (HDL + 2 * share + agenda)
    assert world.balances.held(ONE, HoldReason.BOND) == 0
    assert world.balances.held(ALICE, HoldReason.JOB_ESCROW) == 0
    assert world.reputation.cv(ONE, types.RuntimeKind.WASM) == 1
    assert not list(world.verification.rounds.items())


def test_results_of_a_quorum_are_committed_not_reported() -> None:
    """A success and a failure of the script go by commit; that the input cannot be had is reported as always."""
    world, job = assigned()
    world.start(job, 0, 0)
    slot, attempt = world.slot(job, 0), world.execution(job, 0, 0).attempt
    for outcome in (world.found(job), failure(AppError(1))):
        arguments = (job, 0, 0, slot.generation, attempt, outcome)
        assert world.refuses("Jobs", "report", ONE, *arguments) is job_errors.UseCommit
    world.report(job, 0, 0, failure(InputUnavailable()))
    assert world.execution(job, 0, 0).attempt == 2
    world.check()


def test_nothing_is_revealed_while_anybody_may_still_commit() -> None:
    """A reveal waits for the last commitment and for the gap after it, so that no result can be copied."""
    world, job = assigned()
    world.compute(job, 0, 0)
    terms = world.verification.entries.get((job, 0, 0)).terms
    arguments = (job, 0, 0, terms.generation, terms.attempt, world.found(job), SALT)
    assert world.refuses("Verification", "reveal", ONE, *arguments) is errors.RevealNotOpen
    world.compute(job, 0, 1)
    world.compute(job, 0, 2)
    world.slots(3)
    assert world.refuses("Verification", "reveal", ONE, *arguments) is errors.RevealNotOpen
    world.slots(1)
    assert world.refuses("Verification", "reveal", ONE, *arguments) is None
    assert world.refuses("Verification", "reveal", ONE, *arguments) is errors.AlreadyRevealed
    world.check()


def test_a_commitment_of_another_processor_cannot_be_opened() -> None:
    """Whoever commits to somebody else's commitment can never show a result for it, and its bond is frozen."""
    world, job = assigned()
    for slot in (0, 1):
        world.compute(job, 0, slot)
    world.start(job, 0, 2)
    copied = world.verification.entries.get((job, 0, 0)).commitment
    held, attempt = world.slot(job, 2), world.execution(job, 2, 0).attempt
    world.call("Verification", "commit", THREE, job, 0, 2, held.generation, attempt, copied)
    world.slots(4)
    world.reveal_result(job, 0, 0)
    arguments = (job, 0, 2, held.generation, attempt, world.found(job), SALT)
    assert world.refuses("Verification", "reveal", THREE, *arguments) is errors.CommitmentMismatch
    assert world.refuses("Verification", "reveal", ONE, *arguments) is errors.NotCommitted
    world.reveal_result(job, 0, 1)
    world.until(lambda: world.job(job).state is JobState.DONE)
    assert world.job(job).end == JobFailed(NotRevealed())
    assert world.job(job).accepted == 2
    assert world.balances.held(THREE, HoldReason.BOND) == BOND
    world.check()


def test_an_outcome_must_have_the_digest_it_names() -> None:
    """The right digest with another output is refused: the output that is kept is always the one agreed on."""
    world, job = committed()
    right, forged = world.found(job), world.found(job, output=b"43")
    terms = world.verification.entries.get((job, 0, 0)).terms
    for outcome, error in (
        (type(right)(right.digest, forged.output, 1, ()), errors.DigestMismatch),
        (forged, errors.CommitmentMismatch),
        (failure(InputUnavailable()), errors.NotAResult),
    ):
        arguments = (job, 0, 0, terms.generation, terms.attempt, outcome, SALT)
        assert world.refuses("Verification", "reveal", ONE, *arguments) is error
    world.check()


def test_a_commitment_that_is_not_opened_freezes_its_bond_until_the_accepted_result_is_shown() -> None:
    """Two of three suffice; the third is unpaid, and recovers its bond within the day, though the job is over."""
    world, job = committed()
    world.reveal_result(job, 0, 0)
    world.reveal_result(job, 0, 1)
    world.until(lambda: world.job(job).state is JobState.DONE)
    world.check()
    assert world.execution(job, 2, 0).state is ExecutionState.REJECTED
    assert [event.processor for event in world.events(BondFrozen)] == [THREE]
    assert world.balances.held(ALICE, HoldReason.JOB_ESCROW) == 0
    assert world.balances.held(THREE, HoldReason.BOND) == BOND
    other = world.found(job, output=b"43")
    assert world.refuses("Verification", "reveal_late", THREE, job, 0, 2, other, SALT) is errors.CommitmentMismatch
    assert world.refuses("Verification", "reveal_late", ONE, job, 0, 2, other, SALT) is errors.NothingLate
    total = world.balances.total(THREE)
    world.reveal_late(job, 0, 2)
    assert world.balances.held(THREE, HoldReason.BOND) == 0
    assert world.balances.total(THREE) == total
    assert [event.processor for event in world.events(LateRevealed)] == [THREE]
    world.check()


def test_a_commitment_that_stays_closed_for_a_day_loses_its_bond() -> None:
    """A tenth of the reward compensates the payer, the rest is burned, and the record of the processor starts anew."""
    world = World({"verification": {"late": 50}, "matching": {"windowSlots": 2, "advertAgeSlotsMin": 0}})
    for processor in PROCESSORS[:3]:
        world.offer_capacity(processor)
    world.assign(job := world.register(spec=world.spec(slots=3, verification=types.Quorum(2))), ONE, TWO, THREE)
    for slot in SLOTS:
        world.compute(job, 0, slot)
    world.slots(4)
    world.reveal_result(job, 0, 0)
    world.reveal_result(job, 0, 1)
    world.until(lambda: world.job(job).state is JobState.DONE)
    total, payer = world.balances.total(THREE), world.balances.total(ALICE)
    world.until(lambda: not list(world.verification.late.items()))
    assert world.balances.total(THREE) == total - BOND
    assert world.balances.total(ALICE) == payer + 2 * HDL // 10
    assert world.reputation.score(THREE, types.RuntimeKind.WASM) < 100_000
    world.check()


def test_too_few_reveals_give_no_result_and_cost_no_honest_bond() -> None:
    """One of two needed: it gets the error share, the payer the rest; who was silent recovers its bond for a fine."""
    world, job = committed()
    before, payer = world.balances.total(ONE), world.balances.total(ALICE)
    world.reveal_result(job, 0, 0)
    world.until(lambda: world.job(job).state is JobState.DONE)
    assert world.job(job).end == JobFailed(NotRevealed())
    assert world.execution(job, 0, 0).failure == NoAgreement()
    assert world.balances.total(ONE) == before + HDL // 10
    assert world.balances.total(ALICE) == payer - HDL // 10 - 3 * 10**7
    total = world.balances.total(TWO)
    world.reveal_late(job, 0, 1)
    assert world.balances.total(TWO) == total - HDL // 10
    world.check()


def test_that_the_script_fails_is_a_result_when_all_say_so() -> None:
    """An error confirmed by its digest is paid in full, once, and not tried again."""
    world, job = assigned()
    wrong = failure(AppError(7))
    before = world.balances.total(ONE)
    for slot in SLOTS:
        world.compute(job, 0, slot, wrong)
    world.slots(4)
    for slot in SLOTS:
        world.reveal_result(job, 0, slot, wrong)
    assert world.job(job).end == JobFailed(AppError(7))
    assert world.execution(job, 0, 0).state is ExecutionState.FAILED
    assert world.balances.total(ONE) == before + HDL
    world.check()


def test_where_honest_processors_may_differ_the_majority_is_accepted_and_a_dissenter_unpaid() -> None:
    """A job that fetches: two of three equal are paid; the third loses a third of its record and no money."""
    world, job = assigned(capabilities=types.Capabilities(("example.org",), (), False, False))
    other = world.found(job, output=b"43")
    for slot, outcome in ((0, None), (1, other), (2, None)):
        world.compute(job, 0, slot, outcome)
    world.slots(4)
    total = world.balances.total(TWO)
    for slot, outcome in ((0, None), (1, other), (2, None)):
        world.reveal_result(job, 0, slot, outcome)
    states = [world.execution(job, slot, 0).state for slot in SLOTS]
    assert states == [ExecutionState.ACCEPTED, ExecutionState.REJECTED, ExecutionState.ACCEPTED]
    assert world.balances.total(TWO) == total
    assert world.balances.held(TWO, HoldReason.BOND) == 0
    world.check()


def test_the_round_goes_on_without_a_replica_that_is_lost_for_good() -> None:
    """One slot never starts and is used up: the other two are enough."""
    world, job = assigned(retry=types.RetryPolicy(1, 0, 0, 0, 1, 1))
    world.compute(job, 0, 0)
    world.compute(job, 0, 1)
    world.until(lambda: world.verification.rounds.get((job, 0, 0)).state is RoundState.REVEALING)
    world.check()
    assert world.execution(job, 2, 0).state is ExecutionState.LOST
    world.slots(4)
    world.reveal_result(job, 0, 0)
    world.reveal_result(job, 0, 1)
    assert world.job(job).accepted == 2
    assert world.job(job).state is JobState.DONE
    world.check()


def test_a_replacement_commits_in_the_place_of_a_lost_replica() -> None:
    """The slot of a processor that leaves is given to another, whose result counts."""
    world, job = assigned()
    world.compute(job, 0, 0)
    world.compute(job, 0, 1)
    world.start(job, 0, 2)
    world.call("Jobs", "resign", THREE, job, 2, world.slot(job, 2).generation)
    world.until(lambda: world.slot(job, 2).state is SlotState.OFFERED)
    world.acknowledge(job, 2)
    world.compute(job, 0, 2)
    world.slots(4)
    for slot in SLOTS:
        world.reveal_result(job, 0, slot)
    assert world.job(job).end == JobSucceeded()
    world.check()


def test_a_cancelled_job_ends_only_when_what_was_committed_is_judged() -> None:
    """The replica that still runs is paid pro rata; the two that committed reveal, are paid, and the job ends."""
    world, job = assigned()
    world.compute(job, 0, 0)
    world.compute(job, 0, 1)
    world.start(job, 0, 2)
    world.call("Jobs", "cancel", ALICE, job)
    world.check()
    assert world.job(job).state is JobState.ASSIGNED
    assert world.job(job).closing == JobCancelled()
    assert world.execution(job, 2, 0).state is ExecutionState.CANCELLED
    world.until(lambda: world.verification.rounds.get((job, 0, 0)).state is RoundState.REVEALING)
    world.slots(4)
    before = world.balances.total(ONE)
    world.reveal_result(job, 0, 0)
    world.reveal_result(job, 0, 1)
    assert world.job(job).state is JobState.CANCELLED
    assert world.balances.total(ONE) == before + HDL
    assert world.balances.held(ALICE, HoldReason.JOB_ESCROW) == 0
    world.check()


@pytest.mark.parametrize("silent", [(0, 1, 2), (1, 2)])
def test_a_round_ends_by_itself(silent: tuple[int, ...]) -> None:
    """Whoever stays silent, the job ends and the payer has its money back."""
    world, job = committed(agreeing=3)
    for slot in SLOTS:
        if slot not in silent:
            world.reveal_result(job, 0, slot)
    world.until(lambda: world.job(job).state is JobState.DONE)
    assert world.balances.held(ALICE, HoldReason.JOB_ESCROW) == 0
    world.check()
