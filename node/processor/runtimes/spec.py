"""What a run is given: script, input, limits, capabilities, and the job's own identity, seed and time.

Two processors that get equal values of `RunSpec` and equal replies to fetches end with the same output and fuel.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

RUNTIME_NAMES = ("wasm", "javascript", "python")
LANGUAGES = {"native-python": "python", "native-node": "node"}
"""The native runtimes, and the module that stands for their language in a job's requirements and in adverts."""
NATIVE_MEMORY_BYTES_MIN = 64 << 20
"""Below, Node.js does not start."""

MIB = 1 << 20
SCRIPT_BYTES_MAX = 4 * MIB  # spec/job-layer.md §9
INPUT_BYTES_MAX = 32 * MIB  # a blob's cap (DESIGN §6)
OUTPUT_BYTES_MAX = 32 * MIB
MEMORY_BYTES_MAX = 1024 * MIB
STORAGE_BYTES_MAX = 256 * MIB
NETWORK_REQUESTS_MAX = 1_000
FUEL_MAX = 1 << 48
WALL_MS_MAX = 24 * 3600 * 1000
CHECKPOINT_BYTES_MAX = 4 * MIB
LOG_BYTES_MAX = 256 * 1024
ENVIRONMENT_ENTRIES_MAX = 64
ENVIRONMENT_BYTES_MAX = 64 * 1024
ENTRYPOINT_BYTES_MAX = 64
SEED_BYTES = 32
NOW_MS_MAX = 4_102_444_800_000  # the year 2100: in nanoseconds, and with every sleep added, it fits a u64
JOB_ID_BYTES_MAX = 128
FETCH_HOSTS_MAX = 32
TAPE_BYTES_MAX = 8 * MIB
FETCH_REQUEST_BYTES_MAX = MIB
FETCH_REPLY_BYTES_MAX = 4 * MIB
SIGN_BYTES_MAX = 4096


class SpecInvalid(ValueError):
    """A field of a RunSpec is out of its bound; the message names field and limit."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The budgets of one run. A default is what `heddle job init` writes."""

    fuel: int = 20_000_000_000
    memory_bytes: int = 256 * MIB
    storage_bytes: int = 16 * MIB
    network_requests: int = 0
    output_bytes: int = 4 * MIB
    wall_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the script may do beyond computing.

    `fetch`: the hosts it may ask, each `host` (ports 80 and 443), `host:port` or `*.domain`. `storage`: files and the
    key-value store. `sign`: signatures by the processor's key. Clock and randomness are always there: they are seeded.
    """

    fetch: tuple[str, ...] = ()
    storage: bool = False
    sign: bool = False


@dataclass(frozen=True, slots=True)
class JobContext:
    """Who the script is. In compared modes slot and attempt are given as 0 (spec/job-layer.md, preface)."""

    id: str
    execution: int = 0
    slot: int = 0
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run. `seed` feeds every random number, `now_ms` starts the clock, `checkpoint` is what `restore` gives.

    With a `replay`, the tape of another run of the same, nothing leaves the sandbox: the tape gives every reply.
    """

    runtime: str
    script: bytes
    entrypoint: str
    input: bytes
    job: JobContext
    limits: Limits = field(default_factory=Limits)
    capabilities: Capabilities = field(default_factory=Capabilities)
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    seed: bytes = bytes(SEED_BYTES)
    now_ms: int = 0
    checkpoint: bytes | None = None
    replay: bytes | None = None


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """One HTTP request of a script. `hosts` are the granted ones: the fetcher re-checks them on each redirect."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FetchReply:
    """The answer to a FetchRequest, headers in lower case and sorted so that replicas see the same bytes."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class FetchFailed(Exception):
    """The request got no answer (name, connection, time-out, size). The script sees it and may go on."""


class DestinationRefused(Exception):
    """The guard or the granted list refuses the destination; the run ends in CapabilityDenied(fetch)."""


def _bound(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise SpecInvalid(f"{name} is {value}, allowed is {low}..{high}")


def check_spec(spec: RunSpec) -> None:
    """Refuse a RunSpec with a field out of its bound, by SpecInvalid."""
    limits = spec.limits
    _bound("script bytes", len(spec.script), 0, SCRIPT_BYTES_MAX)
    _bound("input bytes", len(spec.input), 0, INPUT_BYTES_MAX)
    _bound("entrypoint bytes", len(spec.entrypoint.encode()), 0, ENTRYPOINT_BYTES_MAX)
    _bound("limits.fuel", limits.fuel, 1, FUEL_MAX)
    least = NATIVE_MEMORY_BYTES_MIN if spec.runtime in LANGUAGES else 1 << 16
    _bound("limits.memory_bytes", limits.memory_bytes, least, MEMORY_BYTES_MAX)
    _bound("limits.storage_bytes", limits.storage_bytes, 0, STORAGE_BYTES_MAX)
    _bound("limits.network_requests", limits.network_requests, 0, NETWORK_REQUESTS_MAX)
    _bound("limits.output_bytes", limits.output_bytes, 0, OUTPUT_BYTES_MAX)
    _bound("limits.wall_ms", limits.wall_ms, 1, WALL_MS_MAX)
    _bound("environment entries", len(spec.environment), 0, ENVIRONMENT_ENTRIES_MAX)
    environment_bytes = sum(len(name.encode()) + len(value.encode()) for name, value in spec.environment.items())
    _bound("environment bytes", environment_bytes, 0, ENVIRONMENT_BYTES_MAX)
    texts = [spec.job.id, spec.entrypoint, *spec.environment.keys(), *spec.environment.values()]
    if any("\0" in text for text in texts):
        raise SpecInvalid("job.id, entrypoint and environment must have no NUL character")
    _bound("job.id bytes", len(spec.job.id.encode()), 0, JOB_ID_BYTES_MAX)
    _bound("capabilities.fetch hosts", len(spec.capabilities.fetch), 0, FETCH_HOSTS_MAX)
    _bound("seed bytes", len(spec.seed), SEED_BYTES, SEED_BYTES)
    _bound("now_ms", spec.now_ms, 0, NOW_MS_MAX)
    _bound("checkpoint bytes", len(spec.checkpoint or b""), 0, CHECKPOINT_BYTES_MAX)
    _bound("replay bytes", len(spec.replay or b""), 0, TAPE_BYTES_MAX)
    for name, number in (("execution", spec.job.execution), ("slot", spec.job.slot), ("attempt", spec.job.attempt)):
        _bound(f"job.{name}", number, 0, (1 << 32) - 1)


def native_runtime(modules: tuple[str, ...]) -> str | None:
    """The native runtime that a job with these required modules means: `python`, `python3.11`, `node` or `node20`."""
    meant = {
        runtime
        for runtime, language in LANGUAGES.items()
        for module in modules
        if module == language or (module.startswith(language) and module[len(language) :][:1].isdecimal())
    }
    return meant.pop() if len(meant) == 1 else None


def pack_spec(spec: RunSpec) -> dict[str, Any]:
    """`spec` as plain maps, for the channel to a worker."""
    return asdict(spec)


def unpack_spec(raw: dict[str, Any]) -> RunSpec:
    """The inverse of `pack_spec`."""
    capabilities = dict(raw["capabilities"])
    capabilities["fetch"] = tuple(capabilities["fetch"])
    spec = RunSpec(
        **{
            **raw,
            "job": JobContext(**raw["job"]),
            "limits": Limits(**raw["limits"]),
            "capabilities": Capabilities(**capabilities),
        },
    )
    check_spec(spec)
    return spec
