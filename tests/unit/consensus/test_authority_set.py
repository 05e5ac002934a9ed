"""Changes of voters: scheduled by finalised depth, forced by best depth."""

from __future__ import annotations

import pytest

from consensus.authority_set import (
    PENDING_MAX,
    Authorities,
    AuthoritySet,
    ForcedDependency,
    InvalidChange,
    NewSet,
    PendingChange,
    UnfinalisedAncestor,
    announced_changes,
    change_item,
)
from consensus.grandpa.chain import BlockRef, is_descendant
from runtime.types import Consensus, Digest, Header, slot_item
from tests.helpers.block_tree import GENESIS, GENESIS_REF, BlockTree, ref, run_of
from tests.helpers.keyed_hash import public_of

TRUNK = run_of(GENESIS, 20)
SIDE = run_of(TRUNK[2], 10, 100)


def keys(*names: str) -> Authorities:
    """Authorities of weight one."""
    return tuple((public_of(name), 1) for name in names)


class Scene:
    """A chain with a fork, and a set of alice alone."""

    def __init__(self) -> None:
        self.tree = BlockTree()
        self.tree.add(*TRUNK, *SIDE)
        self.set = AuthoritySet(0, keys("alice"))

    def below(self, ancestor: BlockRef, block: BlockRef) -> bool:
        return is_descendant(self.tree, ancestor, block)

    def announce(self, header: Header, name: str, delay: int = 0, median: int | None = None) -> None:
        self.set.announce(PendingChange(ref(header), keys(name), delay, median), self.below)

    def finalise(self, header: Header) -> NewSet | None:
        return self.set.finalise(ref(header), self.below)


def test_finalizes_multiple_pending_changes_in_order() -> None:
    """Two changes on one branch take effect one after the other, each at its own block."""
    scene = Scene()
    scene.announce(TRUNK[4], "bob")
    scene.announce(TRUNK[9], "charlie")
    assert scene.set.limit(ref(TRUNK[15]), scene.below) == 5
    assert scene.finalise(TRUNK[3]) is None
    assert scene.finalise(TRUNK[4]) == NewSet(1, keys("bob"), ref(TRUNK[4]))
    assert scene.set.limit(ref(TRUNK[15]), scene.below) == 10
    assert scene.set.enacts(ref(TRUNK[9]), scene.below)
    assert not scene.set.enacts(ref(TRUNK[8]), scene.below)
    assert scene.finalise(TRUNK[9]) == NewSet(2, keys("charlie"), ref(TRUNK[9]))
    assert scene.set.handed_over == [(0, 5), (1, 10)]
    assert scene.set.pending() == []


def test_disallow_multiple_changes_being_finalized_at_once() -> None:
    """Finality may not pass two changes of a branch in one step; nothing changes when it tries."""
    scene = Scene()
    scene.announce(TRUNK[4], "bob")
    scene.announce(TRUNK[9], "charlie")
    with pytest.raises(UnfinalisedAncestor):
        scene.finalise(TRUNK[12])
    assert scene.set.set_id == 0
    assert len(scene.set.pending()) == 2
    assert scene.finalise(TRUNK[6]) == NewSet(1, keys("bob"), ref(TRUNK[6]))


def test_a_change_on_a_losing_fork_is_dropped() -> None:
    """Forks announce their own changes; finality keeps those of the branch it takes."""
    scene = Scene()
    scene.announce(SIDE[2], "eve")
    scene.announce(TRUNK[9], "bob")
    assert scene.set.limit(ref(SIDE[5]), scene.below) == 6
    assert scene.set.limit(ref(TRUNK[15]), scene.below) == 10
    assert scene.finalise(TRUNK[5]) is None
    assert [change.authorities for change in scene.set.pending()] == [keys("bob")]


def test_a_delayed_change_waits_for_its_depth() -> None:
    """With a delay the change takes effect so many blocks above the one that announces it."""
    scene = Scene()
    scene.announce(TRUNK[4], "bob", delay=3)
    assert scene.set.limit(ref(TRUNK[15]), scene.below) == 8
    assert scene.finalise(TRUNK[5]) is None
    assert scene.finalise(TRUNK[7]) == NewSet(1, keys("bob"), ref(TRUNK[7]))


def test_force_change_to_new_set() -> None:
    """A forced change counts by the best chain's depth, drops what is pending, and begins above the final block."""
    scene = Scene()
    scene.announce(TRUNK[9], "bob")
    scene.announce(SIDE[1], "bob")
    scene.announce(TRUNK[5], "charlie", delay=6, median=2)
    finalised = ref(TRUNK[1])
    assert scene.set.apply_forced(ref(TRUNK[10]), finalised, scene.below) is None
    assert scene.set.apply_forced(ref(SIDE[9]), finalised, scene.below) is None
    new = scene.set.apply_forced(ref(TRUNK[11]), finalised, scene.below)
    assert new == NewSet(1, keys("charlie"), finalised)
    assert scene.set.pending() == []
    assert scene.set.set_id == 1


def test_a_forced_set_counts_the_changes_it_drops() -> None:
    """The runtime numbered a change that never became final; the forced set's id is the one after it."""
    scene = Scene()
    scene.announce(TRUNK[3], "bob")
    scene.announce(TRUNK[5], "charlie", delay=2, median=2)
    new = scene.set.apply_forced(ref(TRUNK[9]), ref(TRUNK[1]), scene.below)
    assert new == NewSet(2, keys("charlie"), ref(TRUNK[1]))


def test_a_forced_change_waits_for_scheduled_ones_below_its_median() -> None:
    """What the median assumes final must be final first; and a fork has one forced change at most."""
    scene = Scene()
    scene.announce(TRUNK[3], "bob")
    scene.announce(TRUNK[6], "charlie", delay=2, median=5)
    with pytest.raises(InvalidChange):
        scene.announce(TRUNK[7], "dave", delay=2, median=5)
    with pytest.raises(ForcedDependency):
        scene.set.apply_forced(ref(TRUNK[9]), GENESIS_REF, scene.below)
    assert scene.set.set_id == 0


def test_announcing_is_idempotent_and_bounded() -> None:
    """A block imported twice announces once; more than PENDING_MAX changes are refused."""
    scene = Scene()
    scene.announce(TRUNK[4], "bob")
    scene.announce(TRUNK[4], "bob")
    assert len(scene.set.pending()) == 1
    for number in range(1, PENDING_MAX):
        block = BlockRef(4, number.to_bytes(32, "big"))
        scene.set.announce(PendingChange(block, keys("bob"), 0), lambda *_: False)
    with pytest.raises(InvalidChange):
        scene.announce(TRUNK[5], "charlie")


def test_changes_are_read_from_digests() -> None:
    """What `change_item` writes is read back; an undecodable or doubled item is refused."""

    def header(*items: Consensus) -> Header:
        return Header(GENESIS.hash(), 1, bytes(32), bytes(32), Digest((slot_item(1), *items)))

    plain = change_item(PendingChange(GENESIS_REF, keys("bob"), 0))
    forced = change_item(PendingChange(GENESIS_REF, keys("bob", "eve"), 64, 7))
    assert plain.data[0] == 1
    found = announced_changes(header(plain, forced))
    assert [(change.authorities, change.delay, change.median) for change in found] == [
        (keys("bob"), 0, None),
        (keys("bob", "eve"), 64, 7),
    ]
    assert announced_changes(header(Consensus(b"aura", b"\x01"))) == []
    for wrong in ([plain, plain], [Consensus(b"FRNK", plain.data[:-1])], [Consensus(b"FRNK", b"\x07")]):
        with pytest.raises(InvalidChange):
            announced_changes(header(*wrong))
