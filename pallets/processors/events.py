"""What happens to processors."""

from dataclasses import dataclass

from runtime.pallet import Event
from runtime.scale import U32, U64, U128
from runtime.types import AccountId


@dataclass(slots=True)
class ProcessorRegistered(Event):
    """An account became a processor."""

    processor: AccountId
    version: U32


@dataclass(slots=True)
class Advertised(Event):
    """A processor offered capacity or changed its offer."""

    processor: AccountId


@dataclass(slots=True)
class AdvertRemoved(Event):
    """A processor offers nothing any more."""

    processor: AccountId


@dataclass(slots=True)
class AdvertSuspended(Event):
    """Two offers in a row were not answered; the advert counts again once it is renewed."""

    processor: AccountId


@dataclass(slots=True)
class Heartbeat(Event):
    """A processor is alive."""

    processor: AccountId
    version: U32


@dataclass(slots=True)
class Paired(Event):
    """A processor belongs to a manager."""

    processor: AccountId
    manager: AccountId


@dataclass(slots=True)
class Unpaired(Event):
    """A pairing ended."""

    processor: AccountId
    manager: AccountId


@dataclass(slots=True)
class Staked(Event):
    """A processor put more at stake."""

    processor: AccountId
    amount: U128


@dataclass(slots=True)
class Unstaked(Event):
    """A part of a stake began to unbond; it may be withdrawn from A = `free_at` on."""

    processor: AccountId
    amount: U128
    free_at: U64


@dataclass(slots=True)
class StakeWithdrawn(Event):
    """Unbonded stake is free again."""

    processor: AccountId
    amount: U128


@dataclass(slots=True)
class StakeSlashed(Event):
    """A part of a stake was taken: it fills up the bond that a verdict takes."""

    processor: AccountId
    amount: U128


@dataclass(slots=True)
class Deregistered(Event):
    """An account is no processor any more."""

    processor: AccountId


@dataclass(slots=True)
class FundsRecovered(Event):
    """A manager took free balance of its processor."""

    processor: AccountId
    manager: AccountId
    amount: U128


@dataclass(slots=True)
class SponsoringChanged(Event):
    """A manager pays its processors' fees up to `era_max` an era; 0: no more."""

    manager: AccountId
    era_max: U128


EVENTS = (
    *(ProcessorRegistered, Advertised, AdvertRemoved, AdvertSuspended, Heartbeat, Paired, Unpaired),
    *(Staked, Unstaked, StakeWithdrawn, StakeSlashed, Deregistered, FundsRecovered),
    SponsoringChanged,
)
