"""The composed runtime: pallets with their indices become one call type, one event type and one dispatcher.

`runtime/heddle.py` lists the pallets; this file knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from runtime.errors import (
    ArithmeticFailed,
    ArithmeticValue,
    BadOrigin,
    BadOriginValue,
    DispatchError,
    DispatchErrorValue,
    Exhausted,
    ExhaustedValue,
    ModuleErrorValue,
    ModuleValue,
    OtherValue,
    PalletError,
    RootNotAllowed,
    RootNotAllowedValue,
    TokenError,
    TokenValue,
)
from runtime.pallet import CallDefinition, Origin, Pallet, RuntimeCall
from runtime.scale import Codec, Named, Registry, ScaleError
from runtime.scale.codec import Field, Shape, VariantShape, decode_compact, encode_compact, integer
from runtime.scale.declare import PLACEHOLDERS, SHARED, docs_of
from runtime.scale.hints import enum_variant_name
from runtime.state import LAYERS_MAX, State
from runtime.types import Hash

CALL_DEPTH_MAX = 8
"""Calls inside calls, on decode (spec/chain.md §1.6)."""


class RuntimeEvent:
    """As a type hint: any event of the composed runtime."""


PLACEHOLDERS.update((RuntimeCall, RuntimeEvent))


def new_registry() -> Registry:
    """A registry in which pallets may refer to `RuntimeCall` before all pallets are known."""
    registry = Registry(SHARED)
    for placeholder in (RuntimeCall, RuntimeEvent):
        registry.forwards[placeholder] = _late(placeholder)
    return registry


class LateCodec(Codec):
    """A codec whose functions come later: other codecs may already refer to it."""

    __slots__ = ("bound",)

    def __init__(self, name: str) -> None:
        self.bound: Codec | None = None

        def target() -> Codec:
            if self.bound is None:
                raise TypeError(f"{name} is used before the runtime is composed")
            return self.bound

        super().__init__(
            lambda value: target().encode(value),
            lambda data, position: target().decode_from(data, position),
            Shape("variant", ("heddle_runtime", name)),
        )

    def bind(self, codec: Codec) -> Codec:
        """Give the codec its functions and its shape; returns `codec`."""
        self.bound = codec
        self.shape = codec.shape
        return codec


def _late(placeholder: type) -> LateCodec:
    return LateCodec(placeholder.__name__)


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event with the phase it was deposited in, as System.Events holds it.

    `phase` is None for initialization, -1 for finalization, else the extrinsic's index.
    """

    phase: int | None
    event: Any


EVENTS_MAX = 1 << 18
"""Most events of one block; far above what block weight allows."""
NO_TOPICS = b"\x00"
PHASE_INITIALIZATION = b"\x02"
PHASE_FINALIZATION = b"\x01"


def phase_of(extrinsic: int) -> bytes:
    """The encoded phase of the extrinsic with this index in the block."""
    return b"\x00" + extrinsic.to_bytes(4, "little")


def _events_codec(registry: Registry) -> Codec:
    """`Vec<EventRecord>`: in the overlay (encoded phase, event) pairs, decoded as EventRecord."""
    event = registry.codec(RuntimeEvent)
    topics = registry.codec(tuple[Hash, ...])

    def encode(value: Any) -> bytes:
        encode_event = event.bound.encode if isinstance(event, LateCodec) and event.bound else event.encode
        parts = [encode_compact(len(value))]
        # Outcomes of equal calls are one shared object (System.note_applied): encode those once.
        known: dict[int, bytes] = {}
        for phase, deposited in value:
            encoded = known.get(id(deposited))
            if encoded is None:
                encoded = known[id(deposited)] = encode_event(deposited) + NO_TOPICS
            parts += (phase, encoded)
        return b"".join(parts)

    def decode_from(data: bytes, position: int) -> tuple[tuple[EventRecord, ...], int]:
        count, position = decode_compact(data, position)
        if count > EVENTS_MAX:
            raise ScaleError(f"{count} events, at most {EVENTS_MAX} allowed")
        records = []
        for _ in range(count):
            kind, position = data[position], position + 1
            phase = {0: int.from_bytes(data[position : position + 4], "little"), 1: -1, 2: None}[kind]
            decoded, position = event.decode_from(data, position + 4 * (kind == 0))
            _, position = topics.decode_from(data, position)
            records.append(EventRecord(phase, decoded))
        return tuple(records), position

    phases = (
        VariantShape("ApplyExtrinsic", 0, (Field(None, integer(32), "u32"),)),
        VariantShape("Finalization", 1, ()),
        VariantShape("Initialization", 2, ()),
    )
    phase_codec = Codec(never, never, Shape("variant", ("frame_system", "Phase"), variants=phases))
    fields = (Field("phase", phase_codec), Field("event", event), Field("topics", topics))
    shape = Shape("composite", ("frame_system", "EventRecord"), fields=fields)
    return Codec(encode, decode_from, Shape("sequence", of=(Codec(never, never, shape),)))


EventRecords = Annotated[tuple[Any, ...], Named(_events_codec)]
"""The type of System.Events."""


class Runtime:
    """All pallets over one state. Executes one block at a time; make another instance to look at another state."""

    def __init__(self, state: State, registry: Registry, pallets: list[Pallet]) -> None:
        self.state = state
        self.registry = registry
        self.pallets = pallets
        self.by_name = {pallet.name: pallet for pallet in pallets}
        self.calls: dict[tuple[int, int], CallDefinition] = {}
        self._methods: dict[tuple[int, int], Callable[..., None]] = {}
        for pallet in pallets:
            for definition in type(pallet).call_definitions(registry):
                key = (pallet.index, definition.index)
                if key in self.calls:
                    raise TypeError(f"{pallet.name}: two calls with index {definition.index}")
                self.calls[key] = definition
                self._methods[key] = getattr(pallet, definition.name)
        self._error_pallets = {error: pallet.index for pallet in pallets for error in pallet.errors}
        self._events = {
            event: bytes((pallet.index, number)) for pallet in pallets for number, event in enumerate(pallet.events)
        }
        self._event_codecs = {event: registry.codec(event) for pallet in pallets for event in pallet.events}
        self._event_by_id = {key: event for event, key in self._events.items()}
        self._bind_call()
        self._bind_event()

    def definition(self, pallet: str, call_name: str) -> CallDefinition:
        """The definition of a call by its names. KeyError if there is none."""
        index = self.by_name[pallet].index
        for (owner, _), definition in self.calls.items():
            if owner == index and definition.name == call_name:
                return definition
        raise KeyError(f"{pallet}.{call_name}")

    def dispatch(self, call: RuntimeCall, origin: Origin) -> None:
        """Run a call with an origin. Raises DispatchError; the caller opens the storage layer."""
        definition = call.definition
        if type(origin) not in definition.origins:
            raise BadOrigin
        self._methods[(definition.pallet_index, definition.index)](origin, *call.arguments)

    def dispatch_in_layer(self, call: RuntimeCall, origin: Origin) -> None:
        """Run a call; if it fails, its effects are undone and the DispatchError goes on."""
        state = self.state
        if state.layers >= LAYERS_MAX:
            raise Exhausted
        mark = state.mark()
        state.layers += 1
        try:
            self.dispatch(call, origin)
        except BaseException:
            state.rollback(mark)
            raise
        finally:
            state.layers -= 1

    def error_value(self, error: DispatchError) -> DispatchErrorValue:
        """The form of a dispatch error in events."""
        if isinstance(error, PalletError):
            index = self._error_pallets[type(error)]
            return ModuleValue(ModuleErrorValue(index, bytes((error.index, error.detail, 0, 0))))
        if isinstance(error, TokenError):
            return TokenValue(error.kind)
        if isinstance(error, ArithmeticFailed):
            return ArithmeticValue(error.kind)
        plain = {BadOrigin: BadOriginValue, Exhausted: ExhaustedValue, RootNotAllowed: RootNotAllowedValue}
        return plain.get(type(error), OtherValue)()

    def error_name(self, value: DispatchErrorValue) -> str:
        """`Balances.InsufficientBalance` for a module error, `Token.FundsUnavailable` or `BadOrigin` for others."""
        if isinstance(value, ModuleValue):
            for error, index in self._error_pallets.items():
                if index == value.module.index and error.index == value.module.error[0]:
                    pallet = next(p for p in self.pallets if p.index == index)
                    return f"{pallet.name}.{error.__name__}"
        name = type(value).__name__.removesuffix("Value")
        kind = getattr(value, "kind", None)
        return name if kind is None else f"{name}.{enum_variant_name(kind)}"

    def encode_event(self, event: Any) -> bytes:
        """Pallet index, event index, fields."""
        kind = type(event)
        return self._events[kind] + self._event_codecs[kind].encode(event)

    def _bind_call(self) -> None:
        calls, state = self.calls, self.state
        depth = 0

        def encode(value: Any) -> bytes:
            definition: CallDefinition = value.definition
            return bytes((definition.pallet_index, definition.index)) + definition.encode(value.arguments)

        def decode_from(data: bytes, position: int) -> tuple[RuntimeCall, int]:
            nonlocal depth
            definition = calls.get((data[position], data[position + 1]))
            if definition is None or not definition.exists_in(state.spec):
                raise ScaleError(f"no call {data[position]}.{data[position + 1]} in spec version {state.spec}")
            if depth >= CALL_DEPTH_MAX:
                raise ScaleError(f"calls nested deeper than {CALL_DEPTH_MAX}")
            depth += 1
            try:
                arguments, position = definition.decode_from(data, position + 2)
            finally:
                depth -= 1
            return RuntimeCall(definition, arguments), position

        shape = Shape("variant", ("heddle_runtime", "RuntimeCall"), variants=self._outer("Call"))
        self.call_codec = self._late(RuntimeCall).bind(Codec(encode, decode_from, shape))

    def _bind_event(self) -> None:
        by_id, codecs = self._event_by_id, self._event_codecs

        def decode_from(data: bytes, position: int) -> tuple[Any, int]:
            event = by_id.get(data[position : position + 2])
            if event is None:
                raise ScaleError(f"no event {data[position]}.{data[position + 1]}")
            return codecs[event].decode_from(data, position + 2)

        shape = Shape("variant", ("heddle_runtime", "RuntimeEvent"), variants=self._outer("Event"))
        self.event_codec = self._late(RuntimeEvent).bind(Codec(self.encode_event, decode_from, shape))

    def _late(self, placeholder: type) -> LateCodec:
        codec = self.registry.forwards[placeholder]
        assert isinstance(codec, LateCodec), "the registry must come from new_registry()"
        return codec

    def _outer(self, what: str) -> tuple[VariantShape, ...]:
        """One variant per pallet that has calls (or events), each with that pallet's own enum."""
        variants = []
        for pallet in self.pallets:
            inner = self.call_shape(pallet) if what == "Call" else self.event_shape(pallet)
            if inner is not None:
                field = Field(None, Codec(never, never, inner))
                variants.append(VariantShape(pallet.name, pallet.index, (field,)))
        return tuple(variants)

    def call_shape(self, pallet: Pallet) -> Shape | None:
        """The pallet's own call enum, for the metadata."""
        variants = tuple(
            VariantShape(d.name, d.index, tuple(Field(n, c, t) for n, c, t in d.fields), d.docs)
            for (index, _), d in sorted(self.calls.items())
            if index == pallet.index
        )
        return Shape("variant", _path(pallet, "Call"), variants=variants) if variants else None

    def event_shape(self, pallet: Pallet) -> Shape | None:
        """The pallet's own event enum, for the metadata."""
        variants = tuple(
            VariantShape(event.__name__, number, self.registry.fields_of(event), docs_of(event))
            for number, event in enumerate(pallet.events)
        )
        return Shape("variant", _path(pallet, "Event"), variants=variants) if variants else None

    def error_shape(self, pallet: Pallet) -> Shape | None:
        """The pallet's own error enum, for the metadata."""
        variants = tuple(
            VariantShape(error.__name__, error.index, (), docs_of(error))
            for error in sorted(pallet.errors, key=lambda e: e.index)
        )
        return Shape("variant", _path(pallet, "Error"), variants=variants) if variants else None


def _path(pallet: Pallet, what: str) -> tuple[str, ...]:
    snake = "".join("_" + c.lower() if c.isupper() else c for c in pallet.name).lstrip("_")
    crate = "frame_system" if pallet.name == "System" else f"pallet_{snake}"
    return (crate, "pallet", what)


def never(*_: Any) -> Any:
    """For codecs that only describe a type in the metadata."""
    raise TypeError("this codec describes a type in the metadata and does not encode")
