"""What an operator asks when finality stands still: where the round is, and who is missing."""

from __future__ import annotations

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
class RoundReport:
    """The current round, for finality_roundState."""

    set_id: int
    round: int
    total_weight: int
    threshold_weight: int
    prevotes: PhaseReport
    precommits: PhaseReport
    ghost: BlockRef | None
    estimate: BlockRef | None
    finalised: BlockRef
    voting: str
    """Whether the own key votes, and if not why."""


def report_of(votes: Round, finalised: BlockRef, voting: str) -> RoundReport:
    """Return the report on a round."""
    return RoundReport(
        votes.set_id,
        votes.number,
        votes.voters.total,
        votes.voters.threshold,
        _phase(votes, Phase.PREVOTE),
        _phase(votes, Phase.PRECOMMIT),
        votes.state.ghost,
        votes.state.estimate,
        finalised,
        voting,
    )


def _phase(votes: Round, phase: Phase) -> PhaseReport:
    equivocators = votes.voters.keys_of(votes.tracker(phase).equivocators)
    return PhaseReport(votes.seen_weight(phase), tuple(votes.missing(phase)), tuple(equivocators))
