"""SCALE: the canonical binary form of everything on chain, derived from one declaration per type.

`codec_of(hint)` turns a type hint (an alias such as `U32`, a dataclass, an enum, a `SumType`, `T | None`,
`tuple[T, ...]`) into a `Codec`. The same declaration gives the metadata entry (`Codec.shape`). Decoding is strict:
what decodes also re-encodes to the same bytes (spec/chain.md §1.8).

Source of the format: the SCALE codec reference of the Substrate documentation.
"""

from runtime.scale.codec import Codec, ScaleError
from runtime.scale.declare import Registry, codec_of
from runtime.scale.hints import (
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
    Named,
    SumType,
    scale_path,
    variant,
)

__all__ = [
    "I64",
    "U8",
    "U16",
    "U32",
    "U64",
    "U128",
    "Bounded",
    "Codec",
    "CompactU32",
    "CompactU64",
    "CompactU128",
    "Fixed",
    "Named",
    "Registry",
    "ScaleError",
    "SumType",
    "codec_of",
    "scale_path",
    "variant",
]
