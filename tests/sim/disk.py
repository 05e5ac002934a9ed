"""A simulated database: atomic writes in order, and a crash that loses a suffix of what was not synced."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from random import Random

from node.store.database import prefix_end

Batch = tuple[list[tuple[bytes, bytes]], list[bytes]]


class MemoryTable:
    """An ordered map of bytes; what a database holds at one moment."""

    def __init__(self, content: dict[bytes, bytes] | None = None) -> None:
        self.content = dict(content or {})
        self.order = sorted(self.content)

    def get(self, key: bytes) -> bytes | None:
        return self.content.get(key)

    def apply(self, batch: Batch) -> None:
        """Deletes, then puts."""
        puts, deletes = batch
        for key in deletes:
            if self.content.pop(key, None) is not None:
                del self.order[bisect_left(self.order, key)]
        for key, value in puts:
            if key not in self.content:
                insort(self.order, key)
            self.content[key] = value

    def iterate(
        self, prefix: bytes, start: bytes | None = None, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        end = prefix_end(prefix)
        low = bisect_left(self.order, prefix)
        high = len(self.order) if end is None else bisect_left(self.order, end)
        if start is not None and not reverse:
            low = max(low, bisect_left(self.order, start))
        elif start is not None:
            high = min(high, bisect_left(self.order, start + b"\x00"))
        found = self.order[low:high]
        if reverse:
            found.reverse()
        return iter([(key, self.content[key]) for key in found[:limit]])

    def close(self) -> None:
        """Nothing is held."""


class MemoryDatabase:
    """The Disk port's database in memory.

    `crash` gives what a power cut leaves: everything up to the last synced write and a prefix of the writes after it.
    `on_write` is called before each write with its number, and may raise to stop there.
    """

    def __init__(
        self, content: dict[bytes, bytes] | None = None, on_write: Callable[[int], None] | None = None
    ) -> None:
        self._durable = MemoryTable(content)
        self._table = MemoryTable(content)
        self._unsynced: list[Batch] = []
        self._on_write = on_write
        self.writes = 0
        self.closed = False

    def get(self, key: bytes) -> bytes | None:
        return self._table.get(key)

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = (), *, sync: bool = False) -> None:
        if self._on_write is not None:
            self._on_write(self.writes)
        self.writes += 1
        batch = (list(puts), list(deletes))
        self._table.apply(batch)
        self._unsynced.append(batch)
        if sync:
            self._keep(len(self._unsynced))

    def iterate(
        self, prefix: bytes, start: bytes | None = None, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._table.iterate(prefix, start, reverse=reverse, limit=limit)

    def snapshot(self) -> MemoryTable:
        return MemoryTable(self._table.content)

    def close(self) -> None:
        self.closed = True

    def content(self) -> dict[bytes, bytes]:
        """A copy of all that a reader sees now."""
        return dict(self._table.content)

    def _keep(self, batches: int) -> None:
        for batch in self._unsynced[:batches]:
            self._durable.apply(batch)
        del self._unsynced[:batches]

    def crash(self, random: Random) -> "MemoryDatabase":
        """The database that the next start finds; this one is dead."""
        self._keep(random.randint(0, len(self._unsynced)))
        self.closed = True
        return MemoryDatabase(self._durable.content)
