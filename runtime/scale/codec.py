"""What a codec is, and the codecs of single values: integers, compacts, bytes, text, booleans."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes, int], tuple[Any, int]]

BYTES_MAX = 4 << 20
"""Longest byte string or text that a field without a bound of its own may hold (a state value's limit)."""
ITEMS_MAX = 65_536
"""Most elements of a sequence without a bound of its own."""
REMEMBERED_MAX = 4_096
"""Values that a remembering codec keeps; it forgets all when full."""


class ScaleError(ValueError):
    """Bytes that are not the canonical SCALE form of the type, or a value outside the type's bounds."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a composite or a variant, for the metadata. `name` is None in tuple-like types."""

    name: str | None
    codec: Codec
    type_name: str | None = None


@dataclass(frozen=True, slots=True)
class VariantShape:
    """One variant of a sum type, for the metadata."""

    name: str
    index: int
    fields: tuple[Field, ...]
    docs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """A type as the metadata's portable registry describes it.

    `kind` is one of composite, variant, sequence, array, tuple, primitive, compact. `of` holds the element
    codecs (sequence, array, tuple, compact); `params` the generic parameters as (name, codec).
    """

    kind: str
    path: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    variants: tuple[VariantShape, ...] = ()
    of: tuple[Codec, ...] = ()
    length: int = 0
    primitive: str = ""
    params: tuple[tuple[str, Codec | None], ...] = ()


class Codec:
    """A pair of compiled functions and the shape they implement.

    `encode(value) -> bytes`; `decode_from(data, position) -> (value, next position)`. `pack` is the struct
    format of a fixed-size integer ("QQ" for a u128's two halves), so that composites pack runs of them in one call.
    """

    __slots__ = ("decode_from", "encode", "pack", "shape")

    def __init__(self, encode: Encode, decode_from: Decode, shape: Shape, pack: str = "") -> None:
        self.encode = encode
        self.decode_from = decode_from
        self.shape = shape
        self.pack = pack

    def decode(self, data: bytes) -> Any:
        """The value that `data` holds, all of it. Raises ScaleError."""
        try:
            value, end = self.decode_from(data, 0)
        except (struct.error, IndexError) as error:
            raise ScaleError("input ends before the value does") from error
        if end != len(data):
            raise ScaleError(f"{len(data) - end} bytes left over after the value")
        return value


class RememberingCodec(Codec):
    """A codec that keeps what it decoded: for large values that are read in block after block and seldom change.

    Its values must be immutable through and through, because all who read equal bytes get the same object.
    """

    __slots__ = ("_known",)

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec.encode, codec.decode_from, codec.shape, codec.pack)
        self._known: dict[bytes, Any] = {}

    def decode(self, data: bytes) -> Any:
        value = self._known.get(data)
        if value is None:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            value = self._known[data] = super().decode(data)
        return value


def primitive(name: str) -> Shape:
    """The shape of a primitive type."""
    return Shape("primitive", primitive=name)


def integer(bits: int, *, signed: bool = False) -> Codec:
    """u8..u128 or i8..i64, little-endian."""
    if bits == 128:
        return _u128()
    letter = {8: "B", 16: "H", 32: "I", 64: "Q"}[bits]
    letter = letter.lower() if signed else letter
    packer = struct.Struct("<" + letter)
    pack, unpack_from, size = packer.pack, packer.unpack_from, packer.size
    name = ("i" if signed else "u") + str(bits)

    def encode(value: Any) -> bytes:
        try:
            return pack(value)
        except struct.error as error:
            raise ScaleError(f"{value!r} is not a {name}") from error

    def decode_from(data: bytes, position: int) -> tuple[int, int]:
        return unpack_from(data, position)[0], position + size

    return Codec(encode, decode_from, primitive(name), letter)


def _u128() -> Codec:
    def encode(value: Any) -> bytes:
        try:
            result: bytes = value.to_bytes(16, "little")
        except (OverflowError, AttributeError) as error:
            raise ScaleError(f"{value!r} is not a u128") from error
        return result

    def decode_from(data: bytes, position: int) -> tuple[int, int]:
        end = position + 16
        if end > len(data):
            raise ScaleError("input ends inside a u128")
        return int.from_bytes(data[position:end], "little"), end

    return Codec(encode, decode_from, primitive("u128"), "QQ")


def encode_compact(value: int) -> bytes:
    """Compact form of an integer of at most 2^536 - 1."""
    if value < 0:
        raise ScaleError(f"{value} is negative")
    if value < 1 << 6:
        return bytes((value << 2,))
    if value < 1 << 14:
        return (value << 2 | 1).to_bytes(2, "little")
    if value < 1 << 30:
        return (value << 2 | 2).to_bytes(4, "little")
    size = (value.bit_length() + 7) // 8
    if size > 67:
        raise ScaleError("integer too large for a compact")
    return bytes(((size - 4) << 2 | 3,)) + value.to_bytes(size, "little")


def decode_compact(data: bytes, position: int) -> tuple[int, int]:
    """A compact in its only valid, shortest form."""
    first = data[position]
    mode = first & 3
    if mode == 0:
        return first >> 2, position + 1
    if mode == 3:
        size = (first >> 2) + 4
        end = position + 1 + size
        value = int.from_bytes(data[position + 1 : end], "little")
        if end > len(data) or value < 1 << 30 or value.bit_length() <= 8 * (size - 1):
            raise ScaleError("compact cut short or not minimal")
        return value, end
    size = 2 if mode == 1 else 4
    end = position + size
    value = int.from_bytes(data[position:end], "little") >> 2
    if end > len(data) or value < (1 << 6 if mode == 1 else 1 << 14):
        raise ScaleError("compact cut short or not minimal")
    return value, end


def compact(bits: int) -> Codec:
    """A compact of an unsigned integer of `bits`."""
    limit = 1 << bits

    def encode(value: Any) -> bytes:
        if not 0 <= value < limit:
            raise ScaleError(f"{value!r} is not a u{bits}")
        return encode_compact(value)

    def decode_from(data: bytes, position: int) -> tuple[int, int]:
        value, position = decode_compact(data, position)
        if value >= limit:
            raise ScaleError(f"compact {value} exceeds u{bits}")
        return value, position

    return Codec(encode, decode_from, Shape("compact", of=(integer(bits),)))


def boolean() -> Codec:
    """One byte, 0 or 1."""

    def encode(value: Any) -> bytes:
        if value is True:
            return b"\x01"
        if value is False:
            return b"\x00"
        raise ScaleError(f"{value!r} is not a bool")

    def decode_from(data: bytes, position: int) -> tuple[bool, int]:
        byte = data[position]
        if byte > 1:
            raise ScaleError(f"bool byte {byte}")
        return byte == 1, position + 1

    return Codec(encode, decode_from, primitive("bool"))


def byte_string(length_max: int = BYTES_MAX) -> Codec:
    """`Vec<u8>` of at most `length_max` bytes."""

    def encode(value: Any) -> bytes:
        size = len(value)
        if size > length_max:
            raise ScaleError(f"{size} bytes, at most {length_max} allowed")
        result: bytes = encode_compact(size) + value
        return result

    def decode_from(data: bytes, position: int) -> tuple[bytes, int]:
        size, position = decode_compact(data, position)
        end = position + size
        if size > length_max or end > len(data):
            raise ScaleError(f"{size} bytes, at most {min(length_max, len(data) - position)} allowed")
        return data[position:end], end

    return Codec(encode, decode_from, Shape("sequence", of=(integer(8),)))


def text(length_max: int = BYTES_MAX) -> Codec:
    """UTF-8 text of at most `length_max` bytes."""
    raw = byte_string(length_max)

    def encode(value: Any) -> bytes:
        try:
            return raw.encode(value.encode())
        except (UnicodeError, AttributeError) as error:
            raise ScaleError("not encodable as UTF-8 text") from error

    def decode_from(data: bytes, position: int) -> tuple[str, int]:
        value, position = raw.decode_from(data, position)
        try:
            return value.decode(), position
        except UnicodeDecodeError as error:
            raise ScaleError("text is not UTF-8") from error

    return Codec(encode, decode_from, primitive("str"))


def fixed_bytes(size: int, path: tuple[str, ...] = ()) -> Codec:
    """`[u8; size]`, or a newtype of it when `path` is given (H256, AccountId32)."""

    def encode(value: Any) -> bytes:
        if not isinstance(value, bytes) or len(value) != size:
            raise ScaleError(f"expected {size} bytes")
        return value

    def decode_from(data: bytes, position: int) -> tuple[bytes, int]:
        end = position + size
        if end > len(data):
            raise ScaleError(f"input ends inside {size} fixed bytes")
        return data[position:end], end

    array = Codec(encode, decode_from, Shape("array", of=(integer(8),), length=size))
    if not path:
        return array
    shape = Shape("composite", path, fields=(Field(None, array, f"[u8; {size}]"),))
    return Codec(encode, decode_from, shape)
