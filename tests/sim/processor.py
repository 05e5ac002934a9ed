"""A processor in the simulation: the real watcher, executor, matcher, submitter and journal; runs are simulated.

A run takes a drawn time. In Trusted mode its output holds a number of its own, so that a run repeated after its outcome
was promised would be seen: the report would differ. Where results are compared it follows from what the run is given.

Who is cast as a villain is a real processor too, but for one thing that it does wrong (villains.py, cast.py).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import trio

from node.keys.pair import Pair
from node.node import Node
from node.processor.runtimes.outcome import Outcome, Status
from node.processor.runtimes.pool import RuntimePool
from node.processor.runtimes.port import Fetch, OnBytes, OnProgress, OnText, Sign
from node.processor.runtimes.spec import RunSpec, check_spec
from node.processor.submitter import Submitter
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
        right = blake2b256(spec.script + spec.input + spec.seed)
        compared = spec.job.attempt == 0
        if compared:
            self._observer.computed(spec.job, right)
        output = await self.answer(spec, right) if compared else right + number.to_bytes(4, "little")
        tape_hash = blake2b256(b"")
        return Outcome(RUNTIME_ID, Status.SUCCEEDED, output, None, "", 1_000, 4_096, 0, b"", tape_hash, "", True)

    async def answer(self, spec: RunSpec, right: bytes) -> bytes:
        """What is told of a run whose results are compared."""
        return right


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
        if sent and call in ("report", "commit", "reveal"):
            self._on_report()
        return sent
