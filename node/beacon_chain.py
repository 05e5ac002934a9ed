"""The author's side of the beacon: hash chains made from the author's secret, never stored (spec/chain.md (b))."""

from __future__ import annotations

from runtime.beacon import ANNOUNCE_LEFT_MAX, CHAIN_LENGTH, Chain, Reveal, chain_start, link
from runtime.types import ZERO_HASH

HASH_BYTES = 32
GENERATIONS_MAX = 64
"""Chains of one key that are searched for a commitment: 64 x 65,536 blocks are years of authoring."""


def chain_values(secret: bytes, genesis_hash: bytes, generation: int) -> bytes:
    """x_0 .. x_L of one chain, 32 bytes each. Takes about 20 ms."""
    value = chain_start(secret, genesis_hash, generation)
    values = bytearray(value)
    for _ in range(CHAIN_LENGTH):
        value = link(value)
        values += value
    return bytes(values)


def genesis_commitment(secret: bytes) -> bytes:
    """x_L of the chain that a genesis validator commits to, made before the genesis hash exists."""
    return chain_values(secret, ZERO_HASH, 0)[-HASH_BYTES:]


class UnknownCommitment(ValueError):
    """None of this key's chains ends in the commitment that the chain holds for it."""


class BeaconAuthor:
    """Makes the reveals of one author. `secret` is the seed of its aura key."""

    def __init__(self, secret: bytes, genesis_hash: bytes, generations_max: int = GENERATIONS_MAX) -> None:
        self._secret = secret
        self._genesis_hash = genesis_hash
        self._generations_max = generations_max
        self._foreign: bytes | None = None
        self._generation = 0
        self._values = b""

    def reveal(self, commitment: bytes, chain: Chain) -> Reveal:
        """The next reveal for the state `chain` of this author's chain, with a new commitment when it is due.

        Raises UnknownCommitment.
        """
        if chain.left == 0 and chain.next is not None:
            head, left = chain.next[0], CHAIN_LENGTH
        else:
            head, left = chain.head, chain.left
        values = self._chain_with(commitment, head, left)
        value = values[(left - 1) * HASH_BYTES : left * HASH_BYTES]
        announce = chain.next is None and chain.left <= ANNOUNCE_LEFT_MAX
        return Reveal(value, self._next_commitment() if announce else None)

    def _chain_with(self, commitment: bytes, head: bytes, left: int) -> bytes:
        """The chain in which `head` is value number `left`: a later one than the first, once the author switched."""
        if self._values[left * HASH_BYTES : (left + 1) * HASH_BYTES] == head:
            return self._values
        if commitment == self._foreign:  # searching takes seconds: once for each commitment, not in every slot
            raise UnknownCommitment(f"the beacon commitment 0x{commitment.hex()} is not of this authoring key")
        for generation in range(self._generations_max):
            for genesis in (ZERO_HASH, self._genesis_hash):
                values = chain_values(self._secret, genesis, generation)
                if values[left * HASH_BYTES : (left + 1) * HASH_BYTES] == head:
                    self._generation, self._values = generation, values
                    return values
        self._foreign = commitment
        raise UnknownCommitment(f"the beacon commitment 0x{commitment.hex()} is not of this authoring key")

    def _next_commitment(self) -> bytes:
        """The end of the chain after the present one: no chain is ever used twice."""
        return chain_values(self._secret, self._genesis_hash, self._generation + 1)[-HASH_BYTES:]
