"""The state tree: adaptive "quad-16" pages over hashed keys, as immutable tuples (part of consensus).

The form depends on the content alone. Every storage pair becomes a 64-byte entry `key_hash ‖ value_hash`. A subtree
with at most 32 entries is a page (its sorted entries concatenated); a larger one is an inner node with sixteen
children by the next nibble of the key hash. Hashes are blake2b-256, kept apart by `person`:

    key_hash = H_key(storage key)      page digest  = H_leaf(entries)
    value_hash = H_val(value)          inner digest = H_node(g0 ‖ g1 ‖ g2 ‖ g3),  gk = H_node(c[4k] ‖ … ‖ c[4k+3])

An absent child and the empty tree are thirty-two zero bytes. 128 bytes is one block of blake2b, so the two-storey
inner node costs what a binary one would and lets an update rehash only the quads it touched.

Nodes never change, so each block holds its own root, forks share what they have in common, and dropping a root
prunes it. Sizes: a key hash, a value hash and a digest are 32 bytes each; counts are entries.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias, cast

Page: TypeAlias = tuple[bytes, bytes]
"""(digest, sorted 64-byte entries); at most PAGE_ENTRIES_MAX of them."""
Inner: TypeAlias = tuple[bytes, int, tuple["Node", ...], tuple[bytes, ...]]
"""(digest, count of entries below, 16 children, 4 quad digests)."""
Node: TypeAlias = Page | Inner
Change: TypeAlias = tuple[bytes, bytes | None]
"""(key hash, value hash), or (key hash, None) to delete."""

HASH_BYTES = 32
ENTRY_BYTES = 64
PAGE_ENTRIES_MAX = 32
PAGE_BYTES_MAX = PAGE_ENTRIES_MAX * ENTRY_BYTES
PATH_ELEMENT_BYTES = 192
DEPTH_MAX = 64
"""Nibbles in a key hash: no path is longer, whoever chooses the keys."""

ZERO = bytes(HASH_BYTES)
EMPTY: Page = (ZERO, b"")
"""The empty tree, and an absent child."""

_EDIT_CHANGES_MAX = 16
"""Up to so many changes a page is edited in place; beyond, merging two sorted runs is cheaper."""
_SCAN_CHANGES_MAX = 48
"""Up to so many changes an inner node groups them by a scan; beyond, by sixteen bisections."""

_copy_key: Callable[[], Any] = blake2b(digest_size=HASH_BYTES, person=b"key").copy
_copy_value: Callable[[], Any] = blake2b(digest_size=HASH_BYTES, person=b"val").copy
_copy_leaf: Callable[[], Any] = blake2b(digest_size=HASH_BYTES, person=b"leaf").copy
_copy_node: Callable[[], Any] = blake2b(digest_size=HASH_BYTES, person=b"node").copy


def key_hash(storage_key: bytes) -> bytes:
    """Where a storage key lives in the tree: H_key(storage key)."""
    hasher = _copy_key()
    hasher.update(storage_key)
    return cast(bytes, hasher.digest())


def value_hash(value: bytes) -> bytes:
    """What the tree commits to for a value: H_val(value)."""
    hasher = _copy_value()
    hasher.update(value)
    return cast(bytes, hasher.digest())


def node_hash(data: bytes) -> bytes:
    """H_node: of four concatenated digests; also folds the extrinsics root."""
    hasher = _copy_node()
    hasher.update(data)
    return cast(bytes, hasher.digest())


def digest(node: Node) -> bytes:
    """The state root when `node` is a root: 32 bytes."""
    return node[0]


def count(node: Node) -> int:
    """How many entries lie below `node`."""
    return len(node[1]) >> 6 if len(node) == 2 else node[1]


# --- Building -------------------------------------------------------------------------------------------------------


def build(entries: Iterable[tuple[bytes, bytes]]) -> Node:
    """The tree of (key hash, value hash) pairs in any order; ValueError if a key hash comes twice."""
    joined = [kh + vh for kh, vh in entries]
    joined.sort()
    for i in range(1, len(joined)):
        if joined[i][:HASH_BYTES] == joined[i - 1][:HASH_BYTES]:
            raise ValueError(f"key hash {joined[i][:HASH_BYTES].hex()} comes twice")
    return _build(joined, 0, len(joined), 0)


def build_from_state(pairs: Iterable[tuple[bytes, bytes]]) -> Node:
    """The tree of raw (storage key, value) pairs, each storage key once, in any order."""
    copy_key, copy_value = _copy_key, _copy_value
    joined: list[bytes] = []
    for key, value in pairs:
        key_hasher = copy_key()
        key_hasher.update(key)
        value_hasher = copy_value()
        value_hasher.update(value)
        joined.append(key_hasher.digest() + value_hasher.digest())
    joined.sort()
    return _build(joined, 0, len(joined), 0)


def _page(entries: bytes) -> Page:
    """A page of sorted entries; none at all is the absent child."""
    if not entries:
        return EMPTY
    hasher = _copy_leaf()
    hasher.update(entries)
    return (hasher.digest(), entries)


def _build(entries: Sequence[bytes], low: int, high: int, depth: int) -> Node:
    """The node over entries[low:high], which are sorted and share `depth` nibbles."""
    if high - low <= PAGE_ENTRIES_MAX:
        return _page(b"".join(entries[low:high]))
    prefix = entries[low][: depth >> 1]
    upper = entries[low][depth >> 1] & 0xF0
    children: list[Node] = []
    start = low
    for nibble in range(16):
        end = high
        if nibble < 15:
            byte = upper | (nibble + 1) if depth & 1 else (nibble + 1) << 4
            end = bisect_left(entries, prefix + bytes((byte,)), start, high)
        children.append(_build(entries, start, end, depth + 1))
        start = end
    return _inner(high - low, tuple(children))


def _inner(size: int, children: tuple[Node, ...]) -> Inner:
    """An inner node with all its quads hashed afresh."""
    quads = tuple(node_hash(b"".join([child[0] for child in children[i : i + 4]])) for i in (0, 4, 8, 12))
    return (node_hash(b"".join(quads)), size, children, quads)


# --- Updating -------------------------------------------------------------------------------------------------------


def hashed(
    changes: Iterable[tuple[bytes, bytes | None]], key_hash_of: Callable[[bytes], bytes] = key_hash
) -> list[Change]:
    """Raw (storage key, value or None) changes, each key once and in any order, as `update` takes them.

    `key_hash_of` may be a cache of `key_hash`.
    """
    copy_value = _copy_value
    result: list[Change] = []
    for key, value in changes:
        if value is None:
            result.append((key_hash_of(key), None))
        else:
            hasher = copy_value()
            hasher.update(value)
            result.append((key_hash_of(key), hasher.digest()))
    result.sort()
    return result


def update(root: Node, changes: Sequence[Change]) -> Node:
    """The root after `changes`, which are sorted by key hash with each key once; `root` itself stays as it is.

    Deleting an absent key changes nothing. The result equals `build` of the resulting content.
    """
    if not changes:
        return root
    return _update(root, changes, 0, len(changes), 0)


def _update(node: Node, changes: Sequence[Change], low: int, high: int, depth: int) -> Node:
    if len(node) == 2:
        return _update_page(node, changes, low, high, depth)
    return _update_inner(node, changes, low, high, depth)


def _update_inner(node: Inner, changes: Sequence[Change], low: int, high: int, depth: int) -> Node:
    """One pass over the children that have changes; only their quads are hashed again."""
    _, size, old_children, old_quads = node
    children = list(old_children)
    depth_below = depth + 1
    dirty = 0
    position = low
    while position < high:
        nibble, end = _group(changes, position, high, depth)
        old = old_children[nibble]
        if len(old) == 2:
            new = _update_page(old, changes, position, end, depth_below)
            size -= len(old[1]) >> 6
        else:
            new = _update_inner(old, changes, position, end, depth_below)
            size -= old[1]
        size += len(new[1]) >> 6 if len(new) == 2 else new[1]
        if new is not old:
            children[nibble] = new
            dirty |= 1 << (nibble >> 2)
        position = end
    if not dirty:
        return node
    if size <= PAGE_ENTRIES_MAX:
        return _page(b"".join(_pages(children)))
    quads = list(old_quads)
    for quad in range(4):
        if dirty >> quad & 1:
            k = quad << 2
            hasher = _copy_node()
            hasher.update(children[k][0] + children[k + 1][0] + children[k + 2][0] + children[k + 3][0])
            quads[quad] = hasher.digest()
    hasher = _copy_node()
    hasher.update(b"".join(quads))
    return (hasher.digest(), size, tuple(children), tuple(quads))


def _group(changes: Sequence[Change], position: int, high: int, depth: int) -> tuple[int, int]:
    """(nibble at `depth` of the change at `position`, end of the run of changes that share it)."""
    key = changes[position][0]
    index = depth >> 1
    end = position + 1
    if depth & 1:
        nibble = key[index] & 15
        if high - position > _SCAN_CHANGES_MAX:
            if nibble == 15:
                return nibble, high
            bound = key[:index] + bytes((key[index] + 1,))
            return nibble, bisect_left(changes, (bound,), end, high)
        while end < high and changes[end][0][index] & 15 == nibble:
            end += 1
        return nibble, end
    nibble = key[index] >> 4
    if high - position > _SCAN_CHANGES_MAX:
        if nibble == 15:
            return nibble, high
        bound = key[:index] + bytes(((nibble + 1) << 4,))
        return nibble, bisect_left(changes, (bound,), end, high)
    while end < high and changes[end][0][index] >> 4 == nibble:
        end += 1
    return nibble, end


def _pages(children: Iterable[Node]) -> Iterator[bytes]:
    """The entries below `children`, in order, as the bytes of their pages."""
    for child in children:
        if len(child) == 2:
            yield child[1]
        else:
            yield from _pages(child[2])


def _update_page(page: Page, changes: Sequence[Change], low: int, high: int, depth: int) -> Node:
    """The page, or the subtree it grows into, after changes[low:high]."""
    if high - low > _EDIT_CHANGES_MAX:
        return _merge_page(page, changes, low, high, depth)
    buffer = bytearray(page[1])
    for i in range(low, high):
        kh, vh = changes[i]
        at = buffer.find(kh)
        if at & 63:
            # Absent (-1), or found astride two entries, which a collision of 256 bits could bring about.
            at = _position(buffer, kh)
            if buffer[at : at + HASH_BYTES] != kh:
                if vh is not None:
                    buffer[at:at] = kh + vh
                continue
        if vh is None:
            del buffer[at : at + ENTRY_BYTES]
        else:
            buffer[at + HASH_BYTES : at + ENTRY_BYTES] = vh
    if len(buffer) > PAGE_BYTES_MAX:
        entries = [bytes(buffer[i : i + ENTRY_BYTES]) for i in range(0, len(buffer), ENTRY_BYTES)]
        return _build(entries, 0, len(entries), depth)
    content = bytes(buffer)
    if content == page[1]:
        return page
    if not content:
        return EMPTY
    hasher = _copy_leaf()
    hasher.update(content)
    return (hasher.digest(), content)


def _position(entries: bytes | bytearray, kh: bytes) -> int:
    """Byte offset of the first entry whose key hash is not below `kh`."""
    low, high = 0, len(entries) >> 6
    while low < high:
        middle = (low + high) >> 1
        if entries[middle << 6 : (middle << 6) + HASH_BYTES] < kh:
            low = middle + 1
        else:
            high = middle
    return low << 6


def _merge_page(page: Page, changes: Sequence[Change], low: int, high: int, depth: int) -> Node:
    """As `_update_page` for many changes: their cost must not grow with the square of the batch."""
    content = dict(_split(page[1]))
    for i in range(low, high):
        kh, vh = changes[i]
        if vh is None:
            content.pop(kh, None)
        else:
            content[kh] = vh
    entries = [kh + vh for kh, vh in content.items()]
    entries.sort()
    return _build(entries, 0, len(entries), depth)


def _split(entries: bytes) -> Iterator[tuple[bytes, bytes]]:
    for i in range(0, len(entries), ENTRY_BYTES):
        yield entries[i : i + HASH_BYTES], entries[i + HASH_BYTES : i + ENTRY_BYTES]


# --- Reading and proving --------------------------------------------------------------------------------------------


def nibble_at(kh: bytes, depth: int) -> int:
    """The nibble of `kh` that chooses the child of a node at `depth`."""
    return kh[depth >> 1] & 15 if depth & 1 else kh[depth >> 1] >> 4


def get(root: Node, kh: bytes) -> bytes | None:
    """The value hash stored under `kh`, or None."""
    node = root
    depth = 0
    while len(node) == 4:
        node = node[2][nibble_at(kh, depth)]
        depth += 1
    at = _position(node[1], kh)
    if node[1][at : at + HASH_BYTES] != kh:
        return None
    return node[1][at + HASH_BYTES : at + ENTRY_BYTES]


def entries(root: Node) -> Iterator[tuple[bytes, bytes]]:
    """All (key hash, value hash) pairs, ascending."""
    for page in _pages((root,)):
        yield from _split(page)


def prove(root: Node, kh: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """(path, page) that shows `kh` present or absent; `runtime.proof` verifies it against the root's digest.

    The path has one element of 192 bytes a nibble, from the root down: the three sibling quads, then the three
    sibling children within the own quad, ascending, the own omitted. It ends at a page, empty for an absent child.
    """
    path: list[bytes] = []
    node = root
    while len(node) == 4:
        _, _, children, quads = node
        nibble = nibble_at(kh, len(path))
        quad = nibble >> 2
        parts = [quads[i] for i in range(4) if i != quad]
        parts += [children[i][0] for i in range(quad << 2, (quad << 2) + 4) if i != nibble]
        path.append(b"".join(parts))
        node = children[nibble]
    return tuple(path), node[1]
