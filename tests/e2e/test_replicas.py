"""The same job on two processors: the same digest and fuel on chain, and every unit of money accounted for.

The processors are processes with different hash seeds, on a chain with a validator of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from node.keys.pair import dev_pair, from_uri
from pallets.jobs.types import RuntimeKind
from runtime.chain_spec import local_spec
from runtime.dev_accounts import dev_validator
from tests.helpers.job_client import FinalState, JobClient
from tests.helpers.money import explained
from tests.helpers.node_process import NodeProcess, ended_with_the_block
from tests.helpers.waiting import wait_for

SLOT_MS = 500
DEADLINE_S = 120
PROCESSORS = [from_uri("//Processor//1"), from_uri("//Processor//2")]
CONSUMER = dev_pair("Ferdie")
AUTHOR = dev_pair("Alice")
SCRIPTS = {
    RuntimeKind.JAVASCRIPT: b"""
export function main(heddle) {
  const words = heddle.inputText().split(" "), seen = {};
  for (const word of words) seen[word] = (seen[word] ?? 0) + 1;
  return JSON.stringify([seen, Math.random(), Date.now(), Object.keys(seen)]);
}
""",
    RuntimeKind.PYTHON: b"""
import random, time

def main(heddle):
    words = set(heddle.input().decode().split())
    return [list(words), {word: hash(word) for word in words}, random.random(), time.time_ns()]
""",
    RuntimeKind.WASM: b"""(module
  (import "heddle" "request" (func $request (param i32 i32 i32 i32) (result i32)))
  (import "heddle" "reply" (func $reply (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "random")
  (data (i32.const 16) "output")
  (data (i32.const 32) "16")
  (func (export "_start") (local $length i32)
    (local.set $length (call $request (i32.const 0) (i32.const 6) (i32.const 32) (i32.const 2)))
    (drop (call $reply (i32.const 64) (i32.const 0) (local.get $length)))
    (drop (call $request (i32.const 16) (i32.const 6) (i32.const 64) (local.get $length)))))""",
}
ENTRYPOINTS = {RuntimeKind.JAVASCRIPT: "main", RuntimeKind.PYTHON: "main", RuntimeKind.WASM: ""}


@dataclass
class Scene:
    """The chain's nodes and the consumer, who asks the validator."""

    validator: NodeProcess
    processors: list[NodeProcess]
    client: JobClient


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One validator and two processors with adverts."""
    folder = tmp_path_factory.mktemp("replicas")
    chain = folder / "chain.json"
    endowed = [pair.public for pair in PROCESSORS]
    chain.write_text(local_spec([dev_validator("Alice")], SLOT_MS, endowed=endowed, chain_id="replicas").to_json())
    validator = NodeProcess(folder, "validator", chain, ["--validator", "--alice", "--no-processor"])
    processors = [NodeProcess(folder, f"processor-{number}", chain, ["--processor"]) for number in (1, 2)]
    with ended_with_the_block([validator, *processors]):
        validator.start()
        for seed, (process, pair) in enumerate(zip(processors, PROCESSORS, strict=True)):
            process.options += ["--bootnodes", validator.address]
            process.environment = {"PYTHONHASHSEED": str(seed + 1)}
            process.give_account(pair)
            process.start()
        client = JobClient(validator, CONSUMER, SLOT_MS)
        wait_for(lambda: client.advertised() == len(PROCESSORS), DEADLINE_S, "the adverts of both processors")
        yield Scene(validator, processors, client)


@pytest.mark.deadline(4 * DEADLINE_S)
def test_replicas_agree_and_the_money_adds_up(scene: Scene) -> None:
    """Two slots of each language end alike; what the consumer lost is what others got and what was burned."""
    client = scene.client
    before = client.final_state()
    specs = [
        client.spec(kind, script, slots=2, input=b"warp weft heddle shed warp reed", entrypoint=ENTRYPOINTS[kind])
        for kind, script in SCRIPTS.items()
    ]
    jobs = client.register(*specs)
    for job in jobs:
        assert client.wait_ended(job, DEADLINE_S)["job"]["end"] == "JobSucceeded", client.story(job)
        first, second = client.executions(job)
        assert {first["processor"], second["processor"]} == {"0x" + pair.public.hex() for pair in PROCESSORS}
        assert first["state"] == second["state"] == "accepted"
        assert first["digest"] == second["digest"]
        assert first["fuel"] == second["fuel"] > 0
        assert first["result"]["output"] == second["result"]["output"]
    after = client.wait_final(client.height())
    check_ledgers(client, jobs)
    check_money(client, jobs, before, after)
    for process in scene.processors:
        wait_for(partial(has_block, process, after), DEADLINE_S, f"the same chain on {process.name}")


def check_ledgers(client: JobClient, jobs: list[int]) -> None:
    """Each job's account: two asks and matcher's shares paid, the burned share and the agenda's fee, the rest back."""
    for job in jobs:
        ledger = client.job(job)["ledger"]
        asks = [one["paid"] for one in client.executions(job)]
        paid = sum(one["amount"] for one in client.events(job, "Paid"))
        shares = paid - sum(asks)
        assert shares in [sum(ask // 50 for ask in chosen) for chosen in ([], asks[:1], asks[1:], asks)]
        assert ledger["paid"] == paid
        assert ledger["fees"] == sum(ask // 50 for ask in asks) + len(asks) * 10**7
        assert ledger["deposited"] == ledger["paid"] + ledger["fees"] + ledger["refunded"]


def check_money(client: JobClient, jobs: list[int], before: FinalState, after: FinalState) -> None:
    """Between two blocks every account gained or lost exactly what the events say, and the rest is burned."""
    told = explained(client, AUTHOR.public, before, after)
    ledgers = [client.job(job)["ledger"] for job in jobs]
    spent = sum(ledger["paid"] + ledger["fees"] for ledger in ledgers)
    assert told.changes[CONSUMER.public] == -spent - told.fees[CONSUMER.public]
    assert all(told.changes[pair.public] > 0 for pair in PROCESSORS)  # the work paid for its transactions
    assert told.burned.total() == sum(ledger["fees"] for ledger in ledgers)


def has_block(process: NodeProcess, state: FinalState) -> bool:
    """Whether a node has the same block final."""
    head = process.result("chain_getFinalizedHead")
    height = int(process.result("chain_getHeader", head)["number"], 16)
    return bool(height >= state.number and process.result("chain_getBlockHash", state.number) == state.hash)
