"""Executor: from a job's specification to a finished outcome, on the machines behind this processor.

Fetches script and input, runs them in the runtime pool, stores the output, and says what the chain is to be told. It
knows nothing of extrinsics; the same inputs give the same result digest on every processor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import trio

from node.blobs import BlobError, Blobs, BlobUnavailable, cid_text
from node.log import logger
from node.processor.opened import Opened
from node.processor.runtimes import outcome as runs
from node.processor.runtimes.port import Fetch, NoRoom, OnBytes, OnProgress, OnText, Pool, Sign, WorkerCrashed
from node.processor.runtimes.spec import (
    Capabilities,
    JobContext,
    Limits,
    RunSpec,
    SpecInvalid,
    check_spec,
    native_runtime,
)
from node.secrets.redaction import Redaction, with_secrets
from pallets.jobs import failure as classes
from pallets.jobs.bounds import INLINE_BYTES_MAX, MESSAGE_BYTES_MAX
from pallets.jobs.destinations import Chain
from pallets.jobs.modes import is_compared
from pallets.jobs.report import BlobOutput, Failed, InlineOutput, Outcome, Succeeded
from pallets.jobs.types import Blob, BlobInput, InlineInput, JobSpec, Reexecution, RuntimeKind
from pallets.verification.digests import result_digest, work_hash
from runtime.hashing import HASH_BYTES, personal

log = logger("processor")

RUNTIMES = {RuntimeKind.WASM: "wasm", RuntimeKind.JAVASCRIPT: "javascript", RuntimeKind.PYTHON: "python"}
_seed = personal(b"heddle/seed")
SIGNATURE_DOMAIN = b"heddle/job-signature/1"

SignBytes = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Work:
    """One execution to be run.

    `seed` is the job's, drawn from the beacon; `due_ms` the execution's nominal start, without the slot's delay: the
    time that the script sees first. `checkpoint` is what an earlier attempt left; with a `replay`, the tape of another
    processor's run of the same, nothing leaves the sandbox.
    """

    job_hash: bytes
    seed: bytes
    spec: JobSpec
    execution: int
    slot: int
    attempt: int
    due_ms: int
    checkpoint: bytes | None = None
    replay: bytes | None = None
    secrets: Opened | None = field(default=None, repr=False)

    def replaying(self, tape: bytes) -> Work:
        """The same with this tape in the place of the world."""
        return replace(self, replay=tape)


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of it: for the chain, and the output itself for its destinations (None if it failed)."""

    outcome: Outcome
    output: bytes | None


class Executor:
    """Runs work in a pool of sandboxed processes.

    `fetch` is the way out through the egress guard; `sign` signs with the processor's account.
    """

    def __init__(
        self, blobs: Blobs, pool: Pool, fetch: Fetch | None, workers: int, sign: SignBytes | None = None
    ) -> None:
        self.blobs = blobs
        self.pool = pool
        self.fetch = fetch
        self.sign = sign
        self.workers = workers
        self.ran: Callable[[str, float], None] = lambda _runtime, _seconds: None
        """Hears of each run: its runtime, and how many seconds it took."""

    def supports(self, spec: JobSpec) -> bool:
        """Whether this machine has the job's runtime."""
        return runtime_of(spec) in self.pool.runtime_ids()

    def accepts(self, spec: JobSpec) -> bool:
        """Whether the runtime is here, the sandbox knows limits as high as the job's, and a machine has the room."""
        if not self.supports(spec):
            return False
        try:
            run = self.run_spec(Work(bytes(32), bytes(32), spec, 0, 0, 1, spec.schedule.start_ms), b"", b"")
            check_spec(run)
            self.pool.check_room(run)
        except (SpecInvalid, NoRoom) as error:
            log.info("job not accepted", reason=str(error))
            return False
        return True

    async def prefetch(self, spec: JobSpec) -> bool:
        """Get script and input before promising anything; False if they cannot be had."""
        try:
            await self._script_and_input(spec)
        except BlobError as error:
            log.info("input unavailable", reason=str(error))
            return False
        return True

    async def _script_and_input(self, spec: JobSpec) -> tuple[bytes, bytes]:
        script = await self._declared(spec.script)
        if isinstance(spec.input, BlobInput):
            return script, await self._declared(spec.input.blob)
        return script, spec.input.data if isinstance(spec.input, InlineInput) else b""

    async def _declared(self, blob: Blob) -> bytes:
        """The blob, if it is as large as the job declares and pays for. Raises BlobError."""
        content = await self.blobs.fetch(blob.cid)
        if len(content) != blob.size:
            raise BlobUnavailable(f"{cid_text(blob.cid)}: it has {len(content)} bytes, the job declares {blob.size}")
        return content

    async def run(
        self,
        work: Work,
        *,
        on_progress: OnProgress | None = None,
        on_log: OnText | None = None,
        on_checkpoint: OnBytes | None = None,
    ) -> Finished:
        """Run to the end. A crash of the worker is retried by the chain's rules, as a lost wall limit."""
        secrets = work.secrets
        if secrets is None and work.spec.environment is not None and work.replay is None:
            return _failed(classes.SecretsUnavailable(), "the secrets do not open", 0)
        fetch = self.fetch
        if fetch is not None and secrets is not None and secrets.hidden:
            fetch = with_secrets(fetch, secrets.hidden)
        redaction = Redaction({} if secrets is None else {**secrets.visible, **secrets.hidden})
        shown = None if on_log is None else lambda text: on_log(redaction.text(text))
        if secrets is not None and secrets.visible:
            on_checkpoint = None  # what such a script saves may hold a value, and would lie in public
        try:
            script, data = await self._script_and_input(work.spec)
            begun = trio.current_time()
            result = await self.pool.run(
                self.run_spec(work, script, data),
                fetch,
                sign=self._signer(work),
                on_progress=on_progress,
                on_log=shown,
                on_checkpoint=on_checkpoint,
            )
            self.ran(work.spec.runtime.name.lower(), trio.current_time() - begun)
        except BlobError as error:
            return _failed(classes.InputUnavailable(), str(error), 0)
        except SpecInvalid as error:
            return _failed(classes.ScriptInvalid(), str(error), 0)
        except (WorkerCrashed, NoRoom) as error:  # a machine that had the room has left: the next processor has it
            log.warning("worker crashed", reason=str(error))
            return _failed(classes.OutOfResources(classes.Resource.WALL), f"worker crashed: {error}", 0)
        if result.failure is not None:
            return _failed(chain_failure(result.failure), redaction.text(result.message), result.fuel_used)
        try:
            cid = self.blobs.store.put(result.output)
            tape = Blob(self.blobs.store.put(result.tape), len(result.tape)) if _shows_tape(work) else None
        except BlobError as error:
            return _failed(classes.DeliveryFailed(_chain_place(work.spec)), str(error), result.fuel_used)
        inline = len(result.output) <= INLINE_BYTES_MAX
        output = InlineOutput(result.output) if inline else BlobOutput(Blob(cid, len(result.output)))
        outcome = Succeeded(bytes(HASH_BYTES), output, result.fuel_used, (), tape)
        digest = result_digest(work_hash(work.spec, work.execution), outcome)
        return Finished(replace(outcome, digest=digest), result.output)

    def _signer(self, work: Work) -> Sign | None:
        """Signatures name the job and the execution, so that no script can have the account sign anything else."""
        sign = self.sign
        if sign is None:
            return None

        async def signed(content: bytes) -> bytes:
            return sign(signing_message(work.job_hash, work.execution, content))

        return signed

    @staticmethod
    def run_spec(work: Work, script: bytes, data: bytes) -> RunSpec:
        """What the sandbox is given. Seed and clock are the same for every slot, so that replicas agree.

        Where results are compared a script must not see what differs between replicas: slot, attempt, a signature.
        """
        spec, resources = work.spec, work.spec.resources
        limits = Limits(
            fuel=resources.fuel,
            memory_bytes=resources.memory_bytes,
            storage_bytes=resources.storage_bytes,
            network_requests=resources.network_requests,
            output_bytes=resources.output_bytes,
            wall_ms=spec.schedule.duration_ms,
        )
        granted, compared = spec.capabilities, is_compared(spec)
        slot, attempt = (0, 0) if compared else (work.slot, work.attempt)
        return RunSpec(
            runtime_of(spec) or spec.runtime.name.lower(),
            script,
            spec.entrypoint,
            data,
            JobContext(work.job_hash.hex(), work.execution, slot, attempt),
            limits,
            Capabilities(granted.fetch_hosts, granted.storage, granted.sign and not compared),
            seed=_seed(work.seed + work.execution.to_bytes(4, "little")),
            now_ms=work.due_ms,
            environment={} if work.secrets is None else work.secrets.visible,
            checkpoint=None if compared else work.checkpoint,
            replay=work.replay,
        )


def _shows_tape(work: Work) -> bool:
    """Whether others can only run it again with the tape of this run."""
    taped = isinstance(work.spec.verification, Reexecution) and bool(work.spec.capabilities.fetch_hosts)
    return taped and work.replay is None


def signing_message(job_hash: bytes, execution: int, content: bytes) -> bytes:
    """What a script's signature covers: "heddle/job-signature/1" ‖ job hash ‖ u32 execution ‖ content."""
    return SIGNATURE_DOMAIN + job_hash + execution.to_bytes(4, "little") + content


def runtime_of(spec: JobSpec) -> str | None:
    """The sandbox's name of a job's runtime. The chain knows one native runtime: the required modules say which."""
    if spec.runtime is RuntimeKind.NATIVE:
        return native_runtime(spec.requirements.modules)
    return RUNTIMES.get(spec.runtime)


def _chain_place(spec: JobSpec) -> int:
    """Where the chain, whose results lie in the blob store, stands among the destinations; 0 if it is not named."""
    return next((place for place, one in enumerate(spec.destinations) if isinstance(one, Chain)), 0)


def _failed(failure: classes.Failure, message: str, fuel: int) -> Finished:
    clipped = message.encode()[:MESSAGE_BYTES_MAX].decode(errors="ignore")
    return Finished(Failed(failure, clipped, fuel), None)


def chain_failure(failure: runs.Failure) -> classes.Failure:
    """A run's failure as the chain's class of the same name."""
    if isinstance(failure, runs.AppError):
        return classes.AppError(failure.code)
    if isinstance(failure, runs.OutOfResources):
        return classes.OutOfResources(classes.Resource[failure.resource.name])
    if isinstance(failure, runs.CapabilityDenied):
        return classes.CapabilityDenied(failure.name)
    plain = {
        runs.ScriptInvalid: classes.ScriptInvalid,
        runs.InputUnavailable: classes.InputUnavailable,
        runs.RuntimeUnsupported: classes.RuntimeUnsupported,
        runs.TapeInconsistent: classes.TapeInconsistent,
    }
    return plain[type(failure)]()
