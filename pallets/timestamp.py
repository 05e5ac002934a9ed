"""Timestamp: the time on chain, as Substrate clients look for it.

Time is slot * slot_ms everywhere (spec/chain.md §1.4); the inherent only says so again and is checked. No genesis
configuration: the slot's length is `system.slotMs`.

Invariant (`check_state`): after block 1, Now is the current block's slot * slot_ms.
"""

from pallets.system import System
from runtime.errors import BlockFault, InvalidBlock, InvariantBroken, PalletError
from runtime.pallet import Cost, Inherent, Pallet, call
from runtime.scale import U64, CompactU64, Registry
from runtime.state import State
from runtime.storage import Value
from runtime.weight import DispatchClass


class WrongTime(PalletError):
    """The time is not the slot's: slot * slot duration."""

    index = 0


class AlreadySet(PalletError):
    """The time was already set in this block."""

    index = 1


class Timestamp(Pallet):
    """The block's time. `system.slot_ms` must be set before this is made: MinimumPeriod is half of it."""

    name, index = "Timestamp", 1
    errors = (WrongTime, AlreadySet)

    def __init__(self, state: State, registry: Registry, system: System) -> None:
        super().__init__(state, registry)
        self.system = system
        self.now: Value[int] = self.value("Now", U64, 0, "The current time for the current block.")
        self.constant("MinimumPeriod", U64, system.slot_ms // 2, "Half a slot: clients derive the slot from it.")
        self._updated = False

    def on_initialize(self, number: int, slot: int) -> int:
        self._updated = False
        return 0

    @call(index=0, weight=Cost(reads=1, writes=1), dispatch_class=DispatchClass.MANDATORY, pays_fee=False)
    def set(self, origin: Inherent, now: CompactU64) -> None:
        """Set the current time, once per block."""
        if self._updated:
            raise AlreadySet
        if now != self.system.now_ms:
            raise WrongTime
        self.now.put(now)
        self._updated = True

    def on_finalize(self) -> None:
        """Raises InvalidBlock(INHERENT) when the block did not set its time."""
        if not self._updated:
            raise InvalidBlock(BlockFault.INHERENT, "timestamp: the block does not set its time")

    def check_state(self) -> None:
        if self.system.number and self.now.get() != self.system.now_ms:
            raise InvariantBroken(f"timestamp: now is {self.now.get()} in a block of {self.system.now_ms}")
