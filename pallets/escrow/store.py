"""What Escrow keeps, and how held money reaches an account."""

from pallets.balances import Balances, HoldReason
from pallets.escrow.errors import ERRORS
from pallets.escrow.events import EVENTS
from pallets.escrow.types import PAYABLE_ACCOUNT, Bond, BondKey, Ledger, Rates
from runtime.pallet import Pallet
from runtime.scale import U8, U32, U64, U128, Registry
from runtime.state import State
from runtime.storage import TWOX, Map, Value
from runtime.types import AccountId


class EscrowStore(Pallet):
    """Storage of Escrow."""

    name, index = "Escrow", 24
    events = EVENTS
    errors = ERRORS

    def __init__(self, state: State, registry: Registry, balances: Balances) -> None:
        super().__init__(state, registry)
        self.balances = balances
        self.rates: Value[Rates] = self.value("Rates", Rates, Rates(), "Shares and fees, set by the chain spec.")
        self.ledgers: Map[int, Ledger] = self.map("Ledgers", U64, Ledger, None, "A job's account.", hasher=TWOX)
        self.bonds: Map[BondKey, Bond] = self.maps(
            "Bonds", ((U64, TWOX), (U8, TWOX), (U32, TWOX)), Bond, None, "By job, slot and generation of the slot."
        )
        self.payable: Map[bytes, int] = self.map(
            "Payable", AccountId, U128, 0, "Pay-outs too small to open the receiver's account."
        )

    def credit_held(self, source: bytes, reason: HoldReason, target: bytes, amount: int) -> None:
        """Held money to `target`, by way of `payable` while its account would stay below the minimum."""
        if not amount:
            return
        balances, minimum = self.balances, self.balances.existential_deposit
        owed, free = self.payable.get(target), self.balances.free(target)
        if target == source or (not owed and free + amount >= minimum):
            balances.transfer_held(source, reason, target, amount)
            return
        balances.transfer_held(source, reason, PAYABLE_ACCOUNT, amount)
        if free + owed + amount >= minimum:
            balances.transfer(PAYABLE_ACCOUNT, target, owed + amount, keep_alive=True)
            self.payable.remove(target)
        else:
            self.payable.put(target, owed + amount)
