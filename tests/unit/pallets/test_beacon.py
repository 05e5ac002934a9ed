"""Beacon: reveals continue their author's chain, and the mix folds them in."""

import pytest

from pallets.beacon import MIX_HISTORY, CommitmentAnnounced
from runtime.beacon import (
    ANNOUNCE_LEFT_MAX,
    CHAIN_LENGTH,
    Chain,
    InvalidReveal,
    Reveal,
    apply_reveal,
    draw_delay,
    draw_seed,
    link,
    next_mix,
)
from runtime.errors import BlockFault
from runtime.hashing import blake2b256
from runtime.types import ZERO_HASH, Digest
from tests.helpers.pallet_chain import FIRST_SLOT, SESSION_SLOTS, PalletChain, Validator

PAIR = [Validator(name) for name in "ab"]


def test_mix_folds_every_reveal() -> None:
    """mix_h is the hash of mix_{h-1} and the block's reveal, from zeros at genesis."""
    made = PalletChain(PAIR)
    mix = ZERO_HASH
    for slot in range(FIRST_SLOT, FIRST_SLOT + 5):
        value = made.reveal(slot).value
        made.block(slot)
        assert made.beacon.current() == mix
        mix = next_mix(mix, value)
        assert made.beacon.randomness_at(made.system.number) == mix


def test_a_chain_advances_only_by_its_authors_blocks() -> None:
    """Each author's chain loses one link per block of its own."""
    made = PalletChain(PAIR)
    for slot in (FIRST_SLOT, FIRST_SLOT + 2, FIRST_SLOT + 3):
        made.block(slot)
    left = [made.beacon.chain(v.secret.commitment).left for v in PAIR]
    assert sorted(left) == [CHAIN_LENGTH - 2, CHAIN_LENGTH - 1]


@pytest.mark.parametrize(
    "reveal",
    [
        Reveal(blake2b256(b"guess")),
        Reveal(PAIR[1].secret.values[CHAIN_LENGTH - 1]),
        Reveal(PAIR[0].secret.values[CHAIN_LENGTH - 2]),
        Reveal(PAIR[0].secret.values[CHAIN_LENGTH]),
        Reveal(PAIR[0].secret.values[CHAIN_LENGTH - 1], blake2b256(b"too early to announce")),
    ],
)
def test_a_wrong_reveal_makes_the_block_invalid(reveal: Reveal) -> None:
    """A guess, another's link, a link too far, the commitment itself, an early announcement: InvalidBlock(Reveal)."""
    made = PalletChain(PAIR)
    assert made.refused(FIRST_SLOT, reveal).fault is BlockFault.REVEAL
    assert not made.beacon.chains.contains(PAIR[0].secret.commitment)
    made.block(FIRST_SLOT)


def test_an_orphaned_reveal_is_used_again() -> None:
    """A block rolled back leaves the chain where it was: the same reveal is valid in the next attempt."""
    made = PalletChain(PAIR)
    made.block(FIRST_SLOT)
    mark, number = made.state.mark(), made.system.number
    first = made.reveal(FIRST_SLOT + 1)
    made.start(FIRST_SLOT + 1)
    made.state.rollback(mark)
    made.system.number = number
    assert made.reveal(FIRST_SLOT + 3) == first
    made.block(FIRST_SLOT + 3)


def test_announcing_and_switching() -> None:
    """Near its end an author announces a new chain once, and goes over to it a session later."""
    made = PalletChain(PAIR[:1])
    secret, following = PAIR[0].secret, Validator("a", generation=1).secret
    made.beacon.chains.put(secret.commitment, Chain(secret.values[1], 1))
    made.start(FIRST_SLOT, Reveal(secret.values[0], following.commitment))
    assert [e.next_commitment for e in made.events(CommitmentAnnounced)] == [following.commitment]
    chain = made.beacon.chain(secret.commitment)
    assert (chain.left, chain.next) == (0, (following.commitment, 0))
    switched = Reveal(following.values[CHAIN_LENGTH - 1])
    with pytest.raises(InvalidReveal):
        apply_reveal(chain, switched, 0)
    assert apply_reveal(chain, switched, 1) == Chain(switched.value, CHAIN_LENGTH - 1)
    again = Reveal(switched.value, blake2b256(b"again"))
    with pytest.raises(InvalidReveal):
        apply_reveal(chain, again, 1)


def test_announcing_needs_a_chain_near_its_end() -> None:
    """With 8,193 links left an announcement is refused, with 8,192 it is taken."""
    values = PAIR[0].secret.values
    for left, allowed in ((ANNOUNCE_LEFT_MAX, True), (ANNOUNCE_LEFT_MAX + 1, False)):
        chain, reveal = Chain(values[left], left), Reveal(values[left - 1], ZERO_HASH)
        if allowed:
            assert apply_reveal(chain, reveal, 3).next == (ZERO_HASH, 3)
        else:
            with pytest.raises(InvalidReveal):
                apply_reveal(chain, reveal, 3)


@pytest.mark.parametrize("data", [b"", bytes(32), bytes(34), bytes(32) + b"\x01" + bytes(31), bytes(32) + b"\x02"])
def test_malformed_reveals(data: bytes) -> None:
    """Anything but 32 bytes and an Option of 32 bytes does not decode."""
    with pytest.raises(InvalidReveal):
        Reveal.decode(data)


def test_a_digest_without_reveal_is_invalid() -> None:
    """No BCN0 item, or two, make the block invalid."""
    made = PalletChain(PAIR)
    item = made.reveal(FIRST_SLOT).item()
    for logs in ((), (item, item)):
        made.system.digest_value.put(Digest(logs))
        with pytest.raises(Exception, match="exactly one expected"):
            made.beacon.on_initialize(1, FIRST_SLOT)


def test_history_keeps_1024_mixes() -> None:
    """Mixes are known from the present back to 1,023 heights ago, and never from the future."""
    made = PalletChain(PAIR[:1], session_slots=100_000)
    slot = FIRST_SLOT
    for _ in range(MIX_HISTORY + 10):
        made.start(slot)
        slot += 1
    number = made.system.number
    made.beacon.check_state()
    assert made.beacon.randomness_at(number + 1) is None
    assert made.beacon.randomness_at(number - MIX_HISTORY) is None
    assert made.beacon.randomness_at(number - MIX_HISTORY + 1) is not None
    assert made.beacon.randomness_at(-1) is None


def test_draws() -> None:
    """A draw is unknown until D blocks have passed, then the same for all, and another for another subject."""
    made = PalletChain(PAIR)
    made.block(FIRST_SLOT)
    height = made.beacon.draw_height()
    assert height == 1 + draw_delay(2) == 5
    slot = FIRST_SLOT
    while made.system.number < height:
        assert made.beacon.draw(height, b"job 1") is None
        slot += 1
        made.block(slot)
    mix = made.beacon.randomness_at(height)
    assert mix is not None
    assert made.beacon.draw(height, b"job 1") == draw_seed(mix, b"job 1") != made.beacon.draw(height, b"job 2")
    assert [draw_delay(n) for n in (1, 3, 4, 63, 64)] == [4, 4, 5, 64, 64]


def test_a_commitment_keeps_its_place_while_out_of_the_set() -> None:
    """The chain of a validator that left is where it was, so no revealed link is ever valid again."""
    made = PalletChain(PAIR)
    made.block(FIRST_SLOT)
    made.block(FIRST_SLOT + 1)
    before = made.beacon.chain(PAIR[1].secret.commitment)
    made.beacon.rotate(1, (PAIR[0].secret.commitment,))
    made.start(FIRST_SLOT + SESSION_SLOTS // 2)
    assert made.beacon.chain(PAIR[1].secret.commitment) == before
    assert link(before.head) == PAIR[1].secret.commitment
