"""Juries: what a dissent among replicas costs, to the planck, and whom it never touches."""

from collections import Counter

from pallets.balances import TREASURY
from pallets.jobs import types
from pallets.jobs.failure import AppError, Mismatch, NoAgreement
from pallets.jobs.records import ExecutionState, JobFailed, JobState
from pallets.verification.events import BondFrozen
from pallets.verification.types import RoundState
from tests.helpers.job_world import ALICE, HDL, failure
from tests.helpers.round_world import ONE, REWARD, THREE, TWO, RoundWorld

BOND = 12 * REWARD
WASM = types.RuntimeKind.WASM


def disputed(*lies: int, **changes: object) -> tuple[RoundWorld, int]:
    """A quorum of two of three in which the slots of `lies` revealed another result."""
    world = RoundWorld()
    job = world.job_in(types.Quorum(2), slots=3, **changes)
    outcomes = [world.lie(job) if slot in lies else world.found(job) for slot in range(3)]
    for slot, outcome in enumerate(outcomes):
        world.compute(job, 0, slot, outcome)
    world.until_reveals(job)
    for slot, outcome in enumerate(outcomes):
        world.reveal_result(job, 0, slot, outcome)
    return world, job


def test_any_dissent_of_a_deterministic_job_goes_to_a_jury_and_bonds_stay_locked() -> None:
    """Though two of three agree, nothing is accepted and nobody loses anything before the verdict."""
    world, job = disputed(2)
    assert world.round(job).state is RoundState.JURY
    assert [world.execution(job, slot, 0).state for slot in range(3)] == [ExecutionState.DISPUTED] * 3
    assert [world.bond(who) for who in (ONE, TWO, THREE)] == [BOND] * 3
    assert world.job(job).accepted == 0
    world.check()


def test_a_liar_pays_the_payer_and_the_jurors_and_the_rest_of_its_bond_is_burned() -> None:
    """M7: a tenth of the reward, one reward per juror, the rest gone; the honest two are paid as ever, not more."""
    world, job = disputed(2)
    one, three, payer = (world.balances.total(who) for who in (ONE, THREE, ALICE))
    issuance, accepted = world.balances.total_issuance(), 2 * (HDL + 2 * 20_000_000_000)
    jurors = {who: world.balances.total(who) for who in world.jurors}
    seats = world.judge(job, world.found(job))
    assert len(seats) == 3
    world.check()
    assert world.is_settled()
    assert world.balances.total(THREE) == three - BOND
    assert world.balances.total(ONE) == one + HDL
    assert world.balances.total(ALICE) == payer + REWARD // 10 - accepted - 3 * 10**7
    assert all(world.balances.total(who) == jurors[who] + REWARD * (who in seats) for who in jurors)
    burned = BOND - REWARD // 10 - 3 * REWARD + 2 * 20_000_000_000 + 3 * 10**7
    assert world.balances.total_issuance() == issuance - burned
    states = [world.execution(job, slot, 0).state for slot in range(3)]
    assert states == [ExecutionState.ACCEPTED, ExecutionState.ACCEPTED, ExecutionState.REJECTED]
    assert world.execution(job, 2, 0).failure == Mismatch()
    assert world.reputation.score(THREE, WASM) < 100_000 < world.reputation.score(ONE, WASM)
    assert (world.reputation.cv(ONE, WASM), world.reputation.cv(THREE, WASM)) == (1, 0)


def test_what_fines_took_of_a_bond_a_lie_costs_in_stake() -> None:
    """A liar that was fined before loses as much as one that was not: the difference is burned from its stake."""
    world, job = disputed(2)
    key = next(key for key, bond in world.escrow.bonds.items() if bond.processor == THREE)
    world.escrow.fine(key, HDL, halves=2)
    fined, stake, total = HDL // 10, world.processors.stake_of(THREE), world.balances.total(THREE)
    assert world.bond(THREE) == BOND - fined
    world.judge(job, world.found(job))
    assert world.processors.stake_of(THREE) == stake - fined
    assert world.balances.total(THREE) == total - BOND
    world.check()


def test_a_captured_majority_loses_to_the_jury_and_the_honest_replica_is_paid() -> None:
    """Two colluders of three lose both bonds; the one right result is what the consumer gets."""
    world, job = disputed(0, 1)
    world.judge(job, world.found(job))
    world.check()
    assert world.is_settled()
    assert world.job(job).accepted == 1
    assert world.execution(job, 2, 0).state is ExecutionState.ACCEPTED
    assert world.jobs.results.get((job, 2, 0)).output == world.found(job).output


def test_when_all_were_wrong_nothing_is_accepted_and_all_are_convicted() -> None:
    """The jury finds a third result: the payer gets its money and a tenth of a reward of each bond."""
    world, job = disputed(2)
    payer = world.balances.total(ALICE)
    world.judge(job, world.found(job, output=b"the truth"))
    world.check()
    assert world.is_settled()
    assert world.job(job).accepted == 0
    assert world.balances.total(ALICE) == payer + 3 * REWARD // 10 - 3 * 10**7


def test_a_hung_jury_slashes_nobody() -> None:
    """Jurors of three minds: every bond comes back, nobody is paid, the payer is refunded."""
    world, job = disputed(2)
    before = {who: world.balances.total(who) for who in (ONE, TWO, THREE)}
    world.judge(job, world.found(job), world.lie(job), world.found(job, output=b"a third"))
    world.check()
    assert world.is_settled()
    assert {who: world.balances.total(who) for who in before} == before
    assert world.job(job).end == JobFailed(NoAgreement())


def test_without_jurors_a_dissent_ends_in_a_refund() -> None:
    """Nobody claims a seat: the round still ends, by the panel's own deadlines."""
    world, job = disputed(2)
    world.until(lambda: world.job(job).state is JobState.DONE)
    assert world.is_settled()
    world.check()


def test_a_liar_loses_the_rest_of_its_lease_too() -> None:
    """An interval job: the slot of the convicted processor is open again, and its manager may not come back."""
    world = RoundWorld()
    start = world.system.now_ms + 10_000
    schedule = types.Schedule(start, start + 600_001, 600_000, 5_000, 10_000)
    job = world.job_in(types.Quorum(2), slots=3, schedule=schedule)
    outcomes = (world.found(job), world.found(job), world.lie(job))
    for slot, outcome in enumerate(outcomes):
        world.compute(job, 0, slot, outcome)
    world.until_reveals(job)
    for slot, outcome in enumerate(outcomes):
        world.reveal_result(job, 0, slot, outcome)
    world.judge(job, world.found(job))
    world.check()
    assert world.slot(job, 2).generation == 1
    assert world.slot(job, 2).processor is None
    assert world.jobs.mark_of(job, THREE).excluded
    assert world.bond(ONE) > 0
    assert world.bond(THREE) == 0


def test_a_second_lie_under_one_lease_pays_its_jury_as_the_first_did() -> None:
    """The first verdict emptied the bond: it is filled from the stake, so that the treasury is not asked."""
    world = RoundWorld()
    world.call("Processors", "stake", THREE, BOND)
    start = world.system.now_ms + 10_000
    schedule = types.Schedule(start, start + 10_001, 10_000, 5_000, 10_000)
    job = world.job_in(types.Quorum(2), slots=3, schedule=schedule)
    for execution in range(2):
        for slot in range(3):
            world.compute(job, execution, slot, world.lie(job, execution) if slot == 2 else world.found(job, execution))
    for execution in range(2):
        while world.agenda.now() < world.round(job, execution).open_at:
            world.slots(1)
        for slot in range(3):
            outcome = world.lie(job, execution) if slot == 2 else world.found(job, execution)
            world.reveal_result(job, execution, slot, outcome)
    treasury, three = world.balances.total(TREASURY), world.balances.total(THREE)
    stake = world.processors.stake_of(THREE)
    jurors = {who: world.balances.total(who) for who in world.jurors}
    first, second = world.judge_together(job, [world.found(job, execution) for execution in range(2)])
    seats = Counter((*first, *second))
    assert {who: world.balances.total(who) - jurors[who] for who in seats} == {
        who: count * REWARD for who, count in seats.items()
    }
    world.check()
    assert world.balances.total(TREASURY) == treasury
    assert world.balances.total(THREE) == three - 2 * BOND
    assert world.processors.stake_of(THREE) == stake - BOND
    assert world.is_settled()


def test_what_a_convicted_processor_left_closed_costs_it_a_whole_bond_too() -> None:
    """The verdict on one execution emptied the lease's bond; the other commitment, never opened, costs stake."""
    world = RoundWorld(late=50)
    start = world.system.now_ms + 10_000
    schedule = types.Schedule(start, start + 10_001, 10_000, 5_000, 10_000)
    job = world.job_in(types.Quorum(2), slots=3, schedule=schedule)
    for execution in range(2):
        for slot in range(3):
            world.compute(job, execution, slot, world.lie(job, execution) if slot == 2 else world.found(job, execution))
    for execution, shown in ((0, 3), (1, 2)):
        while world.agenda.now() < world.round(job, execution).open_at:
            world.slots(1)
        for slot in range(shown):
            lie = slot == 2
            world.reveal_result(job, execution, slot, world.lie(job, execution) if lie else world.found(job, execution))
    world.judge(job, world.found(job))
    assert world.bond(THREE) == 0
    world.until(lambda: world.job(job).state is JobState.DONE)
    world.check()
    assert [event.processor for event in world.events(BondFrozen)] == [THREE]
    stake = world.processors.stake_of(THREE)
    world.until(lambda: not list(world.verification.late.items()))
    assert stake - world.processors.stake_of(THREE) == min(stake, BOND)
    assert world.is_settled()
    world.check()


def test_a_failure_against_a_success_is_a_dissent_as_well() -> None:
    """A replica that says the script fails is judged like one with another output."""
    world = RoundWorld()
    job = world.job_in(types.Quorum(2), slots=3)
    outcomes = (world.found(job), failure(AppError(1)), world.found(job))
    for slot, outcome in enumerate(outcomes):
        world.compute(job, 0, slot, outcome)
    world.until_reveals(job)
    for slot, outcome in enumerate(outcomes):
        world.reveal_result(job, 0, slot, outcome)
    world.judge(job, world.found(job))
    assert world.execution(job, 1, 0).state is ExecutionState.REJECTED
    assert world.bond(TWO) == 0
    assert world.is_settled()
    world.check()


def test_cancelling_does_not_save_a_liar() -> None:
    """The payer gives up during the dispute: the verdict comes all the same, then the job ends."""
    world, job = disputed(2)
    world.slots(1)
    assert world.refuses("Jobs", "cancel", ALICE, job) is None
    assert world.job(job).state is JobState.ASSIGNED
    three = world.balances.total(THREE)
    world.judge(job, world.found(job))
    assert world.job(job).state is JobState.CANCELLED
    assert world.balances.total(THREE) == three - BOND
    assert world.is_settled()
    world.check()
