"""Grandpa: set changes in digests, the history of sets, forced changes."""

import pytest

from pallets.grandpa import (
    AUTHORITY_LIST,
    ChangePending,
    DelayOutOfBounds,
    MedianAboveBest,
    NewAuthorities,
    StalledInfo,
)
from runtime.errors import DispatchError, InvariantBroken
from runtime.pallet import Root
from runtime.types import GRANDPA_ENGINE, Consensus
from tests.helpers.pallet_chain import FIRST_SLOT, SESSION_SLOTS, PalletChain, Validator

FOUR = [Validator(name) for name in "abcd"]


def announced(chain: PalletChain) -> list[bytes]:
    """The FRNK items of the last block."""
    return [item.data for item in chain.digest if isinstance(item, Consensus) and item.engine == GRANDPA_ENGINE]


def elect(chain: PalletChain, slot: int, chosen: list[Validator]) -> None:
    """A block in which Root names the validators."""
    call = chain.call("Session", "set_validators", tuple(v.account for v in chosen))
    assert chain.block(slot, (call, Root())) == [None]


def test_genesis_is_set_zero() -> None:
    """Set 0 holds the genesis validators with weight 1 and is open from slot 0."""
    made = PalletChain(FOUR)
    assert made.grandpa.current_set_id.get() == 0
    assert made.grandpa.authorities.get() == tuple((v.keys.grandpa, 1) for v in FOUR)
    assert made.grandpa.set_at_slot(0) == made.grandpa.set_at_slot(10**9)


def test_an_unchanged_set_is_not_announced() -> None:
    """Boundaries at which nothing changes emit no digest and keep the set id."""
    made = PalletChain(FOUR)
    for session in range(4):
        made.block(FIRST_SLOT + session * SESSION_SLOTS)
        assert announced(made) == []
    assert made.session.current_index.get() == 3
    assert made.grandpa.current_set_id.get() == 0


def test_a_changed_set_is_announced_once() -> None:
    """The boundary after next announces FRNK 0x01 with the new keys and delay 0, and closes the old set there."""
    made = PalletChain(FOUR)
    elect(made, FIRST_SLOT, FOUR[:3])
    made.block(FIRST_SLOT + SESSION_SLOTS)
    assert announced(made) == []
    boundary = FIRST_SLOT + 2 * SESSION_SLOTS + 3
    made.block(boundary)
    expected = tuple((v.keys.grandpa, 1) for v in FOUR[:3])
    assert announced(made) == [b"\x01" + AUTHORITY_LIST.encode(expected) + bytes(4)]
    assert [event.authority_set for event in made.events(NewAuthorities)] == [expected]
    assert made.grandpa.current_set_id.get() == 1
    at_boundary, after = made.grandpa.set_at_slot(boundary), made.grandpa.set_at_slot(boundary + 1)
    assert at_boundary is not None
    assert after is not None
    assert (at_boundary[0], after[0]) == (0, 1)
    assert [member.account for member in after[1].members] == [v.account for v in FOUR[:3]]
    made.block(boundary + SESSION_SLOTS)
    assert announced(made) == []


def test_old_sets_are_dropped_after_the_unbonding_period() -> None:
    """Sets older than the period go at the next change; evidence about their slots finds nothing."""
    made = PalletChain(FOUR, session_slots=2)
    period = made.session.unbonding_slots()
    slot = FIRST_SLOT
    for chosen in (FOUR[:3], FOUR[:2], FOUR[:1]):
        elect(made, slot, chosen)
        made.block(slot + 2)
        slot += 4
        made.block(slot)
        slot += 1
    assert made.grandpa.oldest_set_id.get() == 0
    slot += period
    elect(made, slot, FOUR)
    made.block(slot + 2)
    made.block(slot + 4)
    assert made.grandpa.current_set_id.get() == 4
    assert made.grandpa.oldest_set_id.get() == 3
    assert made.grandpa.set_at_slot(FIRST_SLOT) is None
    found = made.grandpa.set_at_slot(slot + 5)
    assert found is not None
    assert found[0] == 4


def test_note_stalled_forces_a_change_at_the_next_boundary() -> None:
    """The boundary emits FRNK 0x02 with median, the active keys and the delay; the set id rises though keys did not."""
    made = PalletChain(FOUR)
    made.block(FIRST_SLOT)
    call = made.call("Grandpa", "note_stalled", 64, 1)
    made.block(FIRST_SLOT + 1, (call, Root()))
    assert announced(made) == []
    made.block(FIRST_SLOT + SESSION_SLOTS)
    keys = AUTHORITY_LIST.encode(tuple((v.keys.grandpa, 1) for v in FOUR))
    assert announced(made) == [b"\x02" + (1).to_bytes(4, "little") + keys + (64).to_bytes(4, "little")]
    assert made.grandpa.current_set_id.get() == 1
    assert made.grandpa.stalled.get() is None


def test_voters_stay_while_a_forced_change_is_pending() -> None:
    """Between a forced change's announcement and its effect no boundary changes the set."""
    made = PalletChain(FOUR)
    made.block(FIRST_SLOT, (made.call("Grandpa", "note_stalled", 64, 0), Root()))
    slot = FIRST_SLOT + SESSION_SLOTS
    made.block(slot)
    effective = made.system.number + 64
    elect(made, slot + 1, FOUR[:1])
    slot += SESSION_SLOTS
    while made.system.number < effective - 1:
        made.block(slot)
        assert announced(made) == []
        slot += 1
    assert made.session.validators.get() == tuple(v.account for v in FOUR)
    while made.grandpa.current_set_id.get() == 1:
        made.block(slot)
        slot += 1
    assert made.system.number >= effective
    assert made.session.validators.get() == (FOUR[0].account,)


@pytest.mark.parametrize(
    ("delay", "median", "error"),
    [(63, 0, DelayOutOfBounds), (10_001, 0, DelayOutOfBounds), (64, 2, MedianAboveBest), (64, 1, type(None))],
)
def test_bounds_of_note_stalled(delay: int, median: int, error: type[DispatchError]) -> None:
    """The delay is 64..10,000 blocks and the median not above the best block."""
    made = PalletChain(FOUR)
    (failure,) = made.block(FIRST_SLOT, (made.call("Grandpa", "note_stalled", delay, median), Root()))
    assert isinstance(failure, error)
    assert (made.grandpa.stalled.get() == StalledInfo(delay, median)) is (failure is None)


def test_only_one_forced_change_at_a_time() -> None:
    """A second note is refused while the first waits for its boundary or for its effect."""
    made = PalletChain(FOUR)
    note = (made.call("Grandpa", "note_stalled", 64, 0), Root())
    first, second = made.block(FIRST_SLOT, note, note)
    assert first is None
    assert isinstance(second, ChangePending)
    (third,) = made.block(FIRST_SLOT + SESSION_SLOTS, note)
    assert isinstance(third, ChangePending)


def test_check_state_notices_a_gap_in_the_history() -> None:
    """A set missing between the oldest and the current one breaks the invariant."""
    made = PalletChain(FOUR)
    made.grandpa.current_set_id.put(1)
    with pytest.raises(InvariantBroken):
        made.grandpa.check_state()
