"""The invariants of Verification, checked after every block in tests."""

from pallets.balances import HoldReason
from pallets.jobs.executions import AWAITING_STATES
from pallets.verification.store import VerificationStore
from pallets.verification.verdicts import bond_key
from runtime.errors import InvariantBroken


def check_verification(store: VerificationStore) -> None:
    """Raises InvariantBroken naming the execution."""
    waiting = {
        (job, execution, number): record
        for (job, number, execution), record in store.jobs.executions.items()
        if record.state in AWAITING_STATES
    }
    entries = dict(store.entries.items())
    if waiting.keys() != entries.keys():
        raise InvariantBroken(f"verification: {waiting.keys() ^ entries.keys()} wait without entry, or the reverse")
    bound: dict[tuple[int, int, int], int] = {}
    for key, entry in entries.items():
        if not store.rounds.contains(store.key_of(*key)):
            raise InvariantBroken(f"verification: {key} waits without a round")
        bond = bond_key(key[0], key[2], entry.terms)
        bound[bond] = bound.get(bond, 0) + 1
    for key, late in store.late.items():
        bond = bond_key(key[0], key[2], late.terms)
        bound[bond] = bound.get(bond, 0) + 1
    for key, bond_record in store.escrow.bonds.items():
        if bond_record.pending != bound.get(key, 0):
            raise InvariantBroken(f"verification: the bond {key} counts {bond_record.pending}, not {bound.get(key, 0)}")
    _check_rounds(store)


def _check_rounds(store: VerificationStore) -> None:
    held: dict[bytes, int] = {}
    for key, current in store.rounds.items():
        if not list(store.entries_of(key)):
            raise InvariantBroken(f"verification: round {key} without entries")
        if current.challenge is not None:
            who = current.challenge.challenger
            held[who] = held.get(who, 0) + current.challenge.bond
        if current.panel is not None and store.panels.find(current.panel) != key:
            raise InvariantBroken(f"verification: round {key} waits for panel {current.panel}, which is not its own")
        if current.panel is None and current.wake <= store.system.slot and not store.agenda.lag():
            raise InvariantBroken(f"verification: round {key} in {current.state.name} is not awaited")
    for number, key in store.panels.items():
        if not store.rounds.contains(key):
            raise InvariantBroken(f"verification: panel {number} decides a round that is over")
    for who, holds in store.balances.holds.items():
        found = next((hold.amount for hold in holds if hold.id is HoldReason.CHALLENGE), 0)
        if found != held.pop(who, 0):
            raise InvariantBroken(f"verification: CHALLENGE hold of 0x{who.hex()} is {found}")
    if any(held.values()):
        raise InvariantBroken(f"verification: challenges without a hold: {held}")
