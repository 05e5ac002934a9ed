"""Grandpa: who votes on finality, and who did in the past.

A change of voters is announced in the header of the block in which it happens: `FRNK` 0x01, delay 0, so the old set
finalises that block and never votes beyond it. When finality has stalled, Root may force the next session's boundary to
announce `FRNK` 0x02, which counts by the height of the best chain. The members of each set are kept for the unbonding
period, so that evidence names its offender without ownership proofs (spec/chain.md (c)). Genesis comes from Session.

Invariant (`check_state`): SetKeys holds every set from the oldest kept to the current one; slots join without a gap;
the current one is open and equals Authorities.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from pallets.system import System
from runtime.errors import InvariantBroken, PalletError
from runtime.pallet import Cost, Event, Pallet, Root, call
from runtime.scale import U32, U64, Bounded, Fixed, Registry, codec_of
from runtime.state import State
from runtime.storage import TWOX, Map, Value
from runtime.types import GRANDPA_ENGINE, AccountId, Consensus
from runtime.weight import DispatchClass

AUTHORITIES_MAX = 64
SCHEDULED_CHANGE = 0x01
FORCED_CHANGE = 0x02
FORCED_DELAY_MIN = 64
FORCED_DELAY_MAX = 10_000
"""Blocks between a forced change's announcement and its effect."""
PRUNED_SETS_MAX = 4
"""Old sets dropped at a change; one is added, so the history shrinks to the unbonding period."""

GrandpaKey = Annotated[bytes, Fixed(32, ("sp_consensus_grandpa", "app", "Public"))]
AuthorityList = Annotated[tuple[tuple[GrandpaKey, U64], ...], Bounded(AUTHORITIES_MAX)]
AUTHORITY_LIST = codec_of(AuthorityList)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a set with the keys it had there."""

    account: AccountId
    aura: Annotated[bytes, Fixed(32)]
    grandpa: Annotated[bytes, Fixed(32)]


Members = Annotated[tuple[Member, ...], Bounded(AUTHORITIES_MAX)]


@dataclass(frozen=True, slots=True)
class KeySet:
    """The members of a set, in authority order, and the slots whose blocks they author; `last_slot` None: current."""

    first_slot: U64
    last_slot: U64 | None
    members: Members


@dataclass(frozen=True, slots=True)
class StalledInfo:
    """Root's note that finality stalled: the next boundary forces the change `delay` blocks later."""

    delay: U32
    median: U32


@dataclass(slots=True)
class NewAuthorities(Event):
    """New authority set has been applied."""

    authority_set: AuthorityList


class ChangePending(PalletError):
    """A forced change is already noted or not yet in effect."""

    index = 0


class DelayOutOfBounds(PalletError):
    """The delay of a forced change must be 64..10,000 blocks."""

    index = 1


class MedianAboveBest(PalletError):
    """The last finalised height cannot lie above the best block."""

    index = 2


class Grandpa(Pallet):
    """Voter sets, present and past."""

    name, index = "Grandpa", 3
    events = (NewAuthorities,)
    errors = (ChangePending, DelayOutOfBounds, MedianAboveBest)

    def __init__(self, state: State, registry: Registry, system: System) -> None:
        super().__init__(state, registry)
        self.system = system
        self.authorities: Value[tuple[tuple[bytes, int], ...]] = self.value(
            "Authorities", AuthorityList, (), "The current list of authorities."
        )
        self.current_set_id: Value[int] = self.value(
            "CurrentSetId", U64, 0, "The number of changes in terms of new authority sets since genesis."
        )
        self.oldest_set_id: Value[int] = self.value("OldestSetId", U64, 0, "The oldest set whose members are kept.")
        self.set_keys: Map[int, KeySet] = self.map(
            "SetKeys", U64, KeySet, None, "Members of each set, for evidence.", hasher=TWOX
        )
        self.stalled: Value[StalledInfo | None] = self.value("Stalled", StalledInfo, None, "A forced change to come.")
        self.next_forced: Value[int] = self.value(
            "NextForced", U32, 0, "The height at which the last forced change takes effect."
        )
        self.constant("MaxAuthorities", U32, AUTHORITIES_MAX, "Most authorities in a set.")

    @call(index=2, weight=Cost(reads=2, writes=1), dispatch_class=DispatchClass.OPERATIONAL)
    def note_stalled(self, origin: Root, delay: U32, best_finalized_block_number: U32) -> None:
        """Note that finality has stalled: the next session's boundary announces a forced change."""
        if self.stalled.get() is not None or self.forced_pending():
            raise ChangePending
        if not FORCED_DELAY_MIN <= delay <= FORCED_DELAY_MAX:
            raise DelayOutOfBounds
        if best_finalized_block_number > self.system.number:
            raise MedianAboveBest
        self.stalled.put(StalledInfo(delay, best_finalized_block_number))

    # For Session and Offences.

    def forced_pending(self) -> bool:
        """Whether a forced change is announced and not yet in effect: the voters must not change again before."""
        return self.system.number < self.next_forced.get()

    def begin(self, members: tuple[Member, ...]) -> None:
        """Set 0, in genesis."""
        self.set_keys.put(0, KeySet(0, None, members))
        self.authorities.put(_weighted(members))

    def rotate(self, members: tuple[Member, ...], *, changed: bool, keep_slots: int) -> None:
        """At a session's boundary: announce `members` if they changed or a forced change is noted."""
        stalled = self.stalled.get()
        if not changed and stalled is None:
            return
        authorities = _weighted(members)
        encoded = AUTHORITY_LIST.encode(authorities)
        if stalled is None:
            data = bytes((SCHEDULED_CHANGE,)) + encoded + bytes(4)
        else:
            median, delay = stalled.median.to_bytes(4, "little"), stalled.delay.to_bytes(4, "little")
            data = bytes((FORCED_CHANGE,)) + median + encoded + delay
            self.stalled.remove()
            self.next_forced.put(self.system.number + stalled.delay)
        self.system.deposit_log(Consensus(GRANDPA_ENGINE, data))
        self.authorities.put(authorities)
        self._open_set(members, keep_slots)
        self.emit(NewAuthorities(authorities))

    def _open_set(self, members: tuple[Member, ...], keep_slots: int) -> None:
        slot, set_id = self.system.slot, self.current_set_id.get()
        current = self.set_keys.find(set_id)
        assert current is not None, "the current set is always kept"
        self.set_keys.put(set_id, KeySet(current.first_slot, slot, current.members))
        self.set_keys.put(set_id + 1, KeySet(slot + 1, None, members))
        self.current_set_id.put(set_id + 1)
        oldest = self.oldest_set_id.get()
        for _ in range(PRUNED_SETS_MAX):
            kept = self.set_keys.find(oldest)
            if kept is None or kept.last_slot is None or kept.last_slot + keep_slots >= slot:
                break
            self.set_keys.remove(oldest)
            oldest += 1
        if oldest != self.oldest_set_id.get():
            self.oldest_set_id.put(oldest)

    def set_at_slot(self, slot: int) -> tuple[int, KeySet] | None:
        """The set whose members authored in `slot`, and its id; None if it is not kept any more. Binary search."""
        low, high = self.oldest_set_id.get(), self.current_set_id.get()
        while low <= high:
            middle = (low + high) // 2
            found = self.set_keys.find(middle)
            assert found is not None, "sets from oldest to current are kept"
            if slot < found.first_slot:
                high = middle - 1
            elif found.last_slot is not None and slot > found.last_slot:
                low = middle + 1
            else:
                return middle, found
        return None

    def check_state(self) -> None:
        oldest, current = self.oldest_set_id.get(), self.current_set_id.get()
        kept = sorted(self.set_keys.items(), key=lambda pair: pair[0])
        if [set_id for set_id, _ in kept] != list(range(oldest, current + 1)):
            raise InvariantBroken(f"grandpa: sets kept are not {oldest}..{current}")
        for (_, earlier), (set_id, later) in pairwise(kept):
            if earlier.last_slot is None or earlier.last_slot + 1 != later.first_slot:
                raise InvariantBroken(f"grandpa: a gap in slots before set {set_id}")
        last = kept[-1][1]
        if last.last_slot is not None or _weighted(last.members) != self.authorities.get():
            raise InvariantBroken("grandpa: the current set is closed, or is not the authorities")


def _weighted(members: tuple[Member, ...]) -> tuple[tuple[bytes, int], ...]:
    """Each member's key with weight 1 (other weights are postponed, spec/chain.md §4)."""
    return tuple((member.grandpa, 1) for member in members)
