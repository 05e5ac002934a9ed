"""What the parts of a voter share: its set, what is final, the rounds it keeps, and questions about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from consensus.grandpa.actions import Action, Broadcast, ConflictingFinality, Finalise
from consensus.grandpa.ballot import Ballot, OwnKey
from consensus.grandpa.chain import BlockRef, ChainView, is_descendant
from consensus.grandpa.messages import (
    Commit,
    CommitMessage,
    Justification,
    Neighbour,
    Precommit,
    Propose,
    SignedMessage,
    SignedVote,
    StoredRound,
    Verify,
    VoteMessage,
    ancestries,
    vote_message,
)
from consensus.grandpa.peers import Peers
from consensus.grandpa.round import Round, RoundState
from consensus.grandpa.round_run import RoundRun
from consensus.grandpa.vote_graph import Phase
from consensus.grandpa.voter_set import VoterSet
from consensus.grandpa.voting_rule import Timing, is_anchor
from consensus.grandpa.waiting import Waiting

NEIGHBOUR_MS = 120_000


class SetLimits(Protocol):
    """The announced changes of voters, as far as a voter must mind them."""

    def limit(self, head: BlockRef) -> int | None:
        """Return the height this set must not vote beyond on the chain of `head`."""
        ...

    def enacts(self, block: BlockRef) -> bool:
        """Whether finalising `block` ends this set."""
        ...


@dataclass(frozen=True, slots=True)
class VoterConfig:
    """What a voter is given: its keys (none for an observer), the slot length, and the functions that are not its own.

    Of the keys the first that is in the set votes. `random_below(n)` returns an integer in [0, n).
    """

    slot_ms: int
    keys: tuple[OwnKey, ...]
    verify: Verify
    random_below: Callable[[int], int]


@dataclass(slots=True, eq=False)
class VoterState:
    """The state of one set's voter. `listening` and `lost_target` forbid casting votes, `retired` ends everything."""

    config: VoterConfig
    set_id: int
    voters: VoterSet
    finalised: BlockRef
    chain: ChainView
    limits: SetLimits
    stored: StoredRound | None
    ballot: Ballot | None
    own: int | None
    timing: Timing
    genesis: RoundState
    current: int
    listening: bool
    lost_target: BlockRef | None = None
    retired: bool = False
    last_commit: CommitMessage | None = None
    neighbour_due_ms: int = 0
    runs: dict[int, RoundRun] = field(default_factory=dict)
    waiting: Waiting = field(default_factory=Waiting)
    peers: Peers = field(default_factory=Peers)

    def is_retired(self) -> bool:
        """Whether this set's last block is final."""
        return self.retired

    @property
    def may_cast(self) -> bool:
        """Whether the own key may vote now."""
        return self.ballot is not None and not self.listening and self.lost_target is None

    @property
    def voting(self) -> str:
        """Why the own key does not vote, or "yes"."""
        if self.ballot is None:
            return "no: no key of this set"
        if self.listening:
            return "no: asking the other voters what they saw of the own key"
        if self.lost_target is not None:
            return f"no: blocks up to {self.lost_target.number} were voted for and are missing"
        return "yes"

    def run(self, number: int, now_ms: int) -> RoundRun:
        """Return a round, begun if need be above the highest block that an earlier round finalised.

        Not above what commits made final: an honest vote of this round may lie lower.
        """
        found = self.runs.get(number)
        if found is None:
            bases = [settled(self.runs[earlier].votes) for earlier in sorted(self.runs) if earlier < number]
            base = max(bases, key=lambda block: block.number, default=self.genesis.estimate or self.finalised)
            votes = Round(number, self.set_id, self.voters, base)
            found = self.runs[number] = RoundRun(votes, now_ms, self.timing)
        return found

    def previous_state(self, number: int) -> RoundState | None:
        """Return the state of the round before `number`: live, as stored at the last start, or the set's base."""
        run = self.runs.get(number - 1)
        if run is not None and run.votes.state.completable:
            return run.votes.state
        stored = self.stored
        if stored is not None and stored.votes.round == number - 1:
            finalised = None if stored.finalised is None else stored.finalised.block
            return RoundState(stored.ghost.block, finalised, stored.estimate.block, completable=True)
        return self.genesis if number == 1 else None

    def is_primary(self, key: bytes, round_number: int) -> bool:
        """Whether `key` may propose in this round."""
        return self.voters.primary(round_number) == key

    def is_known(self, message: VoteMessage) -> bool:
        """Whether the vote adds nothing: seen before, its voter's equivocation is known, or it waits for its block."""
        if message in self.waiting.votes:
            return True
        run = self.runs.get(message.round)
        if run is None:
            return False
        signed = message.signed
        if isinstance(signed.message, Propose):
            return run.votes.proposal is not None or not self.is_primary(signed.voter, message.round)
        position = self.voters.index(signed.voter)
        votes = run.votes.tracker(phase_of(signed)).votes.get(-1 if position is None else position, [])
        return len(votes) == 2 or any(vote.target.block == signed.block for vote in votes)

    def finalise(self, message: CommitMessage) -> list[Action]:
        """Make a proven commit's target final: above what is final, and not beyond this set's last block."""
        target = message.commit.target
        if not is_descendant(self.chain, self.finalised, target):
            return [ConflictingFinality(message)]
        limit = self.limits.limit(target)
        if limit is not None and target.number > limit:
            return []
        known = tuple(vote for vote in message.commit.precommits if vote.voter in self.voters)
        commit = Commit(target.hash, target.number, known)
        headers = ancestries(commit, self.chain.header)
        if headers is None:
            return []
        self.finalised = target
        self.retired = self.limits.enacts(target)
        self.last_commit = CommitMessage(message.round, self.set_id, commit)
        justification = Justification(message.round, commit, headers)
        return [Finalise(target, justification, self.set_id, self.retired or is_anchor(target.number))]

    def neighbour(self) -> Neighbour:
        """Return where we stand."""
        return Neighbour(self.current, self.set_id, self.finalised.number)

    def announce(self, now_ms: int) -> Action:
        """Tell all peers where we stand, and again in two minutes."""
        self.neighbour_due_ms = now_ms + NEIGHBOUR_MS
        return Broadcast(self.neighbour())


def settled(votes: Round) -> BlockRef:
    """Return the block that all honest votes of the next round descend from."""
    finalised = votes.state.finalised
    return votes.base if finalised is None or finalised.number < votes.base.number else finalised


def phase_of(signed: SignedMessage) -> Phase:
    """Return the phase of a prevote or precommit."""
    return Phase.PRECOMMIT if isinstance(signed.message, Precommit) else Phase.PREVOTE


def as_message(vote: SignedVote, phase: Phase, round_number: int, set_id: int) -> VoteMessage:
    """Return a counted vote as it was sent."""
    signed = SignedMessage(vote_message(phase, vote.target.block), vote.signature, vote.voter)
    return VoteMessage(round_number, set_id, signed)
