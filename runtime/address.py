"""Addresses, signatures, eras and block events as Substrate clients write them.

`Lookup` is a MultiAddress on the wire and an AccountId in Python: only the Id variant means anything on this chain.
Sources: sp_runtime::{MultiAddress, MultiSignature, generic::Era}.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from runtime.scale import Codec, Named, Registry, ScaleError
from runtime.scale.codec import Field, Shape, VariantShape, byte_string, fixed_bytes, integer
from runtime.types import AccountId

ERA_PERIOD_MAX = 1 << 16
ERA_PERIOD_MIN = 4


def _lookup(registry: Registry) -> Codec:
    account = registry.codec(AccountId)

    def encode(value: Any) -> bytes:
        return b"\x00" + account.encode(value)

    def decode_from(data: bytes, position: int) -> tuple[bytes, int]:
        if data[position] != 0:
            raise ScaleError(f"address variant {data[position]}: only Id (0) is supported")
        end = position + 33
        if end > len(data):
            raise ScaleError("input ends inside an address")
        return data[position + 1 : end], end

    unit = Codec(encode, decode_from, Shape("tuple"))
    compact_unit = Codec(encode, decode_from, Shape("compact", of=(unit,)))
    variants = (
        VariantShape("Id", 0, (Field(None, account, "AccountId"),)),
        VariantShape("Index", 1, (Field(None, compact_unit, "AccountIndex"),)),
        VariantShape("Raw", 2, (Field(None, byte_string(), "Vec<u8>"),)),
        VariantShape("Address32", 3, (Field(None, fixed_bytes(32), "[u8; 32]"),)),
        VariantShape("Address20", 4, (Field(None, fixed_bytes(20), "[u8; 20]"),)),
    )
    params = (("AccountId", account), ("AccountIndex", unit))
    shape = Shape("variant", ("sp_runtime", "multiaddress", "MultiAddress"), variants=variants, params=params)
    return Codec(encode, decode_from, shape)


LookupMark = Named(_lookup, "AccountIdLookupOf<T>")
Lookup = Annotated[bytes, LookupMark]


@dataclass(frozen=True, slots=True)
class Era:
    """How long a transaction may wait. `period` is a power of two of blocks, `phase` its offset; period 0: immortal."""

    period: int = 0
    phase: int = 0

    @staticmethod
    def mortal(period: int, current: int) -> "Era":
        """An era of at least `period` blocks that starts at block `current`."""
        size = min(max(1 << max(period - 1, 0).bit_length(), ERA_PERIOD_MIN), ERA_PERIOD_MAX)
        quantize = max(size >> 12, 1)
        return Era(size, current % size // quantize * quantize)

    def birth(self, current: int) -> int:
        """Height of the block whose hash a signature made in this era covers, seen from height `current`."""
        return (
            0 if self.period == 0 else (max(current, self.phase) - self.phase) // self.period * self.period + self.phase
        )

    def death(self, current: int) -> int:
        """First height at which the transaction is no longer valid."""
        return (1 << 64) - 1 if self.period == 0 else self.birth(current) + self.period

    def encode(self) -> bytes:
        if self.period == 0:
            return b"\x00"
        quantize = max(self.period >> 12, 1)
        low = min(max(self.period.bit_length() - 2, 1), 15)
        return (low | self.phase // quantize << 4).to_bytes(2, "little")


IMMORTAL = Era()


def decode_era(data: bytes, position: int) -> tuple[Era, int]:
    """Raises ScaleError for a phase outside the period."""
    first = data[position]
    if first == 0:
        return IMMORTAL, position + 1
    encoded = first | data[position + 1] << 8
    period = 2 << (encoded & 15)
    phase = (encoded >> 4) * max(period >> 12, 1)
    if period < ERA_PERIOD_MIN or phase >= period:
        raise ScaleError(f"era phase {phase} outside its period {period}")
    return Era(period, phase), position + 2


def era_codec() -> Codec:
    """The codec of Era with the 256 variants that clients expect in the metadata."""
    byte = integer(8)
    mortal = tuple(VariantShape(f"Mortal{n}", n, (Field(None, byte),)) for n in range(1, 256))
    shape = Shape(
        "variant", ("sp_runtime", "generic", "era", "Era"), variants=(VariantShape("Immortal", 0, ()), *mortal)
    )
    return Codec(lambda era: era.encode(), decode_era, shape)


def signature_codec() -> Codec:
    """MultiSignature as (scheme, signature): ed25519 0, sr25519 1, ecdsa 2."""
    sizes = (64, 64, 65)

    def encode(value: Any) -> bytes:
        scheme: int = value[0]
        signature: bytes = value[1]
        if not 0 <= scheme < len(sizes) or len(signature) != sizes[scheme]:
            raise ScaleError(f"signature scheme {scheme} with {len(signature)} bytes")
        return bytes((scheme,)) + signature

    def decode_from(data: bytes, position: int) -> tuple[tuple[int, bytes], int]:
        scheme = data[position]
        if scheme >= len(sizes):
            raise ScaleError(f"signature scheme {scheme}: 0 ed25519, 1 sr25519, 2 ecdsa")
        end = position + 1 + sizes[scheme]
        if end > len(data):
            raise ScaleError("input ends inside the signature")
        return (scheme, data[position + 1 : end]), end

    names = (("Ed25519", "ed25519", 64), ("Sr25519", "sr25519", 64), ("Ecdsa", "ecdsa", 65))
    variants = tuple(
        VariantShape(
            name, index, (Field(None, fixed_bytes(size, ("sp_core", module, "Signature")), f"{module}::Signature"),)
        )
        for index, (name, module, size) in enumerate(names)
    )
    return Codec(encode, decode_from, Shape("variant", ("sp_runtime", "MultiSignature"), variants=variants))
