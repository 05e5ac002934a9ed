"""How a result that is not accepted at once waits for its judgment, and what the judgment pays.

An execution that waits is no longer the slot's to run: the slot may close, or go to another processor, before it is
judged. So the terms of the attempt travel with the result, and the bond of its lease stays bound. Each execution of a
slot is settled once: by `accept` or by `reject`.
"""

from pallets.jobs import executions, slots
from pallets.jobs.events import (
    AttemptFailed,
    ExecutionAccepted,
    ExecutionCancelled,
    ExecutionDisputed,
    ExecutionRejected,
)
from pallets.jobs.failure import Failure, Mismatch
from pallets.jobs.records import ExecutionState, Result, Slot, SlotState, Terms
from pallets.jobs.report import Failed, Outcome, Succeeded
from pallets.jobs.store import JobStore
from runtime.records import replace


def terms_of(slot: Slot, attempt: int) -> Terms:
    """The terms of an attempt in a slot that is held."""
    assert slot.processor is not None, "an acknowledged slot has a processor"
    assert slot.manager is not None, "and its manager"
    return Terms(slot.processor, slot.manager, slot.matcher, slot.ask, slot.drawn, slot.generation, attempt)


def await_judgment(store: JobStore, id: int, execution: int, number: int, state: ExecutionState) -> None:
    """A running attempt is done and waits: COMMITTED or REPORTED. The slot is free of it, its bond is not."""
    record, slot, job = store.executions.get((id, number, execution)), store.slot(id, number), store.jobs.get(id)
    store.executions.put((id, number, execution), replace(record, state=state))
    store.checkpoints.remove((id, number, execution))
    live = tuple(e for e in slot.live if e != execution)
    store.slots.put((id, number), replace(slot, live=live, awaiting=slot.awaiting + 1))
    store.change_job(id, awaiting=job.awaiting + 1)
    store.escrow.bind((id, number, record.generation))
    executions.close_slot_if_over(store, id, number)


def move(store: JobStore, id: int, execution: int, number: int, state: ExecutionState) -> None:
    """A waiting result goes on to another state of waiting."""
    record = store.executions.get((id, number, execution))
    store.executions.put((id, number, execution), replace(record, state=state))
    if state is ExecutionState.DISPUTED:
        store.emit(ExecutionDisputed(id, execution, number, record.attempt))


def withdraw(store: JobStore, id: int, execution: int, number: int) -> None:
    """Let go of an attempt that would come too late to count; a run is paid pro rata (M5)."""
    record, slot = store.executions.get((id, number, execution)), store.slot(id, number)
    paid = 0
    if record.state is not ExecutionState.SCHEDULED and slot.processor is not None:
        elapsed, duration = store.system.now_ms - record.started_ms, store.specs.get(id).schedule.duration_ms
        paid = store.escrow.pay_late_cancel(id, slot.ask, slot.processor, elapsed, duration)
    store.emit(ExecutionCancelled(id, execution, number, record.attempt, paid))
    ended = replace(record, state=ExecutionState.CANCELLED, paid=record.paid + paid)
    executions.close(store, id, number, execution, ended)


def accept(store: JobStore, id: int, execution: int, number: int, terms: Terms, outcome: Outcome) -> int:
    """M3: pay a result and end its execution. Returns what the processor got.

    That a script fails is a result too, if its failure was confirmed: it is paid in full (M4), but nothing succeeded.
    """
    job, record = store.jobs.get(id), store.executions.get((id, number, execution))
    paid = store.escrow.accept(id, job.reward, terms.ask, terms.processor, terms.matcher)
    if terms.drawn and paid and job.owner not in (terms.processor, terms.manager):
        wanted = store.specs.get(id).requirements
        narrowed = bool(wanted.labels or wanted.modules)
        store.reputation.credit(terms.processor, job.owner, job.runtime, paid, narrowed=narrowed)
    settled = replace(record, paid=record.paid + paid, failure=None)
    if isinstance(outcome, Succeeded):
        store.results.put((id, number, execution), Result(outcome.output, outcome.deliveries))
        store.emit(ExecutionAccepted(id, execution, number, record.attempt, paid))
        settled = replace(settled, state=ExecutionState.ACCEPTED, digest=outcome.digest, fuel=outcome.fuel)
    elif isinstance(outcome, Failed):
        store.emit(AttemptFailed(id, execution, number, record.attempt, outcome.failure, outcome.message, final=True))
        settled = replace(settled, state=ExecutionState.FAILED, failure=outcome.failure, fuel=outcome.fuel)
    executions.close(store, id, number, execution, settled)
    return paid


def reject(store: JobStore, id: int, execution: int, number: int, failure: Failure, paid: int = 0) -> None:
    """End an execution whose result is not taken; `paid` went to the processor for its effort."""
    record = store.executions.get((id, number, execution))
    store.emit(ExecutionRejected(id, execution, number, record.attempt, failure, paid))
    rejected = replace(record, state=ExecutionState.REJECTED, failure=failure, paid=record.paid + paid)
    executions.close(store, id, number, execution, rejected)


def dismiss(store: JobStore, id: int, number: int, terms: Terms) -> None:
    """A processor was found wrong: it loses the slot, if it still holds it, and its manager is out of the job."""
    if not store.is_live(id):
        return
    store.mark(id, terms.manager, exclude=True)
    slot = store.slot(id, number)
    if slot.state is SlotState.ACKNOWLEDGED and slot.generation == terms.generation:
        slots.vacate(store, id, number, Mismatch(), {})
        if store.is_live(id):
            slots.rearm(store, id, number)
