"""Preemption: an urgent job takes a processor from one that agreed to be interrupted, and pays for what is lost."""

from dataclasses import replace

from pallets.jobs import slots
from pallets.jobs.consumer import ConsumerCalls
from pallets.jobs.errors import NotAcknowledged, PreemptionNotAllowed, SlotNotFound
from pallets.jobs.events import JobPreempted
from pallets.jobs.failure import Preempted
from pallets.jobs.records import ExecutionState, Slot
from pallets.jobs.slots import HELD
from pallets.jobs.store import WHOLE_JOB
from runtime.pallet import Signed, call
from runtime.scale import U8, U64

PRIORITY_GAP_MIN = 10
ATTEMPT_MAX = 200
"""Interruptions raise an execution's attempt without using up a budget; its number must not run over."""
TWO_JOBS = 2 * WHOLE_JOB.weight_ps


def preempt_weight(_job: int, _slot: int, _victim: int, _victim_slot: int) -> int:
    """In picoseconds: what is due may end either job."""
    return TWO_JOBS


class PreemptCalls(ConsumerCalls):
    """The call of an urgent job's owner."""

    @call(index=16, weight=preempt_weight, refundable=True)
    def preempt(self, origin: Signed, job: U64, slot: U8, victim: U64, victim_slot: U8) -> None:
        """Take the processor of a preemptible job's slot for a vacant slot of one's own job.

        The victim's executions lose no attempt and are matched anew; the processor is paid for the part that it has
        done, from what the urgent job holds to spare, or else by its owner. It must fit like any other processor.
        """
        if slot >= self._own(origin.who, job).slots:
            raise SlotNotFound
        taken = self._victims(job, victim, victim_slot)
        assert taken.processor is not None, "a held slot has a processor"
        self._pay_for(job, victim, victim_slot, taken)
        slots.vacate(self, victim, victim_slot, Preempted(), {})
        self.placer(job, slot, taken.processor, 0, False)
        if self.is_live(victim):
            slots.rearm(self, victim, victim_slot)

    def _victims(self, id: int, victim: int, number: int) -> Slot:
        """The slot to be taken: raises JobNotFound, JobEnded, SlotNotFound, PreemptionNotAllowed, NotAcknowledged."""
        self.live_job(victim)
        slots.advance_job(self, victim)
        if number >= self.live_job(victim).slots:
            raise SlotNotFound
        slots.advance(self, victim, number)
        self.live_job(victim)
        wanted, theirs = self.specs.get(id).queue, self.specs.get(victim).queue
        if id == victim or not theirs.preemptible or wanted.priority < theirs.priority + PRIORITY_GAP_MIN:
            raise PreemptionNotAllowed
        slot = self.slot(victim, number)
        if slot.state not in HELD:
            raise NotAcknowledged
        records = [self.executions.get((victim, number, execution)) for execution in slot.live]
        if any(record.attempt >= ATTEMPT_MAX for record in records):
            raise PreemptionNotAllowed
        return slot

    def _pay_for(self, id: int, victim: int, number: int, slot: Slot) -> None:
        """Pro rata for what runs, a tenth for what is about to start: as if the victim were cancelled."""
        assert slot.processor is not None, "a held slot has a processor"
        duration_ms, total = self.specs.get(victim).schedule.duration_ms, 0
        for execution in slot.live:
            record = self.executions.get((victim, number, execution))
            runs = record.state is not ExecutionState.SCHEDULED
            elapsed_ms = self.system.now_ms - record.started_ms if runs else 0
            due = self.escrow.late_cancel_of(slot.ask, elapsed_ms, duration_ms)
            self.escrow.pay_spare(id, slot.processor, due)
            self.executions.put((victim, number, execution), replace(record, paid=record.paid + due))
            total += due
        self.emit(JobPreempted(id, victim, number, slot.processor, total))
