"""The chain on one page: its pallets with what each needs of the others, its versions, and its genesis.

The order of `pallets` is the order of hooks. Indices are fixed for ever: they stand in every extrinsic and event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pallets.agenda import Agenda
from pallets.aura import Aura
from pallets.balances import Balances
from pallets.beacon import Beacon
from pallets.escrow.pallet import Escrow
from pallets.grandpa import Grandpa
from pallets.jobs.pallet import Jobs
from pallets.juries.pallet import Juries
from pallets.matching.pallet import Matching
from pallets.nested import NestedCalls
from pallets.offences import Offences
from pallets.processors.pallet import Processors
from pallets.reputation import Reputation
from pallets.secrets.pallet import Secrets
from pallets.session import Session
from pallets.sudo import Sudo
from pallets.system import LastRuntimeUpgradeInfo, System
from pallets.timestamp import Timestamp
from pallets.transaction_payment import TransactionPayment
from pallets.utility import Utility
from pallets.verification.pallet import Verification
from runtime import tree
from runtime.extrinsics_root import extrinsics_root
from runtime.pallet import Pallet
from runtime.runtime import Runtime, new_registry
from runtime.state import EmptyReader, Reader, State
from runtime.types import ZERO_HASH, Digest, Header

SPEC_NAME = "heddle"
MIN_SPEC, MAX_SPEC = 1, 1
"""The spec versions whose rules this code holds (spec/chain.md (d))."""
TRANSACTION_VERSION = 1
SLOT_MS_MIN, SLOT_MS_MAX = 300, 60_000
"""A block of a shorter slot has no room for the heaviest call."""


class Heddle(Runtime):
    """The composed runtime. `slot_ms` is a constant of the chain, taken from its spec."""

    transaction_version = TRANSACTION_VERSION

    def __init__(self, slot_ms: int = 2000) -> None:
        state, registry, nested = State(), new_registry(), NestedCalls()
        self.system = System(state, registry, slot_ms)
        self.timestamp = Timestamp(state, registry, self.system)
        self.aura = Aura(state, registry, self.system)
        self.grandpa = Grandpa(state, registry, self.system)
        self.balances = Balances(state, registry, self.system)
        self.transaction_payment = TransactionPayment(state, registry, self.system, self.balances)
        self.beacon = Beacon(state, registry, self.system)
        self.session = Session(state, registry, self.system, self.balances, self.aura, self.grandpa, self.beacon)
        self.offences = Offences(state, registry, self.system, self.grandpa, self.session)
        self.sudo = Sudo(state, registry, nested)
        self.utility = Utility(state, registry, nested)
        self.agenda = Agenda(state, registry, self.system)
        self.processors = Processors(state, registry, self.system, self.balances, self.agenda)
        self.escrow = Escrow(state, registry, self.balances)
        self.reputation = Reputation(state, registry, self.system)
        self.jobs = Jobs(
            *(state, registry, self.system, self.agenda, self.beacon),
            *(self.processors, self.escrow, self.reputation),
        )
        self.secrets = Secrets(state, registry, self.balances, self.processors, self.jobs)
        self.matching = Matching(
            *(state, registry, self.system, self.agenda, self.beacon),
            *(self.processors, self.jobs, self.escrow, self.reputation, self.secrets),
        )
        self.juries = Juries(state, registry, self.system, self.agenda, self.beacon, self.balances, self.processors)
        self.verification = Verification(
            *(state, registry, self.system, self.agenda, self.beacon, self.balances),
            *(self.jobs, self.juries, self.escrow, self.reputation),
        )
        base: list[Pallet] = [self.system, self.timestamp, self.aura, self.grandpa, self.balances]
        base += [self.transaction_payment, self.beacon, self.session, self.offences, self.sudo, self.utility]
        work: list[Pallet] = [self.agenda, self.processors, self.jobs, self.matching, self.escrow, self.reputation]
        work += [self.juries, self.verification, self.secrets]
        super().__init__(state, registry, [*base, *work])
        nested.bind(self)

    def attach(self, reader: Reader, number: int) -> int:
        """Look at the state that block `number` starts from, under the rules of that block.

        Returns the spec version of the parent block.
        """
        self.state.attach(reader, MAX_SPEC)
        last, coming = self.system.last_upgrade.get(), self.system.authorized_upgrade.get()
        previous = last.spec_version if last is not None else MIN_SPEC
        self.state.spec = coming.spec_version if coming is not None and number >= coming.height else previous
        return previous

    def note_slot(self, digest: Digest) -> None:
        """Set the times of the block from its digest, and its author from the parent's authorities."""
        system = self.system
        slot = Header(ZERO_HASH, 0, ZERO_HASH, ZERO_HASH, digest).slot()
        assert slot is not None, "the caller checked the digest"
        system.parent_slot = self.aura.current_slot.get()
        system.slot, system.now_ms = slot, slot * system.slot_ms
        system.block_author = self.session.author_of_slot(slot)

    def look_from(self, header: Header) -> None:
        """After `attach` to the state of a stored block: take its number and slot for the questions that follow."""
        system = self.system
        system.number, system.slot = header.number, header.slot() or 0
        system.now_ms = system.slot * system.slot_ms

    def check_state(self) -> None:
        """Every pallet's invariant. Raises InvariantBroken."""
        for pallet in self.pallets:
            pallet.check_state()


class InvalidGenesis(ValueError):
    """A section of the chain spec's genesis is unknown or wrong; the message names the field."""


def build_genesis(config: Mapping[str, Mapping[str, Any]]) -> tuple[Header, dict[bytes, bytes]]:
    """The genesis header and state. `config` maps a section (a pallet's name in camelCase) to its fields.

    Accounts and keys in it are bytes. Raises InvalidGenesis.
    """
    runtime = Heddle(slot_ms_of(config))
    runtime.state.attach(EmptyReader(), MIN_SPEC)
    sections = {pallet.name[0].lower() + pallet.name[1:]: pallet for pallet in runtime.pallets}
    for name in config:
        if name not in sections:
            raise InvalidGenesis(f"genesis.{name}: no such section; there are {', '.join(sections)}")
    runtime.system.last_upgrade.put(LastRuntimeUpgradeInfo(MIN_SPEC, SPEC_NAME))
    for name, pallet in sections.items():
        try:
            pallet.genesis(config.get(name, {}))
        except ValueError as error:
            raise InvalidGenesis(f"genesis.{error}") from error
    runtime.check_state()
    pairs = {key: value for key, value in runtime.state.changes() if value is not None}
    root = tree.build_from_state(pairs.items())
    return Header(ZERO_HASH, 0, tree.digest(root), extrinsics_root([]), Digest()), pairs


def slot_ms_of(config: Mapping[str, Mapping[str, Any]]) -> int:
    """The slot's length in a genesis config, before anything else is read. Raises InvalidGenesis."""
    slot_ms = config.get("system", {}).get("slotMs", 2000)
    if type(slot_ms) is not int or not SLOT_MS_MIN <= slot_ms <= SLOT_MS_MAX:
        raise InvalidGenesis(f"genesis.system.slotMs: {slot_ms!r}, expected {SLOT_MS_MIN}..{SLOT_MS_MAX}")
    return slot_ms
