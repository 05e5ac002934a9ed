"""TransactionPayment: what a transaction costs, and where the fee goes.

fee = 10^8 + 10^6 * length + multiplier * weight / 10^18 + tip (planck). 80 % goes to the treasury, 20 % and the tips to
the author, credited once per block. The multiplier follows block fullness slowly. Source: spec/chain.md (f).

Invariant (`check_state`): between blocks no fee is in flight, so issuance needs no correction for fees.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pallets.balances import TREASURY, Balances
from pallets.system import System
from runtime.errors import InvariantBroken
from runtime.pallet import Event, Pallet
from runtime.scale import U128, Registry
from runtime.state import State
from runtime.storage import Value
from runtime.types import AccountId

BASE_FEE = 10**8
LENGTH_FEE = 10**6
ONE = 10**18
"""Fixed-point one of multiplier and fullness."""
MULTIPLIER_MIN = 10**17
MULTIPLIER_MAX = 10**21
TARGET_FULLNESS = 25 * 10**16
ADJUSTMENT = 25 * 10**12
"""V of the adjustment formula: 2.5e-5 in fixed point."""
AUTHOR_PERCENT = 20


@dataclass(slots=True)
class TransactionFeePaid(Event):
    """A transaction fee was paid by an account."""

    who: AccountId
    actual_fee: U128
    tip: U128


class TransactionPayment(Pallet):
    """Fees of transactions."""

    name, index = "TransactionPayment", 5
    events = (TransactionFeePaid,)

    def __init__(self, state: State, registry: Registry, system: System, balances: Balances) -> None:
        super().__init__(state, registry)
        self.system = system
        self.balances = balances
        self.multiplier: Value[int] = self.value("NextFeeMultiplier", U128, ONE, "Price of weight, 10^18 is one.")
        self.constant("BaseFee", U128, BASE_FEE, "Planck per transaction.")
        self.constant("LengthToFee", U128, LENGTH_FEE, "Planck per byte.")
        self.fees = 0
        self.tips = 0
        self.fullness = 0

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Create the treasury's account, so that it can always be credited: `treasury` planck, at least the minimum."""
        amount = config.get("treasury", self.balances.existential_deposit)
        if not isinstance(amount, int) or amount < self.balances.existential_deposit:
            raise ValueError(f"transactionPayment.treasury: {amount!r}, at least {self.balances.existential_deposit}")
        self.balances.issue(TREASURY, amount)
        self.multiplier.put(ONE)

    def fee(self, length: int, weight_ps: int) -> int:
        """Planck for a transaction of `length` bytes and `weight_ps` picoseconds, without tip."""
        return BASE_FEE + LENGTH_FEE * length + self.weight_fee(weight_ps)

    def weight_fee(self, weight_ps: int) -> int:
        """The part of a fee that is for weight."""
        return self.multiplier.get() * weight_ps // ONE

    def charge(self, who: bytes, fee: int, tip: int, sponsor: bytes | None = None) -> None:
        """Count a transaction of `who` and take fee and tip, from a sponsor if there is one.

        TokenError(FUNDS_UNAVAILABLE), with nothing changed, if the payer cannot pay and stay alive.
        """
        if sponsor is not None:
            self.balances.require_payable(sponsor, fee + tip)
            self.system.charge(who, 0)
            self.balances.withdraw(sponsor, fee + tip)
            return
        self.balances.require_payable(who, fee + tip)
        self.system.charge(who, fee + tip)

    def settle(self, who: bytes, charged: int, actual: int, tip: int) -> None:
        """After dispatch: give the payer back what the weight left unused; note the fee for the end of the block."""
        if charged > actual:
            self.balances.deposit(who, charged - actual)
        self.fees += actual
        self.tips += tip
        self.emit(TransactionFeePaid(who, actual + tip, tip))

    def on_initialize(self, number: int, slot: int) -> int:
        self.fees = self.tips = self.fullness = 0
        return 0

    def on_finalize(self) -> None:
        """Credit treasury and author once for the whole block, and adjust the multiplier."""
        author = self.system.block_author
        share = self.fees * AUTHOR_PERCENT // 100 + self.tips
        if author is None or self.balances.free(author) + share < self.balances.existential_deposit:
            share = 0
        if share and author is not None:
            self.balances.deposit(author, share)
        if self.fees + self.tips > share:
            self.balances.deposit(TREASURY, self.fees + self.tips - share)
        self.fees = self.tips = 0
        multiplier = next_multiplier(self.multiplier.get(), self.fullness)
        if multiplier != self.multiplier.get():
            self.multiplier.put(multiplier)

    def check_state(self) -> None:
        if self.fees or self.tips:
            raise InvariantBroken(f"transaction_payment: {self.fees} + {self.tips} planck in flight after the block")


def next_multiplier(multiplier: int, fullness: int) -> int:
    """The multiplier after a block of `fullness` (10^18 = all of the normal share used)."""
    x = abs(fullness - TARGET_FULLNESS) * ADJUSTMENT // ONE
    y = x * x // (2 * ONE)
    if fullness >= TARGET_FULLNESS:
        multiplier += multiplier * (x + y) // ONE
    else:
        multiplier -= multiplier * (x - y) // ONE
    return min(max(multiplier, MULTIPLIER_MIN), MULTIPLIER_MAX)
