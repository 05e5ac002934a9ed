"""Measuring: the node's own figures into its metrics, every few seconds.

Parts count for themselves in plain integers; here the difference since the last look goes into Prometheus counters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

import trio

from node.metrics import Metrics
from node.network.tcp_stream import Traffic
from node.node import Node
from pallets.balances import UNIT
from pallets.jobs.queries import recent_jobs
from pallets.jobs.records import Job, JobState, JobSucceeded

INTERVAL_S = 5
JOBS_COUNTED_MAX = 1000


class Wire(Protocol):
    """What is measured of the network."""

    traffic: Traffic


class Measuring:
    """Fills the metrics of one node. `running` tells how many executions its processor has at work."""

    def __init__(self, node: Node, wire: Wire, metrics: Metrics, running: Callable[[], int] = lambda: 0) -> None:
        self.node = node
        self.running = running
        self.wire = wire
        self.metrics = metrics
        self._last: dict[str, int] = {}

    async def run(self) -> None:
        """Measure for ever."""
        while True:
            self.look()
            await trio.sleep(INTERVAL_S)

    def look(self) -> None:
        """Take all figures once."""
        node, metrics = self.node, self.metrics
        status = node.status()
        metrics.set_heads(status.best, status.finalized, status.target)
        metrics.peers.set(status.peers)
        metrics.sync_peers.set(len(node.sync.peers))
        metrics.sync_queued_blocks.set(node.sync.queued)
        metrics.number_leaves.set(len(node.chain.store.leaves()))
        metrics.ready_transactions.set(node.transactions.pool.ready.count)
        metrics.grandpa_round.set(node.finality.round_number)
        metrics.grandpa_prevotes.inc(self._since("prevotes", node.finality.prevotes_cast))
        metrics.grandpa_precommits.inc(self._since("precommits", node.finality.precommits_cast))
        metrics.network_bytes.labels(direction="in").inc(self._since("in", self.wire.traffic.bytes_in))
        metrics.network_bytes.labels(direction="out").inc(self._since("out", self.wire.traffic.bytes_out))
        metrics.blob_bytes.set(node.blobs.store.total_bytes)
        pool = node.transactions.pool
        metrics.pool_submitted.inc(self._since("submitted", pool.submitted))
        metrics.pool_scheduled.inc(self._since("scheduled", pool.submitted))
        metrics.pool_finished.inc(self._since("validated", pool.validated))
        metrics.pool_pruned.inc(self._since("pruned", pool.pruned))
        metrics.executions_running.set(self.running())
        self._look_at_jobs()

    def _since(self, name: str, now: int) -> int:
        """How much a count rose since the last look."""
        before = self._last.get(name, 0)
        self._last[name] = now
        return max(now - before, 0)

    def _look_at_jobs(self) -> None:
        """The latest jobs by state and what is held for them, at the best block."""
        jobs = self.node.chain.at(self.node.chain.best.hash).jobs
        latest = recent_jobs(jobs, JOBS_COUNTED_MAX)
        self.metrics.set_jobs(dict(Counter(_state(jobs.jobs.get(number)) for number in latest)))
        held = sum(jobs.escrow.ledgers.get(number).pots.total() for number in latest)
        self.metrics.escrow_held.set(held / UNIT)
        self.metrics.open_jobs.set(jobs.queue.count.get())


def _state(job: Job) -> str:
    """The metric's label: an ended job counts by how it ended."""
    if job.state is JobState.DONE:
        return "succeeded" if isinstance(job.end, JobSucceeded) else "failed"
    return job.state.name.lower()
