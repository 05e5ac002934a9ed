"""The processor part of a node: pool, guard, journal, watcher and matcher, wired together."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import trio

from node.keys.keystore import ACCO, Keystore
from node.keys.pair import Pair, from_seed, from_uri
from node.log import logger
from node.metrics import Metrics
from node.node import Node
from node.processor.advert import machine_advert
from node.processor.benchmark import KeptBenchmark, differs, measure_benchmark
from node.processor.destinations.sender import DestinationFailed, WebhookSender
from node.processor.egress import EgressGuard
from node.processor.executor import Executor
from node.processor.journal import Journal
from node.processor.matcher import Matcher
from node.processor.runtimes.pool import RuntimePool
from node.processor.runtimes.port import Pool
from node.processor.submitter import Submitter
from node.processor.vault import Vault
from node.processor.watcher import Watcher
from node.run_logs import LogStore
from node.store.database import LevelDatabase
from pallets.processors.types import Advert
from runtime.crypto import Scheme

log = logger("processor")

WORKERS_MAX = 8


def processor_pair(keystore: Keystore, dev_account: str | None, token: bytes) -> Pair:
    """The processor's account: the first `acco` key, else //Name//processor on a development node, else a new key."""
    known = keystore.publics(ACCO)
    if known:
        return keystore.pair(ACCO, known[0])
    if dev_account is not None:
        pair = from_uri(f"//{dev_account.capitalize()}//processor")
    else:
        pair = from_seed(Scheme.ED25519, token)
        log.info("made a processor account: fund it, then it registers itself", address=pair.address)
    keystore.insert(ACCO, pair)
    return pair


class ProcessorService:
    """Runs jobs with one account, on this machine or where `pool` has them run.

    `database` is the folder of its journal; `stake` what it puts at stake by itself, None for one unit;
    `challenge_ppm` the share of others' results that it runs again.
    """

    def __init__(
        self,
        node: Node,
        pair: Pair,
        database: Path,
        allow_destinations: tuple[tuple[str, int], ...],
        stake: int | None = None,
        challenge_ppm: int = 0,
        offer_native: bool = False,
        pool: Pool | None = None,
    ) -> None:
        self.node = node
        self.pool = pool or RuntimePool(min(os.cpu_count() or 1, WORKERS_MAX))
        self.offer_native = offer_native
        self.guard = EgressGuard(f"{host}:{port}" for host, port in allow_destinations)
        self.submitter = Submitter(node.chain, node.transactions, pair)
        self.executor = Executor(node.blobs, self.pool, self.guard.fetch, self.pool.workers, pair.sign)
        self.database = LevelDatabase(database)
        self._advert: Advert | None = None
        self.webhook = WebhookSender(self.guard, pair)
        self._delivered: Callable[[str, str], None] = lambda _destination, _outcome: None
        node.logs.store = LogStore(database.with_name("processor-logs"))
        self.watcher = Watcher(
            *(node.chain, self.submitter, self.executor, Journal(self.database), self.advert, self._send),
            vault=Vault(self.database, pair.secret),
            stake=stake,
            logs=node.logs.store,
            challenge_ppm=challenge_ppm,
        )
        self._show_workers: Callable[[int], None] = lambda _workers: None
        self.matcher = Matcher(node.chain, self.submitter)

    def observe(self, metrics: Metrics) -> None:
        """Tell `metrics` of runs and deliveries from now on."""
        self.executor.ran = metrics.ran
        self._delivered = metrics.delivery
        self.webhook.on_retry = lambda: metrics.delivery("webhook", "retried")
        self._show_workers = metrics.workers.set
        metrics.workers.set(self.pool.workers)

    async def _send(self, url: str, identity: str, payload: str) -> bytes:
        """One delivery to a webhook, counted."""
        try:
            receipt = await self.webhook.send(url, identity, payload)
        except DestinationFailed as error:
            self._delivered("webhook", "refused" if error.refused else "given_up")
            raise
        self._delivered("webhook", "delivered")
        return receipt

    def advert(self) -> Advert:
        """What this machine offers."""
        assert self._advert is not None, "measured before the watcher runs"
        return self._advert

    def _count_workers(self) -> None:
        """As many runs at once as the pool has workers: a cluster's are known once it is connected."""
        self.executor.workers = self.pool.workers
        self._show_workers(self.pool.workers)

    async def _measure_again(self, kept: KeptBenchmark, last: int) -> None:
        """Beside the work; a figure that has changed much is advertised."""
        found = await measure_benchmark(self.pool)
        if differs(last, found):
            kept.put(found)
            self._advert = machine_advert(self.pool, found)
            self.watcher.presence.benchmark = found

    async def run(self) -> None:
        """Work until cancelled; workers and journal are closed afterwards."""
        # A crash must not leave what jobs trusted to this process in a file.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            async with self.pool, trio.open_nursery() as nursery:
                if self.offer_native:
                    await self.pool.offer_native()
                self._count_workers()
                kept = KeptBenchmark(self.database, self.pool)
                last = kept.get()
                if last is None:
                    kept.put(last := await measure_benchmark(self.pool))
                else:
                    nursery.start_soon(self._measure_again, kept, last)
                self._advert = machine_advert(self.pool, last)
                nursery.start_soon(self.watcher.run)
                nursery.start_soon(self.matcher.run)
        finally:
            self.database.close()
