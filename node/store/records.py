"""The records of the database that are not SCALE: msgpack arrays of a fixed shape, checked on reading.

What is read here was written by this node, so a wrong shape means a damaged database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import msgpack

from node.store.errors import DatabaseDamaged

RECORD_BYTES_MAX = 256 * 1024 * 1024
"""Far above any block: 8,192 extrinsics and a few megabytes of values."""

_NIL = type(None)

Pair = tuple[bytes, bytes | None]


class Head(NamedTuple):
    """A block's place: height and hash."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Journal:
    """What a block changed, ascending by key; `origin` is (slot, author), where the header tells."""

    parent: bytes
    root: bytes
    changes: tuple[Pair, ...]
    origin: tuple[int, bytes] | None


@dataclass(frozen=True, slots=True)
class Undo:
    """What a flushed block replaced (None: nothing was there), and the state root after it."""

    root: bytes
    previous: tuple[Pair, ...]


def encode_head(head: Head) -> bytes:
    """40 bytes."""
    return head.number.to_bytes(8, "big") + head.hash


def decode_head(data: bytes, name: str) -> Head:
    """The head from exactly 40 bytes."""
    if len(data) != 40:
        raise DatabaseDamaged(f"record {name} has {len(data)} bytes, not 40")
    return Head(int.from_bytes(data[:8], "big"), data[8:])


def encode_journal(journal: Journal) -> bytes:
    """[parent, root, [(key, value or nil)…], (slot, author) or nil]."""
    return _pack((journal.parent, journal.root, journal.changes, journal.origin))


def decode_journal(data: bytes) -> Journal:
    """The journal, its shape checked."""
    fields = _unpack(data, 4, "journal")
    parent, root, changes, origin = fields
    if not (_is_hash(parent) and _is_hash(root) and _are_pairs(changes) and _is_origin(origin)):
        raise DatabaseDamaged("a journal has another shape")
    return Journal(parent, root, changes, origin)


def encode_undo(undo: Undo) -> bytes:
    """[root, [(key, previous value or nil)…]]."""
    return _pack((undo.root, undo.previous))


def decode_undo(data: bytes) -> Undo:
    """The undo record, its shape checked."""
    root, previous = _unpack(data, 2, "undo record")
    if not (_is_hash(root) and _are_pairs(previous)):
        raise DatabaseDamaged("an undo record has another shape")
    return Undo(root, previous)


def encode_body(extrinsics: list[bytes]) -> bytes:
    """The extrinsics in order, each with its length prefix as the chain has it."""
    return _pack(extrinsics)


def decode_body(data: bytes) -> list[bytes]:
    """The extrinsics in order."""
    items = _unpack(data, None, "body")
    if not all(type(item) is bytes for item in items):
        raise DatabaseDamaged("a body has another shape")
    return list(items)


def _pack(value: Any) -> bytes:
    return cast(bytes, msgpack.packb(value, use_bin_type=True))


def _unpack(data: bytes, size: int | None, name: str) -> tuple[Any, ...]:
    if len(data) > RECORD_BYTES_MAX:
        raise DatabaseDamaged(f"a {name} has {len(data)} bytes, at most {RECORD_BYTES_MAX}")
    try:
        value = msgpack.unpackb(data, use_list=False, raw=False, strict_map_key=True)
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        raise DatabaseDamaged(f"a {name} is unreadable: {error}") from error
    if not isinstance(value, tuple) or (size is not None and len(value) != size):
        raise DatabaseDamaged(f"a {name} has another shape")
    return value


def _is_hash(value: Any) -> bool:
    return type(value) is bytes and len(value) == 32


def _is_origin(value: Any) -> bool:
    if value is None:
        return True
    return type(value) is tuple and len(value) == 2 and type(value[0]) is int and type(value[1]) is bytes


def _are_pairs(value: Any) -> bool:
    return type(value) is tuple and all(
        type(pair) is tuple and len(pair) == 2 and type(pair[0]) is bytes and type(pair[1]) in (bytes, _NIL)
        for pair in value
    )
