"""The randomness beacon's rules: hash chains of authors, reveals, the mix and draws (spec/chain.md (b)).

Each author commits to x_L of a hash chain x_{i+1} = H_bcn(x_i) and reveals one link, backwards, in each of its blocks.
A value of the chain proves itself by hashing to the value before it; the mix folds in every reveal. Pure functions:
the Beacon pallet applies them to the state, authors to their own chain.
"""

from dataclasses import dataclass

from runtime.hashing import personal
from runtime.scale import U32
from runtime.types import BEACON_ENGINE, Hash, PreRuntime

CHAIN_LENGTH = 65_536
"""L: reveals of one commitment."""
ANNOUNCE_LEFT_MAX = 8_192
"""A new commitment may be announced once so few reveals are left."""
SWITCH_SESSIONS_MIN = 1
"""Sessions between the announcement of a commitment and its first reveal."""
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
    left: U32
    next: tuple[Hash, U32] | None = None


@dataclass(frozen=True, slots=True)
class Reveal:
    """The content of a header's BCN0 item."""

    value: Hash
    commitment: Hash | None = None

    def encode(self) -> bytes:
        """reveal ‖ Option<commitment>."""
        return self.value + (b"\x00" if self.commitment is None else b"\x01" + self.commitment)

    def item(self) -> PreRuntime:
        """The digest item."""
        return PreRuntime(BEACON_ENGINE, self.encode())

    @staticmethod
    def decode(data: bytes) -> "Reveal":
        """Raises InvalidReveal."""
        if len(data) == HASH_BYTES + 1 and data[HASH_BYTES] == 0:
            return Reveal(data[:HASH_BYTES])
        if len(data) == 2 * HASH_BYTES + 1 and data[HASH_BYTES] == 1:
            return Reveal(data[:HASH_BYTES], data[HASH_BYTES + 1 :])
        raise InvalidReveal("BCN0: must be 32 bytes and an optional commitment of 32 bytes")


def chain_start(secret: bytes, genesis: Hash, generation: int) -> Hash:
    """x_0 of an author's chain."""
    return _start(secret + genesis + generation.to_bytes(4, "little"))


def apply_reveal(chain: Chain, reveal: Reveal, session: int) -> Chain:
    """The author's chain after a block with `reveal` upon a parent in `session`. Raises InvalidReveal."""
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
    """The beacon's value after a block: it folds in the block's reveal."""
    return _mix(mix + reveal)


def draw_delay(validators: int) -> int:
    """D: blocks between committing to a draw and its seed, for n validators."""
    return min(max(validators + 1, DRAW_DELAY_MIN), DRAW_DELAY_MAX)


def draw_seed(mix: Hash, subject: bytes) -> Hash:
    """The seed of the draw about `subject`, from the mix D blocks after it was committed."""
    return _draw(mix + subject)
