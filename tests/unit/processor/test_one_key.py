"""Two processors with one key, as when somebody starts a second node from a copy of the first: nobody is harmed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from pallets.balances import HoldReason
from pallets.jobs.destinations import Chain, Webhook
from pallets.jobs.events import ExecutionAccepted
from pallets.jobs.records import ExecutionState, JobState
from pallets.jobs.types import Quorum
from tests.helpers.processor_lab import PAIR, Colleague, ProcessorLab
from tests.unit.processor.test_rounds import events, is_advertised

RIGHT, OTHER = b"the result", b"another result"
WEBHOOK = Webhook("http://example.com/hook")
CALM_BLOCKS = 128
CALLS_MAX = 8
"""In so many blocks: two of them withdraw and publish, each at most every 64 blocks."""
Test = Callable[[ProcessorLab, trio.Nursery], Awaitable[None]]


def twins(test: Test, folder: Path, output: bytes, *colleagues: str) -> None:
    """Run a test with the lab's own processor, one more with its key, a disk of its own and this output, and others."""

    async def run() -> None:
        lab = ProcessorLab(folder)
        lab.runs.output = RIGHT
        lab.runs.gate.set()
        async with lab.working() as nursery:
            await lab.look_around(nursery)
            await lab.blocks_until(nursery, lab.advertised)
            twin = Colleague(lab, "Alice", output)
            assert twin.pair.public == PAIR.public
            lab.colleagues = [twin, *(Colleague(lab, name, RIGHT) for name in colleagues)]
            await lab.blocks_until(nursery, lambda: all(is_advertised(lab, one) for one in lab.colleagues))
            await test(lab, nursery)

    trio.run(run)


def is_done(lab: ProcessorLab) -> bool:
    """Whether job 0 has come to its end."""
    return (
        bool(lab.look().jobs.jobs.contains(0))
        and lab.state() is not JobState.ASSIGNED
        and lab.state().value >= JobState.DONE.value
    )


@pytest.mark.parametrize("output", [RIGHT, OTHER], ids=["the same result", "different results"])
def test_one_of_them_reports(tmp_path: Path, output: bytes) -> None:
    """Both run the job; one report is taken, paid once, and nothing is lost."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.register(lab.spec(destinations=(Chain(), WEBHOOK)))
        await lab.blocks_until(nursery, lambda: is_done(lab))
        assert (lab.execution().state, lab.execution().attempt) == (ExecutionState.ACCEPTED, 1)
        accepted = [one for one in events(lab) if isinstance(one, ExecutionAccepted)]
        assert len(accepted) == 1
        unharmed(lab)
        await silent(lab, nursery)

    twins(test, tmp_path, output)


def test_one_of_them_commits(tmp_path: Path) -> None:
    """One commitment is taken and opened, by whichever of the two: their keys give it one salt."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.register(lab.spec(slots=2, verification=Quorum(2), destinations=(Chain(),)))
        await lab.blocks_until(nursery, lambda: is_done(lab))
        found = [lab.look().jobs.executions.get((0, slot, 0)).state for slot in range(2)]
        assert found == [ExecutionState.ACCEPTED] * 2
        unharmed(lab)
        await silent(lab, nursery)

    twins(test, tmp_path, RIGHT, "Bob")


def unharmed(lab: ProcessorLab) -> None:
    """Nothing of the stake is gone, and no bond is held."""
    look = lab.look()
    assert look.balances.held(PAIR.public, HoldReason.BOND) == 0
    assert look.processors.units(PAIR.public) == 1


async def silent(lab: ProcessorLab, nursery: trio.Nursery) -> None:
    """All that is left to do is that each wants its own one-time keys listed, which it says ever more rarely."""
    for _ in range(CALM_BLOCKS):
        await lab.block(nursery)
    nonce = lab.look().system.accounts.get(PAIR.public).nonce
    for _ in range(CALM_BLOCKS):
        await lab.block(nursery)
    assert lab.look().system.accounts.get(PAIR.public).nonce - nonce <= CALLS_MAX
    for twin in (lab.watcher, lab.colleagues[0].watcher):
        assert twin.running == 0
        assert list(twin.journal.keys()) == []
