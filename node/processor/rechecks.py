"""Rechecks: others' executions, run again here to see what comes of them - for a panel of jurors or for a challenge.

A recheck begins only while a worker is free, and gives way to nobody's promise: our own attempts count them. The
journal keeps each outcome under its key, so that a commitment can be opened after a crash.
"""

from __future__ import annotations

import trio

from node.blobs import BlobError
from node.log import logger
from node.processor.duties import Duties
from node.processor.executor import Executor, Work
from node.processor.journal import CheckKey, Journal
from node.processor.reports import digest_of
from node.processor.runs import OUTCOME, Runs
from node.processor.runtimes.spec import TAPE_BYTES_MAX
from node.processor.submitter import Submitter
from pallets.jobs.failure import TapeInconsistent
from pallets.jobs.modes import is_deterministic, is_result
from pallets.jobs.report import Failed, Outcome, Succeeded
from pallets.jobs.types import Blob, JobSpec
from pallets.verification.digests import outsiders_commitment
from runtime.heddle import Heddle

log = logger("processor")

RUNS_MAX = 3
"""A run that says nothing of the script - a worker crashed, a blob was not to be had - is repeated so often."""
PREFETCHES_MAX = 16


class Rechecks:
    """Executions of others at work here."""

    def __init__(self, duties: Duties, submitter: Submitter, executor: Executor, journal: Journal, runs: Runs) -> None:
        self.duties = duties
        self.submitter = submitter
        self.executor = executor
        self.journal = journal
        self.runs = runs
        runs.rechecking = lambda: len(self._active)
        self._active: dict[CheckKey, None] = {}
        self._fetched: dict[CheckKey, bool | None] = {}

    @property
    def running(self) -> int:
        """Workers in use."""
        return len(self._active)

    def can_have(self, runtime: Heddle, key: CheckKey, nursery: trio.Nursery) -> bool:
        """Whether script, input and tape of an execution are here; begins to fetch them."""
        work = self._work(runtime, key)
        if work is None or not self.executor.accepts(work[0].spec):
            return False
        if key not in self._fetched and len(self._fetched) >= PREFETCHES_MAX:
            self._fetched = {one: here for one, here in self._fetched.items() if here is None}
        if key not in self._fetched and len(self._fetched) < PREFETCHES_MAX:
            self._fetched[key] = None
            nursery.start_soon(self._fetch, key, *work)
        return bool(self._fetched.get(key))

    async def _fetch(self, key: CheckKey, work: Work, tape: Blob | None) -> None:
        try:
            here = await self.executor.prefetch(work.spec)
            if tape is not None:
                await self.executor.blobs.fetch(tape.cid)
        except BlobError as error:
            log.info("cannot be checked", job="0x" + key.job_hash.hex(), execution=key.execution, reason=str(error))
            here = False
        except Exception:  # the supervisor of one fetch: the others and the node must live
            log.exception("a check's fetch was interrupted", job="0x" + key.job_hash.hex(), execution=key.execution)
            here = False
        self._fetched[key] = here

    def outcome(self, runtime: Heddle, key: CheckKey, nursery: trio.Nursery) -> Outcome | None:
        """What came of the execution here; None while nothing is known. Begins the run."""
        known = self.journal.get(key)
        if known is not None and known.outcome is not None:
            found: Outcome = OUTCOME.decode(known.outcome)
            return found
        tries = 0 if known is None else known.runs
        work = self._work(runtime, key)
        if work is None or key in self._active or tries >= RUNS_MAX or self.runs.free_workers() <= 0:
            return None
        self._active[key] = None
        nursery.start_soon(self._run, key, *work)
        return None

    async def _run(self, key: CheckKey, work: Work, tape: Blob | None) -> None:
        """One run, whose outcome is kept if it is the script's."""
        try:
            self.journal.begin(key, work.due_ms)
            if tape is not None:
                content = await self.executor.blobs.fetch(tape.cid)
                # A tape that no run can have written is one that answers nothing.
                work = work.replaying(content if len(content) <= TAPE_BYTES_MAX else b"")
            outcome = (await self.executor.run(work)).outcome
            if is_finding(outcome):
                self.journal.finish(key, OUTCOME.encode(outcome))
            log.info("checked", job="0x" + key.job_hash.hex(), execution=key.execution, outcome=type(outcome).__name__)
        except BlobError as error:
            log.info("cannot be checked", job="0x" + key.job_hash.hex(), execution=key.execution, reason=str(error))
        except Exception:  # the supervisor of one run: the others and the node must live
            log.exception("a check was interrupted", job="0x" + key.job_hash.hex(), execution=key.execution)
        finally:
            del self._active[key]

    def _work(self, runtime: Heddle, key: CheckKey) -> tuple[Work, Blob | None] | None:
        """What is to be run again, and the tape that takes the place of the world if the job may ask it."""
        job_id = runtime.jobs.job_by_hash.find(key.job_hash)
        if job_id is None:
            return None
        job, spec = runtime.jobs.job(job_id), runtime.jobs.spec_for(job_id, key.execution)
        nominal_ms = spec.schedule.start_ms + key.execution * spec.schedule.interval_ms
        work = Work(key.job_hash, job.seed, spec, key.execution, 0, 0, nominal_ms)
        if is_deterministic(spec):
            return work, None
        entry = runtime.verification.entries.find((job_id, key.execution, 0))
        shown = None if entry is None else entry.outcome
        tape = shown.tape if isinstance(shown, Succeeded) else None
        return None if tape is None else (work, tape)

    def forget_settled(self, wanted: set[CheckKey]) -> None:
        """Drop what neither head of the chain asks for any more."""
        for key in list(self.journal.checks()):
            if key not in wanted and key not in self._active:
                self.journal.forget(key)
        self._fetched = {key: here for key, here in self._fetched.items() if key in wanted or here is None}

    # What is said of it.

    def salt(self, key: CheckKey, digest: bytes) -> bytes:
        """The salt of a check's commitment."""
        return self.submitter.salt(key.encode() + digest)

    def commitment(self, spec: JobSpec, key: CheckKey, outcome: Outcome) -> bytes:
        """What we bind ourselves to."""
        digest = digest_of(spec, key.execution, outcome)
        place = (self.duties.chain.genesis_hash, key.job_hash, key.execution, self.submitter.account)
        return outsiders_commitment(*place, digest, self.salt(key, digest))


def is_finding(outcome: Outcome) -> bool:
    """Whether an outcome says something of the script or of its tape, and not only of this machine."""
    inconsistent = isinstance(outcome, Failed) and isinstance(outcome.failure, TapeInconsistent)
    return inconsistent or is_result(outcome)
