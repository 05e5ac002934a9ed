"""Offers: fetch what a job needs, then acknowledge it; decline what this machine cannot do."""

from __future__ import annotations

import trio

from node.log import logger
from node.processor.duties import Duties, Duty
from node.processor.executor import Executor
from node.processor.keeper import Keeper
from node.processor.submitter import Submitter
from node.processor.vault import VaultFull
from pallets.jobs.failure import Failure, InputUnavailable, RuntimeUnsupported, SecretsUnavailable
from pallets.jobs.records import SlotState
from pallets.jobs.types import JobSpec

log = logger("processor")

PREFETCHES_MAX = 16


class Offers:
    """The offers that were looked at, and what came of it: None while script and input are being fetched."""

    def __init__(self, duties: Duties, submitter: Submitter, executor: Executor, keeper: Keeper) -> None:
        self.duties = duties
        self.submitter = submitter
        self.executor = executor
        self.keeper = keeper
        self._considered: dict[tuple[bytes, int, int], bool | None] = {}

    def step(self, duties: list[Duty], nursery: trio.Nursery) -> None:
        """Answer every offer; one that has been answered in a block is done."""
        for duty in duties:
            if duty.slot.state is SlotState.OFFERED:
                self._answer(duty, nursery)
            else:
                self.submitter.done(("acknowledge", duty.job.id_hash, duty.number, duty.slot.generation))

    def _answer(self, duty: Duty, nursery: trio.Nursery) -> None:
        """Acknowledge once script and input are here; decline what cannot be done."""
        key = (duty.job.id_hash, duty.number, duty.slot.generation)
        fit = self._considered.get(key)
        if key not in self._considered:
            if len(self._considered) >= PREFETCHES_MAX:
                self._considered = {k: v for k, v in self._considered.items() if v is None}
            if len(self._considered) < PREFETCHES_MAX:
                self._considered[key] = None
                nursery.start_soon(self._consider, key, self.duties.first_spec(duty))
        elif fit is True and self.keeper.hopeless(self.duties.best(), duty):
            self._decline(duty, SecretsUnavailable())
        elif fit is True:
            self._acknowledge(duty)
        elif fit is False:
            reason = InputUnavailable() if self.executor.accepts(duty.spec) else RuntimeUnsupported()
            self._decline(duty, reason)

    def _decline(self, duty: Duty, reason: Failure) -> None:
        wish = ("decline", duty.job.id_hash, duty.number, duty.slot.generation)
        self.submitter.want(wish, "Jobs", "decline", duty.id, duty.number, duty.slot.generation, reason)

    def _acknowledge(self, duty: Duty) -> None:
        wish = ("acknowledge", duty.job.id_hash, duty.number, duty.slot.generation)
        try:
            key = self.keeper.key_for(self.duties.best(), duty)
        except VaultFull:
            log.warning("no room for a key to the job's secrets", job=duty.id, slot=duty.number)
            self._decline(duty, SecretsUnavailable())
            return
        self.submitter.want(wish, "Jobs", "acknowledge", duty.id, duty.number, duty.slot.generation, key)

    async def _consider(self, key: tuple[bytes, int, int], spec: JobSpec) -> None:
        try:
            fit = self.executor.accepts(spec) and await self.executor.prefetch(spec)
            self._considered[key] = fit
            self._answer_now()
        except Exception:  # the supervisor of one offer: the others and the node must live
            log.exception("an offer could not be considered", slot=key[1])
            self._considered[key] = False

    def _answer_now(self) -> None:
        """Answer offers that were considered since the last block, without waiting for the next one."""
        for duty in self.duties.all(self.duties.best()):
            key = (duty.job.id_hash, duty.number, duty.slot.generation)
            fit = duty.slot.state is SlotState.OFFERED and self._considered.get(key) is True
            if fit and not self.keeper.hopeless(self.duties.best(), duty):
                self._acknowledge(duty)
