"""The off-chain matcher: what it proposes, the chain takes, and earns it the share; what has a window is left alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from node.keys.pair import from_uri
from node.processor.matcher import RANK_SLOTS, RANKS_MAX
from pallets.jobs.pallet import job_hash
from pallets.jobs.records import JobState, SlotState
from pallets.jobs.types import JobSpec, Known, Public, RuntimeKind
from runtime.hashing import blake2b256
from runtime.scale import codec_of
from tests.helpers.chain_lab import UNIT
from tests.helpers.processor_lab import ADVERT, OWNER, PAIR, ProcessorLab

OTHERS = [from_uri(f"//{name}//processor") for name in ("Bob", "Charlie", "Dave")]


def with_matcher(test: Callable[[ProcessorLab], Awaitable[None]], folder: Path) -> None:
    """Run a test on a chain with the matcher's own processor and three more, all with the same advert."""

    async def run() -> None:
        lab = ProcessorLab(folder)
        for pair in (PAIR, *OTHERS):
            lab.submit(lab.sign(lab.call("Processors", "register", 1), 0, pair))
            lab.submit(lab.sign(lab.call("Processors", "stake", UNIT), 1, pair))
            lab.submit(lab.sign(lab.call("Processors", "advertise", ADVERT), 2, pair))
        await lab.author_block()
        await test(lab)

    trio.run(run)


def first_ranked(lab: ProcessorLab, **fields: Any) -> JobSpec:
    """A job of which our matcher is the first in rank, so that it need not wait for others."""
    spec = lab.spec(**fields)
    while True:
        spec_hash = blake2b256(codec_of(JobSpec).encode(spec))
        if blake2b256(job_hash(lab.chain.genesis_hash, OWNER.public, 0, spec_hash) + PAIR.public)[0] % RANKS_MAX == 0:
            return spec
        spec = replace(spec, resources=replace(spec.resources, fuel=spec.resources.fuel + 1))


async def proposed(lab: ProcessorLab, **fields: Any) -> list[Any]:
    """Register a job, let the matcher look until it proposes; the placements it sent."""
    lab.register(first_ranked(lab, **fields))
    await lab.author_block()
    for _ in range(RANKS_MAX * RANK_SLOTS + 1):
        lab.matcher.step()
        calls = [entry.extrinsic.call for entry in lab.pool.entries.values()]
        if calls:
            (call,) = calls
            assert call.definition.name == "propose"
            return list(call.arguments[1])
        if lab.look().jobs.slot(0, 0).state is not SlotState.VACANT:
            return []  # the chain's own search was faster than this rank
        await lab.author_block()
    return []


def test_each_slot_gets_another_manager(tmp_path: Path) -> None:
    """For a job of three slots it proposes three different processors, and the chain assigns them."""

    async def test(lab: ProcessorLab) -> None:
        placements = await proposed(lab, slots=3)
        assert [one.slot for one in placements] == [0, 1, 2]
        assert len({one.processor for one in placements}) == 3
        for _ in range(4):
            await lab.author_block()
        assert lab.state() is JobState.MATCHED
        slots = list(lab.look().jobs.slots_of(0))
        assert {slot.matcher for _, slot in slots} == {PAIR.public}
        assert {slot.processor for _, slot in slots} == {one.processor for one in placements}

    with_matcher(test, tmp_path)


@pytest.mark.parametrize(
    "fields",
    [{"runtime": RuntimeKind.JAVASCRIPT}, {"reward": UNIT // 2}, {"processors": Public(900_000, attested_only=False)}],
    ids=["nobody has the runtime", "below everybody's price", "more reputation than anybody has"],
)
def test_a_job_that_nobody_may_take_is_not_proposed(tmp_path: Path, fields: dict[str, Any]) -> None:
    """It judges by the chain's own rules, so that no fee is spent on what would be refused."""

    async def test(lab: ProcessorLab) -> None:
        assert await proposed(lab, **fields) == []
        assert lab.state() is JobState.OPEN

    with_matcher(test, tmp_path)


def test_a_named_processor_is_found_however_many_are_listed(tmp_path: Path) -> None:
    """With room for one candidate, those of the list have their turns, and who is named needs none."""

    async def test(lab: ProcessorLab) -> None:
        lab.matcher.candidates_max = 1
        lab.register(lab.spec())
        await lab.author_block()
        seen = set()
        for _ in range(30):
            (candidate,) = lab.matcher._candidates(lab.look(), 0)
            seen.add(candidate)
            await lab.author_block()
        assert len(seen) == 4
        lab.register(lab.spec(processors=Known((OTHERS[-1].public,))))
        await lab.author_block()
        assert lab.matcher._candidates(lab.look(), 1) == [OTHERS[-1].public]

    with_matcher(test, tmp_path)


def test_a_proposal_is_made_once(tmp_path: Path) -> None:
    """Looked at again and again, a job has one proposal of ours; an open window is nobody's business."""

    async def test(lab: ProcessorLab) -> None:
        assert await proposed(lab)
        lab.matcher.step()
        assert len(lab.pool.entries) == 1
        await lab.author_block()
        lab.matcher.step()
        assert not lab.pool.entries

    with_matcher(test, tmp_path)


def test_an_account_that_is_no_processor_proposes_nothing(tmp_path: Path) -> None:
    """Before its registration it is silent."""

    async def run() -> None:
        lab = ProcessorLab(tmp_path)
        lab.register(lab.spec())
        await lab.author_block()
        lab.matcher.step()
        assert not lab.pool.entries

    trio.run(run)
