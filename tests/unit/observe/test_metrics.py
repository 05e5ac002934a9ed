"""Metrics: the names dashboards ask for, on the Prometheus port, with a bounded number of series."""

from pathlib import Path

import httpx
import pytest
import trio
import trio.testing

from node.job_counting import JobCounting
from node.metrics import FAILURE_REASONS, Metrics, label_of
from node.rpc.server import ServerConfig
from pallets.jobs.failure import Failure, OutOfResources, Resource, ScriptInvalid
from pallets.jobs.records import JobState
from tests.helpers.processor_lab import ProcessorLab
from tests.helpers.rpc_server import Running, running

NAMES = [
    'block_height{status="best"}',
    "number_leaves",
    "ready_transactions_number",
    "sub_txpool_submitted_transactions",
    "sub_txpool_validations_scheduled",
    "sub_txpool_validations_finished",
    "sub_txpool_block_transactions_pruned",
    "sub_libp2p_peers_count",
    "sub_libp2p_is_major_syncing",
    'sub_libp2p_network_bytes_total{direction="in"}',
    "sync_peers",
    "sync_queued_blocks",
    "finality_grandpa_round",
    "finality_grandpa_prevotes_total",
    "finality_grandpa_precommits_total",
    "proposer_block_constructed_count",
    "proposer_number_of_transactions",
    "block_verification_and_import_time_count",
    'rpc_calls_time_count{method="echo"}',
    'rpc_calls_started{method="echo"}',
    'rpc_calls_finished{is_error="false",method="echo"}',
    "rpc_sessions_opened",
    'build_info{chain="dev",name="alice",version="0.1.0"}',
    "node_roles",
    "process_start_time_seconds",
]


def make() -> Metrics:
    """Metrics with each label used once."""
    metrics = Metrics(name="alice", version="0.1.0", chain="dev", authority=True, start_time=5.0)
    metrics.set_heads(7, 5)
    metrics.network_bytes.labels(direction="in").inc(10)
    metrics.call_started("echo")
    metrics.call_finished("echo", 0.001, True)
    return metrics


def samples(text: str) -> dict[str, float]:
    """Sample with labels -> value."""
    rows = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}


def test_every_name_of_a_substrate_node() -> None:
    """All names that Substrate's dashboards use are there, exactly so, and nothing is called _created."""
    found = samples(make().render().decode())
    assert [name for name in NAMES if f"substrate_{name}" not in found] == []
    assert not any("_created" in name for name in found)
    assert found['substrate_block_height{status="sync_target"}'] == 7
    assert found["substrate_node_roles"] == 4


def test_two_nodes_in_one_process() -> None:
    """Each node has a registry of its own: a second one does not clash and does not count for the first."""
    first, second = make(), make()
    first.session_opened()
    assert samples(first.render().decode())["substrate_rpc_sessions_opened"] == 1
    assert samples(second.render().decode())["substrate_rpc_sessions_opened"] == 0


def test_job_metrics() -> None:
    """Jobs by state and failures by reason; each known reason starts at zero, so that a rise is seen."""
    metrics = make()
    metrics.set_jobs({"open": 3})
    metrics.execution("running")
    metrics.failure("out_of_memory")
    metrics.ran("wasm", 0.2)
    metrics.delivery("webhook", "delivered")
    found = samples(metrics.render().decode())
    assert found['heddle_jobs{state="open"}'] == 3
    assert found['heddle_jobs{state="assigned"}'] == 0
    assert found['heddle_executions_total{state="running"}'] == 1
    assert found['heddle_execution_failures_total{reason="out_of_memory"}'] == 1
    assert found['heddle_execution_failures_total{reason="node_lost"}'] == 0
    assert found['heddle_execution_seconds_count{runtime="wasm"}'] == 1
    assert found['heddle_deliveries_total{destination="webhook",outcome="delivered"}'] == 1


def test_unknown_labels_are_one_series() -> None:
    """A thousand invented reasons, states and runtimes make one series each, not thousands."""
    metrics = make()
    before = len(samples(metrics.render().decode()))
    for number in range(1000):
        metrics.failure(f"reason {number}")
        metrics.execution(f"state {number}")
    found = samples(metrics.render().decode())
    assert len(found) == before + 2
    assert found['heddle_execution_failures_total{reason="other"}'] == 1000


def test_prometheus_port() -> None:
    """GET /metrics answers on its own port; other paths, methods and rebound names do not."""

    async def main() -> None:
        metrics = make()
        async with trio.open_nursery() as nursery:
            port = await nursery.start(metrics.server(ServerConfig(port=0)).run)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                answer = await client.get("/metrics")
                assert answer.status_code == 200
                assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
                assert samples(answer.text)["substrate_process_start_time_seconds"] == 5
                assert (await client.get("/")).status_code == 404
                assert (await client.post("/metrics", content=b"x")).status_code == 405
                assert (await client.get("/metrics", headers={"Host": "evil.example"})).status_code == 403
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_the_rpc_server_counts_registered_names_only() -> None:
    """Calls of unknown methods make no series; known ones are counted with their outcome."""

    async def main() -> None:
        async with running() as server:
            await count(server)

    async def count(server: Running) -> None:
        metrics = Metrics(name="a", version="1", chain="dev", authority=False)
        server.server.dispatcher.observer = metrics
        for number in range(50):
            await server.call(f"unknown{number}")
        await server.call("echo", ["x"])
        await server.call("refuses")
        found = samples(metrics.render().decode())
        assert found['substrate_rpc_calls_finished{is_error="false",method="echo"}'] == 1
        assert found['substrate_rpc_calls_finished{is_error="true",method="refuses"}'] == 1
        assert not any("unknown" in name for name in found)

    trio.run(main)


def test_every_failure_has_a_label_of_its_own() -> None:
    """Each class of failure, and each resource that can run out, is a known reason: none counts as other."""
    assert len(set(FAILURE_REASONS)) == len(Failure.__variants__) - 1 + len(Resource)
    assert label_of(ScriptInvalid()) == "script_invalid"
    assert all(label_of(OutOfResources(resource)) in FAILURE_REASONS for resource in Resource)


def test_final_blocks_are_counted_once(tmp_path: Path) -> None:
    """A whole job: its execution's states, the money of its deposit, and nothing twice."""

    async def run() -> None:
        lab = ProcessorLab(tmp_path)
        lab.runs.gate.set()
        metrics = make()
        lab.executor.ran = metrics.ran
        async with lab.working() as nursery:
            nursery.start_soon(JobCounting(lab.chain, metrics).run)
            await lab.look_around(nursery)
            await lab.blocks_until(nursery, lab.advertised)
            lab.register(lab.spec())
            await lab.blocks_until(nursery, lambda: lab.runs.started)
            await lab.blocks_until(nursery, lambda: lab.state() is JobState.DONE)
            await lab.block(nursery)
            await trio.testing.wait_all_tasks_blocked()
            ledger = lab.look().escrow.ledgers.get(0)
        found = samples(metrics.render().decode())
        for state in ("scheduled", "running", "reported", "accepted"):
            assert found[f'heddle_executions_total{{state="{state}"}}'] == 1
        assert found['heddle_execution_seconds_count{runtime="wasm"}'] == 1
        moved = {
            "deposited": ledger.deposited,
            "paid": ledger.paid,
            "burned": ledger.fees,
            "refunded": ledger.refunded,
        }
        for kind, planck in moved.items():
            assert found[f'heddle_escrow_moved_total{{kind="{kind}"}}'] == pytest.approx(planck / 10**12)

    trio.run(run)
