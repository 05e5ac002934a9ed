"""Which panels a juror looks at when there are more than one look takes."""

from pathlib import Path

import trio

from pallets.jobs.types import RuntimeKind
from pallets.juries.types import Dispute, PanelKind, Seat
from runtime.heddle import Heddle
from tests.helpers.processor_lab import ProcessorLab


def with_panels(lab: ProcessorLab, count: int) -> Heddle:
    """The best state with so many panels more, of which the last seats the lab's processor."""
    runtime: Heddle = lab.look()
    dispute = Dispute(0, 0, bytes(32), RuntimeKind.WASM, 1, 1_000, (), ())
    numbers = [runtime.juries.open(PanelKind.JURY, dispute) for _ in range(count)]
    own = Seat(lab.pair.public, lab.pair.public, 0, None, None)
    order = [number for number, _ in runtime.juries.panels.items()]
    assert len(numbers) == len(order)
    runtime.juries.benches.put((order[-1], 0), (own,))
    return runtime


def test_each_of_many_panels_has_its_turn_and_an_own_seat_is_never_lost_sight_of(tmp_path: Path) -> None:
    """Five panels, two a look: three looks see all of them, and every later look has the one with our seat."""

    async def run() -> None:
        lab = ProcessorLab(tmp_path)
        await lab.author_block()
        jurors, runtime = lab.watcher.jurors, with_panels(lab, 5)
        jurors.panels_seen_max, jurors.looks_max = 2, 1
        order = [number for number, _ in runtime.juries.panels.items()]
        async with trio.open_nursery() as nursery:
            looks = []
            for _ in range(6):
                looks.append([number for number, *_ in jurors._panels(runtime)])
                jurors.step(runtime, nursery)
        assert looks[:3] == [order[:2], order[2:4], order[4:]]
        assert looks[3:] == [[*order[:2], order[4]], [*order[2:4], order[4]], order[4:]]

    trio.run(run)
