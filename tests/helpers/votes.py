"""Making votes, commits and voter sets for consensus tests."""

from __future__ import annotations

from collections.abc import Sequence

from consensus.grandpa.chain import BlockRef
from consensus.grandpa.messages import (
    Commit,
    Propose,
    SignedMessage,
    SignedVote,
    Target,
    VoteMessage,
    signing_payload,
    vote_message,
)
from consensus.grandpa.vote_graph import Phase
from consensus.grandpa.voter_set import VoterSet
from tests.helpers.keyed_hash import public_of, sign

NAMES = ("alice", "bob", "charlie", "dave", "eve", "ferdie", "george", "heidi", "ivan", "judy")


def voter_set(count: int) -> VoterSet:
    """The first `count` names, each of weight one."""
    return VoterSet([(public_of(name), 1) for name in NAMES[:count]])


def weighted(*weights: int) -> VoterSet:
    """The first names with these weights."""
    return VoterSet([(public_of(name), weight) for name, weight in zip(NAMES, weights, strict=False)])


def vote(name: str, phase: Phase, block: BlockRef, round_number: int = 1, set_id: int = 0) -> SignedVote:
    """A signed vote."""
    public = public_of(name)
    payload = signing_payload(vote_message(phase, block), round_number, set_id)
    return SignedVote(Target(block.hash, block.number), sign(public, payload), public)


def gossip(name: str, phase: Phase, block: BlockRef, round_number: int = 1, set_id: int = 0) -> VoteMessage:
    """The same vote as it travels."""
    signed = vote(name, phase, block, round_number, set_id)
    return VoteMessage(round_number, set_id, SignedMessage(vote_message(phase, block), signed.signature, signed.voter))


def proposal(name: str, block: BlockRef, round_number: int, set_id: int = 0) -> VoteMessage:
    """A primary's proposal as it travels."""
    public = public_of(name)
    message = Propose(block.hash, block.number)
    signature = sign(public, signing_payload(message, round_number, set_id))
    return VoteMessage(round_number, set_id, SignedMessage(message, signature, public))


def commit(target: BlockRef, votes: Sequence[tuple[str, BlockRef]], round_number: int = 1, set_id: int = 0) -> Commit:
    """A commit from (name, block) precommits."""
    precommits = tuple(vote(name, Phase.PRECOMMIT, block, round_number, set_id) for name, block in votes)
    return Commit(target.hash, target.number, precommits)
