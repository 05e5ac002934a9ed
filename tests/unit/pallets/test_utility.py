"""Utility: what a batch keeps and what it undoes."""

from collections.abc import Sequence
from typing import Any

import pytest

from pallets.nested import NestedCalls
from pallets.utility import (
    BATCH_CALLS_MAX,
    BatchCompleted,
    BatchCompletedWithErrors,
    BatchInterrupted,
    ItemCompleted,
    ItemFailed,
    TooManyCalls,
)
from runtime.errors import (
    BadOriginValue,
    DispatchError,
    ExhaustedValue,
    TokenError,
    TokenErrorKind,
    TokenValue,
)
from runtime.pallet import Inherent, Root, RuntimeCall, Signed
from runtime.runtime import CALL_DEPTH_MAX
from runtime.scale import ScaleError
from runtime.state import LAYERS_MAX
from tests.helpers.pallet_chain import FIRST_SLOT, RICH, UNIT, PalletChain, Validator

ALICE, BOB = b"\x0a" * 32, b"\x0b" * 32
BATCHES = ("batch", "batch_all", "force_batch")


def chain() -> PalletChain:
    """An open block with two rich accounts."""
    made = PalletChain([Validator("a")], rich=[ALICE, BOB])
    made.start(FIRST_SLOT)
    made.dispatch(made.set_time(), Inherent())
    made.state.events.clear()
    return made


def pay(made: PalletChain, units: int) -> RuntimeCall:
    """A transfer to Bob."""
    return made.call("Balances", "transfer_keep_alive", BOB, units * UNIT)


def run(made: PalletChain, name: str, calls: Sequence[RuntimeCall]) -> DispatchError | None:
    """Alice's batch."""
    return made.dispatch(made.call("Utility", name, tuple(calls)), Signed(ALICE))


def outcome(made: PalletChain) -> list[Any]:
    """The events of Utility, in order."""
    return [event for _, event in made.state.events if type(event) in made.utility.events]


FAILED = TokenValue(TokenErrorKind.FUNDS_UNAVAILABLE)


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_that_succeeds(name: str) -> None:
    """Every call takes effect; each has its ItemCompleted before BatchCompleted."""
    made = chain()
    assert run(made, name, [pay(made, 1), pay(made, 2)]) is None
    assert made.balances.free(BOB) == RICH + 3 * UNIT
    assert outcome(made) == [ItemCompleted(), ItemCompleted(), BatchCompleted()]


@pytest.mark.parametrize("name", BATCHES)
def test_an_empty_batch(name: str) -> None:
    """Nothing is done, and that completes."""
    made = chain()
    assert run(made, name, []) is None
    assert outcome(made) == [BatchCompleted()]


def test_batch_keeps_what_came_before_the_error() -> None:
    """The first transfer stays, the failing one is undone, the third never runs; the call itself succeeds."""
    made = chain()
    assert run(made, "batch", [pay(made, 1), pay(made, 10**6), pay(made, 2)]) is None
    assert made.balances.free(BOB) == RICH + UNIT
    assert outcome(made) == [ItemCompleted(), BatchInterrupted(1, FAILED)]


def test_batch_all_undoes_everything() -> None:
    """One failure fails the call with the inner error, and no value or event of it remains."""
    made = chain()
    before = made.snapshot()
    failure = run(made, "batch_all", [pay(made, 1), pay(made, 10**6)])
    assert isinstance(failure, TokenError)
    assert made.snapshot() == before
    assert made.state.events == []


def test_force_batch_goes_on() -> None:
    """The failing call is undone alone."""
    made = chain()
    assert run(made, "force_batch", [pay(made, 1), pay(made, 10**6), pay(made, 2)]) is None
    assert made.balances.free(BOB) == RICH + 3 * UNIT
    assert outcome(made) == [ItemCompleted(), ItemFailed(FAILED), ItemCompleted(), BatchCompletedWithErrors()]


def test_a_batch_inside_a_batch() -> None:
    """A batch_all that fails inside a batch is undone whole and interrupts the outer one only."""
    made = chain()
    inner = made.call("Utility", "batch_all", (pay(made, 2), pay(made, 10**6)))
    assert run(made, "batch", [pay(made, 1), inner, pay(made, 4)]) is None
    assert made.balances.free(BOB) == RICH + UNIT
    assert outcome(made) == [ItemCompleted(), BatchInterrupted(1, FAILED)]


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_grants_no_permission(name: str) -> None:
    """A Root call or an inherent inside a signed batch is a bad origin."""
    made = chain()
    for inner in (made.call("Session", "set_validators", (ALICE,)), made.set_time()):
        before = made.snapshot()
        failure = run(made, name, [inner])
        value = None if failure is None else made.runtime.error_value(failure)
        events = [event.error for event in outcome(made) if type(event) in (BatchInterrupted, ItemFailed)]
        assert BadOriginValue() in (value, *events)
        assert made.snapshot() == before


def test_root_batches_with_root() -> None:
    """A batch by Root dispatches with Root."""
    made = chain()
    call = made.call("Balances", "force_set_balance", BOB, 5 * UNIT)
    assert made.dispatch(made.call("Utility", "batch", (call,)), Root()) is None
    assert made.balances.free(BOB) == 5 * UNIT


@pytest.mark.parametrize("name", BATCHES)
def test_size_limit(name: str) -> None:
    """256 calls are allowed, 257 refused by name, more do not even encode."""
    made = chain()
    remark = made.call("System", "remark", b"")
    assert run(made, name, [remark] * BATCH_CALLS_MAX) is None
    made.state.events.clear()
    assert isinstance(run(made, name, [remark] * (BATCH_CALLS_MAX + 1)), TooManyCalls)
    assert made.state.events == []
    codec = made.runtime.call_codec
    with pytest.raises(ScaleError):
        codec.encode(made.call("Utility", name, (remark,) * (BATCH_CALLS_MAX + 2)))


@pytest.mark.parametrize("name", BATCHES)
def test_weight_is_the_sum(name: str) -> None:
    """A batch weighs what its calls weigh and a little more, nested ones included."""
    made = chain()
    calls = (pay(made, 1), pay(made, 2))
    batch = made.call("Utility", name, calls)
    empty = made.call("Utility", name, ()).weight_ps
    assert empty > 0
    assert batch.weight_ps == empty + sum(call.weight_ps for call in calls)
    assert made.call("Utility", name, (batch, batch)).weight_ps == empty + 2 * batch.weight_ps


def nested(made: PalletChain, depth: int) -> RuntimeCall:
    """A remark inside `depth` batches."""
    call = made.call("System", "remark", b"")
    for _ in range(depth):
        call = made.call("Utility", "batch_all", (call,))
    return call


def test_depth_on_decode() -> None:
    """Eight calls inside each other decode, nine do not."""
    made = chain()
    codec = made.runtime.call_codec
    allowed = nested(made, CALL_DEPTH_MAX - 1)
    assert codec.decode(codec.encode(allowed)) == allowed
    with pytest.raises(ScaleError, match="nested deeper"):
        codec.decode(codec.encode(nested(made, CALL_DEPTH_MAX)))


def test_depth_on_dispatch() -> None:
    """More nested storage layers than there are is an error of the call, never of the node; all is undone."""
    made = chain()
    assert made.dispatch(nested(made, LAYERS_MAX - 1), Signed(ALICE)) is None
    made.state.events.clear()
    before = made.snapshot()
    failure = made.dispatch(nested(made, LAYERS_MAX), Signed(ALICE))
    assert failure is not None
    assert made.runtime.error_value(failure) == ExhaustedValue()
    assert made.snapshot() == before
    assert made.state.layers == 0


def test_nested_calls_need_a_runtime() -> None:
    """A pallet that dispatches before composition is a fault of the program."""
    with pytest.raises(AssertionError):
        NestedCalls().dispatch(pay(chain(), 1), Signed(ALICE))
