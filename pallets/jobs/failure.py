"""Why an execution failed: the classes of DESIGN §7, each with what it needs to say."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from pallets.jobs.bounds import NAME_BYTES_MAX
from runtime.scale import U8, U32, Bounded, SumType, variant


class Resource(Enum):
    """A budget of a run that was used up."""

    COMPUTE = 0
    WALL = 1
    MEMORY = 2
    STACK = 3
    NETWORK = 4
    STORAGE = 5
    OUTPUT = 6


class Failure(SumType):
    """The class of a failure."""

    __slots__ = ()


@variant(0)
@dataclass(frozen=True, slots=True)
class AppError(Failure):
    """The script itself reported failure."""

    code: U32


@variant(1)
@dataclass(frozen=True, slots=True)
class InputUnavailable(Failure):
    """A script or an input could not be had."""


@variant(2)
@dataclass(frozen=True, slots=True)
class RuntimeUnsupported(Failure):
    """The processor does not have the runtime."""


@variant(3)
@dataclass(frozen=True, slots=True)
class OutOfResources(Failure):
    """One budget was used up."""

    resource: Resource


@variant(4)
@dataclass(frozen=True, slots=True)
class DeliveryFailed(Failure):
    """A destination did not take the result. `destination` is its place in the specification."""

    destination: U8


@variant(5)
@dataclass(frozen=True, slots=True)
class NodeLost(Failure):
    """The processor neither started nor reported in time."""


@variant(6)
@dataclass(frozen=True, slots=True)
class AckTimeout(Failure):
    """The processor did not acknowledge its offer in time."""


@variant(7)
@dataclass(frozen=True, slots=True)
class RunTimeout(Failure):
    """The run took longer than its duration."""


@variant(8)
@dataclass(frozen=True, slots=True)
class Declined(Failure):
    """The processor declined its offer."""


@variant(9)
@dataclass(frozen=True, slots=True)
class Mismatch(Failure):
    """The result differs from the accepted one."""


@variant(10)
@dataclass(frozen=True, slots=True)
class ScriptInvalid(Failure):
    """The script does not parse, validate or link, or lacks its entry point."""


@variant(11)
@dataclass(frozen=True, slots=True)
class CapabilityDenied(Failure):
    """The script used `name` without a grant."""

    name: Annotated[str, Bounded(NAME_BYTES_MAX)]


@variant(12)
@dataclass(frozen=True, slots=True)
class TapeInconsistent(Failure):
    """The published tape does not belong to a run of the script: what a juror finds, not what a processor reports."""


@variant(13)
@dataclass(frozen=True, slots=True)
class Paused(Failure):
    """The job was paused for so long that the processor was let go, without fault."""


@variant(14)
@dataclass(frozen=True, slots=True)
class SecretsUnavailable(Failure):
    """The job's secrets did not come in time, or do not open. Nobody but the owner could have helped it."""


@variant(15)
@dataclass(frozen=True, slots=True)
class NoAgreement(Failure):
    """Too few processors came to the same result."""


@variant(16)
@dataclass(frozen=True, slots=True)
class NotRevealed(Failure):
    """The processor did not show the result that it had bound itself to."""


@variant(17)
@dataclass(frozen=True, slots=True)
class OwnerRejected(Failure):
    """The job's owner did not accept the result."""


@variant(18)
@dataclass(frozen=True, slots=True)
class Preempted(Failure):
    """An urgent job took the processor; this one had agreed to it and loses no attempt."""


@variant(19)
@dataclass(frozen=True, slots=True)
class Released(Failure):
    """The slot was for one execution; the next is competed for anew."""


REPORTABLE = (
    AppError,
    InputUnavailable,
    RuntimeUnsupported,
    OutOfResources,
    DeliveryFailed,
    ScriptInvalid,
    CapabilityDenied,
    SecretsUnavailable,
)
"""What a processor may report; the chain itself finds the other classes."""

JOBS_OWN_FAULT = (AppError, OutOfResources, ScriptInvalid, CapabilityDenied)
"""The failures for which the processor still gets the error share (spec/job-layer.md §3, M4)."""


def may_differ_next_time(failure: Failure) -> bool:
    """Whether another attempt could end otherwise.

    A wall limit depends on the machine and an AppError on what the script fetched. A script that does not link, a
    missing grant and a used-up deterministic budget come out the same each time, so they end the execution at once.
    """
    if isinstance(failure, OutOfResources):
        return failure.resource is Resource.WALL
    return not isinstance(failure, ScriptInvalid | CapabilityDenied)
