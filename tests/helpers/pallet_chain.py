"""A small chain of the base pallets for tests: blocks without roots, fees or signatures of extrinsics.

`Validator` holds real ed25519 keys and a beacon chain; `PalletChain.block` runs one block's hooks and calls in the
executive's order and then every pallet's `check_state`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nacl.signing import SigningKey

from pallets.aura import Aura
from pallets.balances import Balances
from pallets.beacon import Beacon
from pallets.grandpa import Grandpa
from pallets.nested import NestedCalls
from pallets.offences import Offences
from pallets.session import Session
from pallets.session_keys import SessionKeys, possession_message
from pallets.sudo import Sudo
from pallets.system import System
from pallets.timestamp import Timestamp
from pallets.utility import Utility
from runtime.beacon import CHAIN_LENGTH, Chain, Reveal, chain_start, link
from runtime.errors import DispatchError, InvalidBlock
from runtime.hashing import blake2b256
from runtime.pallet import Inherent, Origin, RuntimeCall, Signed
from runtime.runtime import PHASE_FINALIZATION, PHASE_INITIALIZATION, Runtime, new_registry, phase_of
from runtime.state import State
from runtime.types import Digest, DigestItem, slot_item

GENESIS_HASH = blake2b256(b"a test chain")
SLOT_MS = 2_000
SESSION_SLOTS = 10
FIRST_SLOT = 1_000
"""The slot of block 1; a session's first slot."""
UNIT = 10**12
RICH = 1_000 * UNIT


class BeaconSecret:
    """A hash chain kept whole: 65,537 values, shared by all tests that use the same seed."""

    _cache: dict[bytes, list[bytes]] = {}  # noqa: RUF012 - shared on purpose

    def __init__(self, seed: bytes) -> None:
        values = self._cache.get(seed)
        if values is None:
            values = [chain_start(seed, GENESIS_HASH, 0)]
            for _ in range(CHAIN_LENGTH):
                values.append(link(values[-1]))
            self._cache[seed] = values
        self.values = values

    @property
    def commitment(self) -> bytes:
        """x_L."""
        return self.values[-1]

    def reveal(self, chain: Chain) -> Reveal:
        """The link that continues `chain`."""
        return Reveal(self.values[chain.left - 1])


class Validator:
    """An account with aura and gran keys and a beacon secret, all derived from `name` and `generation`."""

    def __init__(self, name: str, generation: int = 0) -> None:
        self.name = name
        self.account = blake2b256(b"account" + name.encode())
        seed = f"{name} {generation}".encode()
        self.aura = SigningKey(blake2b256(b"aura" + seed))
        self.grandpa = SigningKey(blake2b256(b"gran" + seed))
        self.secret = BeaconSecret(seed)

    @property
    def keys(self) -> SessionKeys:
        """The public halves."""
        return SessionKeys(bytes(self.aura.verify_key), bytes(self.grandpa.verify_key), self.secret.commitment)

    def proof(self, account: bytes | None = None) -> bytes:
        """The proof of possession for `account`, its own by default."""
        message = possession_message(GENESIS_HASH, account or self.account, self.keys)
        return self.aura.sign(message).signature + self.grandpa.sign(message).signature

    def genesis(self) -> dict[str, bytes]:
        """The entry in `session.validators`."""
        keys = self.keys
        return {"account": self.account, "aura": keys.aura, "grandpa": keys.grandpa, "beacon": keys.beacon}


class PalletChain:
    """The composed pallets, and the last block's facts."""

    def __init__(
        self,
        validators: Sequence[Validator],
        *,
        rich: Sequence[bytes] = (),
        sudo: bytes | None = None,
        session_slots: int = SESSION_SLOTS,
        extra: Callable[[State, Any, PalletChain], list[Any]] | None = None,
    ) -> None:
        state, registry = State(), new_registry()
        self.nested = NestedCalls()
        self.system = System(state, registry)
        self.system.slot_ms = SLOT_MS
        self.timestamp = Timestamp(state, registry, self.system)
        self.aura = Aura(state, registry, self.system)
        self.grandpa = Grandpa(state, registry, self.system)
        self.balances = Balances(state, registry, self.system)
        self.beacon = Beacon(state, registry, self.system)
        self.session = Session(state, registry, self.system, self.balances, self.aura, self.grandpa, self.beacon)
        self.sudo = Sudo(state, registry, self.nested)
        self.utility = Utility(state, registry, self.nested)
        self.offences = Offences(state, registry, self.system, self.grandpa, self.session)
        pallets = [
            self.system,
            self.timestamp,
            self.aura,
            self.grandpa,
            self.balances,
            self.beacon,
            self.session,
            self.sudo,
            self.utility,
            self.offences,
            *(extra(state, registry, self) if extra else []),
        ]
        self.state = state
        self.runtime = Runtime(state, registry, pallets)
        self.nested.bind(self.runtime)
        self.validators = {v.secret.commitment: v for v in validators}
        self.digest: tuple[DigestItem, ...] = ()
        self.failures: list[DispatchError | None] = []
        accounts = [v.account for v in validators] + list(rich)
        config: Mapping[str, Mapping[str, Any]] = {
            "balances": {"balances": [(account, RICH) for account in dict.fromkeys(accounts)]},
            "session": {"slots": session_slots, "validators": [v.genesis() for v in validators]},
            "sudo": {"key": sudo},
        }
        for pallet in pallets:
            section = pallet.name[0].lower() + pallet.name[1:]
            pallet.genesis(config.get(section, {}))
        self.system.genesis_hash = GENESIS_HASH
        state.events.clear()

    def know(self, validator: Validator) -> None:
        """Let the chain author with this validator's beacon secret once its keys are active."""
        self.validators[validator.secret.commitment] = validator

    def call(self, pallet: str, name: str, *arguments: Any) -> RuntimeCall:
        """A call by its names."""
        return self.runtime.definition(pallet, name)(*arguments)

    def set_time(self) -> RuntimeCall:
        """The inherent of the block being executed."""
        return self.call("Timestamp", "set", self.system.now_ms)

    def reveal(self, slot: int) -> Reveal:
        """The honest reveal of the author of `slot`."""
        commitment = self.beacon.author_commitment(slot)
        assert commitment is not None
        return self.validators[commitment].secret.reveal(self.beacon.chain(commitment))

    def start(self, slot: int, reveal: Reveal | None = None) -> None:
        """Open the next block: facts, digest, on_initialize of every pallet."""
        system, state = self.system, self.state
        item = (reveal or self.reveal(slot)).item()
        state.events.clear()
        state.phase = PHASE_INITIALIZATION
        system.parent_slot = self.aura.current_slot.get()
        system.slot, system.now_ms = slot, slot * SLOT_MS
        system.block_author = self.session.author_of_slot(slot)
        system.open_block(
            system.number + 1, blake2b256(b"parent of %d" % system.number), Digest((slot_item(slot), item))
        )
        for pallet in self.runtime.pallets:
            pallet.on_initialize(system.number, slot)

    def dispatch(self, call: RuntimeCall, origin: Origin) -> DispatchError | None:
        """Run one call as an extrinsic would be; None or its error."""
        try:
            self.runtime.dispatch_in_layer(call, origin)
        except DispatchError as error:
            return error
        return None

    def finish(self) -> None:
        """Close the block and check every invariant and every encoding."""
        self.state.phase = PHASE_FINALIZATION
        for pallet in self.runtime.pallets:
            pallet.on_finalize()
        self.digest = self.system.close_block().logs
        self.state.undo.clear()
        self.state.changes()
        for pallet in self.runtime.pallets:
            pallet.check_state()

    def block(self, slot: int, *calls: tuple[RuntimeCall, Origin]) -> list[DispatchError | None]:
        """One whole block. The result is each call's error or None."""
        self.start(slot)
        self.state.phase = phase_of(0)
        failure = self.dispatch(self.set_time(), Inherent())
        assert failure is None, failure
        self.failures = []
        for number, (call, origin) in enumerate(calls):
            self.state.phase = phase_of(number + 1)
            self.failures.append(self.dispatch(call, origin))
        self.finish()
        return self.failures

    def refused(self, slot: int, reveal: Reveal | None = None) -> InvalidBlock:
        """Open a block that must be invalid from its hooks; the state is as before it. Returns the error."""
        mark, number = self.state.mark(), self.system.number
        facts = (self.system.slot, self.system.now_ms)
        try:
            self.start(slot, reveal)
        except InvalidBlock as error:
            return error
        finally:
            self.state.rollback(mark)
            self.system.number = number
            self.system.slot, self.system.now_ms = facts
        raise AssertionError("the block was accepted")

    def signed(self, who: bytes, pallet: str, name: str, *arguments: Any) -> tuple[RuntimeCall, Origin]:
        """A call with its signer, for `block`."""
        return self.call(pallet, name, *arguments), Signed(who)

    def events(self, kind: type) -> list[Any]:
        """The last block's events of one type."""
        return [event for _, event in self.state.events if type(event) is kind]

    def snapshot(self) -> dict[bytes, Any]:
        """Every present value by raw key, for before-and-after comparisons."""
        return {key: value for key, value in self.state.values.items() if value is not None}
