"""Sealed: a secret as a JSON record, in the open or locked with a password (argon2id, then a secretbox)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import nacl.exceptions
from nacl import pwhash, secret, utils

SALT_BYTES = pwhash.argon2id.SALTBYTES
SECRET_BYTES_MAX = 1_024
OPERATIONS_MAX = 16
MEMORY_BYTES_MAX = 1024 * 1024 * 1024
"""A record that asks for more is refused: opening a file must not exhaust the machine."""

RandomBytes = Callable[[int], bytes]


class SealError(ValueError):
    """The record cannot be opened."""


class BadRecord(SealError):
    """The record is damaged or of an unknown form; the message names the field."""


class PasswordRequired(SealError):
    """The record is locked, and no password was given."""


class WrongPassword(SealError):
    """The password does not open the record, or the record was changed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The work of argon2id: passes over the memory, and its size."""

    operations: int = 3
    memory_bytes: int = 64 * 1024 * 1024


def seal(
    data: bytes, password: str | None, random: RandomBytes = utils.random, cost: Cost | None = None
) -> dict[str, Any]:
    """The record of `data`: locked with `password`, or in the open if that is None."""
    if password is None:
        return {"kind": "open", "secret": data.hex()}
    cost = cost or Cost()
    salt, nonce = random(SALT_BYTES), random(secret.SecretBox.NONCE_SIZE)
    box = secret.SecretBox(_key(password, salt, cost)).encrypt(data, nonce)
    return {
        "kind": "argon2id-secretbox",
        "operations": cost.operations,
        "memory_bytes": cost.memory_bytes,
        "salt": salt.hex(),
        "box": bytes(box).hex(),
    }


def unseal(record: Mapping[str, Any], password: str | None) -> bytes:
    """The data of a record. Raises a SealError; a password for an open record is not needed and not looked at."""
    kind = record.get("kind")
    if kind == "open":
        return _hex(record, "secret", SECRET_BYTES_MAX)
    if kind != "argon2id-secretbox":
        raise BadRecord("kind: unknown")
    if password is None:
        raise PasswordRequired("a password is needed")
    operations = _whole(record, "operations", pwhash.argon2id.OPSLIMIT_MIN, OPERATIONS_MAX)
    memory = _whole(record, "memory_bytes", pwhash.argon2id.MEMLIMIT_MIN, MEMORY_BYTES_MAX)
    salt = _hex(record, "salt", SALT_BYTES)
    if len(salt) != SALT_BYTES:
        raise BadRecord(f"salt: {len(salt)} bytes, must be {SALT_BYTES}")
    box = _hex(record, "box", SECRET_BYTES_MAX)
    try:
        return secret.SecretBox(_key(password, salt, Cost(operations, memory))).decrypt(box)
    except (nacl.exceptions.CryptoError, ValueError):
        raise WrongPassword("the password does not open it") from None


def _key(password: str, salt: bytes, cost: Cost) -> bytes:
    size = secret.SecretBox.KEY_SIZE
    return pwhash.argon2id.kdf(size, password.encode(), salt, opslimit=cost.operations, memlimit=cost.memory_bytes)


def _hex(record: Mapping[str, Any], name: str, bytes_max: int) -> bytes:
    value = record.get(name)
    if not isinstance(value, str) or len(value) > 2 * bytes_max:
        raise BadRecord(f"{name}: must be hex of at most {bytes_max} bytes")
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise BadRecord(f"{name}: is no hex") from None


def _whole(record: Mapping[str, Any], name: str, minimum: int, maximum: int) -> int:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise BadRecord(f"{name}: must be a whole number in {minimum}..{maximum}")
    return value
