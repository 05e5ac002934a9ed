"""What an owner does with a registered job, and all templates, against one `heddle node --dev` that the tests share."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.job_template import templates
from tests.helpers.dev_node import dev_node
from tests.helpers.heddle_command import Heddle
from tests.helpers.http_receiver import Receiver, Reply, Seen, receiver
from tests.helpers.job_folders import job_folder
from tests.helpers.waiting import wait_for

DEADLINE_S = 90
DEV_PROCESSOR = "//Alice//processor"
MEMORY_BYTES = 268_435_456
"""Of a job made from a template: with as much offered the processor has room for one at a time."""
OWNER_ACCEPTS = '[verification]\nmode = "owner-accept"\n[processors]\nchoice = "known"\naccounts = ["{account}"]'
ENDLESS = "def main(heddle):\n    while True:\n        pass\n"
EARLIEST_EDIT_MS = 600_000
NATIVE = ("native-python",)
"""Templates that need a processor started with --offer-native, and their interpreter on the machine."""


@dataclass(frozen=True)
class Owner:
    """A person at a terminal, the node, and somebody who answers HTTP requests."""

    heddle: Heddle
    url: str
    http: Receiver

    def json(self, *arguments: str) -> Any:
        return self.heddle.json(*arguments, HEDDLE_URL=self.url)

    def error(self, *arguments: str) -> tuple[int, dict[str, str]]:
        return self.heddle.error(*arguments, HEDDLE_URL=self.url)

    def submit(self, folder: Path) -> str:
        """The number of the job that the folder became."""
        return str(self.json("job", "submit", str(folder))["job"])

    def events(self, job: str, kind: str) -> list[Any]:
        """What the events of a kind say of a job."""
        told = self.json("job", "timeline", job)["events"]
        return [event["fields"] for event in told if event["event"] == kind]

    def until(self, job: str, *states: str) -> Any:
        """The job's view, once its first execution is in one of these states."""

        def reached() -> Any:
            view = self.json("job", "show", job)
            return view if any(one["state"] in states for one in view["executions"]) else None

        return wait_for(reached, DEADLINE_S, f"an execution of job {job} that is {' or '.join(states)}")

    def until_ended(self, job: str) -> Any:
        """The job's view, once it has ended."""

        def ended() -> Any:
            view = self.json("job", "show", job)
            return view if view["job"]["end"] is not None else None

        return wait_for(ended, DEADLINE_S, f"the end of job {job}")


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    """Someone whose development node lets jobs reach one HTTP server on this machine."""
    folder = tmp_path_factory.mktemp("owner")

    def answer(_request: Seen, _before: int) -> Reply:
        return Reply(body=b'{"data": {"amount": "101.5"}}')

    with receiver(answer) as http, dev_node(folder, "--allow-destination", http.pair) as node:
        person = Owner(Heddle(folder / "home"), node.http_url, http)

        def advertised() -> bool:
            return any(one["advert"] and one["units"] for one in person.json("processor", "status")["processors"])

        wait_for(advertised, DEADLINE_S, "the development processor's advert")
        yield person


def waiting_for_its_owner(owner: Owner, folder: Path) -> str:
    """A job whose result is reported and waits for its owner's word."""
    account = owner.json("processor", "status", DEV_PROCESSOR)["processor_address"]
    job = owner.submit(job_folder(folder, "javascript", extra=OWNER_ACCEPTS.format(account=account)))
    owner.until(job, "reported")
    return job


@pytest.mark.deadline(2 * DEADLINE_S)
def test_an_owner_accepts_a_result(owner: Owner, tmp_path: Path) -> None:
    """`accept` ends the window at once: the processor is paid, and nothing is left to be judged."""
    job = waiting_for_its_owner(owner, tmp_path / "job")
    assert owner.error("job", "accept", job, "--suri", "//Bob")[0] == 4
    owner.json("job", "accept", job)
    ended = owner.until_ended(job)
    assert (ended["job"]["end"], ended["executions"][0]["state"]) == ("JobSucceeded", "accepted")
    assert ended["ledger"]["paid"] > 0
    assert owner.error("job", "reject", job, "--yes")[0] == 4


@pytest.mark.deadline(2 * DEADLINE_S)
def test_an_owner_rejects_a_result_of_a_known_processor(owner: Owner, tmp_path: Path) -> None:
    """`reject` is asked back, then the result counts for nothing and the processor gets nothing for it."""
    job = waiting_for_its_owner(owner, tmp_path / "job")
    assert "--yes" in owner.error("job", "reject", job)[1]["hint"]
    owner.json("job", "reject", job, "--yes")
    ended = owner.until_ended(job)
    assert ended["executions"][0]["state"] == "rejected"
    assert ended["ledger"]["paid"] == 0


@pytest.mark.deadline(2 * DEADLINE_S)
def test_an_editor_replaces_a_script_and_gives_the_editing_away(owner: Owner, tmp_path: Path) -> None:
    """Only the present editor edits; whoever gave it away edits no more; the owner is not asked."""
    editor = owner.json("wallet", "balance", "//Bob")["address"]
    start_ms = time.time_ns() // 10**6 + 2 * EARLIEST_EDIT_MS
    extra = f"[schedule]\nstart_ms = {start_ms}"
    job = owner.submit(job_folder(tmp_path / "job", "wasm", top=f'editor = "{editor}"', extra=extra))
    script = tmp_path / "job" / "main.wat"
    before = owner.json("job", "show", job)
    script.write_text(script.read_text() + "\n;; edited\n(; and again ;)\n")
    assert owner.error("job", "edit-script", job, str(script))[0] == 4
    edited = owner.json("job", "edit-script", job, str(script), "--suri", "//Bob")
    assert edited["did"] == "edit_script"
    assert "--yes" in owner.error("job", "transfer-editor", job, "//Charlie", "--suri", "//Bob")[1]["hint"]
    owner.json("job", "transfer-editor", job, "//Charlie", "--suri", "//Bob", "--yes")
    assert owner.error("job", "edit-script", job, str(script), "--suri", "//Bob")[0] == 4
    assert owner.json("job", "edit-script", job, str(script), "--suri", "//Charlie", "--dry-run")["ok"]
    (edit,) = owner.events(job, "ScriptEdited")
    # A comment is nothing in the binary form: the text was assembled, and it is the script that the job began with.
    assert edit["script"] == before["spec"]["script"]
    owner.json("job", "cancel", job)


@pytest.mark.deadline(3 * DEADLINE_S)
def test_an_urgent_job_takes_a_processor(owner: Owner, tmp_path: Path) -> None:
    """`preempt` moves the only processor from a preemptible job to an urgent one, which then runs to its end."""
    whole = owner.json("processor", "status", DEV_PROCESSOR)["advert"]["capacity"]["memory_bytes"]
    owner.json("processor", "advertise", "--memory-bytes", str(MEMORY_BYTES))
    try:
        # So long a run has its price: nobody takes it for the template's reward.
        lasting = {"duration_ms": "600_000", "resources__fuel": "400_000_000_000", "reward": '"100"'}
        patient = job_folder(tmp_path / "patient", extra="[queue]\npreemptible = true", **lasting)
        (patient / "main.py").write_text(ENDLESS)
        victim = owner.submit(patient)
        owner.until(victim, "running")
        urgent = owner.submit(job_folder(tmp_path / "urgent", extra="[queue]\npriority = 20"))
        equal = owner.submit(job_folder(tmp_path / "equal"))
        assert owner.error("job", "preempt", equal, "--from", victim, "--yes")[0] == 4
        owner.json("job", "cancel", equal)
        assert "--yes" in owner.error("job", "preempt", urgent, "--from", victim)[1]["hint"]
        owner.json("job", "preempt", urgent, "--from", victim, "--yes")
        owner.json("job", "cancel", victim)
        assert owner.until_ended(urgent)["job"]["end"] == "JobSucceeded"
        assert [event["victim"] for event in owner.events(urgent, "JobPreempted")] == [int(victim)]
    finally:
        owner.json("processor", "advertise", "--memory-bytes", str(whole))


def settings_of(owner: Owner, template: str) -> dict[str, str]:
    """What a template needs where there is one processor, and no internet."""
    if template == "verified-quorum":
        return {"replicas": "1", "agreeing": "1"}
    if template == "webhook-bridge":
        return {"receiver": owner.http.url("/heddle")}
    if template == "price-oracle":
        return {"host": owner.http.pair, "address": owner.http.url("/price"), "executions": "1"}
    return {}


@pytest.mark.deadline(4 * DEADLINE_S)
def test_every_template_runs_as_it_is(owner: Owner, tmp_path: Path) -> None:
    """A folder of each template, submitted as `job init` wrote it, succeeds and leaves a result for each execution."""
    jobs = {}
    for template in sorted({one.name for one in templates()} - set(NATIVE)):
        folder = str(tmp_path / template)
        settings = [f"--set={name}={value}" for name, value in settings_of(owner, template).items()]
        owner.json("job", "init", folder, "--template", template, *settings)
        jobs[template] = owner.submit(Path(folder))
    ends = {template: owner.until_ended(job)["job"]["end"] for template, job in jobs.items()}
    assert ends == dict.fromkeys(jobs, "JobSucceeded")
    price = owner.json("job", "result", jobs["price-oracle"], "--output", str(tmp_path / "price.json"))
    assert price["bytes"] > 0
    assert json.loads((tmp_path / "price.json").read_text())["price"] == "101.5"
    assert [one.path for one in owner.http.seen if one.method == "POST"] == ["/heddle"]
