"""Vault: private halves of the keys to which secrets are sealed, locked with the processor's own secret.

Each key has a purpose: an acknowledgment (job, slot, generation), or to be a one-time key that is new, or listed on the
chain. A record that is erased is gone from the database; its bytes may stay in the database's files until these are
rewritten, which is why records are locked.
"""

from __future__ import annotations

from collections.abc import Iterator

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from nacl.utils import random

from node.log import logger
from node.secrets.boxes import RandomBytes, new_key, public_key
from node.store.database import Database
from pallets.secrets.contexts import KEY_BYTES
from runtime.hashing import personal

log = logger("processor")

PREFIX = b"v"
KEYS_MAX = 1_024
NEW, LISTED = b"new", b"listed"
_lock = personal(b"heddle/vault")


class VaultFull(Exception):
    """There are as many keys as fit."""


class Vault:
    """The keys of one processor. `secret` is its account's; `random_bytes` the source of keys."""

    def __init__(self, database: Database, secret: bytes, random_bytes: RandomBytes = random) -> None:
        self._database = database
        self._random = random_bytes
        self._box = SecretBox(_lock(secret))

    def make(self, purpose: bytes) -> bytes:
        """A new key; its public half. Raises VaultFull."""
        if sum(1 for _ in self.all()) >= KEYS_MAX:
            raise VaultFull
        private = new_key(self._random)
        public = public_key(private)
        self._put(public, private, purpose)
        return public

    def find(self, purpose: bytes) -> list[bytes]:
        """The public keys with this purpose, ascending."""
        return [public for public, known in self.all() if known == purpose]

    def private(self, public: bytes) -> bytes | None:
        """The private half, or None."""
        record = self._open(public, self._database.get(PREFIX + public))
        return None if record is None else record[:KEY_BYTES]

    def purpose(self, public: bytes) -> bytes | None:
        """What the key is for, or None."""
        record = self._open(public, self._database.get(PREFIX + public))
        return None if record is None else record[KEY_BYTES:]

    def assign(self, public: bytes, purpose: bytes) -> None:
        """Give a key that is here another purpose."""
        private = self.private(public)
        if private is not None:
            self._put(public, private, purpose)

    def erase(self, public: bytes) -> None:
        """Forget a key."""
        self._database.write((), (PREFIX + public,), sync=True)

    def all(self) -> Iterator[tuple[bytes, bytes]]:
        """(public key, purpose) of every key that opens."""
        for key, value in self._database.iterate(PREFIX):
            record = self._open(key[len(PREFIX) :], value)
            if record is not None:
                yield key[len(PREFIX) :], record[KEY_BYTES:]

    def _put(self, public: bytes, private: bytes, purpose: bytes) -> None:
        box = self._box.encrypt(private + purpose, self._random(SecretBox.NONCE_SIZE))
        self._database.write(((PREFIX + public, bytes(box)),), sync=True)

    def _open(self, public: bytes, value: bytes | None) -> bytes | None:
        if value is None:
            return None
        try:
            return self._box.decrypt(value)
        except (CryptoError, ValueError):
            log.warning("a key in the vault does not open: made by another account?", key="0x" + public.hex())
            return None


def place_of(job_hash: bytes, slot: int, generation: int) -> bytes:
    """The purpose of a key for one acknowledgment."""
    return b"place" + job_hash + bytes((slot,)) + generation.to_bytes(4, "little")


def read_place(purpose: bytes) -> tuple[bytes, int, int] | None:
    """Job hash, slot and generation of a purpose; None for a one-time key's."""
    if not purpose.startswith(b"place"):
        return None
    rest = purpose[len(b"place") :]
    return rest[:32], rest[32], int.from_bytes(rest[33:], "little")
