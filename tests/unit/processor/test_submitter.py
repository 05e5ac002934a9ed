"""The submitter: one transaction in flight for a wish, repeated with a growing pause, in a mortal era."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from node.processor.submitter import ERA_BLOCKS, TRIES_MAX, WISHES_MAX
from runtime.address import Era
from tests.helpers.chain_lab import CHARLIE, UNIT
from tests.helpers.processor_lab import ProcessorLab

WISH = ("heartbeat", 7)
USELESS = ("Processors", "heartbeat", 1)
"""Fails in its block: the account is not registered."""


def with_lab(test: Callable[[ProcessorLab], Awaitable[None]], folder: Path) -> None:
    """Run a test on a lab of its own."""

    async def run() -> None:
        await test(ProcessorLab(folder))

    trio.run(run)


def test_a_wish_is_in_flight_once(tmp_path: Path) -> None:
    """Wanted at every look it is sent once, and an effect that was seen lets it be sent anew at once."""

    async def test(lab: ProcessorLab) -> None:
        want = lab.submitter.want
        assert want(WISH, "Balances", "transfer_keep_alive", CHARLIE.public, UNIT)
        for _ in range(3):
            assert not want(WISH, "Balances", "transfer_keep_alive", CHARLIE.public, UNIT)
        free = lab.free(CHARLIE)
        await lab.author_block()
        assert lab.free(CHARLIE) == free + UNIT
        assert not want(WISH, "Balances", "transfer_keep_alive", CHARLIE.public, UNIT)
        lab.submitter.done(WISH)
        assert want(WISH, "Balances", "transfer_keep_alive", CHARLIE.public, UNIT)

    with_lab(test, tmp_path)


def test_a_call_without_effect_is_repeated_after_growing_pauses(tmp_path: Path) -> None:
    """2, 4, 8 … blocks lie between two tries, and 64 at the most: never again would be for ever."""

    async def test(lab: ProcessorLab) -> None:
        sent: list[int] = []
        while len(sent) < TRIES_MAX + 2:
            if lab.submitter.want(WISH, *USELESS):
                sent.append(lab.chain.best.number)
            await lab.author_block()
            lab.finalise()
        pauses = [later - earlier for earlier, later in itertools.pairwise(sent)]
        assert pauses == [2, 4, 8, 16, 32, 64, 64]

    with_lab(test, tmp_path)


def test_wishes_of_one_block_have_nonces_in_a_row(tmp_path: Path) -> None:
    """Several wishes go into one block, in their order."""

    async def test(lab: ProcessorLab) -> None:
        for number in range(5):
            assert lab.submitter.want(number, "Balances", "transfer_keep_alive", CHARLIE.public, UNIT)
        own = [entry.extrinsic for entry in lab.pool.entries.values()]
        assert [one.nonce for one in own] == list(range(5))
        free = lab.free(CHARLIE)
        await lab.author_block()
        assert lab.free(CHARLIE) == free + 5 * UNIT
        assert not lab.pool.entries

    with_lab(test, tmp_path)


def test_transactions_are_mortal(tmp_path: Path) -> None:
    """The era begins at the best block and covers 64 blocks, so that what was not included in time never is."""

    async def test(lab: ProcessorLab) -> None:
        for _ in range(3):
            await lab.author_block()
        lab.submitter.want(WISH, *USELESS)
        (entry,) = lab.pool.entries.values()
        height = lab.chain.best.number
        assert entry.extrinsic.era == Era.mortal(ERA_BLOCKS, height)
        assert entry.extrinsic.era.birth(height) == height
        assert entry.extrinsic.era.death(height) == height + ERA_BLOCKS

    with_lab(test, tmp_path)


def test_what_the_pool_refuses_is_no_crash_and_is_tried_again(tmp_path: Path) -> None:
    """A call that the pool does not take counts as a try; a later one goes through."""

    async def test(lab: ProcessorLab) -> None:
        lab.submitter.want("first", *USELESS)
        (entry,) = list(lab.pool.entries.values())
        lab.pool.refuse(entry.extrinsic.hash)  # banned: the same bytes are not taken again for a while
        assert not lab.submitter.want("second", *USELESS)
        assert not lab.pool.entries
        for _ in range(2):
            await lab.author_block()
        assert lab.submitter.want("second", *USELESS)

    with_lab(test, tmp_path)


def test_wishes_are_bounded(tmp_path: Path) -> None:
    """The oldest wish is forgotten when there are too many; nothing else changes."""

    async def test(lab: ProcessorLab) -> None:
        lab.submitter.want("oldest", *USELESS)
        for number in range(WISHES_MAX):
            lab.submitter._wishes[number] = lab.submitter._wishes["oldest"]
        assert len(lab.submitter._wishes) == WISHES_MAX + 1
        lab.submitter.want("newest", *USELESS)
        assert "oldest" not in lab.submitter._wishes
        assert "newest" in lab.submitter._wishes

    with_lab(test, tmp_path)
