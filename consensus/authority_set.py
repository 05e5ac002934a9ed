"""Which voters decide: the current set, and the changes that blocks have announced.

A scheduled change counts by finalised depth: it takes effect when the block `delay` above the announcing one becomes
final (Heddle emits delay 0, so at the announcing block itself). Pending scheduled changes form a tree, because forks
announce their own; finality may not jump over two of one branch at once, since each is decided by the set of the one
before. A forced change counts by the depth of the best chain and drops what is pending (spec/chain.md (c)).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from consensus.grandpa.chain import BlockRef
from consensus.grandpa.voter_set import VOTERS_MAX
from runtime.scale import U32, U64, Bounded, Fixed, ScaleError, codec_of
from runtime.types import GRANDPA_ENGINE, Consensus, Header

SCHEDULED_CHANGE = 1
FORCED_CHANGE = 2
PENDING_MAX = 256
"""Announced changes over all forks: 64 leaves with the few boundaries that unfinalised chains span."""

Authorities = tuple[tuple[bytes, int], ...]
WireAuthorities = Annotated[tuple[tuple[Annotated[bytes, Fixed(32)], U64], ...], Bounded(VOTERS_MAX)]
IsDescendant = Callable[[BlockRef, BlockRef], bool]
"""(ancestor, block) -> whether `block` equals `ancestor` or lies above it."""


class InvalidChange(ValueError):
    """An announced change cannot be taken: undecodable, a second forced one on its fork, or one too many."""


class UnfinalisedAncestor(ValueError):
    """Finalising this block would pass two changes at once; the lower one's block must be finalised first."""


class ForcedDependency(ValueError):
    """A forced change waits for a scheduled change below its median block to be finalised."""


@dataclass(frozen=True, slots=True)
class PendingChange:
    """A change announced by `block`. `median` is set for forced changes: the last finalised height they assume."""

    block: BlockRef
    authorities: Authorities
    delay: int
    median: int | None = None

    @property
    def effective_number(self) -> int:
        """The height at which the change takes effect."""
        return self.block.number + self.delay


@dataclass(slots=True, eq=False)
class ChangeNode:
    """A scheduled change and those announced above it."""

    change: PendingChange
    children: "list[ChangeNode]" = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class NewSet:
    """The set that a change brings in. `base` is the block it votes above."""

    set_id: int
    authorities: Authorities
    base: BlockRef


class AuthoritySet:
    """The current voters and every announced change above the last finalised block."""

    def __init__(self, set_id: int, authorities: Authorities) -> None:
        self.set_id = set_id
        self.authorities = authorities
        self.handed_over: list[tuple[int, int]] = []
        """(set id, last height that this set finalises) of the changes made since this object began."""
        self._scheduled: list[ChangeNode] = []
        self._forced: list[PendingChange] = []
        self._pending = 0

    def pending(self) -> list[PendingChange]:
        """Return all announced changes: scheduled ones, parents first, then forced ones."""
        found: list[PendingChange] = []
        nodes = list(self._scheduled)
        while nodes:
            node = nodes.pop(0)
            found.append(node.change)
            nodes.extend(node.children)
        return found + self._forced

    def announce(self, change: PendingChange, is_descendant: IsDescendant) -> None:
        """Take the change that a newly imported block announces; one known already is left. Raises InvalidChange."""
        if any(known.block == change.block and known.median == change.median for known in self.pending()):
            return
        if self._pending >= PENDING_MAX:
            raise InvalidChange(f"changes: more than {PENDING_MAX} pending")
        if change.median is not None:
            if any(is_descendant(known.block, change.block) for known in self._forced):
                raise InvalidChange("forced change: its fork has one pending already")
            self._forced.append(change)
        else:
            siblings = self._scheduled
            while above := next((node for node in siblings if is_descendant(node.change.block, change.block)), None):
                siblings = above.children
            siblings.append(ChangeNode(change))
        self._pending += 1

    def limit(self, head: BlockRef, is_descendant: IsDescendant) -> int | None:
        """Return the height beyond which this set must not vote on the chain of `head`: the first pending change."""
        heights = [node.change.effective_number for node in self._scheduled if is_descendant(node.change.block, head)]
        return min(heights, default=None)

    def enacts(self, block: BlockRef, is_descendant: IsDescendant) -> bool:
        """Whether finalising `block` changes the set. Such a block needs its own justification."""
        return any(
            node.change.effective_number <= block.number and is_descendant(node.change.block, block)
            for node in self._scheduled
        )

    def finalise(self, block: BlockRef, is_descendant: IsDescendant) -> NewSet | None:
        """Note that `block` is final; return the new set if a change took effect.

        Changes of losing forks are dropped. Raises UnfinalisedAncestor, changing nothing, when two changes would be
        passed at once.
        """
        enacted: ChangeNode | None = None
        for node in self._scheduled:
            if node.change.effective_number <= block.number and is_descendant(node.change.block, block):
                for child in node.children:
                    passed = child.change.effective_number <= block.number
                    if passed and is_descendant(child.change.block, block):
                        raise UnfinalisedAncestor(f"change at {node.change.block.number} must be finalised first")
                enacted = node
        kept = self._scheduled if enacted is None else enacted.children
        self._scheduled = [node for node in kept if _related(node.change.block, block, is_descendant)]
        if enacted is not None:
            self._forced = []
            new = NewSet(self.set_id + 1, enacted.change.authorities, block)
            self._enter(new, block.number)
        else:
            new = None
            self._forced = [change for change in self._forced if _related(change.block, block, is_descendant)]
        self._pending = len(self.pending())
        return new

    def apply_forced(self, best: BlockRef, finalised: BlockRef, is_descendant: IsDescendant) -> NewSet | None:
        """Return the new set if the best chain has just grown deep enough over a forced change.

        The new set votes above the last finalised block; all other changes are dropped. Its id is the one that the
        runtime gave it, which counts the dropped changes of this chain as well: so a node that starts from a later
        finalised state arrives at the same id. Raises ForcedDependency when a scheduled change at or below the median
        is still pending on this chain.
        """
        for change in self._forced:
            if change.effective_number > best.number or not is_descendant(change.block, best):
                continue
            for node in self._scheduled:
                needed = node.change.effective_number <= (change.median or 0)
                if needed and is_descendant(node.change.block, change.block):
                    raise ForcedDependency(f"scheduled change at {node.change.block.number} is not final")
            dropped = sum(1 for other in self.pending() if _below(other, change, is_descendant))
            self._scheduled = []
            self._forced = []
            self._pending = 0
            new = NewSet(self.set_id + 1 + dropped, change.authorities, finalised)
            self._enter(new, max(change.median or 0, finalised.number))
            return new
        return None

    def _enter(self, new: NewSet, last_number: int) -> None:
        self.handed_over.append((self.set_id, last_number))
        del self.handed_over[:-PENDING_MAX]
        self.set_id = new.set_id
        self.authorities = new.authorities


def _below(change: PendingChange, forced: PendingChange, is_descendant: IsDescendant) -> bool:
    """Whether a scheduled change was announced before a forced one on its chain."""
    return change.median is None and change.block != forced.block and is_descendant(change.block, forced.block)


def _related(change: BlockRef, finalised: BlockRef, is_descendant: IsDescendant) -> bool:
    """Whether a change is still open: it lies above the finalised block, or below it with its delay running."""
    return is_descendant(finalised, change) or is_descendant(change, finalised)


@dataclass(frozen=True, slots=True)
class ScheduledChange:
    """The payload of a FRNK digest item with tag 1."""

    authorities: WireAuthorities
    delay: U32


@dataclass(frozen=True, slots=True)
class ForcedChange:
    """The payload of a FRNK digest item with tag 2."""

    median: U32
    authorities: WireAuthorities
    delay: U32


_SCHEDULED = codec_of(ScheduledChange)
_FORCED = codec_of(ForcedChange)


def change_item(change: PendingChange) -> Consensus:
    """Return the digest item that announces `change`."""
    if change.median is None:
        payload = _SCHEDULED.encode(ScheduledChange(change.authorities, change.delay))
        return Consensus(GRANDPA_ENGINE, bytes((SCHEDULED_CHANGE,)) + payload)
    payload = _FORCED.encode(ForcedChange(change.median, change.authorities, change.delay))
    return Consensus(GRANDPA_ENGINE, bytes((FORCED_CHANGE,)) + payload)


def announced_changes(header: Header) -> list[PendingChange]:
    """Return the changes in a header's digest, at most one of each kind. Raises InvalidChange."""
    block = BlockRef(header.number, header.hash())
    changes: list[PendingChange] = []
    for item in header.digest.logs:
        if not isinstance(item, Consensus) or item.engine != GRANDPA_ENGINE:
            continue
        try:
            if item.data[:1] == bytes((SCHEDULED_CHANGE,)):
                plain: ScheduledChange = _SCHEDULED.decode(item.data[1:])
                changes.append(PendingChange(block, plain.authorities, plain.delay))
            elif item.data[:1] == bytes((FORCED_CHANGE,)):
                forced: ForcedChange = _FORCED.decode(item.data[1:])
                changes.append(PendingChange(block, forced.authorities, forced.delay, forced.median))
            else:
                raise InvalidChange("FRNK: unknown kind of item")
        except ScaleError as error:
            raise InvalidChange(f"FRNK: {error}") from error
    if len({change.median is None for change in changes}) != len(changes):
        raise InvalidChange("FRNK: two changes of one kind in a header")
    return changes
