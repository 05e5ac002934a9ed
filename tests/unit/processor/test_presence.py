"""What a node stakes by itself."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.keys.pair import from_uri
from node.processor.presence import STAKE_LEAVES_FREE, Presence, with_native_of
from node.processor.submitter import Submitter
from pallets.jobs.types import RuntimeKind
from tests.helpers.chain_lab import BOB, UNIT
from tests.helpers.processor_lab import ADVERT, PAIR, ProcessorLab


async def present(lab: ProcessorLab, presence: Presence, blocks: int = 4) -> None:
    """Some blocks, and a look at each."""
    for _ in range(blocks):
        presence.step(lab.look())
        await lab.author_block()


def on_a_chain(test: Callable[[ProcessorLab], Awaitable[None]], folder: Path) -> None:
    """Run a test in a lab of its own."""

    async def run() -> None:
        await test(ProcessorLab(folder))

    trio.run(run)


@pytest.mark.parametrize(("option", "staked"), [(None, UNIT), (0, 0), (5 * UNIT, 5 * UNIT), (UNIT // 2, UNIT // 2)])
def test_the_option_says_how_much_a_node_stakes(tmp_path: Path, option: int | None, staked: int) -> None:
    """One unit without the option; nothing for 0; what is asked for otherwise, and no more later."""

    async def test(lab: ProcessorLab) -> None:
        await present(lab, Presence(lab.submitter, lambda: ADVERT, option), 8)
        assert lab.look().processors.stake_of(PAIR.public) == staked
        assert lab.advertised()

    on_a_chain(test, tmp_path)


def test_what_the_operator_takes_back_or_adds_is_left_alone(tmp_path: Path) -> None:
    """Unstaked stake stays unstaked while it unbonds, and a higher stake than the option's is not touched."""

    async def test(lab: ProcessorLab) -> None:
        presence = Presence(lab.submitter, lambda: ADVERT)
        await present(lab, presence)
        lab.submitter.want("more", "Processors", "stake", 2 * UNIT)
        await present(lab, presence)
        assert lab.look().processors.stake_of(PAIR.public) == 3 * UNIT
        lab.submitter.want("back", "Processors", "unstake", 3 * UNIT)
        await present(lab, presence)
        assert lab.look().processors.stake_of(PAIR.public) == 0

    on_a_chain(test, tmp_path)


def test_a_poor_processor_advertises_without_a_stake_and_stakes_once_it_has_money(tmp_path: Path) -> None:
    """What fees and bonds need stays free; with a planck more than enough the stake follows."""

    async def test(lab: ProcessorLab) -> None:
        poor = from_uri("//poor")
        lab.submit(lab.sign(lab.call("Balances", "transfer_keep_alive", poor.public, UNIT), 0, BOB))
        await lab.author_block()
        presence = Presence(Submitter(lab.chain, lab.transactions, poor), lambda: ADVERT)
        await present(lab, presence)
        assert lab.look().processors.adverts.contains(poor.public)
        assert lab.look().processors.stake_of(poor.public) == 0
        missing = UNIT + STAKE_LEAVES_FREE - lab.look().balances.free(poor.public)
        lab.submit(lab.sign(lab.call("Balances", "transfer_keep_alive", poor.public, missing), 1, BOB))
        await present(lab, presence)
        assert lab.look().processors.stake_of(poor.public) == UNIT

    on_a_chain(test, tmp_path)


def test_a_new_benchmark_is_advertised_once_and_the_rest_is_the_operators(tmp_path: Path) -> None:
    """The figure alone changes; what the operator advertises afterwards stays."""

    async def test(lab: ProcessorLab) -> None:
        presence = Presence(lab.submitter, lambda: ADVERT)
        await present(lab, presence)
        own = replace(ADVERT, labels=("mine",))
        lab.submitter.want("own", "Processors", "advertise", own)
        await present(lab, presence)
        presence.benchmark = 3 * ADVERT.benchmark
        await present(lab, presence)
        assert lab.look().processors.adverts.get(PAIR.public) == replace(own, benchmark=3 * ADVERT.benchmark)
        lab.submitter.want("again", "Processors", "advertise", ADVERT)
        await present(lab, presence)
        assert lab.look().processors.adverts.get(PAIR.public) == ADVERT

    on_a_chain(test, tmp_path)


def test_native_runtimes_are_advertised_as_long_as_they_are_offered(tmp_path: Path) -> None:
    """Started with --offer-native the advert gains them, without it loses them; what the operator added stays."""

    async def test(lab: ProcessorLab) -> None:
        own = replace(ADVERT, modules=("gdal",), labels=("mine",))
        await present(lab, Presence(lab.submitter, lambda: own))
        native = replace(ADVERT, runtimes=(*ADVERT.runtimes, RuntimeKind.NATIVE), modules=("python", "python3.11"))
        await present(lab, Presence(lab.submitter, lambda: native))
        gained = replace(own, runtimes=native.runtimes, modules=("gdal", "python", "python3.11"))
        assert lab.look().processors.adverts.get(PAIR.public) == gained
        await present(lab, Presence(lab.submitter, lambda: ADVERT))
        assert lab.look().processors.adverts.get(PAIR.public) == own

    on_a_chain(test, tmp_path)


def test_an_advert_of_nothing_but_native_runtimes_is_left_alone() -> None:
    """It could not be without any runtime; its operator has to say what else."""
    only = replace(ADVERT, runtimes=(RuntimeKind.NATIVE,), modules=("node",))
    assert with_native_of(ADVERT, only) == only
