"""The chain's own types: hashes, accounts, header and digest.

Block id = blake2b256(SCALE(header)), which is what Substrate clients compute for themselves. Paths in the metadata are
the ones those clients know. Source: sp_runtime::generic; digest limits: spec/chain.md §1.14.
"""

from dataclasses import dataclass, replace
from typing import Annotated

from runtime.hashing import blake2b256
from runtime.scale import Bounded, CompactU32, Fixed, SumType, codec_of, scale_path, variant

Hash = Annotated[bytes, Fixed(32, ("primitive_types", "H256"))]
AccountId = Annotated[bytes, Fixed(32, ("sp_core", "crypto", "AccountId32"))]
EngineId = Annotated[bytes, Fixed(4)]

ZERO_HASH = bytes(32)
DIGEST_ITEMS_MAX = 16
DIGEST_BYTES_MAX = 16_384

AURA_ENGINE = b"aura"
GRANDPA_ENGINE = b"FRNK"
BEACON_ENGINE = b"BCN0"


@scale_path("sp_runtime", "generic", "digest", "DigestItem")
class DigestItem(SumType):
    """A note in a header, addressed to one part of consensus."""

    __slots__ = ()


@variant(0, tuple_like=True)
@dataclass(frozen=True, slots=True)
class Other(DigestItem):
    """Of no meaning to the chain."""

    data: Annotated[bytes, Bounded(DIGEST_BYTES_MAX)]


@variant(4, tuple_like=True)
@dataclass(frozen=True, slots=True)
class Consensus(DigestItem):
    """From the runtime to a consensus engine: a change of the authorities."""

    engine: EngineId
    data: Annotated[bytes, Bounded(DIGEST_BYTES_MAX)]


@variant(5, tuple_like=True)
@dataclass(frozen=True, slots=True)
class Seal(DigestItem):
    """The author's signature over the header without this item."""

    engine: EngineId
    data: Annotated[bytes, Bounded(DIGEST_BYTES_MAX)]


@variant(6, tuple_like=True)
@dataclass(frozen=True, slots=True)
class PreRuntime(DigestItem):
    """From a consensus engine to the runtime: the slot, the beacon's reveal."""

    engine: EngineId
    data: Annotated[bytes, Bounded(DIGEST_BYTES_MAX)]


@variant(8)
@dataclass(frozen=True, slots=True)
class RuntimeEnvironmentUpdated(DigestItem):
    """The spec version changed in this block."""


@scale_path("sp_runtime", "generic", "digest", "Digest")
@dataclass(frozen=True, slots=True)
class Digest:
    """At most 16 items."""

    logs: Annotated[tuple[DigestItem, ...], Bounded(DIGEST_ITEMS_MAX)] = ()


@scale_path("sp_runtime", "generic", "header", "Header")
@dataclass(frozen=True, slots=True)
class Header:
    """What identifies a block and commits to its content."""

    parent_hash: Hash
    number: CompactU32
    state_root: Hash
    extrinsics_root: Hash
    digest: Digest

    def encode(self) -> bytes:
        return HEADER.encode(self)

    @staticmethod
    def decode(data: bytes) -> "Header":
        """Raises ScaleError."""
        header: Header = HEADER.decode(data)
        return header

    def hash(self) -> bytes:
        """The block's id, seal included."""
        return blake2b256(HEADER.encode(self))

    def pre_runtime(self, engine: bytes) -> bytes | None:
        """The data of the first PreRuntime item of `engine`."""
        return next((i.data for i in self.digest.logs if isinstance(i, PreRuntime) and i.engine == engine), None)

    def slot(self) -> int | None:
        """The Aura slot in the digest; None in genesis or a malformed header."""
        data = self.pre_runtime(AURA_ENGINE)
        return int.from_bytes(data, "little") if data is not None and len(data) == 8 else None

    def unsealed(self) -> "tuple[Header, Seal | None]":
        """The header that the seal signs, and the seal if it is the last item."""
        logs = self.digest.logs
        if not logs or not isinstance(logs[-1], Seal):
            return self, None
        return replace(self, digest=Digest(logs[:-1])), logs[-1]

    def with_item(self, item: DigestItem) -> "Header":
        """A copy with `item` at the end of the digest."""
        return replace(self, digest=Digest((*self.digest.logs, item)))


HEADER = codec_of(Header)
DIGEST = codec_of(Digest)


@dataclass(frozen=True, slots=True)
class Block:
    """A header and its extrinsics, each as the exact bytes that were submitted, length prefix included."""

    header: Header
    extrinsics: tuple[bytes, ...]


def slot_item(slot: int) -> PreRuntime:
    """The digest item that names a block's slot."""
    return PreRuntime(AURA_ENGINE, slot.to_bytes(8, "little"))
