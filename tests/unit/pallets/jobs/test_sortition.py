"""Sortition: who is drawn, and who wins, computed from the rule itself."""

from dataclasses import replace
from fractions import Fraction
from itertools import product

import pytest

from pallets.jobs import types
from pallets.matching.eligibility import Candidate
from pallets.matching.sortition import TICKET_MAX, limit_of, seed_of, ticket_of, weighed
from pallets.matching.types import Reason
from pallets.processors.types import FREE
from runtime.hashing import blake2b256
from tests.helpers.job_world import HDL, MATCHER, PARAMETERS, PROCESSORS, World, account

DELAY, STEP = 2, 5
DRAW = {"fallbackAfterSlots": 1_000, "drawDelayBlocks": DELAY, "drawStepSlots": STEP}
QUIET = {**PARAMETERS, "matching": {**PARAMETERS["matching"], **DRAW}}
ONE, TWO, THREE = PROCESSORS[:3]


def judge(world: World, job: int, who: bytes) -> Candidate | Reason:
    """What the chain says of a processor for slot 0 now."""
    rules = world.matching.eligibility
    return rules.judge(world.matching.parameters.get(), rules.seat(job, 0), who, 0, MATCHER)


@pytest.mark.parametrize(
    ("slots", "units", "total", "doublings", "limit"),
    [
        (1, 1, 100, 0, (1 << 66) // 100),
        (3, 1, 100, 0, 3 * (1 << 66) // 100),
        (1, 7, 100, 0, (1 << 66) // 100 * 7),
        (1, 7, 100, 1, (1 << 66) // 100 * 14),
        (1, 1, 5, 0, (1 << 66) // 5),
        (1, 1, 4, 0, TICKET_MAX),
        (1, 64, 65, 0, TICKET_MAX),
        (1, 1, 10**6, 17, (1 << 66) // 10**6 << 17),
        (1, 1, 10**6, 18, TICKET_MAX),
        (1, 1, 10**6, 10**9, TICKET_MAX),
        (64, 0, 100, 64, 0),
    ],
)
def test_the_limit_is_the_formula_of_the_specification(
    slots: int, units: int, total: int, doublings: int, limit: int
) -> None:
    """min(2⁶⁴ − 1, ⌊2⁶⁴·4S / total⌋ · units · 2^doublings), at its bounds too."""
    assert limit_of(slots, units, total, doublings) == limit


def test_seed_and_ticket_are_as_specified() -> None:
    """H("sort" ‖ beacon ‖ job ‖ slot ‖ generation), then u64 of H(seed ‖ processor), little endian."""
    draw, job = bytes([1] * 32), bytes([2] * 32)
    seed = blake2b256(b"sort" + draw + job + b"\x03" + b"\x04\x00\x00\x00")
    assert seed_of(draw, job, 3, 4) == seed
    assert ticket_of(seed, ONE) == int.from_bytes(blake2b256(seed + ONE)[:8], "little")


def chance(units: tuple[int, ...], mine: tuple[int, ...], tickets: int = 24) -> Fraction:
    """The exact chance that one of `mine` has the lowest ticket per unit, all tickets of a small lottery counted."""
    won = total = 0
    for drawn in product(range(tickets), repeat=len(units)):
        ranks = [weighed(ticket * 64, unit) for ticket, unit in zip(drawn, units, strict=True)]
        best = min(ranks)
        if ranks.count(best) == 1:
            total += 1
            won += ranks.index(best) in mine
    return Fraction(won, total)


def test_splitting_a_stake_wins_nothing() -> None:
    """Two units in one account win at least as often as two accounts of one unit, whoever the others are."""
    for others in ((1,), (1, 1), (3,)):
        together, apart = chance((2, *others), (0,)), chance((1, 1, *others), (0, 1))
        assert together >= apart
        assert apart >= Fraction(2, 2 + sum(others)) - Fraction(1, 8)


def test_eligible_are_those_whose_tickets_lie_below_their_limit_at_every_age() -> None:
    """Forty processors of one to eight units: the chain's answer is the formula's, after each step of waiting."""
    world = World(QUIET)
    stakes = {account(f"staked {n}"): 1 + n % 8 for n in range(40)}
    for who, units in stakes.items():
        world.balances.issue(who, 100 * HDL)
        world.offer_capacity(who, stake=units * HDL)
    job = world.register(spec=world.spec(slots=1))
    assert {judge(world, job, who) for who in stakes} == {Reason.NOT_DRAWN}
    world.slots(DELAY)
    draw, total, counts = world.beacon.mixes.get(world.system.number % 1024), sum(stakes.values()), []
    for step in range(8):
        seed = seed_of(draw, world.job(job).id_hash, 0, 0)
        share = (1 << 66) // total << step
        drawn = {who for who, units in stakes.items() if ticket_of(seed, who) < min(TICKET_MAX, share * units)}
        assert {who for who in stakes if isinstance(judge(world, job, who), Candidate)} == drawn
        counts.append(len(drawn))
        world.slots(STEP)
    assert counts[0] < 40 == counts[-1]


def test_without_a_unit_of_stake_there_is_no_public_work() -> None:
    """NO_STAKE below one unit, for public jobs only; what is unbonding does not count."""
    world = World(QUIET)
    world.offer_capacity(ONE, stake=HDL - 1)
    public = world.register(spec=world.spec(slots=1))
    known = world.register(spec=world.spec(slots=1, processors=types.Known((ONE,))))
    world.slots(3)
    assert judge(world, public, ONE) is Reason.NO_STAKE
    assert isinstance(judge(world, known, ONE), Candidate)
    world.propose(public, ONE)
    assert world.jobs.rejections.get(public)[Reason.NO_STAKE.value] == 1
    world.call("Processors", "stake", ONE, 1)
    assert isinstance(judge(world, public, ONE), Candidate)
    world.call("Processors", "unstake", ONE, 1)
    assert judge(world, public, ONE) is Reason.NO_STAKE
    world.check()


@pytest.mark.parametrize("mode", [types.Trusted(), types.Quorum(2)])
def test_where_results_are_compared_the_lowest_ticket_per_unit_wins_whatever_it_costs(mode: types.Verification) -> None:
    """Trusted takes the cheapest of three each time; a quorum takes the one that the draw names, at any price."""
    world, winners = World(QUIET), []
    for number, who in enumerate((ONE, TWO, THREE)):
        asks = world.advert(pricing=replace(FREE, base=HDL // 4 * (2 + number)))
        world.offer_capacity(who, asks, stake=(number + 1) * HDL)
    for _ in range(6):
        job = world.register()  # of two slots: all three are drawn
        world.jobs.specs.put(job, replace(world.jobs.specs.get(job), verification=mode))
        world.slots(DELAY + 1)
        placements = tuple(world.placement(0, who) for who in (THREE, TWO, ONE))
        world.call("Matching", "propose", MATCHER, job, placements)
        first = world.matching.windows.get((job, 0)).proposals[0]
        winners.append(first.processor)
        if not isinstance(mode, types.Trusted):
            draw = world.beacon.randomness_at(world.slot(job, 0).vacant_block + DELAY)
            seed = seed_of(draw or b"", world.job(job).id_hash, 0, 0)
            ranks = {who: ticket_of(seed, who) // (n + 1) for n, who in enumerate((ONE, TWO, THREE))}
            assert (first.processor, first.ticket) == min(ranks.items(), key=lambda one: one[1])
        world.call("Jobs", "cancel", world.job(job).owner, job)
    assert (set(winners) == {ONE}) == isinstance(mode, types.Trusted)
    world.check()


def young_at(age: int) -> dict[str, dict[str, int]]:
    """Parameters of a chain whose era and ages are so many slots."""
    matching = {**QUIET["matching"], "advertAgeSlotsMin": age}
    return {**QUIET, "matching": matching, "processors": {**QUIET["processors"], "eraSlots": age}}


def test_stake_that_came_after_the_draw_does_not_count() -> None:
    """Nobody stakes on the luckiest of many empty adverts: units weigh once they are as old as adverts must be."""
    age = 20
    world = World(young_at(age))
    world.offer_capacity(ONE, stake=0)
    world.offer_capacity(TWO, stake=HDL)
    world.slots(age)
    job = world.register(spec=world.spec(slots=1, verification=types.Adaptive(), reward=2 * HDL))
    world.slots(DELAY + 1)
    before = judge(world, job, TWO)
    assert isinstance(before, Candidate)
    for who in (ONE, TWO):
        world.call("Processors", "stake", who, HDL)
    assert judge(world, job, ONE) is Reason.NO_STAKE
    assert judge(world, job, TWO) == before
    world.slots(age - 1)
    assert judge(world, job, ONE) is Reason.NO_STAKE
    world.slots(1)
    assert isinstance(judge(world, job, ONE), Candidate)
    after = judge(world, job, TWO)
    assert isinstance(after, Candidate)
    assert after.ticket == before.ticket // 2
    world.check()


def test_what_is_taken_back_is_what_was_added_last() -> None:
    """Neither adding nor taking back makes young stake old, and what was old stays so."""
    world = World(young_at(50))
    world.offer_capacity(ONE, stake=5 * HDL)
    world.slots(50)
    world.call("Processors", "stake", ONE, 4 * HDL)
    world.slots(10)
    world.call("Processors", "stake", ONE, 2 * HDL)
    for taken, units in ((HDL, 5), (4 * HDL, 5), (2 * HDL, 4)):
        world.call("Processors", "unstake", ONE, taken)
        assert world.processors.settled_units(ONE, 50) == units
    world.check()
