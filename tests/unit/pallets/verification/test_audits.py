"""Adaptive and the audits of Reexecution: who is looked at, and what a second result leads to."""

import pytest

from pallets.balances import TREASURY
from pallets.jobs import types
from pallets.jobs.failure import Mismatch, NotRevealed
from pallets.jobs.records import ExecutionState, JobFailed, JobState, JobSucceeded
from pallets.verification import errors
from pallets.verification.events import AuditDrawn
from pallets.verification.types import RoundState
from tests.helpers.job_world import HDL, SALT
from tests.helpers.round_world import ONE, REWARD, RoundWorld

WASM = types.RuntimeKind.WASM
BOND = 20 * REWARD


def committed(*, lie: bool = False, verified: int = 0) -> tuple[RoundWorld, int]:
    """An adaptive job whose processor, with so many verified results, has committed."""
    world = RoundWorld(late=100)
    for _ in range(verified):
        world.reputation.verified(ONE, WASM)
    job = world.job_in(types.Adaptive())
    world.compute(job, 0, 0, world.lie(job) if lie else world.found(job))
    return world, job


def test_a_newcomer_is_always_audited_and_cannot_reveal_before_the_auditor_is_bound() -> None:
    """Committed, drawn, audited, revealed, accepted: the auditor is paid a reward from the pot for it."""
    world, job = committed()
    assert world.round(job).state is RoundState.DRAWING
    world.until_round(job, RoundState.AUDITING)
    world.check()
    terms = world.verification.entries.get((job, 0, 0)).terms
    arguments = (job, 0, 0, terms.generation, terms.attempt, world.found(job), SALT)
    assert world.refuses("Verification", "reveal", ONE, *arguments) is errors.RevealNotOpen
    before = {who: world.balances.total(who) for who in (ONE, *world.jurors)}
    (auditor,) = world.judge(job, world.found(job))
    world.until_reveals(job)
    assert world.refuses("Verification", "reveal", ONE, *arguments) is None
    assert world.job(job).end == JobSucceeded()
    assert world.balances.total(auditor) == before[auditor] + REWARD
    assert world.balances.total(ONE) == before[ONE] + HDL
    assert world.reputation.cv(ONE, WASM) == 1
    assert world.is_settled()
    world.check()


def test_a_liar_found_by_an_audit_loses_its_bond_by_the_jury() -> None:
    """The auditor differs; a jury that sits without it says who is right, and the auditor is paid."""
    world, job = committed(lie=True)
    world.until_round(job, RoundState.AUDITING)
    (auditor,) = world.judge(job, world.found(job))
    world.until_reveals(job)
    one, paid = world.balances.total(ONE), world.balances.total(auditor)
    world.reveal_result(job, 0, 0, world.lie(job))
    assert world.round(job).state is RoundState.JURY
    world.check()
    seats = world.judge(job, world.found(job))
    assert auditor not in seats
    assert world.job(job).end == JobFailed(Mismatch())
    assert world.balances.total(ONE) == one - BOND
    assert world.balances.total(auditor) == paid + REWARD
    assert world.is_settled()
    world.check()


def test_an_auditor_that_lies_loses_its_lock_and_the_processor_is_paid() -> None:
    """The jury confirms the processor: two rewards of the auditor are gone."""
    world, job = committed()
    world.until_round(job, RoundState.AUDITING)
    (auditor,) = world.judge(job, world.lie(job))
    world.until_reveals(job)
    one, paid = world.balances.total(ONE), world.balances.total(auditor)
    world.reveal_result(job, 0, 0)
    world.judge(job, world.found(job))
    assert world.job(job).end == JobSucceeded()
    assert world.balances.total(ONE) == one + HDL
    assert world.balances.total(auditor) == paid - 2 * REWARD
    assert world.is_settled()
    world.check()


def test_the_lock_of_an_overruled_auditor_pays_the_jury_that_it_caused() -> None:
    """Three jurors earn three rewards: two from the auditor's lock, and only the third from the treasury."""
    world, job = committed()
    world.until_round(job, RoundState.AUDITING)
    (auditor,) = world.judge(job, world.lie(job))
    world.until_reveals(job)
    treasury, jurors = world.balances.total(TREASURY), {who: world.balances.total(who) for who in world.jurors}
    world.reveal_result(job, 0, 0)
    seats = world.judge(job, world.found(job))
    assert {who: world.balances.total(who) - jurors[who] for who in seats} == dict.fromkeys(seats, REWARD)
    assert world.balances.total(auditor) == jurors[auditor] - 2 * REWARD
    assert treasury - world.balances.total(TREASURY) == REWARD
    world.check()


def test_silence_after_an_audit_that_differs_is_as_dear_as_the_lie() -> None:
    """Whoever does not reveal keeps its bond frozen, and the lie that it was bound to does not recover it."""
    world, job = committed(lie=True)
    world.until_round(job, RoundState.AUDITING)
    world.judge(job, world.found(job))
    world.until_reveals(job)
    one = world.balances.total(ONE)
    world.until(lambda: world.job(job).state is JobState.DONE)
    assert world.job(job).end == JobFailed(NotRevealed())
    lie = (job, 0, 0, world.lie(job), SALT)
    assert world.refuses("Verification", "reveal_late", ONE, *lie) is errors.NotTheAcceptedResult
    world.until(lambda: not list(world.verification.late.items()))
    assert world.balances.total(ONE) == one - BOND
    assert world.is_settled()
    world.check()


def test_a_processor_of_record_is_audited_by_lot_about_one_time_in_sixteen() -> None:
    """Eighty executions of a processor with a thousand verified results: some are drawn, most go on at once."""
    world, count = RoundWorld(), 80
    for _ in range(1_000):
        world.reputation.verified(ONE, WASM)
    start = world.system.now_ms + 20_000
    schedule = types.Schedule(start, start + (count - 1) * 20_000 + 1, 20_000, 2_000, 15_000)
    job = world.job_in(types.Adaptive(), schedule=schedule)
    for execution in range(count):
        world.compute(job, execution, 0)
        while world.round(job, execution).state is RoundState.DRAWING:
            world.slots(1)
        if world.round(job, execution).state is RoundState.REVEALING:
            world.slots(4)
            world.reveal_result(job, execution, 0)
    world.check()
    drawn = len({event.execution for event in world.events(AuditDrawn)})
    assert 1 <= drawn <= 12


def test_without_any_auditor_the_result_is_accepted_but_earns_no_trust() -> None:
    """Two panels that nobody joins: the job ends, and the processor's count stays."""
    world, job = committed()
    world.until_reveals(job)
    assert len(world.events(AuditDrawn)) == 2
    world.reveal_result(job, 0, 0)
    assert world.job(job).end == JobSucceeded()
    assert world.reputation.cv(ONE, WASM) == 0
    assert world.is_settled()
    world.check()


@pytest.mark.parametrize("lie", [True, False])
def test_a_reported_result_may_be_audited_too(*, lie: bool) -> None:
    """Reexecution with every result drawn: the audit either leaves the window to run, or calls the jury at once."""
    world = RoundWorld(auditOneIn=1)
    job = world.job_in(types.Reexecution(200_000))
    world.report_found(job, world.lie(job) if lie else world.found(job))
    world.until_round(job, RoundState.AUDITING)
    world.judge(job, world.found(job))
    assert world.round(job).state is (RoundState.JURY if lie else RoundState.WINDOW)
    world.check()
    if lie:
        world.judge(job, world.found(job))
    world.until(lambda: world.job(job).state is JobState.DONE, 300)
    state = world.execution(job, 0, 0).state
    assert state is (ExecutionState.REJECTED if lie else ExecutionState.ACCEPTED)
    assert world.reputation.cv(ONE, WASM) == (0 if lie else 1)
    assert world.is_settled()
    world.check()
