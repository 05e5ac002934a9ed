"""Receipts of results that were delivered after their judgment: whoever delivers next sees what is done already.

A receipt moves no money. It is the word of a processor whose result was accepted; a destination takes a result once,
whoever brings it, since each delivery carries the same key.
"""

from dataclasses import replace

from pallets.jobs.errors import UnknownDestination
from pallets.jobs.records import ExecutionState
from pallets.jobs.report import Delivery
from pallets.jobs.types import Trusted
from pallets.verification.errors import AlreadyDelivered, NothingToDeliver
from pallets.verification.events import Delivered
from pallets.verification.store import VerificationStore
from pallets.verification.types import EntryKey


def note(store: VerificationStore, who: bytes, key: EntryKey, destination: int, reference: bytes) -> None:
    """Put a receipt beside an accepted result. Raises NothingToDeliver, UnknownDestination, AlreadyDelivered."""
    job, execution, number = key
    place = (job, number, execution)
    record, result = store.jobs.executions.find(place), store.jobs.results.find(place)
    if record is None or result is None or record.state is not ExecutionState.ACCEPTED or record.processor != who:
        raise NothingToDeliver
    spec = store.jobs.specs.get(job)
    if isinstance(spec.verification, Trusted):
        raise NothingToDeliver  # its report brought the receipts
    if destination >= len(spec.destinations):
        raise UnknownDestination
    if any(delivery.destination == destination for delivery in result.deliveries):
        raise AlreadyDelivered
    store.jobs.results.put(place, replace(result, deliveries=(*result.deliveries, Delivery(destination, reference))))
    store.emit(Delivered(job, execution, number, destination))
