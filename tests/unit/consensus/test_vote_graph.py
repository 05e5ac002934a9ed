"""The vote graph, with the named cases of finality-grandpa's own tests."""

import pytest

from consensus.grandpa.chain import BlockRef
from consensus.grandpa.vote_graph import Condition, Node, NotDescendant, Phase, VoteGraph
from tests.helpers.block_tree import GENESIS, GENESIS_REF, BlockTree, child, ref, run_of


def at_least(votes: int, phase: Phase = Phase.PREVOTE) -> Condition:
    """A condition: so many voters behind the block."""

    def condition(node: Node) -> bool:
        mask = node.prevotes if phase is Phase.PREVOTE else node.precommits
        return mask.bit_count() >= votes

    return condition


def test_ghost_merge_at_node() -> None:
    """Votes on two branches together decide the block where they fork."""
    tree = BlockTree()
    trunk = run_of(GENESIS, 3)
    left = run_of(trunk[-1], 2, 10)
    right = run_of(trunk[-1], 2, 20)
    tree.add(*trunk, *left, *right)
    graph = VoteGraph(GENESIS_REF)
    graph.insert(ref(trunk[1]), Phase.PREVOTE, 0b1, tree)
    graph.insert(ref(left[0]), Phase.PREVOTE, 0b10, tree)
    graph.insert(ref(right[1]), Phase.PREVOTE, 0b100, tree)
    assert graph.ghost(at_least(2)) == ref(trunk[2])
    assert graph.ghost(at_least(3)) == ref(trunk[1])
    assert graph.ghost(at_least(4)) is None


def test_ghost_merge_not_at_node_one_side_weighted() -> None:
    """The fork lies between voted blocks and is found all the same."""
    tree = BlockTree()
    trunk = run_of(GENESIS, 6)
    left = run_of(trunk[-1], 3, 10)
    right = run_of(trunk[-1], 3, 20)
    tree.add(*trunk, *left, *right)
    graph = VoteGraph(GENESIS_REF)
    graph.insert(ref(left[-1]), Phase.PREVOTE, 0b111, tree)
    graph.insert(ref(right[-1]), Phase.PREVOTE, 0b11000, tree)
    assert graph.ghost(at_least(4)) == ref(trunk[-1])
    assert graph.ghost(at_least(3)) == ref(left[-1])


def test_ghost_introduce_branch() -> None:
    """A vote into the middle of a run of blocks cuts the run there, and later questions see the branch."""
    tree = BlockTree()
    trunk = run_of(GENESIS, 6)
    fork = child(trunk[1], 50)
    tree.add(*trunk, fork)
    graph = VoteGraph(GENESIS_REF)
    graph.insert(ref(trunk[5]), Phase.PREVOTE, 0b11, tree)
    assert graph.ghost(at_least(2)) == ref(trunk[5])
    graph.insert(ref(fork), Phase.PREVOTE, 0b100, tree)
    assert graph.ghost(at_least(3)) == ref(trunk[1])
    graph.insert(ref(trunk[3]), Phase.PREVOTE, 0b1000, tree)
    assert graph.ghost(at_least(4)) == ref(trunk[1])
    assert graph.ghost(at_least(3)) == ref(trunk[3])
    assert graph.find_ancestor(ref(trunk[5]).hash, at_least(3)) == ref(trunk[3])
    assert graph.find_ancestor(ref(trunk[4]).hash, at_least(2)) == ref(trunk[4])


def test_adjust_base() -> None:
    """The base can move down; the votes above stay counted."""
    tree = BlockTree()
    trunk = run_of(GENESIS, 6)
    tree.add(*trunk)
    graph = VoteGraph(ref(trunk[3]))
    graph.insert(ref(trunk[5]), Phase.PREVOTE, 0b11, tree)
    side = child(trunk[1], 70)
    tree.add(side)
    with pytest.raises(NotDescendant):
        graph.insert(ref(side), Phase.PREVOTE, 0b100, tree)
    graph.adjust_base([trunk[2].hash(), trunk[1].hash(), trunk[0].hash()])
    assert graph.base == ref(trunk[0])
    graph.insert(ref(side), Phase.PREVOTE, 0b100, tree)
    assert graph.ghost(at_least(3)) == ref(trunk[1])
    assert graph.ghost(at_least(2)) == ref(trunk[5])


def test_a_wrong_height_is_refused() -> None:
    """A vote that gives its block another height changes nothing."""
    tree = BlockTree()
    trunk = run_of(GENESIS, 4)
    tree.add(*trunk)
    graph = VoteGraph(GENESIS_REF)
    for number in (2, 4, 9, 0):
        with pytest.raises(NotDescendant):
            graph.insert(BlockRef(number, trunk[2].hash()), Phase.PREVOTE, 1, tree)
    assert graph.voters(GENESIS_REF.hash, Phase.PREVOTE) == 0


def test_covers_follows_segments_and_nodes() -> None:
    """`covers` tells descent inside a run of blocks, over nodes, and between branches."""
    tree = BlockTree()
    trunk = run_of(GENESIS, 5)
    side = child(trunk[1], 50)
    tree.add(*trunk, side)
    graph = VoteGraph(GENESIS_REF)
    graph.insert(ref(trunk[4]), Phase.PRECOMMIT, 1, tree)
    assert graph.covers(ref(trunk[1]), trunk[3].hash())
    assert not graph.covers(ref(trunk[3]), trunk[1].hash())
    graph.insert(ref(side), Phase.PRECOMMIT, 2, tree)
    assert graph.covers(ref(trunk[0]), side.hash())
    assert not graph.covers(ref(trunk[2]), side.hash())
    assert graph.covers(GENESIS_REF, trunk[4].hash())


def test_thousands_of_blocks_cost_little() -> None:
    """A stalled chain of 5,000 blocks is walked once: later votes near its head visit only new blocks."""
    tree = BlockTree()
    trunk = run_of(GENESIS, 5_000)
    tree.add(*trunk)
    asked = 0

    class Counting:
        def parent(self, block: bytes) -> bytes | None:
            nonlocal asked
            asked += 1
            return tree.parent(block)

    graph = VoteGraph(GENESIS_REF)
    for voter in range(64):
        graph.insert(ref(trunk[4_999 - voter]), Phase.PREVOTE, 1 << voter, Counting())
    assert asked == 5_000
    assert graph.ghost(at_least(64)) == ref(trunk[4_936])
    assert sum(1 for _ in graph.nodes()) == 65
