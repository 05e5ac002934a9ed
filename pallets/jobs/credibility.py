"""The mode Credibility: how many replicas a job needs, by what its processors' records are worth (spec §5, ADR 0018).

Eight slots are paid for. They are offered only until the processors that hold one, agreeing, would reach the trust
asked for; when all of those have acknowledged, the other slots close. Nobody gets in by being quick to acknowledge:
there is no offer to be quick with.
"""

from collections.abc import Iterable
from dataclasses import replace

from pallets.jobs.events import SlotClosed
from pallets.jobs.records import SlotState
from pallets.jobs.store import JobStore
from pallets.jobs.types import Credibility, JobSpec

WEIGHT_MAX, WEIGHT_BASE, WEIGHT_STEP = 16, 3, 3
REPLICAS_MIN = 2


def weight_of(verified: int) -> int:
    """w = min(16, max(⌊CV / 3⌋, 3) − 1): what a processor's agreement is worth after CV verified results."""
    return min(WEIGHT_MAX, max(verified // WEIGHT_STEP, WEIGHT_BASE) - 1)


def suffices(store: JobStore, spec: JobSpec, processors: Iterable[bytes]) -> bool:
    """Whether these processors, if they agree, reach the trust that a job of this mode asks for."""
    assert isinstance(spec.verification, Credibility), "only this mode counts trust"
    trust, count = 1, 0
    for processor in processors:
        trust *= weight_of(store.reputation.cv(processor, spec.runtime))
        count += 1
    return count >= REPLICAS_MIN and trust >= spec.verification.trust


def close_spare_slots(store: JobStore, id: int) -> bool:
    """Close the slots that are not needed, once no offer is open; whether enough have acknowledged.

    Their executions count as skipped: no result is required of them, and their money comes back at the end.
    """
    spec, slots = store.specs.get(id), list(store.slots_of(id))
    acknowledged = [slot.processor for _, slot in slots if slot.state is SlotState.ACKNOWLEDGED]
    if any(slot.state is SlotState.OFFERED for _, slot in slots):
        return False
    if not suffices(store, spec, (who for who in acknowledged if who is not None)):
        return False
    executions = store.jobs.get(id).executions
    for number, slot in slots:
        if slot.state is SlotState.VACANT:
            store.put_slot(id, number, replace(slot, state=SlotState.CLOSED, next=executions))
            job = store.jobs.get(id)
            store.change_job(id, closed=job.closed + executions, skipped=job.skipped + executions)
            store.emit(SlotClosed(id, number))
    return True
