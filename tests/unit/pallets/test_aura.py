"""Aura: whose slot it is, and how new authorities are announced."""

import pytest

from pallets.aura import AURA_KEYS
from runtime.errors import BlockFault, InvalidBlock, InvariantBroken
from runtime.pallet import Root
from runtime.types import AURA_ENGINE, ZERO_HASH, Consensus, Digest, Header, slot_item
from tests.helpers.pallet_chain import FIRST_SLOT, SESSION_SLOTS, PalletChain, Validator

TRIO = [Validator(name) for name in "abc"]


def header(*items: object) -> Header:
    """A header with these digest items."""
    # A digest that no type would allow.
    return Header(ZERO_HASH, 1, ZERO_HASH, ZERO_HASH, Digest(items))  # type: ignore[arg-type]


def test_author_by_slot() -> None:
    """The author of a slot is authorities[slot mod n], as key, as account and by header."""
    made = PalletChain(TRIO)
    for slot in range(FIRST_SLOT, FIRST_SLOT + 7):
        expected = TRIO[slot % 3]
        assert made.aura.author_key(slot) == expected.keys.aura
        assert made.aura.author_of(header(slot_item(slot))) == expected.keys.aura
        assert made.session.author_of_slot(slot) == expected.account


def test_a_header_without_slot_has_no_author() -> None:
    """No aura item, or one of the wrong size, is a fault of the digest."""
    made = PalletChain(TRIO)
    with pytest.raises(InvalidBlock) as caught:
        made.aura.author_of(header())
    assert caught.value.fault is BlockFault.DIGEST


@pytest.mark.parametrize("back", [0, 1, 999])
def test_slots_must_rise(back: int) -> None:
    """A block of its parent's slot, or of an earlier one, is invalid."""
    made = PalletChain(TRIO)
    made.block(FIRST_SLOT)
    error = made.refused(FIRST_SLOT - back)
    assert error.fault is BlockFault.SLOT
    assert made.aura.current_slot.get() == FIRST_SLOT


def test_new_authorities_check_the_children() -> None:
    """The block at the boundary is authored by the old set and announces the new one for its children."""
    made = PalletChain(TRIO)
    made.block(FIRST_SLOT, (made.call("Session", "set_validators", (TRIO[0].account,)), Root()))
    made.block(FIRST_SLOT + SESSION_SLOTS)
    boundary = FIRST_SLOT + 2 * SESSION_SLOTS
    assert made.aura.author_key(boundary) == TRIO[boundary % 3].keys.aura
    made.block(boundary)
    assert made.system.block_author == TRIO[boundary % 3].account
    assert made.aura.authorities_for_child() == (TRIO[0].keys.aura,)
    announced = [i.data for i in made.digest if isinstance(i, Consensus) and i.engine == AURA_ENGINE]
    assert announced == [b"\x01" + AURA_KEYS.encode((TRIO[0].keys.aura,))]


def test_check_state_notices_equal_authorities() -> None:
    """Two authorities with one key break the invariant."""
    made = PalletChain(TRIO)
    made.aura.authorities.put((TRIO[0].keys.aura,) * 2)
    with pytest.raises(InvariantBroken):
        made.aura.check_state()
