"""Sudo: one account that may act as Root. Exists in development chains only: without a key in genesis nobody can.

Genesis (`sudo` in the chain spec): `key`, the account, 32 bytes; leave the section out on a real network.

Invariant: none beyond the codec's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pallets.nested import DispatchResult, NestedCalls
from runtime.address import Lookup
from runtime.errors import PalletError
from runtime.pallet import Cost, Event, Pallet, Root, RuntimeCall, Signed, call
from runtime.scale import Registry
from runtime.state import State
from runtime.storage import Value
from runtime.types import AccountId
from runtime.weight import cost_ps


@dataclass(slots=True)
class Sudid(Event):
    """A sudo call just took place."""

    sudo_result: DispatchResult


@dataclass(slots=True)
class KeyChanged(Event):
    """The sudo key has been updated."""

    old: AccountId | None
    new: AccountId


@dataclass(slots=True)
class KeyRemoved(Event):
    """The key was permanently removed."""


@dataclass(slots=True)
class SudoAsDone(Event):
    """A sudo_as call just took place."""

    sudo_result: DispatchResult


class RequireSudo(PalletError):
    """Sender must be the Sudo account."""

    index = 0


def _inner(call: RuntimeCall) -> int:
    return cost_ps(reads=1, writes=0) + call.weight_ps


def _inner_as(who: bytes, call: RuntimeCall) -> int:
    return _inner(call)


class Sudo(Pallet):
    """The sudo key. `nested.bind(runtime)` after composition."""

    name, index = "Sudo", 8
    events = (Sudid, KeyChanged, KeyRemoved, SudoAsDone)
    errors = (RequireSudo,)

    def __init__(self, state: State, registry: Registry, nested: NestedCalls) -> None:
        super().__init__(state, registry)
        self.nested = nested
        self.key: Value[bytes | None] = self.value("Key", AccountId, None, "The AccountId of the sudo key.")

    def genesis(self, config: Mapping[str, Any]) -> None:
        key = config.get("key")
        if key is None:
            return
        if not isinstance(key, bytes) or len(key) != 32 or not any(key):
            raise ValueError("sudo.key: expected an account of 32 bytes that are not all zero")
        self.key.put(key)

    @call(index=0, weight=_inner)
    def sudo(self, origin: Signed, call: RuntimeCall) -> None:
        """Dispatch a call with Root origin. It succeeds; the event holds the inner call's result."""
        self._require(origin)
        self.emit(Sudid(self.nested.run(call, Root())))

    @call(index=2, weight=Cost(reads=1, writes=1))
    def set_key(self, origin: Signed, new: Lookup) -> None:
        """Authenticate the current sudo key and set the given account as the new sudo key."""
        old = self.key.get()
        self._require(origin)
        self.key.put(new)
        self.emit(KeyChanged(old, new))

    @call(index=3, weight=_inner_as)
    def sudo_as(self, origin: Signed, who: Lookup, call: RuntimeCall) -> None:
        """Dispatch a call with Signed origin from a given account."""
        self._require(origin)
        self.emit(SudoAsDone(self.nested.run(call, Signed(who))))

    @call(index=4, weight=Cost(reads=1, writes=1))
    def remove_key(self, origin: Signed) -> None:
        """Permanently remove the sudo key."""
        self._require(origin)
        self.key.remove()
        self.emit(KeyRemoved())

    def _require(self, origin: Signed) -> None:
        if self.key.get() != origin.who:
            raise RequireSudo
