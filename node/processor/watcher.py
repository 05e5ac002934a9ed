"""Watcher: the processor's eye on the chain.

At every best block it compares what the chain says of its promises with what it has done, and does the next step of
each: fetch and acknowledge (offers), say that a run began, run, report or commit (runs, reports), reveal and deliver
what was judged (rounds), judge others (jurors, challenger). Nothing depends on having seen an event, so a processor
that was away or crashed goes on where the chain and its journal stand.

Promises are made at the best block. A run begins once the job's assignment is final: what leaves the machine must not
depend on a block that may yet be retracted (spec/job-layer.md §1).
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from node.chain import Chain
from node.events import Imported
from node.log import logger
from node.processor.challenger import Challenger
from node.processor.delivery import Deliver, Deliveries
from node.processor.duties import Duties
from node.processor.executor import Executor
from node.processor.journal import Journal
from node.processor.jurors import Jurors
from node.processor.keeper import Keeper
from node.processor.offers import Offers
from node.processor.presence import Presence
from node.processor.rechecks import Rechecks
from node.processor.reports import Reports
from node.processor.rounds import Rounds
from node.processor.runs import Runs
from node.processor.submitter import Submitter
from node.processor.vault import Vault
from node.run_logs import LogStore
from node.store.errors import StoreError
from pallets.processors.types import Advert

log = logger("processor")


class Watcher:
    """One processor account at work."""

    def __init__(
        self,
        chain: Chain,
        submitter: Submitter,
        executor: Executor,
        journal: Journal,
        advert: Callable[[], Advert],
        deliver: Deliver,
        *,
        vault: Vault,
        stake: int | None = None,
        logs: LogStore | None = None,
        challenge_ppm: int = 0,
    ) -> None:
        self.chain = chain
        self.executor = executor
        self.account = submitter.account
        self.duties = Duties(chain, submitter.account)
        self.presence = Presence(submitter, advert, stake)
        self.keeper = Keeper(self.duties, submitter, vault)
        self.offers = Offers(self.duties, submitter, executor, self.keeper)
        self.journal = journal
        deliveries = Deliveries(self.duties, journal, executor.blobs.store, deliver)
        reports = Reports(self.duties, submitter, deliveries)
        self.runs = Runs(self.duties, submitter, executor, journal, reports, self.keeper, logs)
        self.rounds = Rounds(self.duties, submitter, journal, deliveries)
        self.rechecks = Rechecks(self.duties, submitter, executor, journal, self.runs)
        self.jurors = Jurors(self.duties, submitter, self.rechecks)
        self.challenger = Challenger(submitter, self.rechecks, challenge_ppm)

    @property
    def running(self) -> int:
        """Attempts at work now."""
        return self.runs.running

    async def run(self) -> None:
        """Work for ever."""
        log.info("processor", account="0x" + self.account.hex(), runtimes=",".join(self.executor.pool.runtime_ids()))
        async with trio.open_nursery() as nursery:
            while True:
                with self.chain.events.listen() as events:
                    self.step(nursery)
                    async for event in events:
                        if isinstance(event, Imported) and not event.is_best:
                            continue
                        self.step(nursery)

    def step(self, nursery: trio.Nursery) -> None:
        """Look at the chain once and begin whatever is due."""
        try:
            runtime = self.duties.best()
        except StoreError:
            return  # the head moved while we looked; the next event looks again
        if not self.presence.step(runtime):
            return
        self.keeper.step(runtime)
        duties = self.duties.all(runtime)
        self.offers.step(duties, nursery)
        self.runs.step(runtime, duties, nursery)
        self.rounds.step(runtime, nursery)
        self.jurors.step(runtime, nursery)
        self.challenger.step(runtime, nursery)
        self._tidy()

    def _tidy(self) -> None:
        """Forget what is over in the last final block: no reorganisation can bring it back."""
        for key in list(self.journal.keys()):
            if not self.runs.is_busy(key) and not self.rounds.is_busy(key) and self.duties.is_over(key):
                self.journal.forget(key)
        self.rechecks.forget_settled(self.jurors.wanted() | self.challenger.wanted())
