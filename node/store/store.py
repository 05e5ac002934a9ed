"""The store: blocks, their states and the three heads - best, finalised, flushed - over one ordered database.

Importing a block is one synced write. Finality is one synced write, then batches that move journals into the flushed
state (`flush.py`). Whatever moment a crash picks, the next start finds a sound database and goes on.

Methods may be called from any thread; a lock makes each of them whole. Errors: `node/store/errors.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import RLock

from node.store import keys
from node.store.block_tree import BlockNode, BlockTree
from node.store.database import Database
from node.store.errors import BlockKnown, DatabaseDamaged, HeaderMismatch, NotDescendant, UnknownBlock
from node.store.flush import FlushBatch, Pruning, delete_block, plan_flush
from node.store.reader import StateReader
from node.store.records import Head, Journal, decode_body, encode_body, encode_head, encode_journal
from node.store.states import States
from runtime import tree
from runtime.hashing import blake2b256
from runtime.proof import ProofError, state_root_of

META_NAME_BYTES_MAX = 64


@dataclass(frozen=True, slots=True)
class FinalizeResult:
    """`finalised` heads ascending, the target last; `pruned` forks; `best`, which moves if its fork was pruned."""

    finalised: tuple[Head, ...]
    pruned: tuple[Head, ...]
    best: Head


@dataclass(slots=True)
class Heads:
    """Where the store stands when it opens."""

    genesis: bytes
    best: Head
    finalised: Head


class Store:
    """Made by `node.store.startup`: `create_store` for a new chain, `open_store` for a database that holds one."""

    def __init__(self, database: Database, blocks: BlockTree, states: States, heads: Heads, pruning: Pruning) -> None:
        self.genesis_hash = heads.genesis
        self.pruning = pruning
        self._database = database
        self._blocks = blocks
        self._states = states
        self._best = heads.best
        self._finalised = heads.finalised
        self._doomed: list[BlockNode] = []
        self._lock = RLock()
        states.set_tip(heads.best.hash)

    # --- Heads and the tree of blocks ---

    @property
    def best(self) -> Head:
        """The head that fork choice prefers."""
        return self._best

    @property
    def finalised(self) -> Head:
        """The highest block that will never be reverted."""
        return self._finalised

    @property
    def flushed(self) -> Head:
        """The block whose state the S table holds: the finalised one, or a little behind while batches run."""
        return self._blocks.base.head

    def leaves(self) -> list[Head]:
        """The ends of all forks, first seen first."""
        with self._lock:
            return [node.head for node in self._blocks.leaves()]

    def unfinalised(self) -> list[Head]:
        """The blocks above the finalised head on every fork, parents first."""
        with self._lock:
            node = self._blocks.node(self._finalised.hash)
            return [each.head for each in self._blocks.descendants(node).values()][1:]

    def number(self, block_hash: bytes) -> int:
        """A block's height; UnknownBlock."""
        with self._lock:
            node = self._blocks.get(block_hash)
            if node is not None:
                return node.number
            data = self._database.get(keys.height_key(block_hash))
        if data is None:
            raise UnknownBlock(block_hash)
        return int.from_bytes(data, "big")

    def knows(self, block_hash: bytes) -> bool:
        """Whether the block is stored."""
        with self._lock:
            return block_hash in self._blocks or self._database.get(keys.height_key(block_hash)) is not None

    def hash_at(self, number: int) -> bytes | None:
        """The hash at a height of the best chain, or None above its head (or below what is stored)."""
        if not 0 <= number <= self._best.number:
            return None
        with self._lock:
            return self._database.get(keys.canonical_key(number))

    def ancestor(self, block_hash: bytes, number: int) -> bytes:
        """The hash of the block's ancestor (or itself) at a height; UnknownBlock, ValueError above the block."""
        with self._lock:
            own = self.number(block_hash)
            if not 0 <= number <= own:
                raise ValueError(f"height {number} is not between 0 and the block's {own}")
            if block_hash in self._blocks and number >= self._blocks.base.number:
                return self._blocks.ancestor(block_hash, number).hash
            found = self._database.get(keys.canonical_key(number))
        if found is None:
            raise UnknownBlock(block_hash)
        return found

    def is_descendant(self, block_hash: bytes, ancestor: bytes) -> bool:
        """Whether the block is `ancestor` or descends from it; UnknownBlock for either."""
        with self._lock:
            number = self.number(ancestor)
            return self.number(block_hash) >= number and self.ancestor(block_hash, number) == ancestor

    def common_ancestor(self, one: bytes, two: bytes) -> Head:
        """The highest block that both descend from or are."""
        with self._lock:
            number = min(self.number(one), self.number(two))
            one, two = self.ancestor(one, number), self.ancestor(two, number)
            while one != two:
                number -= 1
                one, two = self.ancestor(one, number), self.ancestor(two, number)
            return Head(number, one)

    # --- Records of blocks ---

    def header(self, block_hash: bytes) -> bytes:
        """The SCALE header; UnknownBlock."""
        data = self._record(keys.header_key, block_hash)
        if data is None:
            raise DatabaseDamaged(f"the header of 0x{block_hash.hex()} is missing")
        return data

    def parent(self, block_hash: bytes) -> bytes:
        """The parent's hash (zeros for genesis); UnknownBlock."""
        node = self._blocks.get(block_hash)
        return node.parent if node is not None else self.header(block_hash)[:32]

    def body(self, block_hash: bytes) -> list[bytes] | None:
        """The extrinsics, or None if the body is pruned; UnknownBlock."""
        data = self._record(keys.body_key, block_hash)
        return None if data is None else decode_body(data)

    def events(self, block_hash: bytes) -> bytes | None:
        """The value of System.Events after the block, or None if there is none or it is pruned; UnknownBlock."""
        return self._record(keys.events_key, block_hash)

    def justification(self, block_hash: bytes) -> bytes | None:
        """The stored proof of finality of just this block, or None; UnknownBlock."""
        return self._record(keys.justification_key, block_hash)

    def _record(self, key_of: Callable[[int, bytes], bytes], block_hash: bytes) -> bytes | None:
        with self._lock:
            return self._database.get(key_of(self.number(block_hash), block_hash))

    def read_meta(self, name: str) -> bytes | None:
        """A small record of another part of the node, such as finality's `grandpa`."""
        with self._lock:
            return self._database.get(_meta_key(name))

    def write_meta(self, name: str, value: bytes) -> None:
        """Replace such a record; on stable storage when it returns."""
        with self._lock:
            self._database.write([(_meta_key(name), value)], sync=True)

    # --- States ---

    def state_at(self, block_hash: bytes) -> StateReader:
        """The state after a block; UnknownBlock, StateDiscarded."""
        with self._lock:
            head = Head(self.number(block_hash), block_hash)
            self._states.require(head)
            return StateReader(self._states, self._lock, head)

    # --- Importing ---

    def import_block(
        self,
        block_hash: bytes,
        parent: bytes,
        number: int,
        header: bytes,
        body: Sequence[bytes],
        events: bytes | None,
        changes: Iterable[tuple[bytes, bytes | None]],
        new_root: tree.Node,
        *,
        is_new_best: bool,
        origin: tuple[int, bytes] | None = None,
    ) -> None:
        """Store an executed block with one synced write.

        `changes` are raw (key, value or None), each key once; System.Events may be among them, its value is taken from
        `events`. `new_root` is the parent's tree after them. `origin` is (slot, author). Raises BlockKnown,
        UnknownBlock (the parent), NotDescendant, TooManyLeaves, TooManyOfOneSlot, HeaderMismatch.
        """
        with self._lock:
            self.check_import(block_hash, parent, number, origin)
            _check_header(header, block_hash, parent, new_root)
            head = Head(number, block_hash)
            values = {key: value for key, value in sorted(changes) if key != keys.EVENTS_KEY}
            journal = encode_journal(Journal(parent, new_root[0], tuple(values.items()), origin))
            puts = [
                (keys.header_key(*head), header),
                (keys.body_key(*head), encode_body(list(body))),
                (keys.journal_key(*head), journal),
                (keys.height_key(block_hash), number.to_bytes(8, "big")),
            ]
            if events is not None:
                puts.append((keys.events_key(*head), events))
            node = BlockNode(block_hash, parent, number, new_root, origin)
            deletes: list[bytes] = []
            if is_new_best:
                canonical, deletes = self._move_best(head, [*self._blocks.path(parent), node])
                puts += canonical
            self._database.write(puts, deletes, sync=True)
            self._blocks.add(node)
            self._states.added(head, values, len(journal))
            if is_new_best:
                self._best = head
                self._states.set_tip(block_hash, values)

    def check_import(
        self, block_hash: bytes, parent: bytes, number: int, origin: tuple[int, bytes] | None = None
    ) -> None:
        """What `import_block` would refuse before it looks at the content: cheap, to be asked before executing."""
        with self._lock:
            if self.knows(block_hash):
                raise BlockKnown(block_hash)
            if parent not in self._blocks:
                if self.knows(parent):
                    raise NotDescendant(f"the parent 0x{parent.hex()} lies below the finalised block")
                raise UnknownBlock(parent)
            above = self._blocks.require_above(parent, self._blocks.node(self._finalised.hash))
            if number != above.number + 1:
                raise HeaderMismatch(f"number {number} does not follow the parent's {above.number}")
            self._blocks.check_room(parent, origin)

    def set_best(self, block_hash: bytes) -> None:
        """Move the best head to a stored block at or above the finalised one; UnknownBlock, NotDescendant."""
        with self._lock:
            finalised = self._blocks.node(self._finalised.hash)
            head = self._blocks.require_above(block_hash, finalised).head
            puts, deletes = self._move_best(head, self._blocks.path(block_hash))
            self._database.write(puts, deletes, sync=True)
            self._best = head
            self._states.set_tip(block_hash)

    def _move_best(self, head: Head, path: list[BlockNode]) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
        """Puts and deletes that make `path`, from the flushed head to `head`, the canonical chain."""
        old = self._best
        on_old = {node.hash for node in self._blocks.path(old.hash)}
        puts = [(keys.canonical_key(node.number), node.hash) for node in path if node.hash not in on_old]
        puts.append((keys.META_BEST, encode_head(head)))
        return puts, [keys.canonical_key(number) for number in range(head.number + 1, old.number + 1)]

    # --- Finality ---

    def finalize(self, block_hash: bytes, justification: bytes | None = None) -> FinalizeResult:
        """Make a block and its ancestors final, drop the forks that lose, and flush.

        A block that is final already only gains the justification. Raises UnknownBlock, NotDescendant.
        """
        with self._lock:
            result = self.mark_finalised(block_hash, justification)
            while self.flush_some():
                pass
            return result

    def mark_finalised(self, block_hash: bytes, justification: bytes | None = None) -> FinalizeResult:
        """The first half of `finalize`: one synced write. The caller then calls `flush_some` until it returns False."""
        with self._lock:
            head = Head(self.number(block_hash), block_hash)
            puts = [] if justification is None else [(keys.justification_key(*head), justification)]
            if head.number <= self._finalised.number:
                if self.ancestor(self._finalised.hash, head.number) != block_hash:
                    raise NotDescendant(f"0x{block_hash.hex()} is not on the finalised chain")
                if puts:
                    self._database.write(puts, sync=True)
                return FinalizeResult((), (), self._best)
            old = self._blocks.node(self._finalised.hash)
            node = self._blocks.require_above(block_hash, old)
            losers = self._blocks.losers(block_hash)
            best = self._best
            deletes: list[bytes] = []
            if not self._blocks.descends(best.hash, node):
                best = _highest(self._blocks.descendants(node).values()).head
                canonical, deletes = self._move_best(best, self._blocks.path(best.hash))
                puts += canonical
            puts.append((keys.META_FINALISED, encode_head(head)))
            self._database.write(puts, deletes, sync=True)
            finalised = tuple(each.head for each in self._blocks.path(block_hash) if each.number > old.number)
            self._finalised = head
            if best != self._best:
                self._best = best
                self._states.set_tip(best.hash)
            self._drop(losers)
            return FinalizeResult(finalised, tuple(loser.head for loser in losers), best)

    def _drop(self, losers: list[BlockNode]) -> None:
        """Losing forks leave memory at once and the database with the batches that flush past them."""
        self._blocks.remove(losers)
        self._states.removed(losers)
        self._doomed += losers

    def flush_some(self) -> bool:
        """Flush one batch of finalised blocks; whether there may be more."""
        with self._lock:
            path = self._blocks.path(self._finalised.hash)
            if not path:
                return False
            batch = plan_flush(self._database, self._states, path, self._doomed, self.pruning)
            self._database.write(batch.puts.items(), batch.deletes, sync=True)
            gone = self._blocks.rebase(batch.head.hash)
            self._states.flushed(gone, batch.sizes, batch.written)
            last = batch.head == self._finalised
            self._doomed = [] if last else [node for node in self._doomed if node.number > batch.head.number]
            return not last

    def resume(self) -> None:
        """At start: drop the forks that the finalised head left behind and finish flushing."""
        with self._lock:
            self._drop(self._blocks.losers(self._finalised.hash))
            while self.flush_some():
                pass

    # --- Going back ---

    def revert(self, blocks: int) -> Head:
        """Take up to so many blocks off the best chain, never a finalised one; returns the new best head.

        Every block above the new best is deleted, on all forks.
        """
        if blocks < 0:
            raise ValueError(f"blocks: {blocks} is negative")
        with self._lock:
            number = max(self._finalised.number, self._best.number - blocks)
            node = self._blocks.ancestor(self._best.hash, number)
            gone = [each for each in self._blocks if each.number > number]
            batch = FlushBatch(node.head)
            for each in gone:
                delete_block(batch, each.head)
            puts, deletes = self._move_best(node.head, self._blocks.path(node.hash))
            self._database.write(puts, [*batch.deletes, *deletes], sync=True)
            self._best = node.head
            self._states.set_tip(node.hash)
            self._blocks.remove(gone)
            self._states.removed(gone)
            return node.head

    def close(self) -> None:
        """Release the database."""
        with self._lock:
            self._database.close()

    def headers_between(self, first: int, last: int) -> Iterator[tuple[Head, bytes]]:
        """(head, SCALE header) of the best chain from height `first` to `last`, both included, as far as it goes."""
        for number in range(max(first, 0), min(last, self._best.number) + 1):
            block_hash = self.hash_at(number)
            if block_hash is None:
                return
            yield Head(number, block_hash), self.header(block_hash)


def _meta_key(name: str) -> bytes:
    """Names are prefixed, so that none can be one of the store's own."""
    encoded = b"m\xff" + name.encode()
    if len(encoded) > META_NAME_BYTES_MAX:
        raise ValueError(f"name: {len(encoded)} bytes, at most {META_NAME_BYTES_MAX}")
    return encoded


def _check_header(header: bytes, block_hash: bytes, parent: bytes, root: tree.Node) -> None:
    """A block is only stored under its own hash, below its own parent and with its own state."""
    if blake2b256(header) != block_hash:
        raise HeaderMismatch(f"the header does not hash to 0x{block_hash.hex()}")
    if header[:32] != parent:
        raise HeaderMismatch(f"the header names another parent than 0x{parent.hex()}")
    try:
        expected = state_root_of(header)
    except ProofError as error:
        raise HeaderMismatch(str(error)) from error
    if expected != tree.digest(root):
        raise HeaderMismatch("the header names another state root")


def _highest(nodes: Iterable[BlockNode]) -> BlockNode:
    """The highest block, of equals the first seen."""
    return max(nodes, key=lambda node: node.number)
