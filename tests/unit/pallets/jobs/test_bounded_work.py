"""What a block does is bounded by what it declares and charges: no walk through the state, no hidden factor."""

from collections.abc import Iterator

from pallets.jobs.events import JobForgotten
from runtime.state import EmptyReader
from tests.helpers.job_world import ALICE, PROCESSORS, World

ONE, TWO = PROCESSORS[:2]


class NoWalks(EmptyReader):
    """A state that answers for single keys only: a walk would also pass over all that the block touched before."""

    def iterate(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        raise AssertionError(f"a block walked the state under 0x{prefix.hex()}")


def test_no_block_walks_the_state() -> None:
    """From registration to oblivion, with results kept and a run cut short, no call and no hook enumerates keys."""
    world = World()
    for processor in (ONE, TWO):
        world.offer_capacity(processor)
    for cancelled in (False, True):
        world.state.reader = NoWalks()
        world.assign(job := world.register(), ONE, TWO)
        world.run(job, 0, 0)
        world.start(job, 0, 1)
        if cancelled:
            world.call("Jobs", "cancel", ALICE, job)
        else:
            world.report(job, 0, 1)
        world.slots(1_010)
        world.state.reader = EmptyReader()
        for item in (world.jobs.jobs, world.jobs.slots, world.jobs.executions, world.jobs.results):
            assert not list(item.items())
        world.check()
    assert len(world.events(JobForgotten)) == 2
