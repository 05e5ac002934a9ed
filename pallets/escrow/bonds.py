"""Bonds: what processors have at stake for the leases they hold (spec/job-layer.md §3 M2, M6, M7).

A bond is locked when a slot is acknowledged, and free when the lease is over and no result made under it waits. Fines
and verdicts take from it, each as far as it reaches.
"""

from pallets.balances import HoldReason
from pallets.escrow.errors import BondNotAvailable
from pallets.escrow.events import BondLocked, BondPaid, BondReleased, Fined, Forfeited
from pallets.escrow.store import EscrowStore
from pallets.escrow.types import Bond, BondKey, ppm
from runtime.records import replace


class Bonds(EscrowStore):
    """The bonds of leases."""

    def lock_bond(self, key: BondKey, processor: bytes, amount: int) -> None:
        """M2. Raises BondNotAvailable."""
        if not self.can_bond(processor, amount):
            raise BondNotAvailable
        if amount:
            self.balances.hold(processor, HoldReason.BOND, amount)
            self.bonds.put(key, Bond(processor, amount, leased=True, pending=0, locked=amount))
            self.emit(BondLocked(key[0], key[1], processor, amount))

    def can_bond(self, processor: bytes, amount: int) -> bool:
        """Whether `processor` could lock `amount` now."""
        return not amount or self.balances.free(processor) - amount >= self.balances.existential_deposit

    def fine(self, key: BondKey, ask: int, halves: int) -> None:
        """M6: burn the fine (2 halves; 1 for a run time-out) from a bond, as far as it reaches."""
        bond = self.bonds.find(key)
        if bond is None:
            return
        amount = min(bond.amount, ppm(ask, self.rates.get().fine_ppm) * halves // 2)
        if not amount:
            return
        self.balances.burn_held(bond.processor, HoldReason.BOND, amount)
        self.bonds.put(key, replace(bond, amount=bond.amount - amount))
        self.emit(Fined(key[0], key[1], bond.processor, amount))

    def bind(self, key: BondKey) -> None:
        """A result waits for its judgment: the bond stays locked until then, even beyond the lease."""
        bond = self.bonds.find(key)
        if bond is not None:
            self.bonds.put(key, replace(bond, pending=bond.pending + 1))

    def unbind(self, key: BondKey) -> None:
        """A result is judged."""
        bond = self.bonds.find(key)
        if bond is not None:
            self._put_bond(key, replace(bond, pending=bond.pending - 1))

    def release_bond(self, key: BondKey) -> None:
        """The lease is over: give its bond back, as soon as no result waits for its judgment."""
        bond = self.bonds.find(key)
        if bond is not None:
            self._put_bond(key, replace(bond, leased=False))

    def _put_bond(self, key: BondKey, bond: Bond) -> None:
        if bond.leased or bond.pending:
            self.bonds.put(key, bond)
            return
        self.balances.release(bond.processor, HoldReason.BOND, bond.amount)
        self.bonds.remove(key)
        self.emit(BondReleased(key[0], key[1], bond.processor, bond.amount))

    def pay_from_bond(self, key: BondKey, target: bytes, amount: int) -> int:
        """M7: a part of a bond that a verdict took, as far as it reaches. Returns what `target` got."""
        bond = self.bonds.find(key)
        paid = 0 if bond is None else min(amount, bond.amount)
        if bond is not None and paid:
            self.credit_held(bond.processor, HoldReason.BOND, target, paid)
            self.bonds.put(key, replace(bond, amount=bond.amount - paid))
            self.emit(BondPaid(key[0], key[1], bond.processor, target, paid))
        return paid

    def forfeit(self, key: BondKey) -> None:
        """M7: burn what the others left of a bond."""
        bond = self.bonds.find(key)
        if bond is not None and bond.amount:
            self.balances.burn_held(bond.processor, HoldReason.BOND, bond.amount)
            self.bonds.put(key, replace(bond, amount=0))
            self.emit(Forfeited(key[0], key[1], bond.processor, bond.amount))

    def compensate(self, key: BondKey, payer: bytes, reward: int) -> None:
        """M7: the payer's share of a bond, which is all that a payer ever gets beyond its own deposit."""
        self.pay_from_bond(key, payer, ppm(reward, self.rates.get().compensation_ppm))

    def reward_challenger(self, key: BondKey, bond: int, challenger: bytes) -> None:
        """M7: the challenger's share of a bond that was `bond` before the verdict."""
        self.pay_from_bond(key, challenger, ppm(bond, self.rates.get().challenger_ppm))

    def refill(self, key: BondKey, reason: HoldReason, amount: int) -> None:
        """Before a verdict: what fines and verdicts took of a bond comes back out of another hold of its processor."""
        bond = self.bonds.get(key)
        self.balances.move_hold(bond.processor, reason, HoldReason.BOND, amount)
        self.bonds.put(key, replace(bond, amount=bond.amount + amount))

    def bond_of(self, key: BondKey) -> int:
        """What is left of a bond."""
        bond = self.bonds.find(key)
        return 0 if bond is None else bond.amount

    def is_bonded(self, key: BondKey) -> bool:
        """Whether a lease has, or had, a bond, which fines and verdicts may have emptied."""
        bond = self.bonds.find(key)
        return bond is not None and bond.locked > 0

    def missing_of(self, key: BondKey) -> int:
        """What fines and verdicts have taken of a bond so far."""
        bond = self.bonds.find(key)
        return 0 if bond is None else bond.locked - bond.amount
