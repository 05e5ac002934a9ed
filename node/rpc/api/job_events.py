"""Following a job: its events, block by block, and a subscription that lives until the job's end is final."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import trio

from node.chain import Chain
from node.events import ChainEvent, Finalised, Imported
from node.rpc.api.job_json import event_of_job, is_final, job_not_found, place_of, readable
from node.rpc.errors import STATE_DISCARDED, TOO_MANY_SUBSCRIPTIONS, RpcError
from node.rpc.subscription import Subscription
from node.store.errors import StateDiscarded, UnknownBlock
from node.store.records import Head
from pallets.jobs.queries import job_view
from pallets.jobs.records import LIVE_STATES
from runtime.heddle import Heddle
from runtime.pallet import Event

TOLD_BLOCKS_MAX = 1_024
"""Blocks with events of one job that are told as final later; beyond that the oldest are forgotten."""
FOLLOWERS_MAX = 1_024
"""Subscriptions to jobs, of all connections: each looks at every best block."""


class EventsDiscarded(RpcError):
    """The events of a block were pruned."""


class JobEvents:
    """Reads events of jobs out of stored blocks, and lends all who follow jobs one runtime to look with.

    A runtime is large and slow to make: thousands of subscriptions must not have one each.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._followers: set[trio.MemoryReceiveChannel[ChainEvent]] = set()
        self._runtime = chain.new_runtime()
        self._codec = self._runtime.system.events_value.codec
        self._pallets = {event: pallet.name for pallet in self._runtime.pallets for event in pallet.events}

    def follow(self, subscription: Subscription) -> trio.MemoryReceiveChannel[ChainEvent]:
        """What happens to the chain, for a subscription, until `leave`. RpcError if there are too many of them."""
        if len(self._followers) >= FOLLOWERS_MAX:
            reason = f"at most {FOLLOWERS_MAX} subscriptions to jobs on all connections"
            raise RpcError(TOO_MANY_SUBSCRIPTIONS, "Too many subscriptions to jobs", reason)
        channel = self.chain.events.listen()
        self._followers.add(channel)
        subscription.on_close(lambda: self.leave(channel))
        return channel

    def leave(self, channel: trio.MemoryReceiveChannel[ChainEvent]) -> None:
        """The subscription has nothing more to tell. A second call does nothing."""
        self._followers.discard(channel)
        channel.close()

    def at(self, head: Head) -> Heddle | None:
        """The state after a block, valid until somebody asks for another; None if it is gone."""
        try:
            return self.chain.at(head.hash, self._runtime)
        except (UnknownBlock, StateDiscarded):
            return None

    def of_block(self, head: Head, job: int) -> list[dict[str, Any]]:
        """A job's events in one stored block, in order. Raises EventsDiscarded."""
        if head.number == 0:
            return []
        raw = self.chain.store.events(head.hash)
        if raw is None:
            raise EventsDiscarded(STATE_DISCARDED, f"Events already discarded for block {head.number}")
        place = place_of(self.chain, head).json()
        return [{**place, **event} for event in self._matching(raw, job)]

    def jobs_in(self, head: Head, kind: type = Event) -> list[int]:
        """The jobs that a stored block's events of a kind tell of, each once. Raises EventsDiscarded, UnknownBlock."""
        if head.number == 0:
            return []
        raw = self.chain.store.events(head.hash)
        if raw is None:
            raise EventsDiscarded(STATE_DISCARDED, f"Events already discarded for block {head.number}")
        records = self._codec.decode(raw)
        found = (getattr(one.event, "job", None) for one in records if isinstance(one.event, kind))
        return list(dict.fromkeys(job for job in found if isinstance(job, int)))

    def _matching(self, raw: bytes, job: int) -> Iterator[dict[str, Any]]:
        for number, record in enumerate(self._codec.decode(raw)):
            found = event_of_job(number, record, job, self._pallets)
            if found is not None:
                yield found


class JobFollower:
    """One subscription to one job, named by its hash: the hash survives a change of the best chain, the id may not."""

    def __init__(self, chain: Chain, events: JobEvents, subscription: Subscription, id_hash: bytes) -> None:
        self.chain = chain
        self.events = events
        self.subscription = subscription
        self.id_hash = id_hash
        self._last: Any = None
        self._told: dict[bytes, Head] = {}

    def start(self) -> None:
        """Push the present view, then follow."""
        channel = self.events.follow(self.subscription)
        self._push_view(self.chain.best)
        self.subscription.start(self._run, channel)

    async def _run(self, channel: trio.MemoryReceiveChannel[ChainEvent]) -> None:
        if self._tell_end():
            self.events.leave(channel)
            return
        async for event in channel:
            if isinstance(event, Imported) and event.is_best:
                self._on_best(event.enacted, event.retracted, event.head)
            elif isinstance(event, Finalised):
                if event.enacted or event.retracted:
                    self._on_best(event.enacted, event.retracted, event.best)
                self._on_final(event)
                if self._tell_end():
                    self.events.leave(channel)
                    return
        self.subscription.close()

    def _on_best(self, enacted: tuple[Head, ...], retracted: tuple[Head, ...], best: Head) -> None:
        for head in retracted:
            if self._told.pop(head.hash, None) is not None:
                self._push("retracted", block=head.number, hash=f"0x{head.hash.hex()}")
        for head in enacted:
            self._push_events(head)
        self._push_view(best)

    def _push_events(self, head: Head) -> None:
        job = self._job_at(head)
        try:
            found = [] if job is None else self.events.of_block(head, job)
        except (RpcError, UnknownBlock):
            return  # so far behind that the block is gone: the view tells where the job stands
        for one in found:
            self._push("event", **one)
        if found:
            self._told[head.hash] = head
            if len(self._told) > TOLD_BLOCKS_MAX:
                del self._told[next(iter(self._told))]

    def _on_final(self, event: Finalised) -> None:
        for head in event.heads:
            if self._told.pop(head.hash, None) is not None:
                self._push("finalised", block=head.number, hash=f"0x{head.hash.hex()}")

    def _push_view(self, head: Head) -> None:
        """The job's view after `head`, if it changed; null where the job is not registered."""
        runtime = self.events.at(head)
        if runtime is None:
            return
        job = runtime.jobs.job_by_hash.find(self.id_hash)
        view = None if job is None else readable(job_view(runtime.jobs, job))
        runs = [] if job is None else live_executions(runtime, job)
        if (view, runs) != self._last:
            self._last = (view, runs)
            place = {"block": head.number, "hash": f"0x{head.hash.hex()}", "finalised": is_final(self.chain, head)}
            times = {"clock": runtime.agenda.now(), "slot_ms": self.chain.slot_ms}
            self._push("view", **place, view=view, executions=runs, **times)

    def _tell_end(self) -> bool:
        """Push `ended` if the job's end is final; whether it is."""
        runtime = self.events.at(self.chain.finalised)
        number = None if runtime is None else runtime.jobs.job_by_hash.find(self.id_hash)
        if runtime is None or number is None:
            return False
        job = runtime.jobs.job(number)
        if job.state in LIVE_STATES:
            return False
        self._push("ended", **readable({"job": number, "state": job.state, "end": job.end}))
        return True

    def _job_at(self, head: Head) -> int | None:
        runtime = self.events.at(head)
        return None if runtime is None else runtime.jobs.job_by_hash.find(self.id_hash)

    def _push(self, kind: str, **fields: Any) -> None:
        self.subscription.push({"kind": kind, **fields})


def live_executions(runtime: Heddle, job: int) -> list[dict[str, Any]]:
    """What is under way of a job: at most four executions of a slot, each {slot, execution, …its record}."""
    return [
        {"slot": number, "execution": execution, **readable(record)}
        for number, slot in runtime.jobs.slots_of(job)
        for execution in slot.live
        if (record := runtime.jobs.executions.find((job, number, execution))) is not None
    ]


def hash_of(runtime: Heddle, job: int) -> bytes:
    """The hash that names a job on every fork. RpcError if there is no such job."""
    record = runtime.jobs.jobs.find(job)
    if record is None:
        raise job_not_found(job)
    return record.id_hash
