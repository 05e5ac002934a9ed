"""The pallet API: how the rules of the chain are written.

A pallet is a class. Its storage is declared in `__init__`, its calls are methods marked `@call`, the type of `origin`
is the permission, hooks are ordinary overrides, and what it needs of other pallets are constructor arguments. Metadata
is derived from the same declarations. See reference: FRAME; the shape is explained in ARCHITECTURE.md.

    class Counter(Pallet):
        name, index = "Counter", 40
        events = (Counted,)
        errors = (TooHigh,)

        def __init__(self, state: State, registry: Registry) -> None:
            super().__init__(state, registry)
            self.total: Value[int] = self.value("Total", U64, 0, "The sum so far.")

        @call(index=0, weight=Cost(reads=1, writes=1))
        def add(self, origin: Signed, amount: CompactU64) -> None: ...
"""

from __future__ import annotations

import inspect
import typing
from collections import namedtuple
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from runtime.errors import PalletError
from runtime.scale import Codec, Registry
from runtime.scale.codec import RememberingCodec
from runtime.scale.declare import compile_record
from runtime.state import State
from runtime.storage import BLAKE2, Hasher, Map, Value
from runtime.weight import DispatchClass, cost_ps


@dataclass(frozen=True, slots=True)
class Signed:
    """Origin: an account that signed the extrinsic."""

    who: bytes


@dataclass(frozen=True, slots=True)
class Root:
    """Origin: the chain's own governance."""


@dataclass(frozen=True, slots=True)
class Inherent:
    """Origin: the block's author, through an unsigned extrinsic at the start of the block."""


Origin = Signed | Root | Inherent


@dataclass(frozen=True, slots=True)
class Cost:
    """A call's declared cost: storage keys read and changed, plus microseconds of other work."""

    reads: int = 1
    writes: int = 1
    extra_us: int = 0

    @property
    def weight_ps(self) -> int:
        return cost_ps(self.reads, self.writes, self.extra_us)


class Event:
    """Base of events: slots dataclasses. The docstring's first line goes into the metadata."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class CallMark:
    """What `@call` notes on a method."""

    index: int
    cost: Cost | Callable[..., int]
    dispatch_class: DispatchClass
    pays_fee: bool
    refundable: bool
    since: int
    until: int | None


F = TypeVar("F", bound=Callable[..., None])


def call(
    *,
    index: int,
    weight: Cost | Callable[..., int],
    dispatch_class: DispatchClass = DispatchClass.NORMAL,
    pays_fee: bool = True,
    refundable: bool = False,
    since: int = 1,
    until: int | None = None,
) -> Callable[[F], F]:
    """Mark a method as a dispatchable call.

    `weight` is a Cost, or a function of the call's decoded arguments that gives picoseconds. `since` and `until` are
    the spec versions from which and before which the call exists (spec/chain.md (d)). A `refundable` call declares its
    worst case and pays, in the end, for the storage that it touched (spec/chain.md (f)).
    """

    def mark(function: F) -> F:
        # A function takes any attribute, which its type does not say.
        function.__call_mark__ = CallMark(index, weight, dispatch_class, pays_fee, refundable, since, until)  # type: ignore[attr-defined]
        return function

    return mark


@dataclass(frozen=True, slots=True)
class CallDefinition:
    """A call of the composed runtime. `weight_ps` is a number or a function of the arguments."""

    pallet: str
    pallet_index: int
    index: int
    name: str
    fields: tuple[tuple[str, Codec, str | None], ...]
    origins: tuple[type, ...]
    weight_ps: int | Callable[..., int]
    dispatch_class: DispatchClass
    pays_fee: bool
    refundable: bool
    since: int
    until: int | None
    docs: tuple[str, ...]
    record: Callable[..., tuple[Any, ...]]
    encode: Callable[[Any], bytes]
    decode_from: Callable[[bytes, int], tuple[Any, int]]

    def __call__(self, *arguments: Any) -> RuntimeCall:
        """Make this call with `arguments` in declared order."""
        return RuntimeCall(self, self.record(*arguments))

    def exists_in(self, spec: int) -> bool:
        """Whether this call is part of the rules of spec version `spec`."""
        return self.since <= spec and (self.until is None or spec < self.until)

    def weight_of(self, arguments: tuple[Any, ...]) -> int:
        """Weight in picoseconds of one call with these arguments."""
        if isinstance(self.weight_ps, int):
            return self.weight_ps
        weight: int = self.weight_ps(*arguments)
        return weight


class RuntimeCall:
    """A decoded call: its definition and its arguments in order. As a type hint: a call inside a call."""

    __slots__ = ("arguments", "definition")

    def __init__(self, definition: CallDefinition, arguments: tuple[Any, ...]) -> None:
        self.definition = definition
        self.arguments = arguments

    @property
    def weight_ps(self) -> int:
        return self.definition.weight_of(self.arguments)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, RuntimeCall)
            and (self.definition.pallet_index, self.definition.index)
            == (
                other.definition.pallet_index,
                other.definition.index,
            )
            and self.arguments == other.arguments
        )

    __hash__ = None  # type: ignore[assignment]  # arguments may hold calls: never a key

    def __repr__(self) -> str:
        return f"{self.definition.pallet}.{self.definition.name}{self.arguments!r}"


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant of a pallet, for the metadata."""

    name: str
    codec: Codec
    value: Any
    docs: str


class Pallet:
    """Base of all pallets. `name` and `index` are the ones in the metadata."""

    name: ClassVar[str]
    index: ClassVar[int]
    events: ClassVar[tuple[type[Event], ...]] = ()
    errors: ClassVar[tuple[type[PalletError], ...]] = ()

    def __init__(self, state: State, registry: Registry) -> None:
        self.state = state
        self.registry = registry
        self.storage: list[Value[Any] | Map[Any, Any]] = []
        self.constants: list[Constant] = []

    def value(self, item: str, hint: Any, default: Any = None, docs: str = "") -> Value[Any]:
        """Declare a single value. Without a default, `get` gives None while absent."""
        made: Value[Any] = Value(self.state, self.name, item, self.registry.codec(hint), default, docs)
        self.storage.append(made)
        return made

    def map(
        self,
        item: str,
        key: Any,
        hint: Any,
        default: Any = None,
        docs: str = "",
        hasher: Hasher = BLAKE2,
        *,
        remembered: bool = False,
    ) -> Map[Any, Any]:
        """Declare a map. `hasher`: TWOX only for keys that users cannot choose. `remembered`: large values."""
        made = self.maps(item, ((key, hasher),), hint, default, docs)
        if remembered:
            made.codec = RememberingCodec(made.codec)
        return made

    def maps(
        self, item: str, keys: tuple[tuple[Any, Hasher], ...], hint: Any, default: Any = None, docs: str = ""
    ) -> Map[Any, Any]:
        """Declare a map with several keys, each with its hasher; the Python key is a tuple."""
        codecs = tuple((self.registry.codec(key), hasher) for key, hasher in keys)
        made: Map[Any, Any] = Map(self.state, self.name, item, codecs, self.registry.codec(hint), default, docs)
        self.storage.append(made)
        return made

    def constant(self, name: str, hint: Any, value: Any, docs: str = "") -> Any:
        """Declare a constant that clients can read in the metadata; returns its value."""
        self.constants.append(Constant(name, self.registry.codec(hint), value, docs))
        return value

    def emit(self, event: Event) -> None:
        """Deposit an event of this pallet."""
        self.state.events.append((self.state.phase, event))

    # Hooks, in the order in which a block runs them. All do nothing unless overridden.

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Write the genesis state from this pallet's section of the chain spec. Raises ValueError naming the field."""

    def on_runtime_upgrade(self, previous: int) -> None:
        """Migrate storage from spec version `previous`."""

    def on_initialize(self, number: int, slot: int) -> int:
        """Start of block. Returns the weight used, in picoseconds."""
        return 0

    def on_idle(self, remaining_ps: int) -> int:
        """After the extrinsics, if weight is left. Returns the weight used."""
        return 0

    def on_finalize(self) -> None:
        """End of block."""

    def check_state(self) -> None:
        """Raise InvariantBroken if the pallet's invariant does not hold. Run after every block in tests."""

    @classmethod
    def call_definitions(cls, registry: Registry) -> list[CallDefinition]:
        """The pallet's calls, by index."""
        made = [
            _definition(cls, name, function, registry)
            for name, function in inspect.getmembers(cls, inspect.isfunction)
            if hasattr(function, "__call_mark__")
        ]
        return sorted(made, key=lambda definition: definition.index)


def _definition(cls: type[Pallet], name: str, function: Any, registry: Registry) -> CallDefinition:
    mark: CallMark = function.__call_mark__
    hints = typing.get_type_hints(function, include_extras=True)
    origin = hints.pop("origin")
    hints.pop("return", None)
    fields = [(field, registry.codec(hint)) for field, hint in hints.items()]
    type_names = [hint.__name__ if isinstance(hint, type) else None for hint in hints.values()]
    # The fields are known at start only, which NamedTuple's class form cannot say.
    record: Any = namedtuple(name, [field for field, _ in fields])  # type: ignore[misc]  # noqa: PYI024
    encode, decode_from = compile_record(record, fields)
    docs = (function.__doc__ or "").strip().splitlines()
    return CallDefinition(
        pallet=cls.name,
        pallet_index=cls.index,
        index=mark.index,
        name=name,
        fields=tuple((field, codec, label) for (field, codec), label in zip(fields, type_names, strict=True)),
        origins=typing.get_args(origin) or (origin,),
        weight_ps=mark.cost.weight_ps if isinstance(mark.cost, Cost) else mark.cost,
        dispatch_class=mark.dispatch_class,
        pays_fee=mark.pays_fee,
        refundable=mark.refundable,
        since=mark.since,
        until=mark.until,
        docs=tuple(docs[:1]),
        record=record,
        encode=encode,
        decode_from=decode_from,
    )
