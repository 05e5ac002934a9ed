"""The keys of the database, one letter a table. Heights are 8 bytes big-endian, so that tables sort by height.

    h height hash   SCALE header                 S storage key   value in the flushed state
    b height hash   body                         K key hash      storage key (written on insert and delete only)
    e height hash   value of System.Events       c height        hash on the best chain
    x height hash   justification                n hash          height
    j height hash   journal, until flushed       m name          heads, schema, genesis, finality's own records
    u height hash   undo, once flushed           V key hash, 2^64-1-height   01 value | 00   (archive only)

Reserved for anchors and page snapshots: A and P.
"""

from __future__ import annotations

from runtime.hashing import twox128

SCHEMA_VERSION = 1
HEIGHT_MAX = (1 << 64) - 1

STATE = b"S"
KEY_OF = b"K"
JOURNAL = b"j"
UNDO = b"u"
HEADER = b"h"
CANONICAL = b"c"
HEIGHT_OF = b"n"

META_SCHEMA = b"mschema"
META_GENESIS = b"mgenesis"
META_PRUNING = b"mpruning"
META_BEST = b"mbest"
META_FINALISED = b"mfinalised"
META_FLUSHED = b"mflushed"

EVENTS_KEY = twox128(b"System") + twox128(b"Events")
"""An ordinary key of the tree whose value lives in the e table alone (spec/chain.md §1.12)."""


def _by_block(table: bytes, height: int, block_hash: bytes) -> bytes:
    return table + height.to_bytes(8, "big") + block_hash


def header_key(height: int, block_hash: bytes) -> bytes:
    """h: the SCALE header."""
    return _by_block(HEADER, height, block_hash)


def body_key(height: int, block_hash: bytes) -> bytes:
    """b: the extrinsics."""
    return _by_block(b"b", height, block_hash)


def events_key(height: int, block_hash: bytes) -> bytes:
    """e: the value of System.Events after the block."""
    return _by_block(b"e", height, block_hash)


def justification_key(height: int, block_hash: bytes) -> bytes:
    """x: the proof of finality."""
    return _by_block(b"x", height, block_hash)


def journal_key(height: int, block_hash: bytes) -> bytes:
    """j: what the block changed, until it is flushed."""
    return _by_block(JOURNAL, height, block_hash)


def undo_key(height: int, block_hash: bytes) -> bytes:
    """u: what the block replaced, once it is flushed."""
    return _by_block(UNDO, height, block_hash)


def canonical_key(height: int) -> bytes:
    """c: the hash at this height on the best chain."""
    return CANONICAL + height.to_bytes(8, "big")


def height_key(block_hash: bytes) -> bytes:
    """n: the height of a block."""
    return HEIGHT_OF + block_hash


def value_key(kh: bytes, height: int) -> bytes:
    """V: the value written at `height`; later heights sort first, so one seek finds the newest not above a height."""
    return b"V" + kh + (HEIGHT_MAX - height).to_bytes(8, "big")
