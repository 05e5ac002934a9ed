"""States of blocks: values, enumeration and roots, at the flushed head, above it and below it.

Above the flushed head a value is looked up in the journals down to it, and the best leaf keeps one flat dictionary
instead; below, in the undo records from the block up; at the head, and wherever those are silent, in the S table.
System.Events is the exception: its value is in the e table only. Every method expects the store's lock to be held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from node.store import keys
from node.store.block_tree import BlockNode, BlockTree
from node.store.database import Database
from node.store.errors import DatabaseDamaged, StateDiscarded
from node.store.lru import HashCache, WeightedCache
from node.store.records import Head, Undo, decode_journal, decode_undo
from runtime import tree

ROOT_CACHE_BYTES = 48 * 1024 * 1024
ROOT_BYTES_PER_CHANGE = 1024
"""What one changed key keeps alive of an older root: 3.6-4.5 MB at 4,000 (reference/performance.md)."""
RECORD_CACHE_BYTES = 16 * 1024 * 1024
"""Decoded journals, and as much again of decoded undo records."""
RECORD_BYTES_PER_PAIR = 256
HOT_VALUES_MAX = 131_072
HOT_VALUE_BYTES_MAX = 512
KEY_HASHES_MAX = 131_072

Values = dict[bytes, bytes | None]


class States:
    """Reads the states of the blocks in `blocks` and of the canonical blocks below its base."""

    def __init__(self, database: Database, blocks: BlockTree, archive_since: int | None) -> None:
        self.key_hashes = HashCache(tree.key_hash, KEY_HASHES_MAX)
        self._database = database
        self._blocks = blocks
        self._archive_since = archive_since
        self._tip = blocks.base.hash
        self._flat: dict[bytes, tuple[int, bytes | None]] = {}
        self._hot: Values = {}
        self._journals: WeightedCache[Values] = WeightedCache(RECORD_CACHE_BYTES)
        self._undos: WeightedCache[Values] = WeightedCache(RECORD_CACHE_BYTES)
        self._roots: WeightedCache[tree.Node] = WeightedCache(ROOT_CACHE_BYTES)

    # --- Values ---

    def get(self, head: Head, key: bytes) -> bytes | None:
        """The value of a raw key after the block; StateDiscarded if the block or its state is gone."""
        if head.hash == self._tip:
            found = self._flat.get(key)
            if found is not None:
                return found[1]
            return self._events(head) if key == keys.EVENTS_KEY else self.flushed_value(key)
        if key == keys.EVENTS_KEY:
            self.require(head)
            return self._events(head)
        node = self._blocks.get(head.hash)
        if node is None:
            return self._get_below(head, key)
        base = self._blocks.base.number
        while node.number > base:
            values = self.journal(node.head)
            if key in values:
                return values[key]
            node = self._blocks.node(node.parent)
        return self.flushed_value(key)

    def require(self, head: Head) -> None:
        """Raise StateDiscarded unless the block's state can be read."""
        if head.hash in self._blocks:
            return
        base = self._blocks.base.number
        if head.number >= base or self._database.get(keys.canonical_key(head.number)) != head.hash:
            raise StateDiscarded(head.hash)
        if self._database.get(keys.undo_key(head.number, head.hash)) is None:
            # Undo records go oldest first: the block's own is there exactly if all later ones are.
            raise StateDiscarded(head.hash)

    def _events(self, head: Head) -> bytes | None:
        return self._database.get(keys.events_key(head.number, head.hash))

    def flushed_value(self, key: bytes) -> bytes | None:
        """The value in the flushed state, the often used kept at hand."""
        hot = self._hot
        if key in hot:
            return hot[key]
        value = self._database.get(keys.STATE + key)
        if value is None or len(value) <= HOT_VALUE_BYTES_MAX:
            if len(hot) >= HOT_VALUES_MAX:
                for old in list(islice(hot, HOT_VALUES_MAX // 2)):
                    del hot[old]
            hot[key] = value
        return value

    def _get_below(self, head: Head, key: bytes) -> bytes | None:
        """The value at a canonical block below the flushed head."""
        self.require(head)
        if self._archive_since is not None and head.number >= self._archive_since:
            return self._archived(head.number, key)
        for values in self._undos_above(head):
            if key in values:
                return values[key]
        return self.flushed_value(key)

    def _archived(self, number: int, key: bytes) -> bytes | None:
        """The newest value not above the height, by one seek."""
        start = keys.value_key(self.key_hashes[key], number)
        for _, value in self._database.iterate(start[:33], start, limit=1):
            return value[1:] if value[0] else None
        return None

    def journal(self, head: Head) -> Values:
        """What an unflushed block changed."""
        values = self._journals.get(head.hash)
        if values is None:
            data = read_record(self._database, keys.journal_key(*head), f"the journal of block {head.number}")
            values = dict(decode_journal(data).changes)
            self.added(head, values, len(data))
        return values

    def _undos_above(self, head: Head) -> Iterator[Values]:
        """What the blocks above a canonical one, up to the flushed head, replaced; ascending."""
        for number in range(head.number + 1, self._blocks.base.number + 1):
            yield self._undo(number)

    def _undo(self, number: int) -> Values:
        block_hash = self._database.get(keys.canonical_key(number)) or b""
        values = self._undos.get(block_hash)
        if values is None:
            values = dict(read_undo(self._database, Head(number, block_hash)).previous)
            self._undos.put(block_hash, values, sum(map(len, values)) + RECORD_BYTES_PER_PAIR * len(values))
        return values

    # --- Enumeration ---

    def iterate(self, head: Head, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with the prefix from `start` on (inclusive), ascending, as of the block and of this moment."""
        overlay = self._overlay(head, prefix)
        if keys.EVENTS_KEY.startswith(prefix):
            overlay[keys.EVENTS_KEY] = self._events(head)
        above = [(key, overlay[key]) for key in sorted(overlay) if key >= start]
        below = self._database.iterate(keys.STATE + prefix, keys.STATE + max(start, prefix))
        return _merged(below, above)

    def _overlay(self, head: Head, prefix: bytes) -> Values:
        """How the block's state differs from the flushed one, under a prefix."""
        if head.hash == self._tip:
            return {key: value for key, (_, value) in self._flat.items() if key.startswith(prefix)}
        overlay: Values = {}
        node = self._blocks.get(head.hash)
        if node is None:
            self.require(head)
            for values in self._undos_above(head):
                _fill(overlay, values, prefix)
            return overlay
        for each in reversed(self._blocks.path(head.hash)):
            _fill(overlay, self.journal(each.head), prefix)
        return overlay

    # --- Roots ---

    def root(self, head: Head) -> tree.Node:
        """The tree of the block's state: held above the flushed head, cached or rebuilt by undo records below."""
        node = self._blocks.get(head.hash)
        if node is not None:
            return node.root
        self.require(head)
        cached = self._roots.get(head.hash)
        return self._rebuild(head) if cached is None else cached

    def _rebuild(self, head: Head) -> tree.Node:
        """From the nearest root above, taking back one block after the other."""
        number = head.number + 1
        values = self._undo(number)
        changes = dict(values)
        near: tree.Node | None = None
        while near is None:
            near = self._root_at(number)
            if near is None:
                number += 1
                for key, value in self._undo(number).items():
                    changes.setdefault(key, value)
        changes[keys.EVENTS_KEY] = self._events(head)
        root = tree.update(near, self.hashed(changes.items()))
        if tree.digest(root) != read_undo(self._database, head).root:
            raise DatabaseDamaged(f"the undo records do not lead back to the state of block {head.number}")
        self._keep_root(head, root, len(values))
        return root

    def _root_at(self, number: int) -> tree.Node | None:
        """The root of the canonical block at a height up to the flushed one, if at hand."""
        base = self._blocks.base
        if number == base.number:
            return base.root
        return self._roots.get(self._database.get(keys.canonical_key(number)) or b"")

    def _keep_root(self, head: Head, root: tree.Node, changes_above: int) -> None:
        self._roots.put(head.hash, root, (changes_above + 8) * ROOT_BYTES_PER_CHANGE)

    def hashed(self, changes: Iterable[tuple[bytes, bytes | None]]) -> list[tree.Change]:
        """Raw changes, each key once, as the tree wants them."""
        return tree.hashed(changes, self.key_hashes.__getitem__)

    # --- What the store tells ---

    def set_tip(self, tip: bytes, added: Values | None = None) -> None:
        """The best leaf moved: onto its child, whose changes are given, or elsewhere."""
        node = self._blocks.node(tip)
        if added is not None and node.parent == self._tip:
            number, flat = node.number, self._flat
            for key, value in added.items():
                flat[key] = (number, value)
        else:
            self._flat = {}
            for each in self._blocks.path(tip):
                number = each.number
                self._flat.update({key: (number, value) for key, value in self.journal(each.head).items()})
        self._tip = tip

    def added(self, head: Head, values: Values, encoded_bytes: int) -> None:
        """A block was imported; its journal takes so many bytes on disk."""
        self._journals.put(head.hash, values, encoded_bytes + RECORD_BYTES_PER_PAIR * len(values))

    def removed(self, nodes: list[BlockNode]) -> None:
        """Forks are gone."""
        for node in nodes:
            self._journals.drop(node.hash)

    def flushed(self, gone: list[BlockNode], sizes: list[int], written: Values) -> None:
        """The base moved up: `gone` are the old base and what lay between, `sizes` the changes of the block after each.

        `written` is what the S table received.
        """
        hot, flat = self._hot, self._flat
        base = self._blocks.base.number
        for key, value in written.items():
            if key in hot:
                if value is None or len(value) <= HOT_VALUE_BYTES_MAX:
                    hot[key] = value
                else:
                    del hot[key]
            held = flat.get(key)
            if held is not None and held[0] <= base:
                del flat[key]
        for node, size in zip(gone, sizes, strict=True):
            self._journals.drop(node.hash)
            self._keep_root(node.head, node.root, size)
        self._journals.drop(self._blocks.base.hash)


def read_record(database: Database, key: bytes, name: str) -> bytes:
    """A record that must be there."""
    data = database.get(key)
    if data is None:
        raise DatabaseDamaged(f"{name} is missing")
    return data


def read_undo(database: Database, head: Head) -> Undo:
    """The undo record of a flushed block; StateDiscarded if it is pruned."""
    data = database.get(keys.undo_key(*head))
    if data is None:
        raise StateDiscarded(head.hash)
    return decode_undo(data)


def _fill(overlay: Values, values: Values, prefix: bytes) -> None:
    """Adds what the overlay does not know yet."""
    for key, value in values.items():
        if key.startswith(prefix):
            overlay.setdefault(key, value)


def _merged(
    below: Iterator[tuple[bytes, bytes]], above: list[tuple[bytes, bytes | None]]
) -> Iterator[tuple[bytes, bytes]]:
    """S pairs with the overlay's pairs over them; both ascending."""
    position = 0
    for state_key, value in below:
        key = state_key[1:]
        while position < len(above) and above[position][0] < key:
            yield from _present(above[position])
            position += 1
        if position < len(above) and above[position][0] == key:
            yield from _present(above[position])
            position += 1
        else:
            yield key, value
    for pair in above[position:]:
        yield from _present(pair)


def _present(pair: tuple[bytes, bytes | None]) -> Iterator[tuple[bytes, bytes]]:
    if pair[1] is not None:
        yield pair[0], pair[1]
