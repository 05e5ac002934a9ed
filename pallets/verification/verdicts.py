"""How a round is settled: who is paid, who goes unpaid, who loses a bond (spec/job-layer.md §3 M7, §5).

Every way out of a round goes through here, settles each of its executions once and removes the round. A bond is lost
by a final verdict alone, or by a deterministic commitment that stays closed for a day.
"""

from dataclasses import replace

from pallets.balances import HoldReason
from pallets.escrow.types import BondKey
from pallets.jobs import settling, slots
from pallets.jobs.failure import Failure, Mismatch, NoAgreement, NotRevealed
from pallets.jobs.modes import is_compared, is_deterministic
from pallets.jobs.records import ExecutionState, Terms
from pallets.juries.settlement import Fund, Purse, no_fund, pay_from
from pallets.juries.types import Dispute, PanelKind
from pallets.verification import challenges
from pallets.verification.events import BondFrozen, JuryCalled, RoundSettled
from pallets.verification.store import LATE_KIND, VerificationStore, agenda_id
from pallets.verification.types import Challenge, Entry, EntryKey, Late, RoundKey, RoundState

LOST_HALVES = 2
Entries = list[tuple[int, Entry]]


# Without a jury.


def accept(store: VerificationStore, key: RoundKey, digest: bytes, *, verified: bool) -> None:
    """Pay every result with this digest. `verified`: others came to it too, which counts for the processors' record.

    Where honest processors may differ, those who do go unpaid, without fault.
    """
    entries = _take(store, key, digest)
    deliverer = _settle_all(store, key, entries, digest, verified=verified)
    store.emit(RoundSettled(key[0], key[1], digest, deliverer))


def give_up(store: VerificationStore, key: RoundKey) -> None:
    """Too few agree: who showed a result gets the error share and its bond, the payer the rest."""
    audit = store.rounds.get(key).audit
    entries = _take(store, key, audit)
    for number, entry in entries:
        if entry.outcome is None:
            _leave_unopened(store, (*key[:2], number), entry, audit)
        else:
            paid = store.escrow.pay_error_share(key[0], entry.terms.ask, entry.terms.processor)
            settling.reject(store.jobs, key[0], key[1], number, NoAgreement(), paid)
    _go_on(store, key, entries, None)


def refuse(store: VerificationStore, key: RoundKey, failure: Failure) -> None:
    """Nothing is taken and nobody is at fault: bonds back, the payer keeps its money."""
    entries = _take(store, key, None)
    for number, entry in entries:
        if entry.outcome is None:
            _leave_unopened(store, (*key[:2], number), entry, None)
        else:
            settling.reject(store.jobs, key[0], key[1], number, failure)
    _go_on(store, key, entries, None)


# By a jury.


def call_jury(store: VerificationStore, key: RoundKey) -> None:
    """Results differ: others compute the execution again and have the last word."""
    panel = store.juries.open(PanelKind.JURY, dispute_of(store, key))
    store.panels.put(panel, key)
    store.rounds.put(key, replace(store.rounds.get(key), state=RoundState.JURY, panel=panel))
    for number, entry in store.entries_of(key):
        if entry.outcome is not None:
            settling.move(store.jobs, key[0], key[1], number, ExecutionState.DISPUTED)
    store.emit(JuryCalled(key[0], key[1], panel))


def dispute_of(store: VerificationStore, key: RoundKey) -> Dispute:
    """What a panel is told. Whoever has a stake in the answer, or their manager, does not judge."""
    job, spec, current = store.jobs.jobs.get(key[0]), store.spec_of(key), store.rounds.get(key)
    processors = store.jobs.processors
    parties = [entry.terms.processor for _, entry in store.entries_of(key)]
    managers = [entry.terms.manager for _, entry in store.entries_of(key)]
    if current.challenge is not None:
        parties.append(current.challenge.challenger)
    if current.audit_panel is not None:
        panel = store.juries.panel(current.audit_panel)
        parties += [seat.processor for seat in store.juries.seats_of(current.audit_panel, panel)]
    managers += [job.owner, *(processors.manager_of(who) for who in (job.owner, *parties))]
    return Dispute(
        job=key[0],
        execution=key[1],
        subject=job.id_hash,
        runtime=job.runtime,
        reward=job.reward,
        duration_ms=spec.schedule.duration_ms,
        excluded=tuple(sorted(set(managers))),
        parties=tuple(sorted({*parties, job.owner})),
    )


def decided(store: VerificationStore, key: RoundKey, panel: int, digest: bytes | None) -> None:
    """The last word of a jury. Hung: nobody is at fault, nothing is taken, every bond comes back."""
    challenge = store.rounds.get(key).challenge
    if digest is None:
        store.juries.settle(panel, None, no_fund)
        challenges.give_back(store, challenge)
        refuse(store, key, NoAgreement())
        return
    auditor_lock = _end_audit(store, key, digest)
    entries = _remove(store, key)
    wrong = [(number, entry) for number, entry in entries if entry.digest not in (None, digest)]
    if wrong:
        _convict(store, key, panel, digest, wrong, challenge, auditor_lock)
        challenges.give_back(store, challenge)
    else:
        right = next(entry.terms.processor for _, entry in entries if entry.digest == digest)
        challenges.lose(store, panel, digest, challenge, right, auditor_lock.pay)
    auditor_lock.burn()
    deliverer = _settle_all(store, key, entries, digest, verified=True)
    for number, entry in wrong:
        settling.dismiss(store.jobs, key[0], number, entry.terms)
    store.emit(RoundSettled(key[0], key[1], digest if deliverer is not None else None, deliverer))


def _convict(
    store: VerificationStore,
    key: RoundKey,
    panel: int,
    digest: bytes,
    wrong: Entries,
    challenge: Challenge | None,
    auditor_lock: Purse,
) -> None:
    """M7: payer, jurors and challenger in this order, each as far as the bonds reach; the rest is burned.

    What an earlier fine or verdict took of a bond comes back from the processor's stake: each lie costs a whole bond.
    """
    escrow, job = store.escrow, store.jobs.jobs.get(key[0])
    bonds = [bond_key(key[0], number, entry.terms) for number, entry in wrong]
    for bond, (_, entry) in zip(bonds, wrong, strict=True):
        make_whole(store, bond, entry.terms.processor)
    before = {bond: escrow.bond_of(bond) for bond in bonds}
    for bond in bonds:
        escrow.compensate(bond, job.owner, job.reward)
    from_bonds = _fund(store, bonds)
    store.juries.settle(panel, digest, lambda to, amount: pay_from((from_bonds, auditor_lock.pay), to, amount))
    for bond in bonds:
        # The payer gets its compensation and no more, or it would gain by framing a processor.
        if challenge is not None and challenge.digest == digest and challenge.challenger != job.owner:
            escrow.reward_challenger(bond, before[bond], challenge.challenger)
        escrow.forfeit(bond)
    for _, entry in wrong:
        store.reputation.convicted(entry.terms.processor, job.runtime)


def _fund(store: VerificationStore, bonds: list[BondKey]) -> Fund:
    """Pays jurors from the first bond that has something left, and on."""

    def pay(to: bytes, amount: int) -> int:
        paid = 0
        for bond in bonds:
            paid += store.escrow.pay_from_bond(bond, to, amount - paid)
        return paid

    return pay


# What all ways have in common.


def _take(store: VerificationStore, key: RoundKey, truth: bytes | None) -> Entries:
    """Remove a round, and settle its audit by what turned out to be true. Its entries, for the caller to settle."""
    _end_audit(store, key, truth).burn()
    return _remove(store, key)


def _end_audit(store: VerificationStore, key: RoundKey, truth: bytes | None) -> Purse:
    """Settle the round's audit, if it has one. What the auditor lost: it pays the jury that overruled it."""
    panel, job = store.rounds.get(key).audit_panel, key[0]
    if panel is None:
        return Purse(store.balances, HoldReason.JUROR, [])
    reward = store.jobs.jobs.get(job).reward
    return store.juries.settle_sparing(
        panel, truth, lambda to, amount: store.escrow.pay_auditor(job, min(amount, reward), to)
    )


def _remove(store: VerificationStore, key: RoundKey) -> Entries:
    """Forget a round. Its entries."""
    current, entries = store.rounds.get(key), list(store.entries_of(key))
    if current.panel is not None:
        store.panels.remove(current.panel)
    store.rounds.remove(key)
    for number, _ in entries:
        store.entries.remove((*key[:2], number))
    return entries


def _settle_all(
    store: VerificationStore, key: RoundKey, entries: Entries, digest: bytes, *, verified: bool
) -> int | None:
    """Pay who is right, end the others; the slot that delivers, which is the first of those who are right."""
    job, execution, _ = key
    spec, deliverer = store.spec_of(key), None
    for number, entry in entries:
        if entry.outcome is None:
            _leave_unopened(store, (job, execution, number), entry, digest)
        elif entry.digest == digest:
            deliverer = number if deliverer is None else deliverer
            settling.accept(store.jobs, job, execution, number, entry.terms, entry.outcome)
            if verified and entry.terms.drawn and is_compared(spec):
                store.reputation.verified(entry.terms.processor, spec.runtime)
        else:
            settling.reject(store.jobs, job, execution, number, Mismatch())
            if entry.terms.drawn and not is_deterministic(spec):
                store.reputation.mismatched(entry.terms.processor, spec.runtime)
    _rearm(store, key, entries)
    return deliverer


def _go_on(store: VerificationStore, key: RoundKey, entries: Entries, digest: bytes | None) -> None:
    _rearm(store, key, entries)
    store.emit(RoundSettled(key[0], key[1], digest, None))


def _rearm(store: VerificationStore, key: RoundKey, entries: Entries) -> None:
    """There is room for further executions."""
    for number, _ in entries:
        if store.jobs.is_live(key[0]):
            slots.rearm(store.jobs, key[0], number)


def _leave_unopened(store: VerificationStore, key: EntryKey, entry: Entry, digest: bytes | None) -> None:
    """A commitment that was not opened. Where it could only be the truth or a lie, its bond is frozen; else a fine."""
    job, execution, number = key
    bond, record = bond_key(job, number, entry.terms), store.jobs.jobs.get(job)
    assert entry.commitment is not None, "what was not committed was reported"
    if not is_deterministic(store.jobs.specs.get(job)):
        store.escrow.fine(bond, entry.terms.ask, LOST_HALVES)
    elif store.escrow.is_bonded(bond):
        # Also if a verdict on another result of the lease has emptied it: what is missing is then taken from the stake.
        store.escrow.bind(bond)
        deadline = store.agenda.now() + store.parameters.get().late
        late = Late(
            terms=entry.terms,
            commitment=entry.commitment,
            work=store.work_of(key),
            job_hash=record.id_hash,
            digest=digest,
            runtime=record.runtime,
            payer=record.owner,
            reward=record.reward,
            deadline=deadline,
        )
        store.late.put(key, late)
        store.agenda.arm_at(LATE_KIND, agenda_id(key), 0, deadline)
        store.emit(BondFrozen(job, execution, number, entry.terms.processor, deadline))
    settling.reject(store.jobs, job, execution, number, NotRevealed())


def make_whole(store: VerificationStore, bond: BondKey, processor: bytes) -> None:
    """Before a verdict takes a bond: what it lacks comes out of the processor's stake, as far as that reaches."""
    escrow = store.escrow
    store.jobs.processors.slash_stake(
        processor, escrow.missing_of(bond), lambda _who, reason, amount: escrow.refill(bond, reason, amount)
    )


def bond_key(job: int, number: int, terms: Terms) -> BondKey:
    """The bond of the lease under which a result was made."""
    return job, number, terms.generation
