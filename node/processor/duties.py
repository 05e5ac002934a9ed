"""What the chain asks of this processor: its slots and the live attempts in them, at the best and at the final head.

Questions only. Nothing here remembers anything but the two runtimes through which it looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from node.chain import Chain
from node.processor.journal import AttemptKey
from pallets.jobs.destinations import Chain as ChainDestination
from pallets.jobs.queries import duties_of
from pallets.jobs.records import Execution, ExecutionState, Job, JobState, Slot, SlotState, Terms
from pallets.jobs.types import JobSpec, Trusted
from pallets.verification.types import Entry, Late
from runtime.heddle import Heddle

RUNNING = (ExecutionState.RUNNING, ExecutionState.SUSPECT)
DELIVERY_TURN_SLOTS = 100
"""So long a processor has for the delivery of an accepted result before it is the next one's turn."""
SPARE_TURNS = 2
"""Turns after everybody has had one: then the result waits on the chain and in the blob store alone."""


@dataclass(frozen=True, slots=True)
class Duty:
    """A slot that this processor has, with its job, as the best block shows them."""

    id: int
    number: int
    slot: Slot
    job: Job
    spec: JobSpec


@dataclass(frozen=True, slots=True)
class Judged:
    """An accepted result that we may deliver. `pending` are the places of destinations without a receipt on chain."""

    id: int
    spec: JobSpec
    pending: tuple[int, ...]
    our_turn: bool


class Duties:
    """The chain, seen by one processor account."""

    def __init__(self, chain: Chain, account: bytes) -> None:
        self.chain = chain
        self.account = account
        self._best = chain.new_runtime()
        self._final = chain.new_runtime()

    def best(self) -> Heddle:
        """The state at the best block. Raises StoreError if the head moves meanwhile."""
        return self.chain.at(self.chain.best.hash, self._best)

    def final(self) -> Heddle:
        """The state at the last final block."""
        return self.chain.at(self.chain.finalised.hash, self._final)

    def all(self, runtime: Heddle) -> list[Duty]:
        """Every slot that is offered to us or that we have."""
        return [
            Duty(job_id, number, slot, runtime.jobs.job(job_id), runtime.jobs.specs.get(job_id))
            for job_id, number, slot in duties_of(runtime.jobs, self.account)
        ]

    def for_execution(self, duty: Duty, execution: int) -> Duty:
        """A duty with the script and the part of the input that one of its executions works on."""
        return replace(duty, spec=self.best().jobs.spec_for(duty.id, execution))

    def first_spec(self, duty: Duty) -> JobSpec:
        """The specification of the first execution that a slot has still before it."""
        return self.best().jobs.spec_for(duty.id, min((*duty.slot.live, duty.slot.next)))

    @staticmethod
    def attempts(runtime: Heddle, duty: Duty) -> Iterator[tuple[AttemptKey, Execution]]:
        """The live executions of an acknowledged slot in an assigned job."""
        if duty.slot.state is not SlotState.ACKNOWLEDGED or duty.job.state is not JobState.ASSIGNED:
            return
        for execution in duty.slot.live:
            record = runtime.jobs.executions.find((duty.id, duty.number, execution))
            if record is not None:
                yield AttemptKey(duty.job.id_hash, duty.number, execution, duty.slot.generation, record.attempt), record

    def assignment_is_final(self, duty: Duty) -> bool:
        """Whether the last final block shows the same slot as ours, in an assigned job."""
        final = self.final()
        job = final.jobs.jobs.find(duty.id)
        if job is None or job.id_hash != duty.job.id_hash or job.state is not JobState.ASSIGNED:
            return False
        slot = final.jobs.slot(duty.id, duty.number)
        return slot.processor == self.account and slot.generation == duty.slot.generation

    def is_running(self, duty: Duty, key: AttemptKey) -> bool:
        """Whether the best block still waits for the attempt's report."""
        return self._live(self.best(), duty.id, key)

    def is_wanted(self, key: AttemptKey) -> bool:
        """Whether the best or the final block still waits for the attempt's report."""
        for runtime in (self.best(), self.final()):
            job_id = runtime.jobs.job_by_hash.find(key.job_hash)
            if job_id is not None and self._live(runtime, job_id, key):
                return True
        return False

    def _live(self, runtime: Heddle, id: int, key: AttemptKey) -> bool:
        job = runtime.jobs.jobs.find(id)
        if job is None or job.id_hash != key.job_hash:
            return False
        slot = runtime.jobs.slot(id, key.slot)
        record = runtime.jobs.executions.find((id, key.slot, key.execution))
        if record is None or slot.generation != key.generation or record.attempt != key.attempt:
            return False
        return record.state in RUNNING and record.processor == self.account

    # Results that others judge.

    def entry_of(self, runtime: Heddle, id: int, key: AttemptKey) -> Entry | None:
        """What the attempt put into a round that is not settled yet."""
        entry = runtime.verification.entries.find((id, key.execution, key.slot))
        return entry if entry is not None and self._is_ours(entry.terms, key) else None

    def late_of(self, runtime: Heddle, id: int, key: AttemptKey) -> Late | None:
        """The attempt's commitment, if it was not opened in time."""
        late = runtime.verification.late.find((id, key.execution, key.slot))
        return late if late is not None and self._is_ours(late.terms, key) else None

    def _is_ours(self, terms: Terms, key: AttemptKey) -> bool:
        return (terms.processor, terms.generation, terms.attempt) == (self.account, key.generation, key.attempt)

    def judged(self, key: AttemptKey) -> Judged | None:
        """The attempt's result, if a judgment accepted it in the final chain and destinations still wait for it.

        The processors of accepted results take turns, the lowest slot first.
        """
        final = self.final()
        job_id = final.jobs.job_by_hash.find(key.job_hash)
        if job_id is None:
            return None
        record = final.jobs.executions.find((job_id, key.slot, key.execution))
        if record is None or record.state is not ExecutionState.ACCEPTED or record.processor != self.account:
            return None
        spec = final.jobs.specs.get(job_id)
        ours = (record.generation, record.attempt) == (key.generation, key.attempt)
        if not ours or isinstance(spec.verification, Trusted):
            return None
        accepted, receipts = [], set()
        for number in range(spec.slots):
            other = final.jobs.executions.find((job_id, number, key.execution))
            if other is not None and other.state is ExecutionState.ACCEPTED:
                accepted.append(number)
                result = final.jobs.results.get((job_id, number, key.execution))
                receipts |= {delivery.destination for delivery in result.deliveries}
        waited = final.system.slot - record.ended_slot
        pending = tuple(
            place
            for place, destination in enumerate(spec.destinations)
            if place not in receipts and not isinstance(destination, ChainDestination)
        )
        if not pending or waited >= (len(accepted) + SPARE_TURNS) * DELIVERY_TURN_SLOTS:
            return None
        return Judged(job_id, spec, pending, waited >= accepted.index(key.slot) * DELIVERY_TURN_SLOTS)

    def is_over(self, key: AttemptKey) -> bool:
        """Whether the final chain will never again wait for this attempt. One not begun there is not over."""
        final = self.final()
        job_id = final.jobs.job_by_hash.find(key.job_hash)
        if job_id is None:
            return True  # the assignment was final before the attempt began
        if self.entry_of(final, job_id, key) is not None or self.late_of(final, job_id, key) is not None:
            return False
        if self.judged(key) is not None:
            return False
        if final.jobs.job(job_id).state is not JobState.ASSIGNED:
            return True
        slot = final.jobs.slot(job_id, key.slot)
        record = final.jobs.executions.find((job_id, key.slot, key.execution))
        if slot.generation != key.generation:
            return True
        if record is None:
            return key.execution < slot.next
        live = record.state in (ExecutionState.SCHEDULED, *RUNNING)
        return record.attempt > key.attempt or not live
