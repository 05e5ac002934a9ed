"""Boxes: a job's values under its secret key, and that key sealed to one reader (spec/job-layer.md §8).

    SecretsInvalid    it does not open, was made for another place, or is malformed

Values are encrypted once, with XChaCha20-Poly1305; the key goes to each reader in a libsodium sealed box. What a box is
bound to (pallets/secrets/contexts.py) lies inside it, so one that was copied to another job, slot or generation fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.utils import random

from pallets.jobs.bounds import ENVIRONMENT_NAMES_MAX, NAME_BYTES_MAX
from pallets.secrets.contexts import KEY_BYTES, RELEASE_DOMAIN, VALUES_DOMAIN
from pallets.secrets.types import VALUES_BYTES_MAX
from runtime.scale import Bounded, ScaleError, codec_of

RandomBytes = Callable[[int], bytes]
NONCE_BYTES = bindings.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
TAG_BYTES = bindings.crypto_aead_xchacha20poly1305_ietf_ABYTES
LENGTH_BYTES = 2
PADDING_BYTES = 256
"""The size of the values shows no more than how many such steps they take."""
PLAIN_BYTES_MAX = (VALUES_BYTES_MAX - NONCE_BYTES - TAG_BYTES) // PADDING_BYTES * PADDING_BYTES


class SecretsInvalid(ValueError):
    """The secrets do not open here, or are none. The message never repeats a value."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of an environment."""

    name: Annotated[str, Bounded(NAME_BYTES_MAX)]
    value: Annotated[str, Bounded(PLAIN_BYTES_MAX)]


ENTRIES = codec_of(Annotated[tuple[Entry, ...], Bounded(ENVIRONMENT_NAMES_MAX)])


def seal_values(secret_key: bytes, context: bytes, values: Mapping[str, str]) -> bytes:
    """Nonce and ciphertext of an environment. SecretsInvalid if it is too large."""
    try:
        encoded = ENTRIES.encode(tuple(Entry(name, value) for name, value in sorted(values.items())))
    except ScaleError as error:
        limits = f"at most {ENVIRONMENT_NAMES_MAX} names and {PLAIN_BYTES_MAX} bytes"
        raise SecretsInvalid(f"environment: {limits}") from error
    plain = VALUES_DOMAIN + len(encoded).to_bytes(LENGTH_BYTES, "little") + encoded
    if len(plain) > PLAIN_BYTES_MAX:
        raise SecretsInvalid(f"environment: names and values are longer than {PLAIN_BYTES_MAX} bytes together")
    plain += bytes(-len(plain) % PADDING_BYTES)
    nonce = random(NONCE_BYTES)
    return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, context, nonce, secret_key)


def open_values(secret_key: bytes, context: bytes, sealed: bytes) -> dict[str, str]:
    """The environment in `sealed`. SecretsInvalid."""
    nonce, box = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        plain = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(box, context, nonce, secret_key)
    except (CryptoError, ValueError, TypeError):
        raise SecretsInvalid("the values do not open with this key") from None
    start = len(VALUES_DOMAIN) + LENGTH_BYTES
    length = int.from_bytes(plain[len(VALUES_DOMAIN) : start], "little")
    if not plain.startswith(VALUES_DOMAIN) or length > len(plain) - start:
        raise SecretsInvalid("the values are malformed")
    try:
        entries = ENTRIES.decode(plain[start : start + length])
    except ScaleError:
        raise SecretsInvalid("the values are malformed") from None
    return {entry.name: entry.value for entry in entries}


def new_key(random_bytes: RandomBytes = random) -> bytes:
    """A secret key for a job's values, or the private half of a reader's key."""
    return random_bytes(KEY_BYTES)


def public_key(private_key: bytes) -> bytes:
    """The public half of a reader's key."""
    return bytes(PrivateKey(private_key).public_key)


def seal_key(secret_key: bytes, reader: bytes, context: bytes) -> bytes:
    """A job's secret key, sealed to a reader's public key for one context."""
    return SealedBox(PublicKey(reader)).encrypt(RELEASE_DOMAIN + context + secret_key)


def open_key(private_key: bytes, context: bytes, sealed: bytes) -> bytes:
    """The job's secret key in `sealed`. SecretsInvalid if it was not sealed to this reader for this context."""
    try:
        plain = SealedBox(PrivateKey(private_key)).decrypt(sealed)
    except (CryptoError, ValueError, TypeError):
        raise SecretsInvalid("the key is not sealed to this reader") from None
    expected = RELEASE_DOMAIN + context
    if not plain.startswith(expected) or len(plain) != len(expected) + KEY_BYTES:
        raise SecretsInvalid("the key was sealed for another job, slot or generation")
    return plain[len(expected) :]
