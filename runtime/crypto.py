"""Crypto: is this signature good? The only place in the chain where signatures are verified.

One library per scheme, pinned exactly, because the edge cases are consensus: libsodium for ed25519, schnorrkel for
sr25519, libsecp256k1 for ecdsa. `check_edge_vectors` runs the pinned edge cases at start; a library that decides one of
them differently would split the chain, so the node then refuses to run (spec/chain.md §1.7).

Rules on top of the libraries: the zero account never signs; malformed input means False, never an exception; ecdsa
needs s <= N/2 and a recovery id of 0 or 1.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum

import sr25519
from coincurve import PublicKey
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from runtime.crypto_vectors import TABLE
from runtime.hashing import blake2b256

PUBLIC_BYTES = 32
ZERO_PUBLIC = bytes(PUBLIC_BYTES)
SIGNATURE_BYTES = 64
ECDSA_SIGNATURE_BYTES = 65
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ECDSA_S_MAX = SECP256K1_ORDER // 2


class Scheme(IntEnum):
    """The variants of MultiSignature, with Substrate's numbers."""

    ED25519 = 0
    SR25519 = 1
    ECDSA = 2


class EdgeVectorMismatch(Exception):
    """A signature library decides an edge case differently from the chain's rule: the node must not run."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"{len(names)} signature edge cases are decided differently here: {', '.join(names[:8])}")
        self.names = tuple(names)


def verify(scheme: int, public: bytes, message: bytes, signature: bytes) -> bool:
    """True if the account `public` (32 bytes) signed `message` with `scheme`. Never raises on bad input.

    For ecdsa `public` is the account, blake2b256 of the compressed key: the key itself is recovered from the signature.
    """
    if len(public) != PUBLIC_BYTES or public == ZERO_PUBLIC:
        return False
    if scheme == 0:
        return _verify_ed25519(public, message, signature)
    if scheme == 1:
        return _verify_sr25519(public, message, signature)
    if scheme == 2:
        return _verify_ecdsa(public, message, signature)
    return False


def _verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Strict as libsodium is: S and A canonical, A and R not of small order, no cofactor.

    libsodium reads 32 bytes of `public` whatever its length, so `verify` checks the length first.
    """
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


def _verify_sr25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """The schnorrkel library, whose context "substrate" is built in. It raises ValueError on malformed bytes."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        return bool(sr25519.verify(signature, message, public))
    except ValueError:
        return False


def _verify_ecdsa(account: bytes, message: bytes, signature: bytes) -> bool:
    """Signature r ‖ s ‖ v over blake2b256(message); the recovered compressed key must hash to `account`."""
    if len(signature) != ECDSA_SIGNATURE_BYTES or signature[64] > 1:
        return False
    if not 0 < int.from_bytes(signature[32:64], "big") <= ECDSA_S_MAX:
        return False
    try:
        key = PublicKey.from_signature_and_message(signature, blake2b256(message), hasher=None)
    except ValueError:
        return False
    return blake2b256(key.format(compressed=True)) == account


def edge_vectors() -> Iterator[tuple[str, int, bool, bytes, bytes, bytes]]:
    """The pinned cases: (name, scheme, expected, public, message, signature)."""
    for row in TABLE.splitlines():
        fields, _, name = row.partition(" | ")
        scheme, expected, *parts = fields.split()
        public, message, signature = (b"" if part == "-" else bytes.fromhex(part) for part in parts)
        yield f"{Scheme(int(scheme)).name.lower()}: {name}", int(scheme), expected == "good", public, message, signature


def check_edge_vectors() -> None:
    """Raise EdgeVectorMismatch unless every pinned case is decided as the chain's rule says. About 10 ms."""
    wrong = [name for name, scheme, expected, *case in edge_vectors() if verify(scheme, *case) is not expected]
    if wrong:
        raise EdgeVectorMismatch(wrong)
