"""Watcher: the processor's eye on the chain.

At every best block it compares what the chain says of its promises with what it has done, and does the next step of
each: fetch and acknowledge, say that a run began, run, deliver, report. Nothing depends on having seen an event, so a
processor that was away or crashed goes on where the chain and its journal stand.

Promises are made at the best block. A run begins once the job's assignment is final: what leaves the machine must not
depend on a block that may yet be retracted (spec/job-layer.md §1).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

import trio

from node.chain import Chain
from node.events import Imported
from node.log import logger
from node.processor.destinations.sender import DestinationFailed, result_payload
from node.processor.executor import Executor, Work
from node.processor.journal import AttemptKey, Journal
from node.processor.submitter import Submitter
from node.store.errors import StoreError
from pallets.jobs.bounds import MESSAGE_BYTES_MAX
from pallets.jobs.failure import DeliveryFailed, InputUnavailable, RuntimeUnsupported
from pallets.jobs.queries import duties_of
from pallets.jobs.records import Execution, ExecutionState, Job, JobState, Slot, SlotState
from pallets.jobs.report import Delivery, Failed, Outcome, Succeeded
from pallets.jobs.types import Chain as ChainDestination
from pallets.jobs.types import JobSpec
from pallets.processors.types import Advert
from runtime.hashing import blake2b256
from runtime.heddle import Heddle
from runtime.scale import codec_of

log = logger("processor")

OUTCOME = codec_of(Outcome)
RUNNING = (ExecutionState.RUNNING, ExecutionState.SUSPECT)
HEARTBEAT_SLOTS = 600
"""A third of what makes a processor ineligible (spec/job-layer.md §4 (2))."""
PROGRESS_SLOTS = 20
"""Slots between signs of life of a long run: a third of what makes it suspect."""
PREFETCHES_MAX = 16
DELIVERY_TRIES_MAX = 3
NODE_VERSION = 1

Deliver = Callable[[str, str, str], Awaitable[bytes]]
"""deliver(url, idempotency key, payload) gives the receipt. Raises DestinationFailed."""


@dataclass(frozen=True, slots=True)
class Duty:
    """A slot that this processor has, with its job, as the best block shows them."""

    id: int
    number: int
    slot: Slot
    job: Job
    spec: JobSpec


class Watcher:
    """One processor account at work."""

    def __init__(
        self,
        chain: Chain,
        submitter: Submitter,
        executor: Executor,
        journal: Journal,
        advert: Callable[[], Advert],
        deliver: Deliver,
    ) -> None:
        self.chain = chain
        self.submitter = submitter
        self.executor = executor
        self.journal = journal
        self.advert = advert
        self.deliver = deliver
        self.account = submitter.account
        self._best = chain.new_runtime()
        self._final = chain.new_runtime()
        self._active: dict[AttemptKey, bool] = {}
        """Attempts at work, and whether they still need a worker: delivering and reporting need none."""
        self._scopes: dict[AttemptKey, trio.CancelScope] = {}
        self._starting: dict[AttemptKey, None] = {}
        """Attempts that we said to start, until the chain shows them running."""
        self._considered: dict[tuple[bytes, int, int], bool | None] = {}

    @property
    def running(self) -> int:
        """Attempts at work now."""
        return len(self._active)

    async def run(self) -> None:
        """Work for ever."""
        log.info("processor", account="0x" + self.account.hex(), runtimes=",".join(self.executor.pool.runtime_ids()))
        async with trio.open_nursery() as nursery:
            while True:
                with self.chain.events.listen() as events:
                    self.step(nursery)
                    async for event in events:
                        if isinstance(event, Imported) and not event.is_best:
                            continue
                        self.step(nursery)

    def step(self, nursery: trio.Nursery) -> None:
        """Look at the chain once and begin whatever is due."""
        try:
            runtime = self.chain.at(self.chain.best.hash, self._best)
        except StoreError:
            return  # the head moved while we looked; the next event looks again
        if not self._present(runtime):
            return
        duties = self._duties(runtime)
        for duty in duties:
            if duty.slot.state is SlotState.OFFERED:
                self._answer(duty, nursery)
            else:
                self.submitter.done(("acknowledge", duty.job.id_hash, duty.number, duty.slot.generation))
                self._work(runtime, duty, nursery)
        self._stop_unwanted(runtime)
        self._begin(runtime, duties)
        self._tidy()

    def _duties(self, runtime: Heddle) -> list[Duty]:
        return [
            Duty(job_id, number, slot, runtime.jobs.job(job_id), runtime.jobs.specs.get(job_id))
            for job_id, number, slot in duties_of(runtime.jobs, self.account)
        ]

    # Being a processor at all.

    def _present(self, runtime: Heddle) -> bool:
        """Register, advertise, send heartbeats; whether the chain lists us with an advert."""
        record = runtime.processors.records.find(self.account)
        if record is None:
            if runtime.balances.free(self.account) > 2 * runtime.balances.existential_deposit:
                self.submitter.want(("register",), "Processors", "register", NODE_VERSION)
            return False
        advert = runtime.processors.adverts.find(self.account)
        if advert is None or record.suspended:
            # A suspended advert is renewed as it stands: its operator may have changed it.
            self.submitter.want(("advertise",), "Processors", "advertise", advert or self.advert())
            return record.suspended
        self.submitter.done(("advertise",))
        if runtime.agenda.now() - record.heartbeat_at >= HEARTBEAT_SLOTS:
            beat = runtime.agenda.now() // HEARTBEAT_SLOTS
            self.submitter.want(("heartbeat", beat), "Processors", "heartbeat", NODE_VERSION)
        return True

    # Offers.

    def _answer(self, duty: Duty, nursery: trio.Nursery) -> None:
        """Acknowledge once script and input are here; decline what cannot be done."""
        key = (duty.job.id_hash, duty.number, duty.slot.generation)
        fit = self._considered.get(key)
        if key not in self._considered:
            if len(self._considered) >= PREFETCHES_MAX:
                self._considered = {k: v for k, v in self._considered.items() if v is None}
            if len(self._considered) < PREFETCHES_MAX:
                self._considered[key] = None
                nursery.start_soon(self._consider, key, duty.spec)
        elif fit is True:
            wish = ("acknowledge", *key)
            self.submitter.want(wish, "Jobs", "acknowledge", duty.id, duty.number, duty.slot.generation)
        elif fit is False:
            reason = InputUnavailable() if self.executor.accepts(duty.spec) else RuntimeUnsupported()
            wish = ("decline", *key)
            self.submitter.want(wish, "Jobs", "decline", duty.id, duty.number, duty.slot.generation, reason)

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
        runtime = self.chain.at(self.chain.best.hash, self._best)
        for job_id, number, slot in duties_of(runtime.jobs, self.account):
            job = runtime.jobs.job(job_id)
            key = (job.id_hash, number, slot.generation)
            if slot.state is SlotState.OFFERED and self._considered.get(key) is True:
                self.submitter.want(("acknowledge", *key), "Jobs", "acknowledge", job_id, number, slot.generation)

    # Runs.

    @staticmethod
    def _attempts(runtime: Heddle, duty: Duty) -> Iterator[tuple[AttemptKey, Execution]]:
        """The live executions of an acknowledged slot in an assigned job."""
        if duty.slot.state is not SlotState.ACKNOWLEDGED or duty.job.state is not JobState.ASSIGNED:
            return
        for execution in duty.slot.live:
            record = runtime.jobs.executions.find((duty.id, duty.number, execution))
            if record is not None:
                yield AttemptKey(duty.job.id_hash, duty.number, execution, duty.slot.generation, record.attempt), record

    def _work(self, runtime: Heddle, duty: Duty, nursery: trio.Nursery) -> None:
        """The next step of each running execution."""
        for key, record in self._attempts(runtime, duty):
            if record.state not in RUNNING or record.processor != self.account:
                continue
            self.submitter.done(("started", key))
            if key not in self._active and self._assignment_is_final(duty):
                self._active[key] = True
                nursery.start_soon(self._attend, duty, key, record)
            elif key in self._active and duty.spec.schedule.duration_ms > PROGRESS_SLOTS * self.chain.slot_ms:
                self._sign_of_life(runtime, duty, key, record)

    def _begin(self, runtime: Heddle, duties: list[Duty]) -> None:
        """Say `started` as soon as a block may take it, the most urgent first, while workers are free.

        An attempt that was started and has to wait for a worker loses the time in which it must report.
        """
        scheduled = [
            (record.deadline, duty.id, key, duty, record.due_ms)
            for duty in duties
            for key, record in self._attempts(runtime, duty)
            if record.state is ExecutionState.SCHEDULED
        ]
        self._starting = {key: None for _, _, key, _, _ in scheduled if key in self._starting}
        free = self.executor.workers - sum(self._active.values()) - len(self._starting)
        for _, _, key, duty, due_ms in sorted(scheduled, key=lambda one: one[:2]):
            due = runtime.system.now_ms + self.chain.slot_ms >= due_ms
            if not due or (key not in self._starting and free <= 0) or not self._assignment_is_final(duty):
                continue
            if key not in self._starting:
                self._starting[key] = None
                free -= 1
            arguments = (duty.id, key.execution, duty.number, key.generation, key.attempt)
            self.submitter.want(("started", key), "Jobs", "started", *arguments)

    def _begin_now(self) -> None:
        """A worker has become free: begin the next attempt without waiting for the next block."""
        runtime = self.chain.at(self.chain.best.hash, self._best)
        self._begin(runtime, self._duties(runtime))

    def _assignment_is_final(self, duty: Duty) -> bool:
        """Whether the last final block shows the same slot as ours, in an assigned job."""
        final = self.chain.at(self.chain.finalised.hash, self._final)
        job = final.jobs.jobs.find(duty.id)
        if job is None or job.id_hash != duty.job.id_hash or job.state is not JobState.ASSIGNED:
            return False
        slot = final.jobs.slot(duty.id, duty.number)
        return slot.processor == self.account and slot.generation == duty.slot.generation

    def _sign_of_life(self, runtime: Heddle, duty: Duty, key: AttemptKey, record: Execution) -> None:
        silent = runtime.agenda.now() - record.heartbeat_at
        if silent < PROGRESS_SLOTS:
            return
        elapsed_ms = runtime.system.now_ms - record.started_ms
        permille = min(999, elapsed_ms * 1000 // max(duty.spec.schedule.duration_ms, 1))
        arguments = (duty.id, key.execution, duty.number, key.generation, key.attempt, permille)
        wish = ("progress", key, runtime.agenda.now() // PROGRESS_SLOTS)
        self.submitter.want(wish, "Jobs", "progress", *arguments)

    async def _attend(self, duty: Duty, key: AttemptKey, record: Execution) -> None:
        """One attempt, from wherever the journal left it to its report. Its failure ends here and is tried again."""
        try:
            with trio.CancelScope() as self._scopes[key]:
                outcome = await self._outcome(duty, key, record)
                self._active[key] = False
                self._begin_now()
                delivered = await self._deliver_all(duty, key, outcome)
                await self._report(duty, key, delivered)
        except Exception:  # the supervisor of one attempt: the others and the node must live
            log.exception("an attempt was interrupted", job=duty.id, execution=key.execution)
        finally:
            del self._active[key], self._scopes[key]

    def _stop_unwanted(self, runtime: Heddle) -> None:
        """End the runs of attempts that neither the best nor the final block waits for any more."""
        final = self.chain.at(self.chain.finalised.hash, self._final)
        for key, scope in self._scopes.items():
            wanted = (self._live_by_hash(state, key) for state in (runtime, final))
            if not any(wanted):
                log.info("no longer wanted", job="0x" + key.job_hash.hex(), execution=key.execution, slot=key.slot)
                scope.cancel()

    def _live_by_hash(self, runtime: Heddle, key: AttemptKey) -> bool:
        job_id = runtime.jobs.job_by_hash.find(key.job_hash)
        return job_id is not None and self._live_attempt(runtime, job_id, key) is not None

    async def _outcome(self, duty: Duty, key: AttemptKey, record: Execution) -> Outcome:
        """The journal's outcome, or that of a run that begins now."""
        known = self.journal.get(key)
        if known is not None and known.outcome is not None:
            found: Outcome = OUTCOME.decode(known.outcome)
            return found
        schedule = duty.spec.schedule
        nominal_ms = schedule.start_ms + key.execution * schedule.interval_ms
        self.journal.begin(key, record.started_ms)
        log.info("running", job=duty.id, execution=key.execution, slot=key.slot, attempt=key.attempt)
        work = Work(duty.job.id_hash, duty.spec, key.execution, key.slot, key.attempt, nominal_ms)
        finished = await self.executor.run(work)
        kept = self.journal.finish(key, OUTCOME.encode(finished.outcome))
        assert kept.outcome is not None, "just finished"
        log.info("finished", job=duty.id, execution=key.execution, slot=key.slot, outcome=_named(finished.outcome))
        outcome: Outcome = OUTCOME.decode(kept.outcome)
        return outcome

    async def _deliver_all(self, duty: Duty, key: AttemptKey, outcome: Outcome) -> Outcome:
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
            if not self._is_running(duty, key):
                return outcome  # nobody waits for it any more: nothing leaves this machine
            try:
                payload = result_payload(key.job_hash, key.execution, outcome.digest, self._output(outcome))
                identity = delivery_id(self.chain.genesis_hash, key, number)
                receipt = await self.deliver(getattr(destination, "url", ""), identity, payload)
            except DestinationFailed as error:
                message = str(error).encode()[:MESSAGE_BYTES_MAX].decode(errors="ignore")
                return Failed(DeliveryFailed(number), message, outcome.fuel)
            self.journal.deliver(key, number, receipt)
        done = self.journal.get(key)
        assert done is not None, "the attempt is in the journal"
        return replace(outcome, deliveries=tuple(Delivery(number, receipt) for number, receipt in done.deliveries))

    def _output(self, outcome: Succeeded) -> bytes:
        data = getattr(outcome.output, "data", None)
        if data is not None:
            return bytes(data)
        blob = self.executor.blobs.store.get(outcome.output.blob.cid)  # type: ignore[attr-defined]  # the other variant
        if blob is None:
            raise DestinationFailed("the output is no longer in the blob store")
        return blob

    async def _report(self, duty: Duty, key: AttemptKey, outcome: Outcome) -> None:
        """Send the report until the best block shows the attempt settled."""
        wish = ("report", key)
        while self._is_running(duty, key):
            with self.chain.events.listen() as events:
                self.submitter.want(
                    wish, "Jobs", "report", duty.id, key.execution, key.slot, key.generation, key.attempt, outcome
                )
                async for event in events:
                    if isinstance(event, Imported) and event.is_best:
                        break
        self.submitter.done(wish)

    def _is_running(self, duty: Duty, key: AttemptKey) -> bool:
        runtime = self.chain.at(self.chain.best.hash, self._best)
        return self._live_attempt(runtime, duty.id, key) is not None

    def _live_attempt(self, runtime: Heddle, id: int, key: AttemptKey) -> Execution | None:
        """The attempt's record if the chain still waits for its report."""
        job = runtime.jobs.jobs.find(id)
        if job is None or job.id_hash != key.job_hash:
            return None
        slot = runtime.jobs.slot(id, key.slot)
        record = runtime.jobs.executions.find((id, key.slot, key.execution))
        if record is None or slot.generation != key.generation or record.attempt != key.attempt:
            return None
        return record if record.state in RUNNING and record.processor == self.account else None

    def _tidy(self) -> None:
        """Forget attempts that are over in the last final block: no reorganisation can bring them back."""
        final = self.chain.at(self.chain.finalised.hash, self._final)
        for key in list(self.journal.keys()):
            if key not in self._active and self._is_over(final, key):
                self.journal.forget(key)

    def _is_over(self, runtime: Heddle, key: AttemptKey) -> bool:
        """Whether the chain will never again wait for this attempt. One that has not begun there is not over."""
        job_id = runtime.jobs.job_by_hash.find(key.job_hash)
        if job_id is None or runtime.jobs.job(job_id).state is not JobState.ASSIGNED:
            return True  # the assignment was final before the attempt began
        slot = runtime.jobs.slot(job_id, key.slot)
        record = runtime.jobs.executions.find((job_id, key.slot, key.execution))
        if slot.generation != key.generation:
            return True
        if record is None:
            return key.execution < slot.next
        live = record.state in (ExecutionState.SCHEDULED, *RUNNING)
        return record.attempt > key.attempt or not live


def delivery_id(genesis_hash: bytes, key: AttemptKey, destination: int) -> str:
    """The idempotency key of a delivery: H(genesis ‖ job ‖ execution ‖ destination), without slot or attempt.

    Replicas and retries use the same one, so that the destination takes the result once (spec/job-layer.md §1).
    """
    content = genesis_hash + key.job_hash + key.execution.to_bytes(4, "little") + bytes((destination,))
    return blake2b256(content).hex()


def _named(outcome: Outcome) -> str:
    if isinstance(outcome, Failed):
        return repr(outcome.failure)
    return type(outcome).__name__
