"""Escrow: the money of jobs - held on the payer, bonds held on processors - and the only code that moves it.

    M1 register   payer free -> pots            M5 cancel   reward pot -> processor, pro rata
    M2 acknowledge processor free -> bond       M6 lost     bond -> burnt (fine), the rest back when the slot closes
    M3 accept     ask -> processor, shares to   M9 end      all pots -> payer, in the same block
                  burn and matcher, rest -> payer
    M4 failure of the job's own -> error share
    M7 verdict    bond -> payer, jurors, challenger, the rest burnt, in this order, each clipped

Amounts are planck; shares are in parts per million of the agreed ask and floored, so that rounding favours the payer.
A pay-out too small to open the receiver's account waits in `payable`, in an account of this pallet
(spec/job-layer.md §3).

Invariants (`check_state`): per job deposited == paid + fees + refunded + held; the sum of pots on a payer == its hold
JOB_ESCROW; the sum of bonds of a processor == its hold BOND; the pallet's account covers `payable`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pallets.balances import Balances, HoldReason, pallet_account
from pallets.parameters import parameters_from
from runtime.errors import InvariantBroken, PalletError
from runtime.pallet import Event, Pallet
from runtime.records import replace
from runtime.scale import U8, U32, U64, U128, Registry
from runtime.state import State
from runtime.storage import TWOX, Map, Value
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


class DepositNotAvailable(PalletError):
    """The payer cannot lock the job's deposit and keep the existential deposit."""

    index = 0


class BondNotAvailable(PalletError):
    """The processor cannot lock the slot's bond and keep the existential deposit."""

    index = 1


class Escrow(Pallet):
    """Deposits and bonds."""

    name, index = "Escrow", 24
    events = (Deposited, Paid, Refunded, BondLocked, BondReleased, Fined, FeeBurned, BondPaid, Forfeited)
    errors = (DepositNotAvailable, BondNotAvailable)

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

    def genesis(self, config: Mapping[str, Any]) -> None:
        """The fields of Rates. Gives the pallet's account the existential deposit, so that it can hold `payable`."""
        bounds = {name: (0, PPM // 2) for name in Rates.__slots__ if name.endswith("_ppm")}
        self.rates.put(parameters_from("escrow", Rates(), bounds, config))
        self.balances.issue(PAYABLE_ACCOUNT, self.balances.existential_deposit)

    # The deposit of a job.

    def pots_of(
        self, reward: int, slots: int, executions: int, attempts: int, stored_bytes: int, *, audited: bool = False
    ) -> Pots:
        """H by purpose, without gas: U·S·N, U·N if audits are paid, error share per attempt, friction, storage."""
        rates, runs = self.rates.get(), slots * executions
        return Pots(
            reward=self.cost_of(reward) * runs,
            verify=self.cost_of(reward) * executions if audited else 0,
            error=_ppm(reward, rates.error_ppm) * attempts * runs,
            friction=max(rates.friction_min, _ppm(reward * slots, rates.friction_ppm)) + rates.agenda_fee * runs,
            storage=rates.storage_per_byte * stored_bytes,
        )

    def cost_of(self, reward: int) -> int:
        """U = R + the shares of burn and matcher, rounded up."""
        rates = self.rates.get()
        return reward + _ppm_up(reward, rates.burn_ppm) + _ppm_up(reward, rates.matcher_ppm)

    def open(self, job: int, payer: bytes, pots: Pots) -> None:
        """M1. Raises DepositNotAvailable."""
        total = pots.total()
        if self.balances.free(payer) - total < self.balances.existential_deposit:
            raise DepositNotAvailable
        self.balances.hold(payer, HoldReason.JOB_ESCROW, total)
        self.ledgers.put(job, Ledger(payer, pots, total, 0, 0, 0))
        self.emit(Deposited(job, payer, total))

    def top_up(self, job: int, amount: int) -> None:
        """Hold more of the payer's money, for whatever the job may need later. Raises DepositNotAvailable."""
        ledger = self.ledgers.get(job)
        if self.balances.free(ledger.payer) - amount < self.balances.existential_deposit:
            raise DepositNotAvailable
        self.balances.hold(ledger.payer, HoldReason.JOB_ESCROW, amount)
        pots = replace(ledger.pots, spare=ledger.pots.spare + amount)
        self.ledgers.put(job, replace(ledger, pots=pots, deposited=ledger.deposited + amount))
        self.emit(Deposited(job, ledger.payer, amount))

    def extend(self, job: int, more: Pots) -> None:
        """Enlarge the pots: from the spare one, and what it lacks from the payer. Raises DepositNotAvailable."""
        missing = more.total() - self.ledgers.get(job).pots.spare
        if missing > 0:
            self.top_up(job, missing)
        ledger = self.ledgers.get(job)
        grown = {name: getattr(ledger.pots, name) + getattr(more, name) for name in Pots.__slots__}
        grown["spare"] -= more.total()
        self.ledgers.put(job, replace(ledger, pots=Pots(**grown)))

    def accept(self, job: int, reward: int, ask: int, processor: bytes, matcher: bytes | None) -> int:
        """M3: one accepted execution. Returns what the processor got."""
        rates, ledger = self.rates.get(), self.ledgers.get(job)
        share = 0 if matcher in (None, ledger.payer) else _ppm(ask, rates.matcher_ppm)
        burned = _ppm(ask, rates.burn_ppm)
        left = self.cost_of(reward) - ask - share - burned
        kept = ledger.pots.reward - ask - share - burned - left
        if min(kept, left) < 0:
            raise InvariantBroken(f"escrow: job {job} accepts for {ask}, its reward pot has {ledger.pots.reward}")
        # One entry for all that moves; the movements follow.
        self.ledgers.put(
            job,
            replace(
                ledger,
                pots=replace(ledger.pots, reward=kept),
                paid=ledger.paid + ask + share,
                fees=ledger.fees + burned,
                refunded=ledger.refunded + left,
            ),
        )
        self._credit(job, ledger.payer, processor, ask)
        if matcher is not None and share:
            self._credit(job, ledger.payer, matcher, share)
        if burned:
            self.balances.burn_held(ledger.payer, HoldReason.JOB_ESCROW, burned)
            self.emit(FeeBurned(job, burned))
        if left:
            self.balances.release(ledger.payer, HoldReason.JOB_ESCROW, left)
            self.emit(Refunded(job, ledger.payer, left))
        return ask

    def pay_error_share(self, job: int, ask: int, processor: bytes) -> int:
        """M4: an attempt that failed by the job's own fault. Returns what the processor got."""
        return self._pay(job, "error", processor, _ppm(ask, self.rates.get().error_ppm))

    def pay_late_cancel(self, job: int, ask: int, processor: bytes, elapsed_ms: int, duration_ms: int) -> int:
        """M5: pro rata of a running execution, at least the cancel share; that share for one about to start."""
        return self._pay(job, "reward", processor, self.late_cancel_of(ask, elapsed_ms, duration_ms))

    def late_cancel_of(self, ask: int, elapsed_ms: int, duration_ms: int) -> int:
        """What a run is worth that is broken off."""
        pro_rata = -(-ask * min(elapsed_ms, duration_ms) // duration_ms)
        return min(ask, max(_ppm(ask, self.rates.get().cancel_ppm), pro_rata))

    def pay_spare(self, job: int, target: bytes, amount: int) -> None:
        """Pay from the spare pot; what it lacks the payer adds first. Raises DepositNotAvailable."""
        missing = amount - self.ledgers.get(job).pots.spare
        if missing > 0:
            self.top_up(job, missing)
        self._pay(job, "spare", target, amount)

    def rededicate(self, job: int, wanted: Pots) -> bool:
        """Divide what a job still holds anew: results first, then error shares and friction as far as it reaches.

        Storage stays, the rest is spare. False, with nothing changed, if results cannot be paid in full.
        """
        ledger = self.ledgers.get(job)
        storage = ledger.pots.storage
        left = ledger.pots.total() - storage - wanted.reward - wanted.verify - wanted.gas
        if left < 0:
            return False
        friction = min(wanted.friction, left)
        error = min(wanted.error, left - friction)
        spare = left - friction - error
        pots = replace(wanted, error=error, friction=friction, storage=storage, spare=spare)
        self.ledgers.put(job, replace(ledger, pots=pots))
        return True

    def pay_input_unavailable(self, job: int, reward: int, processor: bytes) -> int:
        """The effort of a processor that declined because an input could not be had."""
        return self._pay(job, "friction", processor, _ppm(reward, self.rates.get().input_ppm))

    def pay_auditor(self, job: int, reward: int, auditor: bytes) -> int:
        """One audit, from the pot for verification. Returns what the auditor got."""
        return self._pay(job, "verify", auditor, reward)

    def charge_agenda(self, job: int) -> None:
        """The fee for the chain's own work on one execution; burned."""
        self._burn(job, "friction", self.rates.get().agenda_fee)

    def close(self, job: int) -> None:
        """M9: everything that is left goes back to the payer."""
        ledger = self.ledgers.get(job)
        left = ledger.pots.total()
        self.balances.release(ledger.payer, HoldReason.JOB_ESCROW, left)
        self.ledgers.put(job, replace(ledger, pots=Pots(), refunded=ledger.refunded + left))
        self.emit(Refunded(job, ledger.payer, left))

    def forget(self, job: int) -> None:
        """Remove a closed job's account."""
        self.ledgers.remove(job)

    # Bonds.

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
        amount = min(bond.amount, _ppm(ask, self.rates.get().fine_ppm) * halves // 2)
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
        self.pay_from_bond(key, payer, _ppm(reward, self.rates.get().compensation_ppm))

    def reward_challenger(self, key: BondKey, bond: int, challenger: bytes) -> None:
        """M7: the challenger's share of a bond that was `bond` before the verdict."""
        self.pay_from_bond(key, challenger, _ppm(bond, self.rates.get().challenger_ppm))

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

    # One movement each: the pot and the ledger first, then the money.

    def _take(self, job: int, pot: str, amount: int, *, paid: bool = False, fee: bool = False) -> None:
        ledger = self.ledgers.get(job)
        left = getattr(ledger.pots, pot) - amount
        if left < 0:
            raise InvariantBroken(f"escrow: job {job} takes {amount} from its {pot} pot, {-left} too much")
        pots = replace(ledger.pots, **{pot: left})
        paid_now, fee_now = amount * paid, amount * fee
        self.ledgers.put(job, replace(ledger, pots=pots, paid=ledger.paid + paid_now, fees=ledger.fees + fee_now))

    def _pay(self, job: int, pot: str, target: bytes, amount: int) -> int:
        ledger = self.ledgers.get(job)
        amount = min(amount, getattr(ledger.pots, pot))
        self._take(job, pot, amount, paid=True)
        self._credit(job, ledger.payer, target, amount)
        return amount

    def _burn(self, job: int, pot: str, amount: int) -> None:
        ledger = self.ledgers.get(job)
        amount = min(amount, getattr(ledger.pots, pot))
        self._take(job, pot, amount, fee=True)
        if amount:
            self.balances.burn_held(ledger.payer, HoldReason.JOB_ESCROW, amount)
            self.emit(FeeBurned(job, amount))

    def _credit(self, job: int, payer: bytes, target: bytes, amount: int) -> None:
        if amount:
            self.credit_held(payer, HoldReason.JOB_ESCROW, target, amount)
            self.emit(Paid(job, target, amount))

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

    def check_state(self) -> None:
        held: dict[bytes, int] = {}
        for job, ledger in self.ledgers.items():
            total = ledger.pots.total()
            if ledger.deposited != ledger.paid + ledger.fees + ledger.refunded + total:
                raise InvariantBroken(f"escrow: job {job}: {ledger} does not add up")
            held[ledger.payer] = held.get(ledger.payer, 0) + total
        bonds: dict[bytes, int] = {}
        for _key, bond in self.bonds.items():  # noqa: PERF102 - storage maps have items only
            bonds[bond.processor] = bonds.get(bond.processor, 0) + bond.amount
        for reason, expected in ((HoldReason.JOB_ESCROW, held), (HoldReason.BOND, bonds)):
            # A storage map: `items` is its only walk.
            for who, _holds in self.balances.holds.items():  # noqa: PERF102 - as above
                found = self.balances.held(who, reason)
                if found != expected.pop(who, 0):
                    raise InvariantBroken(f"escrow: {reason.name} hold of 0x{who.hex()} is {found}")
            if any(expected.values()):
                raise InvariantBroken(f"escrow: {reason.name} of accounts without any hold: {expected}")
        owed = sum(amount for _, amount in self.payable.items())
        if self.balances.free(PAYABLE_ACCOUNT) < owed + self.balances.existential_deposit:
            raise InvariantBroken(f"escrow: {owed} payable, not covered")


def _ppm(amount: int, parts: int) -> int:
    return amount * parts // PPM


def _ppm_up(amount: int, parts: int) -> int:
    return -(-amount * parts // PPM)
