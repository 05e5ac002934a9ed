"""The options of `heddle node`: ranges, contradictions, and what each refusal names."""

from pathlib import Path
from typing import Any

import pytest

from cli.errors import CliError, NotFound, Refused
from cli.node_command import chain_of, node_key_of, pruning_of, the_one
from node.config import BOOTNODES_MAX, NAME_CHARS_MAX, PORT_MAX, BadConfig, NodeConfig, parse_destination
from tests.helpers.heddle_command import Heddle


def test_the_defaults_are_substrate_s() -> None:
    """Ports, peers and pruning of a plain node are the ones operators know, and nothing listens to the outside."""
    config = NodeConfig(temporary=True)
    assert (config.port, config.rpc_port, config.prometheus_port) == (30333, 9944, 9615)
    assert (config.in_peers, config.out_peers, config.state_pruning) == (32, 8, 256)
    assert {config.listen_host, config.rpc_host, config.prometheus_host} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"port": PORT_MAX + 1}, "port"),
        ({"port": -1}, "port"),
        ({"rpc_port": 70_000}, "rpc-port"),
        ({"prometheus_port": 70_000}, "prometheus-port"),
        ({"in_peers": -1}, "in-peers"),
        ({"name": ""}, "name"),
        ({"name": "x" * (NAME_CHARS_MAX + 1)}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"bootnodes": ("/ip4/127.0.0.1/tcp/1/p2p/x",) * (BOOTNODES_MAX + 1)}, "bootnodes"),
        ({"dev_account": "mallory"}, "mallory"),
        ({"rpc_methods": "all"}, "rpc-methods"),
        ({"state_pruning": 0}, "state-pruning"),
        ({"base_path": Path("x")}, "base-path"),
        ({"temporary": False}, "base-path"),
        ({"password": "x"}, "password"),
    ],
)
def test_a_bad_option_is_named(change: dict[str, Any], word: str) -> None:
    """Each option out of its range, and each contradiction, is refused by its name."""
    with pytest.raises(BadConfig, match=word):
        NodeConfig(**{"temporary": True, **change})


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("127.0.0.1:8081", ("127.0.0.1", 8081)),
        ("[::1]:80", ("::1", 80)),
        ("Host.Example:443", ("host.example", 443)),
    ],
)
def test_a_destination_is_an_exact_pair(text: str, pair: tuple[str, int]) -> None:
    """Host and port are both given: an exception is never wider than one pair."""
    assert parse_destination(text) == pair


@pytest.mark.parametrize("text", ["", "127.0.0.1", "127.0.0.1:", ":80", "h:0", "h:65536", "h:8o", "h:٣"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    """A destination without a host or a port makes no exception at all."""
    with pytest.raises(BadConfig, match="allow-destination"):
        parse_destination(text)


def test_a_node_has_one_account_at_most() -> None:
    """--alice and --bob together are refused; alone, each is taken."""
    assert the_one({"alice": False, "bob": True}) == "bob"
    assert the_one({"alice": False}) is None
    with pytest.raises(Refused, match="--alice and --bob"):
        the_one({"alice": True, "bob": True})


def test_a_node_needs_a_chain(tmp_path: Path) -> None:
    """Without --dev a chain must be named, and its file must be there."""
    (tmp_path / "chain.json").write_text("{}")
    assert chain_of(None, dev=True) == chain_of("dev", dev=False) == "dev"
    assert chain_of(str(tmp_path / "chain.json"), dev=False) == str(tmp_path / "chain.json")
    with pytest.raises(Refused, match="chain"):
        chain_of(None, dev=False)
    with pytest.raises(NotFound, match="chain"):
        chain_of(str(tmp_path / "none.json"), dev=False)


def test_a_network_key_is_64_hex_digits(tmp_path: Path) -> None:
    """The key comes from an option or a file, not from both, and must have its length."""
    key = bytes(range(32))
    (tmp_path / "key").write_text(key.hex() + "\n")
    assert node_key_of(key.hex(), None) == node_key_of(None, tmp_path / "key") == key
    assert node_key_of(None, None) is None
    for text, file in (("00", None), ("zz" * 32, None), (None, tmp_path / "none"), (key.hex(), tmp_path / "key")):
        with pytest.raises(CliError):
            node_key_of(text, file)


def test_pruning_is_a_number_or_archive() -> None:
    """A number of blocks, or all of them."""
    assert pruning_of("1000") == 1000
    assert pruning_of("archive") is None
    with pytest.raises(Refused, match="state-pruning"):
        pruning_of("all")


@pytest.mark.parametrize("text", ["foo=bar", "=info", "loud"])
def test_a_bad_log_filter_is_refused(text: str, tmp_path: Path) -> None:
    """A --log that names no level ends the command with its name, before a node starts."""
    done = Heddle(tmp_path).run("node", "--dev", "--log", text)
    assert done.code == 4
    assert "log:" in done.stderr
