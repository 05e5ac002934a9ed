"""Local networks before they start: names, ports, keys, and the record on disk."""

import json
from pathlib import Path

import pytest

from cli.errors import CliError, NotFound, Refused
from cli.network_plan import VALIDATORS_MAX, Size, free_ports, node_key, peer_id_of, plan, public_of
from cli.network_state import FILE_NAME, load, load_present, save
from cli.processes import Process
from runtime.heddle import SLOT_MS_MAX, SLOT_MS_MIN


def test_every_node_gets_ports_of_its_own(tmp_path: Path) -> None:
    """No two services of a network share a port."""
    network = plan(tmp_path, tmp_path / "chain.json", Size(4, 2, 1000))
    ports = [port for node in network.nodes for port in (node.rpc_port, node.p2p_port, node.prometheus_port)]
    assert len(set(ports)) == len(ports) == 18


def test_every_node_knows_all_the_others(tmp_path: Path) -> None:
    """Each node has every other as a boot node and not itself, so that any one of them may be lost."""
    network = plan(tmp_path, tmp_path / "chain.json", Size(3, 1, 1000))
    for node in network.nodes:
        boot = [word for word in node.arguments if word.startswith("/ip4/")]
        others = [other for other in network.nodes if other is not node]
        assert boot == [f"/ip4/127.0.0.1/tcp/{other.p2p_port}/p2p/{other.peer_id}" for other in others]


def test_validators_author_and_processors_do_not(tmp_path: Path) -> None:
    """A validator gets its development key and no processor; a processor gets no authority."""
    network = plan(tmp_path, tmp_path / "chain.json", Size(2, 1, 1000))
    alice, bob, processor = network.nodes
    assert {"--validator", "--alice", "--no-processor"} <= set(alice.arguments)
    assert {"--validator", "--bob"} <= set(bob.arguments)
    assert "--processor" in processor.arguments
    assert "--validator" not in processor.arguments


def test_a_node_keeps_its_network_key(tmp_path: Path) -> None:
    """Planning the same folder twice gives the same peer ids; the key file is its owner's alone."""
    first = plan(tmp_path, tmp_path / "chain.json", Size(2, 0, 1000))
    second = plan(tmp_path, tmp_path / "chain.json", Size(2, 0, 1000))
    assert [node.peer_id for node in first.nodes] == [node.peer_id for node in second.nodes]
    assert (tmp_path / "alice" / "node-key").stat().st_mode & 0o777 == 0o600
    assert len(node_key(tmp_path / "alice")) == 32


def test_peer_ids_are_libp2p_s_own() -> None:
    """The name we compute for a key is the one that libp2p gives it."""
    from libp2p.crypto.ed25519 import Ed25519PrivateKey
    from libp2p.peer.id import ID

    secret = bytes(range(32))
    theirs = ID.from_pubkey(Ed25519PrivateKey.from_bytes(secret).get_public_key())
    assert peer_id_of(public_of(secret)) == str(theirs)


@pytest.mark.parametrize(
    ("size", "name"),
    [
        (Size(0, 0, 1000), "validators"),
        (Size(VALIDATORS_MAX + 1, 0, 1000), "validators"),
        (Size(1, -1, 1000), "processors"),
        (Size(1, 0, SLOT_MS_MIN - 1), "slot-ms"),
        (Size(1, 0, SLOT_MS_MAX + 1), "slot-ms"),
    ],
)
def test_a_size_out_of_range_is_refused_by_name(size: Size, name: str) -> None:
    """An impossible network is refused before anything is written."""
    with pytest.raises(Refused, match=name):
        size.checked()


def test_the_record_reads_back(tmp_path: Path) -> None:
    """What is saved is what is loaded, running processes and stopped ones."""
    network = plan(tmp_path, tmp_path / "chain.json", Size(2, 1, 700)).with_process("bob", Process(7, 8, "boot"))
    save(network)
    assert load(tmp_path) == network


def test_a_recorded_process_that_is_gone_is_not_alive(tmp_path: Path) -> None:
    """A pid on record from an earlier boot counts as dead."""
    network = plan(tmp_path, tmp_path / "chain.json", Size(1, 0, 700)).with_process("alice", Process(1, 1, "boot"))
    assert not network.node("alice").alive


def test_missing_networks_and_nodes_are_not_found(tmp_path: Path) -> None:
    """Asking for a network or a node that does not exist says what there is."""
    with pytest.raises(NotFound):
        load_present(tmp_path)
    with pytest.raises(NotFound) as caught:
        plan(tmp_path, tmp_path / "chain.json", Size(1, 0, 700)).node("mallory")
    assert "alice" in caught.value.hint


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"format": 99}), json.dumps({"format": 1, "nodes": [{}]})])
def test_a_broken_record_is_reported(tmp_path: Path, text: str) -> None:
    """A record that cannot be read is an error with a next step, not a traceback and not an empty network."""
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(CliError) as caught:
        load(tmp_path)
    assert caught.value.hint


def test_free_ports_differ() -> None:
    """Ports handed out together are all different."""
    assert len(set(free_ports(20))) == 20
