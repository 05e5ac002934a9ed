"""One round: the named cases, and a model straight from the definitions."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.grandpa.chain import BlockRef
from consensus.grandpa.messages import check_commit
from consensus.grandpa.round import Imported, Round, RoundState
from consensus.grandpa.vote_graph import Phase
from consensus.grandpa.voter_set import VoterSet
from runtime.types import Header
from tests.helpers.block_tree import GENESIS, GENESIS_REF, BlockTree, child, ref, run_of
from tests.helpers.keyed_hash import public_of, verify
from tests.helpers.votes import NAMES, vote, voter_set, weighted


class Scene:
    """A round above genesis with two forks: trunk of 3, left and right of 3 each."""

    def __init__(self, voters: VoterSet) -> None:
        self.tree = BlockTree()
        self.trunk = run_of(GENESIS, 3)
        self.left = run_of(self.trunk[-1], 3, 10)
        self.right = run_of(self.trunk[-1], 3, 20)
        self.tree.add(*self.trunk, *self.left, *self.right)
        self.round = Round(1, 0, voters, GENESIS_REF)

    def prevote(self, name: str, header: Header) -> Imported:
        return self.round.add(Phase.PREVOTE, vote(name, Phase.PREVOTE, ref(header)), self.tree)

    def precommit(self, name: str, header: Header) -> Imported:
        return self.round.add(Phase.PRECOMMIT, vote(name, Phase.PRECOMMIT, ref(header)), self.tree)


def ghost_of(scene: Scene) -> BlockRef | None:
    """The prevote ghost now."""
    return scene.round.state.ghost


def finalised_of(scene: Scene) -> BlockRef | None:
    """What the round has made final by now."""
    return scene.round.state.finalised


def test_estimate_is_valid() -> None:
    """The estimate is the ghost until the precommits say that less is possible."""
    scene = Scene(weighted(4, 7, 3))
    scene.prevote("alice", scene.left[0])
    assert ghost_of(scene) is None
    scene.prevote("bob", scene.left[0])
    assert scene.round.state == RoundState(ref(scene.left[0]), None, ref(scene.left[0]), completable=False)
    scene.prevote("charlie", scene.trunk[2])
    assert ghost_of(scene) == ref(scene.left[0])
    scene.precommit("alice", scene.trunk[2])
    scene.precommit("bob", scene.trunk[2])
    state = scene.round.state
    assert state.estimate == ref(scene.trunk[2])
    assert state.completable


def test_finalization() -> None:
    """What precommits of the deciding weight stand behind is final, and rises with later votes."""
    scene = Scene(weighted(4, 7, 3))
    scene.precommit("alice", scene.left[0])
    scene.precommit("bob", scene.trunk[2])
    assert finalised_of(scene) is None
    scene.prevote("alice", scene.left[0])
    scene.prevote("bob", scene.left[0])
    scene.prevote("charlie", scene.left[0])
    assert finalised_of(scene) == ref(scene.trunk[2])
    scene.precommit("charlie", scene.left[0])
    assert finalised_of(scene) == ref(scene.trunk[2])
    # Four of bob's seven could still turn out to be equivocation, which would make the left block final.
    assert scene.round.state.estimate == ref(scene.left[0])
    assert scene.round.state.completable


def test_equivocate_does_not_double_count() -> None:
    """A second vote does not add weight where the first counts already, but counts everywhere else."""
    scene = Scene(weighted(4, 7, 3))
    assert scene.prevote("charlie", scene.left[0]) is Imported.NEW
    assert scene.prevote("charlie", scene.left[0]) is Imported.DUPLICATE
    assert scene.prevote("charlie", scene.right[0]) is Imported.EQUIVOCATION
    assert scene.round.seen_weight(Phase.PREVOTE) == 3
    assert scene.prevote("charlie", scene.right[1]) is Imported.REDUNDANT
    assert scene.prevote("bob", scene.left[0]) is Imported.NEW
    assert ghost_of(scene) == ref(scene.left[0])
    proof = scene.round.equivocation(Phase.PREVOTE, public_of("charlie"))
    assert proof is not None
    assert {proof.first.target_hash, proof.second.target_hash} == {scene.left[0].hash(), scene.right[0].hash()}
    assert scene.round.equivocation(Phase.PREVOTE, public_of("bob")) is None


def test_finalizing_at_fault_threshold() -> None:
    """With as many equivocators and silent voters as are tolerated, the honest ones still decide."""
    scene = Scene(voter_set(7))
    for name in NAMES[:5]:
        scene.prevote(name, scene.left[2])
        scene.precommit(name, scene.left[2])
    assert finalised_of(scene) == ref(scene.left[2])
    other = Scene(voter_set(7))
    for name in NAMES[:2]:
        other.prevote(name, other.left[0])
        other.prevote(name, other.right[0])
        other.precommit(name, other.left[0])
        other.precommit(name, other.right[0])
    for name in NAMES[2:5]:
        other.prevote(name, other.left[2])
        other.precommit(name, other.left[2])
    assert other.round.state.finalised == ref(other.left[2])
    committed = other.round.commit_for(ref(other.left[2]))
    assert committed is not None
    check_commit(committed, 1, 0, voter_set(7), other.tree, verify)


def test_a_strangers_vote_does_not_count() -> None:
    """A key outside the set adds nothing."""
    scene = Scene(voter_set(3))
    assert scene.prevote("dave", scene.left[0]) is Imported.STRANGER
    assert scene.round.seen_weight(Phase.PREVOTE) == 0


class Model:
    """A round from the definitions: every question asks every block for every voter.

    Candidates are the blocks at or below some voter's first vote: others only matter when the equivocators alone
    outweigh the threshold, and then nothing is promised.
    """

    def __init__(self, voters: VoterSet, headers: list[Header]) -> None:
        self.voters = voters
        self.blocks = [GENESIS, *headers]
        self.by_hash = {header.hash(): header for header in self.blocks}
        self.votes: dict[Phase, dict[int, list[bytes]]] = {Phase.PREVOTE: {}, Phase.PRECOMMIT: {}}

    def add(self, phase: Phase, voter: int, block: bytes) -> None:
        known = self.votes[phase].setdefault(voter, [])
        if len(known) < 2 and block not in known:
            known.append(block)

    def above(self, ancestor: bytes, block: bytes) -> bool:
        header = self.by_hash[block]
        while header.hash() != ancestor and header.number > 0:
            header = self.by_hash[header.parent_hash]
        return header.hash() == ancestor

    def weight(self, phase: Phase, block: bytes) -> int:
        """Weight of the voters with a vote for the block or above, equivocators for every block."""
        return sum(
            self.voters.weights[voter]
            for voter, votes in self.votes[phase].items()
            if len(votes) == 2 or self.above(block, votes[0])
        )

    def candidates(self) -> list[Header]:
        firsts = [votes[0] for phase in Phase for votes in self.votes[phase].values()]
        return [h for h in self.blocks if h.number == 0 or any(self.above(h.hash(), first) for first in firsts)]

    def seen(self, phase: Phase) -> int:
        return sum(self.voters.weights[voter] for voter in self.votes[phase])

    def possible(self, block: bytes) -> bool:
        have, seen = self.weight(Phase.PRECOMMIT, block), self.seen(Phase.PRECOMMIT)
        lied = sum(self.voters.weights[v] for v, votes in self.votes[Phase.PRECOMMIT].items() if len(votes) == 2)
        may_lie = max(0, self.voters.total - self.voters.threshold - lied)
        return have + self.voters.total - seen + min(seen - have, may_lie) >= self.voters.threshold

    def state(self) -> RoundState:
        """The state, looking at all blocks each time."""
        need = self.voters.threshold
        ghosts = [h for h in self.candidates() if self.weight(Phase.PREVOTE, h.hash()) >= need]
        if not ghosts:
            return RoundState(None, None, None, completable=False)
        ghost = min(ghosts, key=lambda header: (-header.number, header.hash()))
        if self.seen(Phase.PRECOMMIT) < need:
            return RoundState(ref(ghost), None, ref(ghost), completable=False)
        line = [h for h in self.blocks if self.above(h.hash(), ghost.hash())]
        final = [h for h in line if self.weight(Phase.PRECOMMIT, h.hash()) >= need]
        could = [h for h in line if self.possible(h.hash())]
        higher = [
            h
            for h in self.candidates()
            if h.hash() != ghost.hash() and self.above(ghost.hash(), h.hash()) and self.possible(h.hash())
        ]
        finalised = max(final, key=lambda h: h.number, default=None)
        estimate = max(could, key=lambda h: h.number, default=None)
        completable = estimate is not None and (estimate.hash() != ghost.hash() or not higher)
        return RoundState(
            ref(ghost),
            None if finalised is None else ref(finalised),
            None if estimate is None else ref(estimate),
            completable,
        )

    def committed(self) -> BlockRef | None:
        """The deepest block with a supermajority of precommits."""
        found = [h for h in self.candidates() if self.weight(Phase.PRECOMMIT, h.hash()) >= self.voters.threshold]
        best = min(found, key=lambda header: (-header.number, header.hash()), default=None)
        return None if best is None else ref(best)


@st.composite
def rounds(draw: st.DrawFn) -> tuple[list[int], list[int], list[tuple[Phase, int, int]]]:
    """(voters' weights, parent index of each block, votes as (phase, voter, block))."""
    count = draw(st.integers(1, 8))
    weights = draw(st.one_of(st.just([1] * count), st.lists(st.integers(1, 5), min_size=count, max_size=count)))
    blocks = draw(st.integers(1, 24))
    parents = [draw(st.integers(max(0, index - 3), index)) for index in range(blocks)]
    votes = draw(
        st.lists(
            st.tuples(st.sampled_from(list(Phase)), st.integers(0, count - 1), st.integers(0, blocks)), max_size=40
        )
    )
    return weights, parents, votes


@settings(max_examples=200)
@given(rounds())
def test_round_equals_the_model(drawn: tuple[list[int], list[int], list[tuple[Phase, int, int]]]) -> None:
    """Over random trees, weights and votes with equivocators, every step gives the model's state."""
    weights, parents, votes = drawn
    voters = weighted(*weights)
    tree = BlockTree()
    headers: list[Header] = []
    for index, parent in enumerate(parents):
        headers.append(child(([GENESIS, *headers])[parent], index + 1))
        tree.add(headers[-1])
    everything = [GENESIS, *headers]
    model = Model(voters, headers)
    real = Round(1, 0, voters, GENESIS_REF)
    for phase, voter, block in votes:
        target = everything[block]
        real.add(phase, vote(NAMES[voter], phase, ref(target)), tree)
        model.add(phase, voter, target.hash())
        assert real.state == model.state()
        assert real.committed() == model.committed()
        done = real.committed()
        commit = None if done is None else real.commit_for(done)
        if commit is not None:
            check_commit(commit, 1, 0, voters, tree, verify)
