"""The tree of voted blocks: which voters stand behind a block or one of its descendants.

Only voted blocks and forks between them are nodes; the run of blocks from one node down to its parent node is the
node's segment. Everything in a segment has the same voters behind it, so a question costs a walk over nodes and not
over blocks, and a new vote costs the blocks that no earlier vote has covered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from consensus.grandpa.chain import BlockRef, ParentLookup
from runtime.types import Hash


class Phase(IntEnum):
    """The two votes of a round."""

    PREVOTE = 0
    PRECOMMIT = 1


class NotDescendant(ValueError):
    """The block does not descend from the graph's base, or its ancestors are unknown."""


@dataclass(slots=True, eq=False)
class Node:
    """A voted block or a fork. `prevotes` and `precommits` are masks of the voters of it and its descendants."""

    hash: Hash
    number: int
    parent: Node | None
    segment: list[Hash]
    children: list[Node] = field(default_factory=list)
    prevotes: int = 0
    precommits: int = 0

    @property
    def first_number(self) -> int:
        """The height of the lowest block of the segment."""
        return self.number - len(self.segment) + 1

    @property
    def block(self) -> BlockRef:
        """The block of this node."""
        return BlockRef(self.number, self.hash)


Condition = Callable[[Node], bool]
"""A test on the masks of a node; it must hold for every ancestor of a block for which it holds."""


class VoteGraph:
    """Votes above one base block, which must be an ancestor of all of them."""

    def __init__(self, base: BlockRef) -> None:
        self._root = Node(base.hash, base.number, None, [base.hash])
        self._owner: dict[Hash, Node] = {base.hash: self._root}

    @property
    def base(self) -> BlockRef:
        """The block below all votes."""
        return self._root.block

    def __contains__(self, block: Hash) -> bool:
        return block in self._owner

    def insert(self, block: BlockRef, phase: Phase, mask: int, chain: ParentLookup) -> None:
        """Count the voters of `mask` for `block` and its ancestors. Raises NotDescendant, changing nothing."""
        node: Node | None = self._node_for(block, chain)
        while node is not None:
            if phase is Phase.PREVOTE:
                node.prevotes |= mask
            else:
                node.precommits |= mask
            node = node.parent

    def voters(self, block: Hash, phase: Phase) -> int:
        """Return the mask of voters for `block` or its descendants; 0 when no vote covers it."""
        node = self._owner.get(block)
        if node is None:
            return 0
        return node.prevotes if phase is Phase.PREVOTE else node.precommits

    def ghost(self, condition: Condition) -> BlockRef | None:
        """Return the deepest block that meets the condition, or None when the base does not.

        Two branches can only both meet it when more voters equivocate than are tolerated; then the deeper one
        counts, and of equals the smaller hash.
        """
        if not condition(self._root):
            return None
        best = self._root
        pending = [self._root]
        while pending:
            node = pending.pop()
            if (-node.number, node.hash) < (-best.number, best.hash):
                best = node
            pending.extend(child for child in node.children if condition(child))
        return best.block

    def find_ancestor(self, block: Hash, condition: Condition) -> BlockRef | None:
        """Return the highest ancestor-or-equal of `block` that meets the condition, or None."""
        node = self._owner.get(block)
        if node is None:
            return None
        if condition(node):
            return BlockRef(node.first_number + node.segment.index(block), block)
        node = node.parent
        while node is not None and not condition(node):
            node = node.parent
        return None if node is None else node.block

    def has_descendant(self, block: Hash, condition: Condition) -> bool:
        """Whether some covered block strictly above `block` meets the condition."""
        node = self._owner.get(block)
        if node is None:
            return False
        if node.hash != block:
            return condition(node)
        return any(condition(child) for child in node.children)

    def covers(self, ancestor: BlockRef, block: Hash) -> bool:
        """Whether `block` is covered by the graph and equals `ancestor` or lies above it."""
        node = self._owner.get(block)
        top = self._owner.get(ancestor.hash)
        if node is None or top is None:
            return False
        if node is top:
            return node.segment.index(block) >= node.segment.index(ancestor.hash)
        node = node.parent
        while node is not None and node.number >= ancestor.number:
            if node is top:
                return True
            node = node.parent
        return False

    def adjust_base(self, ancestors: Sequence[Hash]) -> None:
        """Move the base down: `ancestors` are the ids below the present base, the highest first."""
        if not ancestors:
            return
        old = self._root
        base = BlockRef(old.number - len(ancestors), ancestors[-1])
        if base.number < 0 or any(block in self._owner for block in ancestors):
            raise NotDescendant("ancestors: do not lie below the base")
        root = Node(base.hash, base.number, None, [base.hash], [old], old.prevotes, old.precommits)
        old.parent = root
        old.segment = [*reversed(ancestors[:-1]), old.hash]
        for block in old.segment:
            self._owner[block] = old
        self._owner[base.hash] = root
        self._root = root

    def nodes(self) -> Iterator[Node]:
        """Yield every node, parents before children."""
        pending = [self._root]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(node.children)

    def _node_for(self, block: BlockRef, chain: ParentLookup) -> Node:
        """Return the node of `block`, made if need be."""
        path: list[Hash] = []
        cursor: Hash = block.hash
        number = block.number
        while cursor not in self._owner:
            parent = chain.parent(cursor)
            if parent is None or number <= self._root.number:
                raise NotDescendant("target: does not descend from the base of the round")
            path.append(cursor)
            cursor = parent
            number -= 1
        owner = self._owner[cursor]
        if not owner.first_number <= number <= owner.number or owner.segment[number - owner.first_number] != cursor:
            raise NotDescendant("target: its height is not the one it claims")
        meeting = self._split(owner, number)
        if not path:
            return meeting
        path.reverse()
        node = Node(block.hash, block.number, meeting, path)
        meeting.children.append(node)
        for covered in path:
            self._owner[covered] = node
        return node

    def _split(self, owner: Node, number: int) -> Node:
        """Return the node at height `number` of the owner's segment, cutting the segment there if need be."""
        if number == owner.number:
            return owner
        cut = number - owner.first_number + 1
        lower = owner.segment[:cut]
        fork = Node(lower[-1], number, owner.parent, lower, [owner], owner.prevotes, owner.precommits)
        if owner.parent is not None:
            siblings = owner.parent.children
            siblings[siblings.index(owner)] = fork
        owner.parent = fork
        owner.segment = owner.segment[cut:]
        for covered in lower:
            self._owner[covered] = fork
        return fork
