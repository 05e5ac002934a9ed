"""Journal: what this processor did for each attempt, on stable storage before anyone else hears of it.

An attempt is Begun, then Finished (its outcome is known), then each delivery is noted, then it is Reported. After a
crash an attempt that was only begun runs again under the same attempt number; one that was finished is delivered and
reported from here and never runs twice. The same holds of another processor's execution that is run again to check it.

Keys name the job by its hash, which survives reorgs. Records are msgpack with a fixed schema. Salts of commitments are
not kept: they follow from the processor's secret and the key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from node.store.database import Database
from node.wire import Bytes, ListOf, Maybe, pack, unpack

RECORD_BYTES_MAX = 64 << 10
OUTCOME_BYTES_MAX = 16 << 10
REFERENCE_BYTES_MAX = 64
SCHEMA = (Maybe(Bytes(OUTCOME_BYTES_MAX)), ListOf((int, Bytes(REFERENCE_BYTES_MAX)), 4), int, int)
PREFIX, CHECK_PREFIX = b"a", b"c"
CHALLENGE = (1 << 64) - 1
"""The panel of a check that no panel asked for."""


@dataclass(frozen=True, slots=True)
class AttemptKey:
    """One attempt: job hash, slot, execution, generation of the slot, attempt."""

    job_hash: bytes
    slot: int
    execution: int
    generation: int
    attempt: int

    def encode(self) -> bytes:
        """As a database key, ascending by job."""
        return (
            PREFIX
            + self.job_hash
            + self.slot.to_bytes(1, "big")
            + self.execution.to_bytes(4, "big")
            + self.generation.to_bytes(4, "big")
            + self.attempt.to_bytes(1, "big")
        )

    @staticmethod
    def decode(key: bytes) -> AttemptKey:
        """The inverse of `encode`."""
        numbers = key[33:]
        return AttemptKey(
            key[1:33],
            numbers[0],
            int.from_bytes(numbers[1:5], "big"),
            int.from_bytes(numbers[5:9], "big"),
            numbers[9],
        )


@dataclass(frozen=True, slots=True)
class CheckKey:
    """Another processor's execution, run again for a panel of jurors, or for a challenge (CHALLENGE)."""

    job_hash: bytes
    execution: int
    panel: int

    def encode(self) -> bytes:
        """As a database key."""
        return CHECK_PREFIX + self.job_hash + self.execution.to_bytes(4, "big") + self.panel.to_bytes(8, "big")

    @staticmethod
    def decode(key: bytes) -> CheckKey:
        """The inverse of `encode`."""
        return CheckKey(key[1:33], int.from_bytes(key[33:37], "big"), int.from_bytes(key[37:45], "big"))


Key = AttemptKey | CheckKey


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """What is known of an attempt. `outcome` is the SCALE Outcome without deliveries, None until it is finished.

    `deliveries` are (destination, reference) that were taken; `runs` counts how often it was begun; `begun_ms` is when
    it was last begun.
    """

    outcome: bytes | None = None
    deliveries: tuple[tuple[int, bytes], ...] = ()
    runs: int = 0
    begun_ms: int = 0

    def encode(self) -> bytes:
        """As a database value."""
        return pack([self.outcome, [list(one) for one in self.deliveries], self.runs, self.begun_ms])

    @staticmethod
    def decode(data: bytes) -> AttemptRecord:
        """Raises MalformedMessage for a damaged record."""
        outcome, deliveries, runs, begun = unpack(data, SCHEMA, RECORD_BYTES_MAX, "journal record")
        return AttemptRecord(outcome, tuple((number, reference) for number, reference in deliveries), runs, begun)


class Journal:
    """The records of attempts that may still matter."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: Key) -> AttemptRecord | None:
        """The record, or None for an attempt never begun."""
        data = self._database.get(key.encode())
        return None if data is None else AttemptRecord.decode(data)

    def begin(self, key: Key, now_ms: int) -> AttemptRecord:
        """Note that the attempt runs, perhaps again."""
        known = self.get(key) or AttemptRecord()
        return self._put(key, replace(known, runs=known.runs + 1, begun_ms=now_ms))

    def finish(self, key: Key, outcome: bytes) -> AttemptRecord:
        """Note the outcome. An outcome that is known already stays: the first one was promised."""
        known = self.get(key) or AttemptRecord()
        return known if known.outcome is not None else self._put(key, replace(known, outcome=outcome))

    def deliver(self, key: AttemptKey, destination: int, reference: bytes) -> AttemptRecord:
        """Note that a destination took the output."""
        known = self.get(key) or AttemptRecord()
        if any(number == destination for number, _ in known.deliveries):
            return known
        return self._put(key, replace(known, deliveries=(*known.deliveries, (destination, reference))))

    def forget(self, key: Key) -> None:
        """The attempt is settled in a final block."""
        self._database.write((), (key.encode(),), sync=True)

    def keys(self) -> Iterator[AttemptKey]:
        """All attempts in the journal."""
        for key, _ in self._database.iterate(PREFIX):
            yield AttemptKey.decode(key)

    def checks(self) -> Iterator[CheckKey]:
        """All executions of others in the journal."""
        for key, _ in self._database.iterate(CHECK_PREFIX):
            yield CheckKey.decode(key)

    def _put(self, key: Key, record: AttemptRecord) -> AttemptRecord:
        self._database.write(((key.encode(), record.encode()),), sync=True)
        return record
