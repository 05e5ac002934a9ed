"""Moving finalised blocks from their journals into the flushed state, at most a batch at a time.

One batch is one synced write: it takes up to FLUSH_BLOCKS_MAX journals, oldest first, into the S and K tables, keeps
what they replaced as undo records, deletes the journals, the losing forks that are now behind and what the pruning
windows let go, and moves the flushed head. A crash between two batches leaves a sound database that resumes at start.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.store import keys
from node.store.block_tree import BlockNode
from node.store.database import Database
from node.store.records import Head, Undo, encode_head, encode_undo
from node.store.states import States, Values

FLUSH_BLOCKS_MAX = 64
FLUSH_CHANGES_MAX = 20_000
"""A batch ends early after so many changes, to hold the store's lock for about 100 ms."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """How many blocks behind the flushed head states (and events) and bodies stay; None keeps all: an archive."""

    state_blocks: int | None = 256
    body_blocks: int | None = None


@dataclass(slots=True)
class FlushBatch:
    """What one synced write will do, and what of it memory must learn."""

    head: Head
    puts: dict[bytes, bytes] = field(default_factory=dict)
    deletes: set[bytes] = field(default_factory=set)
    written: Values = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)

    def put(self, key: bytes, value: bytes) -> None:
        """A later put wins over an earlier delete."""
        self.deletes.discard(key)
        self.puts[key] = value

    def delete(self, key: bytes) -> None:
        """A later delete wins over an earlier put."""
        self.puts.pop(key, None)
        self.deletes.add(key)


def plan_flush(
    database: Database, states: States, path: list[BlockNode], doomed: list[BlockNode], pruning: Pruning
) -> FlushBatch:
    """The next batch: the first blocks of `path`, which leads from the flushed head to the finalised one."""
    base = path[0].number - 1
    batch = FlushBatch(path[0].head)
    for node in path[:FLUSH_BLOCKS_MAX]:
        _flush_block(database, states, node, pruning, batch)
        batch.head = node.head
        if len(batch.written) >= FLUSH_CHANGES_MAX:
            break
    last = batch.head.number == path[-1].number
    for node in doomed:
        if last or node.number <= batch.head.number:
            delete_block(batch, node.head)
    prune(database, batch, base, batch.head.number, pruning)
    node = path[batch.head.number - base - 1]
    batch.put(keys.META_FLUSHED, encode_head(node.head) + node.root[0])
    return batch


def _flush_block(database: Database, states: States, node: BlockNode, pruning: Pruning, batch: FlushBatch) -> None:
    """One journal into S, K and V; what it replaced into u."""
    values = states.journal(node.head)
    previous: list[tuple[bytes, bytes | None]] = []
    written, puts = batch.written, batch.puts
    archive = pruning.state_blocks is None
    for key, value in values.items():
        before = written[key] if key in written else states.flushed_value(key)
        written[key] = value
        if value == before:
            continue
        previous.append((key, before))
        if value is not None and before is not None and not archive:
            # The usual case, kept short: what exists gets another value, so no delete of it is pending.
            puts[keys.STATE + key] = value
            continue
        kh = states.key_hashes[key]
        if value is None:
            batch.delete(keys.STATE + key)
            batch.delete(keys.KEY_OF + kh)
        else:
            batch.put(keys.STATE + key, value)
            if before is None:
                batch.put(keys.KEY_OF + kh, key)
        if archive:
            batch.put(keys.value_key(kh, node.number), b"\x00" if value is None else b"\x01" + value)
    batch.put(keys.undo_key(*node.head), encode_undo(Undo(node.root[0], tuple(previous))))
    batch.delete(keys.journal_key(*node.head))
    batch.sizes.append(len(values))


def delete_block(batch: FlushBatch, head: Head) -> None:
    """Every record of a block on a losing fork."""
    for key_of in (
        keys.header_key,
        keys.body_key,
        keys.events_key,
        keys.journal_key,
        keys.justification_key,
    ):
        batch.delete(key_of(*head))
    batch.delete(keys.height_key(head.hash))


def prune(database: Database, batch: FlushBatch, old: int, new: int, pruning: Pruning) -> None:
    """What falls out of the windows when the flushed head moves from height `old` to `new`."""
    if pruning.state_blocks is not None:
        for number in range(max(0, old - pruning.state_blocks), new - pruning.state_blocks):
            block_hash = database.get(keys.canonical_key(number)) or b""
            batch.delete(keys.undo_key(number, block_hash))
            batch.delete(keys.events_key(number, block_hash))
    if pruning.body_blocks is not None:
        for number in range(max(0, old - pruning.body_blocks), new - pruning.body_blocks):
            batch.delete(keys.body_key(number, database.get(keys.canonical_key(number)) or b""))
