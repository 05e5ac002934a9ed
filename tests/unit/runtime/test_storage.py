"""Typed storage: Substrate's keys, defaults, maps of several keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.hashing import blake2b128, twox64, twox128
from runtime.pallet import Pallet
from runtime.runtime import new_registry
from runtime.scale import U32, U64, ScaleError
from runtime.state import State
from runtime.storage import BLAKE2, TWOX, Map, Value
from runtime.types import AccountId


class Shop(Pallet):
    """Storage of every shape."""

    name, index = "Shop", 77

    def __init__(self) -> None:
        super().__init__(State(), new_registry())
        self.total: Value[int] = self.value("Total", U64, 5)
        self.note: Value[str | None] = self.value("Note", str)
        self.stock: Map[bytes, int] = self.map("Stock", AccountId, U32, 0)
        self.orders: Map[int, str] = self.map("Orders", U64, str, "none", hasher=TWOX)
        self.prices: Map[tuple[bytes, int], int] = self.maps("Prices", ((AccountId, BLAKE2), (U64, TWOX)), U32)


ALICE, BOB = b"\x0a" * 32, b"\x0b" * 32


def test_keys_are_substrates() -> None:
    """twox128(pallet) ‖ twox128(item) ‖ hasher(key), with the key readable at the end."""
    shop = Shop()
    assert shop.total.prefix == twox128(b"Shop") + twox128(b"Total")
    assert shop.stock.raw_key(ALICE) == twox128(b"Shop") + twox128(b"Stock") + blake2b128(ALICE) + ALICE
    five = (5).to_bytes(8, "little")
    assert shop.orders.raw_key(5) == twox128(b"Shop") + twox128(b"Orders") + twox64(five) + five
    expected = twox128(b"Shop") + twox128(b"Prices") + blake2b128(ALICE) + ALICE + twox64(five) + five
    assert shop.prices.raw_key((ALICE, 5)) == expected
    assert expected.startswith(shop.prices.raw_prefix((ALICE,)))


def test_the_key_every_client_knows() -> None:
    """System.Number's key, as in Substrate's documentation."""
    assert twox128(b"System").hex() == "26aa394eea5630e07c48ae0c9558cef7"
    assert twox128(b"Number").hex() == "02a5c1b19ab7a04f536c519aca4983ac"


@given(account=st.binary(min_size=32, max_size=32), number=st.integers(0, (1 << 64) - 1))
def test_keys_read_back(account: bytes, number: int) -> None:
    """`key_of` is the inverse of `raw_key` for each hasher and for several keys."""
    shop = Shop()
    assert shop.stock.key_of(shop.stock.raw_key(account)) == account
    assert shop.orders.key_of(shop.orders.raw_key(number)) == number
    assert shop.prices.key_of(shop.prices.raw_key((account, number))) == (account, number)


def test_defaults() -> None:
    """Absent values read as the default, `find` as None, and a default that was put is a value."""
    shop = Shop()
    assert (shop.total.get(), shop.note.get(), shop.orders.get(1), shop.stock.get(BOB)) == (5, None, "none", 0)
    assert shop.stock.find(BOB) is None
    assert not shop.stock.contains(BOB)
    shop.stock.put(BOB, 0)
    assert shop.stock.find(BOB) == 0
    assert shop.stock.contains(BOB)
    assert len(shop.state.changes()) == 1


def test_put_and_remove() -> None:
    """A removed value is absent again."""
    shop = Shop()
    shop.total.put(9)
    shop.note.put("x")
    shop.prices.put((ALICE, 1), 3)
    assert (shop.total.get(), shop.note.get(), shop.prices.get((ALICE, 1))) == (9, "x", 3)
    shop.total.remove()
    shop.prices.remove((ALICE, 1))
    assert (shop.total.get(), shop.prices.find((ALICE, 1))) == (5, None)


@pytest.mark.parametrize("key", [b"short", b"\x01" * 33, 7, None])
def test_a_key_of_the_wrong_type(key: object) -> None:
    """A key that does not fit its type never reaches the state."""
    with pytest.raises((ScaleError, TypeError)):
        Shop().stock.put(key, 1)  # type: ignore[arg-type]  # wrong on purpose


def test_items_ascend_and_respect_prefixes() -> None:
    """Pairs come in order of raw keys; with the first key given, only those under it."""
    shop = Shop()
    for account in (BOB, ALICE):
        for number in (3, 1, 2):
            shop.prices.put((account, number), number * 10)
    shop.prices.remove((ALICE, 2))
    everything = dict(shop.prices.items())
    assert everything == {(a, n): n * 10 for a in (ALICE, BOB) for n in (1, 2, 3) if (a, n) != (ALICE, 2)}
    assert dict(shop.prices.items(ALICE)) == {(ALICE, 1): 10, (ALICE, 3): 30}
    raws = [shop.prices.raw_key(key) for key, _ in shop.prices.items()]
    assert raws == sorted(raws)
