"""Audits: now and then a processor drawn by lot computes a result again, before it is accepted (spec/job-layer.md §5).

The lottery is drawn from a beacon that comes after the result is fixed, so nobody knows beforehand which one is looked
at. The less often a processor has been found right, the more often it is audited; never less than one in sixteen.
"""

from dataclasses import replace

from pallets.jobs.types import Adaptive
from pallets.juries.types import PanelKind
from pallets.verification import phases, verdicts
from pallets.verification.events import AuditDrawn
from pallets.verification.store import VerificationStore
from pallets.verification.types import Round, RoundKey, RoundState
from runtime.hashing import blake2b256

AUDITS_MAX = 2
"""If no auditor answers twice there is none to be had, and the result goes on without. It earns no trust then."""
TICKET_SPAN = 1 << 64


def draw_later(store: VerificationStore, key: RoundKey, current: Round) -> None:
    """The lottery waits for its beacon."""
    store.put(key, replace(current, state=RoundState.DRAWING, deadline=store.agenda.now() + 1))


def draw(store: VerificationStore, key: RoundKey) -> None:
    """Once the beacon is known: an audit, or on without one."""
    current, parameters = store.rounds.get(key), store.parameters.get()
    mix = store.beacon.randomness_at(current.block + parameters.draw_delay_blocks)
    if mix is None and store.system.number <= current.block + parameters.draw_delay_blocks:
        draw_later(store, key, current)
    elif mix is None or _is_drawn(store, key, mix):
        _open(store, key, current)
    else:
        go_on(store, key, current)


def _is_drawn(store: VerificationStore, key: RoundKey, mix: bytes) -> bool:
    spec, parameters = store.spec_of(key), store.parameters.get()
    one_in = parameters.audit_one_in
    if isinstance(spec.verification, Adaptive):
        processor = next(entry.terms.processor for _, entry in store.entries_of(key))
        verified = store.reputation.cv(processor, spec.runtime)
        if verified < parameters.trusted_after:
            return True
        one_in = min(verified, one_in)
    subject = store.jobs.jobs.get(key[0]).id_hash + key[1].to_bytes(4, "little")
    return int.from_bytes(blake2b256(mix + subject)[:8], "little") < TICKET_SPAN // one_in


def _open(store: VerificationStore, key: RoundKey, current: Round) -> None:
    panel = store.juries.open(PanelKind.AUDIT, verdicts.dispute_of(store, key))
    store.panels.put(panel, key)
    store.rounds.put(key, replace(current, state=RoundState.AUDITING, panel=panel, audits=current.audits + 1))
    store.emit(AuditDrawn(key[0], key[1], panel))


def decided(store: VerificationStore, key: RoundKey, panel: int, digest: bytes | None) -> None:
    """The auditor's word, or none. Its lock stays until it is known who was right."""
    store.panels.remove(panel)
    current = replace(store.rounds.get(key), panel=None)
    if digest is not None:
        go_on(store, key, replace(current, audit=digest, audit_panel=panel))
        return
    store.juries.settle(panel, None)
    if current.audits < AUDITS_MAX:
        _open(store, key, current)
    else:
        go_on(store, key, current)


def go_on(store: VerificationStore, key: RoundKey, current: Round) -> None:
    """After the lottery or the audit: the processor reveals, or the window runs on; a reported result may be wrong."""
    if isinstance(store.spec_of(key).verification, Adaptive):
        phases.open_reveals(store, key, current)
        return
    reported = next(entry.digest for _, entry in store.entries_of(key))
    phases.open_window(store, key, current)
    if current.audit is not None and current.audit != reported:
        verdicts.call_jury(store, key)
