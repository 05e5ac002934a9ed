"""Who gets a slot: each reason against a processor, how proposals compete, and the chain's own search."""

from dataclasses import replace
from typing import Any

import pytest

from pallets.jobs import types
from pallets.jobs.errors import JobNotFound
from pallets.jobs.failure import Declined
from pallets.jobs.records import JobState, SlotState
from pallets.matching.eligibility import Candidate
from pallets.matching.explain import explain
from pallets.matching.pallet import NoPlacements, PlacementRejected, Proposed, SlotNotFound
from pallets.matching.types import PROPOSALS_MAX, Reason
from pallets.processors.calendar import Capacity
from pallets.processors.types import FREE
from tests.helpers.job_world import ALICE, BOB, HDL, MATCHER, PARAMETERS, PROCESSORS, World, account

ONE, TWO, THREE = PROCESSORS[:3]
QUIET = {**PARAMETERS, "matching": {**PARAMETERS["matching"], "fallbackAfterSlots": 1_000}}
"""The chain itself does not search."""


def judge(world: World, job: int, who: bytes = ONE, slot: int = 0, start_delay_ms: int = 0) -> Reason | None:
    """The reason against a processor now, None if it is eligible."""
    rules = world.matching.eligibility
    judged = rules.judge(world.matching.parameters.get(), rules.seat(job, slot), who, start_delay_ms, MATCHER)
    return None if isinstance(judged, Candidate) else judged


EQUIPMENT: list[tuple[Reason, dict[str, Any], dict[str, Any]]] = [
    (Reason.RUNTIME, {"runtimes": (types.RuntimeKind.PYTHON,)}, {}),
    (Reason.VERSION, {}, {"requirements": types.Requirements(version_min=2)}),
    (Reason.MODULES, {"modules": ("numpy",)}, {"requirements": types.Requirements(modules=("numpy", "scipy"))}),
    (Reason.LABELS, {}, {"requirements": types.Requirements(labels=("eu", "gold"))}),
    (Reason.ARCHITECTURE, {}, {"requirements": types.Requirements(architecture=types.Architecture.AARCH64)}),
    (Reason.ACCELERATOR, {"accelerators": ("a100",)}, {"requirements": types.Requirements(accelerator="h100")}),
    (Reason.CAPABILITIES, {"fetch": False}, {"capabilities": types.Capabilities(("a.org",), (), False, False)}),
    (Reason.CAPABILITIES, {"storage": False}, {"capabilities": types.Capabilities((), (), True, False)}),
    (Reason.CAPABILITIES, {"sign": False}, {"capabilities": types.Capabilities((), (), False, True)}),
    (Reason.BENCHMARK, {}, {"requirements": types.Requirements(benchmark_min=10**6 + 1)}),
    (Reason.REPUTATION, {}, {"processors": types.Public(509_804, attested_only=False)}),
    (Reason.PRICE, {"pricing": replace(FREE, base=2 * HDL + 1)}, {}),
    (Reason.PRICE, {"pricing": replace(FREE, per_ms=2 * HDL // 10_000 + 1)}, {}),
    (Reason.PRICE, {"pricing": replace(FREE, per_storage_byte=2 * HDL)}, {}),
    (Reason.NETWORK_QUOTA, {"requests_max": 4}, {"resources": types.Resources(1 << 28, 0, 5, 10**9, 100)}),
    (Reason.FUEL, {}, {"resources": types.Resources(1 << 28, 0, 0, 8 * 10**9 + 1, 100)}),
    (Reason.START_DELAY, {"start_delay_min_ms": 60_001}, {}),
    (Reason.CALENDAR, {"capacity": Capacity((1 << 28) - 1, 1 << 30, 4)}, {}),
    (Reason.CALENDAR, {"capacity": Capacity(1 << 30, (1 << 20) - 1, 4)}, {}),
    (Reason.CONSUMER_NOT_SERVED, {"consumers": (BOB,)}, {}),
    (Reason.NOT_LISTED, {}, {"processors": types.Known((TWO, THREE))}),
    (Reason.NOT_PERSONAL, {}, {"processors": types.Personal((ONE, TWO)), "reward": 0}),
]

FITTING: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"modules": ("numpy", "scipy")}, {"requirements": types.Requirements(modules=("scipy",))}),
    ({}, {"requirements": types.Requirements(("",)[:0], types.Architecture.X86_64, None, ("eu",), 10**6, 1)}),
    ({"accelerators": ("a100",)}, {"requirements": types.Requirements(accelerator="a100")}),
    ({}, {"processors": types.Public(509_803, attested_only=False)}),
    ({"pricing": replace(FREE, base=2 * HDL)}, {}),
    ({"requests_max": 5}, {"resources": types.Resources(1 << 28, 0, 5, 8 * 10**9, 100)}),
    ({"consumers": (ALICE, BOB)}, {}),
    ({}, {"processors": types.Known((ONE, TWO)), "reward": 2 * HDL}),
    ({"pricing": FREE}, {"processors": types.Known((ONE, TWO)), "reward": 0}),
    ({"consumers": (ALICE,)}, {"processors": types.Personal((ONE, TWO)), "reward": 0}),
    ({"capacity": Capacity(1 << 28, 1 << 20, 1)}, {}),
]


@pytest.mark.parametrize(("reason", "advert", "spec"), EQUIPMENT)
def test_each_check_turns_a_processor_down_for_its_own_reason(
    reason: Reason, advert: dict[str, Any], spec: dict[str, Any]
) -> None:
    """Only the named thing is wrong; the placement is counted under it and no window opens."""
    world = World(QUIET)
    world.offer_capacity(ONE, world.advert(**advert))
    job = world.register(spec=world.spec(**spec))
    world.slots(3)
    assert judge(world, job) is reason
    world.propose(job, ONE)
    assert [event.reason for event in world.events(PlacementRejected)] == [reason]
    assert world.jobs.rejections.get(job)[reason.value] == 1
    assert not list(world.matching.windows.items())
    world.check()


@pytest.mark.parametrize(("advert", "spec"), FITTING)
def test_a_processor_at_each_bound_is_eligible(advert: dict[str, Any], spec: dict[str, Any]) -> None:
    """Exactly enough is enough."""
    world = World(QUIET)
    world.offer_capacity(ONE, world.advert(**advert))
    job = world.register(spec=world.spec(**spec))
    world.slots(3)
    assert judge(world, job) is None


def test_processors_must_be_advertised_alive_old_enough_and_not_suspended() -> None:
    """NOT_ADVERTISED, SILENT, TOO_NEW, SUSPENDED."""
    limits = {"windowSlots": 2, "fallbackAfterSlots": 10_000, "heartbeatSlotsMax": 20, "advertAgeSlotsMin": 5}
    world = World({"matching": limits})
    job = world.register()
    assert judge(world, job) is Reason.NOT_ADVERTISED
    world.offer_capacity(ONE)
    assert judge(world, job) is Reason.TOO_NEW
    world.slots(5)
    assert judge(world, job) is None
    world.slots(16)
    assert judge(world, job) is Reason.SILENT
    world.call("Processors", "heartbeat", ONE, 1)
    assert judge(world, job) is None
    world.processors.records.put(ONE, replace(world.processors.record_of(ONE), suspended=True))
    assert judge(world, job) is Reason.SUSPENDED
    world.call("Processors", "delete_advertisement", ONE)
    assert judge(world, job) is Reason.NOT_ADVERTISED


def test_a_processor_without_a_free_bond_is_turned_down() -> None:
    """It needs the reward and the existential deposit."""
    world = World(QUIET)
    poor = account("poor processor")
    world.balances.issue(poor, 2 * HDL)
    world.offer_capacity(poor)
    job = world.register()
    world.slots(3)
    assert judge(world, job, poor) is Reason.BOND
    missing = 2 * HDL + world.balances.existential_deposit - world.balances.free(poor)
    world.balances.issue(poor, missing)
    assert judge(world, job, poor) is None


def test_a_manager_gets_one_slot_of_a_job_and_none_of_its_own_jobs() -> None:
    """MANAGER_HAS_SLOT for the second processor of a manager, PAYERS_OWN for the consumer's processors."""
    world = World(QUIET)
    for processor in (ONE, TWO, THREE):
        world.offer_capacity(processor)
    world.pair(ONE, "bob")
    world.pair(TWO, "bob")
    job = world.register()
    world.slots(3)
    world.propose(job, ONE)
    world.until(lambda: world.slot(job, 0).processor == ONE)
    assert judge(world, job, TWO, slot=1) is Reason.MANAGER_HAS_SLOT
    assert judge(world, job, ONE, slot=1) is Reason.MANAGER_HAS_SLOT
    assert judge(world, job, THREE, slot=1) is None
    assert judge(world, job, THREE, slot=0) is Reason.SLOT_TAKEN
    own = world.register(world.manager("bob"))
    world.slots(3)
    assert judge(world, own, ONE) is Reason.PAYERS_OWN


def test_personal_processors_are_those_that_the_consumer_manages() -> None:
    """Paired to the payer they are eligible, several of one manager too."""
    world = World(QUIET)
    for processor in (ONE, TWO):
        world.offer_capacity(processor)
        world.pair(processor, "bob")
    spec = world.spec(processors=types.Personal((ONE, TWO)), reward=0)
    job = world.register(world.manager("bob"), spec)
    world.slots(3)
    world.propose(job, ONE, TWO)
    world.until(lambda: world.job(job).state is JobState.MATCHED)
    world.check()


def test_a_manager_that_declined_is_excluded_from_the_job() -> None:
    """EXCLUDED, on this job only."""
    world = World(QUIET)
    world.offer_capacity(ONE)
    job, other = world.register(), world.register()
    world.slots(3)
    world.propose(job, ONE)
    world.until(lambda: world.slot(job, 0).state is SlotState.OFFERED)
    world.call("Jobs", "decline", ONE, job, 0, 0, Declined())
    world.slots(3)
    assert judge(world, job) is Reason.EXCLUDED
    assert judge(world, other) is None


def test_the_calendar_counts_offers_and_leases_until_they_end() -> None:
    """A processor with one core takes one job at a time, the next when the first is over."""
    world = World(QUIET)
    world.offer_capacity(ONE, world.advert(capacity=Capacity(8 << 30, 8 << 30, 1)))
    first, second = (world.register(spec=world.spec(slots=1)) for _ in range(2))
    world.slots(3)
    assert judge(world, second) is None
    world.propose(first, ONE)
    world.until(lambda: world.slot(first, 0).state is SlotState.OFFERED)
    assert judge(world, second) is Reason.CALENDAR
    world.call("Jobs", "cancel", ALICE, first)
    assert judge(world, second) is None


def test_a_start_delay_past_the_jobs_maximum_is_turned_down() -> None:
    """A delay up to the maximum shifts the starts."""
    world = World(QUIET)
    world.offer_capacity(ONE)
    job = world.register(spec=world.spec(slots=1))
    world.slots(3)
    assert judge(world, job, start_delay_ms=60_001) is Reason.START_DELAY
    world.call("Matching", "propose", MATCHER, job, (world.placement(0, ONE, 7_000),))
    world.until(lambda: world.slot(job, 0).state is SlotState.OFFERED)
    world.acknowledge(job, 0)
    assert world.execution(job, 0, 0).due_ms == world.jobs.specs.get(job).schedule.start_ms + 7_000


def test_the_best_proposal_of_the_window_wins_not_the_first() -> None:
    """The cheaper processor is proposed last and by another matcher; it gets the offer, its matcher the share."""
    world = World(QUIET)
    world.offer_capacity(ONE)
    world.offer_capacity(TWO, world.advert(pricing=replace(FREE, base=HDL // 2)))
    job = world.register(spec=world.spec(slots=1))
    world.slots(3)
    world.propose(job, ONE)
    world.slots(1)
    world.call("Matching", "propose", BOB, job, (world.placement(0, TWO),))
    world.until(lambda: world.slot(job, 0).state is SlotState.OFFERED)
    slot = world.slot(job, 0)
    assert (slot.processor, slot.matcher, slot.ask) == (TWO, BOB, HDL // 2)


def test_a_copied_proposal_changes_nothing_and_the_window_keeps_the_best_sixteen() -> None:
    """The first to name a processor is its matcher; the seventeenth processor displaces a worse one."""
    world = World(QUIET, balance=10**16)
    names = [account(f"one of many {n}") for n in range(PROPOSALS_MAX + 1)]
    for number, name in enumerate(names):
        world.balances.issue(name, 100 * HDL)
        world.offer_capacity(name, world.advert(pricing=replace(FREE, base=HDL - number)))
    job = world.register(spec=world.spec(slots=1, processors=types.Known(tuple(names))))
    placements = tuple(world.placement(0, name) for name in names)
    world.call("Matching", "propose", MATCHER, job, placements)
    world.call("Matching", "propose", BOB, job, placements[:3])
    window = world.matching.windows.get((job, 0))
    assert len(window.proposals) == PROPOSALS_MAX
    assert {proposal.matcher for proposal in window.proposals[:-3]} == {MATCHER}
    world.check()


def test_a_winner_that_fails_its_second_check_gives_way_to_the_next() -> None:
    """Between proposal and offer the better processor withdrew."""
    world = World(QUIET)
    world.offer_capacity(ONE)
    world.offer_capacity(TWO, world.advert(pricing=replace(FREE, base=1)))
    job = world.register(spec=world.spec(slots=1))
    world.slots(3)
    world.call("Matching", "propose", MATCHER, job, (world.placement(0, TWO), world.placement(0, ONE)))
    world.call("Processors", "delete_advertisement", TWO)
    world.until(lambda: world.slot(job, 0).state is SlotState.OFFERED)
    assert world.slot(job, 0).processor == ONE
    assert world.jobs.rejections.get(job)[Reason.NOT_ADVERTISED.value] == 1


def test_without_a_window_the_first_valid_proposal_is_offered_at_once() -> None:
    """windowSlots 0, for the smallest networks."""
    world = World({"matching": {"windowSlots": 0, "drawDelayBlocks": 0, "advertAgeSlotsMin": 0}})
    world.offer_capacity(ONE)
    world.offer_capacity(TWO)
    job = world.register()
    world.slots(1)
    world.propose(job, ONE, TWO)
    assert world.job(job).state is JobState.MATCHED


def test_the_chain_finds_processors_by_itself_and_takes_no_share() -> None:
    """After fallbackAfterSlots both slots are offered, to different processors, without a matcher."""
    world = World()
    for processor in PROCESSORS:
        world.offer_capacity(processor)
    job = world.register()
    world.until(lambda: world.job(job).state is JobState.MATCHED, slots_max=8)
    slots = [world.slot(job, number) for number in (0, 1)]
    assert all(slot.matcher is None for slot in slots)
    assert slots[0].processor != slots[1].processor
    for number in (0, 1):
        world.acknowledge(job, number)
    for number in (0, 1):
        world.run(job, 0, number)
    assert world.escrow.ledgers.get(job).paid == 2 * HDL


def test_the_chains_search_goes_round_all_waiting_jobs() -> None:
    """Jobs that nobody can take do not keep the others waiting."""
    world = World()
    world.offer_capacity(ONE)
    for _ in range(9):
        world.register(spec=world.spec(requirements=types.Requirements(labels=("moon",))))
    job = world.register(spec=world.spec(slots=1))
    world.until(lambda: world.slot(job, 0).processor == ONE, slots_max=12)
    world.check()


def test_the_chains_search_is_not_led_past_the_staked_by_empty_adverts() -> None:
    """Twenty with a stake, then two hundred without: of twenty searches several see one that can take the job."""
    world = World(QUIET)
    names = [account(f"listed {n}") for n in range(220)]
    for number, name in enumerate(names):
        world.balances.issue(name, 100 * HDL)
        world.offer_capacity(name, stake=HDL if number < 20 else 0)
    job = world.register(spec=world.spec(slots=1))
    found = 0
    for _ in range(20):
        world.slots(1)
        found += any(world.processors.units(who) for who in world.matching._sample(job))
    assert found >= 8


def test_sortition_draws_few_of_many_at_first_and_more_with_time() -> None:
    """Of 40 processors about four per slot are eligible when the draw is known; all after four steps."""
    parameters = {"matching": {**QUIET["matching"], "drawDelayBlocks": 2, "drawStepSlots": 5}}
    world = World(parameters)
    names = [account(f"drawn {n}") for n in range(40)]
    for name in names:
        world.balances.issue(name, 100 * HDL)
        world.offer_capacity(name)
    job = world.register(spec=world.spec(slots=1))

    def eligible() -> int:
        return sum(judge(world, job, name) is None for name in names)

    assert eligible() == 0
    world.slots(2)
    first = eligible()
    assert 1 <= first <= 12
    world.slots(5)
    assert first <= eligible()
    world.slots(15)
    assert eligible() == 40


def test_proposals_name_existing_jobs_and_slots() -> None:
    """JobNotFound, SlotNotFound, NoPlacements."""
    world = World(QUIET)
    assert world.refuses("Matching", "propose", MATCHER, 7, (world.placement(0, ONE),)) is JobNotFound
    job = world.register()
    assert world.refuses("Matching", "propose", MATCHER, job, ()) is NoPlacements
    assert world.refuses("Matching", "propose", MATCHER, job, (world.placement(2, ONE),)) is SlotNotFound
    assert not world.events(Proposed)


def test_the_explanation_says_why_a_job_is_not_placed() -> None:
    """Counts by reason: what was turned down so far, and how each processor stands now."""
    world = World(QUIET)
    world.offer_capacity(ONE, world.advert(pricing=replace(FREE, base=9 * HDL)))
    world.offer_capacity(TWO, world.advert(labels=()))
    world.offer_capacity(THREE)
    job = world.register(spec=world.spec(requirements=types.Requirements(labels=("eu",))))
    world.slots(3)
    world.propose(job, ONE)
    told = explain(world.matching, job)
    assert told is not None
    assert (told.slot, told.eligible) == (0, 1)
    assert told.now == {"price": 1, "labels": 1}
    assert told.so_far == {"price": 1}
    assert explain(world.matching, 99) is None
    world.call("Jobs", "cancel", ALICE, job)
    ended = explain(world.matching, job)
    assert ended is not None
    assert (ended.slot, ended.now) == (None, {})
