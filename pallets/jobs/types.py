"""JobSpec: all that a consumer says about a job, as it is signed, stored and hashed.

The type is whole from the first version of the chain, so that later rules do not change its form. Values whose rules
are not in force yet are refused at registration (`NotYetSupported`). Times are milliseconds of chain time, amounts
planck, bytes and fuel plain counts. Source: DESIGN §7.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from pallets.jobs import bounds
from pallets.jobs.destinations import Destination
from pallets.jobs.fields import Accounts, Cid, Label, Name, NameTag
from runtime.scale import U8, U16, U32, U64, U128, Bounded, SumType, variant
from runtime.types import AccountId


@dataclass(frozen=True, slots=True)
class Blob:
    """A content-addressed file: its CID (v1, raw, sha2-256) and its size in bytes."""

    cid: Cid
    size: U32


class RuntimeKind(Enum):
    """What executes the script."""

    WASM = 0
    JAVASCRIPT = 1
    PYTHON = 2
    NATIVE = 3
    CONTAINER = 4


class JobInput(SumType):
    """Where the script's input comes from."""

    __slots__ = ()


@variant(0)
@dataclass(frozen=True, slots=True)
class NoInput(JobInput):
    """The script gets no input."""


@variant(1)
@dataclass(frozen=True, slots=True)
class InlineInput(JobInput):
    """The input is part of the specification."""

    data: Annotated[bytes, Bounded(bounds.INLINE_BYTES_MAX)]


@variant(2)
@dataclass(frozen=True, slots=True)
class BlobInput(JobInput):
    """The input is a blob."""

    blob: Blob


@variant(3)
@dataclass(frozen=True, slots=True)
class UpstreamInput(JobInput):
    """The input is the accepted output of another job."""

    job: U64


@variant(4)
@dataclass(frozen=True, slots=True)
class PartsInput(JobInput):
    """One blob for each execution, in their order: one job over many inputs."""

    parts: Annotated[tuple[Blob, ...], Bounded(bounds.PARTS_MAX)]


class ProcessorChoice(SumType):
    """Who may execute the job (seed: personal, known or public processors)."""

    __slots__ = ()


@variant(0)
@dataclass(frozen=True, slots=True)
class Personal(ProcessorChoice):
    """The consumer's own processors, without reward."""

    processors: Accounts


@variant(1)
@dataclass(frozen=True, slots=True)
class Known(ProcessorChoice):
    """Processors that the consumer names; a reward is optional."""

    processors: Accounts


@variant(2)
@dataclass(frozen=True, slots=True)
class Public(ProcessorChoice):
    """Any processor with this reputation, in parts per million."""

    reputation_min_ppm: U32
    attested_only: bool


@dataclass(frozen=True, slots=True)
class Schedule:
    """Execution e starts at start + e·interval, at most `start_delay_max_ms` later, and runs for `duration_ms` at most.

    Starts lie in [start, end): there are ⌊(end − start − 1) / interval⌋ + 1 of them.
    """

    start_ms: U64
    end_ms: U64
    interval_ms: U64
    duration_ms: U64
    start_delay_max_ms: U64


@dataclass(frozen=True, slots=True)
class Resources:
    """The limits of one execution."""

    memory_bytes: U64
    storage_bytes: U64
    network_requests: U32
    fuel: U64
    output_bytes: U32


class Architecture(Enum):
    """A processor's instruction set."""

    X86_64 = 0
    AARCH64 = 1
    RISCV64 = 2


@dataclass(frozen=True, slots=True)
class Requirements:
    """What the processor must have. `benchmark_min` is fuel per millisecond; `version_min` the node's version."""

    modules: Annotated[tuple[Label, ...], Bounded(bounds.MODULES_MAX)] = ()
    architecture: Architecture | None = None
    accelerator: Label | None = None
    labels: Annotated[tuple[Label, ...], Bounded(bounds.LABELS_MAX)] = ()
    benchmark_min: U64 = 0
    version_min: U32 = 0


@dataclass(frozen=True, slots=True)
class InstantMatch:
    """A processor that the consumer assigns at registration, with its start delay."""

    processor: AccountId
    start_delay_ms: U64


class Assignment(SumType):
    """How processors get the job's slots."""

    __slots__ = ()


@variant(0)
@dataclass(frozen=True, slots=True)
class Single(Assignment):
    """One processor holds a slot for all executions; `instant` names them at once."""

    instant: Annotated[tuple[InstantMatch, ...], Bounded(bounds.SLOTS_MAX)] = ()


@variant(1)
@dataclass(frozen=True, slots=True)
class Competing(Assignment):
    """Processors compete for each execution."""


class Verification(SumType):
    """How a result becomes accepted (spec/job-layer.md §5)."""

    __slots__ = ()


@variant(0)
@dataclass(frozen=True, slots=True)
class Trusted(Verification):
    """Each slot's report is accepted and paid alone."""


@variant(1)
@dataclass(frozen=True, slots=True)
class OwnerAccept(Verification):
    """The owner may reject within the window; silence accepts."""

    window_ms: U64


@variant(2)
@dataclass(frozen=True, slots=True)
class Quorum(Verification):
    """`agreeing` of the slots must report one digest, by commit and reveal."""

    agreeing: U8


@variant(3)
@dataclass(frozen=True, slots=True)
class Credibility(Verification):
    """As many replicas as their record makes needed for this trust (2 .. 2³²)."""

    trust: U64


@variant(4)
@dataclass(frozen=True, slots=True)
class Adaptive(Verification):
    """One replica, audited by a lottery that its record makes rarer."""


@variant(5)
@dataclass(frozen=True, slots=True)
class Reexecution(Verification):
    """Anyone may re-run the tape and challenge within the window."""

    window_ms: U64


@variant(6)
@dataclass(frozen=True, slots=True)
class Attested(Verification):
    """The processor's attestation vouches for the result."""


@variant(7)
@dataclass(frozen=True, slots=True)
class Proof(Verification):
    """The result carries a proof for this verifying key."""

    verifying_key: Annotated[bytes, Bounded(bounds.VERIFYING_KEY_BYTES_MAX)]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts_max` bounds failed attempts, `lost_max` attempts whose processor vanished, per slot and execution.

    The n-th retry waits min(max, initial · (numerator / denominator)^(n−1)), floored at each step.
    """

    attempts_max: U8
    lost_max: U8
    initial_ms: U64
    max_ms: U64
    numerator: U16
    denominator: U16


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an offer waits for its acknowledgment, and the job for its processors."""

    acknowledge_slots: U16
    queue_ms: U64


@dataclass(frozen=True, slots=True)
class Lane:
    """A named queue of the owner's; `concurrency` jobs of it run at a time."""

    name: Label
    concurrency: U8


@dataclass(frozen=True, slots=True)
class Queue:
    """The job's place among others."""

    priority: U8 = 0
    lane: Lane | None = None
    preemptible: bool = False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the script may do beyond computing.

    `fetch_hosts`: `host`, `host:port` or `*.domain`. `secrets`: environment names whose values the script never sees;
    they are put into its requests outside the sandbox.
    """

    fetch_hosts: Annotated[tuple[Annotated[str, Bounded(bounds.HOST_BYTES_MAX)], ...], Bounded(bounds.FETCH_HOSTS_MAX)]
    secrets: Annotated[tuple[NameTag, ...], Bounded(bounds.ENVIRONMENT_NAMES_MAX)]
    storage: bool
    sign: bool


class Sealing(Enum):
    """To whom the key of a job's environment is sealed.

    SERVED: to the fresh key of each acknowledgment, by the consumer's wallet. PREKEYS: at registration, to the one-time
    keys of some processors; no others get a slot.
    """

    SERVED = 0
    PREKEYS = 1


@dataclass(frozen=True, slots=True)
class Environment:
    """Sealed values that the script gets, by name. `public`: any public processor with a slot may read them."""

    names: Annotated[tuple[NameTag, ...], Bounded(bounds.ENVIRONMENT_NAMES_MAX)]
    sealing: Sealing
    public: bool = False


class Mutability(SumType):
    """Who may change the script after registration."""

    __slots__ = ()


@variant(0)
@dataclass(frozen=True, slots=True)
class Immutable(Mutability):
    """Nobody."""


@variant(1)
@dataclass(frozen=True, slots=True)
class Editor(Mutability):
    """Only `editor`."""

    editor: AccountId


@dataclass(frozen=True, slots=True)
class Fallback:
    """What runs once instead, after the job has failed."""

    script: Blob
    runtime: RuntimeKind
    entrypoint: Name


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job. `reward` is planck per slot and execution.

    `accepted_min`: how many (execution, slot) results must be accepted for success; None means all of them.
    `stake_multiple`: bond in multiples of the reward; 0 leaves it to the verification mode.
    """

    script: Blob
    runtime: RuntimeKind
    entrypoint: Name
    input: JobInput
    processors: ProcessorChoice
    assignment: Assignment
    schedule: Schedule
    resources: Resources
    requirements: Requirements
    slots: U8
    reward: U128
    destinations: Annotated[tuple[Destination, ...], Bounded(bounds.DESTINATIONS_MAX)]
    gas_per_delivery: U128
    verification: Verification
    stake_multiple: U8
    accepted_min: U32 | None
    retry: RetryPolicy
    timeouts: Timeouts
    queue: Queue
    environment: Environment | None
    capabilities: Capabilities
    mutability: Mutability
    fallback: Fallback | None


RETRY_DEFAULT = RetryPolicy(attempts_max=3, lost_max=3, initial_ms=2_000, max_ms=60_000, numerator=2, denominator=1)
TIMEOUTS_DEFAULT = Timeouts(acknowledge_slots=30, queue_ms=3_600_000)
NO_CAPABILITIES = Capabilities(fetch_hosts=(), secrets=(), storage=False, sign=False)
