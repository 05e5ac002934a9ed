"""Rounds of replicas: processors commit, all at once may reveal, then equal results are accepted (§5).

A commitment binds before anybody has shown anything, so a result cannot be copied. Nobody reveals before a few slots
have passed since the last commitment, so that no reorganisation opens commitments again after a reveal.

Collecting ends when every slot has committed or is over with the execution, at the latest when the last attempt that
began in time must be over. Revealing ends when all are revealed, at the latest by its deadline. What then happens:

    deterministic   all equal and enough -> accepted; any two differ -> a jury; not opened -> bond frozen
    otherwise       enough equal -> accepted, the others unpaid; not opened -> a fine
    else            nothing is accepted: who showed a result gets the error share, the payer the rest
"""

from dataclasses import replace

from pallets.jobs import credibility, executions, settling
from pallets.jobs.events import ExecutionCommitted, ExecutionReported
from pallets.jobs.modes import is_deterministic
from pallets.jobs.records import ExecutionState, SlotState
from pallets.jobs.report import Outcome
from pallets.jobs.types import Adaptive, Credibility, JobSpec, Quorum
from pallets.verification import audits, digests, phases, verdicts
from pallets.verification.errors import (
    AlreadyRevealed,
    CollectClosed,
    CommitmentMismatch,
    NotCommitted,
    RevealNotOpen,
)
from pallets.verification.outcomes import shown_digest
from pallets.verification.store import VerificationStore
from pallets.verification.types import Entry, EntryKey, Round, RoundKey, RoundState
from runtime.types import Hash


def commit(store: VerificationStore, key: EntryKey, attempt: int, commitment: Hash) -> None:
    """Bind a running attempt to a result. The first commitment opens the round."""
    job, execution, number = key
    round_key = store.key_of(*key)
    current = store.rounds.find(round_key) or _opened(store, round_key)
    if current.state is not RoundState.COLLECTING:
        raise CollectClosed
    terms = settling.terms_of(store.jobs.slot(job, number), attempt)
    store.entries.put(key, Entry(terms, commitment, None, None))
    store.emit(ExecutionCommitted(job, execution, number, attempt, commitment))
    settling.await_judgment(store.jobs, job, execution, number, ExecutionState.COMMITTED)
    if _all_done(store, round_key):
        close_collect(store, round_key)


def _opened(store: VerificationStore, key: RoundKey) -> Round:
    """A round whose last commitment may come as late as an attempt that starts at the last moment ends."""
    schedule, agenda = store.spec_of(key).schedule, store.agenda
    latest = schedule.start_ms + key[1] * schedule.interval_ms + 2 * schedule.start_delay_max_ms + schedule.duration_ms
    wait = agenda.slots_of(max(0, latest - store.system.now_ms)) + store.parameters.get().collect_grace
    return store.put(
        key,
        Round(
            state=RoundState.COLLECTING,
            deadline=agenda.now() + wait,
            open_at=0,
            block=0,
            window_until=0,
            panel=None,
            audits=0,
            challenges=0,
            audit=None,
            audit_panel=None,
            challenge=None,
            wake=0,
        ),
    )


def _all_done(store: VerificationStore, key: RoundKey) -> bool:
    """Whether no slot can commit any more."""
    for _, slot in store.jobs.slots_of(key[0]):
        to_come = slot.next <= key[1] and slot.state is not SlotState.CLOSED
        if to_come or key[1] in slot.live:
            return False
    return True


def close_collect(store: VerificationStore, key: RoundKey) -> None:
    """Take no more commitments: who is still at it is let go, and the others may reveal after the gap."""
    job, execution, _ = key
    for number in range(store.jobs.jobs.get(job).slots):
        executions.bring_up(store.jobs, job, number)
        if execution in store.jobs.slot(job, number).live:
            settling.withdraw(store.jobs, job, execution, number)
    closed = replace(store.rounds.get(key), block=store.system.number)
    if isinstance(store.spec_of(key).verification, Adaptive):
        audits.draw_later(store, key, closed)
    else:
        phases.open_reveals(store, key, closed)


def reveal(
    store: VerificationStore, who: bytes, key: EntryKey, generation: int, attempt: int, outcome: Outcome, salt: bytes
) -> None:
    """Show the result that an attempt was bound to. The last one settles the round."""
    job, execution, number = key
    round_key = store.key_of(*key)
    current, entry = store.rounds.find(round_key), store.entries.find(key)
    if current is None or entry is None:
        raise NotCommitted
    terms = entry.terms
    if (terms.processor, terms.generation, terms.attempt) != (who, generation, attempt):
        raise NotCommitted
    if current.state is not RoundState.REVEALING or store.agenda.now() < current.open_at:
        raise RevealNotOpen
    if entry.outcome is not None:
        raise AlreadyRevealed
    digest = shown_digest(store.spec_of(round_key), store.work_of(round_key), outcome)
    genesis, job_hash = store.system.genesis_hash, store.jobs.jobs.get(job).id_hash
    place = (execution, number, generation, attempt)
    if digests.commitment(genesis, job_hash, *place, who, digest, salt) != entry.commitment:
        raise CommitmentMismatch
    store.entries.put(key, replace(entry, outcome=outcome, digest=digest))
    settling.move(store.jobs, job, execution, number, ExecutionState.REPORTED)
    store.emit(ExecutionReported(job, execution, number, attempt, digest))
    if all(other.outcome is not None for _, other in store.entries_of(round_key)):
        tally(store, round_key)


def tally(store: VerificationStore, key: RoundKey) -> None:
    """All that will be revealed is: accept, call a jury, or give up."""
    groups: dict[bytes, list[Entry]] = {}
    entries = [entry for _, entry in store.entries_of(key)]
    for entry in entries:
        if entry.digest is not None:
            groups.setdefault(entry.digest, []).append(entry)
    spec, audited = store.spec_of(key), store.rounds.get(key).audit
    differ = len(groups) > 1 or (audited is not None and audited not in groups and len(groups) > 0)
    largest = max(groups, key=lambda digest: len(groups[digest]), default=None)
    if differ and is_deterministic(spec):
        verdicts.call_jury(store, key)
    elif largest is not None and _is_enough(store, spec, groups[largest], len(entries)):
        verdicts.accept(store, key, largest, verified=len(groups[largest]) > 1 or audited is not None)
    else:
        verdicts.give_up(store, key)


def _is_enough(store: VerificationStore, spec: JobSpec, agreeing: list[Entry], committed: int) -> bool:
    """Whether so many equal results, of so many that were committed, are accepted."""
    mode = spec.verification
    if isinstance(mode, Quorum):
        return len(agreeing) >= mode.agreeing
    if isinstance(mode, Credibility):
        trusted = credibility.suffices(store.jobs, spec, (entry.terms.processor for entry in agreeing))
        return trusted and 2 * len(agreeing) > committed
    return True


def advance(store: VerificationStore, key: RoundKey) -> None:
    """Apply what is due for a round that collects or reveals."""
    current = store.rounds.get(key)
    over = store.agenda.now() >= current.deadline
    if current.state is RoundState.COLLECTING and (over or _all_done(store, key)):
        close_collect(store, key)
    elif current.state is RoundState.REVEALING and over:
        tally(store, key)
