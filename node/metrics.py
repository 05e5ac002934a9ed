"""Metrics: what Prometheus is told. Names and labels of a Substrate node where it has one, `heddle_` for jobs.

Every label takes its values from a fixed set - a registered method, a state, a reason - so that no client or peer can
grow the number of series. Substrate names some counters without `_total`; prometheus-client would append it, so those
are a `Tally`, exposed under exactly the name that dashboards ask for.
"""

import re
import time
from collections.abc import Iterable

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from node.rpc.http import HttpRequest, HttpResponse
from node.rpc.server import GetServer, ServerConfig
from pallets.jobs.failure import Failure, OutOfResources, Resource
from pallets.jobs.records import ExecutionState
from pallets.jobs.types import RuntimeKind
from pallets.matching.types import Reason

PROMETHEUS_PORT = 9615
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"
"""The label of a value outside its set: a mistake shows as a series, never as thousands."""


def snake(name: str) -> str:
    """A class's name as a label: `AppError` is `app_error`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def label_of(failure: Failure) -> str:
    """A failure's label: its class, or the resource that it ran out of."""
    if isinstance(failure, OutOfResources):
        return f"out_of_{failure.resource.name.lower()}"
    return snake(type(failure).__name__)


ROLE_FULL = 1
ROLE_AUTHORITY = 4

JOB_STATES = (
    "waiting", "open", "matched", "assigned", "succeeded", "failed", "cancelled", "expired", "skipped", "omitted",
)  # fmt: skip
EXECUTION_STATES = tuple(state.name.lower() for state in ExecutionState)
RESOURCES = tuple(f"out_of_{resource.name.lower()}" for resource in Resource)
FAILURE_REASONS = (
    *(snake(name) for name, _ in Failure.__variants__.values() if name != OutOfResources.__name__),
    *RESOURCES,
)
REJECTIONS = tuple(reason.name.lower() for reason in Reason)
RUNTIMES = tuple(kind.name.lower() for kind in RuntimeKind)
MONEY = ("deposited", "paid", "burned", "refunded", "fined")
DESTINATIONS = ("chain", "webhook")
DELIVERY_OUTCOMES = ("delivered", "retried", "refused", "given_up")

BLOCK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
CALL_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
EXECUTION_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600)


class Tally(Gauge):
    """A counter whose exposed name is exactly the one given."""


class Metrics:
    """All metrics of one node, in a registry of its own. Attributes are the instruments; methods use several."""

    def __init__(
        self, *, name: str, version: str, chain: str, authority: bool, start_time: float | None = None
    ) -> None:
        # The library leaves this function without types.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._chain_metrics()
        self._network_metrics()
        self._rpc_metrics()
        self._job_metrics()
        info = self._gauge("substrate_build_info", "What runs, always 1", ["name", "version", "chain"])
        info.labels(name=name[:64], version=version[:64], chain=chain[:64]).set(1)
        roles = self._gauge("substrate_node_roles", "Bits of the roles: 1 full, 4 authority")
        roles.set(ROLE_AUTHORITY if authority else ROLE_FULL)
        started = self._gauge("substrate_process_start_time_seconds", "When the process started, seconds since 1970")
        started.set(time.time() if start_time is None else start_time)

    def set_heads(self, best: int, finalized: int, sync_target: int | None = None) -> None:
        """The heights of the node; the sync target is the best height if it is not behind."""
        self.block_height.labels(status="best").set(best)
        self.block_height.labels(status="finalized").set(finalized)
        self.block_height.labels(status="sync_target").set(best if sync_target is None else sync_target)
        self.is_major_syncing.set(0 if sync_target is None else 1)

    def set_jobs(self, counts: dict[str, int]) -> None:
        """How many jobs are in each state; a state that is left out has none."""
        for state in JOB_STATES:
            self.jobs.labels(state=state).set(counts.get(state, 0))

    def execution(self, state: str) -> None:
        """One execution has entered `state`."""
        self.executions.labels(state=known(state, EXECUTION_STATES)).inc()

    def failure(self, reason: str) -> None:
        """One execution has failed for `reason`."""
        self.execution_failures.labels(reason=known(reason, FAILURE_REASONS)).inc()

    def slot_vacated(self, reason: str) -> None:
        """One processor is off its slot for `reason`."""
        self.slots_vacated.labels(reason=known(reason, FAILURE_REASONS)).inc()

    def rejection(self, reason: str) -> None:
        """One proposed processor could not have its slot for `reason`."""
        self.rejections.labels(reason=known(reason, REJECTIONS)).inc()

    def money(self, kind: str, tokens: float) -> None:
        """So much of the jobs' deposits has moved."""
        self.escrow_moved.labels(kind=known(kind, MONEY)).inc(tokens)

    def authored(self, seconds: float, transactions: int) -> None:
        """One block was made here."""
        self.proposer_seconds.observe(seconds)
        self.proposer_transactions.set(transactions)

    def ran(self, runtime: str, seconds: float) -> None:
        """One execution ran for that long."""
        self.execution_seconds.labels(runtime=known(runtime, RUNTIMES)).observe(seconds)

    def delivery(self, destination: str, outcome: str) -> None:
        """One attempt to deliver a result."""
        kind, result = known(destination, DESTINATIONS), known(outcome, DELIVERY_OUTCOMES)
        self.deliveries.labels(destination=kind, outcome=result).inc()

    def call_started(self, method: str) -> None:
        """The RPC server's observer: `method` is a registered name."""
        self.rpc_calls_started.labels(method=method).inc()

    def call_finished(self, method: str, seconds: float, ok: bool) -> None:
        """The RPC server's observer."""
        self.rpc_calls_finished.labels(method=method, is_error=str(not ok).lower()).inc()
        self.rpc_calls_time.labels(method=method).observe(seconds)

    def session_opened(self) -> None:
        """The RPC server's observer: a WebSocket connection."""
        self.rpc_sessions_opened.inc()

    def session_closed(self) -> None:
        """The RPC server's observer."""
        self.rpc_sessions_closed.inc()

    def render(self) -> bytes:
        """All metrics as text."""
        return bytes(prometheus_client.generate_latest(self.registry))

    def server(self, config: ServerConfig | None = None) -> GetServer:
        """The Prometheus port: GET /metrics."""

        async def metrics(_request: HttpRequest) -> HttpResponse:
            return HttpResponse(200, self.render(), CONTENT_TYPE)

        return GetServer({"/metrics": metrics}, config or ServerConfig(port=PROMETHEUS_PORT))

    def _chain_metrics(self) -> None:
        self.block_height = self._gauge("substrate_block_height", "Height by status", ["status"])
        self.number_leaves = self._gauge("substrate_number_leaves", "Leaves of the block tree above finality")
        self.ready_transactions = self._gauge("substrate_ready_transactions_number", "Ready transactions in the pool")
        self.pool_submitted = self._tally("substrate_sub_txpool_submitted_transactions", "Transactions submitted")
        self.pool_scheduled = self._tally("substrate_sub_txpool_validations_scheduled", "Validations begun")
        self.pool_finished = self._tally("substrate_sub_txpool_validations_finished", "Validations ended")
        self.pool_pruned = self._tally(
            "substrate_sub_txpool_block_transactions_pruned", "Transactions pruned because a block has them"
        )
        self.grandpa_round = self._gauge("substrate_finality_grandpa_round", "Highest completed round")
        self.grandpa_prevotes = self._counter("substrate_finality_grandpa_prevotes_total", "Prevotes cast by this node")
        self.grandpa_precommits = self._counter(
            "substrate_finality_grandpa_precommits_total", "Precommits cast by this node"
        )
        self.proposer_transactions = self._gauge(
            "substrate_proposer_number_of_transactions", "Transactions in the last own block"
        )
        self.proposer_seconds = self._histogram(
            "substrate_proposer_block_constructed", "Seconds to build a block", BLOCK_SECONDS
        )
        self.import_seconds = self._histogram(
            "substrate_block_verification_and_import_time", "Seconds to verify and import a block", BLOCK_SECONDS
        )

    def _network_metrics(self) -> None:
        self.peers = self._gauge("substrate_sub_libp2p_peers_count", "Connected peers")
        self.is_major_syncing = self._gauge("substrate_sub_libp2p_is_major_syncing", "1 if far behind")
        self.network_bytes = self._counter(
            "substrate_sub_libp2p_network_bytes_total", "Bytes by direction", ["direction"]
        )
        self.sync_peers = self._gauge("substrate_sync_peers", "Peers that blocks are fetched from")
        self.sync_queued_blocks = self._gauge("substrate_sync_queued_blocks", "Blocks waiting for import")

    def _rpc_metrics(self) -> None:
        self.rpc_calls_started = self._tally("substrate_rpc_calls_started", "RPC calls begun", ["method"])
        self.rpc_calls_finished = self._tally("substrate_rpc_calls_finished", "RPC calls ended", ["method", "is_error"])
        self.rpc_calls_time = self._histogram("substrate_rpc_calls_time", "Seconds of a call", CALL_SECONDS, ["method"])
        self.rpc_sessions_opened = self._tally("substrate_rpc_sessions_opened", "WebSocket connections opened")
        self.rpc_sessions_closed = self._tally("substrate_rpc_sessions_closed", "WebSocket connections closed")

    def _job_metrics(self) -> None:
        self.jobs = self._gauge("heddle_jobs", "Jobs by state, at the best block", ["state"])
        self.executions = self._counter("heddle_executions_total", "Executions that entered a state", ["state"])
        self.execution_failures = self._counter("heddle_execution_failures_total", "Failed executions", ["reason"])
        self.slots_vacated = self._counter("heddle_slots_vacated_total", "Processors off their slots", ["reason"])
        self.rejections = self._counter("heddle_rejections_total", "Proposed processors turned down", ["reason"])
        self.escrow_moved = self._counter("heddle_escrow_moved_total", "HDL of deposits that moved", ["kind"])
        self.escrow_held = self._gauge("heddle_escrow_held", "HDL held for the latest jobs, at the best block")
        self.open_jobs = self._gauge("heddle_open_jobs", "Jobs with a vacant slot, at the best block")
        self.execution_seconds = self._histogram(
            "heddle_execution_seconds", "Seconds of an execution", EXECUTION_SECONDS, ["runtime"]
        )
        self.executions_running = self._gauge("heddle_executions_running", "Executions at work on this processor")
        self.workers = self._gauge("heddle_workers", "Executions that this processor can run at a time")
        self.deliveries = self._counter("heddle_deliveries_total", "Deliveries of results", ["destination", "outcome"])
        self.blob_bytes = self._gauge("heddle_blob_bytes", "Bytes in the blob store")
        for state in JOB_STATES:
            self.jobs.labels(state=state).set(0)
        for reason in FAILURE_REASONS:
            self.execution_failures.labels(reason=reason)
        for reason in REJECTIONS:
            self.rejections.labels(reason=reason)

    def _gauge(self, name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(name, text, list(labels), registry=self.registry)

    def _tally(self, name: str, text: str, labels: Iterable[str] = ()) -> Tally:
        return Tally(name, text, list(labels), registry=self.registry)

    def _counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(name, text, list(labels), registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Iterable[float], labels: Iterable[str] = ()) -> Histogram:
        return Histogram(name, text, list(labels), registry=self.registry, buckets=tuple(buckets))


def known(value: str, allowed: Iterable[str]) -> str:
    """`value` if it is one of `allowed`, else OTHER."""
    return value if value in allowed else OTHER
