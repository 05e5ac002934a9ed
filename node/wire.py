"""msgpack between nodes: decoded with a size cap, a schema and no surprises.

A schema is a type, a tuple of schemas (a list of exactly those), `ListOf(schema, count_max)` or `Maybe(schema)`.
msgpack takes `true` for an int and nests freely; this does not (reliability.md, attack surface).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack

from node.network.port import MalformedMessage

DEPTH_MAX = 6


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of at most `count_max` values of one schema."""

    schema: Any
    count_max: int


@dataclass(frozen=True, slots=True)
class Maybe:
    """A value or nil."""

    schema: Any


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of at most `size_max`, at least `size_min`."""

    size_max: int
    size_min: int = 0


HASH = Bytes(32, 32)


def pack(value: Any) -> bytes:
    """Encode lists, ints, bytes, text, booleans and None."""
    data: bytes = msgpack.packb(value, use_bin_type=True)
    return data


def unpack(data: bytes, schema: Any, size_max: int, name: str = "message") -> Any:
    """Decode and check against `schema`. Raises MalformedMessage naming the place."""
    if len(data) > size_max:
        raise MalformedMessage(name, f"{len(data)} bytes, at most {size_max}")
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=True, max_map_len=0, max_ext_len=0)
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise MalformedMessage(name, f"no msgpack: {error}") from error
    check(value, schema, name)
    return value


def check(value: Any, schema: Any, name: str, depth: int = 0) -> None:
    """Raise MalformedMessage unless `value` has the form of `schema`."""
    if depth > DEPTH_MAX:
        raise MalformedMessage(name, f"nested deeper than {DEPTH_MAX}")
    if isinstance(schema, Maybe):
        if value is not None:
            check(value, schema.schema, name, depth)
    elif isinstance(schema, ListOf):
        if not isinstance(value, list) or len(value) > schema.count_max:
            raise MalformedMessage(name, f"expected a list of at most {schema.count_max}")
        for number, item in enumerate(value):
            check(item, schema.schema, f"{name}[{number}]", depth + 1)
    elif isinstance(schema, tuple):
        if not isinstance(value, list) or len(value) != len(schema):
            raise MalformedMessage(name, f"expected a list of {len(schema)}")
        for number, (item, part) in enumerate(zip(value, schema, strict=True)):
            check(item, part, f"{name}[{number}]", depth + 1)
    elif isinstance(schema, Bytes):
        if not isinstance(value, bytes) or not schema.size_min <= len(value) <= schema.size_max:
            raise MalformedMessage(name, f"expected {schema.size_min}..{schema.size_max} bytes")
    elif type(value) is not schema or (schema is int and not 0 <= value < 1 << 64):
        raise MalformedMessage(name, f"expected {schema.__name__}")
