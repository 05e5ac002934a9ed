"""A processor that holds a job's secrets is killed -9: the next one gets a copy of its own, and nothing is left behind.

A validator and two processors as processes. The script asks a receiver before it ends, so that the test knows when the
value is in the holder's memory. Once the copies were sealed to one-time keys and the owner is away, once they are
sealed by `heddle job serve-secrets`, to the key of each acknowledgment.
"""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from node.keys.pair import from_uri
from node.store.database import LevelDatabase
from runtime.chain_spec import local_spec
from runtime.dev_accounts import dev_validator
from runtime.heddle import Heddle
from tests.helpers.heddle_command import Heddle as Command
from tests.helpers.http_receiver import Receiver, Reply, Seen, receiver
from tests.helpers.job_folders import job_folder
from tests.helpers.node_process import HEDDLE, NodeProcess, ended_with_the_block
from tests.helpers.waiting import wait_for

SLOT_MS = 500
START_S, MIGRATION_S = 25, 35
DEADLINE_S = 5 * MIGRATION_S
OWNER = "//Bob"
URIS = ("//Processor//1", "//Processor//2")
VALUE = "a-value-that-stays-hidden-5e71"
SCRIPT = """
export async function main(heddle) {
  const token = heddle.env.TOKEN;
  heddle.log("the token is " + token);
  await heddle.fetch(heddle.inputText());
  return token.length + " " + [...token].reduce((sum, one) => sum + one.charCodeAt(0), 0);
}
"""
RIGHT = f"{len(VALUE)} {sum(map(ord, VALUE))}"
EXTRA = """
[environment]
TOKEN = {{ from = "env" }}
[secrets]
sealing = "{sealing}"
[capabilities]
fetch = ["{host}"]
[processors]
choice = "known"
accounts = ["//Processor//1", "//Processor//2"]
"""


@dataclass
class Gate:
    """Holds whoever comes to one path until the test opens it."""

    arrived: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)


@dataclass
class Scene:
    """The nodes by their processors' addresses, and the owner, who asks the validator."""

    folder: Path
    validator: NodeProcess
    processors: dict[str, NodeProcess]
    server: Receiver
    gates: dict[str, Gate]
    owner: Command

    def json(self, *arguments: str, **variables: str) -> Any:
        """What a command of the owner's prints."""
        return self.owner.json(*arguments, HEDDLE_URL=self.validator.http_url, **variables)

    def submit(self, sealing: str) -> str:
        """A job with a value out of the owner's environment; its number."""
        limits = {"duration_ms": "10_000", "resources__fuel": "100_000_000", "resources__network_requests": "4"}
        extra = EXTRA.format(sealing=sealing, host=self.server.pair)
        folder = job_folder(self.folder / "owner" / sealing, "javascript", extra=extra, **limits)
        (folder / "main.js").write_text(SCRIPT)
        (folder / "input.txt").write_text(self.server.url(f"/{sealing}"))
        return str(self.json("job", "submit", str(folder), "--suri", OWNER, TOKEN=VALUE)["job"])

    def have_prekeys(self) -> bool:
        """Whether every processor has one-time keys on the chain."""
        prefix = Heddle(SLOT_MS).secrets.prekeys.prefix
        keys = self.validator.result("state_getKeysPaged", "0x" + prefix.hex(), 10)
        return len(keys) == len(self.processors)

    def holder(self, job: str) -> str:
        """Whose slot it is."""
        (slot,) = self.validator.result("jobs_get", int(job))["slots"]
        return str(slot["slot"]["processor_address"])

    def state(self, job: str) -> str:
        """Where the job stands."""
        return str(self.validator.result("jobs_get", int(job))["job"]["state"])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A chain with one validator, and two processors with one-time keys."""
    folder = tmp_path_factory.mktemp("migration")
    chain = folder / "chain.json"
    pairs = [from_uri(uri) for uri in URIS]
    endowed = [pair.public for pair in pairs]
    chain.write_text(local_spec([dev_validator("Alice")], SLOT_MS, endowed=endowed, chain_id="migration").to_json())
    gates = {f"/{sealing}": Gate() for sealing in ("prekeys", "served")}

    def answer(request: Seen, _count: int) -> Reply:
        gates[request.path].arrived.set()
        gates[request.path].opened.wait(DEADLINE_S)
        return Reply(body=b"go on")

    with receiver(answer) as server:
        validator = NodeProcess(folder, "validator", chain, ["--validator", "--alice", "--no-processor"])
        options = ["--processor", "--allow-destination", server.pair]
        nodes = [NodeProcess(folder, f"processor-{number}", chain, options) for number in range(len(pairs))]
        with ended_with_the_block([validator, *nodes]):
            validator.start()
            for node, pair in zip(nodes, pairs, strict=True):
                node.options += ["--bootnodes", validator.address]
                node.give_account(pair)
                node.start()
            addresses = [pair.address for pair in pairs]
            processors = dict(zip(addresses, nodes, strict=True))
            scene = Scene(folder, validator, processors, server, gates, Command(folder / "home"))
            wait_for(scene.have_prekeys, 5 * START_S, "one-time keys of both processors")
            try:
                yield scene
            finally:
                for gate in gates.values():
                    gate.opened.set()


@contextmanager
def serving(scene: Scene, job: str) -> Iterator[subprocess.Popen[str]]:
    """`heddle job serve-secrets --follow`, which ends with the job."""
    command = [str(HEDDLE), "job", "serve-secrets", job, "--follow", "--json", "--suri", OWNER]
    environment = {**os.environ, "HEDDLE_HOME": str(scene.owner.home), "HEDDLE_URL": scene.validator.http_url}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def migrate(scene: Scene, job: str, gate: Gate) -> None:
    """Kill the job's holder in the middle of its run: the other one gets the key and finishes the job."""
    assert gate.arrived.wait(DEADLINE_S), f"job {job} asks the receiver"
    killed = scene.holder(job)
    scene.processors[killed].kill()
    gate.opened.set()
    wait_for(lambda: scene.state(job) == "done", DEADLINE_S, f"the end of job {job}")
    assert scene.owner.run("job", "result", job, HEDDLE_URL=scene.validator.http_url).stdout.strip() == RIGHT
    told = scene.json("job", "timeline", job)
    attempts = told["attempts"]
    assert [(one["processor"], one["state"]) for one in attempts[:1]] == [(killed, "failed, tried again")]
    assert attempts[0]["reason"]
    assert attempts[-1]["state"] == "accepted"
    finished = str(attempts[-1]["processor"])
    assert {killed, finished} == set(scene.processors)
    sealed = [one["fields"]["processor_address"] for one in told["events"] if one["event"] == "SecretsSealed"]
    assert sealed == [killed, finished]
    scene.processors[killed].start()


def found_in(folder: Path, text: str) -> list[Path]:
    """The files and databases below a folder that hold a text. LevelDB compresses: its entries are read as well."""
    sought = text.encode()
    found = [path for path in folder.rglob("*") if path.is_file() and sought in path.read_bytes()]
    databases = {path.parent for path in folder.rglob("CURRENT")}
    return found + [path for path in sorted(databases) if _holds(path, sought)]


def _holds(folder: Path, sought: bytes) -> bool:
    database = LevelDatabase(folder)
    try:
        return any(sought in key or sought in value for key, value in database.iterate(b""))
    finally:
        database.close()


@pytest.mark.deadline(3 * DEADLINE_S)
def test_secrets_go_to_the_next_processor_when_their_holder_is_killed(scene: Scene) -> None:
    """It gets the next copy and delivers the right result; no file of any node or of the owner holds the value."""
    migrate(scene, scene.submit("prekeys"), scene.gates["/prekeys"])
    served = scene.submit("served")
    with serving(scene, served) as process:
        migrate(scene, served, scene.gates["/served"])
        told, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert [one["slot"] for one in json.loads(told)["sealed"]] == [0, 0]
    shown = scene.owner.run("job", "logs", served, HEDDLE_URL=scene.validator.http_url).stdout
    assert "the token is {{secret:TOKEN}}" in shown
    nodes = [scene.validator, *scene.processors.values()]
    for node in nodes:
        node.kill()
    results = found_in(scene.folder, RIGHT)
    assert all(any(path.is_relative_to(node.base_path) for path in results) for node in nodes), "the search finds"
    assert found_in(scene.folder, VALUE) == []
