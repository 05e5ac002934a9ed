"""Balances: who owns how much, and the only code that changes it.

Invariant (`check_state`): total issuance == sum of free + reserved over all accounts, and each account's reserved ==
the sum of its holds. Issuance changes only together with an Issued or a Burned event.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

from pallets.system import NO_BALANCE, AccountData, System
from runtime.address import Lookup
from runtime.errors import ArithmeticFailed, ArithmeticKind, InvariantBroken, PalletError, TokenError, TokenErrorKind
from runtime.pallet import Cost, Event, Pallet, Root, Signed, call
from runtime.scale import U128, Bounded, CompactU128, Registry, scale_path
from runtime.state import State
from runtime.storage import Map, Value
from runtime.types import AccountId

UNIT = 10**12
"""One HDL in planck."""
EXISTENTIAL_DEPOSIT = 10**10
"""Smallest free balance an account may keep (spec/chain.md (f))."""
BALANCE_MAX = (1 << 128) - 1
HOLDS_MAX = 16


@scale_path("heddle_runtime", "RuntimeHoldReason")
class HoldReason(Enum):
    """What an amount is held for."""

    JOB_ESCROW = 0
    BOND = 1
    STORAGE_DEPOSIT = 2
    PAYABLE = 3
    STAKE = 4
    JUROR = 5
    APPEAL = 6
    SECRETS = 7
    CHALLENGE = 8


@scale_path("frame_support", "traits", "tokens", "misc", "IdAmount")
@dataclass(frozen=True, slots=True)
class Hold:
    """An amount held for one reason."""

    id: HoldReason
    amount: U128


@dataclass(slots=True)
class Endowed(Event):
    """An account was created with some free balance."""

    account: AccountId
    free_balance: U128


@dataclass(slots=True)
class DustLost(Event):
    """An account was removed because its balance fell below the existential deposit; the rest was burned."""

    account: AccountId
    amount: U128


@dataclass(slots=True)
class Transfer(Event):
    """Transfer succeeded."""

    from_: AccountId
    to: AccountId
    amount: U128


@dataclass(slots=True)
class Held(Event):
    """Some balance was put on hold."""

    reason: HoldReason
    who: AccountId
    amount: U128


@dataclass(slots=True)
class Released(Event):
    """Some held balance was given back."""

    reason: HoldReason
    who: AccountId
    amount: U128


@dataclass(slots=True)
class TransferOnHold(Event):
    """Held balance went to another account's free balance."""

    reason: HoldReason
    source: AccountId
    dest: AccountId
    amount: U128


@dataclass(slots=True)
class Issued(Event):
    """Total issuance was increased."""

    amount: U128


@dataclass(slots=True)
class Burned(Event):
    """Some balance was removed from an account and from the total issuance."""

    who: AccountId
    amount: U128


class InsufficientBalance(PalletError):
    """The free balance is too low for the amount."""

    index = 2


class ExistentialDeposit(PalletError):
    """The amount is too low to create the account."""

    index = 3


class Expendability(PalletError):
    """The transfer would remove the sender's account."""

    index = 4


class TooManyHolds(PalletError):
    """The account has holds for too many reasons."""

    index = 8


def pallet_account(identifier: bytes) -> bytes:
    """The account that a pallet's pot has: `modl` and at most 8 bytes of identifier. Nobody has its key."""
    return (b"modl" + identifier).ljust(32, b"\0")


TREASURY = pallet_account(b"hd/trsry")


class Balances(Pallet):
    """Free and held balances."""

    name, index = "Balances", 4
    events = (Endowed, DustLost, Transfer, Held, Released, TransferOnHold, Issued, Burned)
    errors = (InsufficientBalance, ExistentialDeposit, Expendability, TooManyHolds)

    def __init__(self, state: State, registry: Registry, system: System) -> None:
        super().__init__(state, registry)
        self.system = system
        self.issuance: Value[int] = self.value("TotalIssuance", U128, 0, "The total units issued in the system.")
        self.holds: Map[bytes, tuple[Hold, ...]] = self.map(
            "Holds", AccountId, Annotated[tuple[Hold, ...], Bounded(HOLDS_MAX)], (), "Holds on account balances."
        )
        self.existential_deposit: int = self.constant(
            "ExistentialDeposit", U128, EXISTENTIAL_DEPOSIT, "The minimum balance required to keep an account open."
        )

    def genesis(self, config: Mapping[str, Any]) -> None:
        """`balances`: list of [account id as bytes, planck]; each once, with the existential deposit or more."""
        total = 0
        for who, amount in config.get("balances", ()):
            if self.system.accounts.contains(who):
                raise ValueError(f"balances.balances: 0x{who.hex()} appears twice")
            if not self.existential_deposit <= amount <= BALANCE_MAX:
                raise ValueError(f"balances.balances: {amount} for 0x{who.hex()}, at least {self.existential_deposit}")
            self.system.set_data(who, AccountData(amount, 0, 0, NO_BALANCE.flags))
            total += amount
        if total > BALANCE_MAX:
            raise ValueError("balances.balances: the total exceeds u128")
        self.issuance.put(total)

    # Calls. Names and indices are pallet_balances'.

    @call(index=0, weight=Cost(reads=2, writes=2))
    def transfer_allow_death(self, origin: Signed, dest: Lookup, value: CompactU128) -> None:
        """Transfer free balance; the sender's account may disappear."""
        self.transfer(origin.who, dest, value, keep_alive=False)

    @call(index=3, weight=Cost(reads=2, writes=2))
    def transfer_keep_alive(self, origin: Signed, dest: Lookup, value: CompactU128) -> None:
        """Transfer free balance and keep the sender's account."""
        self.transfer(origin.who, dest, value, keep_alive=True)

    @call(index=4, weight=Cost(reads=2, writes=2))
    def transfer_all(self, origin: Signed, dest: Lookup, keep_alive: bool) -> None:
        """Transfer the whole free balance, less the existential deposit when the account is to stay."""
        amount = self.free(origin.who) - (self.existential_deposit if keep_alive else 0)
        self.transfer(origin.who, dest, max(amount, 0), keep_alive=keep_alive)

    @call(index=8, weight=Cost(reads=1, writes=2))
    def force_set_balance(self, origin: Root, who: Lookup, new_free: CompactU128) -> None:
        """Set the free balance of an account, issuing or burning the difference."""
        free = self.free(who)
        if new_free > free:
            self.issue(who, new_free - free)
        elif new_free < free:
            self.burn(who, free - new_free)

    @call(index=10, weight=Cost(reads=1, writes=2))
    def burn_own(self, origin: Signed, value: CompactU128, keep_alive: bool) -> None:
        """Burn free balance of the caller."""
        if keep_alive and self.free(origin.who) - value < self.existential_deposit:
            raise Expendability
        self.burn(origin.who, value)

    # For other pallets.

    def free(self, who: bytes) -> int:
        """Planck that `who` can spend (down to the existential deposit, to stay alive)."""
        return self.system.accounts.get(who).data.free

    def total(self, who: bytes) -> int:
        """Free and held planck of `who`."""
        data = self.system.accounts.get(who).data
        return data.free + data.reserved

    def held(self, who: bytes, reason: HoldReason) -> int:
        """Planck of `who` held for `reason`."""
        return next((hold.amount for hold in self.holds.get(who) if hold.id is reason), 0)

    def total_issuance(self) -> int:
        """All planck there are."""
        return self.issuance.get()

    def transfer(self, source: bytes, target: bytes, amount: int, *, keep_alive: bool) -> None:
        """Move free balance and emit Transfer. A new account needs the existential deposit."""
        system = self.system
        from_info = system.accounts.get(source)
        from_data = from_info.data
        left = from_data.free - amount
        if left < 0:
            raise TokenError(TokenErrorKind.FUNDS_UNAVAILABLE)
        if source != target:
            to_info = system.accounts.find(target)
            to_data = NO_BALANCE if to_info is None else to_info.data
            if to_data.free + amount < EXISTENTIAL_DEPOSIT:
                raise TokenError(TokenErrorKind.BELOW_MINIMUM)
            if left < EXISTENTIAL_DEPOSIT:
                self._require_expendable(source, from_data, keep_alive=keep_alive)
                left = self._without_dust(source, left)
            system.replace_data(target, to_info, _with_free(to_data, to_data.free + amount))
            system.replace_data(source, from_info, _with_free(from_data, left))
        self.emit(Transfer(source, target, amount))

    def require_payable(self, who: bytes, amount: int) -> None:
        """Raise TokenError(FUNDS_UNAVAILABLE) unless `who` can pay `amount` and stay alive."""
        if self.system.accounts.get(who).data.free - amount < EXISTENTIAL_DEPOSIT and amount:
            raise TokenError(TokenErrorKind.FUNDS_UNAVAILABLE)

    def withdraw(self, who: bytes, amount: int) -> None:
        """Take what `require_payable` allowed, as a fee of this block: the counterpart of `deposit`."""
        data = self.system.accounts.get(who).data
        self.system.set_data(who, _with_free(data, data.free - amount))

    def deposit(self, who: bytes, amount: int) -> None:
        """Credit what was taken as a fee in this block, to an account that comes to the existential deposit."""
        data = self.system.accounts.get(who).data
        if data.free + amount < self.existential_deposit:
            raise TokenError(TokenErrorKind.BELOW_MINIMUM)
        self.system.set_data(who, _with_free(data, data.free + amount))

    def hold(self, who: bytes, reason: HoldReason, amount: int) -> None:
        """Move free balance to a hold. The account keeps the existential deposit free."""
        if not amount:
            return
        data = self.system.accounts.get(who).data
        if data.free - amount < self.existential_deposit:
            raise TokenError(TokenErrorKind.FUNDS_UNAVAILABLE)
        self._change_hold(who, reason, amount)
        self.system.set_data(who, AccountData(data.free - amount, data.reserved + amount, data.frozen, data.flags))
        self.emit(Held(reason, who, amount))

    def release(self, who: bytes, reason: HoldReason, amount: int) -> None:
        """Move a held amount back to free."""
        if not amount:
            return
        self._change_hold(who, reason, -amount)
        data = self.system.accounts.get(who).data
        self.system.set_data(who, AccountData(data.free + amount, data.reserved - amount, data.frozen, data.flags))
        self.emit(Released(reason, who, amount))

    def move_hold(self, who: bytes, source: HoldReason, target: HoldReason, amount: int) -> None:
        """Hold an amount for another reason."""
        if not amount:
            return
        self._change_hold(who, source, -amount)
        self._change_hold(who, target, amount)
        self.emit(Released(source, who, amount))
        self.emit(Held(target, who, amount))

    def transfer_held(self, source: bytes, reason: HoldReason, target: bytes, amount: int) -> None:
        """Move a held amount of `source` to the free balance of `target`.

        TokenError(BELOW_MINIMUM), with nothing changed, if `target` would stay below the existential deposit.
        """
        if not amount:
            return
        if source == target:
            self.release(source, reason, amount)
            return
        to_data = self.system.accounts.get(target).data
        if to_data.free + amount < self.existential_deposit:
            raise TokenError(TokenErrorKind.BELOW_MINIMUM)
        self._take_held(source, reason, amount)
        self.system.set_data(target, _with_free(to_data, to_data.free + amount))
        self.emit(TransferOnHold(reason, source, target, amount))

    def burn_held(self, who: bytes, reason: HoldReason, amount: int) -> None:
        """Destroy a held amount."""
        if not amount:
            return
        self._take_held(who, reason, amount)
        self.issuance.put(self.issuance.get() - amount)
        self.emit(Burned(who, amount))

    def issue(self, who: bytes, amount: int) -> None:
        """Create balance."""
        total = self.issuance.get() + amount
        if total > BALANCE_MAX:
            raise ArithmeticFailed(ArithmeticKind.OVERFLOW)
        self.deposit(who, amount)
        self.issuance.put(total)
        self.emit(Issued(amount))

    def burn(self, who: bytes, amount: int) -> None:
        """Destroy free balance; what is left below the existential deposit goes with it."""
        data = self.system.accounts.get(who).data
        if amount > data.free:
            raise TokenError(TokenErrorKind.FUNDS_UNAVAILABLE)
        left = data.free - amount
        if left < self.existential_deposit:
            self._require_expendable(who, data, keep_alive=False)
            left = self._without_dust(who, left)
        self.issuance.put(self.issuance.get() - amount)
        self.emit(Burned(who, amount))
        self.system.set_data(who, _with_free(data, left))

    def _require_expendable(self, who: bytes, data: AccountData, *, keep_alive: bool) -> None:
        """An account with holds, or whose owner asked to keep it, must not fall below the existential deposit."""
        if keep_alive:
            raise TokenError(TokenErrorKind.NOT_EXPENDABLE)
        if data.reserved:
            raise TokenError(TokenErrorKind.FROZEN)

    def _without_dust(self, who: bytes, free: int) -> int:
        """A free balance below the existential deposit is burned: 0 instead."""
        if free:
            self.issuance.put(self.issuance.get() - free)
            self.emit(DustLost(who, free))
            self.emit(Burned(who, free))
        return 0

    def _take_held(self, who: bytes, reason: HoldReason, amount: int) -> None:
        self._change_hold(who, reason, -amount)
        data = self.system.accounts.get(who).data
        self.system.set_data(who, AccountData(data.free, data.reserved - amount, data.frozen, data.flags))

    def _change_hold(self, who: bytes, reason: HoldReason, by: int) -> None:
        amount, others = by, []
        for hold in self.holds.get(who):
            if hold.id is reason:
                amount += hold.amount
            else:
                others.append(hold)
        if amount < 0:
            raise TokenError(TokenErrorKind.FUNDS_UNAVAILABLE)
        if len(others) >= HOLDS_MAX:
            raise TooManyHolds
        if amount:
            others.append(Hold(reason, amount))
            others.sort(key=lambda hold: hold.id.value)
        if others:
            self.holds.put(who, tuple(others))
        else:
            self.holds.remove(who)

    def check_state(self) -> None:
        total = 0
        for who, info in self.system.accounts.items():
            total += info.data.free + info.data.reserved
            held = sum(hold.amount for hold in self.holds.get(who))
            if held != info.data.reserved:
                raise InvariantBroken(f"balances: 0x{who.hex()} has {held} in holds but {info.data.reserved} reserved")
            if 0 < info.data.free < self.existential_deposit:
                raise InvariantBroken(f"balances: 0x{who.hex()} has {info.data.free}, below the existential deposit")
        if total != self.issuance.get():
            raise InvariantBroken(f"balances: issuance {self.issuance.get()} but accounts sum to {total}")


def _with_free(data: AccountData, free: int) -> AccountData:
    return AccountData(free, data.reserved, data.frozen, data.flags)
