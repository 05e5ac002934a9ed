"""A round as the voter drives it: its votes, what the own key did in it, and when things are due."""

from __future__ import annotations

from consensus.grandpa.messages import CommitMessage
from consensus.grandpa.round import Round
from consensus.grandpa.vote_graph import Phase
from consensus.grandpa.voting_rule import Timing
from consensus.votes_gate import RecordKind


class RoundRun:
    """The votes of a round and its clock. `prevoted` also means: tried, and refused by the gate."""

    __slots__ = (
        "commit",
        "commit_due_ms",
        "hold_until_ms",
        "precommit_due_ms",
        "precommitted",
        "prevote_due_ms",
        "prevoted",
        "repeat_due_ms",
        "repeats",
        "votes",
    )

    def __init__(self, votes: Round, now_ms: int, timing: Timing) -> None:
        self.votes = votes
        self.prevoted = False
        self.precommitted = False
        self.commit: CommitMessage | None = None
        self.commit_due_ms = 0
        self.begin(now_ms, timing)

    def begin(self, now_ms: int, timing: Timing) -> None:
        """The round becomes the current one."""
        self.prevote_due_ms = now_ms + timing.prevote_ms
        self.precommit_due_ms = now_ms + timing.precommit_ms
        self.hold_until_ms = now_ms + timing.hold_ms
        self.repeats = 0
        self.repeat_due_ms = now_ms + timing.repeat_ms(0)

    @property
    def active(self) -> bool:
        """Whether anyone has voted in it: only then does silence mean that messages were lost."""
        return bool(self.prevoted or self.votes.prevotes.seen or self.votes.precommits.seen)

    def repeated(self, now_ms: int, timing: Timing) -> None:
        """The repetition that was due is done: wait twice as long for the next, or begin anew in an idle round."""
        self.repeats = self.repeats + 1 if self.active else 0
        self.repeat_due_ms = now_ms + timing.repeat_ms(self.repeats)

    def note_counted(self, phase: Phase) -> None:
        """A vote of the own key was counted."""
        if phase is Phase.PREVOTE:
            self.prevoted = True
        else:
            self.precommitted = True

    def note_tried(self, kind: RecordKind) -> None:
        """The own key was asked to vote: do not ask again in this round."""
        if kind is RecordKind.PREVOTE:
            self.prevoted = True
        elif kind is RecordKind.PRECOMMIT:
            self.precommitted = True
