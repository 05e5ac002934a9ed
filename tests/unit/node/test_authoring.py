"""Authoring: whose slot it is, what goes into a block, and that one transaction never stops an author."""

from __future__ import annotations

from pathlib import Path

import trio

from node.authoring import Author, Proposal
from node.keys.keystore import AURA, Keystore
from tests.helpers.chain_lab import ALICE, BOB, CHARLIE, DAVE, SLOT_MS, UNIT, Lab


def proposal(lab: Lab, deadline_ms: int | None = None) -> Proposal:
    """What the author would propose for the next slot."""
    slot = lab.tick()
    digest = lab.author._digest(slot, ALICE.public)
    candidates = [entry.extrinsic for entry in lab.pool.best_first()]
    return Proposal(lab.chain.best, slot, digest, candidates, deadline_ms or lab.clock.now_ms() + 1)


def test_a_block_holds_the_pool_best_first(tmp_path: Path) -> None:
    """The timestamp first, then by priority, each sender's nonces in order; then the pool is empty."""

    async def run() -> None:
        lab = Lab(tmp_path)
        cheap = [lab.sign(lab.transfer(), n, BOB) for n in range(2)]
        dear = lab.sign(lab.transfer(), 0, CHARLIE, tip=10)
        for raw in (*cheap, dear):
            lab.submit(raw)
        header = await lab.author_block()
        block = lab.chain.block(header.hash())
        assert block is not None
        assert block.extrinsics[1:] == (dear, *cheap)
        assert lab.pool.entries == {}
        assert lab.journal.slots == {ALICE.public: header.slot()}

    trio.run(run)


def test_an_importer_takes_what_was_authored(tmp_path: Path) -> None:
    """A block authored by one node is valid for another, to the last root."""

    async def run() -> None:
        lab, other = Lab(tmp_path / "one"), Lab(tmp_path / "two")
        for number in range(4):
            lab.submit(lab.sign(lab.transfer(UNIT + number), number))
            header = await lab.author_block()
            block = lab.chain.block(header.hash())
            assert block is not None
            other.tick()
            assert (await other.chain.import_block(block)).head == lab.chain.best

    trio.run(run)


def test_no_slot_is_authored_twice(tmp_path: Path) -> None:
    """Not again in the same slot, not in the slot of the boot, not in one that the journal holds."""

    async def run() -> None:
        lab = Lab(tmp_path)
        boot = lab.chain.current_slot()
        assert not await lab.author.try_slot(boot)
        slot = lab.tick()
        assert await lab.author.try_slot(slot)
        assert not await lab.author.try_slot(slot)
        lab.journal.slots[ALICE.public] = slot + 3
        assert not await lab.author.try_slot(lab.tick(2))
        assert await lab.author.try_slot(lab.tick(2))

    trio.run(run)


def test_only_own_slots_are_authored(tmp_path: Path) -> None:
    """With two validators //Alice authors in every other slot, and a node without keys in none."""

    async def run() -> None:
        lab = Lab(tmp_path, "Alice", "Bob")
        done = [await lab.author.try_slot(lab.tick()) for _ in range(6)]
        assert done in ([True, False] * 3, [False, True] * 3)
        keyless = Author(lab.chain, lab.pool, Keystore(tmp_path / "none"), lab.journal)
        assert not any([await keyless.try_slot(lab.tick()) for _ in range(2)])

    trio.run(run)


def test_a_key_of_another_chain_does_not_author(tmp_path: Path) -> None:
    """A keystore whose key is no authority claims no slot."""

    async def run() -> None:
        lab = Lab(tmp_path)
        keystore = Keystore(tmp_path / "other")
        keystore.insert(AURA, DAVE)
        assert not await Author(lab.chain, lab.pool, keystore, lab.journal).try_slot(lab.tick())

    trio.run(run)


def test_finality_that_lags_slows_authoring(tmp_path: Path) -> None:
    """With 54 blocks not final the author lets two slots pass, and takes the third."""

    async def run() -> None:
        lab = Lab(tmp_path)
        for _ in range(54):
            assert await lab.author.try_slot(lab.tick(200))
        assert not await lab.author.try_slot(lab.tick())
        assert not await lab.author.try_slot(lab.tick())
        assert await lab.author.try_slot(lab.tick())
        lab.finalise()
        assert await lab.author.try_slot(lab.tick())

    trio.run(run)


def test_a_transaction_that_breaks_the_runtime_is_dropped_and_banned(tmp_path: Path) -> None:
    """An exception of ours in one call costs neither slot nor block: the others are in, and that one is banned."""

    async def run() -> None:
        lab = Lab(tmp_path)
        bad, good = lab.sign(lab.transfer(), 0, BOB, tip=9), lab.sign(lab.call("System", "remark", b"x"), 0, CHARLIE)
        hashes = [lab.submit(raw) for raw in (bad, good)]

        def broken(*_arguments: object) -> None:
            raise KeyError("a mistake in a call")

        lab.author.executive.runtime._methods[(4, 3)] = broken
        header = await lab.author_block()
        block = lab.chain.block(header.hash())
        assert block is not None
        assert block.extrinsics[1:] == (good,)
        assert list(lab.pool.banned) == [hashes[0]]
        assert lab.pool.entries == {}
        other = Lab(tmp_path / "importer")
        other.tick()
        assert (await other.chain.import_block(block)).is_best

    trio.run(run)


def test_a_transaction_whose_value_has_no_encoding_is_found_and_banned(tmp_path: Path) -> None:
    """A fault that shows only when the block is encoded: the same slot still has a block, with all the others."""

    async def run() -> None:
        lab = Lab(tmp_path)
        bad = lab.sign(lab.call("System", "remark", b"x"), 0, CHARLIE, tip=9)
        good = [lab.sign(lab.transfer(UNIT + number), number) for number in range(3)]
        hashes = [lab.submit(raw) for raw in (*good[:1], bad, *good[1:])]
        runtime = lab.author.executive.runtime

        def broken(*_arguments: object) -> None:
            runtime.balances.issuance.put(-1)

        kind = runtime.definition("System", "remark")
        runtime._methods[(kind.pallet_index, kind.index)] = broken
        header = await lab.author_block()
        block = lab.chain.block(header.hash())
        assert block is not None
        assert list(block.extrinsics[1:]) == good
        assert list(lab.pool.banned) == [hashes[1]]
        other = Lab(tmp_path / "importer")
        other.tick()
        assert (await other.chain.import_block(block)).is_best

    trio.run(run)


def test_after_a_block_that_could_not_be_finished_the_next_blocks_look_at_once(tmp_path: Path) -> None:
    """Found too late in its slot, the transaction that is to blame is found in the next one."""

    async def run() -> None:
        lab = Lab(tmp_path)
        bad = lab.sign(lab.call("System", "remark", b"x"), 0, CHARLIE, tip=9)
        good = lab.sign(lab.transfer())
        runtime, clock = lab.author.executive.runtime, lab.clock
        banned = lab.submit(bad)
        lab.submit(good)

        def slow_and_broken(*_arguments: object) -> None:
            clock.time_ms += SLOT_MS * 3 // 4
            runtime.balances.issuance.put(-1)

        kind = runtime.definition("System", "remark")
        runtime._methods[(kind.pallet_index, kind.index)] = slow_and_broken
        first = lab.chain.block((await lab.author_block()).hash())
        assert first is not None
        assert len(first.extrinsics) == 1
        assert not lab.pool.banned
        clock.time_ms -= clock.time_ms % SLOT_MS
        runtime._methods[(kind.pallet_index, kind.index)] = lambda *_: runtime.balances.issuance.put(-1)
        second = lab.chain.block((await lab.author_block()).hash())
        assert second is not None
        assert second.extrinsics[1:] == (good,)
        assert list(lab.pool.banned) == [banned]

    trio.run(run)


def test_the_deadline_ends_a_block(tmp_path: Path) -> None:
    """Past two thirds of the slot nothing more is tried: the block holds the timestamp alone, the rest waits."""

    async def run() -> None:
        lab = Lab(tmp_path)
        lab.submit(lab.sign(lab.transfer()))
        late, refused = lab.author.propose(proposal(lab, lab.clock.now_ms()))
        assert (len(late.extrinsics), refused) == (1, [])
        in_time, _ = lab.author.propose(proposal(lab))
        assert len(in_time.extrinsics) == 2

    trio.run(run)


def test_a_full_block_stops_at_its_limits(tmp_path: Path) -> None:
    """What does not fit by length stays in the pool for the next block, neither refused nor banned."""

    async def run() -> None:
        lab = Lab(tmp_path)
        remark = lab.call("System", "remark", bytes(64 << 10))
        for nonce in range(30):
            lab.submit(lab.sign(remark, nonce))
        header = await lab.author_block()
        block = lab.chain.block(header.hash())
        assert block is not None
        fitted = len(block.extrinsics) - 1
        assert fitted == (2 << 20) * 3 // 4 // len(lab.sign(remark, 0))
        assert len(lab.pool.entries) == 30 - fitted
        assert lab.pool.banned == {}
        await lab.author_block()
        assert lab.pool.entries == {}

    trio.run(run)


def test_what_became_invalid_is_refused_by_the_block(tmp_path: Path) -> None:
    """A candidate that the block finds invalid is left out, and named to be banned."""

    async def run() -> None:
        lab = Lab(tmp_path)
        gone = lab.submit(lab.sign(lab.transfer(), 0, CHARLIE))
        entry = lab.pool.entries[gone]
        lab.submit(lab.sign(lab.transfer(), 0, BOB))
        spent = lab.sign(lab.call("Balances", "transfer_all", BOB.public, False), 0, CHARLIE)
        await lab.import_made(lab.chain.best.hash, lab.tick(), spent)
        assert entry.extrinsic.hash not in lab.pool.entries
        executed, refused = lab.author.propose(
            Proposal(
                lab.chain.best,
                slot := lab.tick(),
                lab.author._digest(slot, ALICE.public),
                [entry.extrinsic],
                lab.clock.now_ms() + SLOT_MS,
            )
        )
        assert refused == [gone]
        assert len(executed.extrinsics) == 1

    trio.run(run)
