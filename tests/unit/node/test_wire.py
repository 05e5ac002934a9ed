"""msgpack between nodes: what is not exactly of the schema is refused, naming the place."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.network.port import MalformedMessage
from node.wire import HASH, Bytes, ListOf, Maybe, pack, unpack

SCHEMA = (int, HASH, ListOf((bool, Bytes(4)), 2), Maybe(str))
GOOD: list[Any] = [7, bytes(32), [[True, b"ab"]], None]


def test_what_fits_the_schema_passes() -> None:
    """Values come back as they were packed, with nil where the schema allows it."""
    assert unpack(pack(GOOD), SCHEMA, 1_000) == GOOD
    assert unpack(pack([*GOOD[:3], "text"]), SCHEMA, 1_000)[3] == "text"


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (7, "message"),
        (GOOD[:3], "message"),
        ([*GOOD, 1], "message"),
        ([True, *GOOD[1:]], r"message\[0\]"),
        ([-1, *GOOD[1:]], r"message\[0\]"),
        ([1.0, *GOOD[1:]], r"message\[0\]"),
        ([7, bytes(31), [], None], r"message\[1\]"),
        ([7, "x" * 32, [], None], r"message\[1\]"),
        ([7, bytes(32), [[True, b""]] * 3, None], r"message\[2\]"),
        ([7, bytes(32), [[1, b""]], None], r"message\[2\]\[0\]\[0\]"),
        ([7, bytes(32), [[True, b"12345"]], None], r"message\[2\]\[0\]\[1\]"),
        ([7, bytes(32), [], 5], r"message\[3\]"),
        ({"a": 1}, "message"),
        ([7, bytes(32), [], {"a": 1}], "message"),
        ([7, bytes(32), [], msgpack.ExtType(5, b"x")], "message"),
    ],
)
def test_what_does_not_is_refused_by_its_place(value: Any, place: str) -> None:
    """Each deviation names the place in the message where it is."""
    with pytest.raises(MalformedMessage, match=f"^{place}"):
        unpack(msgpack.packb(value), SCHEMA, 1_000)


def test_size_and_depth_are_bounded() -> None:
    """A message above its limit, cut off, with bytes behind it or nested a thousand deep is refused."""
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    good = pack(GOOD)
    for data in (good[:-1], good + b"\0", b"", b"\x91" * 10_000, pack(deep), b"\xdd\xff\xff\xff\xff"):
        with pytest.raises(MalformedMessage):
            unpack(data, SCHEMA, 20_000)
    with pytest.raises(MalformedMessage, match="at most 10"):
        unpack(good, SCHEMA, 10)
    nested: Any = int
    for _ in range(10):
        nested = ListOf(nested, 1)
    value: Any = 1
    for _ in range(10):
        value = [value]
    with pytest.raises(MalformedMessage, match="nested deeper"):
        unpack(pack(value), nested, 1_000)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_fit(data: bytes) -> None:
    """Random bytes raise MalformedMessage and nothing else, or are of the schema."""
    try:
        number, digest, items, text = unpack(data, SCHEMA, 1_000)
    except MalformedMessage:
        return
    assert isinstance(number, int)
    assert len(digest) == 32
    assert len(items) <= 2
    assert text is None or isinstance(text, str)
