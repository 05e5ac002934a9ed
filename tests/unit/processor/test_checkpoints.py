"""Checkpoints of runs: published at a bounded rate, taken up by the next attempt, none where results are compared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from node.processor.checkpoints import CHECKPOINT_SLOTS
from pallets.jobs.events import CheckpointStored
from pallets.jobs.types import Quorum, Trusted
from tests.helpers.processor_lab import Colleague, ProcessorLab
from tests.unit.processor.test_rounds import events, is_advertised

Test = Callable[[ProcessorLab, trio.Nursery], Awaitable[None]]


def with_two(test: Test, folder: Path) -> None:
    """Run a test on a lab where two processors are at work, whose runs do not end."""

    async def run() -> None:
        lab = ProcessorLab(folder)
        lab.awake = False
        for name in ("Bob", "Charlie"):
            colleague = Colleague(lab, name, b"result")
            colleague.runs.gate = trio.Event()
            colleague.runs.states = [b"first", b"second"]
            lab.colleagues.append(colleague)
        async with lab.working() as nursery:
            await lab.look_around(nursery)
            await lab.blocks_until(nursery, lambda: all(is_advertised(lab, one) for one in lab.colleagues))
            await test(lab, nursery)

    trio.run(run)


def stored(lab: ProcessorLab) -> list[Any]:
    """The checkpoints that are on chain, oldest first."""
    return [event for event in events(lab) if isinstance(event, CheckpointStored)]


def test_another_processor_goes_on_from_the_last_state(tmp_path: Path) -> None:
    """The first one saves and falls silent; whoever gets the slot then starts with what it had saved last."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.register(lab.spec())
        await lab.blocks_until(nursery, lambda: stored(lab))
        (first,) = (one for one in lab.colleagues if one.runs.started)
        (second,) = (one for one in lab.colleagues if one is not first)
        assert first.runs.started[0].checkpoint is None
        assert lab.blobs.store.get(stored(lab)[0].state.cid) == b"second"
        first.awake = False
        for _ in range(200):
            if second.runs.started:
                break
            await lab.block(nursery)
        assert second.runs.started[0].checkpoint == b"second"

    with_two(test, tmp_path)


def test_states_leave_at_a_bounded_rate(tmp_path: Path) -> None:
    """However often a script saves, one state in so many slots is published: the last one."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        spec = lab.spec()
        lab.register(replace(spec, schedule=replace(spec.schedule, duration_ms=300_000)))
        await lab.blocks_until(nursery, lambda: stored(lab))
        (worker,) = (one for one in lab.colleagues if one.runs.started)
        (key,) = worker.watcher.runs._active
        for number in range(2 * CHECKPOINT_SLOTS):
            worker.watcher.runs.checkpoints.save(key, b"state %d" % number)
            await lab.block(nursery)
        assert 2 <= len(stored(lab)) <= 3
        assert len({event.state.cid for event in stored(lab)}) == len(stored(lab))

    with_two(test, tmp_path)


@pytest.mark.parametrize("mode", [Trusted(), Quorum(2)])
def test_compared_runs_save_nothing(tmp_path: Path, mode: Any) -> None:
    """Where results are compared a state would be a difference between replicas: it is not even taken."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.register(lab.spec(slots=2, verification=mode))
        await lab.blocks_until(nursery, lambda: all(one.runs.started for one in lab.colleagues))
        for _ in range(4):
            await lab.block(nursery)
        assert len(stored(lab)) == (2 if mode == Trusted() else 0)

    with_two(test, tmp_path)
