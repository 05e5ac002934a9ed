"""Calls inside calls: how a pallet dispatches to the composed runtime that it is itself a part of."""

from typing import Annotated, Any, Protocol

from runtime.errors import DispatchError, DispatchErrorValue
from runtime.pallet import Origin, RuntimeCall
from runtime.scale import Codec, Named, Registry, ScaleError
from runtime.scale.codec import Field, Shape, VariantShape


class Dispatcher(Protocol):
    """The part of the composed runtime that nested calls need."""

    def dispatch_in_layer(self, call: RuntimeCall, origin: Origin) -> None:
        """Run a call; if it fails, undo it and raise its DispatchError."""

    def error_value(self, error: DispatchError) -> DispatchErrorValue:
        """The form of a dispatch error in events."""


class NestedCalls:
    """The way to the runtime, for pallets made before it. `bind` is called once, when the runtime is composed."""

    def __init__(self) -> None:
        self._dispatcher: Dispatcher | None = None

    def bind(self, dispatcher: Dispatcher) -> None:
        """Give the composed runtime."""
        self._dispatcher = dispatcher

    def dispatch(self, call: RuntimeCall, origin: Origin) -> None:
        """Run a call in a storage layer of its own. Raises its DispatchError."""
        assert self._dispatcher is not None, "nested calls are used before the runtime is composed"
        self._dispatcher.dispatch_in_layer(call, origin)

    def run(self, call: RuntimeCall, origin: Origin) -> DispatchErrorValue | None:
        """Run a call in a storage layer of its own; None, or the error that undid it."""
        assert self._dispatcher is not None, "nested calls are used before the runtime is composed"
        try:
            self._dispatcher.dispatch_in_layer(call, origin)
        except DispatchError as error:
            return self._dispatcher.error_value(error)
        return None


def _dispatch_result(registry: Registry) -> Codec:
    """`Result<(), DispatchError>`: in Python None or the error's value."""
    unit, failure = registry.codec(type(None)), registry.codec(DispatchErrorValue)

    def encode(value: Any) -> bytes:
        return b"\x00" if value is None else b"\x01" + failure.encode(value)

    def decode_from(data: bytes, position: int) -> tuple[Any, int]:
        if data[position] > 1:
            raise ScaleError(f"Result has no variant {data[position]}")
        return failure.decode_from(data, position + 1) if data[position] else (None, position + 1)

    variants = (VariantShape("Ok", 0, (Field(None, unit),)), VariantShape("Err", 1, (Field(None, failure),)))
    shape = Shape("variant", ("Result",), variants=variants, params=(("T", unit), ("E", failure)))
    return Codec(encode, decode_from, shape)


DispatchResult = Annotated[DispatchErrorValue | None, Named(_dispatch_result)]
