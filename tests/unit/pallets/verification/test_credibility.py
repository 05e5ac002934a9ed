"""Credibility: as few replicas as their records make enough, fixed before anybody computes."""

import pytest

from pallets.jobs import types
from pallets.jobs.credibility import weight_of
from pallets.jobs.failure import NoAgreement
from pallets.jobs.records import JobFailed, JobState, JobSucceeded, SlotState
from pallets.matching.types import Reason
from tests.helpers.job_world import ALICE, HDL, MATCHER, PROCESSORS, World

WASM = types.RuntimeKind.WASM
ONE, TWO, THREE, FOUR = PROCESSORS[:4]


def world_of(*verified: int) -> World:
    """Processors with so many verified results in a row."""
    world = World()
    for processor, count in zip(PROCESSORS, verified, strict=False):
        world.offer_capacity(processor)
        for _ in range(count):
            world.reputation.verified(processor, WASM)
    return world


def registered(world: World, trust: int, **changes: object) -> int:
    """A job that asks for this trust."""
    return world.register(spec=world.spec(slots=8, verification=types.Credibility(trust), **changes))


@pytest.mark.parametrize(("verified", "weight"), [(0, 2), (11, 2), (12, 3), (15, 4), (50, 15), (51, 16), (1_000, 16)])
def test_the_weight_of_a_record(verified: int, weight: int) -> None:
    """iExec's rule: a newcomer counts twice, nobody more than sixteen times."""
    assert weight_of(verified) == weight


def test_two_newcomers_are_enough_for_a_trust_of_four_and_the_other_slots_close() -> None:
    """Of eight slots that were paid for two run, and the money of six comes back with the end."""
    world = world_of(0, 0, 0)
    payer = world.balances.total(ALICE)
    world.slots(1)
    job = registered(world, 4)
    world.slots(3)
    world.propose(job, ONE, TWO)
    world.until_slot(job, 1, SlotState.OFFERED)
    world.acknowledge(job, 0)
    assert world.job(job).state is JobState.OPEN
    world.acknowledge(job, 1)
    world.check()
    assert world.job(job).state is JobState.ASSIGNED
    assert [slot.state for _, slot in world.jobs.slots_of(job)][2:] == [SlotState.CLOSED] * 6
    for slot in (0, 1):
        world.compute(job, 0, slot)
    world.slots(4)
    for slot in (0, 1):
        world.reveal_result(job, 0, slot)
    world.check()
    assert world.job(job).end == JobSucceeded()
    assert world.balances.total(ALICE) == payer - 2 * (HDL + 2 * 20_000_000_000 + 10**7)
    assert world.reputation.cv(ONE, WASM) == 1


def test_a_third_is_offered_a_slot_only_while_two_are_not_enough() -> None:
    """A trust of eight needs three newcomers, of four two: the next one is turned down before it can be quick."""
    for trust, reason in ((4, Reason.SLOT_TAKEN), (8, None)):
        world = world_of(0, 0, 0, 0)
        job = registered(world, trust)
        world.slots(3)
        world.propose(job, ONE, TWO)
        world.until_slot(job, 1, SlotState.OFFERED)
        world.call("Matching", "propose", MATCHER, job, (world.placement(2, THREE),))
        counted = world.jobs.rejections.get(job)
        turned_down = counted[Reason.SLOT_TAKEN.value] if counted else 0
        assert bool(turned_down) == (reason is Reason.SLOT_TAKEN)
        world.check()


def test_a_long_record_needs_fewer_replicas() -> None:
    """Two processors worth sixteen each reach what eight newcomers would."""
    world = world_of(60, 60)
    job = registered(world, 256)
    world.slots(3)
    world.propose(job, ONE, TWO)
    world.until_slot(job, 1, SlotState.OFFERED)
    world.acknowledge(job, 0)
    world.acknowledge(job, 1)
    assert world.job(job).state is JobState.ASSIGNED
    world.check()


def test_a_job_that_nobody_can_make_trusted_expires_and_is_refunded() -> None:
    """Two newcomers never reach a trust of 64: the queue's time-out gives the money back."""
    world = world_of(0, 0)
    payer = world.balances.total(ALICE)
    job = registered(world, 64)
    world.slots(3)
    world.propose(job, ONE, TWO)
    world.until_slot(job, 1, SlotState.OFFERED)
    world.acknowledge(job, 0)
    world.acknowledge(job, 1)
    world.until(lambda: world.job(job).state is JobState.EXPIRED)
    assert world.balances.total(ALICE) == payer
    world.check()


def test_where_results_differ_without_fault_trust_decides() -> None:
    """A fetching job whose two replicas differ: neither is trusted alone, both get the error share."""
    world = world_of(60, 60)
    job = registered(world, 16, capabilities=types.Capabilities(("example.org",), (), False, False))
    world.slots(3)
    world.propose(job, ONE, TWO)
    world.until_slot(job, 1, SlotState.OFFERED)
    world.acknowledge(job, 0)
    world.acknowledge(job, 1)
    outcomes = (world.found(job), world.found(job, output=b"43"))
    for slot, outcome in enumerate(outcomes):
        world.compute(job, 0, slot, outcome)
    world.slots(4)
    for slot, outcome in enumerate(outcomes):
        world.reveal_result(job, 0, slot, outcome)
    assert world.job(job).end == JobFailed(NoAgreement())
    world.check()
