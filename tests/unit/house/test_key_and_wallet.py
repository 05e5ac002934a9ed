"""`heddle key` and `heddle wallet` as a user runs them: files, passwords, refusals. No node is needed."""

import json
from pathlib import Path

import pytest

from tests.helpers.heddle_command import Heddle

ALICE = "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"
ALICE_PUBLIC = "0x88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee"
BROKEN_ALICE = ALICE[:-1] + "v"


@pytest.fixture
def heddle(tmp_path: Path) -> Heddle:
    """A user without wallets."""
    return Heddle(tmp_path / "home")


@pytest.mark.parametrize("key", ["//Alice", ALICE, ALICE_PUBLIC])
def test_alice_is_the_same_however_she_is_written(heddle: Heddle, key: str) -> None:
    """A development key, its address and its public key lead to the account that Substrate's tools know."""
    document = heddle.json("key", "inspect", key)
    assert (document["address"], document["public_key"]) == (ALICE, ALICE_PUBLIC)


def test_a_generated_phrase_leads_back_to_its_key(heddle: Heddle) -> None:
    """The phrase that is shown once, read from standard input, gives the same address; inspecting repeats no secret."""
    made = heddle.json("key", "generate", "--words", "24")
    assert len(made["phrase"].split()) == 24
    again = heddle.json("key", "inspect", "-", stdin=made["phrase"] + "\n")
    assert again["address"] == made["address"]
    assert made["phrase"] not in json.dumps(again)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("key", "generate", "--words", "13"), 4, "words"),
        (("key", "generate", "--scheme", "rsa"), 4, "scheme"),
        (("key", "inspect", BROKEN_ALICE), 5, "key"),
        (("key", "inspect", "bottom drive obey"), 4, "phrase"),
        (("key", "inspect", "-"), 4, "standard input"),
        (("wallet", "balance", "nobody"), 5, "account"),
        (("wallet", "new", "../evil", "--no-password"), 4, "name"),
        (("wallet", "new", "x"), 4, "password"),
        (("wallet", "transfer", "//Bob", "1", "--from", "nobody"), 5, "from"),
        (("wallet", "transfer", "//Bob", "-5", "--from", "//Alice"), 2, ""),
        (("wallet", "transfer", "//Bob", "5,5", "--from", "//Alice"), 4, "amount"),
        (("wallet", "transfer", "//Bob", "5", "--from", "//Alice", "--tip", "x"), 4, "tip"),
        (("wallet", "transfer", BROKEN_ALICE, "5", "--from", "//Alice"), 5, "to"),
    ],
)
def test_bad_values_are_refused_by_name(heddle: Heddle, arguments: tuple[str, ...], code: int, word: str) -> None:
    """A wrong value ends with the documented exit code and names its field; no file is made."""
    if code == 2:
        assert heddle.run(*arguments).code == 2
    else:
        found, error = heddle.error(*arguments)
        assert (found, word in error["message"]) == (code, True), error
    assert not list(heddle.home.rglob("*.json"))


def test_a_wallet_opens_with_its_password_only(heddle: Heddle, tmp_path: Path) -> None:
    """A locked wallet is listed without its password, and pays with the right one only."""
    (tmp_path / "right").write_text("correct horse\n")
    (tmp_path / "wrong").write_text("wrong horse\n")
    made = heddle.json("wallet", "new", "savings", "--password-file", str(tmp_path / "right"))
    (listed,) = heddle.json("wallet", "list")["wallets"]
    assert listed == {"name": "savings", "scheme": "ed25519", "address": made["address"], "locked": True}
    text = "".join(path.read_text() for path in heddle.home.rglob("*.json"))
    assert made["phrase"] not in text
    transfer = ("wallet", "transfer", "//Bob", "1", "--from", "savings", "--url", "http://127.0.0.1:1")
    assert heddle.error(*transfer, "--password-file", str(tmp_path / "wrong"))[0] == 4
    assert heddle.error(*transfer)[0] == 4
    # With the right password it gets as far as the node, which is not there.
    code, error = heddle.error(*transfer, HEDDLE_PASSWORD="correct horse")
    assert (code, error["kind"]) == (3, "Unreachable")


def test_a_wallet_is_never_replaced(heddle: Heddle) -> None:
    """A second wallet of one name is refused, and the first stays as it was."""
    heddle.json("wallet", "import", "a", "//Alice", "--no-password")
    assert heddle.error("wallet", "import", "a", "//Bob", "--no-password")[0] == 4
    (listed,) = heddle.json("wallet", "list")["wallets"]
    assert listed["address"] == ALICE


def test_a_damaged_wallet_does_not_hide_the_others(heddle: Heddle) -> None:
    """A wallet file that cannot be read is listed with what is wrong; the rest are listed as ever."""
    heddle.json("wallet", "import", "good", "//Alice", "--no-password")
    heddle.json("wallet", "import", "torn", "//Bob", "--no-password")
    (torn,) = heddle.home.rglob("torn.json")
    torn.write_text("{")
    good, bad = heddle.json("wallet", "list")["wallets"]
    assert good["address"] == ALICE
    assert "error" in bad


def test_no_wallets_is_an_empty_list(heddle: Heddle) -> None:
    """A new user sees an empty list, and for a person it says what to do."""
    assert heddle.json("wallet", "list") == {"wallets": []}
    assert "heddle wallet new" in heddle.run("wallet", "list").stdout


def test_an_inserted_key_is_in_the_node_s_keystore(heddle: Heddle, tmp_path: Path) -> None:
    """`key insert` writes the file that the chain's node reads, named as Substrate names it, for its owner only."""
    spec = tmp_path / "chain.json"
    spec.write_text(json.dumps({"id": "local", "name": "Local"}))
    arguments = ("--key-type", "gran", "--base-path", str(tmp_path / "node"), "--chain", str(spec))
    made = heddle.json("key", "insert", "-", *arguments, stdin="//Alice\n")
    file = tmp_path / "node" / "chains" / "local" / "keystore" / (b"gran".hex() + ALICE_PUBLIC[2:])
    assert Path(made["file"]) == file
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("key_type", "text", "code"), [("babe", '{"id": "x"}', 4), ("gran", "[]", 4), ("gran", None, 5)]
)
def test_a_key_goes_nowhere_without_type_and_chain(
    heddle: Heddle, tmp_path: Path, key_type: str, text: str | None, code: int
) -> None:
    """An unknown key type, a file that is no chain spec, and a missing one are refused; nothing is written."""
    spec = tmp_path / "chain.json"
    if text is not None:
        spec.write_text(text)
    arguments = ("--key-type", key_type, "--base-path", str(tmp_path / "node"), "--chain", str(spec))
    assert heddle.error("key", "insert", "//Alice", *arguments)[0] == code
    assert not (tmp_path / "node").exists()
