"""The author's beacon chains: reveals in order, a new commitment in time, and the switch to the next chain."""

from __future__ import annotations

from functools import cache

import pytest

from node.beacon_chain import BeaconAuthor, UnknownCommitment, chain_values, genesis_commitment
from runtime.beacon import ANNOUNCE_LEFT_MAX, CHAIN_LENGTH, Chain, link
from runtime.dev_accounts import dev_validator
from runtime.types import ZERO_HASH
from tests.helpers.chain_lab import ALICE

SECRET = b"an author's secret".ljust(32, b".")
GENESIS = b"\x07" * 32


@cache
def values(generation: int, genesis: bytes = GENESIS) -> list[bytes]:
    """x_0 .. x_L."""
    data = chain_values(SECRET, genesis, generation)
    return [data[place : place + 32] for place in range(0, len(data), 32)]


def test_a_chain_is_hashed_from_its_start() -> None:
    """65,537 values, each the link of the one before; another generation or chain shares none of them."""
    chain = values(0)
    assert len(chain) == CHAIN_LENGTH + 1
    assert all(link(chain[n]) == chain[n + 1] for n in (0, 1, 777, CHAIN_LENGTH - 1))
    assert not set(chain) & set(values(1))
    assert not set(chain) & set(values(0, ZERO_HASH))


def test_the_development_accounts_commitments_are_those_of_their_keys() -> None:
    """The constant of the genesis is what //Alice's key gives."""
    assert genesis_commitment(ALICE.secret) == dev_validator("Alice").beacon


@pytest.mark.parametrize("left", [CHAIN_LENGTH, CHAIN_LENGTH - 1, ANNOUNCE_LEFT_MAX + 1])
def test_a_reveal_is_what_hashes_to_the_head(left: int) -> None:
    """With much left the reveal is the value before the head, and nothing is announced."""
    chain, author = values(0), BeaconAuthor(SECRET, GENESIS)
    reveal = author.reveal(chain[-1], Chain(chain[left], left, None))
    assert (reveal.value, reveal.commitment) == (chain[left - 1], None)
    assert link(reveal.value) == chain[left]


def test_the_next_chain_is_announced_once_it_is_due() -> None:
    """From 8,192 left on the next generation's commitment comes along, until the chain knows it."""
    chain, following, author = values(0), values(1), BeaconAuthor(SECRET, GENESIS)
    left = ANNOUNCE_LEFT_MAX
    assert author.reveal(chain[-1], Chain(chain[left], left, None)).commitment == following[-1]
    known = (following[-1], 3)
    assert author.reveal(chain[-1], Chain(chain[left - 1], left - 1, known)).commitment is None


def test_the_last_reveal_and_the_switch() -> None:
    """The chain's last value is x_0; after it the next chain's first reveal hashes to the announced commitment."""
    chain, following, author = values(0), values(1), BeaconAuthor(SECRET, GENESIS)
    known = (following[-1], 3)
    assert author.reveal(chain[-1], Chain(chain[1], 1, known)).value == chain[0]
    first = author.reveal(chain[-1], Chain(chain[0], 0, known))
    assert first.value == following[-2]
    assert link(first.value) == known[0]
    # The chain is the second generation now: its own successor is the third.
    left = ANNOUNCE_LEFT_MAX
    later = author.reveal(following[-1], Chain(following[left], left, None))
    assert (later.value, later.commitment) == (following[left - 1], values(2)[-1])


def test_a_restart_finds_the_chain_again() -> None:
    """A new process finds the generation that a head belongs to, and goes on with it."""
    chain = values(2)
    left = CHAIN_LENGTH - 100
    reveal = BeaconAuthor(SECRET, GENESIS).reveal(chain[-1], Chain(chain[left], left, None))
    assert reveal.value == chain[left - 1]


def test_the_genesis_chain_is_made_without_a_genesis_hash() -> None:
    """A genesis validator's chain is found although it was made before there was a genesis."""
    chain = values(0, ZERO_HASH)
    reveal = BeaconAuthor(SECRET, GENESIS).reveal(chain[-1], Chain(chain[-1], CHAIN_LENGTH, None))
    assert reveal.value == chain[-2]


def test_a_foreign_commitment_is_named() -> None:
    """A commitment of none of this key's chains is an error that names it, again without searching anew."""
    author = BeaconAuthor(SECRET, GENESIS, generations_max=2)
    for _ in range(1_000):
        with pytest.raises(UnknownCommitment, match="0x" + "55" * 32):
            author.reveal(b"\x55" * 32, Chain(b"\x55" * 32, CHAIN_LENGTH, None))
