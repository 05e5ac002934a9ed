"""Hostile jobs through the chain: each kind in each language ends in its typed reason, and the processor lives on."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.keys.pair import dev_pair
from pallets.jobs.types import Capabilities, JobSpec, RuntimeKind
from runtime.chain_spec import DEV_SLOT_MS
from tests.helpers.dev_node import DevNode, dev_node
from tests.helpers.http_receiver import Receiver, Reply, Seen, receiver
from tests.helpers.job_client import JobClient
from tests.helpers.waiting import wait_for

HOSTILE = Path(__file__).parent / "hostile"
KINDS: dict[str, dict[str, Any]] = tomllib.loads((HOSTILE / "hostile.toml").read_text())
LANGUAGES = {
    "wasm": (RuntimeKind.WASM, "wat"),
    "javascript": (RuntimeKind.JAVASCRIPT, "js"),
    "python": (RuntimeKind.PYTHON, "py"),
}
HONEST = {
    "wasm": b"""(module
  (import "heddle" "request" (func $request (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "output")
  (data (i32.const 16) "honest")
  (func (export "_start") (drop (call $request (i32.const 0) (i32.const 6) (i32.const 16) (i32.const 6)))))""",
    "javascript": b"export function main() { return 'honest' }",
    "python": b"def main(heddle):\n    return 'honest'\n",
}
REQUESTS_MAX = 3
DEADLINE_S = 240


@pytest.fixture(scope="module")
def refused() -> Iterator[Receiver]:
    """A server that nobody allowed."""
    with receiver(lambda _request, _count: Reply(body=b"a secret")) as server:
        yield server


@pytest.fixture(scope="module")
def served(refused: Receiver) -> Iterator[Receiver]:
    """The server that the operator allows, which redirects to the one that nobody allowed."""

    def answer(request: Seen, _count: int) -> Reply:
        redirect = {"Location": refused.url()} if request.path == "/redirect" else {}
        return Reply(302 if redirect else 200, redirect, b"served")

    with receiver(answer) as server:
        yield server


@pytest.fixture(scope="module")
def node(served: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevNode]:
    """A development node with its processor, open for work."""
    with dev_node(tmp_path_factory.mktemp("hostile"), "--allow-destination", served.pair) as running:
        yield running


def hostile_job(client: JobClient, language: str, kind: str, texts: dict[str, str]) -> JobSpec:
    """The job of one kind in one language; `texts` are what stands for names in hostile.toml."""
    case, (runtime, extension) = KINDS[kind], LANGUAGES[language]

    def fill(text: str) -> str:
        for name, value in texts.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    hosts = tuple(fill(host) for host in case.get("fetch", ()))
    return client.spec(
        runtime,
        (HOSTILE / language / f"{kind}.{extension}").read_bytes(),
        input=fill(case.get("url", "")).encode(),
        memory_bytes=48 << 20,
        storage_bytes=1 << 20,
        network_requests=REQUESTS_MAX,
        fuel=2_000_000_000,
        capabilities=Capabilities(hosts, (), storage=case.get("storage", False), sign=False),
    )


def shown(failure: str) -> Any:
    """A reason of hostile.toml as RPC shows it."""
    name, _, value = failure.removesuffix(")").partition("(")
    field = {"OutOfResources": "resource", "CapabilityDenied": "name"}.get(name)
    return {name: {field: value}} if field is not None else name


@pytest.mark.deadline(2 * DEADLINE_S)
def test_hostile_jobs_end_in_their_typed_reasons(node: DevNode, served: Receiver, refused: Receiver) -> None:
    """All at once, on one processor; afterwards it does an honest job in each language."""
    client = JobClient(node, dev_pair("Bob"), DEV_SLOT_MS)
    texts = {"served": served.pair, "refused": refused.pair}
    cases = [(language, kind) for kind in KINDS for language in LANGUAGES]
    jobs = client.register(*(hostile_job(client, language, kind, texts) for language, kind in cases))
    wait_for(lambda: client.all_ended(jobs), DEADLINE_S, "all hostile jobs ended")
    for job, (language, kind) in zip(jobs, cases, strict=True):
        view = client.job(job)
        expected = shown(KINDS[kind]["failure"])
        assert view["job"]["end"] == {"JobFailed": {"reason": expected}}, (language, kind, client.story(job))
        (execution,) = client.executions(job)
        assert (execution["state"], execution["attempt"]) == ("failed", 1), (language, kind)
        ledger = view["ledger"]
        assert ledger["paid"] == execution["paid"] == view["slots"][0]["slot"]["ask"] // 10  # the error share
        assert ledger["deposited"] == ledger["paid"] + ledger["fees"] + ledger["refunded"]
    assert refused.seen == []
    assert len(served.seen) == len(LANGUAGES) * (REQUESTS_MAX + 1)  # and the one that was redirected
    honest = client.register(*(client.spec(LANGUAGES[name][0], script) for name, script in HONEST.items()))
    for job in honest:
        view = client.wait_ended(job, DEADLINE_S)
        assert view["job"]["end"] == "JobSucceeded", client.story(job)
        output = client.rpc.result("jobs_result", job)["output"]
        assert output == {"InlineOutput": {"data": "0x" + b"honest".hex()}}
    assert node.process.poll() is None
    client.wait_final(client.height())  # with the invariants of every pallet
