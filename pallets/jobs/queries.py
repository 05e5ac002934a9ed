"""Questions about jobs, for RPC and for tests: they read, walk bounded lists, and change nothing.

`plain` turns any answer into numbers, texts, lists and dicts: bytes as 0x-hex, enums by name, a variant of a sum type
as {"Name": {fields}}, or just "Name" if it has none.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from itertools import islice
from typing import Any

from pallets.escrow.types import Ledger
from pallets.jobs.records import Execution, Job, Result, Slot, SlotState
from pallets.jobs.store import JobStore
from pallets.jobs.types import JobSpec
from pallets.processors.calendar import Lease
from pallets.processors.pallet import Processors
from pallets.processors.types import Advert, Processor, Stake
from runtime.scale import SumType

LISTED_MAX = 1_000
"""Most jobs in one answer."""
OFFERS_JOBS_MAX = 64


@dataclass(frozen=True, slots=True)
class SlotView:
    """A slot with its number and its bond, 0 if none is locked."""

    number: int
    slot: Slot
    bond: int


@dataclass(frozen=True, slots=True)
class ExecutionView:
    """An execution of a slot, with its output once it is accepted."""

    slot: int
    execution: int
    record: Execution
    result: Result | None


@dataclass(frozen=True, slots=True)
class JobView:
    """All that the chain knows of a job, but its executions."""

    id: int
    job: Job
    spec: JobSpec
    slots: tuple[SlotView, ...]
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class ProcessorView:
    """All that the chain knows of a processor."""

    processor: bytes
    record: Processor
    advert: Advert | None
    leases: tuple[Lease, ...]
    reputation_ppm: dict[str, int]
    stake: Stake
    units: int


def job_view(store: JobStore, id: int) -> JobView | None:
    """A job, or None if there is none or it was forgotten."""
    job, spec, ledger = store.jobs.find(id), store.specs.find(id), store.escrow.ledgers.find(id)
    if job is None or spec is None or ledger is None:
        return None
    slots = []
    for number, slot in store.slots_of(id):
        bond = store.escrow.bonds.find((id, number, slot.generation))
        slots.append(SlotView(number, slot, 0 if bond is None else bond.amount))
    return JobView(id, job, spec, tuple(slots), ledger)


def executions_of(store: JobStore, id: int) -> list[ExecutionView]:
    """A job's executions that are live or wait for a judgment, and the last 16 that ended, by slot and number."""
    if store.jobs.find(id) is None:
        return []
    return [
        ExecutionView(number, execution, record, store.results.find((id, number, execution)))
        for number, slot in store.slots_of(id)
        for execution in sorted(_numbers(store, id, number, slot))
        if (record := store.executions.find((id, number, execution))) is not None
    ]


def _numbers(store: JobStore, id: int, number: int, slot: Slot) -> Iterable[int]:
    """The executions of a slot that have a record. Those that wait are only counted: they are looked up."""
    if not slot.awaiting:
        return (*slot.live, *slot.kept)
    return [execution for (_, _, execution), _ in store.executions.items(id, number)]


def open_jobs(store: JobStore, limit: int = LISTED_MAX) -> list[int]:
    """Ids of jobs with a vacant slot, in the order of the queue."""
    return list(islice(store.queue.in_order(store.agenda.now()), min(limit, LISTED_MAX)))


def recent_jobs(store: JobStore, limit: int, owner: bytes | None = None) -> list[int]:
    """Ids of the latest jobs, newest first; only those of `owner` if one is given."""
    found: list[int] = []
    for candidate in _newest_first(store):
        if len(found) == limit:
            break
        job = store.jobs.find(candidate)
        if job is not None and owner in (None, job.owner):
            found.append(candidate)
    return found


def _newest_first(store: JobStore) -> Iterator[int]:
    latest = store.next_job.get()
    return iter(range(latest - 1, max(latest - 1 - LISTED_MAX, -1), -1))


def duties_of(store: JobStore, processor: bytes) -> list[tuple[int, int, Slot]]:
    """What a processor has to look after: (job, slot number, slot) of its offers and acknowledged slots."""
    held = (SlotState.OFFERED, SlotState.ACKNOWLEDGED)
    pairs = [(lease.job, lease.slot) for lease in store.processors.leases.get(processor)]
    duties = [(job, number, store.slot(job, number)) for job, number in pairs]
    return [duty for duty in duties if duty[2].state in held and duty[2].processor == processor]


def processor_view(store: JobStore, processor: bytes) -> ProcessorView | None:
    """A processor, or None if it is not registered."""
    record = store.processors.records.find(processor)
    if record is None:
        return None
    advert = store.processors.adverts.find(processor)
    scores = {} if advert is None else {r.name.lower(): store.reputation.score(processor, r) for r in advert.runtimes}
    pallet = store.processors
    stake, units = pallet.stakes.get(processor), pallet.units(processor)
    return ProcessorView(processor, record, advert, pallet.leases.get(processor), scores, stake, units)


def processors(pallet: Processors, limit: int = LISTED_MAX, manager: bytes | None = None) -> list[bytes]:
    """Registered processors, ascending by storage key; only those of `manager` if one is given."""
    if manager is not None:
        return [who for (_, who), _paired in islice(pallet.fleet.items(manager), min(limit, LISTED_MAX))]
    return [who for who, _record in islice(pallet.records.items(), min(limit, LISTED_MAX))]


def plain(value: Any) -> Any:
    """`value` as JSON has it."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, tuple | list):
        return [plain(element) for element in value]
    if isinstance(value, dict):
        return {key: plain(element) for key, element in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        record = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        if isinstance(value, SumType):
            return {type(value).__name__: record} if record else type(value).__name__
        return record
    return value
