"""Who pays a panel: lost appeals and the losing side's bonds, then the locks of overruled jurors, then the treasury.

Each juror that agreed with the final digest gets the job's reward once. What is left of lost bonds and locks is burned,
so that nobody gains by a verdict but those who worked for it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pallets.balances import TREASURY, Balances, HoldReason
from pallets.juries import tally
from pallets.juries.events import AppealSettled, JurorSettled, PanelSettled
from pallets.juries.store import JuryStore
from pallets.juries.types import Opinion, Panel, PanelKind, Seat

PPM = 10**6
Fund = Callable[[bytes, int], int]
"""Pays an account at most so much, and says how much it was."""


def no_fund(_to: bytes, _amount: int) -> int:
    """The losing side has nothing."""
    return 0


@dataclass(slots=True)
class Purse:
    """Held money that may be paid out; what stays in it is burned."""

    balances: Balances
    reason: HoldReason
    holdings: list[tuple[bytes, int]]

    def pay(self, to: bytes, amount: int) -> int:
        """At most `amount`, from the first holdings on. What was paid."""
        wanted = amount
        while wanted and self.holdings:
            who, left = self.holdings[0]
            part = min(wanted, left)
            self.balances.transfer_held(who, self.reason, to, part)
            wanted -= part
            if left > part:
                self.holdings[0] = (who, left - part)
            else:
                self.holdings.pop(0)
        return amount - wanted

    def burn(self) -> None:
        """What is left."""
        for who, left in self.holdings:
            self.balances.burn_held(who, self.reason, left)
        self.holdings.clear()


def pay_from(funds: tuple[Fund, ...], to: bytes, amount: int) -> int:
    """`amount` from the first fund that has it, and on. What was paid."""
    paid = 0
    for fund in funds:
        if paid < amount:
            paid += fund(to, amount - paid)
    return paid


def settle(store: JuryStore, id: int, panel: Panel, digest: bytes | None, fund: Fund) -> Purse:
    """Give locks and appeal bonds back, less what was lost against the true `digest`; pay who was right; forget all.

    What is left of the locks of overruled jurors: the caller pays from it or burns it.
    """
    seats = store.seats_of(id, panel)
    lost_appeals = Purse(store.balances, HoldReason.APPEAL, _end_appeals(store, id, panel, digest))
    losses = [_loss(store, panel, seat, digest) for seat in seats]
    for seat, loss in zip(seats, losses, strict=True):
        store.balances.release(seat.processor, HoldReason.JUROR, store.lock_of(panel) - loss)
    overruled = Purse(
        store.balances,
        HoldReason.JUROR,
        [(seat.processor, loss) for seat, loss in zip(seats, losses, strict=True) if loss],
    )
    funds = (lost_appeals.pay, fund, overruled.pay, lambda to, amount: _pay_from_treasury(store, to, amount))
    for seat, loss in zip(seats, losses, strict=True):
        opinion, paid = tally.opinion_of(seat, digest), 0
        if opinion is Opinion.AGREED and digest is not None:
            paid = pay_from(funds, seat.processor, panel.dispute.reward)
        elif opinion is Opinion.AGREED:
            paid = _pay_from_treasury(store, seat.processor, panel.dispute.reward // 2)
        store.emit(JurorSettled(id, seat.processor, opinion, paid, loss))
    lost_appeals.burn()
    for rung in range(panel.rung + 1):
        store.benches.remove((id, rung))
    store.panels.remove(id)
    store.emit(PanelSettled(id))
    return overruled


def _loss(store: JuryStore, panel: Panel, seat: Seat, digest: bytes | None) -> int:
    """An overruled juror loses its lock, an absent one a fine; while nobody knows the truth, no juror loses anything.

    An absent auditor is fined in any case: it alone is why there is no verdict.
    """
    opinion = tally.opinion_of(seat, digest)
    if opinion is Opinion.DISSENTED:
        return store.lock_of(panel)
    if opinion is Opinion.SILENT and (digest is not None or panel.kind is PanelKind.AUDIT):
        return panel.dispute.reward * store.parameters.get().absence_ppm // PPM
    return 0


def _end_appeals(store: JuryStore, id: int, panel: Panel, digest: bytes | None) -> list[tuple[bytes, int]]:
    """Give back the bonds of appeals that were right, or that nobody knows to be wrong. The lost ones."""
    lost = []
    for appeal in panel.appeals:
        wrong = digest is not None and appeal.against == digest
        if wrong:
            lost.append((appeal.who, appeal.amount))
        else:
            store.balances.release(appeal.who, HoldReason.APPEAL, appeal.amount)
        store.emit(AppealSettled(id, appeal.who, appeal.amount if wrong else 0))
    return lost


def _pay_from_treasury(store: JuryStore, to: bytes, amount: int) -> int:
    """At most `amount`, within what the treasury has and what it may give in an era. What was paid."""
    parameters, balances = store.parameters.get(), store.balances
    era = store.system.slot // parameters.era_slots
    last, spent = store.treasury_spent.get()
    spent = spent if last == era else 0
    available = balances.free(TREASURY) - balances.existential_deposit
    paid = max(0, min(amount, parameters.treasury_per_era_max - spent, available))
    if paid:
        balances.transfer(TREASURY, to, paid, keep_alive=True)
        store.treasury_spent.put((era, spent + paid))
    return paid
