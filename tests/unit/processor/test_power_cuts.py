"""A processor whose machine stops before each of its writes in turn, and starts again from what is on the disk."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random

import pytest
import trio

from node.processor.vault import read_place
from pallets.balances import HoldReason
from pallets.jobs.destinations import Chain, Webhook
from pallets.jobs.events import CheckpointStored
from pallets.jobs.records import ExecutionState, JobState
from pallets.jobs.types import Quorum, Sealing
from tests.helpers.processor_lab import PAIR, Colleague, GatedPool, ProcessorLab
from tests.sim.disk import MemoryDatabase
from tests.unit.processor.test_keeper import VALUE, Owner, prekeys
from tests.unit.processor.test_rounds import events

DEADLINE_S = 300
BLOCKS_MAX = 80
OUTPUT = b"the result"
WEBHOOK = Webhook("http://example.com/hook")
Act = Callable[[ProcessorLab], None]


class PowerCut(BaseException):
    """The machine stops: nothing in the process may catch that."""


class Machine:
    """A lab's processor, and a disk that stops the machine once, before a write: `left` writes from now on."""

    def __init__(self, folder: Path) -> None:
        self.lab = ProcessorLab(folder)
        self.left: int | None = None
        self.was_cut = False
        self.lives: list[GatedPool] = []
        self.lab.disk = MemoryDatabase(on_write=self._before_write)
        self.start()

    def start(self) -> None:
        """A new process. Each would come to an output of its own, if it ran again what had been run."""
        self.lab.start_again()
        self.lab.runs.gate.set()
        self.lives.append(self.lab.runs)

    def _before_write(self, _number: int) -> None:
        if self.left == 0:
            raise PowerCut
        if self.left is not None:
            self.left -= 1

    async def live(self, act: Act, done: Callable[[], bool]) -> None:
        """Blocks until `done`, over the cut if there is one; `act` is what others do after each block."""
        try:
            await self._blocks(act, done)
            return
        except BaseExceptionGroup as group:
            if group.subgroup(PowerCut) is None or group.split(PowerCut)[1] is not None:
                raise
        self.was_cut = True
        self.lab.disk = self.lab.disk.crash(Random(0))
        self.start()
        await self._blocks(act, done)

    async def _blocks(self, act: Act, done: Callable[[], bool]) -> None:
        async with self.lab.working() as nursery:
            for _ in range(BLOCKS_MAX):
                if done():
                    return
                act(self.lab)
                await self.lab.block(nursery)
            raise AssertionError(f"not within {BLOCKS_MAX} blocks; sent so far: {self.lab.sent()}")

    def is_ready(self) -> bool:
        """Whether the processor and its colleagues are advertised with their one-time keys."""
        everybody = (PAIR.public, *(one.pair.public for one in self.lab.colleagues))
        keys = self.lab.look().secrets.prekeys
        return all(keys.get(one) for one in everybody) and self.lab.advertised()

    def is_over(self) -> bool:
        """Whether job 0 is done and the journal knows nothing of it."""
        there = self.lab.look().jobs.jobs.contains(0)
        return there and self.lab.state() is JobState.DONE and not list(self.lab.jobs_journal.keys())


def nobody(_lab: ProcessorLab) -> None:
    """Nothing is done by others."""


async def every_cut(folder: Path, story: Callable[[Machine, int], object]) -> int:
    """Live a story with a cut before its first write, its second, … until one ends without; how many cuts there were.

    `story` is given the machine and the writes before the cut.
    """
    for cut in count():
        machine = Machine(folder / str(cut))
        await story(machine, cut)  # type: ignore[misc]  # a coroutine function
        if not machine.was_cut:
            return cut
    raise AssertionError("unreachable")


@pytest.mark.deadline(DEADLINE_S)
def test_a_trusted_result_survives_a_cut_before_any_write(tmp_path: Path) -> None:
    """What was delivered is what is reported, under one identity, and is paid once, in its first attempt."""

    async def story(machine: Machine, cut: int) -> None:
        lab = machine.lab
        await machine.live(nobody, machine.is_ready)
        lab.register(lab.spec(destinations=(Chain(), WEBHOOK)))
        machine.left = cut
        await machine.live(lambda _: own_output(machine), machine.is_over)
        record, result = lab.execution(), lab.look().jobs.results.get((0, 0, 0))
        assert (record.state, record.attempt) == (ExecutionState.ACCEPTED, 1)
        assert record.paid > 0
        assert len(set(lab.deliveries)) == 1
        assert f'"output":"{result.output.data.decode()}"' in lab.deliveries[0][2]
        assert lab.look().balances.held(PAIR.public, HoldReason.BOND) == 0

    def own_output(machine: Machine) -> None:
        machine.lab.runs.output = b"life %d" % len(machine.lives)

    # begin, finish, two destinations, forget
    assert trio.run(every_cut, tmp_path, story) == 5


@pytest.mark.deadline(DEADLINE_S)
def test_a_commitment_survives_a_cut_before_any_write(tmp_path: Path) -> None:
    """Whatever was committed to is revealed, accepted and delivered: no bond is lost, nobody is paid twice."""

    async def story(machine: Machine, cut: int) -> None:
        lab = machine.lab
        lab.colleagues.append(Colleague(lab, "Bob", OUTPUT))
        await machine.live(nobody, machine.is_ready)
        lab.register(lab.spec(slots=2, verification=Quorum(2), destinations=(Chain(), WEBHOOK)))
        machine.left = cut
        await machine.live(lambda _: same_output(lab), machine.is_over)
        for slot in range(2):
            record = lab.look().jobs.executions.get((0, slot, 0))
            assert (record.state, record.attempt) == (ExecutionState.ACCEPTED, 1)
        for who in (PAIR.public, lab.colleagues[0].pair.public):
            assert lab.look().balances.held(who, HoldReason.BOND) == 0
            assert lab.look().processors.units(who) == 1

    def same_output(lab: ProcessorLab) -> None:
        lab.runs.output = OUTPUT

    # begin, finish, forget; which of the two delivers is the draw's
    assert trio.run(every_cut, tmp_path, story) >= 3


@pytest.mark.deadline(DEADLINE_S)
def test_the_key_to_a_jobs_secrets_survives_a_cut_before_any_write(tmp_path: Path) -> None:
    """No acknowledgment names a key whose other half is lost: the run has its values, in its first attempt."""

    async def story(machine: Machine, cut: int) -> None:
        lab = machine.lab
        await machine.live(nobody, machine.is_ready)
        for _ in range(2):  # the keys are noted as listed before the job comes
            await machine.live(nobody, next_block(lab))
        owner = Owner(lab, Sealing.SERVED)
        owner.register()
        machine.left = cut

        def serve(_: ProcessorLab) -> None:
            slot = lab.look().jobs.slot(0, 0) if lab.look().jobs.jobs.contains(0) else None
            if slot is not None and slot.key is not None and not slot.sealed:
                owner.serve()

        await machine.live(serve, lambda: machine.is_over() and not places(lab))
        assert (lab.execution().state, lab.execution().attempt) == (ExecutionState.ACCEPTED, 1)
        assert {run.environment["TOKEN"] for life in machine.lives for run in life.started} == {VALUE}

    # the key, begin, finish, the destination, forget, erase
    assert trio.run(every_cut, tmp_path, story) == 6


def places(lab: ProcessorLab) -> list[bytes]:
    """The keys of acknowledgments in the vault."""
    return [key for key, purpose in lab.vault.all() if read_place(purpose) is not None]


def next_block(lab: ProcessorLab) -> Callable[[], bool]:
    """Whether there is a block more than now."""
    height = lab.chain.best.number
    return lambda: lab.chain.best.number > height


@pytest.mark.deadline(DEADLINE_S)
def test_one_time_keys_survive_a_cut_before_any_write(tmp_path: Path) -> None:
    """None is published whose other half is not on the disk."""

    async def story(machine: Machine, cut: int) -> None:
        lab = machine.lab
        machine.left = cut
        await machine.live(nobody, machine.is_ready)
        assert all(lab.vault.private(key) is not None for key in prekeys(lab))

    assert trio.run(every_cut, tmp_path, story) >= 8


def test_a_run_cut_off_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """The same attempt begins again after a crash, with the last state that the chain names."""

    async def main() -> None:
        lab = ProcessorLab(tmp_path)
        lab.runs.states = [b"first", b"second"]
        async with lab.working() as nursery:
            lab.register(lab.spec())
            await lab.blocks_until(nursery, lambda: any(isinstance(one, CheckpointStored) for one in events(lab)))
        lab.start_again()
        async with lab.working() as nursery:
            await lab.blocks_until(nursery, lambda: lab.runs.started)
            assert lab.runs.started[0].checkpoint == b"second"
            lab.runs.gate.set()
            await lab.blocks_until(nursery, lambda: lab.state() is JobState.DONE)
            assert lab.execution().attempt == 1

    trio.run(main)
