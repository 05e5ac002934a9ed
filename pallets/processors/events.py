"""What happens to processors."""

from dataclasses import dataclass

from runtime.pallet import Event
from runtime.scale import U32
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


EVENTS = (ProcessorRegistered, Advertised, AdvertRemoved, AdvertSuspended, Heartbeat, Paired, Unpaired)
