"""Creating a store for a new chain, and opening one: rebuild the state tree, replay the journals, check every root."""

from __future__ import annotations

from collections.abc import Mapping

from node.store import keys
from node.store.block_tree import BlockNode, BlockTree
from node.store.database import Database
from node.store.errors import DatabaseDamaged, DatabaseUnsuitable
from node.store.flush import Pruning
from node.store.records import Head, Undo, decode_head, decode_journal, encode_body, encode_head, encode_undo
from node.store.states import States
from node.store.store import Heads, Store
from runtime import tree

_PRUNED = b"pruned"
_ARCHIVE = b"archive"


def is_initialised(database: Database) -> bool:
    """Whether the database holds a chain."""
    return database.get(keys.META_SCHEMA) is not None


def create_store(
    database: Database, header: bytes, block_hash: bytes, state: Mapping[bytes, bytes], pruning: Pruning | None = None
) -> Store:
    """Write the genesis block and its state to an empty database with one synced write, and open the store.

    Raises DatabaseUnsuitable if the database holds a chain already.
    """
    if is_initialised(database):
        raise DatabaseUnsuitable("the database holds a chain already")
    pruning = pruning or Pruning()
    root = tree.build_from_state(state.items())
    genesis = Head(0, block_hash)
    puts = {
        keys.META_SCHEMA: bytes((keys.SCHEMA_VERSION,)),
        keys.META_GENESIS: block_hash,
        keys.META_PRUNING: _ARCHIVE if pruning.state_blocks is None else _PRUNED,
        keys.META_BEST: encode_head(genesis),
        keys.META_FINALISED: encode_head(genesis),
        keys.META_FLUSHED: encode_head(genesis) + tree.digest(root),
        keys.canonical_key(0): block_hash,
        keys.height_key(block_hash): bytes(8),
        keys.header_key(*genesis): header,
        keys.body_key(*genesis): encode_body([]),
        keys.undo_key(*genesis): encode_undo(Undo(tree.digest(root), ())),
    }
    for key, value in state.items():
        if key == keys.EVENTS_KEY:
            puts[keys.events_key(*genesis)] = value
            continue
        kh = tree.key_hash(key)
        puts[keys.STATE + key] = value
        puts[keys.KEY_OF + kh] = key
        if pruning.state_blocks is None:
            puts[keys.value_key(kh, 0)] = b"\x01" + value
    database.write(puts.items(), sync=True)
    return open_store(database, block_hash, pruning)


def open_store(database: Database, genesis_hash: bytes | None = None, pruning: Pruning | None = None) -> Store:
    """The store over a database that holds a chain.

    Raises DatabaseUnsuitable for another schema, genesis or pruning mode, DatabaseDamaged if anything read does not add
    up to the roots that the chain committed to.
    """
    pruning = pruning or Pruning()
    heads = _read_heads(database, genesis_hash, pruning)
    base = rebuild_base(database)
    blocks = BlockTree(base)
    states = States(database, blocks, 0 if pruning.state_blocks is None else None)
    replay_journals(database, blocks, states)
    for name, head in (("best", heads.best), ("finalised", heads.finalised)):
        node = blocks.get(head.hash)
        if node is None or node.number != head.number:
            raise DatabaseDamaged(f"the {name} block {head.number} is missing")
    if not blocks.descends(heads.best.hash, blocks.node(heads.finalised.hash)):
        raise DatabaseDamaged("the best block does not descend from the finalised one")
    store = Store(database, blocks, states, heads, pruning)
    store.resume()
    return store


def _read_heads(database: Database, genesis_hash: bytes | None, pruning: Pruning) -> Heads:
    schema = database.get(keys.META_SCHEMA)
    if schema != bytes((keys.SCHEMA_VERSION,)):
        found = "no chain" if schema is None else f"schema {schema.hex()}"
        raise DatabaseUnsuitable(f"the database holds {found}, not schema {keys.SCHEMA_VERSION}")
    genesis = read_meta(database, keys.META_GENESIS)
    if genesis_hash is not None and genesis != genesis_hash:
        raise DatabaseUnsuitable(f"the database is of chain 0x{genesis.hex()}, not 0x{genesis_hash.hex()}")
    mode = _ARCHIVE if pruning.state_blocks is None else _PRUNED
    found_mode = read_meta(database, keys.META_PRUNING)
    if found_mode != mode:
        raise DatabaseUnsuitable(f"state pruning: the database was made as {found_mode!r}, not {mode!r}")
    best = decode_head(read_meta(database, keys.META_BEST), "m best")
    finalised = decode_head(read_meta(database, keys.META_FINALISED), "m finalised")
    return Heads(genesis, best, finalised)


def read_meta(database: Database, key: bytes) -> bytes:
    """One of the store's own records, which must be there."""
    data = database.get(key)
    if data is None:
        raise DatabaseDamaged(f"the record {key.decode()} is missing")
    return data


def rebuild_base(database: Database) -> BlockNode:
    """The flushed block with its state tree, rebuilt from the S table and checked against its root."""
    data = read_meta(database, keys.META_FLUSHED)
    head = decode_head(data[:40], "m flushed")
    root = tree.build_from_state((key[1:], value) for key, value in database.iterate(keys.STATE))
    events = database.get(keys.events_key(*head))
    if events is not None:
        root = tree.update(root, tree.hashed([(keys.EVENTS_KEY, events)]))
    if tree.digest(root) != data[40:]:
        raise DatabaseDamaged(
            f"the state of block {head.number} adds up to root 0x{tree.digest(root).hex()}, not 0x{data[40:].hex()}"
        )
    header = database.get(keys.header_key(*head))
    if header is None:
        raise DatabaseDamaged(f"the header of the flushed block {head.number} is missing")
    return BlockNode(head.hash, header[:32], head.number, root)


def replay_journals(database: Database, blocks: BlockTree, states: States) -> None:
    """Every unflushed block into the tree, by height, each root checked."""
    for key, data in database.iterate(keys.JOURNAL):
        head = Head(int.from_bytes(key[1:9], "big"), key[9:])
        journal = decode_journal(data)
        parent = blocks.get(journal.parent)
        if parent is None or head.number != parent.number + 1:
            raise DatabaseDamaged(f"the parent of block {head.number} 0x{head.hash.hex()} is missing")
        changes = [*journal.changes, (keys.EVENTS_KEY, database.get(keys.events_key(*head)))]
        root = tree.update(parent.root, states.hashed(changes))
        if tree.digest(root) != journal.root:
            raise DatabaseDamaged(f"the journal of block {head.number} 0x{head.hash.hex()} leads to another root")
        blocks.add(BlockNode(head.hash, journal.parent, head.number, root, journal.origin))
