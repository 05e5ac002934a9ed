"""SCALE: canonical bytes, one for each value, and nothing else decodes (spec/chain.md §1.8).

Expected bytes come from the format's documentation and, in scale_vectors.json, from another implementation of it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.scale import (
    I64,
    U8,
    U16,
    U32,
    U64,
    U128,
    Bounded,
    CompactU32,
    CompactU64,
    CompactU128,
    Fixed,
    Registry,
    ScaleError,
    SumType,
    codec_of,
    scale_path,
    variant,
)
from runtime.scale.codec import (
    BYTES_MAX,
    ITEMS_MAX,
    REMEMBERED_MAX,
    RememberingCodec,
    decode_compact,
    encode_compact,
)


class Shape(SumType):
    """A sum type with an empty, a numeric and a textual variant."""

    __slots__ = ()


@variant(0)
@dataclass(frozen=True, slots=True)
class Empty(Shape):
    """Nothing."""


@variant(1)
@dataclass(frozen=True, slots=True)
class Circle(Shape):
    """A radius."""

    radius: U16


@variant(2)
@dataclass(frozen=True, slots=True)
class Name(Shape):
    """A word."""

    word: str


@dataclass(frozen=True, slots=True)
class Record:
    """Integers of a fixed size beside values of a varying one."""

    number: U32
    wide: U128
    amount: CompactU128
    memo: bytes
    flag: bool
    shape: Shape


class Colour(Enum):
    """A plain enum with a gap."""

    RED = 0
    GREEN = 1
    BLUE = 5


Hash32 = Annotated[bytes, Fixed(32)]
HINTS: dict[str, Any] = {
    "u8": U8,
    "u16": U16,
    "u32": U32,
    "u64": U64,
    "u128": U128,
    "i64": I64,
    "Compact<u32>": CompactU32,
    "Compact<u64>": CompactU64,
    "Compact<u128>": CompactU128,
    "bool": bool,
    "str": str,
    "Bytes": bytes,
    "[u8; 32]": Hash32,
    "Option<u32>": U32 | None,
    "Option<bool>": bool | None,
    "Vec<u16>": tuple[U16, ...],
    "(u8, u64, bool)": tuple[U8, U64, bool],
    "Vec<Option<(u32, Bytes)>>": tuple[tuple[U32, bytes] | None, ...],
    "Record": Record,
}
VECTORS = json.loads(Path(__file__).with_name("scale_vectors.json").read_text())


def from_json(kind: str, value: Any) -> Any:
    """A vector's value as the Python form of its type."""
    if kind == "Record":
        shapes: dict[str, Callable[[Any], Shape]] = {"Empty": lambda _: Empty(), "Circle": Circle, "Name": Name}
        ((name, inner),) = value["shape"].items()
        memo = bytes.fromhex(value["memo"][2:])
        return Record(value["number"], value["wide"], value["amount"], memo, value["flag"], shapes[name](inner))
    if isinstance(value, list):
        return tuple(from_json("", one) for one in value)
    if isinstance(value, str) and kind != "str":
        return bytes.fromhex(value[2:])
    return value


@pytest.mark.parametrize("kind", HINTS)
def test_the_same_bytes_as_another_implementation(kind: str) -> None:
    """Both directions agree with the library that Substrate's Python clients use, for values around every edge."""
    codec = codec_of(HINTS[kind])
    cases = [(from_json(kind, value), bytes.fromhex(data[2:])) for name, value, data in VECTORS if name == kind]
    assert len(cases) >= 2
    for value, data in cases:
        assert codec.encode(value) == data
        assert codec.decode(data) == value


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (0, "00"),
        (1, "04"),
        (42, "a8"),
        (63, "fc"),
        (64, "0101"),
        (69, "1501"),
        (16_383, "fdff"),
        (16_384, "02000100"),
        (65_535, "feff0300"),
        ((1 << 30) - 1, "feffffff"),
        (1 << 30, "0300000040"),
        (100_000_000_000_000, "0b00407a10f35a"),
        ((1 << 64) - 1, "13ffffffffffffffff"),
        ((1 << 128) - 1, "33" + "ff" * 16),
        ((1 << 536) - 1, "ff" + "ff" * 67),
    ],
)
def test_compact_vectors(value: int, data: str) -> None:
    """The examples of the format's documentation, and the edges between the four modes."""
    assert encode_compact(value).hex() == data
    assert decode_compact(bytes.fromhex(data), 0) == (value, len(data) // 2)


@pytest.mark.parametrize(
    ("hint", "value", "data"),
    [
        (U8, 69, "45"),
        (U16, 42, "2a00"),
        (U32, 16_777_215, "ffffff00"),
        (bool, True, "01"),
        (bool | None, None, "00"),
        (bool | None, False, "0100"),
        (tuple[U16, ...], (4, 8, 15, 16, 23, 42), "18040008000f00100017002a00"),
        (tuple[CompactU32, bool], (3, False), "0c00"),
        (str, "Hamlet", "1848616d6c6574"),
        (str, "Война и мир", "50d092d0bed0b9d0bdd0b020d0b820d0bcd0b8d180"),
        (Colour, Colour.BLUE, "05"),
        (Shape, Circle(42), "012a00"),
    ],
)
def test_documented_vectors(hint: Any, value: Any, data: str) -> None:
    """The examples of the format's documentation."""
    codec = codec_of(hint)
    assert codec.encode(value).hex() == data
    assert codec.decode(bytes.fromhex(data)) == value


@pytest.mark.parametrize(
    "data", ["0100", "fd00", "02000000", "feff0000", "0300000000", "03ffffff3f", "070000004000", "13ffffffffffffff00"]
)
def test_compacts_must_be_minimal(data: str) -> None:
    """A compact in a longer form than needed is refused."""
    with pytest.raises(ScaleError):
        codec_of(CompactU128).decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("hint", "value"), [(CompactU32, 1 << 32), (CompactU64, 1 << 64), (CompactU128, 1 << 128), (CompactU32, -1)]
)
def test_compacts_have_bounds(hint: Any, value: int) -> None:
    """A compact beyond its type is refused in both directions."""
    with pytest.raises(ScaleError):
        codec_of(hint).encode(value)
    if value > 0:
        with pytest.raises(ScaleError):
            codec_of(hint).decode(encode_compact(value))


def test_no_compact_beyond_536_bits() -> None:
    """The format ends at 67 bytes."""
    with pytest.raises(ScaleError):
        encode_compact(1 << 536)


@pytest.mark.parametrize(
    ("hint", "data"),
    [
        (bool, "02"),
        (bool, "ff"),
        (U32 | None, "0200000000"),
        (U32 | None, "ff"),
        (Colour, "02"),
        (Colour, "ff"),
        (Shape, "03"),
        (tuple[Shape, ...], "0803"),
        (str, "04ff"),
        (str, "0cc3a980"),
        (str, "0ceda080"),
        (Record, "00" * 8 + "01"),
    ],
)
def test_unknown_forms(hint: Any, data: str) -> None:
    """Other bytes for bool, option, enum and variant, and text that is no UTF-8 (surrogates too), are refused."""
    with pytest.raises(ScaleError):
        codec_of(hint).decode(bytes.fromhex(data))


@pytest.mark.parametrize("kind", HINTS)
def test_every_truncation_is_refused(kind: str) -> None:
    """No proper prefix of an encoding decodes: never another value, never an error of another type."""
    codec = codec_of(HINTS[kind])
    for name, _, text in VECTORS:
        data = bytes.fromhex(text[2:])
        if name == kind:
            for length in range(len(data)):
                with pytest.raises(ScaleError):
                    codec.decode(data[:length])


@pytest.mark.parametrize("kind", HINTS)
def test_bytes_left_over_are_refused(kind: str) -> None:
    """An encoding with anything behind it does not decode."""
    codec = codec_of(HINTS[kind])
    for name, _, text in VECTORS:
        if name == kind:
            with pytest.raises(ScaleError, match="left over"):
                codec.decode(bytes.fromhex(text[2:]) + b"\x00")


@pytest.mark.parametrize("kind", HINTS)
@given(data=st.data())
@settings(max_examples=60)
def test_what_decodes_encodes_to_the_same_bytes(kind: str, data: st.DataObject) -> None:
    """Whatever bytes come in, they are refused with ScaleError or are the one encoding of their value."""
    codec = codec_of(HINTS[kind])
    raw = bytearray(
        data.draw(st.sampled_from([bytes.fromhex(text[2:]) for name, _, text in VECTORS if name == kind])) or b"\0"
    )
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, min(len(raw), 12) - 1))] = data.draw(st.integers(0, 255))
    try:
        value = codec.decode(bytes(raw))
    except ScaleError:
        return
    assert codec.encode(value) == raw


@given(st.binary(max_size=64))
@settings(max_examples=300)
def test_arbitrary_bytes_never_raise_anything_else(raw: bytes) -> None:
    """Noise gives a value or ScaleError for each type."""
    for hint in HINTS.values():
        codec = codec_of(hint)
        try:
            assert codec.encode(codec.decode(raw)) == raw
        except ScaleError:
            continue


@pytest.mark.parametrize(
    ("hint", "data"),
    [
        (bytes, encode_compact(BYTES_MAX) + b"x"),
        (bytes, encode_compact(1 << 60)),
        (str, encode_compact(1 << 500)),
        (tuple[U64, ...], encode_compact(ITEMS_MAX) + bytes(16)),
        (tuple[U64, ...], encode_compact(1 << 60) + bytes(16)),
        (tuple[tuple[bytes, ...], ...], encode_compact(2) + encode_compact(1 << 30)),
    ],
)
def test_lengths_are_checked_before_allocation(hint: Any, data: bytes) -> None:
    """A claimed length beyond what follows, or beyond the type's bound, is refused at once, whatever it claims."""
    with pytest.raises(ScaleError):
        codec_of(hint).decode(data)


@pytest.mark.parametrize(
    ("hint", "most", "beyond"),
    [
        (Annotated[bytes, Bounded(3)], b"abc", b"abcd"),
        (Annotated[str, Bounded(4)], "üü", "üüx"),
        (Annotated[tuple[U8, ...], Bounded(2)], (1, 2), (1, 2, 3)),
        (bytes, bytes(BYTES_MAX), bytes(BYTES_MAX + 1)),
        (tuple[U8, ...], (0,) * ITEMS_MAX, (0,) * (ITEMS_MAX + 1)),
    ],
)
def test_bounds_hold_in_both_directions(hint: Any, most: Any, beyond: Any) -> None:
    """A bounded value fits at its bound; one more element or byte is refused on encode and on decode."""
    codec = codec_of(hint)
    assert codec.decode(codec.encode(most)) == most
    with pytest.raises(ScaleError):
        codec.encode(beyond)
    raw = beyond.encode() if isinstance(beyond, str) else bytes(beyond)
    with pytest.raises(ScaleError):
        codec.decode(encode_compact(len(raw)) + raw)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (U8, 256),
        (U8, -1),
        (U16, 1 << 16),
        (U32, 1 << 32),
        (U64, 1 << 64),
        (U128, 1 << 128),
        (U128, -1),
        (I64, 1 << 63),
        (I64, -(1 << 63) - 1),
        (U32, "1"),
        (U32, 1.0),
        (U128, None),
        (bool, 1),
        (bool, None),
        (str, b"bytes"),
        (str, "\ud800"),
        (Hash32, bytes(31)),
        (Hash32, bytes(33)),
        (Hash32, "0" * 32),
        (Colour, 0),
        (Shape, Colour.RED),
        (tuple[U8, U8], (1,)),
        (tuple[U8, U8], (1, 2, 3)),
        (Record, Circle(1)),
        (Record, Record(-1, 0, 0, b"", True, Empty())),
        (Record, Record(0, 1 << 128, 0, b"", True, Empty())),
        (Record, Record(0, -1, 0, b"", True, Empty())),
        (Record, Record(0, 0, 1 << 128, b"", True, Empty())),
        (Record, Record(0, 0, 0, b"", 2, Empty())),  # type: ignore[arg-type]  # wrong on purpose
        (Record, Record(0, 0, 0, b"", True, None)),  # type: ignore[arg-type]  # wrong on purpose
    ],
)
def test_values_out_of_bounds_do_not_encode(hint: Any, value: Any) -> None:
    """Numbers out of range and values of another type are refused, also inside records: nothing is cut or wrapped."""
    with pytest.raises(ScaleError):
        codec_of(hint).encode(value)


@pytest.mark.parametrize("hint", [int, float, dict, tuple[int, ...], U8 | U16, object, list[U8]])
def test_hints_without_a_form(hint: Any) -> None:
    """A hint that has no SCALE form is a mistake of the program, found when it starts."""
    with pytest.raises(TypeError):
        Registry().codec(hint)


def test_a_variant_index_is_used_once() -> None:
    """Two variants with one index are a mistake found at import."""
    with pytest.raises(TypeError, match="already has a variant 1"):

        @variant(1)
        @dataclass(frozen=True, slots=True)
        class Second(Shape):
            pass


def test_one_codec_per_type() -> None:
    """A registry gives equal hints one codec, so that they share an id in the metadata."""
    registry = Registry()
    assert registry.codec(tuple[U16, ...]) is registry.codec(tuple[U16, ...])
    assert registry.codec(Record) is registry.codec(Record)


def test_shapes_describe_what_is_encoded() -> None:
    """The metadata's description has the fields, variants, indices and path of the declaration."""

    @scale_path("sp_test", "Thing")
    @dataclass(frozen=True, slots=True)
    class Thing:
        number: U32
        maybe: U8 | None

    shape = Registry().codec(Thing).shape
    assert (shape.kind, shape.path) == ("composite", ("sp_test", "Thing"))
    assert [(field.name, field.codec.shape.kind) for field in shape.fields] == [
        ("number", "primitive"),
        ("maybe", "variant"),
    ]
    for hint, expected in (
        (Shape, [("Empty", 0), ("Circle", 1), ("Name", 2)]),
        (Colour, [("Red", 0), ("Green", 1), ("Blue", 5)]),
    ):
        assert [(one.name, one.index) for one in codec_of(hint).shape.variants] == expected
    assert codec_of(CompactU32).shape.of[0].shape.primitive == "u32"
    assert codec_of(Hash32).shape.length == 32


def test_a_remembering_codec_decodes_equal_bytes_once_and_stays_bounded() -> None:
    """Equal bytes give the same object, wrong bytes are refused each time, and beyond its bound it starts anew."""
    codec = RememberingCodec(codec_of(tuple[U64, ...]))
    data = codec.encode((1, 2, 3))
    first = codec.decode(data)
    assert first == (1, 2, 3)
    assert codec.decode(bytes(bytearray(data))) is first
    for _ in range(2):
        with pytest.raises(ScaleError):
            codec.decode(data + b"\x00")
    for number in range(REMEMBERED_MAX):
        codec.decode(codec.encode((number,)))
    assert codec.decode(data) == first
    assert codec.decode(data) is not first
