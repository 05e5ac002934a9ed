"""What a processor reports of one attempt."""

from dataclasses import dataclass
from typing import Annotated

from pallets.jobs import bounds
from pallets.jobs.failure import Failure
from pallets.jobs.types import Blob
from runtime.scale import U8, U64, Bounded, SumType, variant
from runtime.types import Hash


class Output(SumType):
    """Where the output bytes are."""

    __slots__ = ()


@variant(0)
@dataclass(frozen=True, slots=True)
class InlineOutput(Output):
    """On chain."""

    data: Annotated[bytes, Bounded(bounds.INLINE_BYTES_MAX)]


@variant(1)
@dataclass(frozen=True, slots=True)
class BlobOutput(Output):
    """In the blob store."""

    blob: Blob


@dataclass(frozen=True, slots=True)
class Delivery:
    """One destination took the output: its place in the specification, and the transaction hash or receipt."""

    destination: U8
    reference: Annotated[bytes, Bounded(bounds.REFERENCE_BYTES_MAX)]


class Outcome(SumType):
    """How an attempt ended."""

    __slots__ = ()


@variant(0)
@dataclass(frozen=True, slots=True)
class Succeeded(Outcome):
    """The script gave an output. `digest` is the result digest of spec/job-layer.md §5.

    `tape` holds the exact requests and replies of the run, if it was published.
    """

    digest: Hash
    output: Output
    fuel: U64
    deliveries: Annotated[tuple[Delivery, ...], Bounded(bounds.DESTINATIONS_MAX)]
    tape: Blob | None = None


@variant(1)
@dataclass(frozen=True, slots=True)
class Failed(Outcome):
    """The script gave no output. `message` explains it to people."""

    failure: Failure
    message: Annotated[str, Bounded(bounds.MESSAGE_BYTES_MAX)]
    fuel: U64
