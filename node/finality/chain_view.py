"""The chain as the voter sees it: the store's block tree behind `consensus.grandpa.chain.ChainView`."""

from __future__ import annotations

from consensus.authority_set import AuthoritySet, InvalidChange, announced_changes
from consensus.grandpa.chain import BlockRef, is_descendant
from node.chain import Chain
from node.store.errors import UnknownBlock
from node.store.records import Head
from runtime.types import Hash, Header


def ref(head: Head) -> BlockRef:
    """The same block in the voter's words."""
    return BlockRef(head.number, head.hash)


class StoreView:
    """Questions about imported blocks. What is unknown or pruned is None."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._store = chain.store

    def number(self, block: Hash) -> int | None:
        try:
            return self._store.number(block)
        except UnknownBlock:
            return None

    def header(self, block: Hash) -> Header | None:
        try:
            return self._chain.header(block)
        except UnknownBlock:
            return None

    def parent(self, block: Hash) -> Hash | None:
        try:
            return self._store.parent(block)
        except UnknownBlock:
            return None

    def ancestor_at(self, block: Hash, number: int) -> Hash | None:
        try:
            return self._store.ancestor(block, number)
        except (UnknownBlock, ValueError):
            return None

    def best_containing(self, block: Hash) -> BlockRef | None:
        store = self._store
        number = self.number(block)
        if number is None:
            return None
        if self.ancestor_at(store.best.hash, number) == block:
            return ref(store.best)
        heads = [head for head in store.leaves() if self.ancestor_at(head.hash, number) == block]
        # Of equal heights `max` keeps the first, and leaves come first seen first.
        return ref(max(heads, key=lambda head: head.number)) if heads else None

    def authorities(self) -> AuthoritySet:
        """The voters after the last finalised block, with the changes that blocks above it announce.

        The state of the finalised block names its successor's set, so nothing of this needs a record of its own. A
        forced change that the best chain has grown deep enough for is applied again.
        """
        finalised = ref(self._store.finalised)
        grandpa = self._chain.at(finalised.hash).grandpa
        found = AuthoritySet(grandpa.current_set_id.get(), grandpa.authorities.get())
        for head in self._store.unfinalised():
            header = self.header(head.hash)
            try:
                for change in [] if header is None else announced_changes(header):
                    found.announce(change, self.is_descendant)
            except InvalidChange:
                continue
        found.apply_forced(ref(self._store.best), finalised, self.is_descendant)
        return found

    def is_descendant(self, ancestor: BlockRef, block: BlockRef) -> bool:
        """Whether `block` equals `ancestor` or lies above it."""
        return is_descendant(self, ancestor, block)
