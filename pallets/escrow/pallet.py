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
from typing import Any

from pallets.balances import HoldReason
from pallets.escrow.bonds import Bonds
from pallets.escrow.errors import DepositNotAvailable
from pallets.escrow.events import Deposited, FeeBurned, Paid, Refunded
from pallets.escrow.types import PAYABLE_ACCOUNT, PPM, Ledger, Pots, Rates, ppm, ppm_up
from pallets.parameters import parameters_from
from runtime.errors import InvariantBroken
from runtime.records import replace


class Escrow(Bonds):
    """Deposits of jobs; the bonds of processors come with it."""

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
            error=ppm(reward, rates.error_ppm) * attempts * runs,
            friction=max(rates.friction_min, ppm(reward * slots, rates.friction_ppm)) + rates.agenda_fee * runs,
            storage=rates.storage_per_byte * stored_bytes,
        )

    def cost_of(self, reward: int) -> int:
        """U = R + the shares of burn and matcher, rounded up."""
        rates = self.rates.get()
        return reward + ppm_up(reward, rates.burn_ppm) + ppm_up(reward, rates.matcher_ppm)

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
        share = 0 if matcher in (None, ledger.payer) else ppm(ask, rates.matcher_ppm)
        burned = ppm(ask, rates.burn_ppm)
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
        return self._pay(job, "error", processor, ppm(ask, self.rates.get().error_ppm))

    def pay_late_cancel(self, job: int, ask: int, processor: bytes, elapsed_ms: int, duration_ms: int) -> int:
        """M5: pro rata of a running execution, at least the cancel share; that share for one about to start."""
        return self._pay(job, "reward", processor, self.late_cancel_of(ask, elapsed_ms, duration_ms))

    def late_cancel_of(self, ask: int, elapsed_ms: int, duration_ms: int) -> int:
        """What a run is worth that is broken off."""
        pro_rata = -(-ask * min(elapsed_ms, duration_ms) // duration_ms)
        return min(ask, max(ppm(ask, self.rates.get().cancel_ppm), pro_rata))

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
        return self._pay(job, "friction", processor, ppm(reward, self.rates.get().input_ppm))

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
