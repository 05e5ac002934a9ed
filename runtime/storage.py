"""Typed storage: the values and maps that a pallet declares.

Keys follow Substrate: twox128(pallet) ‖ twox128(item) ‖ hasher(key). Hashers are never opaque, so that a key can be
read back from its raw form: BLAKE2 for keys that users influence, TWOX for sequential ids (spec/chain.md §1.9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from runtime.hashing import blake2_128_concat, twox64_concat, twox128
from runtime.scale import Codec
from runtime.state import MISSING, State

K = TypeVar("K")
V = TypeVar("V")

KEY_CACHE_MAX = 1 << 18
"""Raw keys remembered per map; the cache is dropped whole when full."""


@dataclass(frozen=True, slots=True)
class Hasher:
    """A storage hasher: its name in the metadata (`index`), its function, and the bytes it puts before the key."""

    name: str
    index: int
    hash: Callable[[bytes], bytes]
    skip: int


BLAKE2 = Hasher("Blake2_128Concat", 2, blake2_128_concat, 16)
TWOX = Hasher("Twox64Concat", 5, twox64_concat, 8)


class StorageItem:
    """What the metadata says of one item, and its raw prefix."""

    def __init__(self, state: State, pallet: str, item: str, value: Codec, default: Any, docs: str) -> None:
        self.state = state
        self.item = item
        self.codec = value
        self.default = default
        self.docs = docs
        self.prefix = twox128(pallet.encode()) + twox128(item.encode())
        self.key_codecs: tuple[Codec, ...] = ()
        self.hashers: tuple[Hasher, ...] = ()


class Value(StorageItem, Generic[V]):
    """One value. `get` gives the default when absent."""

    def get(self) -> V:
        state = self.state
        value = state.values.get(self.prefix, MISSING)
        if value is MISSING:
            value = state.read(self.prefix, self.codec)
        else:
            state.reads += 1
        result: V = self.default if value is None else value
        return result

    def put(self, value: V) -> None:
        self.state.write(self.prefix, self.codec, value)

    def remove(self) -> None:
        self.state.write(self.prefix, self.codec, None)


class Map(StorageItem, Generic[K, V]):
    """Values by key. With several keys, `key` is a tuple in their order."""

    def __init__(
        self,
        state: State,
        pallet: str,
        item: str,
        keys: tuple[tuple[Codec, Hasher], ...],
        value: Codec,
        default: Any,
        docs: str,
    ) -> None:
        super().__init__(state, pallet, item, value, default, docs)
        self.key_codecs = tuple(codec for codec, _ in keys)
        self.hashers = tuple(hasher for _, hasher in keys)
        self._raw: dict[Any, bytes] = {}

    def raw_key(self, key: K) -> bytes:
        """The raw storage key of `key`."""
        raw = self._raw.get(key)
        if raw is None:
            if len(self._raw) >= KEY_CACHE_MAX:
                self._raw.clear()
            if len(self.key_codecs) > 1:
                raw = self.raw_prefix(key)
            else:
                raw = self.prefix + self.hashers[0].hash(self.key_codecs[0].encode(key))
            self._raw[key] = raw
        return raw

    def raw_prefix(self, keys: Any) -> bytes:
        """The raw prefix of the first `len(keys)` keys."""
        parts = zip(self.key_codecs, self.hashers, keys, strict=False)
        return self.prefix + b"".join([hasher.hash(codec.encode(key)) for codec, hasher, key in parts])

    def key_of(self, raw: bytes) -> K:
        """The key that a raw storage key holds."""
        keys, position = [], len(self.prefix)
        for codec, hasher in zip(self.key_codecs, self.hashers, strict=True):
            key, position = codec.decode_from(raw, position + hasher.skip)
            keys.append(key)
        result: Any = tuple(keys) if len(keys) > 1 else keys[0]
        return result  # type: ignore[no-any-return]  # a tuple or a key: only the declaration knows

    # A life of a job reads hundreds of values: the way to one that is known is written out here, not called.

    def find(self, key: K) -> V | None:
        """The value, or None."""
        raw = self._raw.get(key) or self.raw_key(key)
        state = self.state
        value = state.values.get(raw, MISSING)
        if value is MISSING:
            value = state.read(raw, self.codec)
        else:
            state.reads += 1
        found: V | None = value
        return found

    def get(self, key: K) -> V:
        """The value, or the item's default."""
        raw = self._raw.get(key) or self.raw_key(key)
        state = self.state
        value = state.values.get(raw, MISSING)
        if value is MISSING:
            value = state.read(raw, self.codec)
        else:
            state.reads += 1
        result: V = self.default if value is None else value
        return result

    def contains(self, key: K) -> bool:
        return self.find(key) is not None

    def put(self, key: K, value: V) -> None:
        self.state.write(self._raw.get(key) or self.raw_key(key), self.codec, value)

    def remove(self, key: K) -> None:
        self.state.write(self.raw_key(key), self.codec, None)

    def items(self, *keys: Any) -> Iterator[tuple[K, V]]:
        """All pairs, or those under the first keys, ascending by raw key.

        For checks, genesis and queries. A call or a hook never walks: besides the keys that it wants it would pass over
        every value that the block has touched, and nobody would have paid for that.
        """
        for raw, value in self.state.iterate(self.raw_prefix(keys), self.codec):
            yield self.key_of(raw), value
