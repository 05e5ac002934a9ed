"""Chains of made-up blocks for tests of the store: real headers, roots and hashes, invented content."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from node.store import keys
from node.store.database import Database
from node.store.flush import Pruning
from node.store.startup import create_store
from node.store.store import Store
from runtime import tree
from runtime.hashing import blake2b256

Changes = Mapping[bytes, bytes | None]

GENESIS_STATE = {b"alpha": b"1", b"beta": b"2", b"gamma": b"3" * 600}


def header_of(parent: bytes, number: int, state_root: bytes, salt: bytes) -> bytes:
    """A SCALE header with an empty digest; the salt stands in for the extrinsics root and keeps forks apart."""
    assert number < 1 << 14
    compact = bytes((number << 2,)) if number < 64 else (number << 2 | 1).to_bytes(2, "little")
    return parent + compact + state_root + blake2b256(salt) + b"\x00"


@dataclass(frozen=True)
class Made:
    """A made-up block with its whole state, System.Events included."""

    hash: bytes
    parent: bytes
    number: int
    header: bytes
    body: list[bytes]
    events: bytes | None
    state: dict[bytes, bytes] = field(repr=False)
    changes: dict[bytes, bytes | None] = field(repr=False)


def make_genesis(state: Mapping[bytes, bytes] = GENESIS_STATE) -> Made:
    """The first block."""
    root = tree.digest(tree.build_from_state(state.items()))
    header = header_of(bytes(32), 0, root, b"genesis")
    return Made(blake2b256(header), bytes(32), 0, header, [], state.get(keys.EVENTS_KEY), dict(state), {})


def make_block(parent: Made, changes: Changes, salt: bytes = b"", events: bytes | None = b"events") -> Made:
    """A child; its state is computed from the whole content, without the tree's updates."""
    state = {**parent.state}
    for key, value in [*changes.items(), (keys.EVENTS_KEY, events)]:
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value
    number = parent.number + 1
    root = tree.digest(tree.build_from_state(state.items()))
    header = header_of(parent.hash, number, root, salt)
    body = [b"extrinsic of " + salt, bytes((number % 256,))]
    return Made(blake2b256(header), parent.hash, number, header, body, events, state, dict(changes))


def import_made(store: Store, made: Made, *, best: bool = True, origin: tuple[int, bytes] | None = None) -> None:
    """Import it the way the node does: the new root comes from the parent's reader."""
    changes = [*made.changes.items(), (keys.EVENTS_KEY, made.events)]
    root = store.state_at(made.parent).updated_root(changes)
    store.import_block(
        made.hash,
        made.parent,
        made.number,
        made.header,
        made.body,
        made.events,
        changes,
        root,
        is_new_best=best,
        origin=origin,
    )


def new_store(database: Database, genesis: Made, pruning: Pruning | None = None) -> Store:
    """A fresh store."""
    return create_store(database, genesis.header, genesis.hash, genesis.state, pruning)


def check_state(store: Store, made: Made) -> None:
    """The block's state can be read whole: by key, by enumeration and as a tree."""
    reader = store.state_at(made.hash)
    assert tree.digest(reader.root) == tree.digest(tree.build_from_state(made.state.items()))
    assert list(reader.iterate(b"")) == sorted(made.state.items())
    for key, value in made.state.items():
        assert reader.get(key) == value
    assert reader.get(b"absent") is None
