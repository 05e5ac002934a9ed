"""Keystore, wallets and the node key on disk: what is stored comes back, what is damaged is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from node.keys import node_key
from node.keys.files import FileExists, InsecureFile, OversizedFile, read_private, write_private
from node.keys.keystore import ACCO, AURA, GRAN, Keystore, UnknownKey, UnknownKeyType
from node.keys.pair import Pair, dev_pair, from_uri
from node.keys.sealed import BadRecord, Cost, PasswordRequired, WrongPassword, seal, unseal
from node.keys.wallet import BadWalletName, UnknownWallet, WalletStore, home
from runtime.crypto import Scheme, verify
from tests.helpers.rpc_server import Recorder

CHEAP = Cost(operations=1, memory_bytes=8192)
ALICE = dev_pair("Alice")
BOB = dev_pair("Bob")


def mode(path: Path) -> int:
    """The permission bits."""
    return path.stat().st_mode & 0o777


def test_keystore_file() -> None:
    """The file's name is hex(key type) + hex(public key)."""
    assert AURA.hex() + ALICE.public.hex() == "61757261" + ALICE.public.hex()


@pytest.mark.parametrize("password", [None, "hunter2"])
def test_keys_come_back(tmp_path: Path, password: str | None) -> None:
    """Keys of both schemes are there after a restart and sign; files are named as usual and private."""
    store = Keystore(tmp_path / "keystore", password, CHEAP)
    path = store.insert(AURA, ALICE)
    sr25519 = dev_pair("Alice", Scheme.SR25519)
    store.insert(ACCO, sr25519)
    assert path.name == "61757261" + ALICE.public.hex()
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert (password is None) == (ALICE.secret.hex() in path.read_text())
    again = Keystore(tmp_path / "keystore", password, CHEAP)
    assert again.publics(AURA) == [ALICE.public]
    assert again.publics(GRAN) == []
    assert again.has(ACCO, sr25519.public)
    assert verify(0, ALICE.public, b"m", again.sign(AURA, ALICE.public, b"m"))
    assert verify(1, sr25519.public, b"m", again.sign(ACCO, sr25519.public, b"m"))
    with pytest.raises(UnknownKey):
        again.sign(GRAN, ALICE.public, b"m")


def test_keystore_without_the_password(tmp_path: Path) -> None:
    """Sealed keys without the password, or with another, are problems by name; the store opens all the same."""
    name = Keystore(tmp_path, "right", CHEAP).insert(GRAN, ALICE).name
    for password, why in ((None, "a password is needed"), ("wrong", "does not open")):
        store = Keystore(tmp_path, password, CHEAP)
        assert store.publics(GRAN) == []
        assert why in store.problems[name]


def test_keys_that_come_and_go_while_running(tmp_path: Path) -> None:
    """Another process inserts and removes a key: the watcher notices without a restart."""

    async def main() -> None:
        store, record = Keystore(tmp_path, None), Recorder()
        changes, receive = trio.open_memory_channel[int](10)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.run_watch, lambda: changes.send_nowait(len(store.publics(AURA))), record, 10)
            with trio.fail_after(10):
                path = Keystore(tmp_path).insert(AURA, BOB)
                assert await receive.receive() == 1
                path.unlink()
                assert await receive.receive() == 0
            nursery.cancel_scope.cancel()
        assert record.events() == ["Keystore changed"] * 2

    trio.run(main)


def damage(path: Path, change: dict[str, Any]) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


def test_damaged_key_files_are_left_out(tmp_path: Path) -> None:
    """A file that is damaged, open to others, or not what its name says is reported and not used; others work."""
    store = Keystore(tmp_path)
    good = store.insert(AURA, BOB)
    bad = {
        change: store.insert(AURA, from_uri(f"//{change}"))
        for change in ("json", "mode", "scheme", "version", "swap", "big")
    }
    bad["json"].write_text("{")
    bad["mode"].chmod(0o644)
    damage(bad["scheme"], {"scheme": "rsa"})
    damage(bad["version"], {"version": 2})
    bad["swap"].write_bytes(good.read_bytes())
    bad["big"].write_bytes(b" " * 20_000 + bad["big"].read_bytes())
    (tmp_path / "notes.txt").write_text("not a key")
    again = Keystore(tmp_path)
    assert again.publics(AURA) == [BOB.public]
    assert set(again.problems) == {path.name for path in bad.values()}
    assert "0644" in again.problems[bad["mode"].name]
    bad["mode"].chmod(0o600)
    assert again.reload()
    assert len(again.publics(AURA)) == 2
    bad["json"].unlink()
    again.reload()
    assert bad["json"].name not in again.problems


def test_unknown_key_type(tmp_path: Path) -> None:
    """Only the three types of the chain are taken."""
    with pytest.raises(UnknownKeyType):
        Keystore(tmp_path).insert(b"babe", ALICE)
    assert list(tmp_path.iterdir()) == []


def test_too_many_key_files(tmp_path: Path) -> None:
    """Files past the bound are named as problems, until there is room."""
    store = Keystore(tmp_path)
    for number in range(257):
        (tmp_path / f"61757261{number:064x}").write_text("{}")
    store.reload()
    last = f"61757261{256:064x}"
    assert "more than 256" in store.problems[last]
    (tmp_path / f"61757261{0:064x}").unlink()
    store.reload()
    assert "more than 256" not in store.problems[last]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "rot13"}, "kind"),
        ({"operations": 0}, "operations"),
        ({"operations": 1000}, "operations"),
        ({"operations": True}, "operations"),
        ({"memory_bytes": 2**40}, "memory_bytes"),
        ({"salt": "00"}, "salt"),
        ({"salt": 5}, "salt"),
        ({"box": "zz"}, "box"),
        ({"box": "00" * 2000}, "box"),
    ],
)
def test_bad_records_name_the_field(change: dict[str, Any], field: str) -> None:
    """A sealed record with a bad field is refused before any work is done for it."""
    record = seal(b"secret", "pass", cost=CHEAP)
    with pytest.raises(BadRecord, match=field):
        unseal({**record, **change}, "pass")


def test_seal_needs_the_right_password() -> None:
    """Only the password opens it; two seals of one secret differ; any changed byte of the box is noticed."""
    record, other = seal(b"secret", "pass", cost=CHEAP), seal(b"secret", "pass", cost=CHEAP)
    assert unseal(record, "pass") == unseal(other, "pass") == b"secret"
    assert record["box"] != other["box"]
    with pytest.raises(WrongPassword):
        unseal(record, "Pass")
    with pytest.raises(PasswordRequired):
        unseal(record, None)
    for place in range(0, len(record["box"]), 16):
        box = record["box"][:place] + ("0" if record["box"][place] != "0" else "1") + record["box"][place + 1 :]
        with pytest.raises(WrongPassword):
            unseal({**record, "box": box}, "pass")
    with pytest.raises(WrongPassword):
        unseal({**record, "box": ""}, "pass")


def test_wallets(tmp_path: Path) -> None:
    """A wallet is listed without its password, opened with it, and never replaced."""
    store = WalletStore(tmp_path, CHEAP)
    assert store.names() == []
    store.create("savings", ALICE, "pass")
    store.create("daily", dev_pair("Bob", Scheme.SR25519), None, no_password=True)
    assert store.names() == ["daily", "savings"]
    found = store.find("savings")
    assert (found.address, found.locked, found.scheme) == (ALICE.address, True, Scheme.ED25519)
    assert not store.find("daily").locked
    assert store.open("savings", "pass") == ALICE
    assert store.open("daily").public == dev_pair("Bob", Scheme.SR25519).public
    path = tmp_path / "wallets" / "savings.json"
    assert mode(path) == 0o600
    assert ALICE.secret.hex() not in path.read_text()
    before = path.read_bytes()
    with pytest.raises(FileExists):
        store.create("savings", BOB, "other")
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["daily.json", "savings.json"]


def test_wallet_refusals(tmp_path: Path) -> None:
    """No password unless that is meant; no names that leave the directory; wrong and missing ones are typed."""
    store = WalletStore(tmp_path, CHEAP)
    for password in (None, ""):
        with pytest.raises(PasswordRequired):
            store.create("a", ALICE, password)
    for name in ("", "../a", "a/b", "a.b", "-a", "a" * 33, "é", "a\n"):
        with pytest.raises(BadWalletName):
            store.create(name, ALICE, "pass")
    assert store.names() == []
    with pytest.raises(UnknownWallet, match="no wallet named b"):
        store.open("b")
    store.create("a", ALICE, "pass")
    with pytest.raises(WrongPassword):
        store.open("a", "wrong")
    damage(tmp_path / "wallets" / "a.json", {"address": BOB.address})
    with pytest.raises(BadRecord, match="not that of its address"):
        store.open("a", "pass")


def test_home_directory() -> None:
    """HEDDLE_HOME moves everything; without it, or empty, it is ~/.heddle."""
    assert home({"HEDDLE_HOME": "/x/y"}) == Path("/x/y")
    assert home({}) == home({"HEDDLE_HOME": ""}) == Path.home() / ".heddle"


def test_node_key(tmp_path: Path) -> None:
    """The identity is made once and kept; raw bytes and hex are both read; anything else is refused."""
    path = tmp_path / "network" / node_key.FILE_NAME
    seed = node_key.load_or_create(path)
    assert len(seed) == 32
    assert node_key.load_or_create(path) == seed
    assert mode(path) == 0o600
    assert node_key.parse_node_key(b"0x" + seed.hex().encode() + b"\n") == seed
    for bad in (b"", seed[:-1], seed.hex().encode()[:-2], b"z" * 64, b"\xff" * 64):
        with pytest.raises(node_key.BadNodeKey):
            node_key.parse_node_key(bad)


def test_private_files(tmp_path: Path) -> None:
    """Files of others' reach or size are refused; a write replaces whole and leaves no temporary file."""
    path = tmp_path / "deep" / "secret"
    write_private(path, b"one")
    write_private(path, b"two")
    assert read_private(path) == b"two"
    with pytest.raises(FileExists):
        write_private(path, b"three", replace=False)
    with pytest.raises(OversizedFile):
        read_private(path, 2)
    path.chmod(0o640)
    with pytest.raises(InsecureFile):
        read_private(path)
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_pair_of_another_secret_is_no_alias() -> None:
    """Pairs are equal by scheme and secret, so that tests above compare what matters."""
    assert Pair(Scheme.ED25519, ALICE.public, BOB.secret) != ALICE
