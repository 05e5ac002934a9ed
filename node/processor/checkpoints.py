"""Checkpoints: what a script saves of its run, so that the next attempt - here or elsewhere - goes on from there.

A script may save as often as it likes; the last state leaves this machine at a bounded rate, as a blob that the chain
names. Nothing is saved where results are compared, since a run must follow from what all are given; nor where a job has
secrets, since a state may hold them and blobs are for everybody.
"""

from __future__ import annotations

from node.blobs import BlobError, Blobs
from node.log import logger
from node.processor.duties import Duties, Duty
from node.processor.journal import AttemptKey
from node.processor.submitter import Submitter
from pallets.jobs.modes import is_compared
from pallets.jobs.types import Blob, JobSpec
from runtime.heddle import Heddle

log = logger("processor")

CHECKPOINT_SLOTS = 30
"""Slots between two checkpoints of an attempt."""


class Checkpoints:
    """States of the attempts at work: those that scripts saved since the last one that left."""

    def __init__(self, duties: Duties, submitter: Submitter, blobs: Blobs) -> None:
        self.duties = duties
        self.submitter = submitter
        self.blobs = blobs
        self._saved: dict[AttemptKey, bytes] = {}
        self._sent: dict[AttemptKey, tuple[int, Blob]] = {}
        """When the last state of an attempt left, and what it was."""

    @staticmethod
    def are_kept(spec: JobSpec) -> bool:
        """Whether the runs of a job go on from where an earlier one was."""
        return not is_compared(spec) and spec.environment is None

    def save(self, key: AttemptKey, content: bytes) -> None:
        """A script saved its state."""
        self._saved[key] = content

    def step(self, runtime: Heddle, duty: Duty, key: AttemptKey) -> None:
        """Publish what was saved, if the last time is long enough ago and is on chain."""
        clock = runtime.agenda.now()
        sent_at, sent = self._sent.get(key, (-CHECKPOINT_SLOTS, None))
        if sent is not None and runtime.jobs.checkpoints.find((duty.id, key.slot, key.execution)) != sent:
            self._publish(duty, key, sent)
        elif key in self._saved and clock >= sent_at + CHECKPOINT_SLOTS:
            content = self._saved.pop(key)
            try:
                state = Blob(self.blobs.store.put(content), len(content))
            except BlobError as error:
                log.warning("a checkpoint was not stored", job=duty.id, reason=str(error))
                return
            self._sent[key] = (clock, state)
            self._publish(duty, key, state)

    def _publish(self, duty: Duty, key: AttemptKey, state: Blob) -> None:
        place = (duty.id, key.execution, key.slot, key.generation, key.attempt)
        self.submitter.want(("checkpoint", key, state.cid), "Jobs", "checkpoint", *place, state)

    async def latest(self, duty: Duty, key: AttemptKey) -> bytes | None:
        """The state that an earlier attempt left, or None to begin anew."""
        if not self.are_kept(duty.spec):
            return None
        state = self.duties.best().jobs.checkpoints.find((duty.id, key.slot, key.execution))
        if state is None:
            return None
        try:
            return await self.blobs.fetch(state.cid)
        except BlobError as error:
            log.info("a checkpoint is not to be had: the run begins anew", job=duty.id, reason=str(error))
            return None

    def forget(self, key: AttemptKey) -> None:
        """The attempt is over here."""
        self._saved.pop(key, None)
        self._sent.pop(key, None)
