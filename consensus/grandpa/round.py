"""One round of GRANDPA: the votes seen, and what follows from them (reference/substrate.md §4).

With W the total weight and T the threshold, for the prevotes and precommits imported so far:

- ghost: the deepest block that prevotes of weight T stand behind;
- finalised: the highest ancestor-or-equal of the ghost that precommits of weight T stand behind;
- possible(B): B could still get T precommits, given those unseen and the equivocations still tolerated;
- estimate: an upper bound of what this round can finalise: the ghost until T precommits are seen, then the ghost's
  highest ancestor-or-equal that is possible;
- completable: T precommits are seen and nothing above the ghost is possible, so the estimate will not rise.

Equivocators count for every block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from consensus.grandpa.chain import BlockRef, ParentLookup
from consensus.grandpa.messages import Commit, EquivocationProof, SignedVote, vote_message
from consensus.grandpa.vote_graph import Node, Phase, VoteGraph
from consensus.grandpa.voter_set import VoterSet


@dataclass(frozen=True, slots=True)
class RoundState:
    """What the votes of a round amount to."""

    ghost: BlockRef | None
    finalised: BlockRef | None
    estimate: BlockRef | None
    completable: bool

    @staticmethod
    def genesis(base: BlockRef) -> RoundState:
        """The state of the round before a set's first: its base, decided."""
        return RoundState(base, base, base, completable=True)


class Imported(Enum):
    """What became of a vote."""

    NEW = "new"
    DUPLICATE = "duplicate"
    EQUIVOCATION = "equivocation"
    REDUNDANT = "redundant"
    """The voter's equivocation is known already."""
    STRANGER = "stranger"
    """The key is not in the set."""


@dataclass(slots=True)
class VoteTracker:
    """The votes of one phase: at most two of a voter, in order of arrival."""

    votes: dict[int, list[SignedVote]] = field(default_factory=dict)
    seen: int = 0
    equivocators: int = 0

    def add(self, position: int, vote: SignedVote) -> Imported:
        """Note a vote of the voter at `position`."""
        known = self.votes.setdefault(position, [])
        if any(vote.target == other.target for other in known):
            return Imported.DUPLICATE
        if len(known) == 2:
            return Imported.REDUNDANT
        known.append(vote)
        self.seen |= 1 << position
        if len(known) == 1:
            return Imported.NEW
        self.equivocators |= 1 << position
        return Imported.EQUIVOCATION

    def all(self) -> tuple[SignedVote, ...]:
        """Return every vote, equivocations included, by voter."""
        return tuple(vote for position in sorted(self.votes) for vote in self.votes[position])


class Round:
    """The votes of round `number` above `base`, a block that all honest votes descend from."""

    def __init__(self, number: int, set_id: int, voters: VoterSet, base: BlockRef) -> None:
        self.number = number
        self.set_id = set_id
        self.voters = voters
        self.graph = VoteGraph(base)
        self.prevotes = VoteTracker()
        self.precommits = VoteTracker()
        self.proposal: BlockRef | None = None
        self._state: RoundState | None = None
        self._committed: BlockRef | None = None
        self._committed_known = False

    @property
    def base(self) -> BlockRef:
        """The block below all votes of the round."""
        return self.graph.base

    def tracker(self, phase: Phase) -> VoteTracker:
        """Return the votes of one phase."""
        return self.prevotes if phase is Phase.PREVOTE else self.precommits

    def add(self, phase: Phase, vote: SignedVote, chain: ParentLookup) -> Imported:
        """Import a vote whose signature was verified. Raises NotDescendant, changing nothing."""
        position = self.voters.index(vote.voter)
        if position is None:
            return Imported.STRANGER
        tracker = self.tracker(phase)
        if position not in tracker.votes:
            self.graph.insert(vote.target.block, phase, 1 << position, chain)
        result = tracker.add(position, vote)
        if result in (Imported.NEW, Imported.EQUIVOCATION):
            self._state = None
            self._committed_known = False
        return result

    def equivocation(self, phase: Phase, voter: bytes) -> EquivocationProof | None:
        """Return the proof against an equivocator, or None for an honest voter."""
        position = self.voters.index(voter)
        votes = self.tracker(phase).votes.get(-1 if position is None else position, [])
        if len(votes) < 2:
            return None
        first, second = votes
        return EquivocationProof(
            self.set_id,
            self.number,
            voter,
            vote_message(phase, first.target.block),
            first.signature,
            vote_message(phase, second.target.block),
            second.signature,
        )

    @property
    def state(self) -> RoundState:
        """What the votes amount to now."""
        if self._state is None:
            self._state = self._compute()
        return self._state

    def seen_weight(self, phase: Phase) -> int:
        """Return the weight of the voters heard of."""
        return self.voters.weight(self.tracker(phase).seen)

    def missing(self, phase: Phase) -> list[bytes]:
        """Return the voters not heard of."""
        everyone = (1 << len(self.voters)) - 1
        return self.voters.keys_of(everyone & ~self.tracker(phase).seen)

    def committed(self) -> BlockRef | None:
        """Return the deepest block with a supermajority of precommits: final, whatever prevotes were seen."""
        if not self._committed_known:
            self._committed = None
            if self.seen_weight(Phase.PRECOMMIT) >= self.voters.threshold:
                self._committed = self.graph.ghost(self._precommitted)
            self._committed_known = True
        return self._committed

    def commit_for(self, target: BlockRef) -> Commit | None:
        """Return the commit that proves `target`, the present `committed()`, or None when the votes do not.

        A voter's vote for the target or above counts as it is; pairs of other equivocators are added only if it takes
        them, because a verifier cannot place a vote that does not descend from the target.
        """
        chosen: list[SignedVote] = []
        pairs: list[SignedVote] = []
        mask = 0
        for position in sorted(self.precommits.votes):
            votes = self.precommits.votes[position]
            fitting = next((vote for vote in votes if self.graph.covers(target, vote.target.hash)), None)
            if fitting is not None:
                chosen.append(fitting)
                mask |= 1 << position
            elif len(votes) == 2:
                pairs.extend(votes)
        while self.voters.weight(mask) < self.voters.threshold and pairs:
            pair, pairs = pairs[:2], pairs[2:]
            chosen.extend(pair)
            mask |= 1 << (self.voters.index(pair[0].voter) or 0)
        if self.voters.weight(mask) < self.voters.threshold:
            return None
        return Commit(target.hash, target.number, tuple(chosen))

    def possible(self, node: Node) -> bool:
        """Whether blocks of this node could still get a supermajority of precommits."""
        voters = self.voters
        seen = voters.weight(self.precommits.seen)
        equivocated = voters.weight(self.precommits.equivocators)
        have = voters.weight(node.precommits | self.precommits.equivocators)
        unseen = voters.total - seen
        may_equivocate = max(0, voters.tolerated - equivocated)
        return have + unseen + min(seen - have, may_equivocate) >= voters.threshold

    def _prevoted(self, node: Node) -> bool:
        return self.voters.weight(node.prevotes | self.prevotes.equivocators) >= self.voters.threshold

    def _precommitted(self, node: Node) -> bool:
        return self.voters.weight(node.precommits | self.precommits.equivocators) >= self.voters.threshold

    def _compute(self) -> RoundState:
        ghost = self.graph.ghost(self._prevoted)
        if ghost is None:
            return RoundState(None, None, None, completable=False)
        if self.seen_weight(Phase.PRECOMMIT) < self.voters.threshold:
            return RoundState(ghost, None, ghost, completable=False)
        finalised = self.graph.find_ancestor(ghost.hash, self._precommitted)
        estimate = self.graph.find_ancestor(ghost.hash, self.possible)
        higher = self.graph.has_descendant(ghost.hash, self.possible)
        return RoundState(ghost, finalised, estimate, estimate is not None and (estimate != ghost or not higher))
