"""The steps into revealing and into a window, which come after collecting, after an audit or after a challenge."""

from dataclasses import replace

from pallets.verification.events import RevealsOpen
from pallets.verification.store import VerificationStore
from pallets.verification.types import Round, RoundKey, RoundState


def open_reveals(store: VerificationStore, key: RoundKey, current: Round) -> None:
    """Results may be shown after the gap."""
    parameters, clock = store.parameters.get(), store.agenda.now()
    open_at = clock + parameters.gap
    deadline = open_at + parameters.reveal
    store.put(key, replace(current, state=RoundState.REVEALING, open_at=open_at, deadline=deadline))
    committed = sum(1 for _ in store.entries_of(key))
    store.emit(RevealsOpen(key[0], key[1], committed, open_at, deadline))


def open_window(store: VerificationStore, key: RoundKey, current: Round) -> None:
    """A reported result waits for doubts until the end of its window."""
    store.put(key, replace(current, state=RoundState.WINDOW, deadline=current.window_until))
