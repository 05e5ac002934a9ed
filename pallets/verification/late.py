"""Commitments that were not opened in time: for a day their bond can still be recovered, by the accepted result."""

from pallets.jobs.report import Outcome
from pallets.verification import digests
from pallets.verification.errors import CommitmentMismatch, NothingLate, NotTheAcceptedResult
from pallets.verification.events import LateRevealed
from pallets.verification.outcomes import opened_digest
from pallets.verification.store import LATE_KIND, VerificationStore, agenda_id
from pallets.verification.types import EntryKey
from pallets.verification.verdicts import LOST_HALVES, bond_key, make_whole


def reveal(store: VerificationStore, key: EntryKey, who: bytes, outcome: Outcome, salt: bytes) -> None:
    """Open a commitment late. The accepted result recovers the bond, unpaid.

    If nothing was accepted, any opening does, for the fine of a lost lease: its silence may be why.
    """
    late = store.late.find(key)
    if late is None or late.terms.processor != who:
        raise NothingLate
    digest = opened_digest(late.work, outcome)
    place = (key[1], key[2], late.terms.generation, late.terms.attempt)
    expected = digests.commitment(store.system.genesis_hash, late.job_hash, *place, who, digest, salt)
    if expected != late.commitment:
        raise CommitmentMismatch
    bond = bond_key(key[0], key[2], late.terms)
    if late.digest is None:
        store.escrow.fine(bond, late.terms.ask, LOST_HALVES)
    elif digest != late.digest:
        raise NotTheAcceptedResult
    store.late.remove(key)
    store.escrow.unbind(bond)
    store.emit(LateRevealed(*key, who))


def advance(store: VerificationStore, key: EntryKey) -> None:
    """Once the day is over, silence was a lie: the payer is compensated, the rest burned of a whole bond."""
    late = store.late.find(key)
    if late is None:
        return
    if store.agenda.now() < late.deadline:
        store.agenda.arm_at(LATE_KIND, agenda_id(key), 0, late.deadline)
        return
    bond = bond_key(key[0], key[2], late.terms)
    store.late.remove(key)
    make_whole(store, bond, late.terms.processor)
    store.escrow.compensate(bond, late.payer, late.reward)
    store.escrow.forfeit(bond)
    store.escrow.unbind(bond)
    store.reputation.convicted(late.terms.processor, late.runtime)
