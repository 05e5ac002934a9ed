"""Addresses: known ones, every refusal, and that a typing error never passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import ss58

ALICE = "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"
ALICE_ACCOUNT = bytes.fromhex("88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee")


def test_alice_both_ways() -> None:
    """The well-known address of //Alice (ed25519) is her public key."""
    assert ss58.decode(ALICE) == ALICE_ACCOUNT
    assert ss58.encode(ALICE_ACCOUNT) == ALICE


@given(st.binary(min_size=32, max_size=32), st.integers(0, 16_383))
def test_round_trip(account: bytes, prefix: int) -> None:
    """Every account comes back under every prefix of one or two bytes."""
    assert ss58.decode(ss58.encode(account, prefix), prefix) == account


def test_two_byte_prefix_of_another_network() -> None:
    """A foreign address is refused with both prefixes named."""
    with pytest.raises(ss58.Ss58Prefix) as refused:
        ss58.decode(ss58.encode(ALICE_ACCOUNT, 2_254))
    assert (refused.value.found, refused.value.expected) == (2_254, 42)


def test_one_wrong_character_never_passes() -> None:
    """Each of the 48 places, changed to its neighbour in the alphabet, is refused by a typed error."""
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    for place in range(len(ALICE)):
        other = alphabet[(alphabet.index(ALICE[place]) + 1) % 58]
        with pytest.raises(ss58.Ss58Error):
            ss58.decode(ALICE[:place] + other + ALICE[place + 1 :])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", ss58.Ss58Length),
        ("1", ss58.Ss58Length),
        (ALICE[:-1], ss58.Ss58Length),
        (ALICE + "1", ss58.Ss58Length),
        ("1" * 65, ss58.Ss58Length),
        ("1" * 10_000_000, ss58.Ss58Length),
        (ALICE[:-1] + "0", ss58.Ss58Alphabet),
        (ALICE[:-1] + " ", ss58.Ss58Alphabet),
        (ALICE[:-1] + "é", ss58.Ss58Alphabet),
        (ALICE[:-1] + "v", ss58.Ss58Checksum),
    ],
)
def test_refusals_are_typed(text: str, error: type[ss58.Ss58Error]) -> None:
    """Each kind of bad text has its own error."""
    with pytest.raises(error):
        ss58.decode(text)


def test_encode_refuses_what_is_no_account() -> None:
    """Only 32 bytes and a known prefix have an address."""
    with pytest.raises(ValueError, match="31 bytes"):
        ss58.encode(bytes(31))
    for prefix in (-1, 16_384):
        with pytest.raises(ValueError, match="must be 0"):
            ss58.encode(ALICE_ACCOUNT, prefix)
