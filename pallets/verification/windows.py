"""Reported results that wait for doubts: the owner's (OwnerAccept) or anybody's (Reexecution). Silence accepts.

A challenger binds itself to another result and bonds more than the first jury costs. A challenge that is not carried
through loses its bond, so that a liar cannot keep others from challenging by challenging itself.
"""

from dataclasses import replace

from pallets.jobs.failure import OwnerRejected
from pallets.jobs.modes import is_deterministic
from pallets.jobs.records import Terms
from pallets.jobs.report import Outcome, Succeeded
from pallets.jobs.types import OwnerAccept, Reexecution
from pallets.verification import audits, challenges, digests, phases, verdicts
from pallets.verification.errors import (
    AlreadyChallenged,
    CommitmentMismatch,
    DeliveredTooEarly,
    NotChallengeable,
    NothingToJudge,
    OwnResult,
    TapeMissing,
)
from pallets.verification.events import Challenged, ChallengeDropped
from pallets.verification.outcomes import found_digest
from pallets.verification.store import VerificationStore
from pallets.verification.types import Challenge, Entry, Round, RoundKey, RoundState
from runtime.types import Hash

CHALLENGES_MAX = 4
"""So many interrupted windows are made up for; each costs its challenger more than a result is worth."""


def reported(store: VerificationStore, id: int, execution: int, number: int, terms: Terms, outcome: Succeeded) -> None:
    """A result came by report: its window begins. Raises DigestMismatch, DeliveredTooEarly, TapeMissing."""
    key = store.key_of(id, execution, number)
    spec, mode = store.spec_of(key), store.spec_of(key).verification
    assert isinstance(mode, OwnerAccept | Reexecution), "the other modes commit, or accept at once"
    digest = found_digest(spec, store.work_of(key), outcome)
    if isinstance(mode, Reexecution) and outcome.deliveries:
        raise DeliveredTooEarly
    if isinstance(mode, Reexecution) and spec.capabilities.fetch_hosts and outcome.tape is None:
        raise TapeMissing
    until = store.agenda.now() + store.agenda.slots_of(mode.window_ms)
    store.entries.put((id, execution, number), Entry(terms, None, outcome, digest))
    current = Round(
        state=RoundState.WINDOW,
        deadline=until,
        open_at=0,
        block=store.system.number,
        window_until=until,
        panel=None,
        audits=0,
        challenges=0,
        audit=None,
        audit_panel=None,
        challenge=None,
        wake=0,
    )
    if isinstance(mode, Reexecution):
        audits.draw_later(store, key, current)
    else:
        phases.open_window(store, key, current)


def _waiting(store: VerificationStore, key: RoundKey) -> tuple[Round, Entry]:
    current, entry = store.rounds.find(key), next((entry for _, entry in store.entries_of(key)), None)
    if current is None or entry is None or current.state is not RoundState.WINDOW:
        raise NothingToJudge
    return current, entry


def accept(store: VerificationStore, key: RoundKey) -> None:
    """The window is over, or the owner is content. Raises NothingToJudge."""
    _, entry = _waiting(store, key)
    assert entry.digest is not None, "a report brought it"
    verdicts.accept(store, key, entry.digest, verified=store.rounds.get(key).audit is not None)


def reject(store: VerificationStore, key: RoundKey, owner: bytes) -> None:
    """The owner does not take a result: a jury decides where it can, else that is the end of it, without fault."""
    current, _ = _waiting(store, key)
    spec = store.spec_of(key)
    if not is_deterministic(spec) or not spec.reward:
        verdicts.refuse(store, key, OwnerRejected())
        return
    bond = challenges.lock(store, owner, spec.reward)
    store.rounds.put(key, replace(current, challenge=Challenge(owner, bond, None, None)))
    store.emit(Challenged(*key, owner, bond))
    verdicts.call_jury(store, key)


def challenge(store: VerificationStore, key: RoundKey, who: bytes, commitment: Hash) -> None:
    """Bond on a reported result being wrong, bound to another one."""
    current, entry = _challengeable(store, key)
    if current.state is RoundState.CHALLENGED:
        raise AlreadyChallenged
    if current.state is not RoundState.WINDOW:
        raise NotChallengeable
    if entry.terms.manager in (who, store.jobs.processors.manager_of(who)) or who == entry.terms.processor:
        raise OwnResult
    bond = challenges.lock(store, who, store.spec_of(key).reward)
    parameters = store.parameters.get()
    changed = replace(
        current,
        state=RoundState.CHALLENGED,
        deadline=store.agenda.now() + parameters.challenge_reveal,
        challenges=current.challenges + 1,
        challenge=Challenge(who, bond, commitment, None),
    )
    store.put(key, changed)
    store.emit(Challenged(*key, who, bond))


def _challengeable(store: VerificationStore, key: RoundKey) -> tuple[Round, Entry]:
    current, entry = store.rounds.find(key), next((entry for _, entry in store.entries_of(key)), None)
    if current is None or entry is None or not isinstance(store.spec_of(key).verification, Reexecution):
        raise NotChallengeable
    return current, entry


def reveal_challenge(store: VerificationStore, key: RoundKey, who: bytes, outcome: Outcome, salt: bytes) -> None:
    """Show the other result: a jury decides. One that is the same after all drops the challenge."""
    current, entry = _challengeable(store, key)
    challenge = current.challenge
    if current.state is not RoundState.CHALLENGED or challenge is None or challenge.challenger != who:
        raise NothingToJudge
    digest = found_digest(store.spec_of(key), store.work_of(key), outcome)
    job_hash = store.jobs.jobs.get(key[0]).id_hash
    expected = digests.outsiders_commitment(store.system.genesis_hash, job_hash, key[1], who, digest, salt)
    if expected != challenge.commitment:
        raise CommitmentMismatch
    if digest == entry.digest:
        drop(store, key)
        return
    store.rounds.put(key, replace(current, challenge=replace(challenge, digest=digest)))
    verdicts.call_jury(store, key)


def drop(store: VerificationStore, key: RoundKey) -> None:
    """A challenge that was not carried through: its bond is burned, and the window makes up for the interruption."""
    current = store.rounds.get(key)
    assert current.challenge is not None, "the round is challenged"
    challenges.burn(store, current.challenge)
    store.emit(ChallengeDropped(key[0], key[1], current.challenge.challenger, current.challenge.bond))
    until = current.window_until
    if current.challenges < CHALLENGES_MAX:
        until = max(until, store.agenda.now() + store.parameters.get().challenge_reveal)
    phases.open_window(store, key, replace(current, challenge=None, window_until=until))


def advance(store: VerificationStore, key: RoundKey) -> None:
    """Apply what is due for a round that waits in its window, for a lottery or for a challenger."""
    current = store.rounds.get(key)
    if store.agenda.now() < current.deadline:
        return
    if current.state is RoundState.DRAWING:
        audits.draw(store, key)
    elif current.state is RoundState.WINDOW:
        accept(store, key)
    elif current.state is RoundState.CHALLENGED:
        drop(store, key)
