"""Session: which validators author and vote, and with which keys (spec/chain.md (c)).

The boundary is the first block whose slot // length exceeds its parent's; skipped sessions merge into one step. There
active := queued and queued := the elected validators with their present keys, so keys set in session i act in i + 2.
Elected validators are those of genesis until Root names others.

Genesis (`session` in the chain spec):
    slots       length of a session in slots, 2..100,000; default 300
    validators  list of {account, aura, grandpa, beacon}: 1..64 entries of 32 bytes each, all distinct in their column;
                `beacon` is the commitment of the author's hash chain

Invariant (`check_state`): Validators, ActiveKeys, Aura's and Grandpa's authorities and Beacon's commitments name the
same members in the same order; KeyOwner is exactly the inverse of NextKeys; at most floor((n-1)/3) are disabled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pallets.aura import Aura
from pallets.balances import Balances, HoldReason
from pallets.beacon import Beacon
from pallets.grandpa import Grandpa
from pallets.session_keys import (
    PROOF_BYTES,
    VALIDATORS_MAX,
    InvalidProof,
    KeyTypeId,
    SessionKeys,
    Validators,
    ValidatorsHint,
    check_possession,
    commitments_of,
    genesis_validators,
    members_of,
)
from pallets.system import System
from runtime.errors import BlockFault, InvalidBlock, InvariantBroken, PalletError
from runtime.pallet import Cost, Event, Pallet, Root, Signed, call
from runtime.scale import U32, U128, Bounded, Registry
from runtime.state import State
from runtime.storage import Map, Value
from runtime.types import AccountId
from runtime.weight import DispatchClass, cost_ps

SESSION_SLOTS = 300
SESSION_SLOTS_MIN = 2
SESSION_SLOTS_MAX = 100_000
ERA_SESSIONS = 6
UNBONDING_ERAS = 168
KEYS_DEPOSIT = 10**10 + 10**8 * 512
"""Planck held while an account has keys here: base and about 512 bytes in NextKeys, KeyOwner and Registrations."""

Accounts = Annotated[tuple[AccountId, ...], Bounded(VALIDATORS_MAX)]


@dataclass(frozen=True, slots=True)
class Registration:
    """When an account last changed its keys, and the planck held for them."""

    era: U32
    deposit: U128


@dataclass(slots=True)
class NewSession(Event):
    """New session has happened."""

    session_index: U32


@dataclass(slots=True)
class ValidatorDisabled(Event):
    """Validator has been disabled until the era ends."""

    validator: AccountId


@dataclass(slots=True)
class KeysSet(Event):
    """An account set its session keys; they act in the session after next."""

    who: AccountId


@dataclass(slots=True)
class KeysPurged(Event):
    """An account removed its session keys."""

    who: AccountId


@dataclass(slots=True)
class ValidatorsElected(Event):
    """Root named the validators to be queued at the next boundary."""

    validators: Accounts


class DuplicatedKey(PalletError):
    """Registered duplicate key. Detail: 0 aura, 1 grandpa, 2 beacon."""

    index = 2


class NoKeys(PalletError):
    """No keys are associated with this account. Detail: position in the list of validators."""

    index = 3


class KeysChangedThisEra(PalletError):
    """Keys may change once per era."""

    index = 5


class InvalidValidators(PalletError):
    """Validators must be 1..64 distinct accounts."""

    index = 6


class Session(Pallet):
    """Validators and their keys. Beacon and Aura must run `on_initialize` before this: they look at the parent."""

    name, index = "Session", 6
    events = (NewSession, ValidatorDisabled, KeysSet, KeysPurged, ValidatorsElected)
    errors = (InvalidProof, DuplicatedKey, NoKeys, KeysChangedThisEra, InvalidValidators)

    def __init__(
        self,
        state: State,
        registry: Registry,
        system: System,
        balances: Balances,
        aura: Aura,
        grandpa: Grandpa,
        beacon: Beacon,
    ) -> None:
        super().__init__(state, registry)
        self.system = system
        self.balances = balances
        self.aura = aura
        self.grandpa = grandpa
        self.beacon = beacon
        self.validators: Value[tuple[bytes, ...]] = self.value(
            "Validators", Accounts, (), "The current set of validators, in the order of Aura.Authorities."
        )
        self.current_index: Value[int] = self.value("CurrentIndex", U32, 0, "Current index of the session.")
        self.queued_changed: Value[bool] = self.value(
            "QueuedChanged", bool, False, "True if the queued validators or keys differ from the active ones."
        )
        self.queued_keys: Value[Validators] = self.value(
            "QueuedKeys", ValidatorsHint, (), "The validators of the next session with their keys."
        )
        self.disabled: Value[tuple[bytes, ...]] = self.value(
            "DisabledValidators", Accounts, (), "Validators that may not author until the era ends."
        )
        self.next_keys: Map[bytes, SessionKeys] = self.map(
            "NextKeys", AccountId, SessionKeys, None, "The next session keys for a validator."
        )
        self.key_owner: Map[tuple[bytes, bytes], bytes] = self.map(
            "KeyOwner", tuple[KeyTypeId, Annotated[bytes, Bounded(32)]], AccountId, None, "The owner of a key."
        )
        self.active_keys: Value[Validators] = self.value(
            "ActiveKeys", ValidatorsHint, (), "The current validators with the keys they act with."
        )
        self.elected: Value[tuple[bytes, ...]] = self.value(
            "Elected", Accounts, (), "The validators to be queued at the next boundary."
        )
        self.registrations: Map[bytes, Registration] = self.map(
            "Registrations", AccountId, Registration, None, "When an account last changed its keys."
        )
        self.length: Value[int] = self.value("Length", U32, SESSION_SLOTS, "Slots in a session.")
        self.constant("SessionsPerEra", U32, ERA_SESSIONS, "Sessions in an era.")
        self.constant("KeyDeposit", U128, KEYS_DEPOSIT, "Planck held while an account has keys here.")

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Set 0 is active from block 1. See the module's docstring for `config`."""
        slots = config.get("slots", SESSION_SLOTS)
        if type(slots) is not int or not SESSION_SLOTS_MIN <= slots <= SESSION_SLOTS_MAX:
            raise ValueError(f"session.slots: {slots!r}, expected {SESSION_SLOTS_MIN}..{SESSION_SLOTS_MAX}")
        active = genesis_validators(config.get("validators", ()))
        accounts = tuple(account for account, _ in active)
        self.length.put(slots)
        self.current_index.put(0)
        self.elected.put(accounts)
        self.queued_keys.put(active)
        self.queued_changed.put(False)
        for account, keys in active:
            self.next_keys.put(account, keys)
            for typed in keys.typed():
                self.key_owner.put(typed, account)
        self._activate(active)
        self.aura.change_authorities(tuple(keys.aura for _, keys in active), announce=False)
        self.grandpa.begin(members_of(active))
        self.beacon.rotate(0, commitments_of(active))

    def on_initialize(self, number: int, slot: int) -> int:
        """Refuse a disabled author; begin a session if this block is a boundary. Raises InvalidBlock(AUTHOR)."""
        assert self.beacon.seen == number, "Beacon runs before Session: it checks the reveal by the parent's keys"
        author = self.author_of_slot(slot)
        if author in self.disabled.get():
            raise InvalidBlock(BlockFault.AUTHOR, f"validator 0x{author.hex() if author else ''} is disabled")
        length = self.length.get()
        if number <= 1 or slot // length <= self.system.parent_slot // length:
            return cost_ps(reads=4, writes=0)
        self._begin_session()
        return cost_ps(reads=12 + 2 * len(self.elected.get()), writes=12)

    def _begin_session(self) -> None:
        index = self.current_index.get() + 1
        self.current_index.put(index)
        active, queued = self.active_keys.get(), self.queued_keys.get()
        if index % ERA_SESSIONS == 0 and self.disabled.get():
            self.disabled.put(())
        # A forced change of voters in the making freezes the set: its digest already names the voters to come.
        following = active if self.grandpa.forced_pending() else queued
        self._activate(following)
        queued = self._queue() or queued
        self.queued_keys.put(queued)
        self.queued_changed.put(queued != following)
        members = members_of(following)
        changed = members != members_of(active)
        if changed:
            self.aura.change_authorities(tuple(keys.aura for _, keys in following))
        self.grandpa.rotate(members, changed=changed, keep_slots=self.unbonding_slots())
        self.beacon.rotate(index, commitments_of(following))
        self.emit(NewSession(index))

    def _queue(self) -> Validators:
        """The elected validators that have keys, with those keys."""
        found = ((account, self.next_keys.find(account)) for account in self.elected.get())
        return tuple((account, keys) for account, keys in found if keys is not None)

    def _activate(self, active: Validators) -> None:
        if active == self.active_keys.get():
            return
        accounts = tuple(account for account, _ in active)
        self.active_keys.put(active)
        self.validators.put(accounts)
        if self.disabled.get():
            kept = tuple(account for account in self.disabled.get() if account in accounts)
            self.disabled.put(kept[: disabled_max(len(accounts))])

    # Calls. Names and the first two indices are pallet_session's.

    @call(index=0, weight=Cost(reads=7, writes=10, extra_us=200))
    def set_keys(self, origin: Signed, keys: SessionKeys, proof: Annotated[bytes, Bounded(PROOF_BYTES)]) -> None:
        """Set the session keys of the caller. `proof`: the aura key's signature, then the gran key's."""
        registration = self.registrations.find(origin.who)
        if registration is not None and registration.era == self.era():
            raise KeysChangedThisEra
        for kind, typed in enumerate(keys.typed()):
            if self.key_owner.find(typed) not in (None, origin.who):
                raise DuplicatedKey(kind)
        check_possession(self.system.genesis_hash, origin.who, keys, proof)
        deposit = registration.deposit if registration is not None else 0
        if deposit == 0:
            deposit = KEYS_DEPOSIT
            self.balances.hold(origin.who, HoldReason.STORAGE_DEPOSIT, deposit)
        self._forget_keys(origin.who)
        for typed in keys.typed():
            self.key_owner.put(typed, origin.who)
        self.next_keys.put(origin.who, keys)
        self.registrations.put(origin.who, Registration(self.era(), deposit))
        self.emit(KeysSet(origin.who))

    @call(index=1, weight=Cost(reads=4, writes=7))
    def purge_keys(self, origin: Signed) -> None:
        """Remove the caller's session keys; it leaves the validators in the session after next."""
        registration = self.registrations.find(origin.who)
        if registration is not None and registration.era == self.era():
            raise KeysChangedThisEra
        if not self._forget_keys(origin.who):
            raise NoKeys
        if registration is not None:
            self.balances.release(origin.who, HoldReason.STORAGE_DEPOSIT, registration.deposit)
            self.registrations.remove(origin.who)
        self.emit(KeysPurged(origin.who))

    @call(index=2, weight=Cost(reads=VALIDATORS_MAX, writes=1), dispatch_class=DispatchClass.OPERATIONAL)
    def set_validators(self, origin: Root, validators: Accounts) -> None:
        """Name the validators, to be queued at the next boundary. Each must have keys."""
        if not validators or len(set(validators)) != len(validators):
            raise InvalidValidators
        for position, account in enumerate(validators):
            if not self.next_keys.contains(account):
                raise NoKeys(position)
        self.elected.put(validators)
        self.emit(ValidatorsElected(validators))

    def _forget_keys(self, who: bytes) -> bool:
        previous = self.next_keys.find(who)
        if previous is None:
            return False
        for typed in previous.typed():
            self.key_owner.remove(typed)
        self.next_keys.remove(who)
        return True

    # For the executive and other pallets.

    def era(self) -> int:
        """The current era: six sessions."""
        return self.current_index.get() // ERA_SESSIONS

    def unbonding_slots(self) -> int:
        """For how long members of a set answer for what they signed in it."""
        return UNBONDING_ERAS * ERA_SESSIONS * self.length.get()

    def author_of_slot(self, slot: int) -> bytes | None:
        """The account that authors `slot` in a child of this state."""
        validators = self.validators.get()
        return validators[slot % len(validators)] if validators else None

    def disable(self, who: bytes) -> bool:
        """Forbid `who` to author until the era ends, unless too many are disabled. Its vote keeps its weight."""
        validators, disabled = self.validators.get(), self.disabled.get()
        if who not in validators or who in disabled or len(disabled) >= disabled_max(len(validators)):
            return False
        self.disabled.put((*disabled, who))
        self.emit(ValidatorDisabled(who))
        return True

    def check_state(self) -> None:
        active, disabled = self.active_keys.get(), self.disabled.get()
        if tuple(account for account, _ in active) != self.validators.get() or not active:
            raise InvariantBroken("session: Validators and ActiveKeys differ")
        if not set(disabled) <= set(self.validators.get()) or len(disabled) > disabled_max(len(active)):
            raise InvariantBroken(f"session: {len(disabled)} of {len(active)} validators disabled")
        owners = {typed: account for account, keys in self.next_keys.items() for typed in keys.typed()}
        if owners != dict(self.key_owner.items()):
            raise InvariantBroken("session: KeyOwner is not the inverse of NextKeys")
        if self.aura.authorities.get() != tuple(keys.aura for _, keys in active):
            raise InvariantBroken("session: Aura.Authorities are not the active keys")
        if tuple(key for key, _ in self.grandpa.authorities.get()) != tuple(keys.grandpa for _, keys in active):
            raise InvariantBroken("session: Grandpa.Authorities are not the active keys")
        if self.beacon.commitments.get() != commitments_of(active):
            raise InvariantBroken("session: Beacon.Commitments are not the active keys")


def disabled_max(validators: int) -> int:
    """At most so many of n validators may be disabled at a time."""
    return (validators - 1) // 3
