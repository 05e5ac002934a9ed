"""A machine's power supply, which may fail in the middle of any write: before it, after it, or tearing it.

While the power is off nothing is written any more, whatever the dying tasks try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random

from tests.sim.disk import MemoryDatabase, MemoryTable

BEFORE, AFTER = 0, 1


class PowerCut(BaseException):
    """The machine is off. Not an Exception, so that no supervisor swallows it."""


class Power:
    """The supply from one start to the next crash. `chance` is asked at each write; `on_cut` is told once."""

    def __init__(self, random: Random, chance: Callable[[], float], on_cut: Callable[[], None]) -> None:
        self.random = random
        self.off = False
        self._chance = chance
        self._on_cut = on_cut

    def moment(self) -> int | None:
        """At a write: where the power fails, or None. Raises PowerCut if it is off."""
        if self.off:
            raise PowerCut
        if self.random.random() >= self._chance():
            return None
        return self.random.randrange(2)

    def cut(self) -> None:
        """Switch off."""
        if not self.off:
            self.off = True
            self._on_cut()


class PoweredDatabase:
    """A database on a machine whose power may fail."""

    def __init__(self, power: Power, memory: MemoryDatabase) -> None:
        self._power = power
        self._memory = memory

    def get(self, key: bytes) -> bytes | None:
        return self._memory.get(key)

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = (), *, sync: bool = False) -> None:
        moment = self._power.moment()
        if moment == AFTER or moment is None:
            self._memory.write(puts, deletes, sync=sync)
        if moment is not None:
            self._power.cut()
            raise PowerCut

    def iterate(
        self, prefix: bytes, start: bytes | None = None, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._memory.iterate(prefix, start, reverse=reverse, limit=limit)

    def snapshot(self) -> MemoryTable:
        return self._memory.snapshot()

    def close(self) -> None:
        """The memory stays for the next start."""


@dataclass(slots=True)
class VotesDisk:
    """What survives of a vote log."""

    content: bytes = b""


class PoweredVotesLog:
    """The vote log on a machine whose power may fail: then an append leaves a part of its last record."""

    def __init__(self, power: Power, disk: VotesDisk) -> None:
        self._power = power
        self._disk = disk

    def read(self) -> bytes:
        return self._disk.content

    def append(self, data: bytes) -> None:
        moment = self._power.moment()
        if moment is None:
            self._disk.content += data
            return
        kept = len(data) if moment == AFTER else self._power.random.randrange(len(data))
        self._disk.content += data[:kept]
        self._power.cut()
        raise PowerCut

    def truncate(self, size: int) -> None:
        self._replace(self._disk.content[:size])

    def replace(self, data: bytes) -> None:
        self._replace(data)

    def _replace(self, content: bytes) -> None:
        moment = self._power.moment()
        if moment == AFTER or moment is None:
            self._disk.content = content
        if moment is not None:
            self._power.cut()
            raise PowerCut

    def close(self) -> None:
        """Nothing is held."""
