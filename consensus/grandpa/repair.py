"""Repairing what was lost on the way: neighbour packets, help for stuck voters, catch-up for late ones."""

from __future__ import annotations

from consensus.grandpa import peers as rules
from consensus.grandpa.actions import Action, Broadcast, Peer, Penalise, PersistRound, RequestCatchUp, Send, WantBlock
from consensus.grandpa.catch_up import build_round, catch_up_of, stored_round
from consensus.grandpa.messages import CatchUp, CatchUpRequest, Neighbour, VoteMessage
from consensus.grandpa.progress import Progress
from consensus.grandpa.round_run import RoundRun
from consensus.grandpa.vote_graph import Phase
from consensus.grandpa.voter_state import VoterState, as_message

CATCH_UP_TIMEOUT_MS = 45_000
REPLIES_TO_STUCK = 4
"""About so many peers answer a voter that is stuck."""
HELP_EVERY_GOSSIPS = 5
"""A peer is helped at most once in 5 T."""


class Repair:
    """Keeps voters in step when messages are lost or a node was away."""

    def __init__(self, state: VoterState, progress: Progress) -> None:
        self._state = state
        self._progress = progress
        self._pending_until_ms = 0

    def on_neighbour(self, peer: Peer, packet: Neighbour, now_ms: int) -> list[Action]:
        """Note where a peer stands; help it when it is stuck or behind, ask it when it is far ahead."""
        state = self._state
        view, same, backwards = state.peers.update(peer, packet)
        actions: list[Action] = []
        if backwards:
            actions.append(Penalise(peer, rules.PENALTY_BACKWARDS, "neighbour packet: went backwards"))
        if packet.set_id != state.set_id:
            return actions
        if packet.commit_number < state.finalised.number and state.last_commit is not None:
            actions.append(Send(peer, state.last_commit))
        if packet.round > state.current + rules.CATCH_UP_BEHIND:
            actions.extend(self._ask(peer, packet.round - 1, now_ms))
        elif same and packet.round <= state.current + rules.ROUNDS_AROUND:
            actions.extend(self._help(peer, view, now_ms))
        return actions

    def repeat(self, now_ms: int) -> list[Action]:
        """Say where we stand when it is time to; in a round that is stuck, send the own votes again as well."""
        state = self._state
        run = state.runs[state.current]
        actions: list[Action] = []
        if now_ms >= run.repeat_due_ms:
            run.repeated(now_ms, state.timing)
            if run.active or state.waiting.votes or self._lags():
                actions.append(state.announce(now_ms))
                actions.extend(Broadcast(vote) for vote in self.own_votes())
                actions.extend(WantBlock("", block) for block in state.waiting.missing(state.chain))
        if now_ms >= state.neighbour_due_ms:
            actions.append(state.announce(now_ms))
        return actions

    def _lags(self) -> bool:
        """Whether there are blocks to finalise: then a round in which nobody is heard has lost messages."""
        head = self._state.chain.best_containing(self._state.finalised.hash)
        return head is not None and head.number > self._state.finalised.number

    def own_votes(self) -> list[VoteMessage]:
        """Return the own votes, as the file has them, of the rounds that others still take votes of."""
        state = self._state
        if state.ballot is None:
            return []
        votes = state.ballot.earlier(max(1, state.current - rules.ROUNDS_AROUND))
        return [vote for vote in votes if vote.round <= state.current + rules.ROUNDS_AROUND]

    def on_catch_up(self, peer: Peer, catch_up: CatchUp | None, now_ms: int) -> list[Action]:
        """Take the answer to a request; None when it failed."""
        self._pending_until_ms = 0
        return [] if catch_up is None else self.apply(peer, catch_up, now_ms)

    def apply(self, peer: Peer, catch_up: CatchUp, now_ms: int) -> list[Action]:
        """Take a completed round's votes and enter the round after it."""
        state = self._state
        if catch_up.set_id != state.set_id or catch_up.round < state.current:
            return []
        blocks = [vote.target.hash for vote in (*catch_up.prevotes, *catch_up.precommits)]
        if any(state.chain.number(block) is None for block in (*blocks, catch_up.base_hash)):
            state.waiting.catch_up = (peer, catch_up)
            return []
        votes = build_round(catch_up, state.voters, state.chain, state.config.verify)
        stored = None if votes is None else stored_round(votes)
        if votes is None or stored is None:
            return [Penalise(peer, rules.PENALTY_BAD_CATCH_UP, "catch-up: its votes do not complete the round")]
        state.runs[catch_up.round] = RoundRun(votes, now_ms, state.timing)
        actions = self._progress.finalise_runs(now_ms)
        if state.retired:
            return actions
        return [*actions, PersistRound(stored), *self._progress.enter(catch_up.round + 1, now_ms)]

    def answer(self, request: CatchUpRequest) -> CatchUp | None:
        """Return the votes of our last completed round when it is the asked one or a later one."""
        state = self._state
        run = state.runs.get(state.current - 1)
        if request.set_id != state.set_id or run is None or run.votes.number < request.round:
            return None
        return catch_up_of(run.votes) if run.votes.state.completable else None

    def _ask(self, peer: Peer, round_number: int, now_ms: int) -> list[Action]:
        if now_ms < self._pending_until_ms:
            return []
        self._pending_until_ms = now_ms + CATCH_UP_TIMEOUT_MS
        return [RequestCatchUp(peer, CatchUpRequest(round_number, self._state.set_id), CATCH_UP_TIMEOUT_MS)]

    def _help(self, peer: Peer, view: rules.PeerView, now_ms: int) -> list[Action]:
        """Send a peer that is stuck the votes of its round and of the one before."""
        state = self._state
        waited = view.answered_ms is None or now_ms - view.answered_ms >= HELP_EVERY_GOSSIPS * state.timing.gossip_ms
        if not waited or state.config.random_below(len(state.voters)) >= REPLIES_TO_STUCK:
            return []
        view.answered_ms = now_ms
        return [
            Send(peer, as_message(vote, phase, number, state.set_id))
            for number in (view.round - 1, view.round)
            if number in state.runs
            for phase in Phase
            for vote in state.runs[number].votes.tracker(phase).all()
        ]
