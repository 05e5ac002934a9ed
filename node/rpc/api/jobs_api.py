"""jobs_* and processors_*: what the chain knows of jobs and of those who run them.

A job is named by its id (a whole number) or by its hash (0x and 32 bytes), which is the same on every fork.
"""

from __future__ import annotations

from typing import Any

import trio

from node.chain import Chain
from node.rpc.api.job_events import EventsDiscarded, JobEvents, JobFollower, hash_of
from node.rpc.api.job_json import (
    EXECUTION_NOT_FOUND,
    PROCESSOR_NOT_FOUND,
    address,
    job_not_found,
    readable,
)
from node.rpc.api.owner_events import JobFilter, OwnerFollower
from node.rpc.api.state_api import state_error
from node.rpc.errors import InvalidParams, RpcError
from node.rpc.methods import Methods
from node.rpc.params import U32_MAX, account, block_hash, block_number, integer
from node.rpc.subscription import Subscription
from node.store.errors import StateDiscarded, UnknownBlock
from node.store.records import Head
from pallets.jobs.bounds import SLOTS_MAX
from pallets.jobs.queries import LISTED_MAX, executions_of, job_view, processor_view, processors, recent_jobs
from pallets.jobs.records import JobState
from pallets.matching.explain import explain
from runtime.heddle import Heddle

LISTED_DEFAULT = 50
EVENT_BLOCKS_MAX = 1_000
"""Blocks that one jobs_events looks through."""
EVENTS_MAX = 1_000
"""Events in one answer of jobs_events: no block is begun once there are as many."""
BLOCKS_PER_TURN = 16
"""Blocks between two turns of the event loop."""


class JobsApi:
    """Answers about jobs and processors. Without a block hash the best block is meant."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._runtime = chain.new_runtime()
        self._events = JobEvents(chain)

    def register(self, methods: Methods) -> None:
        """Add the methods to the table."""
        methods.register("jobs_get", self.get)
        methods.register("jobs_list", self.list_jobs)
        methods.register("jobs_executions", self.executions)
        methods.register("jobs_result", self.result)
        methods.register("jobs_explain", self.explain)
        methods.register("jobs_byHash", self.by_hash)
        methods.register("jobs_events", self.events)
        methods.register_subscription("jobs_subscribe", "jobs_unsubscribe", "jobs_update", self.subscribe)
        methods.register_subscription(
            "jobs_subscribeOwner", "jobs_unsubscribeOwner", "jobs_ownerUpdate", self.subscribe_owner
        )
        methods.register("processors_list", self.list_processors)
        methods.register("processors_get", self.get_processor)

    def _at(self, value: Any) -> Heddle:
        wanted = self.chain.best.hash if value is None else block_hash(value, "at")
        try:
            return self.chain.at(wanted, self._runtime)
        except (UnknownBlock, StateDiscarded) as error:
            raise state_error(error) from error

    # Jobs.

    async def get(self, id: Any, at: Any = None) -> dict[str, Any]:
        """All that the chain knows of a job but its executions: {id, job, spec, slots, ledger}."""
        runtime = self._at(at)
        view = job_view(runtime.jobs, job_at(runtime, id))
        if view is None:
            raise job_not_found(job_at(runtime, id))
        return dict(readable(view))

    async def by_hash(self, hash: Any, at: Any = None) -> dict[str, Any]:
        """What jobs_get gives, by the job's hash (0x and 32 bytes)."""
        block_hash(hash)
        return await self.get(hash, at)

    async def list_jobs(self, owner: Any = None, limit: Any = LISTED_DEFAULT, at: Any = None) -> list[dict[str, Any]]:
        """The latest jobs, newest first, each {id, …the job's record}. `owner` may also be {owner, limit}."""
        if isinstance(owner, dict):
            owner, limit = _filter(owner, limit, "owner")
        runtime = self._at(at)
        only = None if owner is None else account(owner, "owner")
        store = runtime.jobs
        ids = recent_jobs(store, integer(limit, "limit", LISTED_MAX), only)
        return [{"id": one, **readable(store.job(one))} for one in ids]

    async def executions(self, id: Any, at: Any = None) -> list[dict[str, Any]]:
        """The live executions and the last 16 that ended, per slot: {slot, execution, …its record, result}."""
        runtime = self._at(at)
        found = executions_of(runtime.jobs, job_at(runtime, id))
        return [
            {"slot": one.slot, "execution": one.execution, **readable(one.record), "result": readable(one.result)}
            for one in found
        ]

    async def result(self, id: Any, execution: Any = 0, slot: Any = 0, at: Any = None) -> dict[str, Any]:
        """What came out of one execution on one slot; `output` is null as long as nothing is accepted.

        `output` is {InlineOutput: {data}} or {BlobOutput: {blob: {cid, size}}}.
        """
        runtime = self._at(at)
        store, job = runtime.jobs, job_at(runtime, id)
        place = integer(slot, "slot", SLOTS_MAX - 1)
        number = integer(execution, "execution", U32_MAX)
        record = store.executions.find((job, place, number))
        if record is None:
            name = f"execution {number} on slot {place} of job {job}"
            reason = f"{name} has not come up yet, or its record was dropped for newer ones"
            raise RpcError(EXECUTION_NOT_FOUND, "Execution not found", reason)
        result = store.results.find((job, place, number))
        answer = {"state": record.state, "digest": record.digest, "fuel": record.fuel, "failure": record.failure}
        answer |= {"attempt": record.attempt, "processor": record.processor, "paid": record.paid}
        outcome: dict[str, Any] = {"output": None, "deliveries": ()}
        if result is not None:
            outcome = {"output": result.output, "deliveries": result.deliveries}
        return {"job": job, "execution": number, "slot": place, **readable(answer), **readable(outcome)}

    async def explain(self, id: Any, at: Any = None) -> dict[str, Any]:
        """Why a job waits: rejections so far, and every processor's reason now, by reason."""
        runtime = self._at(at)
        job = job_at(runtime, id)
        return {"job": job, **readable(explain(runtime.matching, job))}

    async def events(self, id: Any, from_block: Any, at: Any = None) -> dict[str, Any]:
        """A job's events from a height up to the best block (or `at`): {events, next, kept_from}.

        At most 1,000 blocks are looked through; `next` is the height to go on from, null at the end. Events of blocks
        before `kept_from` are discarded on this node and left out.
        """
        runtime = self._at(at)
        job = job_at(runtime, id)
        last = Head(runtime.system.number, self.chain.best.hash if at is None else block_hash(at, "at"))
        first = block_number(from_block, "fromBlock")
        stop = min(last.number + 1, first + EVENT_BLOCKS_MAX)
        found: list[dict[str, Any]] = []
        number = kept = first
        while number < stop and len(found) < EVENTS_MAX:
            if number % BLOCKS_PER_TURN == 0:
                await trio.lowlevel.checkpoint()
            try:
                found += self._events.of_block(Head(number, self.chain.store.ancestor(last.hash, number)), job)
            except UnknownBlock as error:
                raise state_error(error) from error
            except EventsDiscarded:
                kept = number + 1
            number += 1
        return {"events": found, "next": number if number <= last.number else None, "kept_from": kept}

    async def subscribe(self, subscription: Subscription, id: Any) -> None:
        """A job's view now and whenever a best block changes it, its events as they happen, and its end.

        Notifications by `kind`: view, event, retracted, finalised, and last `ended`, once the end is final.
        """
        runtime = self._at(None)
        id_hash = hash_of(runtime, job_at(runtime, id))
        JobFollower(self.chain, self._events, subscription, id_hash).start()

    async def subscribe_owner(self, subscription: Subscription, owner: Any = None, states: Any = None) -> None:
        """The latest 50 jobs of an owner (or of all) in the given states, and each whenever its state changes.

        Notifications by `kind`: job, left (it is in none of the states any more), and ended, once its end is final.
        """
        only = None if owner is None else account(owner, "owner")
        OwnerFollower(self.chain, self._events, subscription, JobFilter(only, _states(states))).start()

    # Processors.

    async def list_processors(self, limit: Any = LISTED_DEFAULT, at: Any = None) -> list[dict[str, Any]]:
        """Registered processors, each as processors_get shows it. `limit` may also be {manager, limit}."""
        manager = None
        if isinstance(limit, dict):
            manager, limit = _filter(limit, LISTED_DEFAULT, "manager")
        runtime = self._at(at)
        only = None if manager is None else account(manager, "manager")
        found = processors(runtime.processors, integer(limit, "limit", LISTED_MAX), only)
        return [self._processor(runtime, who) for who in found]

    async def get_processor(self, account_: Any, at: Any = None) -> dict[str, Any]:
        """All that the chain knows of a processor: {processor, record, advert, leases, …}."""
        return self._processor(self._at(at), account(account_))

    @staticmethod
    def _processor(runtime: Heddle, who: bytes) -> dict[str, Any]:
        view = processor_view(runtime.jobs, who)
        if view is None:
            raise RpcError(PROCESSOR_NOT_FOUND, "Processor not found", f"{address(who)} is not registered")
        data = runtime.system.accounts.get(who).data
        return {**readable(view), "free": data.free, "held": data.reserved}


def job_at(runtime: Heddle, value: Any) -> int:
    """A job's id, given as such or as its hash. RpcError if there is no such job."""
    if isinstance(value, str):
        wanted = block_hash(value, "id")
        found = runtime.jobs.job_by_hash.find(wanted)
        if found is None:
            raise job_not_found(wanted)
        return found
    job = integer(value, "id")
    if runtime.jobs.jobs.find(job) is None:
        raise job_not_found(job)
    return job


def _states(value: Any) -> frozenset[JobState]:
    """Job states by name; empty for all."""
    known = {state.name.lower(): state for state in JobState}
    if value is None:
        return frozenset()
    if not isinstance(value, list) or len(value) > len(known) or any(name not in known for name in map(str, value)):
        raise InvalidParams("states", f"expected a list of {', '.join(known)}")
    return frozenset(known[name] for name in value)


def _filter(value: dict[str, Any], limit: Any, field: str) -> tuple[Any, Any]:
    for name in value:
        if name not in (field, "limit"):
            raise InvalidParams(name[:64], f"is no field of the filter: {field}, limit")
    return value.get(field), value.get("limit", limit)
