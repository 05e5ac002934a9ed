"""Encoded samples of any declared type, made from its shape alone: what a decoder must be able to read."""

from collections.abc import Callable

from runtime.scale import Codec
from runtime.scale.codec import Shape, VariantShape, encode_compact

Pick = Callable[[tuple[VariantShape, ...]], VariantShape]
INTEGER_BITS = {f"{sign}{bits}": bits for sign in "ui" for bits in (8, 16, 32, 64, 128)}
ONLY_THE_FIRST = frozenset({"MultiAddress", "RuntimeCall", "RuntimeEvent"})
"""Types of which other variants are refused, or refer to themselves for ever."""


def first(variants: tuple[VariantShape, ...]) -> VariantShape:
    """The variant declared first."""
    return variants[0]


def last(variants: tuple[VariantShape, ...]) -> VariantShape:
    """The variant declared last."""
    return variants[-1]


def sample(codec: Codec, pick: Pick = first) -> bytes:
    """One encoded value: ones, one element per sequence, the picked variant of each sum type."""
    return _sample(codec.shape, pick)


def fields_sample(fields: tuple[Codec, ...], pick: Pick = first) -> bytes:
    """Several values, one after the other."""
    return b"".join(sample(codec, pick) for codec in fields)


def _sample(shape: Shape, pick: Pick) -> bytes:
    match shape.kind:
        case "composite":
            return fields_sample(tuple(field.codec for field in shape.fields), pick)
        case "variant":
            chosen = first(shape.variants) if shape.path[-1] in ONLY_THE_FIRST else pick(shape.variants)
            return bytes((chosen.index,)) + fields_sample(tuple(field.codec for field in chosen.fields), pick)
        case "sequence":
            return encode_compact(1) + sample(shape.of[0], pick)
        case "array":
            return sample(shape.of[0], pick) * shape.length
        case "tuple":
            return fields_sample(shape.of, pick)
        case "compact":
            return encode_compact(1)
        case "primitive":
            return _primitive(shape.primitive)
    raise AssertionError(f"no sample for a {shape.kind}")


def _primitive(name: str) -> bytes:
    if name == "bool":
        return b"\x01"
    if name == "str":
        return encode_compact(1) + b"a"
    return (1).to_bytes(INTEGER_BITS[name] // 8, "little")
