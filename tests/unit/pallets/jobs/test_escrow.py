"""The money of jobs where it is least ordinary: dust, exhausted bonds, matchers who are the payer, parameters."""

import pytest

from pallets.balances import HoldReason
from pallets.escrow.errors import BondNotAvailable
from pallets.escrow.types import PAYABLE_ACCOUNT
from pallets.jobs import types
from pallets.processors.types import Pricing
from tests.helpers.job_world import ALICE, HDL, MATCHER, PROCESSORS, World, account

ONE, TWO = PROCESSORS[:2]


def test_a_share_below_the_existential_deposit_waits_in_payable_and_is_flushed() -> None:
    """A matcher without an account gets its shares together once they open one; nothing is lost in between."""
    world = World()
    world.offer_capacity(ONE, world.advert())
    newcomer = account("a matcher without an account")
    share = HDL // 50 * 2 // 5
    start = world.system.now_ms + 10_000
    schedule = types.Schedule(start, start + 40_001, 20_000, 5_000, 10_000)
    spec = world.spec(slots=1, schedule=schedule)
    world.call("Processors", "advertise", ONE, world.advert(pricing=Pricing(HDL * 2 // 5, 0, 0, 0)))
    job = world.register(spec=spec)
    world.slots(3)
    world.call("Matching", "propose", newcomer, job, (world.placement(0, ONE),))
    world.until(lambda: not world.job(job).vacant)
    world.acknowledge(job, 0)
    world.run(job, 0, 0)
    assert world.escrow.payable.get(newcomer) == share
    assert world.balances.free(PAYABLE_ACCOUNT) == world.balances.existential_deposit + share
    world.check()
    world.run(job, 1, 0)
    assert world.escrow.payable.get(newcomer) == 0
    assert world.balances.free(newcomer) == 2 * share
    world.check()


def test_a_payer_who_matches_its_own_job_earns_no_share() -> None:
    """The share comes back as a refund instead."""
    world = World()
    world.offer_capacity(ONE)
    job = world.register(spec=world.spec(slots=1))
    world.slots(3)
    world.call("Matching", "propose", ALICE, job, (world.placement(0, ONE),))
    world.until(lambda: not world.job(job).vacant)
    world.acknowledge(job, 0)
    world.run(job, 0, 0)
    assert world.escrow.ledgers.get(job).paid == HDL


def test_fines_never_exceed_what_is_left_of_the_bond() -> None:
    """The bond of one reward is burned by at most itself."""
    world = World()
    world.offer_capacity(ONE)
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    for _ in range(30):
        world.escrow.fine((job, 0, 0), HDL, 2)
    assert world.balances.held(ONE, HoldReason.BOND) == 0
    assert world.balances.total(ONE) == 10_000 * HDL - 2 * HDL


def test_an_acknowledgment_without_a_bond_is_refused_and_the_offer_stays() -> None:
    """The money went elsewhere between offer and acknowledgment."""
    world = World()
    world.offer_capacity(ONE)
    job = world.register(spec=world.spec(slots=1))
    world.slots(3)
    world.propose(job, ONE)
    world.until(lambda: not world.job(job).vacant)
    world.balances.transfer(ONE, MATCHER, world.balances.free(ONE) - HDL, keep_alive=True)
    assert world.refuses("Jobs", "acknowledge", ONE, job, 0, 0, None) is BondNotAvailable
    assert world.slot(job, 0).processor == ONE
    world.check()


@pytest.mark.parametrize(
    ("section", "fields", "message"),
    [
        ("escrow", {"burnPpm": 500_001}, "escrow.burnPpm"),
        ("escrow", {"burn": 1}, "escrow.burn: no such parameter"),
        ("jobs", {"assignSlots": 0}, "jobs.assignSlots"),
        ("matching", {"windowSlots": 301}, "matching.windowSlots"),
        ("matching", {"windowSlots": "5"}, "matching.windowSlots"),
        ("reputation", {"eraSlots": True}, "reputation.eraSlots"),
    ],
)
def test_a_chain_specs_parameter_out_of_bounds_is_refused_by_name(
    section: str, fields: dict[str, int], message: str
) -> None:
    """ValueError names section and field."""
    with pytest.raises(ValueError, match=message):
        World({section: fields})


def test_parameters_of_the_chain_spec_are_in_force() -> None:
    """A chain without burn and matcher share holds just the reward."""
    world = World({"escrow": {"burnPpm": 0, "matcherPpm": 0, "agendaFee": 0}})
    job = world.register()
    assert world.escrow.ledgers.get(job).pots.reward == 2 * 2 * HDL
    assert world.escrow.rates.get().burn_ppm == 0
