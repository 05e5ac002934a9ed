"""What sealed things are bound to, so that a copy opens nowhere but where it was made for (spec/job-layer.md §8).

Every plaintext and every hash begins with a tag of its own. Numbers are fixed width, little endian.
"""

from hashlib import blake2b

from runtime.hashing import blake2b256

KEY_BYTES = 32
TAG_BYTES = 16
CONTEXT_BYTES = 32

NAME_DOMAIN = b"heddle/name/1"
VALUES_DOMAIN = b"heddle/env/1"
CONTEXT_DOMAIN = b"heddle/ctx/1"
PREKEY_DOMAIN = b"heddle/prectx/1"
RELEASE_DOMAIN = b"heddle/release/1"

SEAL_OVERHEAD_BYTES = 48
"""Of a libsodium sealed box: the sender's one-time public key, and the authenticator."""
SEALED_BYTES = len(RELEASE_DOMAIN) + CONTEXT_BYTES + KEY_BYTES + SEAL_OVERHEAD_BYTES
"""A copy of a job's secret key: the sealed box of `RELEASE_DOMAIN ‖ context ‖ key`."""


def name_tag(secret_key: bytes, name: str) -> bytes:
    """An environment name as the chain has it: only holders of the job's secret key can tell which name it is."""
    return blake2b(NAME_DOMAIN + name.encode(), digest_size=TAG_BYTES, key=secret_key).digest()


def values_context(genesis_hash: bytes, owner: bytes, sequence: int) -> bytes:
    """What the values are bound to. Owner and sequence name the job before its hash is known."""
    return VALUES_DOMAIN + genesis_hash + owner + sequence.to_bytes(8, "little")


def slot_context(
    genesis_hash: bytes, job_hash: bytes, slot: int, generation: int, processor: bytes, public_key: bytes
) -> bytes:
    """What a copy for one acknowledgment is bound to."""
    place = bytes((slot,)) + generation.to_bytes(4, "little")
    return blake2b256(CONTEXT_DOMAIN + genesis_hash + job_hash + place + processor + public_key)


def prekey_context(genesis_hash: bytes, job_hash: bytes, processor: bytes, prekey: bytes) -> bytes:
    """What a copy for a one-time key is bound to. Its slot is not known yet, but the key is used once."""
    return blake2b256(PREKEY_DOMAIN + genesis_hash + job_hash + processor + prekey)
