"""`heddle network`: four real nodes find each other, make blocks final, lose one and get it back, and leave nothing."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from cli.network_state import load_present
from cli.processes import wait_until_gone
from tests.helpers.heddle_command import Heddle
from tests.helpers.waiting import wait_for

SLOT_MS = 500
DEADLINE_S = 90


@pytest.fixture(scope="module")
def heddle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heddle]:
    """A user whose network of four validators is up; it is down afterwards, with no process left."""
    user = Heddle(tmp_path_factory.mktemp("user"))
    user.json("network", "up", "--validators", "4", "--processors", "0", "--slot-ms", str(SLOT_MS))
    try:
        yield user
    finally:
        processes = [node.process for node in load_present(user.home / "network").nodes if node.process is not None]
        user.run("network", "down")
        assert wait_until_gone(processes, 20) == []


def nodes_of(heddle: Heddle) -> dict[str, dict[str, Any]]:
    """What `network status --json` says, by name."""
    return {node["name"]: node for node in heddle.json("network", "status")["nodes"]}


def all_final(heddle: Heddle, names: set[str], height: int) -> dict[str, dict[str, Any]] | None:
    """The nodes, once each of `names` has finalised at least `height`."""
    nodes = nodes_of(heddle)
    return nodes if all((nodes[name]["finalized"] or -1) >= height for name in names) else None


def finalised_by(heddle: Heddle, names: set[str], height: int) -> dict[str, dict[str, Any]]:
    """Wait until each of `names` has finalised at least `height`."""
    return wait_for(lambda: all_final(heddle, names, height), DEADLINE_S, f"block {height} final on {sorted(names)}")


@pytest.mark.deadline(4 * DEADLINE_S)
def test_a_network_survives_the_loss_of_a_node_and_takes_it_back(heddle: Heddle) -> None:
    """Finality moves on four nodes, goes on without one that was killed, and reaches it when it is started again."""
    names = {"alice", "bob", "charlie", "dave"}
    nodes = finalised_by(heddle, names, 3)
    assert all(node["alive"] and node["peers"] == 3 for node in nodes.values())
    os.kill(nodes["dave"]["pid"], signal.SIGKILL)
    rest = names - {"dave"}
    height = max(nodes[name]["finalized"] for name in rest)
    nodes = finalised_by(heddle, rest, height + 5)
    # Nothing brings a node back by itself.
    assert not nodes["dave"]["alive"]
    assert nodes["dave"]["pid"] is None
    heddle.json("network", "start", "dave")
    finalised_by(heddle, names, max(nodes[name]["finalized"] for name in rest) + 2)


@pytest.mark.deadline(2 * DEADLINE_S)
def test_a_transfer_is_final_on_every_node(heddle: Heddle) -> None:
    """A payment sent to one node, mortal and dry-run first, changes the balances that every node reports."""
    nodes = nodes_of(heddle)

    def paid(name: str) -> bool:
        url = f"http://127.0.0.1:{nodes[name]['rpc_port']}"
        return bool(heddle.json("wallet", "balance", "//Zoe", "--url", url)["free"] == done["amount"])

    url = f"http://127.0.0.1:{nodes['bob']['rpc_port']}"
    done = heddle.json("wallet", "transfer", "//Zoe", "2.5", "--from", "//Alice", "--url", url)
    assert done["finalized"]
    for name in nodes:
        wait_for(partial(paid, name), DEADLINE_S, f"the payment on {name}")


def test_what_the_chain_would_refuse_is_never_signed(heddle: Heddle) -> None:
    """More than the payer has is refused by the dry run, with the chain's reason and without a fee."""
    url = f"http://127.0.0.1:{nodes_of(heddle)['alice']['rpc_port']}"
    before = heddle.json("wallet", "balance", "//Charlie", "--url", url)
    code, error = heddle.error("wallet", "transfer", "//Bob", "99999999999", "--from", "//Charlie", "--url", url)
    assert (code, error["kind"]) == (4, "Refused")
    assert heddle.json("wallet", "balance", "//Charlie", "--url", url) == before


def test_a_running_network_is_not_started_twice(heddle: Heddle) -> None:
    """A second `up` in the same folder is refused and leaves the running nodes alone."""
    before = {name: node["pid"] for name, node in nodes_of(heddle).items()}
    assert heddle.error("network", "up")[0] == 4
    assert {name: node["pid"] for name, node in nodes_of(heddle).items()} == before
