"""The blocks above the flushed head, in memory: who descends from whom, leaves, forks, and the state of each.

The base is the flushed block; every other block's parent is in the tree. Everything here is rebuilt at start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from node.store.errors import NotDescendant, TooManyLeaves, TooManyOfOneSlot, UnknownBlock
from node.store.records import Head
from runtime.tree import Node

LEAVES_MAX = 64
BLOCKS_PER_SLOT_AND_AUTHOR_MAX = 2
"""Two prove an equivocation; more would only fill the tree."""


@dataclass(frozen=True, slots=True)
class BlockNode:
    """One block. `root` is its state tree, `origin` (slot, author) if known."""

    hash: bytes
    parent: bytes
    number: int
    root: Node
    origin: tuple[int, bytes] | None = None

    @property
    def head(self) -> Head:
        """The block's place."""
        return Head(self.number, self.hash)


class BlockTree:
    """The flushed block and all its stored descendants, parents before children, first seen first."""

    def __init__(self, base: BlockNode) -> None:
        self.base = base
        self._nodes: dict[bytes, BlockNode] = {base.hash: base}
        self._children: Counter[bytes] = Counter()
        self._origins: Counter[tuple[int, bytes]] = Counter()

    def __contains__(self, block_hash: bytes) -> bool:
        return block_hash in self._nodes

    def __iter__(self) -> Iterator[BlockNode]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, block_hash: bytes) -> BlockNode | None:
        """The block, or None."""
        return self._nodes.get(block_hash)

    def node(self, block_hash: bytes) -> BlockNode:
        """The block; UnknownBlock if it is not in the tree."""
        node = self._nodes.get(block_hash)
        if node is None:
            raise UnknownBlock(block_hash)
        return node

    def leaves(self) -> list[BlockNode]:
        """The blocks without children, first seen first."""
        return [node for node in self._nodes.values() if not self._children[node.hash]]

    def check_room(self, parent: bytes, origin: tuple[int, bytes] | None) -> None:
        """Raise TooManyLeaves or TooManyOfOneSlot if such a child must be refused."""
        if self._children[parent] and len(self.leaves()) >= LEAVES_MAX:
            raise TooManyLeaves(f"{LEAVES_MAX} forks are stored already")
        if origin is not None and self._origins[origin] >= BLOCKS_PER_SLOT_AND_AUTHOR_MAX:
            raise TooManyOfOneSlot(
                f"author 0x{origin[1].hex()} has {BLOCKS_PER_SLOT_AND_AUTHOR_MAX} blocks in slot {origin[0]} already"
            )

    def add(self, node: BlockNode) -> None:
        """Put a block below its parent, which is in the tree."""
        self.node(node.parent)
        self._nodes[node.hash] = node
        self._children[node.parent] += 1
        if node.origin is not None:
            self._origins[node.origin] += 1

    def remove(self, nodes: list[BlockNode]) -> None:
        """Take blocks out, given parents first, with all that is below them."""
        for node in reversed(nodes):
            del self._nodes[node.hash]
            self._children[node.parent] -= 1
            if not self._children[node.parent]:
                del self._children[node.parent]
            self._forget_origin(node)

    def _forget_origin(self, node: BlockNode) -> None:
        if node.origin is None:
            return
        self._origins[node.origin] -= 1
        if not self._origins[node.origin]:
            del self._origins[node.origin]

    def path(self, block_hash: bytes) -> list[BlockNode]:
        """The blocks from above the base up to this one, ascending."""
        path = []
        node = self.node(block_hash)
        while node.number > self.base.number:
            path.append(node)
            node = self._nodes[node.parent]
        path.reverse()
        return path

    def ancestor(self, block_hash: bytes, number: int) -> BlockNode:
        """The ancestor (or the block itself) at a height from the base on; UnknownBlock below it."""
        node = self.node(block_hash)
        while node.number > max(number, self.base.number):
            node = self._nodes[node.parent]
        if node.number != number:
            raise UnknownBlock(block_hash)
        return node

    def descends(self, block_hash: bytes, ancestor: BlockNode) -> bool:
        """Whether the block is `ancestor` or below it."""
        node = self.node(block_hash)
        while node.number > ancestor.number:
            node = self._nodes[node.parent]
        return node.hash == ancestor.hash

    def descendants(self, ancestor: BlockNode) -> dict[bytes, BlockNode]:
        """`ancestor` and everything below it, parents first."""
        found = {ancestor.hash: ancestor}
        for node in self._nodes.values():
            if node.number > ancestor.number and node.parent in found:
                found[node.hash] = node
        return found

    def losers(self, finalised: bytes) -> list[BlockNode]:
        """The blocks that neither lead to the finalised one nor descend from it."""
        node = self.node(finalised)
        keep = self.descendants(node)
        on_path = {each.hash for each in self.path(finalised)}
        return [each for each in self if each is not self.base and each.hash not in keep and each.hash not in on_path]

    def rebase(self, base_hash: bytes) -> list[BlockNode]:
        """Make a block the base; returns what lay between the old base (included) and it, ascending.

        The losing forks must be out already.
        """
        path = self.path(base_hash)
        if not path:
            return []
        gone = [self.base, *path[:-1]]
        self.base = path[-1]
        for node in gone:
            del self._nodes[node.hash]
            del self._children[node.hash]
        for node in path:
            # The base and what is below it count no longer: their slots are final.
            self._forget_origin(node)
        return gone

    def require_above(self, block_hash: bytes, finalised: BlockNode) -> BlockNode:
        """The block, which must be `finalised` or descend from it; NotDescendant otherwise."""
        node = self.node(block_hash)
        if not self.descends(block_hash, finalised):
            raise NotDescendant(f"0x{block_hash.hex()} does not descend from the finalised 0x{finalised.hash.hex()}")
        return node
