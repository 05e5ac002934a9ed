"""jobs_* and processors_*: one job from registration to its final end, as a client sees it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from node.blobs import cid_of, cid_text
from node.keys.pair import Pair
from node.log import logger
from node.rpc.api.author_api import AuthorApi
from node.rpc.api.blobs_api import BlobsApi
from node.rpc.api.chain_api import ChainApi
from node.rpc.api.finality_api import FinalityApi
from node.rpc.api.job_json import EXECUTION_NOT_FOUND, JOB_NOT_FOUND, PROCESSOR_NOT_FOUND
from node.rpc.api.jobs_api import EVENT_BLOCKS_MAX, JobsApi
from node.rpc.api.logs_api import LogsApi
from node.rpc.api.state_api import StateApi
from node.rpc.api.system_api import SystemApi
from node.rpc.errors import InvalidParams, RpcError
from node.rpc.methods import Methods
from node.rpc.subscription import Subscription
from pallets.jobs import types
from pallets.jobs.report import BlobOutput, Delivery, Succeeded
from pallets.processors.types import PairingProof, pairing_message
from tests.helpers.chain_lab import BOB, CHARLIE, DAVE, SLOT_MS, UNIT, Lab
from tests.helpers.job_world import ADVERT, job_spec

OUTPUT = b"a result" * 100
PROCESSORS = (CHARLIE, DAVE)
ROOT = Path(__file__).resolve().parents[3]


class Client:
    """Calls methods by name, as the dispatcher does, and keeps what subscriptions push."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.methods = Methods()
        JobsApi(lab.chain).register(self.methods)
        self.pushed: list[dict[str, Any]] = []

    async def call(self, method: str, *params: Any, **named: Any) -> Any:
        """The result as JSON would carry it."""
        found = self.methods.find(method)
        assert found is not None
        result = await found.function(*found.arguments(named or list(params)))
        return json.loads(json.dumps(result))

    async def subscribe(self, nursery: trio.Nursery, *params: Any, method: str = "jobs_subscribe") -> Subscription:
        """Follow a job, or what another subscription follows; pushes land in `pushed`."""

        def keep(data: bytes) -> bool:
            self.pushed.append(json.loads(data)["params"]["result"])
            return True

        subscription = Subscription("1", "jobs_update", keep, nursery, logger("rpc"))
        found = self.methods.find(method)
        assert found is not None
        await found.function(subscription, *found.arguments(list(params)))
        subscription.open()
        return subscription

    async def error(self, method: str, *params: Any) -> RpcError:
        """The error of a call that must fail."""
        with pytest.raises(RpcError) as refused:
            await self.call(method, *params)
        return refused.value


class Work:
    """Two processors, and a job of //Bob's on both."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.nonces: dict[bytes, int] = {}

    def send(self, who: Any, pallet: str, name: str, *arguments: Any) -> None:
        """Submit a call."""
        nonce = self.nonces.get(who.public, 0)
        self.nonces[who.public] = nonce + 1
        self.lab.submit(self.lab.sign(self.lab.call(pallet, name, *arguments), nonce, who))

    async def blocks(self, count: int = 1) -> None:
        """Blocks, so that tasks see each."""
        for _ in range(count):
            header = await self.lab.author_block()
            failures = [
                record.event.dispatch_error
                for record in self.lab.runtime.system.events_value.codec.decode(
                    self.lab.store.events(header.hash()) or b""
                )
                if type(record.event).__name__ == "ExtrinsicFailed"
            ]
            assert failures == []
            await trio.lowlevel.checkpoint()

    async def register(self, **changes: Any) -> None:
        """Advertise both processors and register job 0."""
        for one in PROCESSORS:
            self.send(one, "Processors", "register", 1)
            self.send(one, "Processors", "stake", UNIT)
            self.send(one, "Processors", "advertise", ADVERT)
        await self.blocks()
        spec = replace(job_spec(self.lab.clock.now_ms() + 20 * SLOT_MS), **changes)
        self.send(BOB, "Jobs", "register", spec)
        await self.blocks()

    async def pair(self, processor: Pair, manager: Pair) -> None:
        """Put a processor under a manager."""
        genesis, expires = self.lab.chain.genesis_hash, self.lab.clock.now_ms() + 60_000
        message = pairing_message(genesis, processor.public, manager.public, 1, expires)
        proof = PairingProof(manager.public, 1, expires, int(manager.scheme), manager.sign(message))
        self.send(processor, "Processors", "pair", proof)
        await self.blocks()

    def slot(self, number: int) -> Any:
        """A slot of job 0."""
        return self.lab.look().jobs.slot(0, number)

    async def until(self, condition: Any) -> None:
        """Blocks until something holds."""
        for _ in range(80):
            if condition():
                return
            await self.blocks()
        raise AssertionError("not within 80 blocks")

    async def assign(self) -> None:
        """Both slots offered and acknowledged."""
        await self.until(lambda: not self.lab.look().jobs.job(0).vacant)
        for number in range(2):
            held = self.slot(number)
            who = next(one for one in PROCESSORS if one.public == held.processor)
            self.send(who, "Jobs", "acknowledge", 0, number, held.generation, None)
        await self.blocks()

    async def run(self) -> None:
        """Both executions started and reported."""
        await self.until(lambda: self.slot(0).live and self.slot(1).live)
        due = self.lab.look().jobs.executions.get((0, 0, 0)).due_ms
        await self.until(lambda: self.lab.look().system.now_ms >= due)
        for name in ("started", "report"):
            for number in range(2):
                held = self.slot(number)
                who = next(one for one in PROCESSORS if one.public == held.processor)
                arguments: tuple[Any, ...] = (0, 0, number, held.generation, 1)
                if name == "report":
                    blob = types.Blob(cid_of(OUTPUT), len(OUTPUT))
                    arguments += (Succeeded(b"\x05" * 32, BlobOutput(blob), 77, (Delivery(0, b"receipt"),)),)
                self.send(who, "Jobs", name, *arguments)
            await self.blocks()


def by_name(events: list[dict[str, Any]]) -> list[str]:
    """The names of events."""
    return [event["event"] for event in events]


def test_a_job_from_registration_to_its_final_end(tmp_path: Path) -> None:
    """Views, executions, results, events and the subscription tell one story, and the subscription ends with it."""

    async def run() -> None:
        lab = Lab(tmp_path)
        client, work = Client(lab), Work(lab)
        await work.register()
        async with trio.open_nursery() as nursery:
            await client.subscribe(nursery, 0)
            registered = await client.call("jobs_get", 0)
            assert (registered["id"], registered["job"]["state"]) == (0, "open")
            assert registered["job"]["owner_address"] == BOB.address
            assert registered["spec"]["script"]["cid"].startswith("bafkrei")
            assert await client.call("jobs_byHash", registered["job"]["id_hash"]) == registered
            assert await client.call("jobs_get", registered["job"]["id_hash"]) == registered
            explained = await client.call("jobs_explain", 0)
            assert (explained["slot"], explained["eligible"]) == (0, 2)
            await work.assign()
            assigned = await client.call("jobs_get", 0)
            assert assigned["job"]["state"] == "assigned"
            addresses = {slot["slot"]["processor_address"] for slot in assigned["slots"]}
            assert addresses == {one.address for one in PROCESSORS}
            await work.run()
            await trio.testing.wait_all_tasks_blocked()
            assert client.pushed[-1]["kind"] == "view"
            assert client.pushed[-1]["view"]["job"]["state"] == "done"
            lab.finalise()
            await trio.testing.wait_all_tasks_blocked()
        await check_end(client)

    async def check_end(client: Client) -> None:
        done = await client.call("jobs_get", 0)
        assert done["job"]["end"] == "JobSucceeded"
        ledger = done["ledger"]
        assert ledger["deposited"] == ledger["paid"] + ledger["fees"] + ledger["refunded"]
        for slot in range(2):
            result = await client.call("jobs_result", 0, 0, slot)
            assert result["state"] == "accepted"
            assert result["output"] == {"BlobOutput": {"blob": {"cid": cid_text(cid_of(OUTPUT)), "size": len(OUTPUT)}}}
            assert (result["digest"], result["fuel"]) == ("0x" + "05" * 32, 77)
            assert result["deliveries"] == [{"destination": 0, "reference": "0x" + b"receipt".hex()}]
        executions = await client.call("jobs_executions", 0)
        assert [(one["slot"], one["execution"], one["state"]) for one in executions] == [
            (0, 0, "accepted"),
            (1, 0, "accepted"),
        ]
        told = [push for push in client.pushed if push["kind"] == "event"]
        listed = await client.call("jobs_events", 0, 0)
        assert listed["next"] is None
        names = by_name(listed["events"])
        assert names[:2] == ["Deposited", "JobRegistered"]
        assert names[-1] == "JobDone"
        assert names.count("ExecutionAccepted") == 2
        later = [event for event in listed["events"] if event["block"] > listed["events"][0]["block"]]
        assert [(e["hash"], e["index"], e["event"]) for e in told] == [
            (e["hash"], e["index"], e["event"]) for e in later
        ]
        assert all(event["finalised"] for event in listed["events"])
        assert not any(event["finalised"] for event in told)
        final = {push["hash"] for push in client.pushed if push["kind"] == "finalised"}
        assert final == {event["hash"] for event in told}
        ended = client.pushed[-1]
        assert ended == {"kind": "ended", "job": 0, "state": "done", "end": "JobSucceeded"}

    trio.run(run)


def test_a_fork_takes_a_job_away_and_brings_it_back(tmp_path: Path) -> None:
    """When its block is retracted the view is null; when another fork registers it anew, it is told under its hash."""

    async def run() -> None:
        lab = Lab(tmp_path)
        client, work = Client(lab), Work(lab)
        base = await lab.author_block()
        spec = job_spec(lab.clock.now_ms() + 200 * SLOT_MS)
        work.send(BOB, "Jobs", "register", spec)
        raw = next(iter(lab.pool.entries.values())).extrinsic.raw
        await work.blocks()
        async with trio.open_nursery() as nursery:
            await client.subscribe(nursery, 0)
            await trio.testing.wait_all_tasks_blocked()
            first = await lab.import_made(base.hash(), lab.tick())
            second = await lab.import_made(first.hash(), lab.tick())
            await trio.testing.wait_all_tasks_blocked()
            gone = client.pushed[-1]
            assert (gone["kind"], gone["view"]) == ("view", None)
            await lab.import_made(second.hash(), lab.tick(), raw)
            await trio.testing.wait_all_tasks_blocked()
            kinds = [push["kind"] for push in client.pushed]
            assert kinds == ["view", "view", "event", "event", "view"]
            assert client.pushed[-1]["view"]["job"]["state"] == "open"
            nursery.cancel_scope.cancel()

    trio.run(run)


def test_an_ended_and_final_job_ends_the_subscription_at_once(tmp_path: Path) -> None:
    """Who subscribes after the end gets the view and the end."""

    async def run() -> None:
        lab = Lab(tmp_path)
        client, work = Client(lab), Work(lab)
        await work.register()
        work.send(BOB, "Jobs", "cancel", 0)
        await work.blocks()
        lab.finalise()
        async with trio.open_nursery() as nursery:
            await client.subscribe(nursery, 0)
        assert [push["kind"] for push in client.pushed] == ["view", "ended"]
        assert client.pushed[1]["end"] == "JobCancelled"

    trio.run(run)


def test_the_jobs_of_an_owner_are_followed_by_state(tmp_path: Path) -> None:
    """Present jobs at once, others as they come; a job that leaves the states says so; a final end is told once."""

    async def run() -> None:
        lab = Lab(tmp_path)
        client, work = Client(lab), Work(lab)
        later = lab.clock.now_ms() + 200 * SLOT_MS
        work.send(BOB, "Jobs", "register", job_spec(later))
        work.send(CHARLIE, "Jobs", "register", job_spec(later))
        await work.blocks()
        async with trio.open_nursery() as nursery:
            await client.subscribe(nursery, BOB.address, ["open", "cancelled"], method="jobs_subscribeOwner")
            await trio.testing.wait_all_tasks_blocked()
            work.send(BOB, "Jobs", "register", job_spec(later))
            await work.blocks()
            bobs = [job["id"] for job in await client.call("jobs_list", BOB.address)]
            (charlies,) = await client.call("jobs_list", CHARLIE.address)
            work.send(CHARLIE, "Jobs", "cancel", charlies["id"])
            work.send(BOB, "Jobs", "cancel", bobs[0])
            await work.blocks(2)
            lab.finalise()
            await trio.testing.wait_all_tasks_blocked()
            lab.finalise()
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        told = [(push["kind"], push["id"]) for push in client.pushed]
        assert told == [("job", bobs[1]), ("job", bobs[0]), ("job", bobs[0]), ("ended", bobs[0])]
        assert [push["job"]["state"] for push in client.pushed[:3]] == ["open", "open", "cancelled"]
        assert client.pushed[3]["end"] == "JobCancelled"

    trio.run(run)


def test_a_job_that_leaves_the_chain_is_told_to_have_left(tmp_path: Path) -> None:
    """When the block of its registration is retracted, the job has left without a state."""

    async def run() -> None:
        lab = Lab(tmp_path)
        client, work = Client(lab), Work(lab)
        base = await lab.author_block()
        work.send(BOB, "Jobs", "register", job_spec(lab.clock.now_ms() + 200 * SLOT_MS))
        await work.blocks()
        async with trio.open_nursery() as nursery:
            await client.subscribe(nursery, None, ["open"], method="jobs_subscribeOwner")
            await trio.testing.wait_all_tasks_blocked()
            first = await lab.import_made(base.hash(), lab.tick())
            await lab.import_made(first.hash(), lab.tick())
            await trio.testing.wait_all_tasks_blocked()
            assert [(push["kind"], push["id"]) for push in client.pushed] == [("job", 0), ("left", 0)]
            assert client.pushed[-1]["state"] is None
            nursery.cancel_scope.cancel()

    trio.run(run)


def test_jobs_are_listed_newest_first(tmp_path: Path) -> None:
    """All, by owner, with a limit, in each form of parameters."""

    async def run() -> None:
        lab = Lab(tmp_path)
        client, work = Client(lab), Work(lab)
        for owner in (BOB, CHARLIE, BOB):
            work.send(owner, "Jobs", "register", job_spec(lab.clock.now_ms() + 100 * SLOT_MS))
            await work.blocks()
        assert [job["id"] for job in await client.call("jobs_list")] == [2, 1, 0]
        assert [job["id"] for job in await client.call("jobs_list", {"owner": BOB.address, "limit": 1})] == [2]
        assert [job["id"] for job in await client.call("jobs_list", BOB.address)] == [2, 0]
        assert [job["id"] for job in await client.call("jobs_list", owner=f"0x{CHARLIE.public.hex()}")] == [1]
        assert await client.call("jobs_list", DAVE.address) == []
        assert isinstance(await client.error("jobs_list", {"colour": 1}), InvalidParams)
        assert isinstance(await client.error("jobs_list", None, 1_001), InvalidParams)

    trio.run(run)


def test_processors_are_listed(tmp_path: Path) -> None:
    """Each with its advert, reputation and balance, a manager's too; an account that is none is told so."""

    async def run() -> None:
        lab = Lab(tmp_path)
        client, work = Client(lab), Work(lab)
        await work.register()
        listed = await client.call("processors_list")
        assert {one["processor_address"] for one in listed} == {one.address for one in PROCESSORS}
        found = await client.call("processors_get", CHARLIE.address)
        assert found in listed
        assert found["advert"]["runtimes"] == ["wasm", "python"]
        assert set(found["reputation_ppm"]) == {"wasm", "python"}
        assert found["free"] == lab.free(CHARLIE)
        stake = found["stake"]
        assert (stake["bonded"], stake["unbonding"], stake["fresh"], found["units"]) == (UNIT, [], UNIT, 1)
        assert len(await client.call("processors_list", 1)) == 1
        assert await client.call("processors_list", {"manager": BOB.address}) == []
        await work.pair(CHARLIE, BOB)
        (fleet,) = await client.call("processors_list", {"manager": BOB.address, "limit": 5})
        assert fleet["processor_address"] == CHARLIE.address
        assert isinstance(await client.error("processors_list", {"owner": BOB.address}), InvalidParams)
        assert (await client.error("processors_get", BOB.address)).code == PROCESSOR_NOT_FOUND

    trio.run(run)


def test_what_is_not_there_has_its_own_error(tmp_path: Path) -> None:
    """No such job by id or hash, no such execution, no such block, and parameters that are none."""

    async def run() -> None:
        lab = Lab(tmp_path)
        client, work = Client(lab), Work(lab)
        await work.register()
        for method in ("jobs_get", "jobs_executions", "jobs_result", "jobs_explain"):
            assert (await client.error(method, 1)).code == JOB_NOT_FOUND
            assert (await client.error(method, "0x" + "11" * 32)).code == JOB_NOT_FOUND
            bads: tuple[Any, ...] = ("0x11", -1, 1.5, True, [], 2**64)
            for bad in bads:
                assert isinstance(await client.error(method, bad), InvalidParams), (method, bad)
        assert (await client.error("jobs_byHash", "0x" + "11" * 32)).code == JOB_NOT_FOUND
        assert (await client.error("jobs_events", 1, 0)).code == JOB_NOT_FOUND
        assert (await client.error("jobs_result", 0)).code == EXECUTION_NOT_FOUND
        assert isinstance(await client.error("jobs_result", 0, 0, 64), InvalidParams)
        assert (await client.error("jobs_get", 0, "0x" + "22" * 32)).code == 4003
        genesis = f"0x{lab.chain.genesis_hash.hex()}"
        assert (await client.error("jobs_get", 0, genesis)).code == JOB_NOT_FOUND

    trio.run(run)


def test_events_are_looked_for_in_bounded_steps(tmp_path: Path) -> None:
    """From a height beyond the head there is nothing; one answer looks through a bounded number of blocks."""

    async def run() -> None:
        lab = Lab(tmp_path)
        client, work = Client(lab), Work(lab)
        await work.register()
        head = lab.chain.best.number
        beyond: dict[str, Any] = {"events": [], "next": None, "kept_from": head + 1}
        assert await client.call("jobs_events", 0, head + 1) == beyond
        assert by_name((await client.call("jobs_events", 0, hex(head)))["events"]) == ["Deposited", "JobRegistered"]
        assert EVENT_BLOCKS_MAX == 1_000

    trio.run(run)


def test_every_method_is_documented(tmp_path: Path) -> None:
    """docs/rpc.md names every method and alias of the node, and no other."""
    lab = Lab(tmp_path)
    methods, state = Methods(), StateApi(lab.chain)
    system = SystemApi(
        *(lab.chain, lab.transactions, state, lab.keystore, "", ""),
        health=dict,
        identity=lambda: ("", []),
        peers=list,
    )
    author = AuthorApi(lab.chain, lab.transactions, lab.keystore)
    apis: tuple[Any, ...] = (ChainApi(lab.chain), state, author, system)
    silent: Any = None  # neither blobs nor finality are called here
    for api in (*apis, BlobsApi(silent), FinalityApi(silent), JobsApi(lab.chain), LogsApi(lab.chain, silent)):
        api.register(methods)
    text = (ROOT / "docs" / "rpc.md").read_text()
    table = text[text.index("## Methods") : text.index("## Answers")]
    prefixes = {name.split("_")[0] for name in methods}
    named = {name for name in re.findall(r"`([a-z]+_[A-Za-z]+)`", table) if name.split("_")[0] in prefixes}
    pushes = {method.push for name in methods if (method := methods.find(name)) is not None and method.push}
    unsubscribes = {name for name in methods if "nsubscribe" in name or "nwatch" in name}
    assert set(methods) - unsubscribes <= named
    assert named <= set(methods) | pushes
