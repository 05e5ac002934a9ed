"""The invariant of Juries, looked up the long way."""

from collections.abc import Iterator

from pallets.balances import HoldReason
from pallets.juries.store import JuryStore
from pallets.juries.types import Panel, Stage
from runtime.errors import InvariantBroken


def check_juries(store: JuryStore) -> None:
    """Raises InvariantBroken."""
    locks: dict[tuple[bytes, HoldReason], int] = {}
    for number, panel in store.panels.items():
        _check_panel(store, number, panel)
        for who, reason, amount in _locked(store, number, panel):
            locks[who, reason] = locks.get((who, reason), 0) + amount
    for (number, rung), bench in store.benches.items():
        if store.panels.find(number) is None:
            raise InvariantBroken(f"juries: {len(bench)} seats on rung {rung} of panel {number}, which is settled")
    for who, holds in store.balances.holds.items():
        for hold in holds:
            if hold.id in (HoldReason.JUROR, HoldReason.APPEAL) and hold.amount != locks.pop((who, hold.id), 0):
                raise InvariantBroken(f"juries: {hold.id.name} hold of 0x{who.hex()} is {hold.amount}")
    if any(locks.values()):
        raise InvariantBroken(f"juries: locks without a hold: {locks}")


def _check_panel(store: JuryStore, id: int, panel: Panel) -> None:
    seats = store.seats_of(id, panel)
    if len({seat.manager for seat in seats}) != len(seats):
        raise InvariantBroken(f"juries: panel {id}: a manager has two seats")
    for rung in range(panel.rung + 1):
        ranks = [seat.rank for seat in store.benches.get((id, rung))]
        if ranks != sorted(ranks):
            raise InvariantBroken(f"juries: panel {id}: rung {rung} is not in the order of ranks")
    if panel.stage is not Stage.DECIDED and panel.wake <= store.system.slot and not store.agenda.lag():
        raise InvariantBroken(f"juries: panel {id} is not awaited")


def _locked(store: JuryStore, id: int, panel: Panel) -> Iterator[tuple[bytes, HoldReason, int]]:
    """All money that a panel has locked."""
    for seat in store.seats_of(id, panel):
        yield seat.processor, HoldReason.JUROR, store.lock_of(panel)
    for appeal in panel.appeals:
        yield appeal.who, HoldReason.APPEAL, appeal.amount
