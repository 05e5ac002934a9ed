"""What Escrow stores: its rates, the account of a job and its pots, the bond of a lease."""

from dataclasses import dataclass

from pallets.balances import pallet_account
from runtime.scale import U32, U64, U128
from runtime.types import AccountId

PPM = 10**6
BondKey = tuple[int, int, int]
"""Job, slot, generation."""
PAYABLE_ACCOUNT = pallet_account(b"hd/payab")


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares in parts per million, fees in planck (spec/job-layer.md §3, §9)."""

    burn_ppm: U32 = 20_000
    matcher_ppm: U32 = 20_000
    error_ppm: U32 = 100_000
    cancel_ppm: U32 = 100_000
    fine_ppm: U32 = 100_000
    friction_ppm: U32 = 100_000
    input_ppm: U32 = 10_000
    compensation_ppm: U32 = 100_000
    challenger_ppm: U32 = 300_000
    friction_min: U64 = 10**12
    agenda_fee: U64 = 10**7
    storage_per_byte: U64 = 10**8


@dataclass(frozen=True, slots=True)
class Pots:
    """What is still held for one job, by purpose; `spare` is what the payer added without one."""

    reward: U128 = 0
    verify: U128 = 0
    error: U128 = 0
    gas: U128 = 0
    friction: U128 = 0
    storage: U128 = 0
    spare: U128 = 0

    def total(self) -> int:
        """All of them."""
        return self.reward + self.verify + self.error + self.gas + self.friction + self.storage + self.spare


@dataclass(frozen=True, slots=True)
class Ledger:
    """The account of one job: deposited == paid + fees + refunded + pots, always."""

    payer: AccountId
    pots: Pots
    deposited: U128
    paid: U128
    fees: U128
    refunded: U128


@dataclass(frozen=True, slots=True)
class Bond:
    """What a processor has at stake for one lease of a slot, which its generation names.

    `leased` while it holds the slot; `pending` counts its results that are not judged yet. Without either it is free.
    `locked` is what it began with; fines and verdicts leave `amount` of it.
    """

    processor: AccountId
    amount: U128
    leased: bool
    pending: U32
    locked: U128


def ppm(amount: int, parts: int) -> int:
    """`parts` millionths of an amount, floored: rounding favours the payer."""
    return amount * parts // PPM


def ppm_up(amount: int, parts: int) -> int:
    """`parts` millionths of an amount, rounded up: what must be set aside."""
    return -(-amount * parts // PPM)
