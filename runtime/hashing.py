"""Hashing: the hash functions of the chain, each with one name.

blake2b256 identifies (blocks, extrinsics, accounts); twox is fast and not collision-proof, so it names pallets and
items only, or keys that users cannot choose (spec/chain.md §1.9). A personalised blake2b separates domains: the same
bytes hashed as `leaf` and as `node` never collide.
"""

import hashlib
from collections.abc import Callable

import xxhash

HASH_BYTES = 32
PERSON_BYTES_MAX = hashlib.blake2b.PERSON_SIZE
"""blake2b pads a shorter person with zeros, so `b"val"` and `b"val\\0"` are the same domain."""

_blake2b256 = hashlib.blake2b(digest_size=32)
_blake2b128 = hashlib.blake2b(digest_size=16)


def blake2b256(data: bytes) -> bytes:
    """32 bytes. Copying a preset object is a third faster than passing digest_size each time."""
    state = _blake2b256.copy()
    state.update(data)
    return state.digest()


def blake2b128(data: bytes) -> bytes:
    """16 bytes: the hash of `blake2_128_concat` keys."""
    state = _blake2b128.copy()
    state.update(data)
    return state.digest()


def twox64(data: bytes) -> bytes:
    """8 bytes: xxh64 with seed 0, little-endian, as Substrate writes it."""
    return xxhash.xxh64_intdigest(data, 0).to_bytes(8, "little")


def twox128(data: bytes) -> bytes:
    """16 bytes: xxh64 with seeds 0 and 1, each little-endian."""
    return xxhash.xxh64_intdigest(data, 0).to_bytes(8, "little") + xxhash.xxh64_intdigest(data, 1).to_bytes(8, "little")


def blake2_128_concat(data: bytes) -> bytes:
    """Hasher of storage keys that users influence: 16 bytes of hash, then the key itself."""
    return blake2b128(data) + data


def twox64_concat(data: bytes) -> bytes:
    """Hasher of storage keys that are sequential ids: 8 bytes of hash, then the key itself."""
    return twox64(data) + data


def preset(person: bytes, digest_bytes: int = HASH_BYTES) -> hashlib.blake2b:
    """A blake2b object with `person` set, to be used as `h = PRESET.copy(); h.update(data); h.digest()`.

    ValueError if `person` is longer than 16 bytes.
    """
    if len(person) > PERSON_BYTES_MAX:
        raise ValueError(f"person: {len(person)} bytes, at most {PERSON_BYTES_MAX}")
    return hashlib.blake2b(digest_size=digest_bytes, person=person)


def personal(person: bytes, digest_bytes: int = HASH_BYTES) -> Callable[[bytes], bytes]:
    """The hash function of one domain: data -> digest under `person`."""
    base = preset(person, digest_bytes)

    def digest(data: bytes) -> bytes:
        state = base.copy()
        state.update(data)
        return state.digest()

    return digest
