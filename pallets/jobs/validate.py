"""Whether a JobSpec is one that the chain can carry out: each rule has its own error, and nothing is stored before."""

from dataclasses import replace

from pallets.jobs import bounds
from pallets.jobs.destinations import Chain, Webhook
from pallets.jobs.errors import (
    DurationPastInterval,
    EndBeforeStart,
    EndPastHorizon,
    Field,
    InputNotFound,
    NotYetSupported,
    OutOfBounds,
    ProcessorsListed,
    RewardMissing,
    RewardNotAllowed,
    ScriptSizeOutOfBounds,
    SecretsNotAllowed,
    SlotsOutOfBounds,
    StartMissed,
    TooManyExecutions,
    UnknownScript,
)
from pallets.jobs.modes import DETERMINISTIC_RUNTIMES, is_compared, is_deterministic
from pallets.jobs.schedule import executions_of
from pallets.jobs.types import (
    Adaptive,
    Attested,
    Blob,
    BlobInput,
    Competing,
    Credibility,
    Fallback,
    JobSpec,
    Known,
    OwnerAccept,
    PartsInput,
    Personal,
    Proof,
    Public,
    Quorum,
    Reexecution,
    RuntimeKind,
    UpstreamInput,
)
from pallets.jobs.validate_life import check_life

RUNTIMES = (*DETERMINISTIC_RUNTIMES, RuntimeKind.NATIVE)


def check_spec(spec: JobSpec, now_ms: int) -> int:
    """Raises one of Jobs' errors; returns the number of executions per slot."""
    check_supported(spec)
    check_script(spec)
    check_processors(spec)
    check_environment(spec)
    executions = check_schedule(spec, now_ms)
    check_bounds(spec, executions)
    check_verification(spec, executions)
    check_life(spec, executions)
    if spec.fallback is not None:
        check_fallback(spec, spec.fallback, executions)
    return executions


def check_fallback(spec: JobSpec, fallback: Fallback, executions: int) -> None:
    """It must be a script that the mode allows, and need nothing that belongs to one execution alone."""
    if fallback.runtime not in RUNTIMES or len(fallback.entrypoint.encode()) > bounds.ENTRYPOINT_BYTES_MAX:
        raise OutOfBounds(Field.FALLBACK)
    if isinstance(spec.input, PartsInput) or isinstance(spec.verification, Credibility):
        raise OutOfBounds(Field.FALLBACK)
    check_script_blob(fallback.script)
    second = replace(spec, script=fallback.script, runtime=fallback.runtime, entrypoint=fallback.entrypoint)
    check_verification(second, executions)


def check_supported(spec: JobSpec) -> None:
    """Refuse by NotYetSupported what comes with later rules."""
    public = spec.processors if isinstance(spec.processors, Public) else None
    supported = (
        (Field.RUNTIME, spec.runtime in RUNTIMES),
        (Field.INPUT, not isinstance(spec.input, UpstreamInput)),
        (Field.ATTESTATION, public is None or not public.attested_only),
        (Field.DESTINATIONS, all(isinstance(target, Chain | Webhook) for target in spec.destinations)),
        (Field.GAS, spec.gas_per_delivery == 0),
        (Field.VERIFICATION, not isinstance(spec.verification, Attested | Proof)),
    )
    for field, good in supported:
        if not good:
            raise NotYetSupported(field)


def check_script(spec: JobSpec) -> None:
    """The script and the input must be named so that a processor can fetch and check them."""
    check_script_blob(spec.script)
    if isinstance(spec.input, BlobInput) and not is_blob(spec.input.blob):
        raise InputNotFound
    if isinstance(spec.input, PartsInput) and not all(is_blob(part) for part in spec.input.parts):
        raise InputNotFound


def check_script_blob(script: Blob) -> None:
    """Raises UnknownScript, ScriptSizeOutOfBounds."""
    if not is_cid(script.cid):
        raise UnknownScript
    if not 0 < script.size <= bounds.SCRIPT_BYTES_MAX:
        raise ScriptSizeOutOfBounds


def check_processors(spec: JobSpec) -> None:
    """Who may execute it, in how many slots, for what."""
    if not 0 < spec.slots <= bounds.SLOTS_MAX:
        raise SlotsOutOfBounds
    if isinstance(spec.processors, Public):
        if spec.reward == 0:
            raise RewardMissing
        if spec.processors.reputation_min_ppm > bounds.REPUTATION_PPM_MAX:
            raise OutOfBounds(Field.REPUTATION)
        return
    assert isinstance(spec.processors, Personal | Known), "the third choice was Public"
    listed = spec.processors.processors
    if len(listed) < spec.slots or len(set(listed)) != len(listed):
        raise ProcessorsListed
    if isinstance(spec.processors, Personal) and spec.reward:
        raise RewardNotAllowed


def check_environment(spec: JobSpec) -> None:
    """Sealed values have names, each once. Public processors see them by consent, and whoever re-runs a job never."""
    environment, hidden = spec.environment, spec.capabilities.secrets
    names = () if environment is None else environment.names
    if environment is not None and (not names or len(set(names)) != len(names)):
        raise OutOfBounds(Field.ENVIRONMENT)
    if len(set(hidden)) != len(hidden) or any(name not in names for name in hidden):
        raise OutOfBounds(Field.SECRETS)
    if environment is None:
        return
    uninvited = isinstance(spec.processors, Public) and not environment.public
    if uninvited or isinstance(spec.verification, Adaptive | Reexecution) or isinstance(spec.assignment, Competing):
        raise SecretsNotAllowed


def check_schedule(spec: JobSpec, now_ms: int) -> int:
    """The number of executions per slot."""
    schedule = spec.schedule
    if schedule.end_ms <= schedule.start_ms:
        raise EndBeforeStart
    if not 0 < schedule.interval_ms <= bounds.HORIZON_MS:
        raise OutOfBounds(Field.INTERVAL)
    if not 0 < schedule.duration_ms <= bounds.DURATION_MS_MAX:
        raise OutOfBounds(Field.DURATION)
    if schedule.duration_ms >= schedule.interval_ms:
        raise DurationPastInterval
    if schedule.start_delay_max_ms > bounds.START_DELAY_MS_MAX:
        raise OutOfBounds(Field.START_DELAY)
    if schedule.start_ms + schedule.start_delay_max_ms <= now_ms:
        raise StartMissed
    if schedule.end_ms > now_ms + bounds.HORIZON_MS:
        raise EndPastHorizon
    executions = executions_of(schedule)
    if executions > bounds.EXECUTIONS_MAX or executions * spec.slots > bounds.EXECUTIONS_TIMES_SLOTS_MAX:
        raise TooManyExecutions
    return executions


def check_bounds(spec: JobSpec, executions: int) -> None:
    """Every other number within its bounds."""
    resources, retry, timeouts = spec.resources, spec.retry, spec.timeouts
    ratio_good = 0 < retry.denominator <= retry.numerator <= bounds.BACKOFF_TERM_MAX
    runs = executions * spec.slots
    limits = (
        (Field.ENTRYPOINT, len(spec.entrypoint.encode()), 0, bounds.ENTRYPOINT_BYTES_MAX),
        (Field.MEMORY, resources.memory_bytes, bounds.MEMORY_BYTES_MIN, bounds.MEMORY_BYTES_MAX),
        (Field.STORAGE, resources.storage_bytes, 0, bounds.STORAGE_BYTES_MAX),
        (Field.NETWORK_REQUESTS, resources.network_requests, 0, bounds.NETWORK_REQUESTS_MAX),
        (Field.FUEL, resources.fuel, 1, bounds.FUEL_MAX),
        (Field.OUTPUT, resources.output_bytes, 0, bounds.OUTPUT_BYTES_MAX),
        (Field.REWARD, spec.reward, 0, bounds.REWARD_MAX),
        (Field.ACCEPTED_MIN, runs if spec.accepted_min is None else spec.accepted_min, 1, runs),
        (Field.ATTEMPTS, retry.attempts_max, 1, bounds.ATTEMPTS_MAX),
        (Field.LOST, retry.lost_max, 0, bounds.LOST_MAX),
        (Field.BACKOFF, max(retry.initial_ms, retry.max_ms), 0, bounds.BACKOFF_MS_MAX),
        (Field.BACKOFF, int(ratio_good), 1, 1),
        (Field.ACKNOWLEDGE, timeouts.acknowledge_slots, bounds.ACKNOWLEDGE_SLOTS_MIN, bounds.ACKNOWLEDGE_SLOTS_MAX),
        (Field.PRIORITY, spec.queue.priority, 0, bounds.PRIORITY_MAX),
        (Field.QUEUE_TIME, timeouts.queue_ms, bounds.QUEUE_MS_MIN, bounds.QUEUE_MS_MAX),
    )
    for field, value, low, high in limits:
        if not low <= value <= high:
            raise OutOfBounds(field)
    urls = [target.url for target in spec.destinations if isinstance(target, Webhook)]
    if not all(url.startswith(("https://", "http://")) for url in urls):
        raise OutOfBounds(Field.DESTINATIONS)


def check_verification(spec: JobSpec, executions: int) -> None:
    """What the mode asks of the rest of the specification (spec/job-layer.md §5)."""
    mode, slots = spec.verification, spec.slots
    if spec.stake_multiple and not bounds.STAKE_MULTIPLE_MIN <= spec.stake_multiple <= bounds.STAKE_MULTIPLE_MAX:
        raise OutOfBounds(Field.STAKE_MULTIPLE)
    if is_compared(spec) and spec.capabilities.sign:
        # A signature says who runs: replicas would differ.
        raise OutOfBounds(Field.VERIFICATION)
    if isinstance(mode, Quorum) and not slots // 2 < mode.agreeing <= slots <= bounds.REPLICAS_MAX:
        raise OutOfBounds(Field.VERIFICATION)
    if isinstance(mode, Credibility):
        if not bounds.TRUST_MIN <= mode.trust <= bounds.TRUST_MAX:
            raise OutOfBounds(Field.VERIFICATION)
        if slots != bounds.CREDIBILITY_SLOTS:
            raise SlotsOutOfBounds
    if isinstance(mode, Adaptive | Reexecution) and slots != 1:
        raise SlotsOutOfBounds
    repeatable = is_deterministic(spec) if isinstance(mode, Adaptive) else spec.runtime in DETERMINISTIC_RUNTIMES
    if isinstance(mode, Adaptive | Reexecution) and not repeatable:
        raise OutOfBounds(Field.VERIFICATION)
    if isinstance(mode, OwnerAccept) and isinstance(spec.processors, Public) and not is_deterministic(spec):
        # The owner could take the result and reject it: work for nothing, which no jury could find out.
        raise OutOfBounds(Field.VERIFICATION)
    if isinstance(mode, OwnerAccept | Reexecution):
        check_window(spec, mode.window_ms, executions)


def check_window(spec: JobSpec, window_ms: int, executions: int) -> None:
    """Long enough to doubt a result, short enough that few results wait at a time."""
    least = bounds.WINDOW_MS_MIN
    if isinstance(spec.verification, Reexecution):
        least = bounds.REEXECUTION_MS_MIN + 2 * spec.schedule.duration_ms
    most = bounds.WINDOW_MS_MAX
    if executions > 1:
        most = min(most, bounds.WINDOW_INTERVALS_MAX * spec.schedule.interval_ms)
    if not least <= window_ms <= most:
        raise OutOfBounds(Field.VERIFICATION)


def is_cid(cid: bytes) -> bool:
    """Whether it is a CIDv1 of raw bytes by sha2-256."""
    return len(cid) == bounds.CID_BYTES and cid.startswith(bounds.CID_PREFIX)


def is_blob(blob: Blob) -> bool:
    """Whether it names a blob that the network can carry."""
    return is_cid(blob.cid) and blob.size <= bounds.BLOB_BYTES_MAX
