"""The extrinsics root of a header (spec chain.md §1.11).

The leaves are transaction hashes: blake2b-256 of an extrinsic's bytes with their length prefix. They are padded with
zero hashes to a power of four and folded four at a time by H_node; the count goes in beside the top, so that padding
cannot pass for content:

    root = blake2b-256(person "exts", count as u32 little-endian ‖ top)       top of no extrinsics = 32 zero bytes
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from runtime.tree import HASH_BYTES, ZERO, node_hash


def extrinsics_root(transaction_hashes: Sequence[bytes]) -> bytes:
    """The root over the 32-byte transaction hashes in block order; ValueError if one has another length."""
    for i, leaf in enumerate(transaction_hashes):
        if len(leaf) != HASH_BYTES:
            raise ValueError(f"transaction hash {i} has {len(leaf)} bytes, not {HASH_BYTES}")
    size = 1
    while size < len(transaction_hashes):
        size *= 4
    level = list(transaction_hashes) + [ZERO] * (size - len(transaction_hashes))
    while len(level) > 1:
        level = [node_hash(b"".join(level[i : i + 4])) for i in range(0, len(level), 4)]
    content = len(transaction_hashes).to_bytes(4, "little") + level[0]
    return blake2b(content, digest_size=HASH_BYTES, person=b"exts").digest()
