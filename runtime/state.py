"""The overlay: the state of one block while it executes.

Decoded values are kept by raw storage key and each changed key is encoded once, at the end of the block. One undo list
with marks gives nested layers (performance.md, patterns 2 and 5). A stored value is never changed in place: pallets put
a new one (spec/chain.md §1.10).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from runtime.scale import Codec

LAYERS_MAX = 8
"""Nested storage layers: a call in a batch in a call ... (spec/chain.md §1.6)."""


class Missing:
    """Marks a key that the overlay has not looked up yet; None means: looked up, absent."""


MISSING: Final = Missing()


class Reader(Protocol):
    """The state that a block starts from."""

    def get(self, key: bytes) -> bytes | None:
        """The value under a raw storage key."""

    def iterate(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Pairs with `prefix` and key >= `start`, ascending by raw key."""


class EmptyReader:
    """The state before genesis."""

    def get(self, key: bytes) -> bytes | None:
        return None

    def iterate(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        return iter(())


class LayersExceeded(Exception):
    """More than LAYERS_MAX nested storage layers."""


class State:
    """The storage of one executing block, on top of a Reader.

    `spec` is the version of the rules in force: the only switch of versioned code. `events` are (phase, event) pairs.
    `reads` and `writes` count every access since the state was made, whether the overlay had the key or not: what a
    call really cost, the same on every node.
    """

    def __init__(self) -> None:
        self.spec = 1
        self.reader: Reader = EmptyReader()
        self.values: dict[bytes, Any] = {}
        self.changed: dict[bytes, Codec] = {}
        self.undo: list[tuple[bytes, Any]] = []
        self.events: list[tuple[Any, Any]] = []
        self.phase: Any = None
        self.layers = 0
        self.reads = 0
        self.writes = 0

    def attach(self, reader: Reader, spec: int) -> None:
        """Start anew on top of `reader`: forget all values, changes and events."""
        self.reader = reader
        self.spec = spec
        self.values = {}
        self.changed = {}
        self.undo = []
        self.events = []
        self.phase = None
        self.layers = 0

    def read(self, key: bytes, codec: Codec) -> Any:
        """The decoded value under `key`, or None."""
        self.reads += 1
        value = self.values.get(key, MISSING)
        if value is MISSING:
            data = self.reader.get(key)
            value = None if data is None else codec.decode(data)
            self.values[key] = value
        return value

    def write(self, key: bytes, codec: Codec, value: Any) -> None:
        """Put `value` under `key`; None removes it."""
        self.writes += 1
        self.undo.append((key, self.values.get(key, MISSING)))
        self.values[key] = value
        self.changed[key] = codec

    def mark(self) -> tuple[int, int]:
        """A point to roll back to."""
        return len(self.undo), len(self.events)

    def rollback(self, mark: tuple[int, int]) -> None:
        """Undo every write and event since `mark`."""
        undo, values = self.undo, self.values
        depth, events = mark
        while len(undo) > depth:
            key, previous = undo.pop()
            if previous is MISSING:
                values.pop(key, None)
            else:
                values[key] = previous
        del self.events[events:]

    def check_encodes(self, mark: tuple[int, int]) -> None:
        """Encode what was written since `mark`, which is else done at the end of the block; raises what that raises."""
        for key, _previous in self.undo[mark[0] :]:
            value = self.values.get(key)
            if value is not None:
                self.changed[key].encode(value)

    @contextmanager
    def layer(self) -> Iterator[None]:
        """A nested storage layer: an exception inside undoes what happened in it and goes on."""
        if self.layers >= LAYERS_MAX:
            raise LayersExceeded
        mark = self.mark()
        self.layers += 1
        try:
            yield
        except BaseException:
            self.rollback(mark)
            raise
        finally:
            self.layers -= 1

    def iterate(self, prefix: bytes, codec: Codec) -> Iterator[tuple[bytes, Any]]:
        """(raw key, decoded value) under `prefix`, ascending by raw key, overlay included."""
        overlay = {key: value for key, value in self.values.items() if key.startswith(prefix)}
        below = ((key, codec.decode(data)) for key, data in self.reader.iterate(prefix) if key not in overlay)
        above = iter([(key, overlay[key]) for key in sorted(overlay) if overlay[key] is not None])
        yield from _merge(below, above)

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        """Each changed raw key with its encoded value (None: removed), ascending by key."""
        result: list[tuple[bytes, bytes | None]] = []
        values = self.values
        for key, codec in self.changed.items():
            value = values.get(key, MISSING)
            if value is not MISSING:
                result.append((key, None if value is None else codec.encode(value)))
        result.sort()
        return result


def _merge(left: Iterator[tuple[bytes, Any]], right: Iterator[tuple[bytes, Any]]) -> Iterator[tuple[bytes, Any]]:
    """Two ascending sequences with distinct keys as one."""
    one, two = next(left, None), next(right, None)
    while one is not None or two is not None:
        if two is None or (one is not None and one[0] < two[0]):
            assert one is not None
            yield one
            one = next(left, None)
        else:
            yield two
            two = next(right, None)
