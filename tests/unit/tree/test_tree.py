"""The tree equals its definition after any history, and shares what an update does not touch."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import tree
from tests.helpers.tree_model import ZERO, model_digest, personal_hash

BASE = bytes.fromhex("5a" * 32)

Content = dict[bytes, bytes]


def crowded_key_hashes() -> st.SearchStrategy[bytes]:
    """Key hashes as an attacker would like them: many agree in all but a few of their 64 nibbles."""

    def join(shared: int, tail: bytes) -> bytes:
        text = BASE.hex()[:shared] + tail.hex()
        return bytes.fromhex(text[:64])

    return st.builds(join, st.sampled_from([0, 1, 2, 3, 30, 31, 60, 61, 62, 63]), st.binary(min_size=32, max_size=32))


def spread(seed: int, size: int) -> Content:
    """Content with evenly spread key hashes, as honest keys give it."""
    random = Random(seed)
    return {random.randbytes(32): random.randbytes(32) for _ in range(size)}


def crowd(size: int, shared_nibbles: int) -> Content:
    """Content whose key hashes all agree in `shared_nibbles` nibbles."""
    prefix = int(BASE.hex()[:shared_nibbles] or "0", 16)
    rest = 256 - 4 * shared_nibbles
    step = max(1, (1 << rest) // size)
    keys = [(prefix << rest | i * step).to_bytes(32, "big") for i in range(size)]
    return {kh: personal_hash(b"val", kh) for kh in keys}


def built(content: Content) -> tree.Node:
    """The tree of the content in one go."""
    return tree.build(content.items())


def changed(root: tree.Node, changes: dict[bytes, bytes | None]) -> tree.Node:
    """The root after the changes, sorted as `update` wants them."""
    return tree.update(root, sorted(changes.items()))


def check_shape(node: tree.Node, depth: int = 0) -> int:
    """Walks a whole tree: counts are true, pages and inner nodes are where their size puts them; returns the count."""
    if len(node) == 2:
        assert len(node[1]) <= tree.PAGE_BYTES_MAX
        return len(node[1]) // 64
    total = sum(check_shape(child, depth + 1) for child in node[2])
    assert node[1] == total > tree.PAGE_ENTRIES_MAX
    assert depth < tree.DEPTH_MAX
    return total


@pytest.mark.parametrize("size", [0, 1, 2, 31, 32, 33, 34, 511, 512, 513, 3000])
def test_build_is_the_definition(size: int) -> None:
    """A tree built in one go has the digest that the recursive definition gives, on both sides of each boundary."""
    content = spread(size, size)
    root = built(content)
    assert tree.digest(root) == model_digest(content)
    assert tree.count(root) == size
    assert check_shape(root) == size
    assert list(tree.entries(root)) == sorted(content.items())


@pytest.mark.parametrize(("size", "shared"), [(33, 62), (256, 62), (16, 63), (40, 31), (200, 61), (100, 7)])
def test_crowded_prefixes_reach_any_depth(size: int, shared: int) -> None:
    """Keys that share up to 63 nibbles build, update and merge as the definition says, down to the last nibble."""
    content = crowd(size, shared)
    root = built(content)
    assert tree.digest(root) == model_digest(content)
    assert tree.update(tree.EMPTY, sorted(content.items())) == root
    few = dict(list(content.items())[:3])
    assert changed(root, {kh: None for kh in content if kh not in few}) == built(few)


@settings(max_examples=150, deadline=None)
@given(
    start=st.dictionaries(crowded_key_hashes(), st.binary(min_size=32, max_size=32), max_size=80),
    batches=st.lists(
        st.dictionaries(crowded_key_hashes(), st.none() | st.binary(min_size=32, max_size=32), max_size=60), max_size=4
    ),
    data=st.data(),
)
def test_any_history_gives_the_form_of_its_content(
    start: Content, batches: list[dict[bytes, bytes | None]], data: st.DataObject
) -> None:
    """Inserts, changes and deletes, present or absent, among colliding prefixes end in the tree of the content."""
    content = dict(start)
    root = built(content)
    for batch in batches:
        changes = dict(batch)
        if content:
            gone = data.draw(st.lists(st.sampled_from(sorted(content)), max_size=40))
            changes.update(dict.fromkeys(gone))
        for kh, vh in changes.items():
            if vh is None:
                content.pop(kh, None)
            else:
                content[kh] = vh
        root = changed(root, changes)
        assert root == built(content)
        assert tree.digest(root) == model_digest(content)
        check_shape(root)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 49, 700, 4000])
def test_batches_of_every_size_agree_with_build(size: int) -> None:
    """Edit in place, merge, scan and bisection - one for each size of batch - all give the built tree."""
    content = spread(7, 5000)
    root = built(content)
    random = Random(size)
    keys = random.sample(sorted(content), size)
    changes: dict[bytes, bytes | None] = {kh: None if random.random() < 0.4 else random.randbytes(32) for kh in keys}
    changes.update(spread(size + 1, size // 3))
    after = changed(root, changes)
    for kh, vh in changes.items():
        if vh is None:
            del content[kh]
        else:
            content[kh] = vh
    assert after == built(content)


@pytest.mark.parametrize("left", [0, 1, 31, 32, 33, 34])
@pytest.mark.parametrize("shared", [0, 3])
def test_shrinking_merges_exactly_at_a_page(left: int, shared: int) -> None:
    """Deleting down to any count around the page's 32 entries, at the root or deeper, gives the built form."""
    content = crowd(60, shared)
    others = {bytes((i,)) * 32: ZERO for i in range(1, 5)}
    kept = dict(list(content.items())[:left])
    for outside in ({}, others):
        root = built({**content, **outside})
        after = changed(root, {kh: None for kh in content if kh not in kept})
        assert after == built({**kept, **outside})
        assert changed(after, dict(content)) == root


def test_the_old_root_stays_as_it_was() -> None:
    """An update leaves its input alone and shares the subtrees without changes with it."""
    content = spread(3, 2000)
    root = built(content)
    before = tree.digest(root)
    kh = min(content)
    after = changed(root, {kh: bytes(32)})
    assert tree.digest(root) == before == model_digest(content)
    assert tree.get(root, kh) == content[kh]
    assert tree.get(after, kh) == bytes(32)
    assert len(root) == len(after) == 4
    assert [a is b for a, b in zip(root[2], after[2], strict=True)].count(False) == 1


def test_changes_without_effect_keep_the_node() -> None:
    """Deleting absent keys, writing what is there and an empty batch return the same object."""
    content = spread(4, 100)
    root = built(content)
    kh = min(content)
    assert changed(root, {bytes(32): None, b"\xff" * 32: None}) is root
    assert changed(root, {kh: content[kh]}) is root
    assert tree.update(root, []) is root


def test_deleting_everything_gives_the_empty_tree() -> None:
    """The empty tree is thirty-two zero bytes, whatever came before."""
    content = spread(5, 300)
    assert changed(built(content), dict.fromkeys(content)) is tree.EMPTY
    assert tree.digest(tree.EMPTY) == ZERO


def test_a_key_hash_found_astride_two_entries_is_absent() -> None:
    """A key equal to bytes inside a value hash or across two entries is not read, overwritten or deleted by mistake."""
    content = {b"\x10" * 32: b"\x11" * 32, b"\x44" * 32: b"\x55" * 32}
    root = built(content)
    for kh in (b"\x11" * 32, b"\x11" * 16 + b"\x44" * 16):
        assert tree.get(root, kh) is None
        assert changed(root, {kh: None}) is root
        assert changed(root, {kh: ZERO}) == built({**content, kh: ZERO})


def test_a_key_given_twice_is_refused() -> None:
    """Content is a map: `build` names the key hash that comes twice."""
    with pytest.raises(ValueError, match="comes twice"):
        tree.build([(ZERO, ZERO), (ZERO, b"\x01" * 32)])


def test_state_pairs_are_hashed_into_entries() -> None:
    """`build_from_state` is `build` over the key and value hashes of raw pairs."""
    state = {f"key {i}".encode(): f"value {i}".encode() for i in range(500)}
    content = {personal_hash(b"key", k): personal_hash(b"val", v) for k, v in state.items()}
    assert tree.build_from_state(state.items()) == built(content)
    assert tree.key_hash(b"key 1") == personal_hash(b"key", b"key 1")
    assert tree.value_hash(b"value 1") == personal_hash(b"val", b"value 1")
