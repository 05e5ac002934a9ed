"""The state after one block, as the executive, RPC and proofs read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from threading import RLock

from node.store.records import Head
from node.store.states import States
from runtime import tree
from runtime.proof import StateProof

KEYS_PAGE_MAX = 1000
"""Most keys in one page of an enumeration."""


class StateReader:
    """Reads from any thread; raises StateDiscarded once its block's state is gone.

    It is bound to a block, not to a moment: while the finalised head moves, it goes on reading the same state.
    """

    __slots__ = ("_lock", "_states", "head")

    def __init__(self, states: States, lock: RLock, head: Head) -> None:
        self.head = head
        self._states = states
        self._lock = lock

    def get(self, key: bytes) -> bytes | None:
        """The value under a raw storage key, or None."""
        with self._lock:
            return self._states.get(self.head, key)

    def iterate(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Pairs with `prefix` and key >= `start`, ascending by raw key; lazily, from one consistent view."""
        with self._lock:
            return self._states.iterate(self.head, prefix, start)

    def keys_paged(self, prefix: bytes, count: int, after: bytes | None = None) -> list[bytes]:
        """Up to `count` (at most KEYS_PAGE_MAX) keys with `prefix` that come after the key `after`."""
        start = b"" if after is None else after + b"\x00"
        return [key for key, _ in islice(self.iterate(prefix, start), min(count, KEYS_PAGE_MAX))]

    @property
    def root(self) -> tree.Node:
        """The state tree."""
        with self._lock:
            return self._states.root(self.head)

    @property
    def key_hashes(self) -> dict[bytes, bytes]:
        """A bounded cache: `key_hashes[storage_key]` is its key hash."""
        return self._states.key_hashes

    def updated_root(self, changes: Sequence[tuple[bytes, bytes | None]]) -> tree.Node:
        """The tree after raw changes, each key once and in any order: what `import_block` takes as the new root."""
        return tree.update(self.root, tree.hashed(changes, self.key_hashes.__getitem__))

    def prove(self, key: bytes) -> StateProof:
        """What the key holds, or that it holds nothing, provable from the block's header alone."""
        with self._lock:
            value = self._states.get(self.head, key)
            path, page = tree.prove(self._states.root(self.head), self.key_hashes[key])
        return StateProof(key, value, path, page)
