"""Chain spec: what is written is read back, and what is wrong is refused by the field's name."""

import json
from typing import Any

import pytest

from node.beacon_chain import genesis_commitment
from node.keys.pair import dev_pair, from_uri
from runtime import ss58
from runtime.chain_spec import (
    DEV_ENDOWMENT,
    ChainSpec,
    ChainSpecError,
    development_spec,
    load_chain_spec,
    local_spec,
)
from runtime.dev_accounts import DEV_ACCOUNTS, DEV_NAMES, DEV_PROCESSORS, GenesisValidator, dev_validator
from runtime.heddle import Heddle
from runtime.storage import Map, Value


@pytest.mark.parametrize("name", DEV_NAMES)
def test_dev_accounts_are_the_well_known_ones(name: str) -> None:
    """The constants are the ed25519 keys of //Name and the commitments that their seeds give."""
    pair = dev_pair(name)
    assert pair.public == DEV_ACCOUNTS[name]
    assert dev_validator(name) == GenesisValidator(
        pair.public, pair.public, pair.public, genesis_commitment(pair.secret)
    )


@pytest.mark.parametrize("name", DEV_PROCESSORS)
def test_dev_processors_are_derived_from_the_dev_accounts(name: str) -> None:
    """The processors' constants are //Name//processor."""
    assert from_uri(f"//{name}//processor").public == DEV_PROCESSORS[name]


def test_alices_address() -> None:
    """//Alice has the address that the polkadot-js keyring shows."""
    assert ss58.encode(DEV_ACCOUNTS["Alice"]) == "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"


def test_development_chain() -> None:
    """--dev: slots of a second, Alice authors and is sudo, six accounts are funded."""
    genesis = development_spec().build()
    runtime = Heddle(genesis.slot_ms)
    state = dict(genesis.state)

    def stored(item: Value[Any] | Map[Any, Any], key: bytes) -> Any:
        return item.codec.decode(state[key])

    assert genesis.slot_ms == 1_000
    assert stored(runtime.session.validators, runtime.session.validators.prefix) == (DEV_ACCOUNTS["Alice"],)
    assert stored(runtime.sudo.key, runtime.sudo.key.prefix) == DEV_ACCOUNTS["Alice"]
    for account in DEV_ACCOUNTS.values():
        info = stored(runtime.system.accounts, runtime.system.accounts.raw_key(account))
        assert info.data.free == DEV_ENDOWMENT


def test_genesis_is_the_same_each_time() -> None:
    """Two builds, a reload of the file and the raw form all give one genesis block."""
    spec = development_spec()
    first = spec.build()
    for other in (
        development_spec(),
        load_chain_spec(spec.to_json()),
        spec.to_raw(),
        load_chain_spec(spec.to_raw().to_json()),
    ):
        assert other.build() == first
    assert first.header.number == 0
    assert local_spec([dev_validator("Alice")], 1_000).build().header == first.header


@pytest.mark.parametrize(
    "spec",
    [
        development_spec(),
        development_spec().to_raw(),
        local_spec([dev_validator(name) for name in DEV_NAMES], 250, endowed=[b"\x01" * 32], chain_id="net-2"),
        ChainSpec(
            "Jobs",
            "jobs",
            "Live",
            ("/ip4/127.0.0.1/tcp/30333/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",),
            sections={**(development_spec().sections or {}), "reputation": {"average": 10**20, "eraSlots": 100}},
        ),
    ],
    ids=["dev", "raw", "local", "live"],
)
def test_what_is_written_is_read_back(spec: ChainSpec) -> None:
    """The text of a spec loads to the same text, and is a fixed point."""
    text = spec.to_json()
    loaded = load_chain_spec(text)
    assert loaded == spec
    assert loaded.to_json() == text
    assert load_chain_spec(text.encode()) == spec


def test_accounts_may_be_addresses() -> None:
    """Accounts are read as addresses or as hex, amounts as numbers or decimal strings."""
    document = json.loads(development_spec().to_json())
    sections = document["genesis"]["runtime"]
    sections["balances"]["balances"] = [
        [ss58.encode(bytes.fromhex(account[2:])), int(amount)] for account, amount in sections["balances"]["balances"]
    ]
    sections["sudo"]["key"] = ss58.encode(DEV_ACCOUNTS["Alice"])
    assert load_chain_spec(json.dumps(document)) == development_spec()


def changed(path: str, value: Any) -> str:
    """The development spec's text with one field replaced; `path` is dotted, numbers index lists."""
    document = json.loads(development_spec().to_json())
    *parents, last = path.split(".")
    place = document
    for part in parents:
        place = place[int(part) if part.isdigit() else part]
    place[int(last) if last.isdigit() else last] = value
    return json.dumps(document)


RUNTIME = "genesis.runtime"


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("name", "", "name"),
        ("name", "two\nlines", "name"),
        ("name", 5, "name"),
        ("id", "../etc", "id"),
        ("id", "Dev", "id"),
        ("id", "x" * 65, "id"),
        ("chainType", "Test", "chainType"),
        ("bootNodes", "none", "bootNodes"),
        ("bootNodes", ["localhost:30333"], "bootNodes[0]"),
        ("protocolId", None, "protocolId"),
        ("properties", {}, "properties"),
        ("properties.ss58Format", 0, "properties"),
        ("telemetry", [], "telemetry"),
        ("genesis", {}, "genesis"),
        ("genesis.raw", {"top": {}}, "genesis"),
        ("genesis.other", {}, "genesis.other"),
        (f"{RUNTIME}.system.slot", 5, "genesis.system.slot"),
        (f"{RUNTIME}.system", 5, "genesis.system"),
        (f"{RUNTIME}.balances.balances", {}, "genesis.balances.balances"),
        (f"{RUNTIME}.balances.balances.0", ["5FA9"], "genesis.balances.balances[0]"),
        (f"{RUNTIME}.balances.balances.1", ["5FA9", 1], "genesis.balances.balances[1][0]"),
        (f"{RUNTIME}.balances.balances.1", ["0x" + "00" * 31, 1], "genesis.balances.balances[1][0]"),
        (f"{RUNTIME}.balances.balances.1", ["0x" + "0G" * 32, 1], "genesis.balances.balances[1][0]"),
        (f"{RUNTIME}.balances.balances.1.1", -1, "genesis.balances.balances[1][1]"),
        (f"{RUNTIME}.balances.balances.1.1", "1e6", "genesis.balances.balances[1][1]"),
        (f"{RUNTIME}.balances.balances.1.1", True, "genesis.balances.balances[1][1]"),
        (f"{RUNTIME}.session.validators.0", {}, "genesis.session.validators[0].account"),
        (f"{RUNTIME}.session.validators.0.stake", 1, "genesis.session.validators[0].stake"),
        (f"{RUNTIME}.session.validators.0.beacon", "0x00", "genesis.session.validators[0].beacon"),
        (f"{RUNTIME}.sudo.key", "5FA9", "genesis.sudo.key"),
    ],
)
def test_loading_names_the_wrong_field(path: str, value: Any, field: str) -> None:
    """Every wrong, missing or unknown field is refused with its path."""
    with pytest.raises(ChainSpecError) as caught:
        load_chain_spec(changed(path, value))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (f"{RUNTIME}.system.slotMs", 0, "genesis.system.slotMs"),
        (f"{RUNTIME}.system.slotMs", "fast", "genesis.system.slotMs"),
        (f"{RUNTIME}.balances.balances.1.1", 1, "genesis.balances.balances"),
        (f"{RUNTIME}.session.slots", 1, "genesis.session.slots"),
        (f"{RUNTIME}.session.validators", [], "genesis.session.validators"),
        (f"{RUNTIME}.session.validators.0.aura", "0x" + "00" * 32, "genesis.session.validators[0].aura"),
        (f"{RUNTIME}.sudo.key", "0x" + "00" * 32, "genesis.sudo.key"),
        (f"{RUNTIME}.nonsense", {}, "genesis.nonsense"),
        ("genesis", {"raw": {"top": {"0x00": "0x00"}}}, "genesis.raw.top."),
    ],
)
def test_building_names_the_wrong_field(path: str, value: Any, field: str) -> None:
    """What a pallet refuses in its section is named as well."""
    with pytest.raises(ChainSpecError) as caught:
        load_chain_spec(changed(path, value)).build()
    assert caught.value.field.startswith(field)


def test_a_repeated_field_is_refused() -> None:
    """A field given twice is named: readers that take the first and readers that take the last would differ."""
    text = development_spec().to_json()
    for field in ("id", "slotMs"):
        line = next(line for line in text.splitlines() if f'"{field}"' in line)
        twice = line.rstrip(",") + ","
        with pytest.raises(ChainSpecError) as caught:
            load_chain_spec(text.replace(line, f"{twice}\n{line}"))
        assert caught.value.field == field


@pytest.mark.parametrize("number", ["1.0", "1e3", "NaN", "Infinity"])
def test_only_integers(number: str) -> None:
    """A float anywhere is refused, whole or not."""
    with pytest.raises(ChainSpecError, match="integers only"):
        load_chain_spec(development_spec().to_json().replace('"slotMs": 1000', f'"slotMs": {number}'))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "5", b"\xff", '{"name": 1.5}', '{"name": NaN}', '{"id": "a", "id": "b"}', "[" * 100_000],
)
def test_what_is_no_spec(text: str | bytes) -> None:
    """No JSON, another value, floats, repeated fields, deep nesting: one typed error."""
    with pytest.raises(ChainSpecError):
        load_chain_spec(text)
