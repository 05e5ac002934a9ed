"""Reports: tell the chain how an attempt ended, in the way of the job's mode.

In Trusted mode a result is delivered, then reported, and that is all. Where others judge it nothing leaves this machine
before the judgment but what the mode shows: a report, or only a commitment. rounds.py goes on from there.
"""

from __future__ import annotations

from typing import Any

from node.events import Imported
from node.processor.delivery import Deliveries
from node.processor.duties import Duties, Duty
from node.processor.journal import AttemptKey
from node.processor.submitter import Submitter
from pallets.jobs.modes import commits, is_result
from pallets.jobs.report import Outcome
from pallets.jobs.types import JobSpec, Trusted
from pallets.verification.digests import commitment, result_digest, work_hash


def digest_of(spec: JobSpec, execution: int, outcome: Outcome) -> bytes:
    """What the outcome of an execution is compared by."""
    return result_digest(work_hash(spec, execution), outcome)


def salt_of(submitter: Submitter, key: AttemptKey, digest: bytes) -> bytes:
    """The salt of an attempt's commitment."""
    return submitter.salt(key.encode() + digest)


class Reports:
    """Sends how attempts ended, until the chain shows that it knows."""

    def __init__(self, duties: Duties, submitter: Submitter, deliveries: Deliveries) -> None:
        self.duties = duties
        self.submitter = submitter
        self.deliveries = deliveries

    async def send(self, duty: Duty, key: AttemptKey, outcome: Outcome) -> None:
        """Report or commit. Returns when the best block waits for neither."""
        if commits(duty.spec) and is_result(outcome):
            await self._until_known(duty, key, "Verification", "commit", self._commitment(duty, key, outcome))
            return
        if isinstance(duty.spec.verification, Trusted):
            outcome = await self.deliveries.deliver_all(duty, key, outcome)
        await self._until_known(duty, key, "Jobs", "report", outcome)

    def _commitment(self, duty: Duty, key: AttemptKey, outcome: Outcome) -> bytes:
        digest = digest_of(duty.spec, key.execution, outcome)
        place = (key.execution, key.slot, key.generation, key.attempt)
        salt = salt_of(self.submitter, key, digest)
        genesis_hash = self.duties.chain.genesis_hash
        return commitment(genesis_hash, key.job_hash, *place, self.submitter.account, digest, salt)

    async def _until_known(self, duty: Duty, key: AttemptKey, pallet: str, call: str, last: Any) -> None:
        wish = (call, key)
        arguments = (duty.id, key.execution, key.slot, key.generation, key.attempt, last)
        while self.duties.is_running(duty, key):
            with self.duties.chain.events.listen() as events:
                self.submitter.want(wish, pallet, call, *arguments)
                async for event in events:
                    if isinstance(event, Imported) and event.is_best:
                        break
        self.submitter.done(wish)
