"""The composed runtime: calls and events by index, origins, errors as clients see them."""

from dataclasses import dataclass
from typing import Any

import pytest

from runtime.errors import (
    ArithmeticFailed,
    ArithmeticKind,
    ArithmeticValue,
    BadOrigin,
    BadOriginValue,
    DispatchError,
    DispatchErrorValue,
    Exhausted,
    ExhaustedValue,
    ModuleErrorValue,
    ModuleValue,
    OtherError,
    OtherValue,
    PalletError,
    RootNotAllowed,
    RootNotAllowedValue,
    TokenError,
    TokenErrorKind,
    TokenValue,
)
from runtime.pallet import Cost, Event, Inherent, Pallet, Root, RuntimeCall, Signed, call
from runtime.runtime import Runtime, new_registry
from runtime.scale import U8, U32, CompactU32, Registry, ScaleError, codec_of
from runtime.state import LAYERS_MAX, State
from runtime.storage import Value
from runtime.types import DigestItem
from runtime.weight import CALL_US, CHANGED_KEY_US, READ_US, DispatchClass


@dataclass(slots=True)
class Added(Event):
    """Something was added."""

    who: bytes
    amount: U32


@dataclass(slots=True)
class Cleared(Event):
    """All was cleared."""


class TooMuch(PalletError):
    """The sum would pass the limit."""

    index = 3


class Empty(PalletError):
    """There is nothing to clear."""

    index = 0


class Counter(Pallet):
    """Adds numbers."""

    name, index = "Counter", 40
    events = (Added, Cleared)
    errors = (TooMuch, Empty)

    def __init__(self, state: State, registry: Registry) -> None:
        super().__init__(state, registry)
        self.total: Value[int] = self.value("Total", U32, 0, "The sum.")

    @call(index=5, weight=Cost(reads=1, writes=1))
    def add(self, origin: Signed, amount: CompactU32) -> None:
        """Add an amount.

        More words.
        """
        self.total.put(self.total.get() + amount)
        self.emit(Added(origin.who, amount))
        if self.total.get() > 100:
            raise TooMuch(detail=7)

    @call(index=2, weight=lambda: 5, dispatch_class=DispatchClass.OPERATIONAL)
    def clear(self, origin: Root | Inherent) -> None:
        """Forget the sum."""
        if not self.total.get():
            raise Empty
        self.total.remove()
        self.emit(Cleared())

    @call(index=9, weight=Cost(), since=2, until=4)
    def later(self, origin: Signed) -> None:
        """Exists in spec versions 2 and 3."""


class Wrapper(Pallet):
    """Carries another call."""

    name, index = "Wrapper", 41

    @call(index=0, weight=lambda inner, times: inner.weight_ps * times)
    def wrap(self, origin: Signed, inner: RuntimeCall, times: U8) -> None:
        """Carry a call."""


def composed() -> tuple[Runtime, Counter]:
    """A runtime of the two pallets."""
    state, registry = State(), new_registry()
    counter = Counter(state, registry)
    return Runtime(state, registry, [counter, Wrapper(state, registry)]), counter


ALICE = Signed(b"\x0a" * 32)


def test_a_call_encodes_as_pallet_index_call_index_arguments() -> None:
    """Bytes of a call, and back."""
    runtime, _ = composed()
    made = runtime.definition("Counter", "add")(300)
    assert runtime.call_codec.encode(made).hex() == "2805b104"
    assert runtime.call_codec.decode(bytes.fromhex("2805b104")) == made
    wrapped = runtime.definition("Wrapper", "wrap")(made, 2)
    assert runtime.call_codec.encode(wrapped).hex() == "29002805b10402"
    assert runtime.call_codec.decode(bytes.fromhex("29002805b10402")) == wrapped


@pytest.mark.parametrize("data", ["2806b104", "2a00", "28", "", "2805b10400", "2805", "2805fd00"])
def test_calls_that_do_not_exist(data: str) -> None:
    """Unknown pallet or call, missing or surplus arguments, a long compact: ScaleError."""
    runtime, _ = composed()
    with pytest.raises(ScaleError):
        runtime.call_codec.decode(bytes.fromhex(data))


def test_calls_exist_by_spec_version() -> None:
    """`since` and `until` decide by the state's spec version, from the very bytes on."""
    runtime, _ = composed()
    known = []
    for spec in range(1, 6):
        runtime.state.spec = spec
        try:
            runtime.call_codec.decode(bytes.fromhex("2809"))
        except ScaleError:
            continue
        known.append(spec)
    assert known == [2, 3]


def test_names() -> None:
    """Definitions are found by name and list their fields, origins and first line of docs."""
    runtime, _ = composed()
    found = runtime.definition("Counter", "add")
    assert [(name, label) for name, _, label in found.fields] == [("amount", None)]
    assert (found.origins, found.docs) == ((Signed,), ("Add an amount.",))
    assert runtime.definition("Counter", "clear").origins == (Root, Inherent)
    with pytest.raises(KeyError):
        runtime.definition("Counter", "subtract")


def test_weights() -> None:
    """A Cost becomes 1.5 times its units in picoseconds; a function sees the decoded arguments."""
    runtime, _ = composed()
    add = runtime.definition("Counter", "add")(1)
    assert add.weight_ps == (CALL_US + READ_US + CHANGED_KEY_US) * 3 // 2 * 10**6
    assert runtime.definition("Wrapper", "wrap")(add, 3).weight_ps == 3 * add.weight_ps
    assert runtime.definition("Counter", "clear")().weight_ps == 5


def test_dispatch_runs_and_emits() -> None:
    """A call changes storage and deposits its event in the current phase."""
    runtime, counter = composed()
    runtime.state.phase = b"phase"
    runtime.dispatch_in_layer(runtime.definition("Counter", "add")(5), ALICE)
    assert counter.total.get() == 5
    assert runtime.state.events == [(b"phase", Added(ALICE.who, 5))]


def test_a_failed_dispatch_is_undone() -> None:
    """Neither the value nor the event of a failing call stays."""
    runtime, counter = composed()
    with pytest.raises(TooMuch):
        runtime.dispatch_in_layer(runtime.definition("Counter", "add")(101), ALICE)
    assert counter.total.get() == 0
    assert runtime.state.events == []


@pytest.mark.parametrize(
    ("name", "origin", "allowed"),
    [
        ("add", ALICE, True),
        ("add", Root(), False),
        ("add", Inherent(), False),
        ("clear", ALICE, False),
        ("clear", Root(), True),
        ("clear", Inherent(), True),
    ],
)
def test_the_origins_type_is_the_permission(name: str, origin: Any, allowed: bool) -> None:
    """A call runs for the origins in its signature and for no other."""
    runtime, counter = composed()
    counter.total.put(1)
    arguments = (1,) if name == "add" else ()
    made = runtime.definition("Counter", name)(*arguments)
    if allowed:
        runtime.dispatch_in_layer(made, origin)
    else:
        with pytest.raises(BadOrigin):
            runtime.dispatch_in_layer(made, origin)
        assert counter.total.get() == 1


def test_too_many_layers_are_a_dispatch_error() -> None:
    """Running out of storage layers is Exhausted, a failure of the call alone."""
    runtime, _ = composed()
    runtime.state.layers = LAYERS_MAX
    with pytest.raises(Exhausted):
        runtime.dispatch_in_layer(runtime.definition("Counter", "add")(5), ALICE)


@pytest.mark.parametrize(
    ("error", "value", "data", "name"),
    [
        (TooMuch(7), ModuleValue(ModuleErrorValue(40, b"\x03\x07\0\0")), "032803070000", "Counter.TooMuch"),
        (Empty(), ModuleValue(ModuleErrorValue(40, bytes(4))), "032800000000", "Counter.Empty"),
        (TokenError(TokenErrorKind.FROZEN), TokenValue(TokenErrorKind.FROZEN), "0705", "Token.Frozen"),
        (
            ArithmeticFailed(ArithmeticKind.OVERFLOW),
            ArithmeticValue(ArithmeticKind.OVERFLOW),
            "0801",
            "Arithmetic.Overflow",
        ),
        (BadOrigin(), BadOriginValue(), "02", "BadOrigin"),
        (Exhausted(), ExhaustedValue(), "0a", "Exhausted"),
        (RootNotAllowed(), RootNotAllowedValue(), "0d", "RootNotAllowed"),
        (OtherError(), OtherValue(), "00", "Other"),
    ],
)
def test_errors_as_clients_see_them(error: DispatchError, value: DispatchErrorValue, data: str, name: str) -> None:
    """Each dispatch error has its value, its bytes (sp_runtime::DispatchError) and its name."""
    runtime, _ = composed()
    assert runtime.error_value(error) == value
    codec = codec_of(DispatchErrorValue)
    assert codec.encode(value).hex() == data
    assert codec.decode(bytes.fromhex(data)) == value
    assert runtime.error_name(value).removesuffix("Error") == name


def test_clients_find_the_error_by_position() -> None:
    """Variants whose fields have no names in Substrate have none here: clients read them by position."""
    shapes = {one.name: one for hint in (DispatchErrorValue, DigestItem) for one in codec_of(hint).shape.variants}
    for name, count in (
        ("Module", 1),
        ("Token", 1),
        ("Arithmetic", 1),
        ("PreRuntime", 2),
        ("Consensus", 2),
        ("Seal", 2),
    ):
        assert [field.name for field in shapes[name].fields] == [None] * count
    inner = shapes["Module"].fields[0].codec.shape
    assert [field.name for field in inner.fields] == ["index", "error"]


def test_events_encode_by_pallet_and_position() -> None:
    """An event is pallet index, position among the pallet's events, fields; others do not decode."""
    runtime, _ = composed()
    data = runtime.encode_event(Added(b"ab", 1))
    assert data.hex() == "2800" + "086162" + "01000000"
    assert runtime.event_codec.decode(data) == Added(b"ab", 1)
    assert runtime.event_codec.decode(bytes.fromhex("2801")) == Cleared()
    for unknown in ("2802", "2900", "28"):
        with pytest.raises(ScaleError):
            runtime.event_codec.decode(bytes.fromhex(unknown))


def test_two_calls_with_one_index() -> None:
    """A pallet whose calls share an index does not compose."""

    class Twice(Pallet):
        name, index = "Twice", 50

        @call(index=1, weight=Cost())
        def one(self, origin: Signed) -> None:
            """One."""

        @call(index=1, weight=Cost())
        def two(self, origin: Signed) -> None:
            """Two."""

    state, registry = State(), new_registry()
    with pytest.raises(TypeError, match="two calls with index 1"):
        Runtime(state, registry, [Twice(state, registry)])


def test_calls_before_composition() -> None:
    """A codec for calls exists before the pallets do, and says so if it is used too early."""
    registry = new_registry()
    with pytest.raises(TypeError, match="before the runtime is composed"):
        registry.codec(RuntimeCall).decode(b"\0\0")


def test_shapes_for_the_metadata() -> None:
    """Each pallet's calls, events and errors are described with Substrate's paths; empty ones not at all."""
    runtime, counter = composed()
    calls, events, errors = runtime.call_shape(counter), runtime.event_shape(counter), runtime.error_shape(counter)
    assert calls is not None
    assert events is not None
    assert errors is not None
    assert calls.path == ("pallet_counter", "pallet", "Call")
    assert [(one.name, one.index) for one in calls.variants] == [("clear", 2), ("add", 5), ("later", 9)]
    assert [(one.name, one.index, one.docs) for one in events.variants] == [
        ("Added", 0, ("Something was added.",)),
        ("Cleared", 1, ("All was cleared.",)),
    ]
    assert [(one.name, one.index) for one in errors.variants] == [("Empty", 0), ("TooMuch", 3)]
    assert runtime.event_shape(runtime.by_name["Wrapper"]) is None
