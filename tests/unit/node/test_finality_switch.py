"""Finality that decides against the best chain: the pool follows, and nothing is missed because a fork is gone."""

from __future__ import annotations

from pathlib import Path

import trio

from node.events import Finalised
from node.pool import Status
from node.transactions import TransactionUpdate
from tests.helpers.chain_lab import FIRST_SLOT, Lab


def statuses(channel: trio.MemoryReceiveChannel[TransactionUpdate]) -> list[Status]:
    """What a watcher was told so far."""
    told = []
    while channel.statistics().current_buffer_used:
        told.append(channel.receive_nowait().status)
    return told


def test_a_fork_that_finality_drops_gives_its_transactions_back(tmp_path: Path) -> None:
    """The shorter fork becomes final: what only the longer one held is retracted and ready again."""

    async def body() -> None:
        lab = Lab(tmp_path)
        lab.tick(5)
        raw = lab.sign(lab.transfer())
        updates, heard = trio.open_memory_channel[TransactionUpdate](16)
        lab.transactions.watch(raw, updates)
        name = lab.submit(raw)
        genesis = lab.chain.genesis_hash
        first = await lab.import_made(genesis, FIRST_SLOT + 1, raw)
        longer = await lab.import_made(first.hash(), FIRST_SLOT + 2)
        shorter = await lab.import_made(genesis, FIRST_SLOT + 3)
        assert lab.chain.best.hash == longer.hash()
        lab.finalise(shorter.hash())
        assert lab.chain.best.hash == shorter.hash()
        assert statuses(heard) == [Status.READY, Status.IN_BLOCK, Status.RETRACTED, Status.READY]
        assert lab.pool.entries[name].ready

    trio.run(body)


def test_the_new_best_chain_is_told(tmp_path: Path) -> None:
    """What the fork that became final holds leaves the pool, and its watcher hears in block and final."""

    async def body() -> None:
        lab = Lab(tmp_path)
        lab.tick(5)
        raw = lab.sign(lab.transfer())
        updates, heard = trio.open_memory_channel[TransactionUpdate](16)
        lab.transactions.watch(raw, updates)
        name = lab.submit(raw)
        genesis = lab.chain.genesis_hash
        await lab.import_made(genesis, FIRST_SLOT + 1)
        shorter = await lab.import_made(genesis, FIRST_SLOT + 2, raw)
        assert name in lab.pool.entries
        lab.finalise(shorter.hash())
        assert statuses(heard) == [Status.READY, Status.IN_BLOCK, Status.FINALIZED]
        assert name not in lab.pool.entries

    trio.run(body)


def test_events_read_late_find_their_forks_gone(tmp_path: Path) -> None:
    """A retraction that is read only after finality has removed the fork still gives its transactions back."""

    async def body() -> None:
        lab = Lab(tmp_path)
        lab.tick(9)
        raw = lab.sign(lab.transfer())
        name = lab.submit(raw)
        genesis = lab.chain.genesis_hash
        await lab.import_made(genesis, FIRST_SLOT + 1, raw)
        other, _ = lab.make(genesis, FIRST_SLOT + 2)
        await lab.chain.import_block(other)
        upon, _ = lab.make(other.header.hash(), FIRST_SLOT + 3)
        await lab.chain.import_block(upon)
        lab.chain.finalise(upon.header.hash())
        lab.follow()
        assert lab.pool.entries[name].ready

    trio.run(body)


def test_finality_on_the_best_chain_moves_nothing(tmp_path: Path) -> None:
    """The usual case: no block enters or leaves the best chain."""

    async def body() -> None:
        lab = Lab(tmp_path)
        header = await lab.author_block()
        with lab.chain.events.listen() as events:
            lab.finalise(header.hash())
            event = events.receive_nowait()
        assert isinstance(event, Finalised)
        assert (event.enacted, event.retracted) == ((), ())

    trio.run(body)
