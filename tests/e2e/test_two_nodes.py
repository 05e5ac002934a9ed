"""Two validators on one chain spec, started by hand with --bootnodes."""

from collections.abc import Iterator
from functools import partial

import pytest

from node.keys.pair import dev_pair, from_uri
from runtime.chain_spec import local_spec
from runtime.dev_accounts import dev_validator
from tests.helpers.job_client import HDL, JobClient
from tests.helpers.node_process import NodeProcess, ended_with_the_block
from tests.helpers.waiting import wait_for

SLOT_MS = 500
DEADLINE_S = 90
NAMES = ("alice", "bob")
RECEIVER = from_uri("//Zoe")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NodeProcess]]:
    """Both nodes; the second knows the first by its address only, as an operator would tell it."""
    folder = tmp_path_factory.mktemp("two")
    chain = folder / "chain.json"
    chain.write_text(local_spec([dev_validator(name.capitalize()) for name in NAMES], SLOT_MS).to_json())
    first, second = (NodeProcess(folder, name, chain, ["--validator", f"--{name}", "--no-processor"]) for name in NAMES)
    with ended_with_the_block([first, second]):
        first.start()
        second.options += ["--bootnodes", first.address]
        second.start()
        yield [first, second]
        assert (first.stop(), second.stop()) == (0, 0)


def same_heads(first: NodeProcess, second: NodeProcess, height_min: int) -> bool:
    """Whether both show the same best and final blocks, both authored by both, final from `height_min` on."""
    heads = [(one.result("chain_getBlockHash"), one.result("chain_getFinalizedHead")) for one in (first, second)]
    height = int(first.result("chain_getHeader", heads[0][1])["number"], 16)
    return heads[0] == heads[1] and height >= height_min


def final_wealth(client: JobClient, account: bytes) -> int:
    """What the last final block shows of an account."""
    return client.final_state().wealth(account)


@pytest.mark.deadline(4 * DEADLINE_S)
def test_two_nodes_agree_and_a_transfer_to_one_is_final_on_both(nodes: list[NodeProcess]) -> None:
    """Same best and final head, which needs both votes; what the first was sent changes the final state of both."""
    first, second = nodes
    wait_for(partial(same_heads, first, second, 2), DEADLINE_S, "the same best and final heads")
    JobClient(first, dev_pair("Charlie"), SLOT_MS).send("Balances", "transfer_keep_alive", RECEIVER.public, 5 * HDL)
    for node in nodes:
        client = JobClient(node, RECEIVER, SLOT_MS)
        wait_for(partial(final_wealth, client, RECEIVER.public), DEADLINE_S, f"the transfer final on {node.name}")
        assert final_wealth(client, RECEIVER.public) == 5 * HDL
    wait_for(partial(same_heads, first, second, 3), DEADLINE_S, "the same heads afterwards")
