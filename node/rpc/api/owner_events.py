"""Following many jobs at once: those of one owner, or all, in the states that are asked for.

A job is told when the best chain changes what its record says of its state, and once more when its end is final. Which
jobs a block touched is read from its events, so that a block costs what happened in it and not how many jobs there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import trio

from node.chain import Chain
from node.events import ChainEvent, Finalised, Imported
from node.rpc.api.job_events import JobEvents
from node.rpc.api.job_json import is_final, readable
from node.rpc.errors import RpcError
from node.rpc.subscription import Subscription
from node.store.errors import UnknownBlock
from node.store.records import Head
from pallets.jobs.events import JobDone
from pallets.jobs.queries import recent_jobs
from pallets.jobs.records import LIVE_STATES, Job, JobState
from runtime.heddle import Heddle
from runtime.pallet import Event

TOLD_MAX = 1_024
"""Jobs whose last told state is remembered; beyond that the longest unchanged is forgotten, and may be told again."""
PRESENT_MAX = 50
"""Jobs told at the start, the latest."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs: `owner` None for everybody's; `states` empty for all."""

    owner: bytes | None
    states: frozenset[JobState]

    def wants(self, job: Job) -> bool:
        """Whether the job is to be told in its present state."""
        return self.owner in (None, job.owner) and (not self.states or job.state in self.states)


class OwnerFollower:
    """One subscription to many jobs."""

    def __init__(self, chain: Chain, events: JobEvents, subscription: Subscription, wanted: JobFilter) -> None:
        self.chain = chain
        self.events = events
        self.subscription = subscription
        self.wanted = wanted
        self._told: dict[int, Any] = {}

    def start(self) -> None:
        """Push the latest jobs as they are, then follow."""
        channel = self.events.follow(self.subscription)
        head = self.chain.best
        runtime = self.events.at(head)
        if runtime is not None:
            for job in reversed(recent_jobs(runtime.jobs, PRESENT_MAX, self.wanted.owner)):
                self._tell(runtime, head, job)
        self.subscription.start(self._run, channel)

    async def _run(self, channel: trio.MemoryReceiveChannel[ChainEvent]) -> None:
        async for event in channel:
            if isinstance(event, Imported) and event.is_best:
                self._on_best(event.enacted, event.retracted, event.head)
            elif isinstance(event, Finalised):
                if event.enacted or event.retracted:
                    self._on_best(event.enacted, event.retracted, event.best)
                self._on_final(event.heads)
        self.subscription.close()

    def _on_best(self, enacted: tuple[Head, ...], retracted: tuple[Head, ...], best: Head) -> None:
        """What the blocks that came or went have touched is looked at once, as the best block now has it."""
        runtime = self.events.at(best)
        if runtime is None:
            return
        for job in {job: None for head in (*retracted, *enacted) for job in self._touched(head)}:
            self._tell(runtime, best, job)

    def _on_final(self, heads: tuple[Head, ...]) -> None:
        """Tell the jobs that ended in a block that is final now."""
        ended = [job for head in heads for job in self._touched(head, JobDone)]
        runtime = self.events.at(self.chain.finalised)
        for number in ended if runtime is not None else ():
            assert runtime is not None, "checked above"
            job = runtime.jobs.jobs.find(number)
            if job is not None and job.state not in LIVE_STATES and self.wanted.wants(job):
                self._push("ended", number, readable({"id_hash": job.id_hash, "state": job.state, "end": job.end}))

    def _tell(self, runtime: Heddle, head: Head, id: int) -> None:
        job = runtime.jobs.jobs.find(id)
        state = None if job is None else (job.state, job.accepted, job.closed, job.acknowledged, job.id_hash)
        if self._told.get(id) == state:
            return
        if job is None or not self.wanted.wants(job):
            if self._told.pop(id, None) is not None:
                gone = None if job is None else readable(job.state)
                self._push("left", id, {**self._place(head), "state": gone})
            return
        self._told.pop(id, None)
        self._told[id] = state
        if len(self._told) > TOLD_MAX:
            del self._told[next(iter(self._told))]
        self._push("job", id, {**self._place(head), "job": readable(job)})

    def _place(self, head: Head) -> dict[str, Any]:
        return {"block": head.number, "hash": f"0x{head.hash.hex()}", "finalised": is_final(self.chain, head)}

    def _touched(self, head: Head, kind: type = Event) -> list[int]:
        try:
            return self.events.jobs_in(head, kind)
        except (RpcError, UnknownBlock):
            return []  # so far behind that the block is gone

    def _push(self, kind: str, id: int, about: dict[str, Any]) -> None:
        self.subscription.push({"kind": kind, "id": id, **about})
