"""What a run of a job ends in: the result or one typed reason, and what it used.

The failure classes are those of the chain (DESIGN §7), under the chain's names. Nothing here imports more than the
standard library, so the watcher, the reports and the tests can use it without wasmtime.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum, IntEnum

HASH_BYTES = 32
MESSAGE_BYTES_MAX = 128  # spec/job-layer.md §1: text that may reach the chain is at most 128 bytes
RESULT_TAG = b"heddle/result/1"


class Resource(Enum):
    """A budget of a run. The value is the chain's name for it."""

    COMPUTE = "compute"
    WALL = "wall"
    MEMORY = "memory"
    STACK = "stack"
    NETWORK = "network"
    STORAGE = "storage"
    OUTPUT = "output"


class FailureClass(IntEnum):
    """The class numbers inside a result digest; fixed for ever."""

    APP_ERROR = 1
    SCRIPT_INVALID = 2
    CAPABILITY_DENIED = 3
    OUT_OF_RESOURCES = 4
    INPUT_UNAVAILABLE = 5
    RUNTIME_UNSUPPORTED = 6
    TAPE_INCONSISTENT = 7


@dataclass(frozen=True, slots=True)
class AppError:
    """The script itself reported failure: `code` is its own (1..255), or 256 + n for the wasm trap number n."""

    code: int


@dataclass(frozen=True, slots=True)
class ScriptInvalid:
    """The script does not parse, validate or link, or lacks its entry point."""


@dataclass(frozen=True, slots=True)
class CapabilityDenied:
    """The script called `name` without a grant, or asked for a destination that this processor refuses."""

    name: str


@dataclass(frozen=True, slots=True)
class OutOfResources:
    """One budget was used up."""

    resource: Resource


@dataclass(frozen=True, slots=True)
class InputUnavailable:
    """A script or an input could not be had before the run; no runtime ends in this, the watcher does."""


@dataclass(frozen=True, slots=True)
class RuntimeUnsupported:
    """The runtime is not to be had on this processor."""


@dataclass(frozen=True, slots=True)
class TapeInconsistent:
    """A replayed tape does not belong to a run of this script: only whoever checks another's run ends in this."""


Failure = (
    AppError
    | ScriptInvalid
    | CapabilityDenied
    | OutOfResources
    | InputUnavailable
    | RuntimeUnsupported
    | TapeInconsistent
)

_CLASS_NUMBERS: dict[type[Failure], FailureClass] = {
    AppError: FailureClass.APP_ERROR,
    ScriptInvalid: FailureClass.SCRIPT_INVALID,
    CapabilityDenied: FailureClass.CAPABILITY_DENIED,
    OutOfResources: FailureClass.OUT_OF_RESOURCES,
    InputUnavailable: FailureClass.INPUT_UNAVAILABLE,
    RuntimeUnsupported: FailureClass.RUNTIME_UNSUPPORTED,
    TapeInconsistent: FailureClass.TAPE_INCONSISTENT,
}
_RESOURCE_NUMBERS = {resource: number for number, resource in enumerate(Resource)}


class Status(IntEnum):
    """How a run ended; the value is the byte inside a result digest."""

    SUCCEEDED = 0
    FAILED = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """One finished run.

    `output` is empty when the run failed. `tape` holds the exact requests and replies that came from outside the
    sandbox, in order (see `tape.py`), and `tape_hash` is its blake2b-256. `logs` is what the script logged or printed.
    `message` explains a failure in at most 128 bytes. `reproducible` is false for what another machine may see
    differently: a wall-clock kill, a native stack overflow (spec/job-layer.md §1: never a digest, never slashed).
    """

    runtime_id: str
    status: Status
    output: bytes
    failure: Failure | None
    message: str
    fuel_used: int
    memory_peak: int
    network_used: int
    tape: bytes
    tape_hash: bytes
    logs: str
    reproducible: bool


def blake2b256(data: bytes) -> bytes:
    """The 32-byte BLAKE2b hash that every digest here uses."""
    return hashlib.blake2b(data, digest_size=HASH_BYTES).digest()


def failure_code(failure: Failure | None) -> int:
    """The u32 of a failure inside a result digest: its class in the top byte, its own number below; 0 for success."""
    if failure is None:
        return 0
    detail = 0
    if isinstance(failure, AppError):
        detail = failure.code
    elif isinstance(failure, OutOfResources):
        detail = _RESOURCE_NUMBERS[failure.resource]
    elif isinstance(failure, CapabilityDenied):
        detail = int.from_bytes(blake2b256(failure.name.encode())[:3], "little")
    return _CLASS_NUMBERS[type(failure)] << 24 | detail


def failure_fields(failure: Failure | None) -> tuple[FailureClass | None, str]:
    """(class, detail) of a failure as plain values, for a channel or a journal; the inverse is `failure_from`."""
    if failure is None:
        return None, ""
    detail = ""
    if isinstance(failure, AppError):
        detail = str(failure.code)
    elif isinstance(failure, CapabilityDenied):
        detail = failure.name
    elif isinstance(failure, OutOfResources):
        detail = failure.resource.value
    return _CLASS_NUMBERS[type(failure)], detail


def failure_from(kind: int, detail: str) -> Failure:
    """The failure of `failure_fields`' values; ValueError for a class or detail that is none."""
    match FailureClass(kind):
        case FailureClass.APP_ERROR:
            return AppError(int(detail))
        case FailureClass.CAPABILITY_DENIED:
            return CapabilityDenied(detail)
        case FailureClass.OUT_OF_RESOURCES:
            return OutOfResources(Resource(detail))
        case FailureClass.SCRIPT_INVALID:
            return ScriptInvalid()
        case FailureClass.INPUT_UNAVAILABLE:
            return InputUnavailable()
        case FailureClass.RUNTIME_UNSUPPORTED:
            return RuntimeUnsupported()
        case FailureClass.TAPE_INCONSISTENT:
            return TapeInconsistent()


def failure_text(failure: Failure) -> str:
    """The failure as people read it, such as `OutOfResources(compute)` or `AppError(3)`."""
    name = type(failure).__name__
    if isinstance(failure, AppError):
        return f"{name}({failure.code})"
    if isinstance(failure, OutOfResources):
        return f"{name}({failure.resource.value})"
    if isinstance(failure, CapabilityDenied):
        return f"{name}({failure.name})"
    return name


def result_digest(script_hash: bytes, input_hash: bytes, execution: int, outcome: Outcome) -> bytes:
    """What replicas are compared by (spec/job-layer.md §5), all fields of fixed width, integers little-endian.

    blake2b256(tag ‖ H(runtime id) ‖ H(script) ‖ H(input) ‖ execution u32 ‖ status u8 ‖ code u32 ‖ H(output)).
    Fuel, memory, slot and attempt are not part of it.
    """
    if len(script_hash) != HASH_BYTES or len(input_hash) != HASH_BYTES:
        raise ValueError("script_hash and input_hash must be 32 bytes")
    return blake2b256(
        RESULT_TAG
        + blake2b256(outcome.runtime_id.encode())
        + script_hash
        + input_hash
        + execution.to_bytes(4, "little")
        + bytes([outcome.status])
        + failure_code(outcome.failure).to_bytes(4, "little")
        + blake2b256(outcome.output),
    )


def clip_message(text: str) -> str:
    """`text` on one line, cut to at most 128 UTF-8 bytes."""
    line = " ".join(text.split())
    return line.encode(errors="replace")[:MESSAGE_BYTES_MAX].decode(errors="ignore")
