"""A completed round as a list of votes: for peers that are behind, and for our own next start."""

from __future__ import annotations

from collections.abc import Iterator

from consensus.grandpa.chain import BlockRef, ParentLookup
from consensus.grandpa.messages import CatchUp, SignedVote, StoredRound, Target, Verify, verify_vote
from consensus.grandpa.round import Round
from consensus.grandpa.vote_graph import NotDescendant, Phase
from consensus.grandpa.voter_set import VoterSet


def catch_up_of(votes: Round) -> CatchUp:
    """Return all votes of a round, equivocations included."""
    base = votes.base
    prevotes, precommits = votes.prevotes.all(), votes.precommits.all()
    return CatchUp(votes.set_id, votes.number, prevotes, precommits, base.hash, base.number)


def build_round(catch_up: CatchUp, voters: VoterSet, chain: ParentLookup, verify: Verify) -> Round | None:
    """Return the round that these votes make, or None when one of them is bad."""
    for phase, vote in _votes(catch_up):
        if vote.voter not in voters or not verify_vote(vote, phase, catch_up.round, catch_up.set_id, verify):
            return None
    return _import(catch_up, voters, chain)


def stored_round(votes: Round) -> StoredRound | None:
    """Return a completed round for the next start; None when it is not complete."""
    state = votes.state
    if not state.completable or state.ghost is None or state.estimate is None:
        return None
    finalised = None if state.finalised is None else _target(state.finalised)
    return StoredRound(catch_up_of(votes), _target(state.ghost), _target(state.estimate), finalised)


def restore(stored: StoredRound, voters: VoterSet, chain: ParentLookup) -> Round:
    """Return the round as stored by ourselves. Votes on forks that were pruned since are left out."""
    return _import(stored.votes, voters, chain)


def _import(catch_up: CatchUp, voters: VoterSet, chain: ParentLookup) -> Round:
    votes = Round(catch_up.round, catch_up.set_id, voters, catch_up.base)
    for phase, vote in _votes(catch_up):
        try:
            votes.add(phase, vote, chain)
        except NotDescendant:
            continue
    return votes


def _votes(catch_up: CatchUp) -> Iterator[tuple[Phase, SignedVote]]:
    for vote in catch_up.prevotes:
        yield Phase.PREVOTE, vote
    for vote in catch_up.precommits:
        yield Phase.PRECOMMIT, vote


def _target(block: BlockRef) -> Target:
    return Target(block.hash, block.number)
