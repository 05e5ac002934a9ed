"""Taking in votes and commits: gossip rules first, then signatures, then the count."""

from __future__ import annotations

from consensus.grandpa import peers as rules
from consensus.grandpa.actions import Action, Broadcast, Peer, Penalise, ReportEquivocation, WantBlock
from consensus.grandpa.messages import (
    CommitMessage,
    InvalidCommit,
    Propose,
    SignedMessage,
    SignedVote,
    Target,
    VoteMessage,
    check_commit,
    check_commit_signatures,
    signing_payload,
)
from consensus.grandpa.round import Imported
from consensus.grandpa.round_run import RoundRun
from consensus.grandpa.vote_graph import NotDescendant, Phase
from consensus.grandpa.voter_state import VoterState, as_message, phase_of


class Intake:
    """Counts what others and the own key say."""

    def __init__(self, state: VoterState) -> None:
        self._state = state

    def on_vote(self, peer: Peer, message: VoteMessage, now_ms: int) -> list[Action]:
        """Check a vote of this set, cheapest first; count it and pass it on."""
        state = self._state
        judged = rules.standing(message.round, state.current)
        if judged is rules.Standing.PAST:
            return []
        if judged is rules.Standing.FUTURE:
            return self._future(peer, message)
        signed = message.signed
        if signed.voter not in state.voters:
            return [Penalise(peer, rules.PENALTY_STRANGER, "vote: by a key outside the set")]
        number = state.chain.number(signed.block.hash)
        if number is not None and number != signed.block.number:
            return [Penalise(peer, rules.PENALTY_WRONG_NUMBER, "vote: wrong height for its block")]
        if state.is_known(message):
            return []
        payload = signing_payload(signed.message, message.round, message.set_id)
        if not state.config.verify(signed.voter, payload, signed.signature):
            return [Penalise(peer, rules.PENALTY_BAD_SIGNATURE, "vote: bad signature")]
        actions: list[Action] = []
        if state.ballot is not None and state.voters.index(signed.voter) == state.own:
            actions.extend(state.ballot.foreign(message))
        actions.append(Broadcast(message, peer))
        return actions + self.take(peer, message, now_ms)

    def take(self, peer: Peer, message: VoteMessage, now_ms: int) -> list[Action]:
        """Count a vote whose signature is good; without its block it waits. `peer` is "" for an own vote."""
        state = self._state
        block = message.signed.block
        number = state.chain.number(block.hash)
        if number is None:
            added = state.waiting.add_vote(peer, message)
            return [WantBlock(peer, block)] if added and peer else []
        if number != block.number:
            return []
        run = state.run(message.round, now_ms)
        if isinstance(message.signed.message, Propose):
            if run.votes.proposal is None and state.is_primary(message.signed.voter, message.round):
                run.votes.proposal = block
            return []
        phase = phase_of(message.signed)
        result = self._count(run, phase, message.signed)
        if result is Imported.EQUIVOCATION and state.voters.index(message.signed.voter) != state.own:
            proof = run.votes.equivocation(phase, message.signed.voter)
            return [] if proof is None else [ReportEquivocation(proof)]
        return []

    def on_commit(self, peer: Peer, message: CommitMessage, now_ms: int) -> list[Action]:
        """Check a commit of this set; make its target final and pass it on."""
        state = self._state
        commit = message.commit
        if commit.target_number <= state.finalised.number:
            self._note_seen(message)
            return []
        blocks = [commit.target, *(vote.target.block for vote in commit.precommits if vote.voter in state.voters)]
        unknown = next((block for block in blocks if state.chain.number(block.hash) is None), None)
        try:
            if unknown is not None:
                check_commit_signatures(commit, message.round, state.set_id, state.voters, state.config.verify)
                return [WantBlock(peer, unknown)] if state.waiting.add_commit(peer, message) else []
            check_commit(commit, message.round, state.set_id, state.voters, state.chain, state.config.verify)
        except InvalidCommit as error:
            return [Penalise(peer, rules.PENALTY_BAD_COMMIT, f"commit: {error}")]
        actions = state.finalise(message)
        if message.round in state.runs and not state.retired:
            for vote in commit.precommits:
                as_vote = as_message(vote, Phase.PRECOMMIT, message.round, state.set_id)
                if vote.voter in state.voters and not state.is_known(as_vote):
                    actions.extend(self.take(peer, as_vote, now_ms))
        return [*actions, Broadcast(message, peer)]

    def _note_seen(self, message: CommitMessage) -> None:
        """A good commit that says what ours would say makes ours superfluous."""
        state = self._state
        target = message.commit.target
        for run in state.runs.values():
            if run.commit is None or run.commit.commit.target != target:
                continue
            try:
                check_commit(
                    message.commit, message.round, state.set_id, state.voters, state.chain, state.config.verify
                )
            except InvalidCommit:
                continue
            run.commit = None

    def _future(self, peer: Peer, message: VoteMessage) -> list[Action]:
        """A vote too far ahead is only held against a peer that says it is not there itself: we may be late."""
        view = self._state.peers.views.get(peer)
        if view is None or view.set_id != self._state.set_id or message.round <= view.round + rules.ROUNDS_AROUND:
            return []
        return [Penalise(peer, rules.PENALTY_FUTURE, "vote: far ahead of the peer's own round")]

    def _count(self, run: RoundRun, phase: Phase, signed: SignedMessage) -> Imported:
        block = signed.block
        try:
            result = run.votes.add(
                phase, SignedVote(Target(block.hash, block.number), signed.signature, signed.voter), self._state.chain
            )
        except NotDescendant:
            return Imported.REDUNDANT
        if self._state.voters.index(signed.voter) == self._state.own:
            run.note_counted(phase)
        return result
