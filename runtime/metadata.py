"""Metadata V14: the description of the chain that Substrate clients read, made from the same declarations as the codec.

    "meta" ‖ 14 ‖ Vec<PortableType> ‖ Vec<Pallet> ‖ {extrinsic type, 4, extensions} ‖ runtime type

Source: frame_metadata::v14, scale_info. Types with a path are one entry per (path, parameters); the rest per structure.
"""

from __future__ import annotations

from typing import Any

from runtime.address import LookupMark, era_codec, signature_codec
from runtime.pallet import Pallet
from runtime.runtime import Runtime, never
from runtime.scale import U32, Codec, CompactU32, CompactU128, codec_of
from runtime.scale.codec import Field, Shape, VariantShape, byte_string, encode_compact
from runtime.storage import Map, StorageItem
from runtime.types import Hash

MAGIC = b"meta"
VERSION = 14
EXTRINSIC_VERSION = 4
PRIMITIVES = (
    *("bool", "char", "str", "u8", "u16", "u32", "u64", "u128", "u256"),
    *("i8", "i16", "i32", "i64", "i128", "i256"),
)


def _text(value: str) -> bytes:
    raw = value.encode()
    return encode_compact(len(raw)) + raw


def _vector(items: list[bytes]) -> bytes:
    return encode_compact(len(items)) + b"".join(items)


def _option(value: bytes | None) -> bytes:
    return b"\x00" if value is None else b"\x01" + value


def _texts(lines: tuple[str, ...]) -> bytes:
    return _vector([_text(line) for line in lines])


class TypeTable:
    """The portable registry: gives each shape a number, and encodes them all."""

    def __init__(self) -> None:
        self._ids: dict[Any, int] = {}
        self._types: list[bytes] = []

    def id_of(self, shape: Shape) -> int:
        """The number of a type; a new one is described at once, with the types it refers to."""
        params = tuple((name, None if codec is None else self.id_of(codec.shape)) for name, codec in shape.params)
        inner = () if shape.path else tuple(self.id_of(codec.shape) for codec in shape.of)
        key = (shape.kind, shape.path, params, inner, shape.length, shape.primitive, shape.path or _field_names(shape))
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(self._types)
            self._types.append(b"")
            described = encode_compact(found) + _texts(shape.path) + self._params(params)
            self._types[found] = described + self._definition(shape) + _vector([])
        return found

    def compact_id(self, codec: Codec) -> bytes:
        """The number of a codec's type, as references to it are written."""
        return encode_compact(self.id_of(codec.shape))

    def encode(self) -> bytes:
        return _vector(self._types)

    def _params(self, params: tuple[tuple[str, int | None], ...]) -> bytes:
        return _vector(
            [_text(name) + _option(None if number is None else encode_compact(number)) for name, number in params]
        )

    def _definition(self, shape: Shape) -> bytes:
        if shape.kind == "composite":
            return b"\x00" + self._fields(shape.fields)
        if shape.kind == "variant":
            return b"\x01" + _vector([self._variant(variant) for variant in shape.variants])
        if shape.kind == "sequence":
            return b"\x02" + self.compact_id(shape.of[0])
        if shape.kind == "array":
            return b"\x03" + shape.length.to_bytes(4, "little") + self.compact_id(shape.of[0])
        if shape.kind == "tuple":
            return b"\x04" + _vector([self.compact_id(codec) for codec in shape.of])
        if shape.kind == "primitive":
            return bytes((5, PRIMITIVES.index(shape.primitive)))
        return b"\x06" + self.compact_id(shape.of[0])

    def _fields(self, fields: tuple[Field, ...]) -> bytes:
        return _vector(
            [
                _option(None if field.name is None else _text(field.name.rstrip("_")))
                + self.compact_id(field.codec)
                + _option(_text(field.type_name or type_name(field.codec.shape)))
                + _vector([])
                for field in fields
            ]
        )

    def _variant(self, variant: VariantShape) -> bytes:
        return _text(variant.name) + self._fields(variant.fields) + bytes((variant.index,)) + _texts(variant.docs)


def type_name(shape: Shape) -> str:
    """A type as Rust source would name it; older clients cannot read a field without a name for its type."""
    if shape.kind == "primitive":
        return shape.primitive
    if shape.path:
        inner = [type_name(codec.shape) for _, codec in shape.params if codec is not None]
        return shape.path[-1] + (f"<{', '.join(inner)}>" if inner and shape.path == ("Option",) else "")
    inner = [type_name(codec.shape) for codec in shape.of]
    if shape.kind == "sequence":
        return f"Vec<{inner[0]}>"
    if shape.kind == "compact":
        return f"Compact<{inner[0]}>"
    if shape.kind == "array":
        return f"[{inner[0]}; {shape.length}]"
    return f"({', '.join(inner)})"


def _field_names(shape: Shape) -> tuple[str, ...]:
    """Tells path-less composites and variants apart; there are none today but tuples and sequences."""
    return tuple(field.name or "" for field in shape.fields) + tuple(v.name for v in shape.variants)


def metadata_v14(runtime: Runtime) -> bytes:
    """The whole metadata, without the option or length that RPC methods put around it."""
    table = TypeTable()
    pallets = _vector([_pallet(table, runtime, pallet) for pallet in runtime.pallets])
    extrinsic = _extrinsic(table, runtime)
    whole = Codec(never, never, Shape("composite", ("heddle_runtime", "Runtime")))
    tail = pallets + extrinsic + table.compact_id(whole)
    return MAGIC + bytes((VERSION,)) + table.encode() + tail


def _pallet(table: TypeTable, runtime: Runtime, pallet: Pallet) -> bytes:
    def reference(shape: Shape | None) -> bytes:
        return _option(None if shape is None else encode_compact(table.id_of(shape)))

    storage = None
    if pallet.storage:
        storage = _text(pallet.name) + _vector([_entry(table, item) for item in pallet.storage])
    constants = [
        _text(c.name) + table.compact_id(c.codec) + byte_string().encode(c.codec.encode(c.value)) + _texts((c.docs,))
        for c in pallet.constants
    ]
    return (
        _text(pallet.name)
        + _option(storage)
        + reference(runtime.call_shape(pallet))
        + reference(runtime.event_shape(pallet))
        + _vector(constants)
        + reference(runtime.error_shape(pallet))
        + bytes((pallet.index,))
    )


def _entry(table: TypeTable, item: StorageItem) -> bytes:
    optional = item.default is None
    kind = b"\x00" + table.compact_id(item.codec)
    if isinstance(item, Map):
        keys = item.key_codecs
        key = keys[0] if len(keys) == 1 else Codec(never, never, Shape("tuple", of=keys))
        hashers = _vector([bytes((hasher.index,)) for hasher in item.hashers])
        kind = b"\x01" + hashers + table.compact_id(key) + table.compact_id(item.codec)
    default = b"\x00" if optional else item.codec.encode(item.default)
    modifier = b"\x00" if optional else b"\x01"
    return _text(item.item) + modifier + kind + byte_string().encode(default) + _texts((item.docs,))


def _extrinsic(table: TypeTable, runtime: Runtime) -> bytes:
    extensions = signed_extensions()
    extra = Codec(never, never, Shape("tuple", of=tuple(codec for _, codec, _ in extensions)))
    params = (
        ("Address", LookupMark.make(runtime.registry)),
        ("Call", runtime.call_codec),
        ("Signature", signature_codec()),
        ("Extra", extra),
    )
    path = ("sp_runtime", "generic", "unchecked_extrinsic", "UncheckedExtrinsic")
    shape = Shape("composite", path, fields=(Field(None, byte_string()),), params=params)
    encoded = [_text(name) + table.compact_id(codec) + table.compact_id(extra_) for name, codec, extra_ in extensions]
    return encode_compact(table.id_of(shape)) + bytes((EXTRINSIC_VERSION,)) + _vector(encoded)


def signed_extensions() -> list[tuple[str, Codec, Codec]]:
    """(name, type in the extrinsic, type in the signing payload), in the order that clients assume: era, nonce, tip."""
    unit = codec_of(type(None))
    version, hash_ = codec_of(U32), codec_of(Hash)

    def extension(module: str, name: str, inner: Codec | None = None) -> Codec:
        fields = () if inner is None else (Field(None, inner),)
        return Codec(never, never, Shape("composite", (*module.split("::"), name), fields=fields))

    system = "frame_system::extensions::"
    payment = "pallet_transaction_payment"
    return [
        ("CheckNonZeroSender", extension(system + "check_non_zero_sender", "CheckNonZeroSender"), unit),
        ("CheckSpecVersion", extension(system + "check_spec_version", "CheckSpecVersion"), version),
        ("CheckTxVersion", extension(system + "check_tx_version", "CheckTxVersion"), version),
        ("CheckGenesis", extension(system + "check_genesis", "CheckGenesis"), hash_),
        ("CheckMortality", extension(system + "check_mortality", "CheckMortality", era_codec()), hash_),
        ("CheckNonce", extension(system + "check_nonce", "CheckNonce", codec_of(CompactU32)), unit),
        ("CheckWeight", extension(system + "check_weight", "CheckWeight"), unit),
        (
            "ChargeTransactionPayment",
            extension(payment, "ChargeTransactionPayment", codec_of(CompactU128)),
            unit,
        ),
    ]
