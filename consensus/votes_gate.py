"""The rules of the vote file: what an own key has signed, and what it may still sign (spec/chain.md (h)).

A record is 160 bytes, little-endian: "HV01", kind u8 (0 prevote, 1 precommit, 2 propose, 3 authored; +0x80 learned from
others), 3 zero bytes, set u64, round or slot u64, number u32, target 32, key 32, signature 64, crc32 of the rest.
This module decides; node/finality/votes_file.py writes.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from consensus.grandpa.chain import BlockRef

RECORD_BYTES = 160
REWRITE_BYTES = 4 << 20
"""The file is rewritten, keeping what still matters, when it has grown so far."""
MAGIC = b"HV01"
LEARNED = 0x80
_LAYOUT = struct.Struct("<4sB3sQQI32s32s64s")
_CRC = struct.Struct("<I")


class DamagedRecord(ValueError):
    """160 bytes that are no record: wrong magic, kind, padding or checksum."""


class RecordKind(IntEnum):
    """What was signed."""

    PREVOTE = 0
    PRECOMMIT = 1
    PROPOSE = 2
    AUTHORED = 3


@dataclass(frozen=True, slots=True)
class Record:
    """One signature of an own key. For AUTHORED, `round` is the slot and set and signature may be zero."""

    kind: RecordKind
    set_id: int
    round: int
    number: int
    target: bytes
    key: bytes
    signature: bytes
    learned: bool = False

    @property
    def block(self) -> BlockRef:
        """The block signed for."""
        return BlockRef(self.number, self.target)

    def encode(self) -> bytes:
        """Return the 160 bytes."""
        kind = self.kind | (LEARNED if self.learned else 0)
        fields = (MAGIC, kind, bytes(3), self.set_id, self.round, self.number, self.target, self.key, self.signature)
        body = _LAYOUT.pack(*fields)
        return body + _CRC.pack(zlib.crc32(body))

    @staticmethod
    def decode(data: bytes) -> Record:
        """Raises DamagedRecord."""
        if len(data) != RECORD_BYTES or _CRC.unpack(data[-4:])[0] != zlib.crc32(data[:-4]):
            raise DamagedRecord("record: wrong length or checksum")
        magic, kind, padding, set_id, round_number, number, target, key, signature = _LAYOUT.unpack(data[:-4])
        if magic != MAGIC or padding != bytes(3) or kind & ~LEARNED > RecordKind.AUTHORED:
            raise DamagedRecord("record: wrong magic, padding or kind")
        plain = RecordKind(kind & ~LEARNED)
        return Record(plain, set_id, round_number, number, target, key, signature, bool(kind & LEARNED))


@dataclass(frozen=True, slots=True)
class Scan:
    """What a vote file holds. `keep_bytes` is where it must be cut; `damaged` forbids voting and authoring."""

    records: tuple[Record, ...]
    keep_bytes: int
    damaged: bool


def scan(data: bytes) -> Scan:
    """Read a vote file. A torn last record was never followed by a send, so it is cut; other damage is not mended."""
    records: list[Record] = []
    whole = len(data) - len(data) % RECORD_BYTES
    for start in range(0, whole, RECORD_BYTES):
        try:
            records.append(Record.decode(data[start : start + RECORD_BYTES]))
        except DamagedRecord:
            last = start + RECORD_BYTES >= len(data)
            return Scan(tuple(records), start if last else len(data), damaged=not last)
    return Scan(tuple(records), whole, damaged=False)


class Refusal(Enum):
    """Why the gate lets a key sign nothing."""

    OLD_SET = "the file holds votes of a later set"
    OLD_ROUND = "the file holds votes of a round too far ahead"
    STOPPED = "this key was used elsewhere in this set"
    CONFLICT = "a different vote of this kind and round was signed"
    OBSERVER = "the vote file is damaged"


@dataclass(slots=True)
class VotesGate:
    """What the own keys have signed. Give it every record of the file, in order, and every new one."""

    records: dict[tuple[bytes, int, int, RecordKind], Record] = field(default_factory=dict)
    high_set: int = 0
    high_round: int = 0
    last_slot: dict[bytes, int] = field(default_factory=dict)
    last_target: BlockRef | None = None
    """The highest block voted for: a database whose best lies below it has lost blocks."""
    observer: bool = False
    stopped_sets: set[int] = field(default_factory=set)

    @staticmethod
    def of(found: Scan) -> VotesGate:
        """Return the gate for a file just read."""
        gate = VotesGate(observer=found.damaged)
        for record in found.records:
            gate.note(record)
        return gate

    def note(self, record: Record) -> None:
        """Take up a record that is in the file, or is about to be written."""
        if record.kind is RecordKind.AUTHORED:
            self.last_slot[record.key] = max(record.round, self.last_slot.get(record.key, 0))
            return
        self.records.setdefault((record.key, record.set_id, record.round, record.kind), record)
        self.raise_high(record.set_id, record.round)
        if record.kind is not RecordKind.PROPOSE and (
            self.last_target is None or record.number > self.last_target.number
        ):
            self.last_target = record.block

    def raise_high(self, set_id: int, round_number: int) -> None:
        """Let no vote be cast in earlier sets, or more than one round below `round_number`."""
        if set_id > self.high_set:
            self.high_set, self.high_round = set_id, round_number
        elif set_id == self.high_set:
            self.high_round = max(self.high_round, round_number)

    def check(self, key: bytes, set_id: int, round_number: int, kind: RecordKind) -> Record | Refusal | None:
        """Return the record to resend, the refusal, or None when the key may sign."""
        known = self.records.get((key, set_id, round_number, kind))
        if known is not None:
            return known
        if self.observer:
            return Refusal.OBSERVER
        if set_id in self.stopped_sets:
            return Refusal.STOPPED
        if set_id < self.high_set:
            return Refusal.OLD_SET
        if set_id == self.high_set and round_number < self.high_round - 1:
            return Refusal.OLD_ROUND
        return None

    def foreign(self, record: Record) -> Record | Refusal:
        """Judge a vote with an own key that came from outside.

        Returns the record as known or newly learned (then it must be written), or CONFLICT: the key signs elsewhere,
        and this set gets no more votes from it.
        """
        known = self.records.get((record.key, record.set_id, record.round, record.kind))
        if known is None:
            return record
        if known.target == record.target and known.number == record.number:
            return known
        self.stopped_sets.add(record.set_id)
        return Refusal.CONFLICT

    def own(self, key: bytes, set_id: int) -> list[Record]:
        """Return the votes of `key` in a set, by round and kind."""
        found = [record for record in self.records.values() if record.key == key and record.set_id == set_id]
        return sorted(found, key=lambda record: (record.round, record.kind))

    def compacted(self) -> list[Record]:
        """Return what a rewritten file must hold: the latest set's rounds from high - 2, and the last slots."""
        kept = [
            record
            for (_, set_id, round_number, _), record in self.records.items()
            if set_id == self.high_set and round_number >= self.high_round - 2
        ]
        slots = [
            Record(RecordKind.AUTHORED, 0, slot, 0, bytes(32), key, bytes(64))
            for key, slot in sorted(self.last_slot.items())
        ]
        return kept + slots

    def forget(self) -> None:
        """Drop from memory what a rewritten file no longer holds."""
        kept = self.compacted()
        self.records = {
            (record.key, record.set_id, record.round, record.kind): record
            for record in kept
            if record.kind is not RecordKind.AUTHORED
        }
