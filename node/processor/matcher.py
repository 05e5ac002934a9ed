"""Matcher: proposes processors for open jobs, off chain, for a share of the reward (spec/job-layer.md §4).

It judges with the chain's own rules on the best state and proposes the best eligible processors. Of several matchers
each waits for its rank (by hash of job and account), so that one transaction usually does; the chain checks everything
again and falls back to its own search if nobody proposes.
"""

from __future__ import annotations

from itertools import islice

import trio

from node.chain import Chain
from node.events import Imported
from node.log import logger
from node.processor.submitter import Submitter
from node.store.errors import StoreError
from pallets.jobs.queries import open_jobs
from pallets.jobs.records import SlotState
from pallets.jobs.types import Known, Personal
from pallets.matching.eligibility import Candidate
from pallets.matching.types import Placement
from runtime.hashing import blake2b256
from runtime.heddle import Heddle

log = logger("matcher")

JOBS_PER_BLOCK_MAX = 32
CANDIDATES_MAX = 256
JUDGMENTS_MAX = 2048
"""A block's work: so often is a processor judged for a slot. Jobs that it does not reach come first another time."""
RANK_SLOTS = 2
RANKS_MAX = 5


class Matcher:
    """Proposes with the processor's account."""

    def __init__(self, chain: Chain, submitter: Submitter) -> None:
        self.chain = chain
        self.submitter = submitter
        self._runtime = chain.new_runtime()
        self._cursor = 0
        self._judgments = 0
        self.candidates_max = CANDIDATES_MAX

    async def run(self) -> None:
        """Propose for ever."""
        while True:
            with self.chain.events.listen() as events:
                async for event in events:
                    if isinstance(event, Imported) and event.is_best:
                        self.step()
                        await trio.lowlevel.checkpoint()

    def step(self) -> None:
        """Look at the open jobs of the best block once."""
        try:
            runtime = self.chain.at(self.chain.best.hash, self._runtime)
        except StoreError:
            return
        if not runtime.processors.records.contains(self.submitter.account):
            return
        self._judgments = JUDGMENTS_MAX
        for job_id in self._chosen(runtime):
            if self._judgments > 0:
                self._propose(runtime, job_id)

    def _chosen(self, runtime: Heddle) -> list[int]:
        """Half by their place in the queue, half going round all that wait: the chain's search does the same."""
        queue = runtime.jobs.queue
        first = open_jobs(runtime.jobs, JOBS_PER_BLOCK_MAX // 2)
        others = islice(queue.going_round(self._cursor), JOBS_PER_BLOCK_MAX)
        chosen = list(dict.fromkeys((*first, *others)))[:JOBS_PER_BLOCK_MAX]
        self._cursor = (self._cursor + JOBS_PER_BLOCK_MAX // 2) % max(queue.count.get(), 1)
        return chosen

    def _propose(self, runtime: Heddle, id: int) -> None:
        job = runtime.jobs.job(id)
        clock = runtime.agenda.now()
        vacant = [
            (number, slot)
            for number, slot in runtime.jobs.slots_of(id)
            if slot.state is SlotState.VACANT and not self._window_open(runtime, id, number, slot.generation)
        ]
        rank = blake2b256(job.id_hash + self.submitter.account)[0] % RANKS_MAX
        ready = [(number, slot) for number, slot in vacant if clock >= slot.vacant_at + rank * RANK_SLOTS]
        key = ("propose", job.id_hash, tuple((number, slot.generation) for number, slot in ready))
        if not ready or self.submitter.is_pending(key):
            return
        placements = self._place(runtime, id, [number for number, _ in ready])
        if placements and self.submitter.want(key, "Matching", "propose", id, tuple(placements)):
            log.debug("proposed", job=id, slots=len(placements))

    @staticmethod
    def _window_open(runtime: Heddle, id: int, number: int, generation: int) -> bool:
        window = runtime.matching.windows.find((id, number))
        return window is not None and window.generation == generation

    def _place(self, runtime: Heddle, id: int, numbers: list[int]) -> list[Placement]:
        """The best candidate for each slot, each manager once."""
        matching, listed = runtime.matching, self._candidates(runtime, id)
        taken: dict[bytes, None] = {}
        placements = []
        for number in numbers:
            if self._judgments <= 0:
                break
            self._judgments -= len(listed)
            seat = matching.eligibility.seat(id, number)
            judged = [
                matching.eligibility.judge(matching.parameters.get(), seat, who, 0, self.submitter.account)
                for who in listed
            ]
            fit = [one for one in judged if isinstance(one, Candidate) and one.match.manager not in taken]
            if fit:
                best = min(fit, key=lambda one: (-one.score, one.ticket, one.match.processor))
                taken[best.match.manager] = None
                placements.append(Placement(number, best.match.processor, 0))
        return placements

    def _candidates(self, runtime: Heddle, id: int) -> list[bytes]:
        """Whom the job names, else who offers its runtime; if these are too many, others at each block."""
        choice, kind = runtime.jobs.specs.get(id).processors, runtime.jobs.job(id).runtime
        if isinstance(choice, Personal | Known):
            return list(choice.processors)
        total = runtime.processors.advertised(kind)
        start = int.from_bytes(self.chain.best.hash[:8], "little") if total > self.candidates_max else 0
        places = ((start + n) % total for n in range(min(total, self.candidates_max)))
        return [runtime.processors.advert_at.get((kind, place)) for place in places]
