"""LISTEN at boot: no vote is cast until enough voters said what they saw of the own key (spec/chain.md (h)).

This covers a vote file that was lost or restored from a backup, while one honest voter that answers holds the vote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from consensus.grandpa.voter_set import VoterSet
from consensus.votes_gate import Record, RecordKind, VotesGate


@dataclass(frozen=True, slots=True)
class Answer:
    """A voter's reply to "what did you see of my key?", already checked for its signature and nonce."""

    voter: bytes
    set_id: int
    round: int
    """The voter's current round."""
    votes: tuple[Record, ...]
    """The votes of the asking key that it holds, of rounds >= round - 1."""


class Listen:
    """The question put to one set about one own key.

    One liar cannot raise the round: the round taken is the highest that more weight than is tolerated reports at least.
    """

    def __init__(self, set_id: int, own_key: bytes, voters: VoterSet) -> None:
        self.set_id = set_id
        self.own_key = own_key
        self._voters = voters
        self._needed = voters.threshold - voters.weight_of([own_key])
        self._answers: dict[bytes, Answer] = {}

    @property
    def done(self) -> bool:
        """Whether votes may be cast."""
        return self.waiting_for == 0

    @property
    def waiting_for(self) -> int:
        """The weight that has still to answer."""
        return max(0, self._needed - self._voters.weight_of(self._answers))

    def unheard(self) -> list[bytes]:
        """Return the other voters that have not answered."""
        return [key for key in self._voters.keys if key != self.own_key and key not in self._answers]

    def on_answer(self, answer: Answer, gate: VotesGate) -> list[Record]:
        """Take an answer; return the votes learned from it, which must be written before any vote is cast."""
        if answer.set_id != self.set_id or answer.voter == self.own_key or answer.voter not in self._voters:
            return []
        self._answers[answer.voter] = answer
        learned: list[Record] = []
        for vote in answer.votes:
            if vote.key != self.own_key or vote.set_id != self.set_id or vote.kind is RecordKind.AUTHORED:
                continue
            judged = gate.foreign(vote)
            if judged is vote:
                record = replace(vote, learned=True)
                gate.note(record)
                learned.append(record)
        round_number = self.agreed_round()
        if self.done and round_number is not None:
            gate.raise_high(self.set_id, max(0, round_number - 1))
        return learned

    def agreed_round(self) -> int | None:
        """Return the highest round that weight > W - threshold reports at least, or None."""
        supporters: list[bytes] = []
        for answer in sorted(self._answers.values(), key=lambda answer: -answer.round):
            supporters.append(answer.voter)
            if self._voters.weight_of(supporters) > self._voters.tolerated:
                return answer.round
        return None


class BootListening:
    """Whether this process has listened yet.

    An answered question also shows that the set is the network's present one; from then on the own file is complete,
    and later sets need no question. A set that needs no answers (a lone voter) proves nothing about later ones.
    """

    def __init__(self, own_keys: Sequence[bytes]) -> None:
        self._own_keys = tuple(own_keys)
        self._heard = False
        self.current: Listen | None = None

    def must_listen(self, set_id: int, voters: VoterSet) -> bool:
        """A set begins, or the node starts in it: whether its voter must not cast votes yet."""
        own = next((key for key in self._own_keys if key in voters), None)
        listen = None if self._heard or own is None else Listen(set_id, own, voters)
        self.current = None if listen is None or listen.done else listen
        return self.current is not None

    def on_answer(self, answer: Answer, gate: VotesGate) -> tuple[list[Record], bool]:
        """Take an answer; return the votes to be written, and whether votes may now be cast."""
        listen = self.current
        if listen is None:
            return [], False
        learned = listen.on_answer(answer, gate)
        if not listen.done:
            return learned, False
        self._heard = True
        self.current = None
        return learned, True
