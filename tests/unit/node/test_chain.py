"""Blocks coming in: stored, known already, without parent, too early, or invalid - with nothing stored then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.chain import BlockKnown, DeferredBlock, UnknownBlock
from node.events import Finalised, Imported
from node.store.errors import NotDescendant
from runtime.errors import BlockFault, InvalidBlock
from runtime.types import AURA_ENGINE, Block, Digest, Header, PreRuntime, Seal, slot_item
from tests.helpers.chain_lab import ALICE, BOB, CHARLIE, FIRST_SLOT, SLOT_MS, UNIT, Lab


def with_lab(test: Callable[[Lab], Awaitable[None]], folder: Path, *validators: str) -> None:
    """Run a test on a lab of its own."""

    async def run() -> None:
        await test(Lab(folder, *validators))

    trio.run(run)


async def assert_invalid(lab: Lab, block: Block, fault: BlockFault) -> InvalidBlock:
    """The block is refused for this fault, and nothing of it is stored."""
    best = lab.chain.best
    with pytest.raises(InvalidBlock) as refused:
        await lab.chain.import_block(block)
    assert refused.value.fault is fault
    assert lab.chain.best == best
    assert not lab.store.knows(block.header.hash())
    return refused.value


def test_an_imported_block_becomes_best(tmp_path: Path) -> None:
    """Its header, body, events and state are there, and listeners hear of it."""

    async def test(lab: Lab) -> None:
        slot = lab.tick()
        block, _ = lab.make(lab.chain.best.hash, slot, lab.sign(lab.transfer()))
        free = lab.free(CHARLIE)
        result = await lab.chain.import_block(block)
        assert result.is_best
        assert lab.chain.block(result.head.hash) == block
        assert lab.free(CHARLIE) == free + UNIT
        event = lab.events.receive_nowait()
        assert isinstance(event, Imported)
        assert (event.head, event.is_best, event.own, event.retracted) == (result.head, True, False, ())
        assert event.enacted == (result.head,)

    with_lab(test, tmp_path)


def test_a_known_block_is_told_as_known(tmp_path: Path) -> None:
    """A second import raises BlockKnown."""

    async def test(lab: Lab) -> None:
        block, _ = lab.make(lab.chain.best.hash, lab.tick())
        await lab.chain.import_block(block)
        with pytest.raises(BlockKnown):
            await lab.chain.import_block(block)

    with_lab(test, tmp_path)


def test_a_block_without_parent_is_no_fault(tmp_path: Path) -> None:
    """It is refused as UnknownBlock, which costs its sender nothing."""

    async def test(lab: Lab) -> None:
        block, _ = lab.make(lab.chain.best.hash, lab.tick())
        orphan = replace(block.header, parent_hash=bytes(32))
        with pytest.raises(UnknownBlock):
            await lab.chain.import_block(Block(orphan, block.extrinsics))

    with_lab(test, tmp_path)


def test_a_block_of_the_next_slot_waits(tmp_path: Path) -> None:
    """One slot early it is deferred until its slot begins, and then taken; two slots early it is invalid."""

    async def test(lab: Lab) -> None:
        slot = lab.chain.current_slot()
        early, _ = lab.make(lab.chain.best.hash, slot + 1)
        with pytest.raises(DeferredBlock) as deferred:
            await lab.chain.import_block(early)
        assert deferred.value.wait_ms == SLOT_MS
        assert not lab.store.knows(early.header.hash())
        far, _ = lab.make(lab.chain.best.hash, slot + 2)
        await assert_invalid(lab, far, BlockFault.SLOT)
        lab.tick()
        await lab.chain.import_block(early)

    with_lab(test, tmp_path)


def test_the_slot_must_rise(tmp_path: Path) -> None:
    """A child in its parent's slot, or before it, is invalid."""

    async def test(lab: Lab) -> None:
        parent = await lab.import_made(lab.chain.best.hash, lab.tick(5))
        slot = parent.slot()
        assert slot is not None
        later, _ = lab.make(parent.hash(), lab.tick(5))
        for wrong in (slot, slot - 1):
            logs = (slot_item(wrong), later.header.digest.logs[1])
            unsealed = replace(later.header, digest=Digest(logs))
            await assert_invalid(
                lab, Block(lab.seal(unsealed, wrong, parent.hash()), later.extrinsics), BlockFault.SLOT
            )

    with_lab(test, tmp_path)


def test_the_seal_must_be_the_authors(tmp_path: Path) -> None:
    """A seal by another key, over another header, or of the wrong form is refused before anything runs."""

    async def test(lab: Lab) -> None:
        block, _ = lab.make(lab.chain.best.hash, lab.tick())
        unsealed, seal = block.header.unsealed()
        assert seal is not None
        for data in (BOB.sign(unsealed.hash()), ALICE.sign(bytes(32)), bytes(64)):
            forged = Block(unsealed.with_item(Seal(AURA_ENGINE, data)), block.extrinsics)
            await assert_invalid(lab, forged, BlockFault.SEAL)
        changed = replace(block.header, state_root=bytes(32))
        await assert_invalid(lab, Block(changed, block.extrinsics), BlockFault.SEAL)
        for item in (Seal(AURA_ENGINE, bytes(63)), Seal(b"XXXX", seal.data)):
            await assert_invalid(lab, Block(unsealed.with_item(item), block.extrinsics), BlockFault.DIGEST)
        await assert_invalid(lab, Block(unsealed, block.extrinsics), BlockFault.DIGEST)

    with_lab(test, tmp_path)


def test_only_the_slots_author_may_seal(tmp_path: Path) -> None:
    """Of two validators, the one whose slot it is not cannot author in it."""

    async def test(lab: Lab) -> None:
        slot = lab.tick()
        block, _ = lab.make(lab.chain.best.hash, slot)
        author = lab.chain.at(lab.chain.best.hash, lab.runtime).aura.author_key(slot)
        other = BOB if author == ALICE.public else ALICE
        unsealed, _ = block.header.unsealed()
        forged = unsealed.with_item(Seal(AURA_ENGINE, other.sign(unsealed.hash())))
        await assert_invalid(lab, Block(forged, block.extrinsics), BlockFault.SEAL)
        await lab.chain.import_block(block)

    with_lab(test, tmp_path, "Alice", "Bob")


@pytest.mark.parametrize(
    ("field", "fault"),
    [("state_root", BlockFault.STATE_ROOT), ("extrinsics_root", BlockFault.EXTRINSICS_ROOT)],
)
def test_a_sealed_block_with_a_wrong_root_is_invalid(field: str, fault: BlockFault, tmp_path: Path) -> None:
    """The author's seal does not help a header that execution contradicts."""

    async def test(lab: Lab) -> None:
        slot = lab.tick()
        block, _ = lab.make(lab.chain.best.hash, slot)
        # The field is named by a parameter.
        unsealed = replace(block.header.unsealed()[0], **{field: bytes(32)})  # type: ignore[arg-type]
        forged = Block(lab.seal(unsealed, slot, lab.chain.best.hash), block.extrinsics)
        await assert_invalid(lab, forged, fault)
        await lab.chain.import_block(block)

    with_lab(test, tmp_path)


def test_a_wrong_reveal_is_invalid(tmp_path: Path) -> None:
    """A beacon reveal that does not continue the author's chain makes the block invalid."""

    async def test(lab: Lab) -> None:
        slot = lab.tick()
        block, _ = lab.make(lab.chain.best.hash, slot)
        first, reveal, *_rest = block.header.digest.logs
        assert isinstance(reveal, PreRuntime)
        logs = (first, replace(reveal, data=bytes(32) + reveal.data[32:]))
        forged = lab.seal(replace(block.header, digest=Digest(logs)), slot, lab.chain.best.hash)
        await assert_invalid(lab, Block(forged, block.extrinsics), BlockFault.REVEAL)

    with_lab(test, tmp_path)


def test_a_fault_of_our_own_is_internal(tmp_path: Path) -> None:
    """An exception that no rule foresees refuses the block as INTERNAL, and the next block is executed as usual."""

    async def test(lab: Lab) -> None:
        block, _ = lab.make(lab.chain.best.hash, lab.tick(), lab.sign(lab.transfer()))
        runtime = lab.chain.executive.runtime
        methods, key = runtime._methods, (4, 3)
        good = methods[key]

        def broken(*_arguments: object) -> None:
            raise ZeroDivisionError("a mistake in a call")

        methods[key] = broken
        error = await assert_invalid(lab, block, BlockFault.INTERNAL)
        assert "ZeroDivisionError" in error.explanation
        methods[key] = good
        assert (await lab.chain.import_block(block)).is_best

    with_lab(test, tmp_path)


def test_the_longer_fork_becomes_best_and_the_shorter_is_retracted(tmp_path: Path) -> None:
    """Equal heights leave the first one best; one block more moves the head, and both routes are told."""

    async def test(lab: Lab) -> None:
        genesis = lab.chain.best.hash
        first = await lab.import_made(genesis, lab.tick())
        other = await lab.import_made(genesis, lab.tick())
        assert lab.chain.best.hash == first.hash()
        tip, _ = lab.make(other.hash(), lab.tick())
        await lab.chain.import_block(tip)
        event = lab.events.receive_nowait()
        assert isinstance(event, Imported)
        assert [head.hash for head in event.retracted] == [first.hash()]
        assert [head.hash for head in event.enacted] == [other.hash(), tip.header.hash()]

    with_lab(test, tmp_path)


def test_what_is_final_stays(tmp_path: Path) -> None:
    """Finality is told with what it pruned, and a block on a fork that it left behind is not taken any more."""

    async def test(lab: Lab) -> None:
        genesis = lab.chain.best.hash
        first = await lab.import_made(genesis, lab.tick())
        other = await lab.import_made(genesis, lab.tick())
        late, _ = lab.make(other.hash(), lab.tick())
        lab.chain.finalise(first.hash())
        event = lab.events.receive_nowait()
        assert isinstance(event, Finalised)
        assert [head.hash for head in event.heads] == [first.hash()]
        assert [head.hash for head in event.pruned] == [other.hash()]
        with pytest.raises((UnknownBlock, NotDescendant)):
            await lab.chain.import_block(late)
        assert not lab.chain.finalise(first.hash())

    with_lab(test, tmp_path)


def test_undecodable_headers_are_scale_errors() -> None:
    """A header cut off or with a byte too many is refused by the codec."""
    raw = Header(bytes(32), FIRST_SLOT % 1000, bytes(32), bytes(32), Digest()).encode()
    for bad in (raw[:-1], raw + b"\0", b""):
        with pytest.raises(ValueError, match=r"input ends|left over"):
            Header.decode(bad)
