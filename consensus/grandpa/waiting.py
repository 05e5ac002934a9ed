"""Votes, commits and catch-ups that name blocks not imported yet. All of them were verified, and each is bounded."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from consensus.grandpa.actions import Peer
from consensus.grandpa.chain import BlockRef, ChainView
from consensus.grandpa.messages import CatchUp, CommitMessage, VoteMessage
from runtime.types import Hash

VOTES_WAITING_MAX = 512
"""64 voters, two kinds, three rounds, and room for equivocators."""
COMMITS_WAITING_MAX = 4
MISSING_ASKED_MAX = 8
"""Missing blocks asked for again at once."""


@dataclass(slots=True)
class Waiting:
    """What is replayed when a block arrives."""

    votes: dict[VoteMessage, Peer] = field(default_factory=dict)
    commits: dict[CommitMessage, Peer] = field(default_factory=dict)
    catch_up: tuple[Peer, CatchUp] | None = None

    def add_vote(self, peer: Peer, message: VoteMessage) -> bool:
        """Keep a vote; False when it waits already. The oldest one gives way when there are too many."""
        if message in self.votes:
            return False
        if len(self.votes) >= VOTES_WAITING_MAX:
            del self.votes[next(iter(self.votes))]
        self.votes[message] = peer
        return True

    def add_commit(self, peer: Peer, message: CommitMessage) -> bool:
        """Keep a commit; False when it waits already. The lowest target gives way when there are too many."""
        if message in self.commits:
            return False
        self.commits[message] = peer
        if len(self.commits) > COMMITS_WAITING_MAX:
            del self.commits[min(self.commits, key=lambda waiting: waiting.commit.target_number)]
        return message in self.commits

    def take_votes(self, block: Hash) -> list[tuple[Peer, VoteMessage]]:
        """Remove and return the votes for `block`."""
        ready = [(peer, message) for message, peer in self.votes.items() if message.signed.block.hash == block]
        for _, message in ready:
            del self.votes[message]
        return ready

    def take_commits(self) -> list[tuple[Peer, CommitMessage]]:
        """Remove and return all commits: the caller puts back those that still lack a block."""
        ready = [(peer, message) for message, peer in self.commits.items()]
        self.commits.clear()
        return ready

    def missing(self, chain: ChainView) -> list[BlockRef]:
        """Return some of the blocks that are waited for, without repetition."""
        commits = [block for waiting in self.commits for block in _blocks(waiting)]
        votes = [message.signed.block for message in self.votes]
        unknown = (block for block in dict.fromkeys(commits + votes) if chain.number(block.hash) is None)
        return list(islice(unknown, MISSING_ASKED_MAX))

    def forget(self, lowest_round: int, finalised_number: int) -> None:
        """Drop what can no longer matter."""
        for message in [message for message in self.votes if message.round < lowest_round]:
            del self.votes[message]
        for commit in [commit for commit in self.commits if commit.commit.target_number <= finalised_number]:
            del self.commits[commit]


def _blocks(message: CommitMessage) -> list[BlockRef]:
    """The blocks that a commit names."""
    return [message.commit.target, *(vote.target.block for vote in message.commit.precommits)]
