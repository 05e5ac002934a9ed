"""OwnerAccept and Reexecution: a reported result, and who may doubt it for how long at what price."""

from dataclasses import replace
from typing import Any

import pytest

from pallets.balances import HoldReason
from pallets.jobs import errors as job_errors
from pallets.jobs import types
from pallets.jobs.failure import Mismatch, OwnerRejected, TapeInconsistent
from pallets.jobs.records import ExecutionState, JobFailed, JobState, JobSucceeded
from pallets.jobs.report import Delivery
from pallets.verification import errors
from pallets.verification.events import ChallengeDropped
from pallets.verification.types import RoundState
from tests.helpers.job_world import ALICE, BOB, HDL, SALT, SCRIPT, failure
from tests.helpers.round_world import CHALLENGER, ONE, REWARD, THREE, TWO, RoundWorld

BOND = 9 * REWARD + REWARD // 4
FETCH = types.Capabilities(("example.org",), (), False, False)
KNOWN = types.Known((ONE, TWO, THREE))
OWNERS = types.OwnerAccept(60_000)
REEXECUTED = types.Reexecution(200_000)


def reported(mode: types.Verification, *, lie: bool = False, **changes: Any) -> tuple[RoundWorld, int]:
    """A job whose one result is reported and waits in its window."""
    world = RoundWorld()
    job = world.job_in(mode, **changes)
    world.report_found(job, world.lie(job) if lie else world.found(job))
    world.until_round(job, RoundState.WINDOW)
    return world, job


def bind(world: RoundWorld, job: int, who: bytes = CHALLENGER, output: bytes = b"42") -> None:
    """Challenge a result with another."""
    commitment = world.outsiders_commitment(job, 0, world.found(job, output=output), who)
    world.call("Verification", "challenge", who, job, 0, commitment)


def show(world: RoundWorld, job: int, who: bytes = CHALLENGER, output: bytes = b"42") -> None:
    """Reveal the challenger's result."""
    world.call("Verification", "reveal_challenge", who, job, 0, world.found(job, output=output), SALT)


# OwnerAccept.


def test_silence_accepts_at_the_end_of_the_window() -> None:
    """The result is paid sixty slots after it was reported, and the bond stays until then."""
    world, job = reported(OWNERS)
    before, until = world.balances.total(ONE), world.round(job).deadline
    assert until == world.agenda.now() + 60
    assert world.execution(job, 0, 0).state is ExecutionState.REPORTED
    assert world.bond(ONE) == 12 * REWARD
    world.until(lambda: world.agenda.now() == until - 1)
    assert world.job(job).state is JobState.ASSIGNED
    world.slots(2)
    assert world.job(job).end == JobSucceeded()
    assert world.balances.total(ONE) == before + HDL
    assert world.is_settled()
    world.check()


def test_a_result_that_waits_keeps_no_checkpoint() -> None:
    """There is no next attempt that could go on from it."""
    world = RoundWorld()
    job = world.job_in(OWNERS)
    world.start(job, 0, 0)
    world.slots(1)
    world.call("Jobs", "checkpoint", ONE, job, 0, 0, 0, 1, SCRIPT)
    world.check()
    world.report(job, 0, 0, world.found(job))
    assert world.jobs.checkpoints.find((job, 0, 0)) is None
    world.check()


def test_the_owner_may_accept_at_once_and_nobody_else() -> None:
    """Accepting ends the wait; a stranger's word is refused, and so is a second one."""
    world, job = reported(OWNERS)
    for name in ("accept", "reject"):
        assert world.refuses("Verification", name, BOB, job, 0, 0) is job_errors.NotOwner
        assert world.refuses("Verification", name, ALICE, job, 0, 1) is errors.NothingToJudge
    assert world.refuses("Verification", "accept", ALICE, job, 0, 0) is None
    assert world.job(job).end == JobSucceeded()
    assert world.refuses("Verification", "accept", ALICE, job, 0, 0) is errors.NothingToJudge
    world.check()


def test_a_rejected_result_of_a_known_processor_costs_it_nothing_but_its_pay() -> None:
    """A job that fetches on processors that the owner chose: refunded, bond back, no fault."""
    world, job = reported(OWNERS, processors=KNOWN, capabilities=FETCH)
    payer, processor = world.balances.total(ALICE), world.balances.total(ONE)
    world.call("Verification", "reject", ALICE, job, 0, 0)
    assert world.job(job).end == JobFailed(OwnerRejected())
    assert world.balances.total(ALICE) == payer - 10**7
    assert world.balances.total(ONE) == processor
    assert world.is_settled()
    world.check()


def test_rejecting_a_repeatable_result_opens_a_jury_and_a_false_rejection_pays_for_it() -> None:
    """The owner bonds what a jury costs; the result was right: jurors and processor share that bond."""
    world, job = reported(OWNERS)
    payer, processor = world.balances.total(ALICE), world.balances.total(ONE)
    world.call("Verification", "reject", ALICE, job, 0, 0)
    assert world.balances.held(ALICE, HoldReason.CHALLENGE) == BOND
    world.judge(job, world.found(job))
    assert world.job(job).end == JobSucceeded()
    assert world.balances.total(ONE) == processor + HDL + BOND - 3 * REWARD
    assert world.balances.total(ALICE) == payer - BOND - HDL - 2 * 20_000_000_000 - 10**7
    assert world.is_settled()
    world.check()


def test_a_rightful_rejection_gives_the_owner_its_bond_and_a_tenth_and_no_more() -> None:
    """Nobody earns by being lied to: the processor's bond pays the jurors, and the rest is burned."""
    world, job = reported(OWNERS, lie=True)
    payer, processor = world.balances.total(ALICE), world.balances.total(ONE)
    world.call("Verification", "reject", ALICE, job, 0, 0)
    world.judge(job, world.found(job))
    assert world.job(job).end == JobFailed(Mismatch())
    assert world.balances.total(ALICE) == payer + REWARD // 10 - 10**7
    assert world.balances.total(ONE) == processor - 12 * REWARD
    assert world.is_settled()
    world.check()


def test_an_owner_that_cannot_bond_cannot_reject() -> None:
    """Nothing changes, and silence will accept."""
    world, job = reported(OWNERS)
    world.balances.burn(ALICE, world.balances.free(ALICE) - HDL)
    assert world.refuses("Verification", "reject", ALICE, job, 0, 0) is errors.BondNotAvailable
    world.check()


def test_each_slot_is_judged_alone() -> None:
    """Two slots: one accepted early, one by silence."""
    world = RoundWorld()
    job = world.job_in(OWNERS, slots=2)
    for slot in (0, 1):
        world.report_found(job, slot=slot)
    world.call("Verification", "accept", ALICE, job, 0, 1)
    assert world.execution(job, 0, 0).state is ExecutionState.REPORTED
    assert world.execution(job, 1, 0).state is ExecutionState.ACCEPTED
    world.until(lambda: world.job(job).state is JobState.DONE)
    assert world.job(job).accepted == 2
    world.check()


# Reexecution.


def test_an_unchallenged_result_is_accepted_after_its_window() -> None:
    """Two hundred slots, one bond of twenty rewards."""
    world, job = reported(REEXECUTED)
    assert world.bond(ONE) == 20 * REWARD
    world.until(lambda: world.job(job).state is JobState.DONE, 300)
    assert world.job(job).end == JobSucceeded()
    assert world.is_settled()
    world.check()


@pytest.mark.parametrize("what", ["digest", "delivery", "tape"])
def test_a_report_must_be_one_that_others_can_repeat(what: str) -> None:
    """Its digest is its output's, nothing was delivered yet, and a job that fetches publishes its tape."""
    world = RoundWorld()
    job = world.job_in(REEXECUTED, capabilities=FETCH if what == "tape" else types.NO_CAPABILITIES)
    world.start(job, 0, 0)
    good = replace(world.found(job), tape=SCRIPT)
    bad, error = {
        "digest": (replace(good, digest=bytes(32)), errors.DigestMismatch),
        "delivery": (replace(good, deliveries=(Delivery(0, b""),)), errors.DeliveredTooEarly),
        "tape": (replace(good, tape=None), errors.TapeMissing),
    }[what]
    held = world.slot(job, 0)
    assert world.refuses("Jobs", "report", ONE, job, 0, 0, held.generation, 1, bad) is error
    assert world.refuses("Jobs", "report", ONE, job, 0, 0, held.generation, 1, good) is None
    world.check()


def test_a_challenger_that_is_right_gets_three_tenths_of_the_bond() -> None:
    """M7 in full: payer a tenth of the reward, a reward for each juror, the challenger, the rest burned."""
    world, job = reported(REEXECUTED, lie=True)
    total = {who: world.balances.total(who) for who in (ALICE, ONE, CHALLENGER)}
    bind(world, job)
    assert world.round(job).state is RoundState.CHALLENGED
    assert world.balances.held(CHALLENGER, HoldReason.CHALLENGE) == BOND
    show(world, job)
    world.check()
    seats = world.judge(job, world.found(job))
    assert world.job(job).end == JobFailed(Mismatch())
    assert world.balances.total(ONE) == total[ONE] - 20 * REWARD
    assert world.balances.total(CHALLENGER) == total[CHALLENGER] + 6 * REWARD
    assert world.balances.total(ALICE) == total[ALICE] + REWARD // 10 - 10**7
    assert len(seats) == 3
    assert world.is_settled()
    world.check()


def test_a_challenger_that_is_wrong_pays_the_jury_and_the_processor() -> None:
    """The rest of its bond goes to whom it doubted, who is paid for the result as well."""
    world, job = reported(REEXECUTED)
    processor, challenger = world.balances.total(ONE), world.balances.total(CHALLENGER)
    bind(world, job, output=b"43")
    show(world, job, output=b"43")
    world.judge(job, world.found(job))
    assert world.job(job).end == JobSucceeded()
    assert world.balances.total(CHALLENGER) == challenger - BOND
    assert world.balances.total(ONE) == processor + HDL + BOND - 3 * REWARD
    assert world.is_settled()
    world.check()


def test_a_challenger_whose_own_result_is_wrong_too_gets_its_bond_and_no_share() -> None:
    """It proved a lie, but has not done the work."""
    world, job = reported(REEXECUTED, lie=True)
    challenger = world.balances.total(CHALLENGER)
    bind(world, job, output=b"43")
    show(world, job, output=b"43")
    world.judge(job, world.found(job))
    assert world.balances.total(CHALLENGER) == challenger
    assert world.bond(ONE) == 0
    assert world.is_settled()
    world.check()


def test_that_the_tape_does_not_fit_is_a_result_for_a_challenger_and_its_jury() -> None:
    """A processor that made its replies up is convicted by those who replay them."""
    world = RoundWorld()
    job = world.job_in(REEXECUTED, capabilities=FETCH)
    world.report_found(job, replace(world.found(job), tape=SCRIPT))
    world.until_round(job, RoundState.WINDOW)
    finding = failure(TapeInconsistent())
    commitment = world.outsiders_commitment(job, 0, finding, CHALLENGER)
    world.call("Verification", "challenge", CHALLENGER, job, 0, commitment)
    world.call("Verification", "reveal_challenge", CHALLENGER, job, 0, finding, SALT)
    world.judge(job, finding)
    assert world.job(job).end == JobFailed(Mismatch())
    assert world.is_settled()
    world.check()


def test_a_challenge_cannot_be_copied_taken_over_or_made_for_oneself() -> None:
    """Only its maker opens a commitment; the processor does not challenge itself; one challenge at a time."""
    world, job = reported(REEXECUTED)
    commitment = world.outsiders_commitment(job, 0, world.found(job), CHALLENGER)
    assert world.refuses("Verification", "challenge", ONE, job, 0, commitment) is errors.OwnResult
    bind(world, job)
    assert world.refuses("Verification", "challenge", BOB, job, 0, commitment) is errors.AlreadyChallenged
    arguments = (job, 0, world.found(job), SALT)
    assert world.refuses("Verification", "reveal_challenge", BOB, *arguments) is errors.NothingToJudge
    other = (job, 0, world.found(job, output=b"43"), SALT)
    assert world.refuses("Verification", "reveal_challenge", CHALLENGER, *other) is errors.CommitmentMismatch
    world.check()


@pytest.mark.parametrize("shown", [True, False])
def test_a_challenge_that_comes_to_nothing_is_burned_and_the_window_goes_on(*, shown: bool) -> None:
    """The same result after all, or none: a liar cannot block honest challengers by challenging itself."""
    world, job = reported(REEXECUTED)
    challenger = world.balances.total(CHALLENGER)
    until = world.round(job).window_until
    world.until(lambda: world.agenda.now() >= until - 2)
    bind(world, job)
    if shown:
        show(world, job)
    world.until(lambda: world.round(job).state is RoundState.WINDOW)
    assert [event.amount for event in world.events(ChallengeDropped)] == [BOND]
    assert world.balances.total(CHALLENGER) == challenger - BOND
    assert world.round(job).window_until >= world.agenda.now() + 30
    world.check()
    world.until(lambda: world.job(job).state is JobState.DONE)
    assert world.job(job).end == JobSucceeded()
    assert world.is_settled()


def test_only_the_mode_decides_who_may_doubt() -> None:
    """No challenge in OwnerAccept, no owner's word in Reexecution, no commitments in either."""
    world, job = reported(OWNERS)
    assert world.refuses("Verification", "challenge", CHALLENGER, job, 0, bytes(32)) is errors.NotChallengeable
    world, job = reported(REEXECUTED)
    assert world.refuses("Verification", "reject", ALICE, job, 0, 0) is errors.NothingToJudge
    world = RoundWorld()
    job = world.job_in(OWNERS)
    world.start(job, 0, 0)
    arguments = (job, 0, 0, world.slot(job, 0).generation, 1, bytes(32))
    assert world.refuses("Verification", "commit", ONE, *arguments) is errors.CommitNotExpected
