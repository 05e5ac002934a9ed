"""Aura: slots, authors, digests and seals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consensus import aura
from runtime.errors import BlockFault, InvalidBlock
from runtime.types import BEACON_ENGINE, Consensus, Digest, DigestItem, Header, Other, PreRuntime, Seal, slot_item
from tests.helpers.block_tree import GENESIS
from tests.helpers.keyed_hash import public_of, sign, verify

AUTHORITIES = [public_of(name) for name in ("alice", "bob", "charlie")]
REVEAL = PreRuntime(BEACON_ENGINE, bytes(33))


def unsealed(slot: int, *items: DigestItem) -> Header:
    """A header of a slot, not sealed yet."""
    return Header(GENESIS.hash(), 1, bytes(32), bytes(32), Digest((slot_item(slot), REVEAL, *items)))


def sealed(slot: int, author: str, *items: DigestItem) -> Header:
    """A header of a slot, sealed by its author."""
    header = unsealed(slot, *items)
    return aura.seal(header, sign(public_of(author), header.hash()))


def fault_of(header: Header, parent_slot: int | None = 3, now_slot: int = 10) -> BlockFault | None:
    """What is wrong with a header, or None."""
    try:
        aura.check_seal(header, parent_slot, AUTHORITIES, now_slot, verify)
    except InvalidBlock as error:
        return error.fault
    return None


def test_slots_and_authors() -> None:
    """The slot is the time divided by its length; authors take turns; a node claims only its own turns."""
    assert aura.slot_at(5_999, 2_000) == 2
    assert aura.slot_start_ms(2, 2_000) == 4_000
    assert [aura.slot_author(slot, AUTHORITIES) for slot in (0, 1, 2, 3)] == [*AUTHORITIES, AUTHORITIES[0]]
    assert aura.claim_slot(4, AUTHORITIES, {public_of("bob")}) == public_of("bob")
    assert aura.claim_slot(5, AUTHORITIES, {public_of("bob")}) is None
    assert aura.claim_slot(5, [], {public_of("bob")}) is None


def test_a_good_header_passes() -> None:
    """The right author's seal over the header without it, with a digest in order, is accepted."""
    header = sealed(4, "bob", Consensus(b"FRNK", b"\x01"))
    found = aura.check_seal(header, 3, AUTHORITIES, 4, verify)
    assert (found.slot, found.pre_hash) == (4, unsealed(4, Consensus(b"FRNK", b"\x01")).hash())
    assert fault_of(sealed(4, "bob"), parent_slot=None) is None


def test_slots_must_rise_and_not_lie_ahead() -> None:
    """A slot at or below the parent's is refused, one of the next slot is not, one further ahead is."""
    assert fault_of(sealed(3, "alice"), parent_slot=3) is BlockFault.SLOT
    assert fault_of(sealed(2, "charlie"), parent_slot=3) is BlockFault.SLOT
    assert fault_of(sealed(11, "charlie"), now_slot=10) is None
    assert fault_of(sealed(12, "alice"), now_slot=10) is BlockFault.SLOT


def test_seals_of_others_are_refused() -> None:
    """Another authority's seal, or one over another header, is refused."""
    assert fault_of(sealed(4, "alice")) is BlockFault.SEAL
    moved = replace(sealed(4, "bob"), state_root=bytes(31) + b"\x01")
    assert fault_of(moved) is BlockFault.SEAL


def test_digests_out_of_order_are_refused() -> None:
    """Slot first, then the reveal, then consensus items, one seal last, 16 items and 16 KiB at most."""
    good = sealed(4, "bob")
    slot, reveal, seal = good.digest.logs
    wrong: list[tuple[DigestItem, ...]] = [
        (slot, reveal),
        (slot, seal),
        (reveal, slot, seal),
        (slot, reveal, seal, seal),
        (slot, reveal, slot, seal),
        (slot, reveal, Other(b""), seal),
        (slot, reveal, seal, Consensus(b"FRNK", b"")),
        (PreRuntime(b"aura", b"\x04"), reveal, seal),
        (slot, reveal, Seal(b"aura", bytes(63))),
        (slot, reveal, Seal(b"FRNK", bytes(64))),
        (slot, reveal, *[Consensus(b"FRNK", bytes(1_300))] * 13, seal),
    ]
    for logs in wrong:
        assert fault_of(replace(good, digest=Digest(logs))) is BlockFault.DIGEST


def test_no_authority_means_no_author() -> None:
    """A parent state without authorities lets nobody author."""
    with pytest.raises(InvalidBlock) as caught:
        aura.check_seal(sealed(4, "bob"), 3, [], 4, verify)
    assert caught.value.fault is BlockFault.AUTHOR


def test_authors_back_off_while_finality_lags() -> None:
    """Up to 50 unfinalised blocks nothing changes; beyond, (n - 50) // 2 slots are left free, 100 at most."""
    assert not aura.back_off(101, 100, 50, 0)
    assert not aura.back_off(101, 100, 51, 0)
    assert aura.back_off(101, 100, 52, 0)
    assert not aura.back_off(102, 100, 52, 0)
    assert aura.back_off(200, 100, 5_000, 0)
    assert not aura.back_off(201, 100, 5_000, 0)


def test_a_restarted_author_leaves_started_slots_alone() -> None:
    """No slot begun before boot, and none at or below the last one signed for."""
    assert not aura.may_author(7, boot_slot=7, last_authored=None)
    assert aura.may_author(8, boot_slot=7, last_authored=None)
    assert not aura.may_author(9, boot_slot=7, last_authored=9)
    assert aura.may_author(10, boot_slot=7, last_authored=9)


def test_a_second_header_of_a_slot_is_noticed() -> None:
    """Two different headers by one author for one slot make a proof; the same one twice does not."""
    detector = aura.EquivocationDetector()
    first, second = sealed(4, "bob"), sealed(4, "bob", Consensus(b"FRNK", b"\x01"))
    assert detector.note(aura.read_digest(first), AUTHORITIES[1]) is None
    assert detector.note(aura.read_digest(first), AUTHORITIES[1]) is None
    found = detector.note(aura.read_digest(second), AUTHORITIES[1])
    assert found == aura.AuthorEquivocation(4, AUTHORITIES[1], first, second)
    for slot in range(100, 100 + aura.SEEN_SLOTS_MAX):
        detector.note(aura.read_digest(sealed(slot, "bob")), AUTHORITIES[1])
    assert detector.note(aura.read_digest(second), AUTHORITIES[1]) is None
