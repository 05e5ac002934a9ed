"""Who gets a seat on a panel, and what it locks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pallets.balances import HoldReason
from pallets.jobs.types import RuntimeKind
from pallets.juries import errors
from pallets.juries.pallet import ticket
from pallets.juries.types import PanelKind, Stage
from pallets.processors.types import FREE
from runtime.errors import DispatchError
from runtime.hashing import blake2b256
from tests.helpers.job_world import ADVERT, HDL, account
from tests.helpers.jury_world import DEFENDANT, JURORS, REWARD, JuryWorld


def test_the_lowest_tickets_sit() -> None:
    """Of twelve that claim, the three with the lowest ticket per unit sit, whatever the order of their claims."""
    benches = []
    for reverse in (False, True):
        world = JuryWorld()
        panel = world.open()
        mix = world.beacon.randomness_at(world.panel(panel).draw_block)
        assert mix is not None
        for who in sorted(world.jurors, reverse=reverse):
            world.refuses("Juries", "claim", who, panel)
            world.check()
        benches.append([seat.processor for seat in world.bench(panel)])
        assert benches[-1] == sorted(world.jurors, key=lambda who: ticket(mix, panel, 0, who))[:3]
    assert benches[0] == benches[1]


def test_more_stake_makes_the_rank_lower() -> None:
    """A rank is the ticket by the units of stake."""
    world = JuryWorld()
    world.call("Processors", "stake", JURORS[0], 9 * HDL)
    panel = world.open()
    mix = world.beacon.randomness_at(world.panel(panel).draw_block)
    assert mix is not None
    world.call("Juries", "claim", JURORS[0], panel)
    assert world.bench(panel)[0].rank == ticket(mix, panel, 0, JURORS[0]) // 10


def test_a_seat_locks_twice_the_reward_and_a_lost_one_is_free_again() -> None:
    """Exactly those who sit have the lock."""
    world = JuryWorld()
    panel = world.open()
    for who in world.jurors:
        world.refuses("Juries", "claim", who, panel)
    sitting = {seat.processor for seat in world.bench(panel)}
    for who in world.jurors:
        assert world.balances.held(who, HoldReason.JUROR) == (2 * REWARD if who in sitting else 0)
    world.check()


def test_a_manager_has_one_seat_and_the_better_ticket_keeps_it() -> None:
    """A second processor of a manager takes the seat over with a lower rank, and is refused with a higher one."""
    world = JuryWorld()
    first, second = JURORS[:2]
    world.pair(first, "one manager")
    world.pair(second, "one manager")
    panel = world.open()
    mix = world.beacon.randomness_at(world.panel(panel).draw_block)
    assert mix is not None
    better, worse = sorted((first, second), key=lambda who: ticket(mix, panel, 0, who))
    world.call("Juries", "claim", worse, panel)
    world.call("Juries", "claim", better, panel)
    assert [seat.processor for seat in world.bench(panel)] == [better]
    assert world.balances.held(worse, HoldReason.JUROR) == 0
    assert world.refuses("Juries", "claim", worse, panel) is errors.Excluded
    world.check()


def nobodys_panel(world: JuryWorld) -> tuple[bytes, int]:
    """There is no such panel."""
    return JURORS[0], 99


def before_the_draw(world: JuryWorld) -> tuple[bytes, int]:
    """The beacon of two blocks later makes the tickets."""
    return JURORS[0], world.juries.open(PanelKind.JURY, world.dispute())


def after_the_claims(world: JuryWorld) -> tuple[bytes, int]:
    """The window is over."""
    panel = world.open()
    world.claim_all(panel)
    return JURORS[0], panel


def without_stake(world: JuryWorld) -> tuple[bytes, int]:
    """Less than a unit is no stake."""
    who = DEFENDANT
    world.call("Processors", "register", who, 1)
    world.call("Processors", "stake", who, HDL - 1)
    world.call("Processors", "advertise", who, replace(ADVERT, pricing=FREE))
    return who, world.open()


def without_advert(world: JuryWorld) -> tuple[bytes, int]:
    """Stake alone does not run a job."""
    world.call("Processors", "delete_advertisement", JURORS[0])
    return JURORS[0], world.open()


def of_another_runtime(world: JuryWorld) -> tuple[bytes, int]:
    """The juror's advert has no native runtime."""
    return JURORS[0], world.open(runtime=RuntimeKind.NATIVE)


def suspended(world: JuryWorld) -> tuple[bytes, int]:
    """Who does not answer offers does not judge."""
    world.processors.records.put(JURORS[0], replace(world.processors.record_of(JURORS[0]), suspended=True))
    return JURORS[0], world.open()


def a_party(world: JuryWorld) -> tuple[bytes, int]:
    """Nobody judges in his own case."""
    return JURORS[0], world.open(excluded=(JURORS[0],))


def of_a_partys_manager(world: JuryWorld) -> tuple[bytes, int]:
    """Nor in that of his manager."""
    world.pair(JURORS[0], "a party")
    return JURORS[0], world.open(excluded=(world.manager("a party"),))


def twice(world: JuryWorld) -> tuple[bytes, int]:
    """The juror sits already."""
    panel = world.open()
    world.call("Juries", "claim", JURORS[0], panel)
    return JURORS[0], panel


def with_a_high_ticket(world: JuryWorld) -> tuple[bytes, int]:
    """Three lower tickets are there."""
    panel = world.open()
    mix = world.beacon.randomness_at(world.panel(panel).draw_block)
    assert mix is not None
    *_, last = ranked = sorted(world.jurors, key=lambda who: ticket(mix, panel, 0, who))
    for who in ranked[:3]:
        world.call("Juries", "claim", who, panel)
    return last, panel


def without_money(world: JuryWorld) -> tuple[bytes, int]:
    """The lock would take the existential deposit."""
    who = account("poor")
    world.balances.issue(who, HDL + 2 * REWARD)
    world.enlist(who)
    return who, world.open()


@pytest.mark.parametrize(
    ("situation", "error"),
    [
        (nobodys_panel, errors.PanelNotFound),
        (before_the_draw, errors.NotDrawnYet),
        (after_the_claims, errors.WrongStage),
        (without_stake, errors.NotEligible),
        (without_advert, errors.NotEligible),
        (of_another_runtime, errors.NotEligible),
        (suspended, errors.NotEligible),
        (a_party, errors.Excluded),
        (of_a_partys_manager, errors.Excluded),
        (twice, errors.Excluded),
        (with_a_high_ticket, errors.SeatsTaken),
        (without_money, errors.LockNotAvailable),
    ],
)
def test_a_claim_is_refused_with_nothing_changed(
    situation: Callable[[JuryWorld], tuple[bytes, int]], error: type[DispatchError]
) -> None:
    """Each rule of a claim has its own error."""
    world = JuryWorld()
    who, panel = situation(world)
    before = snapshot(world)
    assert world.refuses("Juries", "claim", who, panel) is error
    assert snapshot(world) == before
    world.check()


def test_a_young_advert_is_not_eligible() -> None:
    """Who comes for this dispute alone may not judge it."""
    world = JuryWorld(advertAgeSlotsMin=50)
    panel = world.open()
    assert world.refuses("Juries", "claim", JURORS[0], panel) is errors.NotEligible
    world.slots(50)
    panel = world.open()
    assert world.refuses("Juries", "claim", JURORS[0], panel) is None


def test_a_young_stake_does_not_weigh_in_a_draw() -> None:
    """Nor may anybody judge who staked for this dispute alone: tickets are known by then."""
    world = JuryWorld(advertAgeSlotsMin=50)
    world.processors.parameters.put(replace(world.processors.parameters.get(), era_slots=50))
    late = account("a juror without a stake")
    world.balances.issue(late, 1_000 * HDL)
    world.offer_capacity(late, stake=0)
    world.slots(50)
    panel = world.open()
    before = world.juries.rank(panel, world.panel(panel), JURORS[0])
    for who in (late, JURORS[0]):
        world.call("Processors", "stake", who, 30 * HDL)
    assert world.refuses("Juries", "claim", late, panel) is errors.NotEligible
    assert world.juries.rank(panel, world.panel(panel), JURORS[0]) == before
    world.slots(50)
    panel = world.open()
    assert world.refuses("Juries", "claim", late, panel) is None
    world.check()


def test_an_audit_has_one_seat() -> None:
    """The lowest ticket alone audits."""
    world = JuryWorld()
    panel = world.open(PanelKind.AUDIT)
    assert len(world.claim_all(panel)) == 1
    assert world.panel(panel).stage is Stage.COMMITTING
    world.check()


def test_tickets_differ_by_panel_rung_and_beacon() -> None:
    """No draw says anything about another one."""
    mixes = [blake2b256(bytes((n,))) for n in range(2)]
    tickets = {ticket(mix, panel, rung, JURORS[0]) for mix in mixes for panel in range(2) for rung in range(2)}
    assert len(tickets) == 8


def snapshot(world: JuryWorld) -> dict[str, Any]:
    """All that a refused call must leave alone."""
    stores = (world.juries.panels, world.juries.benches, world.balances.holds, world.system.accounts)
    return {store.item: dict(store.items()) for store in stores}
