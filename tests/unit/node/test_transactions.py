"""What watchers of a transaction are told, from submission to finality, across forks and replacements."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from node.pool import Status
from node.transactions import WATCHERS_MAX, TooManyWatchers, TransactionUpdate
from runtime.address import Era
from runtime.hashing import blake2b256
from tests.helpers.chain_lab import BOB, CHARLIE, UNIT, Lab

Updates = trio.MemoryReceiveChannel[TransactionUpdate]


def with_lab(test: Callable[[Lab], Awaitable[None]], folder: Path) -> None:
    """Run a test on a lab of its own."""

    async def run() -> None:
        await test(Lab(folder))

    trio.run(run)


def watch(lab: Lab, raw: bytes) -> Updates:
    """Watch and submit."""
    send, receive = trio.open_memory_channel[TransactionUpdate](64)
    lab.transactions.watch(raw, send)
    lab.submit(raw)
    return receive


def told(updates: Updates) -> list[Any]:
    """What a watcher was told so far, as clients see it."""
    found = []
    while updates.statistics().current_buffer_used:
        found.append(updates.receive_nowait().json())
    return found


def hexed(data: bytes) -> str:
    """0x hex."""
    return "0x" + data.hex()


def test_from_ready_to_finalized(tmp_path: Path) -> None:
    """ready, inBlock with the block's hash, finalized with it; then the watcher's channel ends."""

    async def test(lab: Lab) -> None:
        updates = watch(lab, lab.sign(lab.transfer()))
        block = (await lab.author_block()).hash()
        assert told(updates) == ["ready", {"inBlock": hexed(block)}]
        await lab.author_block()
        lab.finalise()
        assert told(updates) == [{"finalized": hexed(block)}]
        with pytest.raises(trio.EndOfChannel):
            updates.receive_nowait()

    with_lab(test, tmp_path)


def test_future_then_ready(tmp_path: Path) -> None:
    """One whose predecessor is missing is told future, then ready."""

    async def test(lab: Lab) -> None:
        updates = watch(lab, lab.sign(lab.transfer(), 1))
        assert told(updates) == ["future"]
        lab.submit(lab.sign(lab.transfer(), 0))
        assert told(updates) == ["ready"]

    with_lab(test, tmp_path)


def test_broadcast_names_the_peers(tmp_path: Path) -> None:
    """When the relay sends it, its watcher is told to whom."""

    async def test(lab: Lab) -> None:
        raw = lab.sign(lab.transfer())
        updates = watch(lab, raw)
        lab.transactions.broadcast(blake2b256(raw), ("peer",))
        assert told(updates) == ["ready", {"broadcast": ["peer"]}]

    with_lab(test, tmp_path)


def test_usurped_by_a_higher_tip(tmp_path: Path) -> None:
    """The one that was replaced is told by whom."""

    async def test(lab: Lab) -> None:
        updates = watch(lab, lab.sign(lab.transfer()))
        winner = lab.submit(lab.sign(lab.transfer(), tip=UNIT))
        assert told(updates) == ["ready", {"usurped": hexed(winner)}]

    with_lab(test, tmp_path)


def test_retracted_and_included_again(tmp_path: Path) -> None:
    """A longer fork without it: retracted, ready again, and in a block of that fork."""

    async def test(lab: Lab) -> None:
        genesis = lab.chain.best.hash
        raw = lab.sign(lab.transfer())
        updates = watch(lab, raw)
        first = await lab.import_made(genesis, lab.tick(), raw)
        other = await lab.import_made(genesis, lab.tick())
        await lab.import_made(other.hash(), lab.tick())
        assert told(updates) == ["ready", {"inBlock": hexed(first.hash())}, {"retracted": hexed(first.hash())}, "ready"]
        again = await lab.author_block()
        assert told(updates) == [{"inBlock": hexed(again.hash())}]
        assert lab.look().system.accounts.get(BOB.public).nonce == 1

    with_lab(test, tmp_path)


def test_a_retracted_one_that_is_on_both_forks(tmp_path: Path) -> None:
    """If the winning fork has it as well, the watcher is told of that block, and the pool holds nothing."""

    async def test(lab: Lab) -> None:
        genesis = lab.chain.best.hash
        raw = lab.sign(lab.transfer())
        updates = watch(lab, raw)
        first = await lab.import_made(genesis, lab.tick(), raw)
        other = await lab.import_made(genesis, lab.tick(), raw)
        await lab.import_made(other.hash(), lab.tick())
        assert told(updates)[1:] == [
            {"inBlock": hexed(first.hash())},
            {"retracted": hexed(first.hash())},
            {"inBlock": hexed(other.hash())},
        ]
        assert lab.pool.entries == {}

    with_lab(test, tmp_path)


def test_a_mortal_one_of_a_lost_fork_is_gone(tmp_path: Path) -> None:
    """One whose era block was retracted does not hold on the other fork, and what followed it waits."""

    async def test(lab: Lab) -> None:
        genesis = lab.chain.best.hash
        first = await lab.import_made(genesis, lab.tick())
        mortal = lab.sign(lab.transfer(), 0, era=Era.mortal(8, 1), era_block_hash=first.hash())
        lab.submit(mortal)
        follower = watch(lab, lab.sign(lab.transfer(), 1))
        second = await lab.import_made(first.hash(), lab.tick(), mortal)
        other = genesis
        for _ in range(3):
            other = (await lab.import_made(other, lab.tick())).hash()
        assert lab.chain.best.hash == other
        assert not lab.store.is_descendant(other, second.hash())
        assert told(follower) == ["ready", "future"]
        assert lab.look().system.accounts.get(BOB.public).nonce == 0

    with_lab(test, tmp_path)


def test_an_expired_one_is_invalid(tmp_path: Path) -> None:
    """A mortal transaction that no block took in time is told invalid."""

    async def test(lab: Lab) -> None:
        first = await lab.author_block()
        lab.submit(lab.sign(lab.transfer(), 0, CHARLIE))
        updates = watch(lab, lab.sign(lab.transfer(), 0, era=Era.mortal(4, 1), era_block_hash=first.hash()))
        parent = first.hash()
        for _ in range(4):
            parent = (await lab.import_made(parent, lab.tick())).hash()
        assert told(updates) == ["ready", "invalid"]
        assert len(lab.pool.entries) == 1

    with_lab(test, tmp_path)


def test_a_refused_submission_leaves_no_watcher_of_its_own(tmp_path: Path) -> None:
    """Who unwatches is forgotten, whether the transaction was taken or not."""

    async def test(lab: Lab) -> None:
        send, _receive = trio.open_memory_channel[TransactionUpdate](1)
        watched = lab.transactions.watch(b"no extrinsic", send)
        lab.transactions.unwatch(watched, send)
        lab.transactions.unwatch(watched, send)
        assert lab.transactions._watchers == {}

    with_lab(test, tmp_path)


def test_a_watcher_that_does_not_read_is_dropped(tmp_path: Path) -> None:
    """A full channel ends the watching and nothing else."""

    async def test(lab: Lab) -> None:
        send, receive = trio.open_memory_channel[TransactionUpdate](0)
        raw = lab.sign(lab.transfer())
        lab.transactions.watch(raw, send)
        lab.submit(raw)
        assert lab.transactions._watchers == {}
        with pytest.raises(trio.EndOfChannel):
            receive.receive_nowait()
        await lab.author_block()

    with_lab(test, tmp_path)


def test_watchers_are_bounded(tmp_path: Path) -> None:
    """Beyond 4,096 watched transactions the next watcher is refused."""

    async def test(lab: Lab) -> None:
        send, _receive = trio.open_memory_channel[TransactionUpdate](1)
        for number in range(WATCHERS_MAX):
            lab.transactions.watch(number.to_bytes(4, "little"), send)
        with pytest.raises(TooManyWatchers):
            lab.transactions.watch(b"one more", send)

    with_lab(test, tmp_path)


def test_the_task_follows_the_chain(tmp_path: Path) -> None:
    """`run` takes included transactions out of the pool without being asked."""

    async def test(lab: Lab) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(lab.transactions.run)
            updates = watch(lab, lab.sign(lab.transfer()))
            assert await lab.author.try_slot(lab.tick())
            with trio.fail_after(10):
                statuses = [(await updates.receive()).status for _ in range(2)]
            assert statuses == [Status.READY, Status.IN_BLOCK]
            assert lab.pool.entries == {}
            nursery.cancel_scope.cancel()

    with_lab(test, tmp_path)
