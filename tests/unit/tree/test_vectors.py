"""Frozen vectors: the tree and the extrinsics root are consensus, so their digests never change."""

import pytest

from runtime import tree
from runtime.extrinsics_root import extrinsics_root
from tests.helpers.tree_model import personal_hash

STATE_ROOTS = {
    0: "0000000000000000000000000000000000000000000000000000000000000000",
    1: "c8a3e309e869261c8fa0e0fa49fe3bd165dcb5e5c1ca046eed2a8915c981b922",
    32: "f618324f795222fe704663898d6f6dc32cf6f9e8d3cca756f6a7157bb2c2ed4a",
    33: "011a2a59fd7f80468fe5873136f5749ec81d3f14bdc73abb4c59153d52cb0449",
    1000: "9af299afbea9719dc4bec474f9561befc09cc6dca325d607f1ab5bf0f7d48b2e",
    20000: "acf7250ed9fb1635ca84623a77afb3db031b01228c925e8b525d6ecb2bd2891c",
}

EXTRINSICS_ROOTS = {
    0: "6162df01947de5334c121a449e698f135007f268ba8b7bd4e132d65864c950df",
    1: "399bbd4a028aab7a7434d2ac64aa75748895d420678868efff226b18277cbfac",
    2: "32f364747040a12e02e033f864880664f94bbf69e557eb883bc5c113e718b400",
    4: "c925e77e4afe1c1bb326557daaad00e1f580ce8bdeccbd7867fd29f2788db976",
    5: "7521c67f0c3e64379ee322e3f0afcc570453015dd732af3f44a1014c29d0ecc0",
    17: "c28b50063d624f86299b3d0533e61079851f5d8fcbc4de73a40ae9e6618c506a",
}


@pytest.mark.parametrize("size", STATE_ROOTS)
def test_state_roots(size: int) -> None:
    """The root of {"key i": "value i"} for i below the size is the frozen one."""
    root = tree.build_from_state((f"key {i}".encode(), f"value {i}".encode()) for i in range(size))
    assert tree.digest(root).hex() == STATE_ROOTS[size]


@pytest.mark.parametrize("size", EXTRINSICS_ROOTS)
def test_extrinsics_roots(size: int) -> None:
    """The extrinsics root over the leaves 0101…, 0202… is the frozen one."""
    assert extrinsics_root([bytes((i + 1,)) * 32 for i in range(size)]).hex() == EXTRINSICS_ROOTS[size]


def test_extrinsics_root_by_hand() -> None:
    """None, one and five leaves, spelt out from the rule."""
    leaves = [bytes((i + 1,)) * 32 for i in range(5)]
    assert extrinsics_root([]) == personal_hash(b"exts", bytes(4) + bytes(32))
    assert extrinsics_root(leaves[:1]) == personal_hash(b"exts", b"\x01\x00\x00\x00" + leaves[0])
    level = [personal_hash(b"node", b"".join(leaves[:4])), personal_hash(b"node", leaves[4] + bytes(96))]
    level += [personal_hash(b"node", bytes(128))] * 2
    top = personal_hash(b"node", b"".join(level))
    assert extrinsics_root(leaves) == personal_hash(b"exts", b"\x05\x00\x00\x00" + top)


def test_padding_is_no_content() -> None:
    """Trailing zero leaves change the root, since the count goes in."""
    leaf = b"\x01" * 32
    assert len({extrinsics_root([leaf] + [bytes(32)] * n) for n in range(6)}) == 6


def test_a_leaf_of_another_length_is_refused() -> None:
    """A transaction hash is 32 bytes; the error says which is not."""
    with pytest.raises(ValueError, match="transaction hash 1 has 31 bytes"):
        extrinsics_root([bytes(32), bytes(31)])
