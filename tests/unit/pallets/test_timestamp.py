"""Timestamp: the inherent says the slot's time, once, in every block."""

import pytest

from pallets.timestamp import AlreadySet, WrongTime
from runtime.errors import BlockFault, InvalidBlock
from runtime.pallet import Inherent
from tests.helpers.pallet_chain import FIRST_SLOT, SLOT_MS, PalletChain, Validator


def chain() -> PalletChain:
    """One validator."""
    return PalletChain([Validator("a")])


def test_now_is_the_slots_time() -> None:
    """After a block, Timestamp.Now is slot * slot duration, whatever slots were skipped."""
    made = chain()
    for slot in (FIRST_SLOT, FIRST_SLOT + 1, FIRST_SLOT + 500):
        made.block(slot)
        assert made.timestamp.now.get() == slot * SLOT_MS


@pytest.mark.parametrize("shift_ms", [-SLOT_MS, -1, 1, SLOT_MS])
def test_another_time_is_refused(shift_ms: int) -> None:
    """A time off by a millisecond or a slot is refused and not stored."""
    made = chain()
    made.start(FIRST_SLOT)
    error = made.dispatch(made.call("Timestamp", "set", FIRST_SLOT * SLOT_MS + shift_ms), Inherent())
    assert isinstance(error, WrongTime)
    assert made.timestamp.now.get() == 0


def test_a_second_time_is_refused() -> None:
    """The time can be set once per block, and again in the next."""
    made = chain()
    made.start(FIRST_SLOT)
    assert made.dispatch(made.set_time(), Inherent()) is None
    assert isinstance(made.dispatch(made.set_time(), Inherent()), AlreadySet)
    made.finish()
    made.block(FIRST_SLOT + 1)


def test_a_block_without_time_is_invalid() -> None:
    """A block that never sets its time cannot be finished."""
    made = chain()
    made.start(FIRST_SLOT)
    with pytest.raises(InvalidBlock) as caught:
        made.finish()
    assert caught.value.fault is BlockFault.INHERENT


def test_minimum_period_is_half_a_slot() -> None:
    """Clients derive the slot duration from MinimumPeriod."""
    constants = {constant.name: constant.value for constant in chain().timestamp.constants}
    assert constants["MinimumPeriod"] == SLOT_MS // 2
