"""The watcher's decisions on a real chain in memory: promises, runs, deliveries, reports, restarts and forks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from node.processor.delivery import delivery_id
from node.processor.journal import AttemptKey
from node.processor.runs import AHEAD_SLOTS, BEGUN_MAX
from pallets.jobs.destinations import Chain, Webhook
from pallets.jobs.events import AttemptFailed, ExecutionProgressed, SlotVacated
from pallets.jobs.failure import DeliveryFailed, InputUnavailable, OutOfResources, Resource, RuntimeUnsupported
from pallets.jobs.records import ExecutionState, JobState
from pallets.jobs.schedule import RUN_GRACE_SLOTS
from pallets.jobs.types import Blob, Resources, RuntimeKind
from tests.helpers.processor_lab import OWNER, PAIR, ProcessorLab

HOOK = "http://example.com/hook"
Test = Callable[[ProcessorLab, trio.Nursery], Awaitable[None]]


def at_work(test: Test, folder: Path, workers: int = 2) -> None:
    """Run a test with a processor that is advertised."""

    async def run() -> None:
        lab = ProcessorLab(folder, workers)
        async with lab.working() as nursery:
            await lab.look_around(nursery)
            await lab.blocks_until(nursery, lab.advertised)
            await test(lab, nursery)

    trio.run(run)


async def running(lab: ProcessorLab, nursery: trio.Nursery, **fields: Any) -> None:
    """Register a job; until its run is at the gate."""
    lab.register(lab.spec(**fields))
    await lab.blocks_until(nursery, lambda: lab.runs.started)


def test_a_processor_presents_itself(tmp_path: Path) -> None:
    """It registers, stakes, advertises and publishes one-time keys by itself, once each, and is silent afterwards."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        await lab.blocks_until(nursery, lambda: lab.look().secrets.prekeys.get(PAIR.public))
        assert lab.look().processors.records.contains(PAIR.public)
        nonce = lab.look().system.accounts.get(PAIR.public).nonce
        for _ in range(5):
            await lab.block(nursery)
        assert lab.look().system.accounts.get(PAIR.public).nonce == nonce == 4
        assert lab.look().processors.units(PAIR.public) == 1
        assert lab.sent() == []

    at_work(test, tmp_path)


def test_a_job_from_offer_to_payment(tmp_path: Path) -> None:
    """It acknowledges, starts, runs once, reports the run's own output, and its journal is empty at the end."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        await running(lab, nursery)
        (key,) = lab.jobs_journal.keys()
        # The record is there.
        assert (key.execution, key.attempt, lab.jobs_journal.get(key).runs) == (0, 1, 1)  # type: ignore[union-attr]
        lab.runs.gate.set()
        await lab.blocks_until(nursery, lambda: lab.state() is JobState.DONE)
        assert len(lab.runs.started) == 1
        assert lab.look().jobs.results.get((0, 0, 0)).output.data == b"run 1"
        assert lab.execution().paid > 0
        await lab.block(nursery)
        assert list(lab.jobs_journal.keys()) == []
        assert lab.watcher.running == 0

    at_work(test, tmp_path)


def test_nothing_begins_before_the_assignment_is_final(tmp_path: Path) -> None:
    """At the best block it only promises; `started` and the run wait for finality."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.register(lab.spec())
        await lab.blocks_until(nursery, lambda: lab.execution() is not None, final=False)
        for _ in range(5):
            await lab.block(nursery, final=False)
        assert lab.state() is JobState.ASSIGNED
        assert lab.execution().state is ExecutionState.SCHEDULED
        assert lab.sent() == []
        lab.finalise()
        await lab.look_around(nursery)
        assert lab.sent() == ["Jobs.started"]
        assert lab.runs.started == []

    at_work(test, tmp_path)


def events(lab: ProcessorLab, *kinds: type[Any]) -> list[Any]:
    """The events of these kinds on the best block's chain, oldest first."""
    found: list[Any] = []
    head = lab.chain.best.hash
    codec = lab.look().system.events_value.codec
    for number in range(1, lab.chain.best.number + 1):
        raw = lab.store.events(lab.store.ancestor(head, number))
        records = codec.decode(raw) if raw else ()
        found += [record.event for record in records if isinstance(record.event, kinds)]
    return found


def declined(lab: ProcessorLab) -> list[Any]:
    """The reasons that the best block's chain gives for vacated slots."""
    found = events(lab, SlotVacated, AttemptFailed)
    return [getattr(event, "reason", None) or getattr(event, "failure", None) for event in found]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"script": Blob(b"\x01\x55\x12\x20" + bytes(32), 10)}, InputUnavailable()),
        ({"runtime": RuntimeKind.PYTHON}, RuntimeUnsupported()),
        ({"resources": Resources(2 << 30, 0, 0, 1_000_000, 1 << 16)}, RuntimeUnsupported()),
    ],
    ids=["no script", "no runtime", "more memory than the sandbox gives"],
)
def test_what_cannot_be_done_is_declined(tmp_path: Path, fields: dict[str, Any], reason: Any) -> None:
    """An offer that this machine cannot fulfil is declined at once, with its reason."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.register(lab.spec(**fields))
        await lab.blocks_until(nursery, lambda: declined(lab))
        assert declined(lab) == [reason]
        assert lab.runs.started == []

    at_work(test, tmp_path)


def test_no_more_runs_begin_than_there_are_workers(tmp_path: Path) -> None:
    """Three jobs are due and one worker is there: the others are not started until it is free."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        for _ in range(3):
            lab.register(lab.spec())
        await lab.blocks_until(nursery, lambda: lab.runs.started)
        for _ in range(5):
            await lab.block(nursery)
        states = [lab.execution(job).state for job in range(3)]
        assert sorted(state.name for state in states) == ["RUNNING", "SCHEDULED", "SCHEDULED"]
        lab.runs.gate.set()
        await lab.blocks_until(nursery, lambda: all(lab.state(job) is JobState.DONE for job in range(3)))
        assert len(lab.runs.started) == 3

    at_work(test, tmp_path, workers=1)


def test_short_runs_are_begun_several_at_a_time(tmp_path: Path) -> None:
    """One worker is given as many attempts at once as their durations fit into half of the grace; a long one waits."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        half_ms = AHEAD_SLOTS // 2 * lab.chain.slot_ms
        schedule = lab.spec().schedule
        for _ in range(3):
            lab.register(lab.spec(schedule=replace(schedule, duration_ms=half_ms)))
        await lab.blocks_until(nursery, lambda: len(lab.runs.started) == 2)
        for _ in range(5):
            await lab.block(nursery)
        states = [lab.execution(job).state for job in range(3)]
        assert sorted(state.name for state in states) == ["RUNNING", "RUNNING", "SCHEDULED"]
        lab.runs.gate.set()
        await lab.blocks_until(nursery, lambda: all(lab.state(job) is JobState.DONE for job in range(3)))
        assert len(lab.runs.started) == 3

    assert AHEAD_SLOTS <= RUN_GRACE_SLOTS // 2 + 1
    at_work(test, tmp_path, workers=1)


def test_a_free_worker_is_used_before_the_report_is_in_a_block(tmp_path: Path) -> None:
    """When a run has ended, the next attempt is started together with its report."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        for _ in range(2):
            lab.register(lab.spec())
        await lab.blocks_until(nursery, lambda: lab.runs.started)
        await lab.blocks_until(nursery, lambda: all(lab.execution(job) is not None for job in range(2)))
        await lab.block(nursery)
        assert lab.sent() == []
        lab.runs.gate.set()
        await wait_all_tasks_blocked()
        assert sorted(lab.sent()) == ["Jobs.report", "Jobs.started"]

    at_work(test, tmp_path, workers=1)


def test_a_run_cut_off_is_run_again_under_the_same_attempt(tmp_path: Path) -> None:
    """After a crash in the middle the journal counts two runs of attempt 1, and one report is accepted."""

    async def main() -> None:
        lab = ProcessorLab(tmp_path)
        async with lab.working() as nursery:
            await running(lab, nursery)
        lab.start_again()
        async with lab.working() as nursery:
            await lab.block(nursery)
            (key,) = lab.jobs_journal.keys()
            # The record is there.
            assert (key.attempt, lab.jobs_journal.get(key).runs) == (1, 2)  # type: ignore[union-attr]
            lab.runs.gate.set()
            await lab.blocks_until(nursery, lambda: lab.state() is JobState.DONE)
            assert (lab.execution().state, lab.execution().attempt) == (ExecutionState.ACCEPTED, 1)

    trio.run(main)


def test_a_run_that_breaks_off_every_time_is_given_up(tmp_path: Path) -> None:
    """What nobody foresaw ends no node, and costs an attempt a bounded number of runs; then the slot goes on."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.runs.accidents = BEGUN_MAX
        lab.runs.gate.set()
        lab.register(lab.spec())
        await lab.blocks_until(nursery, lambda: lab.chain.best.number > 5 and lab.state() is JobState.DONE)
        assert declined(lab) == [OutOfResources(Resource.WALL)]
        assert len(lab.runs.started) == BEGUN_MAX + 1
        assert (lab.execution().state, lab.execution().attempt) == (ExecutionState.ACCEPTED, 2)

    at_work(test, tmp_path)


def test_a_finished_run_is_never_repeated(tmp_path: Path) -> None:
    """After a crash between run and report the journal's outcome is reported, and its webhook delivered once."""

    async def main() -> None:
        lab = ProcessorLab(tmp_path)
        async with lab.working() as nursery:
            await running(lab, nursery, destinations=(Chain(), Webhook(HOOK)))
            lab.runs.gate.set()
            await wait_all_tasks_blocked()
            assert lab.sent() == ["Jobs.report"]
        for transaction in list(lab.pool.entries):  # the pool is lost as well
            lab.pool.refuse(transaction)
        lab.start_again()
        async with lab.working() as nursery:
            await lab.blocks_until(nursery, lambda: lab.state() is JobState.DONE)
            assert lab.runs.started == []
            assert lab.look().jobs.results.get((0, 0, 0)).output.data == b"run 1"
            (delivery,) = lab.deliveries
            job_hash = lab.look().jobs.job(0).id_hash
            assert delivery[:2] == (HOOK, identity(lab, job_hash, 1))

    trio.run(main)


def identity(lab: ProcessorLab, job_hash: bytes, destination: int) -> str:
    """The idempotency key of execution 0, whatever slot and attempt."""
    keys = [AttemptKey(job_hash, slot, 0, generation, attempt) for slot, generation, attempt in ((0, 0, 1), (5, 3, 2))]
    (one,) = {delivery_id(lab.chain.genesis_hash, key, destination) for key in keys}
    return one


def test_a_failed_delivery_is_reported_and_tried_again_under_the_same_key(tmp_path: Path) -> None:
    """The first attempt fails with DeliveryFailed(1); the second succeeds, with one idempotency key for both."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.refusals = 1
        lab.runs.gate.set()
        lab.register(lab.spec(destinations=(Chain(), Webhook(HOOK))))
        await lab.blocks_until(nursery, lambda: lab.chain.best.number > 5 and lab.state() is JobState.DONE)
        assert declined(lab) == [DeliveryFailed(1)]
        assert lab.execution().attempt == 2
        assert len(lab.deliveries) == 2
        assert len({key for _, key, _ in lab.deliveries}) == 1

    at_work(test, tmp_path)


def test_a_report_that_a_fork_takes_back_is_sent_again(tmp_path: Path) -> None:
    """The journal keeps an attempt until it is over in a final block: the same outcome is reported, not a new run."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.register(lab.spec())
        await lab.blocks_until(nursery, lambda: lab.execution() is not None)
        fork = lab.chain.best  # final: the assignment, but not yet `started`
        await lab.blocks_until(nursery, lambda: lab.runs.started, final=False)
        lab.runs.gate.set()
        await lab.blocks_until(nursery, lambda: lab.state() is JobState.DONE, final=False)
        await lab.block(nursery, final=False)
        assert len(list(lab.jobs_journal.keys())) == 1
        best, parent, slot = lab.chain.best.number, fork.hash, lab.chain.current_slot()
        lab.clock.time_ms += 60_000
        for _ in range(best - fork.number + 1):
            slot += 1
            parent = (await lab.import_made(parent, slot)).hash()
        assert lab.state() is JobState.ASSIGNED
        await lab.look_around(nursery)
        await lab.blocks_until(nursery, lambda: lab.state() is JobState.DONE)
        assert len(lab.runs.started) == 1
        assert lab.look().jobs.results.get((0, 0, 0)).output.data == b"run 1"
        await lab.block(nursery)
        assert list(lab.jobs_journal.keys()) == []

    at_work(test, tmp_path)


def test_a_run_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    """The owner cancels in the middle: once that is final the run stops, nothing is delivered, the worker is free."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        await running(lab, nursery, destinations=(Chain(), Webhook(HOOK)))
        lab.submit(lab.sign(lab.call("Jobs", "cancel", 0), lab.pool.next_nonce(OWNER.public), OWNER))
        await lab.block(nursery, final=False)
        assert lab.state() is JobState.CANCELLED
        assert lab.watcher.running == 1  # a fork may still bring it back
        lab.finalise()
        await lab.look_around(nursery)
        assert lab.watcher.running == 0
        assert (lab.runs.ended, lab.deliveries) == (0, [])
        await lab.block(nursery)
        assert list(lab.jobs_journal.keys()) == []

    at_work(test, tmp_path)


@pytest.mark.parametrize("percent", [None, 30, 100])
def test_signs_of_life_keep_a_long_run_from_being_suspected(tmp_path: Path, percent: int | None) -> None:
    """A run of more than 20 slots tells its progress: the script's own if it gives one, never the whole, else time."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.runs.percent = percent
        spec = lab.spec()
        lab.register(replace(spec, schedule=replace(spec.schedule, duration_ms=300_000)))
        await lab.blocks_until(nursery, lambda: lab.runs.started)
        began = lab.execution().heartbeat_at
        await lab.blocks_until(nursery, lambda: lab.execution().heartbeat_at > began)
        assert lab.execution().state is ExecutionState.RUNNING
        (told,) = events(lab, ExecutionProgressed)
        if percent is None:
            assert 0 < told.permille < 300
        else:
            assert told.permille == min(10 * percent, 999)

    at_work(test, tmp_path)
