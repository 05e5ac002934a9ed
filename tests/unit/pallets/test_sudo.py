"""Sudo: one key that acts as Root, and only that key."""

import pytest

from pallets.sudo import KeyChanged, KeyRemoved, RequireSudo, Sudid, SudoAsDone
from runtime.errors import ModuleErrorValue, ModuleValue, TokenErrorKind, TokenValue
from runtime.pallet import Inherent, Signed
from runtime.scale import ScaleError
from tests.helpers.pallet_chain import FIRST_SLOT, RICH, UNIT, PalletChain, Validator

BOSS, BOB = b"\x0a" * 32, b"\x0b" * 32


def chain(sudo: bytes | None = BOSS) -> PalletChain:
    """An open block with two rich accounts."""
    made = PalletChain([Validator("a")], rich=[BOSS, BOB], sudo=sudo)
    made.start(FIRST_SLOT)
    made.dispatch(made.set_time(), Inherent())
    return made


def test_sudo_acts_as_root() -> None:
    """The key's call runs with Root, and the event holds Ok."""
    made = chain()
    inner = made.call("Balances", "force_set_balance", BOB, UNIT)
    assert made.dispatch(made.call("Sudo", "sudo", inner), Signed(BOSS)) is None
    assert made.balances.free(BOB) == UNIT
    assert made.events(Sudid) == [Sudid(None)]


def test_a_failing_inner_call_is_in_the_event() -> None:
    """The inner error stands in Sudid; the inner call is undone; the outer one succeeds."""
    made = chain()
    inner = made.call("Session", "set_validators", ())
    assert made.dispatch(made.call("Sudo", "sudo", inner), Signed(BOSS)) is None
    assert made.events(Sudid) == [Sudid(ModuleValue(ModuleErrorValue(6, bytes((6, 0, 0, 0)))))]
    made.finish()


def test_sudo_as_acts_for_an_account() -> None:
    """The inner call runs as if that account had signed it."""
    made = chain()
    for units, expected in ((1, None), (10**6, TokenValue(TokenErrorKind.FUNDS_UNAVAILABLE))):
        made.state.events.clear()
        inner = made.call("Balances", "transfer_keep_alive", BOSS, units * UNIT)
        assert made.dispatch(made.call("Sudo", "sudo_as", BOB, inner), Signed(BOSS)) is None
        assert made.events(SudoAsDone) == [SudoAsDone(expected)]
    assert made.balances.free(BOB) == RICH - UNIT


@pytest.mark.parametrize("key", [BOSS, None])
def test_everyone_else_is_refused(key: bytes | None) -> None:
    """Without the key, or on a chain without one, each call of the pallet is refused and nothing runs."""
    made = chain(key)
    remark = made.call("System", "remark", b"")
    for name, arguments in (("sudo", (remark,)), ("sudo_as", (BOSS, remark)), ("set_key", (BOB,)), ("remove_key", ())):
        assert isinstance(made.dispatch(made.call("Sudo", name, *arguments), Signed(BOB)), RequireSudo)
    assert made.sudo.key.get() == key


def test_changing_and_removing_the_key() -> None:
    """The new key takes over from the old one; once removed, nobody has it."""
    made = chain()
    assert made.dispatch(made.call("Sudo", "set_key", BOB), Signed(BOSS)) is None
    assert made.events(KeyChanged) == [KeyChanged(BOSS, BOB)]
    assert isinstance(made.dispatch(made.call("Sudo", "remove_key"), Signed(BOSS)), RequireSudo)
    assert made.dispatch(made.call("Sudo", "remove_key"), Signed(BOB)) is None
    assert made.events(KeyRemoved) == [KeyRemoved()]
    assert isinstance(made.dispatch(made.call("Sudo", "set_key", BOB), Signed(BOB)), RequireSudo)


def test_weight_includes_the_inner_call() -> None:
    """sudo costs more than the call it carries."""
    made = chain()
    inner = made.call("Balances", "force_set_balance", BOB, UNIT)
    for outer in (made.call("Sudo", "sudo", inner), made.call("Sudo", "sudo_as", BOB, inner)):
        assert outer.weight_ps > inner.weight_ps


def test_the_result_in_events_is_a_result() -> None:
    """`Result<(), DispatchError>` encodes as 00 or 01 ‖ error, and nothing else decodes."""
    made = chain()
    codec = made.runtime.registry.codec(Sudid)
    assert codec.encode(Sudid(None)) == b"\x00"
    failed = Sudid(TokenValue(TokenErrorKind.FROZEN))
    assert codec.encode(failed) == b"\x01\x07\x05"
    assert codec.decode(b"\x01\x07\x05") == failed
    with pytest.raises(ScaleError):
        codec.decode(b"\x02")


@pytest.mark.parametrize("key", [b"short", bytes(32), "text", 5])
def test_genesis_names_the_field(key: object) -> None:
    """A malformed key is refused, naming sudo.key."""
    with pytest.raises(ValueError, match=r"^sudo\.key"):
        chain().sudo.genesis({"key": key})
