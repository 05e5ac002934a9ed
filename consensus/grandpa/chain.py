"""What the finality gadget needs to know of blocks, and how it names one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from runtime.types import Hash, Header


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block by its height and its id."""

    number: int
    hash: Hash


class ParentLookup(Protocol):
    """The parent of each known block: enough to place a vote in a tree."""

    def parent(self, block: Hash) -> Hash | None:
        """Return the id of the parent, or None when `block` is unknown or has no known parent."""
        ...


class ChainView(ParentLookup, Protocol):
    """A node's block tree as the voter sees it: every block that was imported and not pruned."""

    def number(self, block: Hash) -> int | None:
        """Return the height of `block`, or None when it is unknown."""
        ...

    def header(self, block: Hash) -> Header | None:
        """Return the header of `block`, or None when it is unknown."""
        ...

    def ancestor_at(self, block: Hash, number: int) -> Hash | None:
        """Return the ancestor-or-equal of `block` at height `number`, or None."""
        ...

    def best_containing(self, block: Hash) -> BlockRef | None:
        """Return the head of the best chain that contains `block`, or None when it is unknown."""
        ...


def is_descendant(chain: ChainView, ancestor: BlockRef, block: BlockRef) -> bool:
    """Whether `block` equals `ancestor` or lies above it."""
    if block.number < ancestor.number:
        return False
    if block.number == ancestor.number:
        return block.hash == ancestor.hash
    return chain.ancestor_at(block.hash, ancestor.number) == ancestor.hash


class HeaderMap:
    """The parent lookup made from a handful of headers, as a justification carries them."""

    def __init__(self, headers: Mapping[Hash, Header]) -> None:
        self._headers = headers
        self.visited: set[Hash] = set()

    def parent(self, block: Hash) -> Hash | None:
        """Return the parent named by the header of `block`, and note that this header was needed."""
        header = self._headers.get(block)
        if header is None:
            return None
        self.visited.add(block)
        return header.parent_hash
