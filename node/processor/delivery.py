"""Delivery: hand an attempt's output to the job's destinations, each once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from node.blobs import BlobStore
from node.processor.destinations.sender import DestinationFailed, result_payload
from node.processor.duties import Duties, Duty, Judged
from node.processor.journal import AttemptKey, Journal
from pallets.jobs.bounds import MESSAGE_BYTES_MAX
from pallets.jobs.destinations import Chain as ChainDestination
from pallets.jobs.failure import DeliveryFailed
from pallets.jobs.report import Delivery, Failed, Outcome, Succeeded
from pallets.jobs.types import JobSpec
from runtime.hashing import blake2b256

Deliver = Callable[[str, str, str], Awaitable[bytes]]
"""deliver(url, idempotency key, payload) gives the receipt. Raises DestinationFailed."""


class Deliveries:
    """The way out for outputs. The journal tells what has left already."""

    def __init__(self, duties: Duties, journal: Journal, blobs: BlobStore, deliver: Deliver) -> None:
        self.duties = duties
        self.journal = journal
        self.blobs = blobs
        self.deliver = deliver

    async def deliver_all(self, duty: Duty, key: AttemptKey, outcome: Outcome) -> Outcome:
        """Hand the output to each destination that the journal does not show as done."""
        if not isinstance(outcome, Succeeded):
            return outcome
        for number, destination in enumerate(duty.spec.destinations):
            known = self.journal.get(key)
            if known is not None and any(done == number for done, _ in known.deliveries):
                continue
            if isinstance(destination, ChainDestination):
                self.journal.deliver(key, number, b"")
                continue
            if not self.duties.is_running(duty, key):
                return outcome  # nobody waits for it any more: nothing leaves this machine
            try:
                receipt = await self._send(duty.spec, key, number, outcome)
            except DestinationFailed as error:
                message = str(error).encode()[:MESSAGE_BYTES_MAX].decode(errors="ignore")
                return Failed(DeliveryFailed(number), message, outcome.fuel)
            self.journal.deliver(key, number, receipt)
        done = self.journal.get(key)
        assert done is not None, "the attempt is in the journal"
        return replace(outcome, deliveries=tuple(Delivery(number, receipt) for number, receipt in done.deliveries))

    async def deliver_accepted(self, judged: Judged, key: AttemptKey, outcome: Succeeded) -> None:
        """Hand an accepted output to the destinations that wait for it. Raises DestinationFailed."""
        for number in judged.pending:
            known = self.journal.get(key)
            if known is None or any(done == number for done, _ in known.deliveries):
                continue
            self.journal.deliver(key, number, await self._send(judged.spec, key, number, outcome))

    async def _send(self, spec: JobSpec, key: AttemptKey, number: int, outcome: Succeeded) -> bytes:
        """The receipt. Raises DestinationFailed."""
        payload = result_payload(key.job_hash, key.execution, outcome.digest, self.output(outcome))
        identity = delivery_id(self.duties.chain.genesis_hash, key, number)
        return await self.deliver(getattr(spec.destinations[number], "url", ""), identity, payload)

    def output(self, outcome: Succeeded) -> bytes:
        """The output's bytes. Raises DestinationFailed if they are gone."""
        data = getattr(outcome.output, "data", None)
        if data is not None:
            return bytes(data)
        blob = self.blobs.get(outcome.output.blob.cid)  # type: ignore[attr-defined]  # the other variant
        if blob is None:
            raise DestinationFailed("the output is no longer in the blob store")
        return blob


def delivery_id(genesis_hash: bytes, key: AttemptKey, destination: int) -> str:
    """The idempotency key of a delivery: H(genesis ‖ job ‖ execution ‖ destination), without slot or attempt.

    Replicas and retries use the same one, so that the destination takes the result once (spec/job-layer.md §1).
    """
    content = genesis_hash + key.job_hash + key.execution.to_bytes(4, "little") + bytes((destination,))
    return blake2b256(content).hex()
