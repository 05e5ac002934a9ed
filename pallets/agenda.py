"""Agenda: what the chain has to do at a slot, and the active clock that deadlines are measured in.

An entry is (kind, id) in the list of a slot. The pallet that owns the kind gives a handler; its object remembers in
which slot's list its one live entry is (`wake`), so an entry that comes from another list is stale and does nothing.
Lists are kept in chunks, insertion never fails, and what does not fit into a block's budget carries over: lateness
never changes a meaning, because every call applies what is due for its object first (spec/chain.md (e)).

The active clock A advances by min(slot − parent slot, 3) per block: it all but stops while the chain stands still, so
an outage expires no lease (spec/job-layer.md §2).

Invariant (`check_state`): every list lies at or after the cursor, counts equal the entries in the chunks, and exactly
the slots with a list are marked busy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pallets.system import System
from runtime.errors import DispatchError, InvariantBroken
from runtime.pallet import Event, Pallet
from runtime.scale import U8, U32, U64, Bounded, Fixed, Registry
from runtime.state import State
from runtime.storage import TWOX, Map, Value
from runtime.weight import BlockBudget, cost_ps

CHUNK_ENTRIES_MAX = 64
WORD_SLOTS = 256
WORDS_PER_BLOCK_MAX = 4_096
CLOCK_STEP_MAX = 3
BUDGET_PERCENT = 20
IDLE_PERCENT = 50
LAG_SLOTS_MAX = 30
"""Beyond this lag, calls that make new deadlines are refused (the job layer's AgendaOverloaded)."""
EMPTY_PS = cost_ps(reads=4, writes=2)
ENTRY_PS = cost_ps(reads=2, writes=1)

Handler = Callable[[int, int], None]
"""(id, the slot in whose list the entry stood)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to do: `kind` says whose, `id` which object."""

    kind: U8
    id: U64


@dataclass(frozen=True, slots=True)
class Cursor:
    """The next entry to work off."""

    slot: U64
    position: U32


@dataclass(slots=True)
class EntryFailed(Event):
    """A handler refused its entry; the entry is dropped and its effects are undone."""

    kind: U8
    id: U64


class Agenda(Pallet):
    """Lists of entries by slot, worked off in order."""

    name, index = "Agenda", 20
    events = (EntryFailed,)

    def __init__(self, state: State, registry: Registry, system: System) -> None:
        super().__init__(state, registry)
        self.system = system
        self.chunks: Map[tuple[int, int], tuple[Entry, ...]] = self.maps(
            "Chunks",
            ((U64, TWOX), (U32, TWOX)),
            Annotated[tuple[Entry, ...], Bounded(CHUNK_ENTRIES_MAX)],
            (),
            "Entries of a slot, 64 at a time.",
        )
        self.counts: Map[int, int] = self.map("Counts", U64, U32, 0, "Entries of a slot.", hasher=TWOX)
        self.busy: Map[int, bytes] = self.map(
            "Busy", U64, Annotated[bytes, Fixed(WORD_SLOTS // 8)], None, "Slots with entries, 256 a word.", hasher=TWOX
        )
        self.cursor: Value[Cursor | None] = self.value("Cursor", Cursor, None, "The next entry to work off.")
        self.active_clock: Value[int] = self.value("ActiveClock", U64, 0, "Slots in which the chain was alive: A.")
        self._handlers: dict[int, tuple[Handler, int]] = {}

    # For other pallets.

    def register(self, kind: int, handler: Handler, weight_ps: int) -> None:
        """At construction: `handler` works off the entries of `kind`, at a cost of at most `weight_ps` each."""
        if kind in self._handlers:
            raise TypeError(f"agenda: two handlers for kind {kind}")
        self._handlers[kind] = (handler, weight_ps)

    def now(self) -> int:
        """The active clock A."""
        return self.active_clock.get()

    def slots_of(self, duration_ms: int) -> int:
        """S(ms) = ⌈ms / slot_ms⌉."""
        return -(-duration_ms // self.system.slot_ms)

    def lag(self) -> int:
        """How many slots the work is behind."""
        cursor = self.cursor.get()
        return max(0, self.system.slot + 1 - cursor.slot) if cursor is not None else 0

    def overloaded(self) -> bool:
        """Whether the chain has too much due work to accept more."""
        return self.lag() > LAG_SLOTS_MAX

    def arm(self, kind: int, id: int, wake: int, slot: int) -> int:
        """Make sure that the object (kind, id), whose live entry is at `wake` (0: none), is woken at `slot` or before.

        Returns the slot of its live entry, for the object to store. A nearer entry stays: it will arm again.
        """
        if self.system.slot < wake <= slot:
            return wake
        slot = max(slot, self.system.slot + 1)
        count = self.counts.get(slot)
        key = (slot, count // CHUNK_ENTRIES_MAX)
        self.chunks.put(key, (*self.chunks.get(key), Entry(kind, id)))
        self.counts.put(slot, count + 1)
        if not count:
            self._mark(slot, busy=True)
        return slot

    def arm_at(self, kind: int, id: int, wake: int, deadline: int) -> int:
        """`arm` for a deadline in A: the earliest slot at which A can have reached it."""
        return self.arm(kind, id, wake, self.system.slot + max(0, deadline - self.now()))

    # Hooks.

    def on_initialize(self, number: int, slot: int) -> int:
        """Advance the active clock and work off what is due, within a fifth of the block."""
        step = min(slot - self.system.parent_slot, CLOCK_STEP_MAX)
        self.active_clock.put(self.now() + step)
        if self.cursor.get() is None:
            self.cursor.put(Cursor(slot, 0))
        return self._work(BlockBudget(self.system.slot_ms).total_ps * BUDGET_PERCENT // 100, at_least_one=True)

    def on_idle(self, remaining_ps: int) -> int:
        """Work off what `on_initialize` had no room for, with half of what is left of the block."""
        return self._work(remaining_ps * IDLE_PERCENT // 100, at_least_one=False) if self.lag() else 0

    def _work(self, budget_ps: int, *, at_least_one: bool) -> int:
        cursor = self.cursor.get()
        assert cursor is not None, "the first block sets the cursor"
        slot, position, words, used = cursor.slot, cursor.position, 0, EMPTY_PS
        while slot <= self.system.slot and words < WORDS_PER_BLOCK_MAX:
            count = self.counts.get(slot)
            if position == count:
                if count:
                    self._close(slot, count)
                slot, scanned = self._next_busy(slot + 1, WORDS_PER_BLOCK_MAX - words)
                position, words = 0, words + scanned
                continue
            entry = self.chunks.get((slot, position // CHUNK_ENTRIES_MAX))[position % CHUNK_ENTRIES_MAX]
            cost = self._handlers[entry.kind][1] + ENTRY_PS
            if used + cost > budget_ps and not at_least_one:
                break
            at_least_one = False
            reads, writes = self.state.reads, self.state.writes
            self._run(entry, slot)
            # The worst case decides whether there is room; what was touched is what is charged.
            used += min(cost, cost_ps(self.state.reads - reads, self.state.writes - writes) + ENTRY_PS)
            position += 1
        self.cursor.put(Cursor(slot, position))
        return used

    def _run(self, entry: Entry, slot: int) -> None:
        try:
            with self.state.layer():
                self._handlers[entry.kind][0](entry.id, slot)
        except DispatchError:
            self.emit(EntryFailed(entry.kind, entry.id))

    def _close(self, slot: int, count: int) -> None:
        """Forget a list that is worked off. Its removal was paid for by its entries."""
        for chunk in range(-(-count // CHUNK_ENTRIES_MAX)):
            self.chunks.remove((slot, chunk))
        self.counts.remove(slot)
        self._mark(slot, busy=False)

    def _mark(self, slot: int, *, busy: bool) -> None:
        word, bit = slot // WORD_SLOTS, 1 << slot % WORD_SLOTS
        bits = int.from_bytes(self.busy.find(word) or b"", "little")
        bits = bits | bit if busy else bits & ~bit
        if bits:
            self.busy.put(word, bits.to_bytes(WORD_SLOTS // 8, "little"))
        else:
            self.busy.remove(word)

    def _next_busy(self, slot: int, words_max: int) -> tuple[int, int]:
        """The first slot from `slot` on that has a list, or the one after the present; and the words looked at."""
        end = self.system.slot + 1
        words = 0
        while slot < end and words < words_max:
            words += 1
            bits = int.from_bytes(self.busy.find(slot // WORD_SLOTS) or b"", "little") >> slot % WORD_SLOTS
            if bits:
                return min(slot + (bits & -bits).bit_length() - 1, end), words
            slot = (slot // WORD_SLOTS + 1) * WORD_SLOTS
        return min(slot, end), words

    def check_state(self) -> None:
        cursor = self.cursor.get()
        marked = set()
        for word, data in self.busy.items():
            bits = int.from_bytes(data, "little")
            marked |= {word * WORD_SLOTS + n for n in range(WORD_SLOTS) if bits >> n & 1}
        counts = dict(self.counts.items())
        if set(counts) != marked:
            raise InvariantBroken(f"agenda: busy slots {sorted(marked)} but lists at {sorted(counts)}")
        found: dict[int, int] = {}
        for (slot, _), entries in self.chunks.items():
            found[slot] = found.get(slot, 0) + len(entries)
        if found != counts:
            raise InvariantBroken(f"agenda: counts {counts} but entries {found}")
        if cursor is not None and counts and min(counts) < cursor.slot:
            raise InvariantBroken(f"agenda: a list at {min(counts)} before the cursor {cursor.slot}")
