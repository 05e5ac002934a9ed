"""The randomness beacon: a hash chain of each author, one link revealed in each of its blocks (spec/chain.md (b)).

x_0 = blake2b256(person "beacon", secret ‖ genesis ‖ u32 generation), x_{i+1} = H_bcn(x_i); the commitment is x_L.
The position in the chain comes from the parent state's `left`, never from a counter of our own, so the reveal of an
orphaned block is used again.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.hashing import personal
from runtime.types import BEACON_ENGINE, Hash, PreRuntime

CHAIN_LENGTH = 65_536
ANNOUNCE_LEFT_MAX = 8_192
"""A new commitment may be announced once so few reveals are left."""
SWITCH_SESSIONS_MIN = 1
"""Sessions between the announcement of a commitment and its first reveal."""
CHECKPOINT_EVERY = 256
GENERATIONS_MAX = 512
"""Generations searched for the one that the state follows: 20 ms each."""
DRAW_DELAY_MIN = 4
DRAW_DELAY_MAX = 64
HASH_BYTES = 32

link = personal(b"bcn")
"""H_bcn: the next value of a chain."""
_start = personal(b"beacon")
_mix = personal(b"mix")
_draw = personal(b"draw")


class InvalidReveal(ValueError):
    """The reveal in a header is missing, malformed, or does not continue its author's chain."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One author's chain as the state keeps it. `next` is an announced commitment and the session it came in."""

    head: Hash
    left: int
    next: tuple[Hash, int] | None = None


@dataclass(frozen=True, slots=True)
class Reveal:
    """The content of a header's BCN0 item."""

    value: Hash
    commitment: Hash | None = None

    def encode(self) -> bytes:
        """Return reveal ‖ Option<commitment>."""
        return self.value + (b"\x00" if self.commitment is None else b"\x01" + self.commitment)

    def item(self) -> PreRuntime:
        """The digest item."""
        return PreRuntime(BEACON_ENGINE, self.encode())

    @staticmethod
    def decode(data: bytes) -> Reveal:
        """Raises InvalidReveal."""
        if len(data) == HASH_BYTES + 1 and data[HASH_BYTES] == 0:
            return Reveal(data[:HASH_BYTES])
        if len(data) == 2 * HASH_BYTES + 1 and data[HASH_BYTES] == 1:
            return Reveal(data[:HASH_BYTES], data[HASH_BYTES + 1 :])
        raise InvalidReveal("BCN0: must be 32 bytes and an optional commitment of 32 bytes")


def apply_reveal(chain: Chain, reveal: Reveal, session: int) -> Chain:
    """Return the author's chain after a block with `reveal` in `session`. Raises InvalidReveal."""
    linked = link(reveal.value)
    announced = chain.next
    if chain.left > 0 and linked == chain.head:
        after = Chain(reveal.value, chain.left - 1, announced)
    elif announced is not None and session >= announced[1] + SWITCH_SESSIONS_MIN and linked == announced[0]:
        after = Chain(reveal.value, CHAIN_LENGTH - 1)
    else:
        raise InvalidReveal("BCN0: the reveal does not continue its author's chain")
    if reveal.commitment is None:
        return after
    if announced is not None or chain.left > ANNOUNCE_LEFT_MAX:
        raise InvalidReveal(f"BCN0: a commitment may be announced once, with at most {ANNOUNCE_LEFT_MAX} left")
    return Chain(after.head, after.left, (reveal.commitment, session))


def next_mix(mix: Hash, reveal: Hash) -> Hash:
    """Return the beacon's value after a block: it folds in the block's reveal."""
    return _mix(mix + reveal)


def draw_delay(validators: int) -> int:
    """Return D, the blocks between committing to a draw and its seed, for n validators."""
    return min(max(validators + 1, DRAW_DELAY_MIN), DRAW_DELAY_MAX)


def draw_seed(mix: Hash, subject: bytes) -> Hash:
    """Return the seed of the draw about `subject`, from the mix D blocks after it was committed."""
    return _draw(mix + subject)


class SecretChain:
    """An author's own chain of one generation, recomputed from its secret (20 ms); every 256th value is kept."""

    def __init__(self, secret: bytes, genesis: Hash, generation: int) -> None:
        value = _start(secret + genesis + generation.to_bytes(4, "little"))
        self._checkpoints = [value]
        for index in range(1, CHAIN_LENGTH + 1):
            value = link(value)
            if index % CHECKPOINT_EVERY == 0:
                self._checkpoints.append(value)
        self.generation = generation
        self.commitment: Hash = value

    def value(self, index: int) -> Hash:
        """Return x_index. Raises IndexError outside 0..65,536."""
        if not 0 <= index <= CHAIN_LENGTH:
            raise IndexError(f"index: {index}, allowed 0..{CHAIN_LENGTH}")
        value = self._checkpoints[index // CHECKPOINT_EVERY]
        for _ in range(index % CHECKPOINT_EVERY):
            value = link(value)
        return value


class Revealer:
    """Finds the reveal for the next block of one author, and announces the next generation in time."""

    def __init__(self, secret: bytes, genesis: Hash, first_generation: int = 0) -> None:
        self._secret = secret
        self._genesis = genesis
        self._current = SecretChain(secret, genesis, first_generation)
        self._following: SecretChain | None = None

    @property
    def generation(self) -> int:
        """The generation in use: a hint for the next start."""
        return self._current.generation

    def reveal(self, chain: Chain, session: int) -> Reveal:
        """Return the item for a block upon the state `chain`. Raises InvalidReveal when the secret does not fit it."""
        self._align(chain)
        if chain.left > 0:
            value = self._current.value(chain.left - 1)
        elif chain.next is not None and session >= chain.next[1] + SWITCH_SESSIONS_MIN:
            value = self._next().value(CHAIN_LENGTH - 1)
            if link(value) != chain.next[0]:
                raise InvalidReveal("secret: is not the one of the announced commitment")
        else:
            raise InvalidReveal("chain: used up, and no commitment was announced a session ago")
        if chain.next is None and chain.left <= ANNOUNCE_LEFT_MAX:
            return Reveal(value, self._next().commitment)
        return Reveal(value)

    def _align(self, chain: Chain) -> None:
        """Make `_current` the generation whose chain the state follows."""
        if self._current.value(chain.left) == chain.head:
            return
        if self._following is not None and self._following.value(chain.left) == chain.head:
            self._current, self._following = self._following, None
            return
        start = self._current.generation + 1
        for generation in (*range(start, GENERATIONS_MAX), *range(start - 1)):
            candidate = SecretChain(self._secret, self._genesis, generation)
            if candidate.value(chain.left) == chain.head:
                self._current = candidate
                return
        raise InvalidReveal("secret: is not the one of the chain in the state")

    def _next(self) -> SecretChain:
        generation = self._current.generation + 1
        if self._following is None or self._following.generation != generation:
            self._following = SecretChain(self._secret, self._genesis, generation)
        return self._following
