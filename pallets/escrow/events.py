"""Events of Escrow: each movement of a job's money."""

from dataclasses import dataclass

from runtime.pallet import Event
from runtime.scale import U8, U64, U128
from runtime.types import AccountId


@dataclass(slots=True)
class Deposited(Event):
    """A payer's deposit for a job is held."""

    job: U64
    payer: AccountId
    amount: U128


@dataclass(slots=True)
class Paid(Event):
    """A job paid an account: a processor or a matcher."""

    job: U64
    to: AccountId
    amount: U128


@dataclass(slots=True)
class Refunded(Event):
    """A part of a job's deposit went back to its payer: what a result left unspent, or all that was left at the end."""

    job: U64
    payer: AccountId
    amount: U128


@dataclass(slots=True)
class BondLocked(Event):
    """A processor's bond for a slot is held."""

    job: U64
    slot: U8
    processor: AccountId
    amount: U128


@dataclass(slots=True)
class BondReleased(Event):
    """What is left of a bond is free again."""

    job: U64
    slot: U8
    processor: AccountId
    amount: U128


@dataclass(slots=True)
class Fined(Event):
    """A part of a bond was burned for a lost lease."""

    job: U64
    slot: U8
    processor: AccountId
    amount: U128


@dataclass(slots=True)
class FeeBurned(Event):
    """A part of a job's deposit was burned: a result's share, or the fee for the chain's own work."""

    job: U64
    amount: U128


@dataclass(slots=True)
class BondPaid(Event):
    """A verdict gave a part of a bond to the payer, a juror or the challenger."""

    job: U64
    slot: U8
    processor: AccountId
    to: AccountId
    amount: U128


@dataclass(slots=True)
class Forfeited(Event):
    """A verdict burned what was left of a bond."""

    job: U64
    slot: U8
    processor: AccountId
    amount: U128


EVENTS = (Deposited, Paid, Refunded, BondLocked, BondReleased, Fined, FeeBurned, BondPaid, Forfeited)
