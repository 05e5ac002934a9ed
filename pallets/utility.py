"""Utility: several calls in one transaction.

`batch` stops at the first error and keeps what was done before; `batch_all` undoes everything; `force_batch` goes on.
Each inner call runs in a storage layer of its own with the caller's origin, so a batch never grants a permission.

Invariant: keeps no state.
"""

from dataclasses import dataclass
from typing import Annotated

from pallets.nested import NestedCalls
from runtime.errors import DispatchErrorValue, PalletError
from runtime.pallet import Event, Pallet, Root, RuntimeCall, Signed, call
from runtime.scale import U32, Bounded, Registry
from runtime.state import State
from runtime.weight import cost_ps

BATCH_CALLS_MAX = 256
"""Calls in a batch (spec/chain.md (f)). Batches in batches: each level takes a storage layer, of which there are 8."""

Calls = Annotated[tuple[RuntimeCall, ...], Bounded(BATCH_CALLS_MAX + 1)]
"""One more than allowed decodes, so that the limit is an error with a name."""


@dataclass(slots=True)
class BatchInterrupted(Event):
    """Batch of dispatches did not complete fully. Index of first failing dispatch given, as well as the error."""

    index: U32
    error: DispatchErrorValue


@dataclass(slots=True)
class BatchCompleted(Event):
    """Batch of dispatches completed fully with no error."""


@dataclass(slots=True)
class BatchCompletedWithErrors(Event):
    """Batch of dispatches completed but has errors."""


@dataclass(slots=True)
class ItemCompleted(Event):
    """A single item within a Batch of dispatches has completed with no error."""


@dataclass(slots=True)
class ItemFailed(Event):
    """A single item within a Batch of dispatches has completed with error."""

    error: DispatchErrorValue


class TooManyCalls(PalletError):
    """Too many calls batched: at most 256."""

    index = 0


def _sum(calls: tuple[RuntimeCall, ...]) -> int:
    return cost_ps(reads=0, writes=0) + sum(call.weight_ps for call in calls)


class Utility(Pallet):
    """Batches. `nested.bind(runtime)` after composition."""

    name, index = "Utility", 9
    events = (BatchInterrupted, BatchCompleted, BatchCompletedWithErrors, ItemCompleted, ItemFailed)
    errors = (TooManyCalls,)

    def __init__(self, state: State, registry: Registry, nested: NestedCalls) -> None:
        super().__init__(state, registry)
        self.nested = nested
        self.constant("batched_calls_limit", U32, BATCH_CALLS_MAX, "The limit on the number of batched calls.")

    @call(index=0, weight=_sum)
    def batch(self, origin: Signed | Root, calls: Calls) -> None:
        """Send a batch of dispatch calls; stop at the first that fails and keep what came before it."""
        _check_size(calls)
        for position, inner in enumerate(calls):
            failure = self.nested.run(inner, origin)
            if failure is not None:
                self.emit(BatchInterrupted(position, failure))
                return
            self.emit(ItemCompleted())
        self.emit(BatchCompleted())

    @call(index=2, weight=_sum)
    def batch_all(self, origin: Signed | Root, calls: Calls) -> None:
        """Send a batch of dispatch calls and atomically execute them: one failure undoes all."""
        _check_size(calls)
        for inner in calls:
            self.nested.dispatch(inner, origin)
            self.emit(ItemCompleted())
        self.emit(BatchCompleted())

    @call(index=4, weight=_sum)
    def force_batch(self, origin: Signed | Root, calls: Calls) -> None:
        """Send a batch of dispatch calls; those that fail are undone, the others stay."""
        _check_size(calls)
        failed = False
        for inner in calls:
            failure = self.nested.run(inner, origin)
            failed = failed or failure is not None
            self.emit(ItemCompleted() if failure is None else ItemFailed(failure))
        self.emit(BatchCompletedWithErrors() if failed else BatchCompleted())


def _check_size(calls: tuple[RuntimeCall, ...]) -> None:
    if len(calls) > BATCH_CALLS_MAX:
        raise TooManyCalls
