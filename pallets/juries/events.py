"""What happens on panels."""

from dataclasses import dataclass

from pallets.jobs.types import RuntimeKind
from pallets.juries.types import Opinion, PanelKind, Stage
from runtime.pallet import Event
from runtime.scale import U8, U32, U64, U128
from runtime.types import AccountId, Hash


@dataclass(slots=True)
class PanelOpened(Event):
    """Jurors are wanted for an execution; processors of this runtime may claim seats."""

    panel: U64
    kind: PanelKind
    job: U64
    execution: U32
    runtime: RuntimeKind


@dataclass(slots=True)
class StageBegan(Event):
    """A panel's stage: its calls are taken from A = `opens` until A = `deadline`."""

    panel: U64
    stage: Stage
    rung: U8
    seats: U8
    opens: U64
    deadline: U64


@dataclass(slots=True)
class SeatClaimed(Event):
    """A processor has one of the lowest tickets so far, and locked its bond."""

    panel: U64
    processor: AccountId


@dataclass(slots=True)
class SeatLost(Event):
    """A lower ticket took the seat; the lock is free again."""

    panel: U64
    processor: AccountId


@dataclass(slots=True)
class JurorCommitted(Event):
    """A juror committed to its digest."""

    panel: U64
    processor: AccountId


@dataclass(slots=True)
class JurorRevealed(Event):
    """A juror opened its commitment."""

    panel: U64
    processor: AccountId
    digest: Hash


@dataclass(slots=True)
class RungEnded(Event):
    """The jurors of a rung agreed on a digest, or did not."""

    panel: U64
    rung: U8
    verdict: Hash | None


@dataclass(slots=True)
class Appealed(Event):
    """A party put a bond against the verdict; a larger rung decides."""

    panel: U64
    who: AccountId
    amount: U128


@dataclass(slots=True)
class PanelDecided(Event):
    """The last word of a panel."""

    panel: U64
    digest: Hash | None


@dataclass(slots=True)
class JurorSettled(Event):
    """A juror's lock was given back, less what it lost, and its word paid."""

    panel: U64
    processor: AccountId
    opinion: Opinion
    paid: U128
    lost: U128


@dataclass(slots=True)
class AppealSettled(Event):
    """An appeal's bond was given back, less what it lost."""

    panel: U64
    who: AccountId
    lost: U128


@dataclass(slots=True)
class PanelSettled(Event):
    """All money of a panel is where it belongs; its records are gone."""

    panel: U64


EVENTS = (
    *(PanelOpened, StageBegan, SeatClaimed, SeatLost, JurorCommitted, JurorRevealed, RungEnded, Appealed),
    *(PanelDecided, JurorSettled, AppealSettled, PanelSettled),
)
