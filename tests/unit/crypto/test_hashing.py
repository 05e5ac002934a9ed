"""The hash functions against published values and against a plain spelling of their rule."""

import hashlib

import pytest

from runtime import hashing


def test_blake2b_is_the_plain_function() -> None:
    """The preset objects give what hashlib gives, also when used again after another input."""
    for data in (b"", b"a", b"x" * 129, b"a"):
        assert hashing.blake2b256(data) == hashlib.blake2b(data, digest_size=32).digest()
        assert hashing.blake2b128(data) == hashlib.blake2b(data, digest_size=16).digest()


def test_twox128_of_known_pallets() -> None:
    """The storage prefixes that every Substrate client knows."""
    assert hashing.twox128(b"System").hex() == "26aa394eea5630e07c48ae0c9558cef7"
    assert hashing.twox128(b"Account").hex() == "b99d880ec681799c0cf30e8886371da9"
    assert hashing.twox64(b"") == bytes.fromhex("99e9d85137db46ef")


def test_concat_hashers_end_with_the_key() -> None:
    """A concatenating hasher is transparent: the key can be read back from the storage key."""
    assert hashing.blake2_128_concat(b"key") == hashing.blake2b128(b"key") + b"key"
    assert hashing.twox64_concat(b"key") == hashing.twox64(b"key") + b"key"


def test_person_separates_domains() -> None:
    """The same bytes under two persons have two digests, each that of hashlib."""
    leaf, node = hashing.personal(b"leaf"), hashing.personal(b"node", 16)
    assert leaf(b"x") == leaf(b"x") == hashlib.blake2b(b"x", digest_size=32, person=b"leaf").digest()
    assert node(b"x") == hashlib.blake2b(b"x", digest_size=16, person=b"node").digest()
    assert leaf(b"x")[:16] != node(b"x")


def test_person_longer_than_the_hash_allows() -> None:
    """A person of 17 bytes is refused, naming the limit."""
    with pytest.raises(ValueError, match="17 bytes, at most 16"):
        hashing.preset(b"p" * 17)
