"""What `finality_roundState` answers: where the round is, who is missing, and why this node does not vote."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from consensus.grandpa.chain import BlockRef
from consensus.grandpa.report import PhaseReport, RoundReport, VotesReport
from consensus.listening import Listen
from runtime import ss58


def round_state(report: RoundReport, listen: Listen | None, own_keys: Iterable[bytes]) -> dict[str, Any]:
    """Substrate's grandpa_roundState (setId, best, background), and what an operator needs besides."""
    return {
        "setId": report.set_id,
        "best": _round(report, report.current),
        "background": [_round(report, votes) for votes in report.background],
        "prevoteGhost": _block(report.ghost),
        "estimate": _block(report.estimate),
        "finalized": _block(report.finalised),
        "voting": report.voting,
        "ownKeys": [ss58.encode(key) for key in own_keys],
        "notYetAsked": [] if listen is None else [ss58.encode(key) for key in listen.unheard()],
    }


def _round(report: RoundReport, votes: VotesReport) -> dict[str, Any]:
    return {
        "round": votes.round,
        "totalWeight": report.total_weight,
        "thresholdWeight": report.threshold_weight,
        "prevotes": _phase(votes.prevotes),
        "precommits": _phase(votes.precommits),
    }


def _phase(phase: PhaseReport) -> dict[str, Any]:
    return {
        "currentWeight": phase.current_weight,
        "missing": [ss58.encode(key) for key in phase.missing],
        "equivocators": [ss58.encode(key) for key in phase.equivocators],
    }


def _block(block: BlockRef | None) -> dict[str, Any] | None:
    return None if block is None else {"number": block.number, "hash": f"0x{block.hash.hex()}"}
