"""The agenda against a model: every entry is worked off once, in order, never early, whatever the gaps and budgets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pallets.agenda import CHUNK_ENTRIES_MAX, CLOCK_STEP_MAX, Agenda, EntryFailed
from pallets.system import System
from runtime.errors import OtherError
from runtime.runtime import new_registry
from runtime.state import State

KIND = 9
CHEAP, DEAR = 10**6, 10**11


class Chain:
    """System and agenda with one kind of entry that writes down what it is given."""

    def __init__(self, weight_ps: int = CHEAP, start: int = 1_000, reads: int = 0) -> None:
        state, registry = State(), new_registry()
        self.system = System(state, registry, 1_000)
        self.agenda = Agenda(state, registry, self.system)
        self.done: list[tuple[int, int, int]] = []
        self.reads = reads
        self.reads = 0
        self.agenda.register(KIND, self.work, weight_ps)
        self.system.slot = start
        self.block(1)

    def work(self, number: int, at: int) -> None:
        """Note (slot now, number, slot of the list)."""
        for _ in range(self.reads):
            self.agenda.counts.get(0)
        if number == 13:
            raise OtherError
        for slot in range(self.reads):
            self.agenda.counts.get(slot)
        self.done.append((self.system.slot, number, at))

    def block(self, gap: int) -> None:
        """One block, `gap` slots later."""
        self.system.number += 1
        self.system.parent_slot, self.system.slot = self.system.slot, self.system.slot + gap
        self.agenda.on_initialize(self.system.number, self.system.slot)
        self.agenda.check_state()


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.lists(st.integers(0, 700), max_size=12), st.sampled_from([1, 1, 1, 2, 20, 300])), max_size=25)
)
def test_every_entry_is_worked_off_once_in_the_order_of_slots_and_insertion(
    steps: list[tuple[list[int], int]],
) -> None:
    """Model: a sorted list of (slot, order of insertion), all due entries in each block."""
    chain = Chain()
    model: list[tuple[int, int]] = []
    expected: list[tuple[int, int, int]] = []
    number = 100
    for distances, gap in steps:
        for distance in distances:
            number += 1
            slot = chain.agenda.arm(KIND, number, 0, chain.system.slot + distance)
            assert slot == max(chain.system.slot + distance, chain.system.slot + 1)
            model.append((slot, number))
        chain.block(gap)
        due = sorted(entry for entry in model if entry[0] <= chain.system.slot)
        model = [entry for entry in model if entry[0] > chain.system.slot]
        expected += [(chain.system.slot, number, slot) for slot, number in due]
    assert chain.done == expected


def test_what_exceeds_the_budget_carries_over_in_order() -> None:
    """Three hundred dear entries in one slot take several blocks; none is lost, later ones wait their turn."""
    chain = Chain(weight_ps=DEAR // 100, reads=160)
    chain.reads = 200
    for number in range(100, 400):
        chain.agenda.arm(KIND, number, 0, chain.system.slot + 1)
    chain.agenda.arm(KIND, 500, 0, chain.system.slot + 2)
    chain.block(1)
    assert 0 < len(chain.done) < 300
    assert chain.agenda.lag() > 0
    blocks = 1
    while chain.agenda.lag():
        chain.block(1)
        blocks += 1
    assert [number for _, number, _ in chain.done] == [*range(100, 400), 500]
    assert blocks > 5


def test_at_least_one_entry_is_worked_off_however_dear() -> None:
    """So that the agenda cannot stand still."""
    chain = Chain(weight_ps=DEAR * 100)
    for number in (100, 101):
        chain.agenda.arm(KIND, number, 0, chain.system.slot + 1)
    chain.block(1)
    assert len(chain.done) == 1
    chain.agenda.on_idle(DEAR * 500)
    assert len(chain.done) == 2


def test_a_handler_that_refuses_loses_its_entry_only() -> None:
    """Its effects are undone, an event says so, and the entries behind it are worked off."""
    chain = Chain()
    for number in (100, 13, 101):
        chain.agenda.arm(KIND, number, 0, chain.system.slot + 1)
    chain.block(1)
    assert [number for _, number, _ in chain.done] == [100, 101]
    assert [event for _, event in chain.agenda.state.events] == [EntryFailed(KIND, 13)]


def test_a_nearer_live_entry_is_kept_and_a_farther_one_replaced() -> None:
    """Arming is idempotent: no second entry for a later time."""
    chain = Chain()
    now = chain.system.slot
    wake = chain.agenda.arm(KIND, 100, 0, now + 10)
    assert chain.agenda.arm(KIND, 100, wake, now + 20) == wake
    assert chain.agenda.arm(KIND, 100, wake, now + 5) == now + 5
    assert sum(count for _, count in chain.agenda.counts.items()) == 2


@pytest.mark.parametrize(("gap", "step"), [(1, 1), (2, 2), (3, 3), (4, CLOCK_STEP_MAX), (10_000, CLOCK_STEP_MAX)])
def test_the_active_clock_all_but_stops_in_an_outage(gap: int, step: int) -> None:
    """It advances by the gap, at most by three."""
    chain = Chain()
    before = chain.agenda.now()
    chain.block(gap)
    assert chain.agenda.now() == before + step


def test_a_long_outage_is_walked_in_bounded_steps() -> None:
    """Two million slots without blocks: each block looks at 4,096 words, and the entries come in order at last."""
    chain = Chain()
    far = chain.system.slot + 2_000_000
    chain.agenda.arm(KIND, 100, 0, far)
    chain.block(2_000_010)
    assert chain.done == []
    assert chain.agenda.overloaded()
    chain.block(1)
    assert [number for _, number, _ in chain.done] == [100]
    assert not chain.agenda.overloaded()


def test_many_entries_of_one_slot_fill_chunks() -> None:
    """No chunk holds more than 64; all are removed when the slot is done."""
    chain = Chain()
    for number in range(100, 100 + 2 * CHUNK_ENTRIES_MAX + 1):
        chain.agenda.arm(KIND, number, 0, chain.system.slot + 1)
    assert [len(entries) for _, entries in chain.agenda.chunks.items()].count(CHUNK_ENTRIES_MAX) == 2
    chain.block(1)
    assert not list(chain.agenda.chunks.items())
