"""What happens in rounds; the executions' own steps are events of Jobs."""

from dataclasses import dataclass

from runtime.pallet import Event
from runtime.scale import U8, U32, U64, U128
from runtime.types import AccountId, Hash


@dataclass(slots=True)
class RevealsOpen(Event):
    """All commitments are in: results may be shown from A = `open_at` on, until `deadline`."""

    job: U64
    execution: U32
    committed: U8
    open_at: U64
    deadline: U64


@dataclass(slots=True)
class RoundSettled(Event):
    """An execution is judged. `digest` was accepted, None if nothing was; `deliverer` is the slot that delivers it."""

    job: U64
    execution: U32
    digest: Hash | None
    deliverer: U8 | None


@dataclass(slots=True)
class BondFrozen(Event):
    """A commitment was not opened in time; until A = `deadline` its processor may still do so."""

    job: U64
    execution: U32
    slot: U8
    processor: AccountId
    deadline: U64


@dataclass(slots=True)
class LateRevealed(Event):
    """A frozen bond was recovered by opening its commitment."""

    job: U64
    execution: U32
    slot: U8
    processor: AccountId


@dataclass(slots=True)
class AuditDrawn(Event):
    """The lottery wants a result computed again before it is accepted."""

    job: U64
    execution: U32
    panel: U64


@dataclass(slots=True)
class Challenged(Event):
    """Somebody bonded `amount` on a result being wrong."""

    job: U64
    execution: U32
    slot: U8
    challenger: AccountId
    amount: U128


@dataclass(slots=True)
class ChallengeDropped(Event):
    """A challenger did not show another result; its bond was burned."""

    job: U64
    execution: U32
    challenger: AccountId
    amount: U128


@dataclass(slots=True)
class JuryCalled(Event):
    """Results differ: a jury decides."""

    job: U64
    execution: U32
    panel: U64


@dataclass(slots=True)
class Delivered(Event):
    """A destination took an accepted result from the processor of `slot`."""

    job: U64
    execution: U32
    slot: U8
    destination: U8


EVENTS = (
    RevealsOpen,
    RoundSettled,
    BondFrozen,
    LateRevealed,
    AuditDrawn,
    Challenged,
    ChallengeDropped,
    JuryCalled,
    Delivered,
)
