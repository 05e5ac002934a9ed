"""Counting jobs: what the events of final blocks tell, into the metrics; each block once, whatever forks there were.

A block's events are decoded once, and only if somebody looks at the metrics. A node that was away counts from where it
comes back: counters are of this process, as Prometheus has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from node.chain import Chain
from node.events import Finalised
from node.metrics import Metrics, label_of
from node.store.errors import UnknownBlock
from pallets.balances import UNIT
from pallets.escrow.events import Deposited, FeeBurned, Fined, Paid, Refunded
from pallets.jobs import events
from pallets.jobs.failure import NodeLost, RunTimeout
from pallets.matching.pallet import PlacementRejected

EXECUTION_STATES: dict[type, str] = {
    events.ExecutionScheduled: "scheduled",
    events.ExecutionStarted: "running",
    events.ExecutionSuspected: "suspect",
    events.ExecutionCommitted: "committed",
    events.ExecutionReported: "reported",
    events.ExecutionDisputed: "disputed",
    events.ExecutionAccepted: "accepted",
    events.ExecutionRejected: "rejected",
    events.ExecutionCancelled: "cancelled",
}
MONEY: dict[type, str] = {
    Deposited: "deposited",
    Paid: "paid",
    FeeBurned: "burned",
    Refunded: "refunded",
    Fined: "fined",
}
LOST_STATES: dict[type, str] = {NodeLost: "lost", RunTimeout: "timed_out"}
BLOCKS_PER_TURN = 16
"""Blocks counted between two turns of the event loop."""


class JobCounting:
    """Follows finality with a listener of its own."""

    def __init__(self, chain: Chain, metrics: Metrics) -> None:
        self.chain = chain
        self.metrics = metrics
        self._codec = chain.new_runtime().system.events_value.codec
        count: dict[type, Callable[[Any], None]] = dict.fromkeys(EXECUTION_STATES, self._on_execution)
        count |= dict.fromkeys(MONEY, self._on_money)
        count |= {
            events.AttemptFailed: self._on_failed,
            events.SlotVacated: lambda event: metrics.slot_vacated(label_of(event.reason)),
            PlacementRejected: lambda event: metrics.rejection(event.reason.name.lower()),
        }
        self._count = count

    async def run(self) -> None:
        """Count for ever."""
        while True:
            with self.chain.events.listen() as told:
                async for event in told:
                    if isinstance(event, Finalised):
                        await self.on_final(event)

    async def on_final(self, event: Finalised) -> None:
        """Count the blocks that have just become final."""
        for number, head in enumerate(event.heads, 1):
            try:
                raw = self.chain.store.events(head.hash)
            except UnknownBlock:
                continue  # pruned meanwhile
            for record in () if raw is None else self._codec.decode(raw):
                count = self._count.get(type(record.event))
                if count is not None:
                    count(record.event)
            if number % BLOCKS_PER_TURN == 0:
                await trio.lowlevel.checkpoint()

    def _on_execution(self, event: Any) -> None:
        self.metrics.execution(EXECUTION_STATES[type(event)])

    def _on_money(self, event: Any) -> None:
        self.metrics.money(MONEY[type(event)], event.amount / UNIT)

    def _on_failed(self, event: events.AttemptFailed) -> None:
        self.metrics.failure(label_of(event.failure))
        if event.final:
            self.metrics.execution(LOST_STATES.get(type(event.failure), "failed"))
