"""Aura: whose turn it is. Author of a slot = authorities[slot mod n] as of the parent's state.

The block in which the authorities change is still checked with the old ones; its children with the new ones
(spec/chain.md (c)). Genesis comes from Session's validators.

Invariant (`check_state`): 1..64 distinct authorities; CurrentSlot is the current block's slot.
"""

from typing import Annotated

from pallets.system import System
from runtime.errors import BlockFault, InvalidBlock, InvariantBroken
from runtime.pallet import Pallet
from runtime.scale import U64, Bounded, Fixed, Registry, codec_of
from runtime.state import State
from runtime.storage import Value
from runtime.types import AURA_ENGINE, Consensus, Header
from runtime.weight import cost_ps

AUTHORITIES_MAX = 64
AUTHORITIES_CHANGE = 0x01
"""First byte of the Consensus digest item that announces new authorities."""

AuraKey = Annotated[bytes, Fixed(32, ("sp_consensus_aura", "ed25519", "app_ed25519", "Public"))]
AuraKeys = Annotated[tuple[AuraKey, ...], Bounded(AUTHORITIES_MAX)]
AURA_KEYS = codec_of(AuraKeys)


class Aura(Pallet):
    """The authorities and the slot."""

    name, index = "Aura", 2

    def __init__(self, state: State, registry: Registry, system: System) -> None:
        super().__init__(state, registry)
        self.system = system
        self.authorities: Value[tuple[bytes, ...]] = self.value(
            "Authorities", AuraKeys, (), "The current authority set: it authors the children of this block."
        )
        self.current_slot: Value[int] = self.value("CurrentSlot", U64, 0, "The current slot of this block.")
        self.constant("SlotDuration", U64, system.slot_ms, "Length of a slot in milliseconds.")

    def on_initialize(self, number: int, slot: int) -> int:
        """Raises InvalidBlock(SLOT) if the slot does not rise."""
        if number > 1 and slot <= self.current_slot.get():
            raise InvalidBlock(BlockFault.SLOT, f"slot {slot}, the parent's is {self.current_slot.get()}")
        self.current_slot.put(slot)
        return cost_ps(reads=1, writes=1)

    # For the executive, Session and the node.

    def authorities_for_child(self) -> tuple[bytes, ...]:
        """The keys that author the children of this state."""
        return self.authorities.get()

    def author_key(self, slot: int) -> bytes | None:
        """The key that must seal a child of this state in `slot`; None without authorities."""
        authorities = self.authorities.get()
        return authorities[slot % len(authorities)] if authorities else None

    def author_of(self, header: Header) -> bytes:
        """The key that must have sealed `header`, a child of this state. Raises InvalidBlock(DIGEST or AUTHOR)."""
        slot = header.slot()
        if slot is None:
            raise InvalidBlock(BlockFault.DIGEST, "digest: no aura slot")
        author = self.author_key(slot)
        if author is None:
            raise InvalidBlock(BlockFault.AUTHOR, "authorities: the parent's state has none")
        return author

    def change_authorities(self, authorities: tuple[bytes, ...], *, announce: bool = True) -> None:
        """For Session: these keys author from this block's children on. `announce` is false in genesis only."""
        self.authorities.put(authorities)
        if announce:
            self.system.deposit_log(
                Consensus(AURA_ENGINE, bytes((AUTHORITIES_CHANGE,)) + AURA_KEYS.encode(authorities))
            )

    def check_state(self) -> None:
        authorities = self.authorities.get()
        if not 1 <= len(authorities) <= AUTHORITIES_MAX or len(set(authorities)) != len(authorities):
            raise InvariantBroken(f"aura: {len(authorities)} authorities, expected 1..{AUTHORITIES_MAX} distinct keys")
        if self.system.number and self.current_slot.get() != self.system.slot:
            raise InvariantBroken(f"aura: slot {self.current_slot.get()} stored in slot {self.system.slot}")
