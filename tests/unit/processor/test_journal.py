"""The processor's journal: what it says survives a power cut before any of its writes, and no promise changes."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.network.port import MalformedMessage
from node.processor.journal import AttemptKey, AttemptRecord, Journal
from tests.sim.disk import MemoryDatabase

KEY = AttemptKey(bytes(range(32)), slot=1, execution=7, generation=2, attempt=3)
OTHER = AttemptKey(bytes(range(32)), slot=1, execution=7, generation=2, attempt=4)
STEPS = 5


class PowerCut(Exception):
    """The machine stops before a write."""


def life(journal: Journal, outcome: bytes) -> None:
    """What the watcher writes of one attempt with two destinations."""
    journal.begin(KEY, 1_000)
    journal.finish(KEY, outcome)
    journal.deliver(KEY, 0, b"")
    journal.deliver(KEY, 1, b"receipt")
    journal.forget(KEY)


@pytest.mark.parametrize("cut", range(STEPS))
def test_a_power_cut_before_any_write(cut: int) -> None:
    """What was written before the cut is there afterwards, nothing of what came after, and a second life completes."""

    def stop(number: int) -> None:
        if number == cut:
            raise PowerCut

    database = MemoryDatabase(on_write=stop)
    with pytest.raises(PowerCut):
        life(Journal(database), b"first")
    journal = Journal(database.crash(Random(cut)))
    found = journal.get(KEY)
    if cut == 0:
        assert found is None
        return
    assert found is not None
    assert found.runs == 1
    assert found.outcome == (b"first" if cut >= 2 else None)
    assert len(found.deliveries) == max(cut - 2, 0)
    again = journal.begin(KEY, 2_000)
    assert (again.runs, again.begun_ms, again.outcome) == (2, 2_000, found.outcome)
    promised = journal.finish(KEY, b"second")
    assert promised.outcome == (b"first" if cut >= 2 else b"second")
    journal.forget(KEY)
    assert list(journal.keys()) == []


def test_a_whole_life_needs_a_write_for_each_step() -> None:
    """The cuts above are all there are, and repeated steps write nothing."""
    database = MemoryDatabase()
    life(Journal(database), b"outcome")
    assert database.writes == STEPS
    journal = Journal(database)
    journal.finish(KEY, b"outcome")
    journal.deliver(KEY, 0, b"first")
    before = database.writes
    assert journal.finish(KEY, b"another").outcome == b"outcome"
    assert journal.deliver(KEY, 0, b"another").deliveries == ((0, b"first"),)
    assert database.writes == before


def test_attempts_are_apart() -> None:
    """Another attempt of the same execution has a record of its own, and only the forgotten one goes."""
    journal = Journal(MemoryDatabase())
    journal.begin(KEY, 1)
    journal.begin(OTHER, 2)
    journal.finish(OTHER, b"outcome")
    assert set(journal.keys()) == {KEY, OTHER}
    journal.forget(OTHER)
    assert journal.get(OTHER) is None
    assert journal.get(KEY) == AttemptRecord(runs=1, begun_ms=1)


@given(
    st.builds(
        AttemptKey,
        st.binary(min_size=32, max_size=32),
        st.integers(0, 63),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(1, 255),
    )
)
def test_keys_come_back(key: AttemptKey) -> None:
    """Every key that the chain can make is decoded to itself."""
    assert AttemptKey.decode(key.encode()) == key


def test_a_damaged_record_is_refused() -> None:
    """Bytes that are no record raise a typed error instead of a guess."""
    for damaged in (b"", b"\x90", AttemptRecord(b"x" * 10).encode()[:-1], AttemptRecord().encode() + b"\x00"):
        with pytest.raises(MalformedMessage):
            AttemptRecord.decode(damaged)
