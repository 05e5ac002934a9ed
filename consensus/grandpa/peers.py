"""What each peer said of itself, and which of our answers it has had: the gossip rules' memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from consensus.grandpa.actions import Peer
from consensus.grandpa.messages import Neighbour

PEERS_MAX = 256
ROUNDS_AROUND = 1
"""Votes of rounds r-1 .. r+1 are taken (reference/substrate.md §4)."""
CATCH_UP_BEHIND = 2
"""A peer more than two rounds ahead is asked for its last completed round."""

PENALTY_BAD_SIGNATURE = -(1 << 24)
PENALTY_BAD_COMMIT = -(1 << 28)
PENALTY_BAD_CATCH_UP = -(1 << 26)
PENALTY_STRANGER = -(1 << 20)
PENALTY_WRONG_NUMBER = -(1 << 16)
"""Mild: an honest peer may pass on a vote whose block it lacks."""
PENALTY_FUTURE = -(1 << 8)
PENALTY_BACKWARDS = -(1 << 8)


class Standing(Enum):
    """How a message's round relates to ours."""

    PRESENT = "present"
    PAST = "past"
    FUTURE = "future"


def standing(round_number: int, current: int) -> Standing:
    """Judge the round of a vote of our own set."""
    if round_number < current - ROUNDS_AROUND:
        return Standing.PAST
    return Standing.FUTURE if round_number > current + ROUNDS_AROUND else Standing.PRESENT


@dataclass(slots=True)
class PeerView:
    """Where a peer says it stands."""

    set_id: int = 0
    round: int = 0
    commit_number: int = 0
    answered_ms: int | None = None
    """When it last got a round's votes from us."""


@dataclass(slots=True)
class Peers:
    """All peers that sent a neighbour packet."""

    views: dict[Peer, PeerView] = field(default_factory=dict)

    def update(self, peer: Peer, packet: Neighbour) -> tuple[PeerView, bool, bool]:
        """Take a packet; return the view, whether the round is the same as before, and whether it went backwards."""
        view = self.views.get(peer)
        if view is None:
            if len(self.views) >= PEERS_MAX:
                del self.views[next(iter(self.views))]
            view = self.views[peer] = PeerView()
        before = (view.set_id, view.round)
        after = (packet.set_id, packet.round)
        backwards = after < before or packet.commit_number < view.commit_number
        view.set_id, view.round, view.commit_number = packet.set_id, packet.round, packet.commit_number
        return view, before == after, backwards

    def drop(self, peer: Peer) -> None:
        """Forget a peer that left."""
        self.views.pop(peer, None)
