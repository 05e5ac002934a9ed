"""Instant match: the owner names the processors at registration, and they have their offers in the same block."""

from typing import Any

import pytest

from pallets.jobs import types
from pallets.jobs.events import SlotOffered
from pallets.jobs.failure import Declined
from pallets.jobs.records import JobState, SlotState
from pallets.matching.pallet import NamedProcessorUnfit
from pallets.matching.types import Reason
from runtime.pallet import Signed
from tests.helpers.job_world import ALICE, HDL, PARAMETERS, PROCESSORS, World

ONE, TWO, THREE = PROCESSORS[:3]
KIND = types.RuntimeKind.WASM
QUIET = {**PARAMETERS, "matching": {**PARAMETERS["matching"], "fallbackAfterSlots": 100_000}}


def ready() -> World:
    """Three processors that advertise."""
    world = World(QUIET)
    for processor in (ONE, TWO, THREE):
        world.offer_capacity(processor)
    return world


def named(*chosen: tuple[bytes, int]) -> types.Single:
    """The assignment that names these processors with their start delays."""
    return types.Single(tuple(types.InstantMatch(who, delay) for who, delay in chosen))


def test_named_processors_have_their_offers_in_the_block_of_registration() -> None:
    """No proposal, no window, no draw; each with its own start delay; the job is Matched at once, then runs."""
    world = ready()
    job = world.register(spec=world.spec(assignment=named((TWO, 0), (ONE, 7_000))))
    assert world.job(job).state is JobState.MATCHED
    assert [(event.slot, event.processor) for event in world.events(SlotOffered)] == [(0, TWO), (1, ONE)]
    assert [world.slot(job, number).start_delay_ms for number in (0, 1)] == [0, 7_000]
    world.check()
    for number in (0, 1):
        world.acknowledge(job, number)
    for number in (0, 1):
        world.run(job, 0, number)
    assert world.job(job).state is JobState.DONE
    assert world.balances.total(ONE) == 10_001 * HDL


def test_results_of_named_processors_earn_no_reputation() -> None:
    """Nobody drew them, so an owner and a processor cannot deal themselves a record."""
    world = ready()
    before = world.reputation.score(ONE, KIND)
    job = world.register(spec=world.spec(slots=1, assignment=named((ONE, 0))))
    world.acknowledge(job, 0)
    world.run(job, 0, 0)
    assert world.reputation.score(ONE, KIND) == before


UNFIT: list[tuple[Reason, dict[str, Any]]] = [
    (Reason.LABELS, {"requirements": types.Requirements(labels=("moon",))}),
    (Reason.PRICE, {"reward": HDL // 2}),
    (Reason.RUNTIME, {"runtime": types.RuntimeKind.JAVASCRIPT}),
    (Reason.NOT_LISTED, {"processors": types.Known((TWO, THREE))}),
]


@pytest.mark.parametrize(("reason", "changes"), UNFIT)
def test_a_named_processor_that_does_not_fit_refuses_the_whole_job(reason: Reason, changes: dict[str, Any]) -> None:
    """The error names the reason; nothing is held and no job is stored."""
    world = ready()
    spec = world.spec(assignment=named((TWO, 0), (ONE, 0)), **changes)
    mark = world.state.mark()
    with pytest.raises(NamedProcessorUnfit) as caught:
        world.runtime.dispatch_in_layer(world.runtime.definition("Jobs", "register")(spec), Signed(ALICE))
    assert caught.value.detail == reason.value
    assert world.state.mark() == mark


def test_two_processors_of_one_manager_are_not_named_together() -> None:
    """One slot per manager, as everywhere."""
    world = ready()
    for processor in (ONE, TWO):
        world.pair(processor, "bob")
    spec = world.spec(assignment=named((ONE, 0), (TWO, 0)))
    with pytest.raises(NamedProcessorUnfit) as caught:
        world.runtime.dispatch_in_layer(world.runtime.definition("Jobs", "register")(spec), Signed(ALICE))
    assert caught.value.detail == Reason.MANAGER_HAS_SLOT.value


def test_a_named_processor_that_declines_is_replaced_by_matching() -> None:
    """The slot is open to all, as any other."""
    world = ready()
    job = world.register(spec=world.spec(slots=1, assignment=named((ONE, 0))))
    world.call("Jobs", "decline", ONE, job, 0, 0, Declined())
    world.slots(3)
    world.propose(job, TWO)
    world.until_slot(job, 0, SlotState.OFFERED)
    assert world.slot(job, 0).drawn
    world.check()
