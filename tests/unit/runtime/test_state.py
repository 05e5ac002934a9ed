"""The overlay: reads, writes and nested layers, against dictionaries."""

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runtime.scale import U32, ScaleError, codec_of
from runtime.state import LAYERS_MAX, LayersExceeded, State

NUMBER = codec_of(U32)


class DictReader:
    """The state that a block starts from, as a dictionary of encoded values."""

    def __init__(self, values: dict[bytes, int]) -> None:
        self.data = {key: NUMBER.encode(value) for key, value in values.items()}
        self.gets: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        self.gets.append(key)
        return self.data.get(key)

    def iterate(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key in sorted(self.data):
            if key.startswith(prefix) and key >= start:
                yield key, self.data[key]


def over(values: dict[bytes, int]) -> State:
    """A state on top of these values."""
    state = State()
    state.attach(DictReader(values), 1)
    return state


def test_reads_fall_through_once() -> None:
    """A value is taken from below, decoded, once; an absent one is remembered as absent."""
    state = over({b"a": 1})
    reader = state.reader
    assert isinstance(reader, DictReader)
    for _ in range(3):
        assert state.read(b"a", NUMBER) == 1
        assert state.read(b"b", NUMBER) is None
    assert reader.gets == [b"a", b"b"]


def test_a_value_below_that_does_not_decode() -> None:
    """Bytes in the database that are no value of the type are an error, never another value."""
    state = over({})
    assert isinstance(state.reader, DictReader)
    state.reader.data[b"a"] = b"\x01"
    with pytest.raises(ScaleError):
        state.read(b"a", NUMBER)


def test_changes_are_sorted_and_encoded() -> None:
    """The end of a block gives each changed key once, ascending, with its last value; removed ones with None."""
    state = over({b"b": 1, b"c": 2})
    for key, value in ((b"d", 5), (b"a", 1), (b"a", 7), (b"b", None), (b"c", 2)):
        state.write(key, NUMBER, value)
    state.read(b"e", NUMBER)
    expected = [(b"a", 7), (b"b", None), (b"c", 2), (b"d", 5)]
    assert state.changes() == [(key, None if value is None else NUMBER.encode(value)) for key, value in expected]


def test_a_value_out_of_bounds_is_found_at_the_end() -> None:
    """A number that does not fit its declared type cannot reach the state."""
    state = over({})
    state.write(b"a", NUMBER, 1 << 32)
    with pytest.raises(ScaleError):
        state.changes()


def test_a_layer_that_fails_leaves_no_trace() -> None:
    """An exception undoes values and events since the layer began, of inner layers too, and goes on."""
    state = over({b"a": 1})
    state.write(b"b", NUMBER, 2)
    state.events.append((None, "before"))

    def fail() -> None:
        with state.layer():
            state.write(b"a", NUMBER, 10)
            with state.layer():
                state.write(b"b", NUMBER, None)
                state.write(b"c", NUMBER, 3)
                state.events.append((None, "inner"))
            raise KeyError("any")

    with pytest.raises(KeyError):
        fail()
    assert state.events == [(None, "before")]
    assert state.changes() == [(b"b", NUMBER.encode(2))]
    assert [state.read(key, NUMBER) for key in (b"a", b"b", b"c")] == [1, 2, None]
    assert state.layers == 0


def test_an_inner_failure_caught_keeps_the_outer() -> None:
    """An inner layer may fail and the outer go on with what it had."""
    state = over({})

    def fail() -> None:
        with state.layer():
            state.write(b"a", NUMBER, 2)
            raise KeyError

    with state.layer():
        state.write(b"a", NUMBER, 1)
        with pytest.raises(KeyError):
            fail()
        assert state.read(b"a", NUMBER) == 1
        state.write(b"b", NUMBER, 3)
    assert [state.read(key, NUMBER) for key in (b"a", b"b")] == [1, 3]


def test_layers_are_bounded() -> None:
    """Eight layers may nest; the ninth is refused and the eight still close."""
    state = over({})

    def dive(depth: int) -> None:
        with state.layer():
            state.write(b"%d" % depth, NUMBER, depth)
            if depth:
                dive(depth - 1)

    dive(LAYERS_MAX - 1)
    with pytest.raises(LayersExceeded):
        dive(LAYERS_MAX)
    assert state.layers == 0
    assert state.read(b"%d" % LAYERS_MAX, NUMBER) is None
    dive(LAYERS_MAX - 1)


def test_attach_forgets_everything() -> None:
    """A new block starts from its own reader, with nothing of the last one."""
    state = over({b"a": 1})
    state.write(b"b", NUMBER, 2)
    state.events.append((None, "event"))
    state.attach(DictReader({b"c": 3}), 9)
    assert [state.read(key, NUMBER) for key in (b"a", b"b", b"c")] == [None, None, 3]
    assert (state.changes(), state.events, state.spec) == ([], [], 9)


KEYS = st.sampled_from([b"a", b"ab", b"abc", b"b", b"ba", b"\xff", b""])


class Layers(RuleBasedStateMachine):
    """A stack of dictionaries is the model of nested layers."""

    @initialize(values=st.dictionaries(KEYS, st.integers(0, 9)))
    def begin(self, values: dict[bytes, int]) -> None:
        """Values below, nothing above."""
        self.state = over(values)
        self.below = dict(values)
        self.stack: list[tuple[dict[bytes, int], int]] = []
        self.now = dict(values)
        self.events = 0
        self.marks: list[tuple[int, int]] = []

    @rule(key=KEYS, value=st.none() | st.integers(0, 9))
    def write(self, key: bytes, value: int | None) -> None:
        """Put or remove."""
        self.state.write(key, NUMBER, value)
        self.now.pop(key, None)
        if value is not None:
            self.now[key] = value

    @rule(key=KEYS)
    def read(self, key: bytes) -> None:
        """A read gives what the model holds, and may fill the overlay."""
        assert self.state.read(key, NUMBER) == self.now.get(key)

    @rule()
    def emit(self) -> None:
        """Events are undone with their layer."""
        self.state.events.append((None, self.events))
        self.events += 1

    @rule()
    def open(self) -> None:
        """Begin a layer."""
        self.stack.append((dict(self.now), self.events))
        self.marks.append(self.state.mark())

    @precondition(lambda self: self.stack)
    @rule()
    def commit(self) -> None:
        """End a layer well: its effects belong to the one below."""
        self.stack.pop()
        self.marks.pop()

    @precondition(lambda self: self.stack)
    @rule()
    def roll_back(self) -> None:
        """End a layer badly."""
        self.now, self.events = self.stack.pop()
        self.now = dict(self.now)
        self.state.rollback(self.marks.pop())

    @rule(prefix=st.sampled_from([b"", b"a", b"ab", b"b", b"z"]))
    def iterate(self, prefix: bytes) -> None:
        """Iteration merges overlay and reader in ascending order of raw keys."""
        expected = sorted((key, value) for key, value in self.now.items() if key.startswith(prefix))
        assert list(self.state.iterate(prefix, NUMBER)) == expected

    @precondition(lambda self: hasattr(self, "state"))
    @invariant()
    def changes_lead_to_the_model(self) -> None:
        """The changes applied to what was below give the present values, and events are as many as in the model."""
        result = {key: NUMBER.encode(value) for key, value in self.below.items()}
        for key, data in self.state.changes():
            result.pop(key, None)
            if data is not None:
                result[key] = data
        assert result == {key: NUMBER.encode(value) for key, value in self.now.items()}
        assert len(self.state.events) == self.events


LayersTest = Layers.TestCase
LayersTest.settings = settings(max_examples=80, stateful_step_count=40)
