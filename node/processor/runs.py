"""Runs: say that an attempt began, run it, and see to its report - each once, from wherever the journal left it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

from node.log import logger
from node.processor.checkpoints import Checkpoints
from node.processor.duties import RUNNING, Duties, Duty
from node.processor.executor import Executor, Work
from node.processor.journal import AttemptKey, Journal
from node.processor.keeper import Keeper
from node.processor.reports import Reports
from node.processor.runtimes.port import OnText
from node.processor.submitter import Submitter
from node.run_logs import LogStore, RunPlace
from pallets.jobs.failure import OutOfResources, Resource
from pallets.jobs.records import Execution, ExecutionState
from pallets.jobs.report import Failed, Outcome
from runtime.heddle import Heddle
from runtime.scale import codec_of

log = logger("processor")

OUTCOME = codec_of(Outcome)
PROGRESS_SLOTS = 20
"""Slots between signs of life of a long run: a third of what makes it suspect."""
AHEAD_SLOTS = 8
"""A start takes a block. So a worker is given several attempts at once, if all their durations are this long together:
half of the grace that the chain gives each for its report, whatever the others do. Else it is given one."""
BEGUN_MAX = 8
"""So often one attempt is begun: the journal counts starts of this node and runs that broke off in a way that nobody
foresaw. Then it has failed, and its slot goes on with the next attempt, perhaps elsewhere."""
PERMILLE_UNFINISHED = 999
"""No run says that it is done before it has ended."""


class Runs:
    """The attempts at work."""

    def __init__(
        self,
        duties: Duties,
        submitter: Submitter,
        executor: Executor,
        journal: Journal,
        reports: Reports,
        keeper: Keeper,
        logs: LogStore | None = None,
    ) -> None:
        self.duties = duties
        self.submitter = submitter
        self.executor = executor
        self.journal = journal
        self.reports = reports
        self.keeper = keeper
        self.logs = logs
        self.checkpoints = Checkpoints(duties, submitter, executor.blobs)
        self.rechecking: Callable[[], int] = lambda: 0
        """Workers that run what others did (rechecks.py)."""
        self._active: dict[AttemptKey, int] = {}
        """Attempts at work, and what they take of a worker's AHEAD_SLOTS: delivering and reporting take nothing."""
        self._scopes: dict[AttemptKey, trio.CancelScope] = {}
        self._starting: dict[AttemptKey, int] = {}
        """Attempts that we said to start, and what they take, until the chain shows them running."""
        self._permille: dict[AttemptKey, int] = {}
        """How far scripts say that they are, for those that say it."""

    @property
    def running(self) -> int:
        """Attempts at work now."""
        return len(self._active)

    def free_workers(self) -> int:
        """Workers that no attempt has or was promised."""
        return self._free_slots() // AHEAD_SLOTS

    def _free_slots(self) -> int:
        taken = sum(self._active.values()) + sum(self._starting.values())
        return (self.executor.workers - self.rechecking()) * AHEAD_SLOTS - taken

    def _takes(self, duty: Duty) -> int:
        """Of a worker's AHEAD_SLOTS: the attempt's whole duration, which it may use."""
        return min(-(-duty.spec.schedule.duration_ms // self.duties.chain.slot_ms), AHEAD_SLOTS)

    def step(self, runtime: Heddle, duties: list[Duty], nursery: trio.Nursery) -> None:
        """The next step of each attempt."""
        for duty in duties:
            self._work(runtime, duty, nursery)
        self._stop_unwanted()
        self._begin(runtime, duties)

    def _work(self, runtime: Heddle, duty: Duty, nursery: trio.Nursery) -> None:
        """The next step of each running execution."""
        for key, record in self.duties.attempts(runtime, duty):
            if record.state not in RUNNING or record.processor != self.submitter.account:
                continue
            self.submitter.done(("started", key))
            if key not in self._active and self.duties.assignment_is_final(duty):
                self._active[key] = self._takes(duty)
                nursery.start_soon(self._attend, duty, key, record)
            elif key in self._active:
                self.checkpoints.step(runtime, duty, key)
                if duty.spec.schedule.duration_ms > PROGRESS_SLOTS * self.duties.chain.slot_ms:
                    self._sign_of_life(runtime, duty, key, record)

    def _begin(self, runtime: Heddle, duties: list[Duty]) -> None:
        """Say `started` as soon as a block may take it, the most urgent first, while workers are free.

        An attempt that was started and has to wait for a worker loses the time in which it must report.
        """
        scheduled = [
            (record.deadline, duty.id, key, duty, record.due_ms)
            for duty in duties
            for key, record in self.duties.attempts(runtime, duty)
            if record.state is ExecutionState.SCHEDULED and self.keeper.ready(duty)
        ]
        self._starting = {key: self._starting[key] for _, _, key, _, _ in scheduled if key in self._starting}
        free = self._free_slots()
        for _, _, key, duty, due_ms in sorted(scheduled, key=lambda one: one[:2]):
            due = runtime.system.now_ms + self.duties.chain.slot_ms >= due_ms
            takes = self._takes(duty)
            if not due or (key not in self._starting and free < takes) or not self.duties.assignment_is_final(duty):
                continue
            if key not in self._starting:
                self._starting[key] = takes
                free -= takes
            arguments = (duty.id, key.execution, duty.number, key.generation, key.attempt)
            self.submitter.want(("started", key), "Jobs", "started", *arguments)

    def _begin_now(self) -> None:
        """A worker has become free: begin the next attempt without waiting for the next block."""
        runtime = self.duties.best()
        self._begin(runtime, self.duties.all(runtime))

    def _sign_of_life(self, runtime: Heddle, duty: Duty, key: AttemptKey, record: Execution) -> None:
        silent = runtime.agenda.now() - record.heartbeat_at
        if silent < PROGRESS_SLOTS:
            return
        permille = self._permille.get(key)
        if permille is None:
            elapsed_ms = runtime.system.now_ms - record.started_ms
            permille = min(PERMILLE_UNFINISHED, elapsed_ms * 1000 // max(duty.spec.schedule.duration_ms, 1))
        arguments = (duty.id, key.execution, duty.number, key.generation, key.attempt, permille)
        wish = ("progress", key, runtime.agenda.now() // PROGRESS_SLOTS)
        self.submitter.want(wish, "Jobs", "progress", *arguments)

    async def _attend(self, duty: Duty, key: AttemptKey, record: Execution) -> None:
        """One attempt, from wherever the journal left it to its report. Its failure ends here and is tried again."""
        try:
            with trio.CancelScope() as self._scopes[key]:
                duty = self.duties.for_execution(duty, key.execution)
                outcome = await self._outcome(duty, key, record)
                self._active[key] = 0
                self._begin_now()
                await self.reports.send(duty, key, outcome)
        except Exception:  # the supervisor of one attempt: the others and the node must live
            log.exception("an attempt was interrupted", job=duty.id, execution=key.execution)
        finally:
            del self._active[key], self._scopes[key]
            self._permille.pop(key, None)
            self.checkpoints.forget(key)

    def _stop_unwanted(self) -> None:
        """End the runs of attempts that neither the best nor the final block waits for any more."""
        for key, scope in self._scopes.items():
            if not self.duties.is_wanted(key):
                log.info("no longer wanted", job="0x" + key.job_hash.hex(), execution=key.execution, slot=key.slot)
                scope.cancel()

    async def _outcome(self, duty: Duty, key: AttemptKey, record: Execution) -> Outcome:
        """The journal's outcome, or that of a run that begins now."""
        known = self.journal.get(key)
        if known is not None and known.outcome is not None:
            found: Outcome = OUTCOME.decode(known.outcome)
            return found
        if known is not None and known.runs >= BEGUN_MAX:
            log.warning("given up", job=duty.id, execution=key.execution, slot=key.slot, runs=known.runs)
            return self._kept(key, Failed(OutOfResources(Resource.WALL), f"broken off {known.runs} times", 0))
        schedule = duty.spec.schedule
        nominal_ms = schedule.start_ms + key.execution * schedule.interval_ms
        self.journal.begin(key, record.started_ms)
        log.info("running", job=duty.id, execution=key.execution, slot=key.slot, attempt=key.attempt)
        opened = None if duty.spec.environment is None else self.keeper.open(self.duties.best(), duty)
        work = Work(
            duty.job.id_hash,
            duty.job.seed,
            duty.spec,
            key.execution,
            key.slot,
            key.attempt,
            nominal_ms,
            checkpoint=await self.checkpoints.latest(duty, key),
            secrets=opened,
        )
        kept_states = self.checkpoints.are_kept(duty.spec)
        with self._kept_log(key) as on_log:
            finished = await self.executor.run(
                work,
                on_progress=lambda percent, _note: self._note_progress(key, percent),
                on_log=on_log,
                on_checkpoint=(lambda state: self.checkpoints.save(key, state)) if kept_states else None,
            )
        log.info("finished", job=duty.id, execution=key.execution, slot=key.slot, outcome=_named(finished.outcome))
        return self._kept(key, finished.outcome)

    def _kept(self, key: AttemptKey, outcome: Outcome) -> Outcome:
        """The outcome that the journal has from now on."""
        record = self.journal.finish(key, OUTCOME.encode(outcome))
        assert record.outcome is not None, "just finished"
        kept: Outcome = OUTCOME.decode(record.outcome)
        return kept

    @contextmanager
    def _kept_log(self, key: AttemptKey) -> Iterator[OnText | None]:
        """Where the script's log goes while it runs."""
        logs = self.logs
        if logs is None:
            yield None
            return
        place = RunPlace(key.job_hash, key.execution, key.slot, key.attempt)
        logs.begin(place)
        try:
            yield lambda text: logs.write(place, text)
        finally:
            logs.end(place)

    def _note_progress(self, key: AttemptKey, percent: int) -> None:
        """What the script says goes before what the clock says. Signs of life carry it at their own rate."""
        self._permille[key] = min(PERMILLE_UNFINISHED, percent * 10)

    def is_busy(self, key: AttemptKey) -> bool:
        """Whether the attempt is at work here."""
        return key in self._active


def _named(outcome: Outcome) -> str:
    if isinstance(outcome, Failed):
        return repr(outcome.failure)
    return type(outcome).__name__
