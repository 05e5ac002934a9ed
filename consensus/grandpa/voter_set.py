"""The voters of one set: their keys, weights and the weight that decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

VOTERS_MAX = 64


class InvalidVoterSet(ValueError):
    """The list of authorities cannot form a set: empty, too long, a repeated key or a weight of zero."""


class VoterSet:
    """An ordered set of voters. A group of voters is an int used as a bit mask over their positions.

    With W the total weight, `tolerated` = floor((W-1)/3) may misbehave and `threshold` = W - tolerated decides
    (reference/substrate.md §4).
    """

    def __init__(self, authorities: Sequence[tuple[bytes, int]]) -> None:
        if not 1 <= len(authorities) <= VOTERS_MAX:
            raise InvalidVoterSet(f"authorities: {len(authorities)}, allowed 1..{VOTERS_MAX}")
        self.keys = tuple(key for key, _ in authorities)
        self.weights = tuple(weight for _, weight in authorities)
        self._index = {key: position for position, key in enumerate(self.keys)}
        if len(self._index) != len(self.keys):
            raise InvalidVoterSet("authorities: a key appears twice")
        if min(self.weights) < 1:
            raise InvalidVoterSet("authorities: a weight below 1")
        self._equal_weight = self.weights[0] if len(set(self.weights)) == 1 else 0
        self.total = sum(self.weights)
        self.tolerated = (self.total - 1) // 3
        self.threshold = self.total - self.tolerated

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: bytes) -> bool:
        return key in self._index

    def index(self, key: bytes) -> int | None:
        """Return the position of `key`, or None when it is no voter."""
        return self._index.get(key)

    def primary(self, round_number: int) -> bytes:
        """Return the voter who may propose a block in this round."""
        return self.keys[round_number % len(self.keys)]

    def weight(self, mask: int) -> int:
        """Return the weight of a group of voters."""
        if self._equal_weight:
            return mask.bit_count() * self._equal_weight
        return sum(self.weights[position] for position in positions(mask))

    def weight_of(self, keys: Iterable[bytes]) -> int:
        """Return the weight of those of `keys` that are voters, each counted once."""
        mask = 0
        for key in keys:
            position = self._index.get(key)
            if position is not None:
                mask |= 1 << position
        return self.weight(mask)

    def keys_of(self, mask: int) -> list[bytes]:
        """Return the keys of a group of voters in their order."""
        return [self.keys[position] for position in positions(mask)]


def positions(mask: int) -> Iterable[int]:
    """Yield the positions of the bits set in `mask`, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
