"""`heddle chain build-spec`: what is written is what a node loads, and what is wrong is named."""

import json
from pathlib import Path

import pytest

from node.store.database import LevelDatabase
from node.store.flush import Pruning
from node.store.keys import STATE
from node.store.startup import create_store
from runtime.chain_spec import development_spec, load_chain_spec
from tests.helpers.heddle_command import Heddle


@pytest.fixture
def heddle(tmp_path: Path) -> Heddle:
    """A user without wallets."""
    return Heddle(tmp_path / "home")


def test_the_written_spec_is_the_chain_asked_for(heddle: Heddle) -> None:
    """Validators, slot and funded accounts are those of the options; the text is one that a node loads."""
    written = heddle.run(
        *("chain", "build-spec", "--validators", "alice,bob", "--slot-ms", "700", "--id", "mine", "--endow", "//Zoe")
    )
    assert written.code == 0, written.stderr
    spec = load_chain_spec(written.stdout)
    assert spec.sections is not None
    assert (spec.id, spec.sections["system"]["slotMs"], len(spec.sections["session"]["validators"])) == ("mine", 700, 2)
    zoe = bytes.fromhex(heddle.json("key", "inspect", "//Zoe")["public_key"][2:])
    assert zoe in [account for account, _ in spec.sections["balances"]["balances"]]
    assert spec.build().header.hash().hex() in written.stderr


def test_keys_from_inspect_make_a_validator(heddle: Heddle) -> None:
    """The keys that `key inspect` shows of a secret make the same genesis validator as its development name."""
    alice = heddle.json("key", "inspect", "//Alice")
    keys = ":".join([alice["address"], alice["public_key"], alice["public_key"], alice["beacon"]])
    by_keys = heddle.run("chain", "build-spec", "--validators", keys)
    assert by_keys.stdout == heddle.run("chain", "build-spec", "--validators", "alice").stdout


def test_the_raw_form_is_the_same_chain(heddle: Heddle, tmp_path: Path) -> None:
    """A spec and its raw form have one genesis hash."""
    plain = heddle.run("chain", "build-spec", "--validators", "alice,bob")
    (tmp_path / "chain.json").write_text(plain.stdout)
    raw = heddle.run("chain", "build-spec", "--chain", str(tmp_path / "chain.json"), "--raw")
    assert "raw" in json.loads(raw.stdout)["genesis"]
    assert raw.stderr == plain.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("--validators", "mallory"), 4, "mallory"),
        (("--validators", "//A:0x00:0x00:0x00"), 4, "validators"),
        (("--validators", "alice,alice"), 4, "validators"),
        (("--validators", "alice", "--slot-ms", "1"), 4, "slotMs"),
        (("--validators", "alice", "--endow", "nobody"), 5, "endow"),
        (("--chain", "/nowhere/chain.json"), 5, "chain"),
        (("--slot-ms", "500"), 4, "slot-ms"),
        (("--slot-ms", "0"), 4, "slot-ms"),
        (("--id", "mine"), 4, "id"),
        (("--chain", "dev", "--endow", "//Zoe"), 4, "endow"),
    ],
)
def test_a_wrong_spec_is_refused_by_field(heddle: Heddle, arguments: tuple[str, ...], code: int, word: str) -> None:
    """Nothing is written for a chain that could not start; the error names the field."""
    found, error = heddle.error("chain", "build-spec", *arguments)
    assert (found, word in error["message"]) == (code, True), error


def test_a_file_that_is_no_spec_is_refused(heddle: Heddle, tmp_path: Path) -> None:
    """A chain spec with an unknown field is refused by that field's name."""
    (tmp_path / "chain.json").write_text('{"colour": 1}')
    code, error = heddle.error("chain", "build-spec", "--chain", str(tmp_path / "chain.json"))
    assert (code, "colour" in error["message"]) == (4, True)


def test_the_development_spec_has_a_name(heddle: Heddle) -> None:
    """`--chain dev` is the spec of `heddle node --dev`, as it is without options."""
    assert heddle.run("chain", "build-spec", "--chain", "dev").stdout == heddle.run("chain", "build-spec").stdout


def test_verify_reads_a_whole_database(heddle: Heddle, tmp_path: Path) -> None:
    """A sound database is called sound; one with a record missing has its problem listed; others' folders are none."""
    genesis = development_spec().build()
    folder = tmp_path / "node" / "chains" / "dev" / "db"
    database = LevelDatabase(folder)
    create_store(database, genesis.header.encode(), genesis.header.hash(), genesis.state, Pruning()).close()
    report = heddle.json("chain", "verify", str(tmp_path / "node"))
    assert report["sound"]
    assert report["state_keys"] == len(genesis.state)
    database = LevelDatabase(folder)
    victim = next(iter(database.iterate(STATE)))[0]
    database.write((), (victim,), sync=True)
    database.close()
    broken = heddle.run("chain", "verify", str(tmp_path / "node"))
    assert broken.code == 1
    assert "problem_count    0" not in broken.stdout
    assert heddle.run("chain", "verify", str(tmp_path)).code == 5
