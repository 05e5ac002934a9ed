"""kill -9 in the middle of a job: nothing is lost, nothing happens twice.

A validator and a processor as two processes, and a receiver that stands for the world outside. The script asks the
receiver before it ends, so that the test knows when the job is in its middle, and how often it was run.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest

from node.keys.pair import dev_pair, from_uri
from pallets.jobs.destinations import Chain, Webhook
from pallets.jobs.types import Capabilities, JobSpec, RuntimeKind
from runtime.chain_spec import local_spec
from runtime.dev_accounts import dev_validator
from tests.helpers.http_receiver import Receiver, Reply, Seen, receiver
from tests.helpers.job_client import REWARD, JobClient
from tests.helpers.node_process import NodeProcess, ended_with_the_block
from tests.helpers.waiting import wait_for

SLOT_MS = 500
DEADLINE_S = 90
AGENDA_FEE = 10**7
PROCESSOR = from_uri("//Processor//1")
SCRIPT = b"""
export async function main(heddle) {
  await heddle.fetch(heddle.inputText() + "?attempt=" + heddle.job.attempt);
  let sum = 0;
  for (let i = 0; i < 100000; i++) sum = (sum * 31 + i) | 0;
  return String(sum);
}
"""


@dataclass
class Gate:
    """Holds the first request to a path until the test lets it go; `seen` are all of them."""

    path: str
    arrived: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    seen: list[Seen] = field(default_factory=list)

    def answer(self, request: Seen) -> Reply:
        """Called in the receiver's thread."""
        self.seen.append(request)
        self.arrived.set()
        self.opened.wait(DEADLINE_S)
        return Reply(body=b"go on")


@dataclass
class Scene:
    """The two nodes, the receiver and the consumer."""

    validator: NodeProcess
    processor: NodeProcess
    server: Receiver
    client: JobClient
    gates: dict[str, Gate]

    def gate(self, path: str, *, opened: bool = False) -> Gate:
        """A new gate at `path`; every test has its own."""
        gate = self.gates[path] = Gate(path)
        if opened:
            gate.opened.set()
        return gate

    def job(self, run: Gate, hook: Gate) -> JobSpec:
        """A job that asks at `run` in its middle and delivers to `hook`."""
        return self.client.spec(
            RuntimeKind.JAVASCRIPT,
            SCRIPT,
            entrypoint="main",
            input=self.server.url(run.path).encode(),
            network_requests=4,
            destinations=(Chain(), Webhook(self.server.url(hook.path))),
            capabilities=Capabilities((self.server.pair,), (), storage=False, sign=False),
        )

    def wait_at(self, gate: Gate, job: int) -> None:
        """Until the job knocks at a gate."""
        assert gate.arrived.wait(DEADLINE_S), self.client.story(job)

    def attempts(self, gate: Gate) -> list[str]:
        """The attempt that each run named."""
        return [parse_qs(urlsplit(request.path).query)["attempt"][0] for request in gate.seen]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A chain with one validator and a processor that is advertised on it."""
    folder = tmp_path_factory.mktemp("crash")
    chain = folder / "chain.json"
    spec = local_spec([dev_validator("Alice")], SLOT_MS, endowed=[PROCESSOR.public], chain_id="crash")
    chain.write_text(spec.to_json())
    gates: dict[str, Gate] = {}

    def answer(request: Seen, _count: int) -> Reply:
        return gates[urlsplit(request.path).path].answer(request)

    with receiver(answer) as server:
        validator = NodeProcess(folder, "validator", chain, ["--validator", "--alice", "--no-processor"])
        processor = NodeProcess(folder, "processor", chain, ["--processor", "--allow-destination", server.pair])
        with ended_with_the_block([validator, processor]):
            try:
                validator.start()
                processor.options += ["--bootnodes", validator.address]
                processor.give_account(PROCESSOR)
                processor.start()
                client = JobClient(validator, dev_pair("Bob"), SLOT_MS)
                wait_for(client.advertised, DEADLINE_S, "the processor's advert")
                yield Scene(validator, processor, server, client, gates)
            finally:
                for gate in gates.values():
                    gate.opened.set()


def settled(scene: Scene, id: int) -> None:
    """The job succeeded; its one execution was started, reported and paid once, to the unit, under attempt 1."""
    view = scene.client.wait_ended(id, DEADLINE_S)
    assert view["job"]["end"] == "JobSucceeded", scene.client.story(id)
    for name in ("ExecutionStarted", "ExecutionReported", "ExecutionAccepted", "JobDone"):
        assert len(scene.client.events(id, name)) == 1, name
    assert scene.client.events(id, "AttemptFailed") == []
    (execution,) = scene.client.executions(id)
    assert (execution["state"], execution["attempt"]) == ("accepted", 1)
    ask, ledger = execution["paid"], view["ledger"]
    share = ask // 50
    # The processor also earns the matcher's share, unless the chain itself was faster.
    paid = [(one["to"], one["amount"]) for one in scene.client.events(id, "Paid")]
    account = "0x" + PROCESSOR.public.hex()
    assert paid in ([(account, ask)], [(account, ask), (account, share)])
    assert 0 < ask <= REWARD
    assert ledger["paid"] == sum(amount for _, amount in paid)
    assert ledger["fees"] == share + AGENDA_FEE
    assert ledger["deposited"] == ledger["paid"] + ledger["fees"] + ledger["refunded"]
    assert set(ledger["pots"].values()) == {0}
    scene.client.wait_final(scene.client.height())  # with the invariants of every pallet


@pytest.mark.deadline(4 * DEADLINE_S)
def test_a_processor_killed_in_the_middle_of_a_run(scene: Scene) -> None:
    """It runs the cut-off execution again under the same attempt, delivers under one key and is paid once."""
    run, hook = scene.gate("/run-1"), scene.gate("/hook-1", opened=True)
    (job,) = scene.client.register(scene.job(run, hook))
    scene.wait_at(run, job)
    scene.processor.kill()
    run.opened.set()
    scene.processor.start()
    settled(scene, job)
    assert scene.attempts(run) == ["1", "1"]
    assert len(hook.seen) == 1


@pytest.mark.deadline(4 * DEADLINE_S)
def test_a_validator_killed_in_the_middle_of_a_run(scene: Scene) -> None:
    """The chain goes on from its head, the run is not repeated, and its report is accepted afterwards."""
    run, hook = scene.gate("/run-2"), scene.gate("/hook-2", opened=True)
    (job,) = scene.client.register(scene.job(run, hook))
    scene.wait_at(run, job)
    height, head = scene.client.height(), scene.validator.result("chain_getFinalizedHead")
    scene.validator.kill()
    run.opened.set()
    scene.validator.start()
    assert scene.client.height() >= height
    assert scene.validator.result("chain_getHeader", head) is not None
    settled(scene, job)
    assert scene.attempts(run) == ["1"]
    assert len(hook.seen) == 1


@pytest.mark.deadline(4 * DEADLINE_S)
def test_a_processor_killed_while_it_delivers(scene: Scene) -> None:
    """Its receiver has the result and its journal does not know: it is delivered again, under the same key."""
    run, hook = scene.gate("/run-3", opened=True), scene.gate("/hook-3")
    (job,) = scene.client.register(scene.job(run, hook))
    scene.wait_at(hook, job)
    scene.processor.kill()
    hook.opened.set()
    scene.processor.start()
    settled(scene, job)
    assert scene.attempts(run) == ["1"]
    assert len(hook.seen) == 2
    assert len({request.headers["webhook-id"] for request in hook.seen}) == 1
    assert len({request.body for request in hook.seen}) == 1


@pytest.mark.deadline(4 * DEADLINE_S)
def test_both_killed_between_delivery_and_report(scene: Scene) -> None:
    """The journal knows of the delivery: after the restart nothing is run or delivered again, and the report comes."""
    run, hook = scene.gate("/run-4", opened=True), scene.gate("/hook-4")
    (job,) = scene.client.register(scene.job(run, hook))
    scene.wait_at(hook, job)
    scene.validator.kill()
    hook.opened.set()
    wait_for(lambda: scene.processor.result("author_pendingExtrinsics"), DEADLINE_S, "the report in the pool")
    scene.processor.kill()
    scene.validator.start()
    assert scene.client.job(job)["job"]["state"] == "assigned"
    scene.processor.start()
    settled(scene, job)
    assert scene.attempts(run) == ["1"]
    assert len(hook.seen) == 1
