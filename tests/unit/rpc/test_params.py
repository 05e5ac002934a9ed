"""Decoding of parameters: what passes, and that a refusal names the parameter."""

from collections.abc import Callable
from typing import Any

import pytest

from node.rpc import params
from node.rpc.errors import InvalidParams

ALICE = "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"
ALICE_HEX = "0x88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee"


def test_what_passes() -> None:
    """Each helper gives the value it promises."""
    assert params.hex_bytes("0xAbcd", "key", 2) == b"\xab\xcd"
    assert params.hex_bytes("0x", "key", 2) == b""
    assert params.block_hash("0x" + "11" * 32) == b"\x11" * 32
    assert params.optional_block_hash(None) is None
    assert params.account(ALICE) == params.account(ALICE_HEX) == bytes.fromhex(ALICE_HEX[2:])
    assert params.text("name", "name", 4) == "name"
    assert params.integer(0, "n") == 0
    assert params.integer(params.U64_MAX, "n") == 2**64 - 1
    assert params.block_number(26) == params.block_number("0x1a") == 26
    assert params.boolean(False, "flag") is False
    assert params.hex_list(["0x00", "0x"], "keys", 1) == [b"\0", b""]


NO_HEX = [None, 1, "", "12", "0x", "0x1", "0xzz", "0x1 2 3", "0x 1", "0x1122334455", b"0x00", ["0x00"], "0xéé"]
NO_HASH = ["0x", "0x" + "1" * 63, "0x" + "1" * 66, ALICE]
NO_ACCOUNT = ["", ALICE[:-1], ALICE_HEX[:-2], ALICE[:-1] + "v", 5, None]
NO_NUMBER = ["0x", "0x1g", "0x111111111", "1", -1, 2**32, "0x1_0", "0x+1"]
REFUSALS: list[tuple[Callable[[Any], Any], list[Any]]] = [
    (lambda value: params.hex_bytes(value, "it", 4, 1), NO_HEX),
    (lambda value: params.block_hash(value, "it"), NO_HASH),
    (lambda value: params.account(value, "it"), NO_ACCOUNT),
    (lambda value: params.text(value, "it", 4), [5, "abcde", "\ud800"]),
    (lambda value: params.integer(value, "it", 10, 1), [True, 1.0, "1", 0, 11, -1, None]),
    (lambda value: params.block_number(value, "it"), NO_NUMBER),
    (lambda value: params.boolean(value, "it"), [0, 1, "true", None]),
    (lambda value: params.items(value, "it", 2), ["ab", {}, [1, 2, 3], None]),
]


@pytest.mark.parametrize(("decode", "value"), [(decode, value) for decode, values in REFUSALS for value in values])
def test_refusals_name_the_parameter(decode: Callable[[Any], Any], value: Any) -> None:
    """A bad value is refused with -32602, the parameter's name and a reason."""
    with pytest.raises(InvalidParams) as refused:
        decode(value)
    assert refused.value.code == -32602
    assert refused.value.name == "it"
    assert refused.value.message == f"Invalid params: it: {refused.value.why}"


def test_a_bad_item_is_named_by_its_place() -> None:
    """In a list the place of the bad item is said."""
    with pytest.raises(InvalidParams, match=r"keys\[1\]"):
        params.hex_list(["0x00", "00"], "keys", 1)
