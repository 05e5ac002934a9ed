"""Signature verification: the pinned edge cases, and that no input makes it raise."""

import itertools

import pytest
import sr25519
from hypothesis import given
from hypothesis import strategies as st

from runtime import crypto

VECTORS = list(crypto.edge_vectors())


@pytest.mark.parametrize("vector", VECTORS, ids=[vector[0] for vector in VECTORS])
def test_edge_vector(vector: tuple[str, int, bool, bytes, bytes, bytes]) -> None:
    """The pinned libraries decide this edge case as the chain's rule says."""
    _, scheme, expected, public, message, signature = vector
    assert crypto.verify(scheme, public, message, signature) is expected


def test_table_is_whole() -> None:
    """About sixty cases for each scheme, good and bad ones, none twice."""
    for scheme in crypto.Scheme:
        rows = [vector for vector in VECTORS if vector[1] == scheme]
        assert len(rows) >= 60
        assert {row[2] for row in rows} == {True, False}
    assert len({vector[1:] for vector in VECTORS}) >= len(VECTORS) - 4
    crypto.check_edge_vectors()


def test_mismatch_names_the_cases() -> None:
    """A node whose library differs is told which cases."""
    error = crypto.EdgeVectorMismatch(["ed25519: S + L"])
    assert "ed25519: S + L" in str(error)
    assert error.names == ("ed25519: S + L",)


def test_the_library_alone_would_accept_the_zero_key() -> None:
    """Why the zero key is refused before the library is asked: R = 0, s = 0 is good for it on any message."""
    forged = bytes(63) + b"\x80"
    assert sr25519.verify(forged, b"anything", bytes(32))
    assert not any(crypto.verify(scheme, bytes(32), b"anything", forged) for scheme in range(4))


def test_a_signature_holds_for_its_own_scheme_only() -> None:
    """A good signature of one scheme is refused under every other number."""
    for _, scheme, expected, *case in VECTORS:
        for other in (-1, 0, 1, 2, 3, 255):
            if expected and other != scheme:
                assert not crypto.verify(other, *case)


@given(st.integers(0, 3), st.binary(max_size=40), st.binary(max_size=80), st.binary(max_size=70))
def test_random_bytes_are_false(scheme: int, public: bytes, message: bytes, signature: bytes) -> None:
    """Noise is refused without an exception."""
    assert crypto.verify(scheme, public, message, signature) is False


def test_all_lengths_are_false_without_an_exception() -> None:
    """Wrong lengths of key and signature are False in every combination."""
    for scheme, public, signature in itertools.product(range(3), (0, 1, 31, 32, 33, 64), (0, 1, 63, 64, 65, 66, 1000)):
        assert crypto.verify(scheme, b"\1" * public, b"m", b"\0" * signature) is False
