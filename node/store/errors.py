"""What the store refuses, and how its database can fail.

StoreError
├── UnknownBlock            no such block here (never seen, or a losing fork that is gone)
├── BlockKnown              the block is stored already
├── NotDescendant           the block does not descend from the finalised head
├── TooManyLeaves           the block would add one fork too many
├── TooManyOfOneSlot        a third block of one author and slot
├── HeaderMismatch          header bytes, hash, parent and state do not belong together
├── StateDiscarded          the block is known, its state is pruned
└── DatabaseError           our own disk is at fault: the node stops
    ├── DatabaseLocked      another process holds it
    ├── DatabaseDamaged     what is read is not what was written
    └── DatabaseUnsuitable  a sound database of another chain, schema or pruning mode
"""

from __future__ import annotations


class StoreError(Exception):
    """A request that the store refuses; nothing has changed."""


class UnknownBlock(StoreError):
    """No such block is stored."""

    def __init__(self, block_hash: bytes) -> None:
        super().__init__(f"block 0x{block_hash.hex()} is not known")
        self.block_hash = block_hash


class BlockKnown(StoreError):
    """The block is stored already."""

    def __init__(self, block_hash: bytes) -> None:
        super().__init__(f"block 0x{block_hash.hex()} is known already")
        self.block_hash = block_hash


class NotDescendant(StoreError):
    """The block lies on a fork that the finalised head has left behind."""


class TooManyLeaves(StoreError):
    """The tree of unfinalised blocks has as many forks as it may."""


class TooManyOfOneSlot(StoreError):
    """Two blocks of this author and slot are stored; a third adds nothing to the evidence."""


class HeaderMismatch(StoreError):
    """The parts of a block given for import contradict each other; the message names them."""


class StateDiscarded(StoreError):
    """The state of a known block has been pruned (RPC code 4001)."""

    def __init__(self, block_hash: bytes) -> None:
        super().__init__(f"State already discarded for block 0x{block_hash.hex()}")
        self.block_hash = block_hash


class DatabaseError(StoreError):
    """The node's own database cannot be used."""


class DatabaseLocked(DatabaseError):
    """Another process has the database open."""


class DatabaseDamaged(DatabaseError):
    """The database contradicts itself or cannot be read; `problem` says where."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"the database is damaged: {problem}. Run `heddle chain verify` to see the extent; "
            "a damaged node is restored by removing its database and synchronising again"
        )
        self.problem = problem


class DatabaseFull(DatabaseError):
    """There is no room on the disk; nothing is damaged."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"no space is left for the database: {problem}. Free some and start again; nothing is lost")
        self.problem = problem


class DatabaseUnsuitable(DatabaseError):
    """The database is sound but belongs to another chain, schema or pruning mode."""
