"""Which block is best: the highest above the last finalised block; of equal heights the one seen first."""

from __future__ import annotations

from dataclasses import dataclass, field

from runtime.types import Hash

LEAVES_MAX = 64
"""Unfinalised leaves (spec/chain.md (a)); a block that would open another one is refused."""


class ForkRefused(ValueError):
    """The block cannot enter the tree: unknown parent, not above the finalised block, or one leaf too many."""


@dataclass(slots=True, eq=False)
class Entry:
    """A block in the tree and the order in which it was seen."""

    hash: Hash
    number: int
    parent: Hash
    order: int
    children: list[Hash] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What finalising did: blocks now final, ascending, and blocks of losing forks, parents before children."""

    finalised: tuple[Hash, ...]
    lost: tuple[Hash, ...]


class ForkChoice:
    """The tree of unfinalised blocks, rooted at the last finalised one."""

    def __init__(self, finalised: Hash, number: int) -> None:
        self._order = 0
        self._root = Entry(finalised, number, finalised, 0)
        self._entries: dict[Hash, Entry] = {finalised: self._root}
        self._leaves: dict[Hash, Entry] = {finalised: self._root}
        self._best = self._root

    @property
    def best(self) -> Hash:
        """The head of the best chain."""
        return self._best.hash

    @property
    def best_number(self) -> int:
        """The height of the best head."""
        return self._best.number

    @property
    def finalised(self) -> Hash:
        """The last finalised block."""
        return self._root.hash

    @property
    def finalised_number(self) -> int:
        """The height of the last finalised block."""
        return self._root.number

    def __contains__(self, block: Hash) -> bool:
        return block in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def blocks(self) -> list[Hash]:
        """Return the finalised block and all above it, parents before children."""
        return list(self._entries)

    def leaves(self) -> list[Hash]:
        """Return the heads of all forks, the best first."""
        return [entry.hash for entry in sorted(self._leaves.values(), key=_rank)]

    def add(self, block: Hash, parent: Hash) -> bool:
        """Add a block and return whether it is the new best. Adding one twice changes nothing. Raises ForkRefused."""
        if block in self._entries:
            return False
        above = self._entries.get(parent)
        if above is None:
            raise ForkRefused("parent_hash: not among the finalised block and its descendants")
        if above.children and len(self._leaves) >= LEAVES_MAX:
            raise ForkRefused(f"leaves: more than {LEAVES_MAX}")
        self._order += 1
        entry = Entry(block, above.number + 1, parent, self._order)
        above.children.append(block)
        self._entries[block] = entry
        self._leaves.pop(parent, None)
        self._leaves[block] = entry
        if entry.number > self._best.number:
            self._best = entry
            return True
        return False

    def ancestor_at(self, block: Hash, number: int) -> Hash | None:
        """Return the ancestor-or-equal of `block` at height `number`, or None outside the tree."""
        entry = self._entries.get(block)
        while entry is not None and entry.number > number:
            entry = self._entries.get(entry.parent) if entry is not self._root else None
        return entry.hash if entry is not None and entry.number == number else None

    def best_containing(self, block: Hash) -> Hash | None:
        """Return the head of the best chain that contains `block`, or None when it is not in the tree."""
        entry = self._entries.get(block)
        if entry is None:
            return None
        if self.ancestor_at(self._best.hash, entry.number) == block:
            return self._best.hash
        best = entry
        for leaf in self._leaves.values():
            if self.ancestor_at(leaf.hash, entry.number) == block and (best is entry or _rank(leaf) < _rank(best)):
                best = leaf
        return best.hash

    def finalise(self, block: Hash) -> Pruned:
        """Make `block` the root and drop what does not descend from it. Raises ForkRefused when it is unknown."""
        target = self._entries.get(block)
        if target is None:
            raise ForkRefused("finalised: not among the finalised block and its descendants")
        finalised: list[Hash] = []
        lost: list[Hash] = []
        cursor = target
        while cursor is not self._root:
            finalised.append(cursor.hash)
            parent = self._entries[cursor.parent]
            lost.extend(self._drop([child for child in parent.children if child != cursor.hash]))
            cursor = parent
        for passed in (self._root.hash, *finalised[1:]):
            if passed != block:
                del self._entries[passed]
        self._root = target
        if self._best.hash not in self._entries:
            self._best = min(self._leaves.values(), key=_rank)
        return Pruned(tuple(reversed(finalised)), tuple(lost))

    def _drop(self, roots: list[Hash]) -> list[Hash]:
        """Remove the subtrees of `roots` and return their blocks, parents before children."""
        dropped: list[Hash] = []
        pending = roots
        while pending:
            block = pending.pop()
            dropped.append(block)
            self._leaves.pop(block, None)
            pending.extend(self._entries.pop(block).children)
        return dropped


def _rank(entry: Entry) -> tuple[int, int]:
    """Order of preference: higher first, then seen first."""
    return (-entry.number, entry.order)
