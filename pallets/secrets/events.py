"""What happens to secrets."""

from dataclasses import dataclass

from runtime.pallet import Event
from runtime.scale import U8, U16, U32, U64
from runtime.types import AccountId


@dataclass(slots=True)
class PrekeysPublished(Event):
    """A processor added one-time keys."""

    processor: AccountId
    count: U8


@dataclass(slots=True)
class PrekeysWithdrawn(Event):
    """A processor took its unused one-time keys back."""

    processor: AccountId
    count: U8


@dataclass(slots=True)
class SecretsProvided(Event):
    """The encrypted environment of a job is there."""

    job: U64
    size: U16


@dataclass(slots=True)
class SecretsSealed(Event):
    """The processor of a slot has a copy of the key, for this generation."""

    job: U64
    slot: U8
    generation: U32
    processor: AccountId


@dataclass(slots=True)
class SecretsRemoved(Event):
    """A job has ended, and nothing of its secrets is on the chain any more."""

    job: U64


EVENTS = (PrekeysPublished, PrekeysWithdrawn, SecretsProvided, SecretsSealed, SecretsRemoved)
