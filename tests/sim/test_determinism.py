"""Canaries of the simulation itself: chance is seeded, time is virtual, and rules that break are noticed."""

from __future__ import annotations

import pytest
import trio

from consensus.grandpa.messages import GOSSIP, Precommit, SignedMessage, VoteMessage
from node.events import Finalised
from node.network.port import Kind, Notification, PeerId
from node.store.records import Head
from tests.sim.determinism import Trace, random_of, run
from tests.sim.disk import MemoryDatabase
from tests.sim.observer import Observer
from tests.sim.power import Power, PowerCut, PoweredDatabase, PoweredVotesLog, VotesDisk
from tests.sim.rules import BrokenRule

TASKS = 50


async def _order() -> list[int]:
    """The order in which tasks that are ready at once happen to run."""
    seen: list[int] = []

    async def task(number: int) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            seen.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(TASKS):
            nursery.start_soon(task, number)
    return seen


def test_the_seed_decides_the_order_of_tasks() -> None:
    """trio's scheduler follows the seed: the same order twice, another one for another seed."""
    assert run(1, _order) == run(1, _order)
    assert len({tuple(run(seed, _order)) for seed in range(20)}) > 1


def test_time_is_virtual() -> None:
    """An hour passes at once, to the second."""

    async def hour() -> float:
        before = trio.current_time()
        await trio.sleep(3_600)
        return trio.current_time() - before

    assert run(1, hour) == 3_600


def test_each_concern_has_its_own_chance() -> None:
    """Generators of different concerns and seeds differ; the same ones agree."""
    drawn = [random_of(seed, concern).random() for seed in (1, 2) for concern in ("wires", "faults")]
    assert len(set(drawn)) == 4
    assert random_of(1, "wires").random() == drawn[0]


def _power(moment: int) -> Power:
    """A supply that fails at the next write, at a chosen moment of it."""
    seed = next(s for s in range(100) if _drawn_moment(s) == moment)
    return Power(random_of(seed, "power"), lambda: 1.0, lambda: None)


def _drawn_moment(seed: int) -> int:
    random = random_of(seed, "power")
    random.random()
    return random.randrange(2)


@pytest.mark.parametrize("moment", [0, 1])
def test_a_power_cut_falls_before_or_after_a_write(moment: int) -> None:
    """The write is there afterwards or it is not; the dead machine writes nothing more."""
    memory, power = MemoryDatabase(), _power(moment)
    database = PoweredDatabase(power, memory)
    for _ in range(2):
        with pytest.raises(PowerCut):
            database.write([(b"key", b"value")], sync=True)
    assert memory.writes == moment
    assert memory.get(b"key") == (b"value" if moment else None)


def test_a_power_cut_tears_the_vote_log() -> None:
    """Of an append a strict prefix may be left."""
    disk = VotesDisk(b"old")
    with pytest.raises(PowerCut):
        PoweredVotesLog(_power(0), disk).append(bytes(range(160)))
    assert disk.content.startswith(b"old")
    assert len(disk.content) < 163


def _broken(check: str) -> None:
    async def body() -> None:
        observer = Observer(2_000, bytes(32), Trace())
        if check == "two votes":
            for target in (b"\x01" * 32, b"\x02" * 32):
                signed = SignedMessage(Precommit(target, 7), bytes(64), b"\x0a" * 32)
                data = GOSSIP.encode(VoteMessage(3, 0, signed))
                observer.sent("Alice", Notification(PeerId("Alice"), Kind.VOTE, data))
        elif check == "two final blocks":
            observer.final[7] = b"\x01" * 32
            observer.finalised("Bob", Finalised((Head(7, b"\x02" * 32),), (), Head(7, b"\x02" * 32)))
        else:
            observer.delivered("job", 0, "first")
            observer.delivered("job", 0, "second")

    run(0, body)


@pytest.mark.parametrize("check", ["two votes", "two final blocks", "two delivery keys"])
def test_the_rules_bite(check: str) -> None:
    """What must never happen is noticed at once."""
    with pytest.raises(BrokenRule):
        _broken(check)
