"""Stakes: what a processor has to lose, and what gives it weight in sortition.

Bonded stake counts in sortition. What is taken back unbonds for `unbond_slots` of A and can be slashed until it is
withdrawn, so that nobody leaves before what he did comes to light (spec/job-layer.md §1). The bond of a lease is
another matter: it comes out of the free balance, and Escrow holds it.

In a draw counts what was bonded well before it (`settled_units`): tickets are known as soon as the draw is, and whoever
could stake afterwards would do so on the luckiest of a thousand accounts.

Invariant (`check_stakes`): per account, bonded + unbonding == the hold STAKE; only registered processors have a stake;
no more is fresh than bonded.
"""

from collections.abc import Callable
from dataclasses import replace

from pallets.balances import HoldReason
from pallets.processors.errors import InsufficientStake, NothingToWithdraw, TooManyUnbonding, ZeroAmount
from pallets.processors.events import Staked, StakeSlashed, StakeWithdrawn, Unstaked
from pallets.processors.store import ProcessorStore
from pallets.processors.types import UNBONDING_MAX, Stake, Unbonding
from runtime.errors import InvariantBroken
from runtime.pallet import Cost, Signed, call
from runtime.scale import CompactU128

Take = Callable[[bytes, HoldReason, int], None]
"""Has an amount that an account holds for a reason."""


class Stakes(ProcessorStore):
    """The calls of stakes, and slashing."""

    @call(index=6, weight=Cost(reads=18, writes=10))
    def stake(self, origin: Signed, amount: CompactU128) -> None:
        """Put free balance at stake."""
        self.record_of(origin.who)
        if not amount:
            raise ZeroAmount
        self.balances.hold(origin.who, HoldReason.STAKE, amount)
        stake = self.stakes.get(origin.who)
        clock = self.agenda.now()
        young = stake.fresh if clock - stake.fresh_at < self.parameters.get().era_slots else 0
        self._put_stake(origin.who, replace(stake, bonded=stake.bonded + amount, fresh=young + amount, fresh_at=clock))
        self.emit(Staked(origin.who, amount))

    @call(index=7, weight=Cost(reads=16, writes=9))
    def unstake(self, origin: Signed, amount: CompactU128) -> None:
        """Take stake back: it counts no more at once, and is free to be withdrawn when it has unbonded."""
        stake = self.stakes.get(origin.who)
        if not amount:
            raise ZeroAmount
        if amount > stake.bonded:
            raise InsufficientStake
        if len(stake.unbonding) >= UNBONDING_MAX:
            raise TooManyUnbonding
        free_at = self.agenda.now() + self.parameters.get().unbond_slots
        unbonding = (*stake.unbonding, Unbonding(amount, free_at))
        self._put_stake(origin.who, _with_bonded(replace(stake, unbonding=unbonding), stake.bonded - amount))
        self.emit(Unstaked(origin.who, amount, free_at))

    @call(index=8, weight=Cost(reads=11, writes=5))
    def withdraw_unbonded(self, origin: Signed) -> None:
        """Free what has unbonded."""
        stake, clock = self.stakes.get(origin.who), self.agenda.now()
        waiting = tuple(one for one in stake.unbonding if one.free_at > clock)
        amount = sum(one.amount for one in stake.unbonding if one.free_at <= clock)
        if not amount:
            raise NothingToWithdraw
        self._put_stake(origin.who, replace(stake, unbonding=waiting))
        self.balances.release(origin.who, HoldReason.STAKE, amount)
        self.emit(StakeWithdrawn(origin.who, amount))

    # For other pallets.

    def slash_stake(self, who: bytes, amount: int, take: Take | None = None) -> int:
        """Take up to `amount` of a processor's stake, the bonded first, then the latest unbonding. What was taken.

        `take` has it, or else it is burned.
        """
        stake = self.stakes.get(who)
        from_bonded = min(amount, stake.bonded)
        missing, kept = amount - from_bonded, []
        for one in reversed(stake.unbonding):
            part = min(missing, one.amount)
            missing -= part
            if part < one.amount:
                kept.append(replace(one, amount=one.amount - part))
        slashed = amount - missing
        if slashed:
            left = replace(stake, unbonding=tuple(reversed(kept)))
            self._put_stake(who, _with_bonded(left, stake.bonded - from_bonded))
            (take or self.balances.burn_held)(who, HoldReason.STAKE, slashed)
            self.emit(StakeSlashed(who, slashed))
        return slashed

    def _put_stake(self, who: bytes, stake: Stake) -> None:
        """Store a stake, and keep the units of its advert's runtimes in step."""
        before = self.units(who)
        if stake.bonded or stake.unbonding:
            self.stakes.put(who, stake)
        else:
            self.stakes.remove(who)
        advert = self.adverts.find(who)
        if advert is not None:
            self._add_units(advert, self.units(who) - before)

    def check_stakes(self) -> None:
        """Raises InvariantBroken where a stake differs from what is held for it."""
        for who, holds in self.balances.holds.items():
            held = sum(hold.amount for hold in holds if hold.id is HoldReason.STAKE)
            stake = self.stakes.get(who)
            noted = stake.bonded + sum(one.amount for one in stake.unbonding)
            if noted != held or (noted and not self.records.contains(who)):
                raise InvariantBroken(f"processors: 0x{who.hex()}: stake {noted}, held {held}")
        for who, stake in self.stakes.items():
            wrong = (not stake.bonded and not stake.unbonding) or stake.fresh > stake.bonded
            if wrong or not self.balances.held(who, HoldReason.STAKE):
                raise InvariantBroken(f"processors: 0x{who.hex()}: a stake of {stake.bonded} without a hold")


def _with_bonded(stake: Stake, bonded: int) -> Stake:
    """A stake with less bonded: what was added last goes first."""
    fresh = max(0, stake.fresh - (stake.bonded - bonded))
    return replace(stake, bonded=bonded, fresh=fresh, fresh_at=stake.fresh_at if fresh else 0)
