"""A block tree for consensus tests: real headers, the chain view that a voter asks, and per-node visibility."""

from __future__ import annotations

from collections.abc import Sequence

from consensus.fork_choice import ForkChoice
from consensus.grandpa.chain import BlockRef
from runtime.types import Digest, DigestItem, Hash, Header, slot_item

GENESIS = Header(bytes(32), 0, bytes(32), bytes(32), Digest())


def ref(header: Header) -> BlockRef:
    """The block of a header."""
    return BlockRef(header.number, header.hash())


GENESIS_REF = ref(GENESIS)


def child(parent: Header, slot: int, items: Sequence[DigestItem] = ()) -> Header:
    """A header upon `parent`; the slot makes siblings differ."""
    return Header(parent.hash(), parent.number + 1, bytes(32), bytes(32), Digest((slot_item(slot), *items)))


def run_of(parent: Header, count: int, first_slot: int = 1) -> list[Header]:
    """A run of `count` headers upon `parent`."""
    headers: list[Header] = []
    for index in range(count):
        headers.append(child(headers[-1] if headers else parent, first_slot + index))
    return headers


class BlockTree:
    """One node's view of the chain: what was imported, the best head, what is final."""

    def __init__(self, genesis: Header = GENESIS) -> None:
        self._headers: dict[Hash, Header] = {}
        self._numbers: dict[Hash, int] = {}
        self.choice = ForkChoice(genesis.hash(), genesis.number)
        self._keep(genesis)

    def _keep(self, header: Header) -> BlockRef:
        block = ref(header)
        self._headers[block.hash] = header
        self._numbers[block.hash] = header.number
        return block

    def add(self, *headers: Header) -> BlockRef:
        """Import headers in order; return the last one's block."""
        block = GENESIS_REF
        for header in headers:
            block = self._keep(header)
            self.choice.add(block.hash, header.parent_hash)
        return block

    def knows(self, block: Hash) -> bool:
        """Whether the block was imported."""
        return block in self._headers

    def finalise(self, block: BlockRef) -> None:
        """Note that a block is final; losing forks vanish from the view."""
        for lost in self.choice.finalise(block.hash).lost:
            del self._headers[lost]
            del self._numbers[lost]

    def best(self) -> BlockRef:
        """The best head."""
        return BlockRef(self.choice.best_number, self.choice.best)

    def number(self, block: Hash) -> int | None:
        return self._numbers.get(block)

    def header(self, block: Hash) -> Header | None:
        return self._headers.get(block)

    def parent(self, block: Hash) -> Hash | None:
        header = self._headers.get(block)
        return None if header is None or header.number == 0 else header.parent_hash

    def ancestor_at(self, block: Hash, number: int) -> Hash | None:
        cursor: Hash | None = block
        while cursor is not None and (self._numbers.get(cursor) or 0) > number:
            cursor = self.parent(cursor)
        return cursor if cursor is not None and self._numbers.get(cursor) == number else None

    def best_containing(self, block: Hash) -> BlockRef | None:
        number = self._numbers.get(block)
        if number is None:
            return None
        if number <= self.choice.finalised_number:
            return self.best() if self.ancestor_at(self.choice.finalised, number) == block else None
        head = self.choice.best_containing(block)
        return None if head is None else BlockRef(self._numbers[head], head)
