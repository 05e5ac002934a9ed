"""Peer reputation: a signed 32-bit score per peer that forgets, and the named reasons to change it.

A score decays by 1/50 a second towards 0; at 82 % of the minimum the peer is banned. Source: reference/substrate.md §1.
Invariant: -2^31 <= score <= 2^31 - 1, and at most PEERS_MAX peers are remembered.
"""

from dataclasses import dataclass

from node.network.port import PeerId

SCORE_MIN = -(1 << 31)
SCORE_MAX = (1 << 31) - 1
BAN_THRESHOLD = SCORE_MIN * 82 // 100
DECAY_PER_SECOND = 1 / 50
PEERS_MAX = 4096


@dataclass(frozen=True, slots=True)
class Penalty:
    """A named change of a score. Positive deltas are rewards."""

    delta: int
    reason: str


WRONG_GENESIS = Penalty(SCORE_MIN, "wrong genesis")
BAD_BLOCK = Penalty(-(1 << 29), "bad block")
BAD_JUSTIFICATION = Penalty(-(1 << 28), "bad justification")
BAD_SIGNATURE = Penalty(-(1 << 24), "bad signature")
MALFORMED_MESSAGE = Penalty(-(1 << 26), "malformed message")
OVERSIZED_MESSAGE = Penalty(-(1 << 28), "oversized message")
STREAM_FLOOD = Penalty(-(1 << 29), "stream flood")
DUPLICATE_STREAM = Penalty(-(1 << 24), "second notification stream")
BAD_RESPONSE = Penalty(-(1 << 24), "useless response")
BAD_TRANSACTION = Penalty(-(1 << 12), "bad transaction")
TIMED_OUT = Penalty(-(1 << 10), "time-out")
UNSOLICITED = Penalty(-(1 << 8), "unexpected message")
GOOD_BLOCK = Penalty(1 << 8, "good block")
GOOD_TRANSACTION = Penalty(1 << 7, "good transaction")


@dataclass(slots=True)
class _Score:
    value: int
    at_s: float


class PeerReputation:
    """The scores of peers. Time is the caller's: seconds of a clock that never runs backwards."""

    def __init__(self) -> None:
        self._scores: dict[PeerId, _Score] = {}

    def score(self, peer: PeerId, now_s: float) -> int:
        """A peer's score now; 0 for a stranger."""
        known = self._scores.get(peer)
        return 0 if known is None else _decayed(known, now_s)

    def change(self, peer: PeerId, delta: int, now_s: float) -> bool:
        """Add `delta` to a peer's score. True: the score is at or below the ban threshold."""
        value = max(SCORE_MIN, min(SCORE_MAX, self.score(peer, now_s) + delta))
        if peer not in self._scores and len(self._scores) >= PEERS_MAX:
            self._forget_most_neutral(now_s)
        self._scores[peer] = _Score(value, now_s)
        return value <= BAN_THRESHOLD

    def _forget_most_neutral(self, now_s: float) -> None:
        scores = self._scores
        del scores[min(scores, key=lambda peer: abs(_decayed(scores[peer], now_s)))]


def _decayed(score: _Score, now_s: float) -> int:
    return int(score.value * (1 - DECAY_PER_SECOND) ** max(0.0, now_s - score.at_s))
