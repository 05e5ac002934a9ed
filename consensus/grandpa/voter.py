"""The voter of one set: messages, blocks and time in, actions out (reference/substrate.md §4, spec/chain.md (h)).

Rounds run one after the other: prevote, precommit, and on to the next round when this one is completable and the
estimate of the one before is final. The rounds before keep counting late votes. What was lost on the way is repaired
by neighbour packets: a voter that is stuck says so, and its peers send it the votes of its round; one that is far
behind catches up by a completed round's votes.
"""

from __future__ import annotations

from consensus.grandpa.actions import Action, Broadcast, Peer, Send, SetTimer
from consensus.grandpa.ballot import Ballot
from consensus.grandpa.catch_up import restore
from consensus.grandpa.chain import BlockRef, ChainView
from consensus.grandpa.intake import Intake
from consensus.grandpa.messages import (
    CatchUp,
    CatchUpRequest,
    CommitMessage,
    Gossip,
    Justification,
    Neighbour,
    StoredRound,
    VoteMessage,
)
from consensus.grandpa.peers import ROUNDS_AROUND
from consensus.grandpa.progress import Progress
from consensus.grandpa.repair import Repair
from consensus.grandpa.report import RoundReport, report_of
from consensus.grandpa.round import RoundState
from consensus.grandpa.round_run import RoundRun
from consensus.grandpa.vote_graph import Phase
from consensus.grandpa.voter_set import VoterSet
from consensus.grandpa.voter_state import SetLimits, VoterConfig, VoterState, as_message
from consensus.grandpa.voting_rule import Timing
from consensus.votes_gate import VotesGate


class Voter:
    """Drives the rounds of one set until a block that changes the set is final."""

    def __init__(
        self,
        config: VoterConfig,
        set_id: int,
        voters: VoterSet,
        finalised: BlockRef,
        chain: ChainView,
        limits: SetLimits,
        gate: VotesGate,
        stored: StoredRound | None = None,
        *,
        listening: bool = False,
    ) -> None:
        key = next((key for key in config.keys if key.public in voters), None)
        own = None if key is None else voters.index(key.public)
        stored = stored if stored is not None and stored.votes.set_id == set_id else None
        self._gate = gate
        self._state = VoterState(
            config=config,
            set_id=set_id,
            voters=voters,
            finalised=finalised,
            chain=chain,
            limits=limits,
            stored=stored,
            ballot=None if key is None or own is None else Ballot(key, set_id, gate),
            own=own,
            timing=Timing.of(config.slot_ms, len(voters)),
            genesis=RoundState.genesis(finalised),
            current=1 if stored is None else stored.votes.round + 1,
            listening=listening,
        )
        self._intake = Intake(self._state)
        self._progress = Progress(self._state, self._intake)
        self._repair = Repair(self._state, self._progress)
        if stored is not None:
            run = RoundRun(restore(stored, voters, chain), 0, self._state.timing)
            self._state.runs[run.votes.number] = run
        self._state.run(self._state.current, 0)

    @property
    def round_number(self) -> int:
        """The round being voted on."""
        return self._state.current

    @property
    def voters(self) -> VoterSet:
        """The set's voters."""
        return self._state.voters

    @property
    def finalised(self) -> BlockRef:
        """The last final block."""
        return self._state.finalised

    @property
    def retired(self) -> bool:
        """Whether this set's last block is final."""
        return self._state.retired

    def start(self, now_ms: int) -> list[Action]:
        """Enter the round after the last stored one and send the own votes of the file again."""
        state = self._state
        head = state.chain.best_containing(state.finalised.hash)
        last = self._gate.last_target
        if last is not None and (head is None or head.number < last.number):
            state.lost_target = last
        actions = self._progress.enter(state.current, now_ms)
        return actions + self._apply_own(now_ms) + self._advance(now_ms)

    def stop_listening(self, now_ms: int) -> list[Action]:
        """Begin to cast votes: enough voters said what they saw of the own key."""
        self._state.listening = False
        return self._apply_own(now_ms) + self._advance(now_ms)

    def on_message(self, peer: Peer, message: Gossip, now_ms: int) -> list[Action]:
        """Take a notification of a peer. Votes and commits of other sets change nothing."""
        state = self._state
        if state.is_retired():
            return []
        actions: list[Action] = []
        if isinstance(message, Neighbour):
            actions = self._repair.on_neighbour(peer, message, now_ms)
        elif isinstance(message, VoteMessage) and message.set_id == state.set_id:
            actions = self._intake.on_vote(peer, message, now_ms)
        elif isinstance(message, CommitMessage) and message.set_id == state.set_id:
            actions = self._intake.on_commit(peer, message, now_ms)
        # What changed something was passed on or answered; all else leaves the timer as it was set.
        return actions + self._advance(now_ms) if actions else []

    def on_timeout(self, now_ms: int) -> list[Action]:
        """Do what has become due."""
        return self._advance(now_ms)

    def on_new_block(self, block: BlockRef, now_ms: int) -> list[Action]:
        """A block was imported: votes that waited for it count now, and a prevote on hold may be cast."""
        state = self._state
        if state.is_retired():
            return []
        actions: list[Action] = []
        for peer, vote in state.waiting.take_votes(block.hash):
            actions.extend(self._intake.take(peer, vote, now_ms))
        for peer, commit in state.waiting.take_commits():
            actions.extend(self._intake.on_commit(peer, commit, now_ms))
        if state.waiting.catch_up is not None:
            (peer, catch_up), state.waiting.catch_up = state.waiting.catch_up, None
            actions.extend(self._repair.apply(peer, catch_up, now_ms))
        if state.lost_target is not None and block.number >= state.lost_target.number:
            state.lost_target = None
        return actions + self._advance(now_ms)

    def on_finalised(self, block: BlockRef, now_ms: int) -> list[Action]:
        """A justification from elsewhere, already checked, made `block` final."""
        state = self._state
        if not state.is_retired() and block.number > state.finalised.number:
            state.finalised = block
            state.retired = state.limits.enacts(block)
        return self._advance(now_ms)

    def remember(self, justification: Justification) -> None:
        """The last commit, as stored; one of another block or set is not taken."""
        state = self._state
        if justification.commit.target == state.finalised:
            self._state.last_commit = CommitMessage(justification.round, state.set_id, justification.commit)

    def on_peer_up(self, peer: Peer) -> list[Action]:
        """Tell a new peer where we stand, and give it the last commit."""
        state = self._state
        known = [] if state.last_commit is None else [Send(peer, state.last_commit)]
        return [Send(peer, state.neighbour()), *known]

    def on_peer_down(self, peer: Peer) -> None:
        """Forget a peer."""
        self._state.peers.drop(peer)

    def on_catch_up(self, peer: Peer, catch_up: CatchUp | None, now_ms: int) -> list[Action]:
        """Take the answer to a RequestCatchUp; None when it failed."""
        if self._state.is_retired():
            return []
        return self._repair.on_catch_up(peer, catch_up, now_ms) + self._advance(now_ms)

    def answer_catch_up(self, request: CatchUpRequest) -> CatchUp | None:
        """Return the votes of our last completed round when it is the asked one or a later one."""
        return self._repair.answer(request)

    def votes_of(self, key: bytes) -> list[VoteMessage]:
        """Return the votes of a key that we hold, from the round before the current one: the answer to /votes/1."""
        state = self._state
        position = state.voters.index(key)
        found = [
            as_message(vote, phase, number, state.set_id)
            for number in sorted(state.runs)
            if position is not None and number >= state.current - ROUNDS_AROUND
            for phase in Phase
            for vote in state.runs[number].votes.tracker(phase).votes.get(position, [])
        ]
        return found + [message for message in state.waiting.votes if message.signed.voter == key]

    def report(self) -> RoundReport:
        """Return the state of the current round and who is missing, for finality_roundState."""
        state = self._state
        earlier = [state.runs[number].votes for number in sorted(state.runs, reverse=True) if number < state.current]
        return report_of(state.runs[state.current].votes, earlier, state.finalised, state.voting)

    def _apply_own(self, now_ms: int) -> list[Action]:
        """Count the own votes of the file and send them again."""
        actions: list[Action] = []
        for message in self._repair.own_votes():
            actions.append(Broadcast(message))
            actions.extend(self._intake.take("", message, now_ms))
        return actions

    def _advance(self, now_ms: int) -> list[Action]:
        state = self._state
        if state.is_retired():
            return []
        actions = self._progress.advance(now_ms)
        if state.is_retired():
            return actions
        actions.extend(self._repair.repeat(now_ms))
        run = state.runs[state.current]
        times = [*self._progress.due_times(), run.repeat_due_ms, state.neighbour_due_ms]
        actions.append(SetTimer(min(time for time in times if time > now_ms)))
        return actions
