"""Going through the rounds: prevote, precommit, finalise, next round."""

from __future__ import annotations

from consensus.grandpa.actions import Action, Broadcast, PersistRound
from consensus.grandpa.catch_up import stored_round
from consensus.grandpa.chain import BlockRef, is_descendant
from consensus.grandpa.intake import Intake
from consensus.grandpa.messages import CommitMessage
from consensus.grandpa.round import RoundState
from consensus.grandpa.round_run import RoundRun
from consensus.grandpa.vote_graph import Phase
from consensus.grandpa.voter_state import VoterState
from consensus.grandpa.voting_rule import target_number
from consensus.votes_gate import RecordKind

ROUNDS_KEPT = 3
"""Completed rounds kept for late votes and for peers that ask."""
ROUNDS_PER_STEP_MAX = 16


class Progress:
    """Does what the votes counted and the time allow."""

    def __init__(self, state: VoterState, intake: Intake) -> None:
        self._state = state
        self._intake = intake

    def advance(self, now_ms: int) -> list[Action]:
        """Vote, finalise and change rounds as far as the rules allow now."""
        state = self._state
        actions: list[Action] = []
        for _ in range(ROUNDS_PER_STEP_MAX):
            step = self.finalise_runs(now_ms)
            if not state.is_retired():
                step += self._vote(state.runs[state.current], now_ms)
                step += self._enter_next(now_ms)
            actions.extend(step)
            if state.is_retired() or not step:
                break
        return actions + self._send_commits(now_ms)

    def finalise_runs(self, now_ms: int) -> list[Action]:
        """Make final what the precommits of any round kept have decided."""
        state = self._state
        actions: list[Action] = []
        for number in sorted(state.runs):
            run = state.runs[number]
            block = run.votes.committed()
            if state.is_retired() or block is None or block.number <= state.finalised.number:
                continue
            commit = run.votes.commit_for(block)
            if commit is None:
                continue
            message = CommitMessage(number, state.set_id, commit)
            found = state.finalise(message)
            actions.extend(found)
            if state.is_retired():
                actions.append(Broadcast(message))
            elif found:
                run.commit = message
                run.commit_due_ms = now_ms + state.config.random_below(state.timing.commit_delay_ms + 1)
        return actions

    def enter(self, number: int, now_ms: int) -> list[Action]:
        """Begin a round: forget old ones, tell the peers, and propose the last estimate if this is ours to do."""
        state = self._state
        state.current = number
        run = state.run(number, now_ms)
        run.begin(now_ms, state.timing)
        for old in [old for old in state.runs if old < number - ROUNDS_KEPT]:
            del state.runs[old]
        state.waiting.forget(number - 1, state.finalised.number)
        actions: list[Action] = [state.announce(now_ms)]
        previous = state.previous_state(number)
        if not state.may_cast or state.own is None or previous is None or previous.estimate is None:
            return actions
        primary = state.is_primary(state.voters.keys[state.own], number)
        if primary and previous.estimate.number > state.finalised.number:
            actions.extend(self._cast(run, RecordKind.PROPOSE, previous.estimate, now_ms))
        return actions

    def due_times(self) -> list[int]:
        """Return when something of the current round, or a commit of any, is due."""
        state = self._state
        run = state.runs[state.current]
        times = [run.prevote_due_ms, run.precommit_due_ms, run.hold_until_ms]
        times.extend(other.commit_due_ms for other in state.runs.values() if other.commit is not None)
        return times

    def _vote(self, run: RoundRun, now_ms: int) -> list[Action]:
        """Cast the prevote and the precommit of the current round when they are due."""
        state = self._state
        previous = state.previous_state(run.votes.number)
        if not state.may_cast or previous is None or previous.estimate is None:
            return []
        actions: list[Action] = []
        if not run.prevoted and (now_ms >= run.prevote_due_ms or run.votes.state.completable):
            target = self._prevote_target(run, previous, previous.estimate)
            if target is not None and not self._hold(run, target, now_ms):
                actions.extend(self._cast(run, RecordKind.PREVOTE, target, now_ms))
        counted = run.votes.state
        if run.prevoted and not run.precommitted and counted.ghost is not None:
            everyone = run.votes.seen_weight(Phase.PREVOTE) == state.voters.total
            due = now_ms >= run.precommit_due_ms or counted.completable or everyone
            if due and is_descendant(state.chain, previous.estimate, counted.ghost):
                actions.extend(self._cast(run, RecordKind.PRECOMMIT, counted.ghost, now_ms))
        return actions

    def _prevote_target(self, run: RoundRun, previous: RoundState, estimate: BlockRef) -> BlockRef | None:
        """Return the block to prevote: on the best chain with the last estimate or the primary's block, cut by rule."""
        state = self._state
        base = estimate
        proposal = run.votes.proposal
        if proposal is not None and previous.ghost is not None and is_descendant(state.chain, estimate, proposal):
            base = proposal if is_descendant(state.chain, proposal, previous.ghost) else estimate
        head = state.chain.best_containing(base.hash)
        if head is None:
            return None
        number = target_number(head.number, state.finalised.number, state.limits.limit(head))
        number = min(head.number, max(number, base.number))
        target = state.chain.ancestor_at(head.hash, number)
        return None if target is None else BlockRef(number, target)

    def _hold(self, run: RoundRun, target: BlockRef, now_ms: int) -> bool:
        """Whether the prevote waits: nothing to finalise, nobody else has prevoted, and 10 slots are not over."""
        heard = run.votes.prevotes.seen
        return target.number <= self._state.finalised.number and not heard and now_ms < run.hold_until_ms

    def _cast(self, run: RoundRun, kind: RecordKind, block: BlockRef, now_ms: int) -> list[Action]:
        """Vote by the own key. A gate that refuses leaves the round to the others."""
        ballot = self._state.ballot
        if ballot is None:
            return []
        message, actions = ballot.cast(run.votes.number, kind, block)
        if message is not None:
            actions.extend(self._intake.take("", message, now_ms))
        run.note_tried(kind)
        return actions

    def _enter_next(self, now_ms: int) -> list[Action]:
        """Go on when this round is completable and the estimate of the one before is final."""
        state = self._state
        stored = stored_round(state.runs[state.current].votes)
        previous = state.previous_state(state.current)
        if stored is None or previous is None or previous.estimate is None:
            return []
        if not is_descendant(state.chain, previous.estimate, state.finalised):
            return []
        return [PersistRound(stored), *self.enter(state.current + 1, now_ms)]

    def _send_commits(self, now_ms: int) -> list[Action]:
        """Broadcast a commit when its random delay is over, unless a commit seen meanwhile made it pointless."""
        state = self._state
        actions: list[Action] = []
        for run in state.runs.values():
            if run.commit is None or now_ms < run.commit_due_ms:
                continue
            if run.commit == state.last_commit:
                actions.append(Broadcast(run.commit))
            run.commit = None
        return actions
