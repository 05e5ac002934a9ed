"""What an operator asks when finality stands still: where the round is, and who is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.grandpa.chain import BlockRef
from consensus.grandpa.round import Round
from consensus.grandpa.vote_graph import Phase


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """The votes of one phase: weight seen, and the voters not heard of."""

    current_weight: int
    missing: tuple[bytes, ...]
    equivocators: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class VotesReport:
    """The votes of one round."""

    round: int
    prevotes: PhaseReport
    precommits: PhaseReport


@dataclass(frozen=True, slots=True)
class RoundReport:
    """The current round, for finality_roundState.

    `background` are the rounds before that are still held, the latest first: while a round waits for a block nobody
    has voted in it, and the one before tells who is silent.
    """

    set_id: int
    total_weight: int
    threshold_weight: int
    current: VotesReport
    background: tuple[VotesReport, ...]
    ghost: BlockRef | None
    estimate: BlockRef | None
    finalised: BlockRef
    voting: str
    """Whether the own key votes, and if not why."""


def report_of(votes: Round, earlier: Sequence[Round], finalised: BlockRef, voting: str) -> RoundReport:
    """Return the report on a round and those before it."""
    return RoundReport(
        votes.set_id,
        votes.voters.total,
        votes.voters.threshold,
        _votes(votes),
        tuple(_votes(other) for other in earlier),
        votes.state.ghost,
        votes.state.estimate,
        finalised,
        voting,
    )


def _votes(votes: Round) -> VotesReport:
    return VotesReport(votes.number, _phase(votes, Phase.PREVOTE), _phase(votes, Phase.PRECOMMIT))


def _phase(votes: Round, phase: Phase) -> PhaseReport:
    equivocators = votes.voters.keys_of(votes.tracker(phase).equivocators)
    return PhaseReport(votes.seen_weight(phase), tuple(votes.missing(phase)), tuple(equivocators))
