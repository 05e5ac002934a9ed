"""Measuring: the node's own figures into its metrics, every few seconds.

Parts count for themselves in plain integers; here the difference since the last look goes into Prometheus counters.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import trio

from node.metrics import Metrics
from node.network.tcp_stream import Traffic
from node.node import Node
from pallets.jobs.queries import recent_jobs
from pallets.jobs.records import Job, JobState, JobSucceeded

INTERVAL_S = 5
JOBS_COUNTED_MAX = 1000


class Wire(Protocol):
    """What is measured of the network."""

    traffic: Traffic


class Measuring:
    """Fills the metrics of one node."""

    def __init__(self, node: Node, wire: Wire, metrics: Metrics) -> None:
        self.node = node
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
        metrics.number_leaves.set(len(node.chain.store.leaves()))
        metrics.ready_transactions.set(node.transactions.pool.ready.count)
        metrics.grandpa_round.set(node.finality.round_number)
        metrics.grandpa_prevotes.inc(self._since("prevotes", node.finality.prevotes_cast))
        metrics.grandpa_precommits.inc(self._since("precommits", node.finality.precommits_cast))
        metrics.network_bytes.labels(direction="in").inc(self._since("in", self.wire.traffic.bytes_in))
        metrics.network_bytes.labels(direction="out").inc(self._since("out", self.wire.traffic.bytes_out))
        metrics.blob_bytes.set(node.blobs.store.total_bytes)
        metrics.set_jobs(self._jobs())

    def _since(self, name: str, now: int) -> int:
        """How much a count rose since the last look."""
        before = self._last.get(name, 0)
        self._last[name] = now
        return max(now - before, 0)

    def _jobs(self) -> dict[str, int]:
        """The latest jobs by state, at the best block."""
        jobs = self.node.chain.at(self.node.chain.best.hash).jobs
        return dict(Counter(_state(jobs.jobs.get(number)) for number in recent_jobs(jobs, JOBS_COUNTED_MAX)))


def _state(job: Job) -> str:
    """The metric's label: an ended job counts by how it ended."""
    if job.state is JobState.DONE:
        return "succeeded" if isinstance(job.end, JobSucceeded) else "failed"
    return job.state.name.lower()
