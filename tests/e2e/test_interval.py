"""An interval job of twenty executions on three of five processors, of which one lies and one is killed.

Any of the five may be drawn; the liar has so much at stake that it is. Results are compared, and two that agree are
enough. The job is deterministic, so a jury finds the liar out: the two processors that are left, and that of the
validator, which judges only, for it asks for more than the job pays. The convicted one's slot goes to the fourth
processor, that of the killed one to the fifth.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from node.keys.pair import Pair, dev_pair, from_uri
from node.processor.advert import PRICING
from pallets.jobs.modes import REPLICA_BOND
from pallets.jobs.types import JobSpec, Quorum, RuntimeKind, Schedule, Timeouts
from runtime.chain_spec import ChainSpec, local_spec
from runtime.dev_accounts import dev_validator
from tests.helpers.heddle_command import Heddle
from tests.helpers.job_client import REWARD, FinalState, JobClient
from tests.helpers.lying_processor import LIES_IN
from tests.helpers.money import explained
from tests.helpers.node_process import NodeProcess, ended_with_the_block
from tests.helpers.waiting import wait_for

SLOT_MS = 500
EXECUTIONS, INTERVAL_MS, DURATION_MS, START_DELAY_MS = 20, 3_000, 2_500, 6_000
ASK = PRICING.base + PRICING.per_ms * DURATION_MS
MATCHERS_SHARE = ASK // 50
PAY = {
    "accepted": range(ASK, ASK + 1),
    "cancelled": range(ASK + 1),
    **dict.fromkeys(("rejected", "failed", "failed, tried again"), range(1)),
}
"""What an attempt brings, by its end: a run that is broken off is paid for its time."""
LEAD_MS = 15_000
"""From registration to the first start: matching takes less."""
SLOTS, AGREEING = 3, 2
KILLED_AFTER = 8
"""The execution whose judgment is waited for before the kill: by then the liar is convicted and replaced."""
START_S, JOB_S = 40, 90
DEADLINE_S = 5 * (START_S + JOB_S)
AUTHOR, CONSUMER = dev_pair("Alice"), dev_pair("Ferdie")
PROCESSORS = [from_uri(f"//Processor//{number}") for number in range(1, 6)]
LIAR = PROCESSORS[0]
LIARS_STAKE = "64"
MODULUS, TERMS = 9_973, 2_000
SCRIPT = b"""
export function main(heddle) {
  const [modulus, terms] = heddle.inputText().split(" ").map(Number);
  let sum = 0;
  for (let i = 0; i < terms; i++) sum += (i * i * (heddle.job.execution + 1)) % modulus;
  return sum;
}
"""
LOST = ("NodeLost", "RunTimeout", "NotRevealed")
"""What becomes of the attempts of a processor that is gone, by how far they had come."""
PARAMETERS = {
    "matching": {"drawStepSlots": 1},
    "verification": {"reveal": 20},
    "juries": {"claimSlots": 16},
}
"""Waiting for somebody who is gone takes ten seconds instead of more than a minute; jurors may be slow to come."""


def right(execution: int) -> bytes:
    """What the script must come to."""
    return str(sum(i * i * (execution + 1) % MODULUS for i in range(TERMS))).encode()


def hexed(pair: Pair) -> str:
    """An account as the RPC shows it."""
    return "0x" + pair.public.hex()


def chain_spec() -> ChainSpec:
    """A chain with quick judgments."""
    endowed = [pair.public for pair in PROCESSORS]
    spec = local_spec([dev_validator("Alice")], SLOT_MS, endowed=endowed, chain_id="interval")
    assert spec.sections is not None
    changed = {name: {**spec.sections.get(name, {}), **values} for name, values in PARAMETERS.items()}
    return replace(spec, sections={**spec.sections, **changed})


@dataclass
class Scene:
    """The nodes and the consumer, who asks the validator. `seen` has every result that was ever shown."""

    processors: dict[bytes, NodeProcess]
    client: JobClient
    heddle: Heddle
    url: str
    seen: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    _height: int = 0

    def look(self, job: int) -> bool:
        """Note what a new block shows of a job's executions: the chain keeps the last results of a slot only."""
        height = self.client.height()
        if height == self._height:
            return False
        self._height = height
        self.note(job)
        return True

    def note(self, job: int) -> None:
        """Keep what the chain shows of a job's executions now."""
        for one in self.client.executions(job):
            self.seen[one["execution"], one["slot"]] = one

    def accepted(self, execution: int) -> list[dict[str, Any]]:
        """The results of an execution that were taken."""
        found = (self.seen.get((execution, slot)) for slot in range(SLOTS))
        return [one for one in found if one is not None and one["state"] == "accepted"]

    def holders(self, job: int) -> list[str | None]:
        """Who has acknowledged each slot."""
        slots = [one["slot"] for one in self.client.job(job)["slots"]]
        return [one["processor"] if one["state"] == "acknowledged" else None for one in slots]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A validator whose processor only judges, and five processors with adverts, the first of which will lie."""
    folder = tmp_path_factory.mktemp("interval")
    chain = folder / "chain.json"
    chain.write_text(chain_spec().to_json())
    options = ["--validator", "--alice", "--processor", "--state-pruning", "archive"]
    validator = NodeProcess(folder, "validator", chain, options)
    nodes = [processor_node(folder, chain, number) for number in range(len(PROCESSORS))]
    with ended_with_the_block([validator, *nodes]):
        validator.start()
        for node in nodes:
            node.options += ["--bootnodes", validator.address]
        with ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(NodeProcess.start, nodes))
        client, heddle = JobClient(validator, CONSUMER, SLOT_MS), Heddle(folder / "home")
        wait_for(lambda: client.advertised() == len(nodes) + 1, 5 * START_S, "the adverts of all")
        dear = ["--base", "1000", "--suri", "//Alice//processor"]
        heddle.json("processor", "advertise", *dear, HEDDLE_URL=validator.http_url)
        accounts = [pair.public for pair in PROCESSORS]
        yield Scene(dict(zip(accounts, nodes, strict=True)), client, heddle, validator.http_url)


def processor_node(folder: Path, chain: Path, number: int) -> NodeProcess:
    """One of the five, not started."""
    node = NodeProcess(folder, f"processor-{number}", chain, ["--processor"])
    node.give_account(PROCESSORS[number])
    if PROCESSORS[number] is LIAR:
        node.program = [sys.executable, "-m", "tests.helpers.lying_processor"]
        node.options += ["--stake", LIARS_STAKE]
    return node


def interval_job(client: JobClient) -> JobSpec:
    """Twenty executions, on three public processors each."""
    spec = client.spec(
        RuntimeKind.JAVASCRIPT,
        SCRIPT,
        entrypoint="main",
        input=f"{MODULUS} {TERMS}".encode(),
        fuel=100_000_000,
        slots=SLOTS,
        verification=Quorum(AGREEING),
        accepted_min=AGREEING * EXECUTIONS,
        timeouts=Timeouts(acknowledge_slots=10, queue_ms=600_000),
    )
    start = spec.schedule.start_ms + LEAD_MS
    end = start + (EXECUTIONS - 1) * INTERVAL_MS + 1
    return replace(spec, schedule=Schedule(start, end, INTERVAL_MS, DURATION_MS, START_DELAY_MS))


@pytest.mark.deadline(DEADLINE_S)
def test_an_interval_job_outlives_a_liar_and_a_killed_processor(scene: Scene) -> None:
    """All twenty results are right, the timeline has a reason for every attempt, accounts are right to the unit."""
    client = scene.client
    before = client.final_state()
    (job,) = client.register(interval_job(client))
    wait_for(lambda: all(scene.holders(job)), 5 * LEAD_MS // 1_000, "three processors")
    first = scene.holders(job)
    assert hexed(LIAR) in first

    def judged() -> bool:
        scene.look(job)
        settled = all(len(scene.accepted(execution)) >= AGREEING for execution in range(KILLED_AFTER + 1))
        return settled and all(scene.holders(job)) and hexed(LIAR) not in scene.holders(job)

    wait_for(judged, 5 * JOB_S, f"execution {KILLED_AFTER} accepted, and another in the place of the liar")
    slot = next(number for number, who in enumerate(first) if who in scene.holders(job) and who != hexed(LIAR))
    killed = next(pair for pair in PROCESSORS if hexed(pair) == first[slot])
    scene.processors[killed.public].kill()

    def ended() -> bool:
        return scene.look(job) and client.job(job)["job"]["state"] == "done"

    wait_for(ended, 5 * JOB_S, "the end of the job")
    scene.note(job)
    assert client.job(job)["job"]["end"] == "JobSucceeded", client.story(job)
    after = client.wait_final(client.height())
    check_results(scene)
    check_timeline(scene, job, killed, slot)
    check_money(client, job, killed, before, after)


def check_results(scene: Scene) -> None:
    """Every execution has results that were taken, and they are what Python comes to."""
    for execution in range(EXECUTIONS):
        results = scene.accepted(execution)
        assert len(results) >= AGREEING, execution
        for one in results:
            assert bytes.fromhex(one["result"]["output"]["InlineOutput"]["data"][2:]) == right(execution)


def check_timeline(scene: Scene, job: int, killed: Pair, slot: int) -> None:
    """Each slot's every execution is told, attempt by attempt; what brought nothing has a reason, and the right one.

    While the killed one's slot is vacant, as many executions wait in it as may at a time; later ones may be skipped.
    """
    told = scene.heddle.json("job", "timeline", str(job), HEDDLE_URL=scene.url)
    attempts: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for one in told["attempts"]:
        attempts.setdefault((one["execution"], one["slot"]), []).append(one)
    skips = [(n, one["slot"]) for one in told["skipped"] for n in range(one["first"], one["first"] + one["count"])]
    assert {number for _, number in skips} <= {slot}, "only the killed one's slot was without a processor for so long"
    assert sorted((*attempts, *skips)) == [
        (execution, number) for execution in range(EXECUTIONS) for number in range(SLOTS)
    ]
    for tries in attempts.values():
        assert [one["attempt"] for one in tries] == list(range(1, len(tries) + 1))
        assert all(one["state"] == "failed, tried again" for one in tries[:-1])
    for one in told["attempts"]:
        assert (one["reason"] == "") == (one["state"] == "accepted"), one
        assert one["paid"] in PAY[one["state"]], one
    wrong = [(one["processor"], one["execution"]) for one in told["attempts"] if one["reason"] == "Mismatch"]
    assert wrong == [(LIAR.address, execution) for execution in LIES_IN]
    lost = [one["reason"] for one in told["attempts"] if one["processor"] == killed.address and one["reason"]]
    assert lost
    assert all(reason.startswith(LOST) for reason in lost), lost
    assert attempts[EXECUTIONS - 1, slot][-1]["processor"] != killed.address
    took_part = {one["processor"] for one in told["attempts"] if one["state"] == "accepted"}
    assert took_part == {pair.address for pair in PROCESSORS}
    ledger = scene.client.job(job)["ledger"]
    money = told["money"]
    assert {name: money[name] for name in ("deposited", "paid", "fees", "refunded", "held")} == {
        **{name: ledger[name] for name in ("deposited", "paid", "fees", "refunded")},
        "held": 0,
    }


def check_money(client: JobClient, job: int, killed: Pair, before: FinalState, after: FinalState) -> None:
    """The events explain every balance; a whole bond lost for each lie, a fine for the lost lease."""
    told = explained(client, AUTHOR.public, before, after)
    ledger = client.job(job)["ledger"]
    results = client.events(job, "ExecutionAccepted")
    shares = ledger["paid"] - sum(one["paid"] for one in (*results, *client.events(job, "ExecutionCancelled")))
    assert told.paid.total() == ledger["paid"]
    assert shares in range(0, (len(results) + 1) * MATCHERS_SHARE, MATCHERS_SHARE)
    spent = ledger["paid"] + ledger["fees"]
    gained = told.compensated[CONSUMER.public]
    assert told.changes[CONSUMER.public] == gained - spent - told.fees[CONSUMER.public]
    assert gained == len(LIES_IN) * REWARD // 10  # the second lie too: its bond is filled from the stake
    assert told.convicted == {LIAR.public: len(LIES_IN) * REPLICA_BOND * REWARD}
    assert told.fined[killed.public] in (ASK // 10, ASK // 20)
    assert told.fined.keys() == {killed.public}
