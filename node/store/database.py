"""The ordered key-value database behind the Disk port, and its real form: LevelDB by plyvel.

Keys and values are bytes; keys are ordered as bytes. A write is atomic, and durable when it returns if `sync` is set:
one synced write covers all writes before it. The settings are measured: without paranoid checks LevelDB opens most
damaged databases in silence, and without checksums on reads it hands out flipped bits of a table. A block in the cache
has been checked already.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import plyvel

from node.store.errors import DatabaseDamaged, DatabaseError, DatabaseFull, DatabaseLocked

CACHE_BYTES = 16 * 1024 * 1024
WRITE_BUFFER_BYTES = 8 * 1024 * 1024
BLOOM_BITS_PER_KEY = 10
OPEN_FILES_MAX = 256


class Snapshot(Protocol):
    """The database as it was at one moment. Close it: it keeps old files alive."""

    def get(self, key: bytes) -> bytes | None:
        """The value under `key` at that moment, or None."""

    def iterate(
        self, prefix: bytes, start: bytes | None = None, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """As Database.iterate, at that moment."""

    def close(self) -> None:
        """Let go of the moment."""


class Database(Protocol):
    """An ordered key-value database. Every method may raise DatabaseError."""

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = (), *, sync: bool = False) -> None:
        """Deletes, then puts, all or nothing; on stable storage when it returns if `sync`."""

    def iterate(
        self, prefix: bytes, start: bytes | None = None, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """(whole key, value) under `prefix` from the whole key `start` on (inclusive), in order.

        In reverse order `start` is where it begins, too: pairs with key <= start, descending. The iterator shows the
        database as it was when this was called.
        """

    def snapshot(self) -> Snapshot:
        """The database as it is now, whatever is written later."""

    def close(self) -> None:
        """Release it; harmless when repeated."""


def unusable(error: Exception) -> DatabaseError:
    """What an error of LevelDB means: it says that the disk is full only in its text."""
    text = str(error)
    return DatabaseFull(text) if os.strerror(errno.ENOSPC) in text else DatabaseDamaged(text)


def prefix_end(prefix: bytes) -> bytes | None:
    """The first key after all keys with `prefix`; None if there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,)) if stripped else None


def _iterate(
    source: Any, prefix: bytes, start: bytes | None, reverse: bool, limit: int | None
) -> Iterator[tuple[bytes, bytes]]:
    """Opens the plyvel iterator now, so that it shows this moment, and reads it lazily."""
    low, high, include_high = prefix, prefix_end(prefix), False
    if start is not None and not reverse:
        low = max(low, start)
    elif start is not None and (high is None or start < high):
        high, include_high = start, True
    if high is not None and low > high:
        return iter(())
    # plyvel 1.5.1 misses an entry that equals `start` and is the only one in reverse: there the prefix is the bound.
    iterator = source.iterator(
        start=None if reverse else low or None,
        stop=high,
        include_stop=include_high,
        reverse=reverse,
        verify_checksums=True,
    )
    return _pairs(iterator, prefix, limit)


def _pairs(iterator: Any, prefix: bytes, limit: int | None) -> Iterator[tuple[bytes, bytes]]:
    count = 0
    with iterator:
        while limit is None or count < limit:
            try:
                pair = next(iterator)
            except StopIteration:
                return
            except plyvel.Error as error:
                raise unusable(error) from error
            if not pair[0].startswith(prefix):
                return
            yield pair
            count += 1


class LevelSnapshot:
    """A LevelDB snapshot."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._source.get(key, verify_checksums=True)
        except plyvel.Error as error:
            raise unusable(error) from error
        return value

    def iterate(
        self, prefix: bytes, start: bytes | None = None, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        return _iterate(self._source, prefix, start, reverse, limit)

    def close(self) -> None:
        self._source.close()


class LevelDatabase:
    """LevelDB in a folder, which is created if missing.

    Raises DatabaseLocked if another process holds it, DatabaseDamaged if it does not open soundly.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._source: Any = plyvel.DB(
                str(folder),
                create_if_missing=True,
                paranoid_checks=True,
                lru_cache_size=CACHE_BYTES,
                write_buffer_size=WRITE_BUFFER_BYTES,
                bloom_filter_bits=BLOOM_BITS_PER_KEY,
                max_open_files=OPEN_FILES_MAX,
            )
        except plyvel.CorruptionError as error:
            raise unusable(error) from error
        except plyvel.IOError as error:
            if "lock" in str(error).lower():
                raise DatabaseLocked(f"{folder} is in use by another process: {error}") from error
            raise unusable(error) from error
        except plyvel.Error as error:
            raise unusable(error) from error

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._source.get(key, verify_checksums=True)
        except plyvel.Error as error:
            raise unusable(error) from error
        return value

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = (), *, sync: bool = False) -> None:
        batch = self._source.write_batch(sync=sync)
        for key in deletes:
            batch.delete(key)
        for key, value in puts:
            batch.put(key, value)
        try:
            batch.write()
        except plyvel.Error as error:
            if isinstance(unusable(error), DatabaseFull):
                raise DatabaseFull(str(error)) from error
            raise DatabaseError(f"the database could not be written: {error}") from error

    def iterate(
        self, prefix: bytes, start: bytes | None = None, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        return _iterate(self._source, prefix, start, reverse, limit)

    def snapshot(self) -> LevelSnapshot:
        return LevelSnapshot(self._source.snapshot())

    def close(self) -> None:
        self._source.close()
