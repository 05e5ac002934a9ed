"""A processor in the simulation: the real watcher, executor, matcher, submitter and journal; runs are simulated.

A run takes a drawn time and its output holds a number of its own, so that a run repeated after its outcome was promised
would be seen: the report would differ.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import trio

from node.keys.pair import Pair
from node.node import Node
from node.processor.destinations.sender import DestinationFailed
from node.processor.executor import Executor
from node.processor.journal import Journal
from node.processor.matcher import Matcher
from node.processor.runtimes.outcome import Outcome, Status
from node.processor.runtimes.pool import Fetch, OnBytes, OnProgress, OnText, RuntimePool, Sign
from node.processor.runtimes.spec import RunSpec, check_spec
from node.processor.submitter import Submitter
from node.processor.vault import Vault
from node.processor.watcher import Watcher
from node.store.database import Database
from pallets.jobs.types import RuntimeKind
from pallets.processors.calendar import Capacity
from pallets.processors.types import FREE, Advert
from runtime.hashing import blake2b256
from tests.sim.observer import Observer

WORKERS = 2
RUNTIME_ID = "simulated/1"
RUN_S_MIN = 0.02
RUN_S_MAX = 6.0
DELIVERY_S_MAX = 2.0
ADVERT = Advert(
    runtimes=(RuntimeKind.WASM,),
    capacity=Capacity(memory_bytes=8 << 30, storage_bytes=8 << 30, cores=8),
    requests_max=16,
    modules=(),
    labels=(),
    architecture=None,
    accelerators=(),
    fetch=True,
    storage=True,
    sign=False,
    benchmark=10**6,
    pricing=FREE,
    consumers=(),
    start_delay_min_ms=0,
)


class SimPool(RuntimePool):
    """Runs that only take time."""

    def __init__(self, random: Random, observer: Observer) -> None:
        super().__init__(WORKERS)
        self._random = random
        self._observer = observer

    def runtime_ids(self) -> dict[str, str]:
        return {"wasm": RUNTIME_ID}

    async def run(
        self,
        spec: RunSpec,
        fetch: Fetch | None = None,
        *,
        sign: Sign | None = None,
        on_progress: OnProgress | None = None,
        on_log: OnText | None = None,
        on_checkpoint: OnBytes | None = None,
    ) -> Outcome:
        check_spec(spec)
        # Short ones too: after a crash they end again before the block with their report has come.
        await trio.sleep(self._random.choice((RUN_S_MIN, self._random.uniform(RUN_S_MIN, RUN_S_MAX))))
        number = self._observer.ran(spec.job)
        output = blake2b256(spec.script + spec.input) + number.to_bytes(4, "little")
        tape_hash = blake2b256(b"")
        return Outcome(RUNTIME_ID, Status.SUCCEEDED, output, None, "", 1_000, 4_096, 0, b"", tape_hash, "", True)


class ObservedSubmitter(Submitter):
    """Shows the observer each report before it is sent."""

    def __init__(self, node: Node, pair: Pair, observer: Observer, on_report: Callable[[], None]) -> None:
        super().__init__(node.chain, node.transactions, pair)
        self._observer = observer
        self._on_report = on_report

    def want(self, key: Any, pallet: str, call: str, *arguments: Any) -> bool:
        if call == "report":
            attempt, outcome = arguments[:-1], arguments[-1]
            job = self.transactions.ledger.runtime().jobs.jobs.find(attempt[0])
            if job is not None:
                self._observer.reported(self.account, job.id_hash, attempt[1:], outcome)
        sent = super().want(key, pallet, call, *arguments)
        if sent and call == "report":
            self._on_report()
        return sent


class SimProcessor:
    """One processor on a node, as `ProcessorService` puts it together. `on_report` hears of each report sent."""

    def __init__(
        self,
        node: Node,
        pair: Pair,
        journal: Database,
        random: Random,
        observer: Observer,
        on_report: Callable[[], None],
    ) -> None:
        self._random = random
        self._observer = observer
        submitter = ObservedSubmitter(node, pair, observer, on_report)
        executor = Executor(node.blobs, SimPool(random, observer), None, WORKERS)
        self.watcher = Watcher(
            *(node.chain, submitter, executor, Journal(journal), lambda: ADVERT, self._deliver),
            vault=Vault(journal, pair.secret, random.randbytes),
        )
        self.matcher = Matcher(node.chain, submitter)

    async def _deliver(self, url: str, identity: str, payload: str) -> bytes:
        """A webhook that is slow and, while faults last, now and then fails."""
        await trio.sleep(self._random.uniform(0.01, DELIVERY_S_MAX))
        if self._random.random() < self._observer.delivery_loss:
            raise DestinationFailed(f"{url}: no answer")
        content = json.loads(payload)
        self._observer.delivered(content["job"], content["execution"], identity)
        return blake2b256(identity.encode())

    async def run(self) -> None:
        """Work until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.watcher.run)
            nursery.start_soon(self.matcher.run)
