"""Casting votes: each passes the gate of the vote file, and is persisted before it is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consensus.grandpa.actions import Action, Broadcast, KeyUsedElsewhere, Persist
from consensus.grandpa.chain import BlockRef
from consensus.grandpa.messages import (
    Message,
    Precommit,
    Prevote,
    Propose,
    SignedMessage,
    VoteMessage,
    signing_payload,
)
from consensus.votes_gate import Record, RecordKind, Refusal, VotesGate

Sign = Callable[[bytes], bytes]

_MESSAGES: dict[RecordKind, type[Prevote | Precommit | Propose]] = {
    RecordKind.PREVOTE: Prevote,
    RecordKind.PRECOMMIT: Precommit,
    RecordKind.PROPOSE: Propose,
}


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A voter's key: its public half and a function that signs with the other."""

    public: bytes
    sign: Sign


def kind_of(message: Message) -> RecordKind:
    """Return the record kind of a message."""
    if isinstance(message, Prevote):
        return RecordKind.PREVOTE
    return RecordKind.PRECOMMIT if isinstance(message, Precommit) else RecordKind.PROPOSE


def message_of(record: Record) -> SignedMessage:
    """Return the signed message that a record stands for."""
    return SignedMessage(_MESSAGES[record.kind](record.target, record.number), record.signature, record.key)


def record_of(message: VoteMessage, *, learned: bool) -> Record:
    """Return the record of a signed vote."""
    signed = message.signed
    block = signed.block
    kind = kind_of(signed.message)
    args = (kind, message.set_id, message.round, block.number, block.hash, signed.voter, signed.signature)
    return Record(*args, learned=learned)


class Ballot:
    """The own key's votes in one set."""

    def __init__(self, key: OwnKey, set_id: int, gate: VotesGate) -> None:
        self._key = key
        self._set_id = set_id
        self._gate = gate

    def cast(self, round_number: int, kind: RecordKind, block: BlockRef) -> tuple[VoteMessage | None, list[Action]]:
        """Vote, unless the gate refuses. A vote that is in the file already is sent again as it is."""
        judged = self._gate.check(self._key.public, self._set_id, round_number, kind)
        if isinstance(judged, Refusal):
            return None, []
        if judged is not None:
            message = VoteMessage(round_number, self._set_id, message_of(judged))
            return message, [Broadcast(message)]
        plain = _MESSAGES[kind](block.hash, block.number)
        signature = self._key.sign(signing_payload(plain, round_number, self._set_id))
        message = VoteMessage(round_number, self._set_id, SignedMessage(plain, signature, self._key.public))
        record = record_of(message, learned=False)
        self._gate.note(record)
        return message, [Persist(record), Broadcast(message)]

    def foreign(self, message: VoteMessage) -> list[Action]:
        """Take note of a vote with our key that came from outside."""
        record = record_of(message, learned=True)
        judged = self._gate.foreign(record)
        if isinstance(judged, Refusal):
            return [KeyUsedElsewhere(record)]
        if judged is record:
            self._gate.note(record)
            return [Persist(record)]
        return []

    def earlier(self, lowest_round: int) -> list[VoteMessage]:
        """Return the votes of the file from a round on, to be applied and sent again after a restart."""
        records = self._gate.own(self._key.public, self._set_id)
        return [VoteMessage(r.round, self._set_id, message_of(r)) for r in records if r.round >= lowest_round]
