"""Sync between nodes on a simulated network: catching up, announcing, forks, and peers that send nonsense."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from node.network.port import Kind, PeerId
from node.store.errors import DatabaseError
from node.sync import BLOCKS_PER_REQUEST_MAX, PROTOCOL, RESPONSE
from node.wire import pack, unpack
from runtime.types import Block
from tests.helpers.chain_lab import CHARLIE, UNIT
from tests.helpers.lab_network import LabNetwork, Peer, in_virtual_time, lab_network
from tests.sim.disk import MemoryDatabase


def level(*peers: Peer) -> bool:
    """Whether all have the same best block."""
    return len({peer.lab.chain.best for peer in peers}) == 1


def announcement(block: Block, *, with_body: bool = True) -> bytes:
    """What a node says of a new best block."""
    return pack([block.header.encode(), True, list(block.extrinsics) if with_body else None])


async def long_chain(net: LabNetwork, blocks: int) -> Peer:
    """A peer that has authored, a final block at every tenth."""
    peer = await net.join("author")
    for number in range(blocks):
        await peer.author()
        if number % 10 == 0:
            peer.lab.chain.finalise(peer.lab.chain.best.hash)
    return peer


def test_a_late_node_catches_up(tmp_path: Path) -> None:
    """Over two and a half requests' worth of blocks arrive, each checked, and later ones by announcement."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            author = await long_chain(net, BLOCKS_PER_REQUEST_MAX * 2 + 30)
            late = await net.join("late")
            await net.until(lambda: level(author, late), "the same best block")
            await author.author()
            await net.until(lambda: level(author, late), "the announced block")
            assert late.reasons == author.reasons == []

    in_virtual_time(run)


def test_blocks_that_wait_for_their_import_are_counted(tmp_path: Path) -> None:
    """While a range is taken in, the count falls one by one; afterwards nothing waits."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            author = await long_chain(net, 20)
            late = await net.join("late")
            seen: list[int] = []
            take = late.sync.take

            async def noted(peer: PeerId, block: Block) -> bool:
                seen.append(late.sync.queued)
                return await take(peer, block)

            late.sync.take = noted  # type: ignore[method-assign]  # to look at each block's turn
            await net.until(lambda: level(author, late), "the same best block")
            assert seen[0] > 10
            assert seen[: seen[0]] == list(range(seen[0], 0, -1))
            assert late.sync.queued == 0

    in_virtual_time(run)


def test_an_announced_block_is_taken_with_its_body(tmp_path: Path) -> None:
    """A small block comes with its announcement; its transaction takes effect everywhere."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            one, two = await net.join("one"), await net.join("two")
            before = two.lab.free(CHARLIE)
            one.lab.submit(one.lab.sign(one.lab.transfer()))
            await one.author()
            await net.until(lambda: level(one, two), "the announced block")
            assert two.lab.free(CHARLIE) == before + UNIT

    in_virtual_time(run)


def test_a_large_block_is_fetched(tmp_path: Path) -> None:
    """A block above 64 KiB is announced without its body and asked for."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            one, two = await net.join("one"), await net.join("two")
            for nonce in range(3):
                one.lab.submit(one.lab.sign(one.lab.call("System", "remark", bytes(60_000)), nonce))
            await one.author()
            await net.until(lambda: level(one, two), "the large block")

    in_virtual_time(run)


def test_a_partition_heals_to_the_longer_fork(tmp_path: Path) -> None:
    """Both sides author apart; joined again, the shorter side goes over to the longer one."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            one, two = await net.join("one"), await net.join("two")
            await net.settle()
            net.board.faults.part({one.id}, {two.id})
            await one.author()
            for _ in range(3):
                await two.author()
            await net.settle()
            assert not level(one, two)
            net.board.faults.cuts.clear()
            tip = await two.author()
            await net.until(lambda: one.lab.chain.best.hash == tip, "the longer fork")
            assert one.reasons == two.reasons == []

    in_virtual_time(run)


def test_an_invalid_block_costs_its_sender(tmp_path: Path) -> None:
    """A sealed block with a wrong state root is reported and not stored; a good one by the same node is."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            victim, attacker = await net.join("victim"), await net.join("attacker")
            await net.settle()
            lab = attacker.lab
            slot, parent = lab.tick(), lab.chain.best.hash
            good, _ = lab.make(parent, slot)
            bad = Block(
                lab.seal(replace(good.header.unsealed()[0], state_root=bytes(32)), slot, parent), good.extrinsics
            )
            attacker.network.notify(victim.id, Kind.ANNOUNCE, announcement(bad))
            await net.until(lambda: victim.reasons != [], "a report")
            assert "STATE_ROOT" in victim.reasons[0]
            assert not victim.lab.store.knows(bad.header.hash())
            assert victim.lab.chain.best.number == 0

    in_virtual_time(run)


def test_a_fault_of_ours_costs_the_sender_nothing(tmp_path: Path) -> None:
    """A block that our own mistake refuses is not held against whoever sent it."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            one, two = await net.join("one"), await net.join("two")

            def broken(*_arguments: object) -> None:
                raise ZeroDivisionError("a mistake in a call")

            two.lab.chain.executive.runtime._methods[(4, 3)] = broken
            one.lab.submit(one.lab.sign(one.lab.transfer()))
            await one.author()
            await net.settle()
            assert two.lab.chain.best.number == 0
            assert two.reasons == []

    in_virtual_time(run)


@pytest.mark.parametrize(
    "data", [b"", b"\x93", pack([b"no header", True, None]), pack([b"", 1, None]), pack([[]])], ids=range(5)
)
def test_a_malformed_announcement_costs_its_sender(data: bytes, tmp_path: Path) -> None:
    """What is no announcement is reported; gossip goes on."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            victim, attacker = await net.join("victim"), await net.join("attacker")
            await net.settle()
            attacker.network.notify(victim.id, Kind.ANNOUNCE, data)
            await net.until(lambda: len(victim.reasons) == 1, "a report")
            await attacker.author()
            await net.until(lambda: level(victim, attacker), "the next good block")

    in_virtual_time(run)


ANSWERS: dict[str, Any] = {
    "no list": 5,
    "no header": [[b"", [], None]],
    "too many": [[b"", [], None]] * (BLOCKS_PER_REQUEST_MAX + 1),
    "a body that is none": [[b"", 7, None]],
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_malformed_answer_costs_its_sender(kind: str, tmp_path: Path) -> None:
    """An answer that is not a range of blocks is reported, and the peer is not asked in a loop."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            victim, attacker = await net.join("victim"), await net.join("attacker")
            await net.settle()
            asked = 0

            async def answer(_peer: PeerId, _data: bytes) -> bytes:
                nonlocal asked
                asked += 1
                return pack(ANSWERS[kind])

            attacker.network.serve(PROTOCOL, answer)
            first = await attacker.author()
            block = attacker.lab.chain.block(first)
            assert block is not None
            orphan = replace(block.header, number=9, parent_hash=b"\x09" * 32)
            attacker.network.notify(victim.id, Kind.ANNOUNCE, announcement(Block(orphan, block.extrinsics)))
            await net.until(lambda: victim.reasons != [], "a report")
            await net.settle()
            assert asked <= 2
            assert len(victim.reasons) <= 2

    in_virtual_time(run)


def test_another_range_than_asked_for_costs_its_sender(tmp_path: Path) -> None:
    """Blocks of other heights than those asked for are refused before they are looked at."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            author = await long_chain(net, 5)
            headers = [author.lab.chain.block(author.lab.store.hash_at(n) or b"") for n in (2, 3)]

            async def answer(_peer: PeerId, _data: bytes) -> bytes:
                return pack([[b.header.encode(), list(b.extrinsics), None] for b in headers if b is not None])

            author.network.serve(PROTOCOL, answer)
            late = await net.join("late")
            await net.until(lambda: late.reasons != [], "a report")
            assert "block 2 where 1 was asked" in late.reasons[0]

    in_virtual_time(run)


def test_ranges_are_served_within_bounds(tmp_path: Path) -> None:
    """At most 64 blocks ascending from where asked, up to the target; nothing beyond it; unknown targets refused."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            author = await long_chain(net, 70)
            other = await net.join("other")
            tip = author.lab.chain.best

            async def ask(start: int, count: int) -> list[int]:
                answer = await other.network.request(author.id, PROTOCOL, pack([start, count, tip.hash]))
                blocks = unpack(answer, RESPONSE, 1 << 20)
                chain = author.lab.chain
                return [chain.store.number(chain.store.hash_at(start + n) or b"") for n in range(len(blocks))]

            assert await ask(1, 1_000) == list(range(1, 65))
            assert await ask(69, 64) == [69, 70]
            assert await ask(71, 64) == []
            assert await ask(5, 0) == []
            assert await ask(2**63, 64) == []

    in_virtual_time(run)


def test_a_failing_disk_stops_the_node(tmp_path: Path) -> None:
    """When the database cannot be written, sync does not go on as if the block were bad: the error comes out."""

    def fail(number: int) -> None:
        if number > 1:
            raise DatabaseError("the disk is full")

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            author = await long_chain(net, 2)
            await net.join("broken", MemoryDatabase(on_write=fail))
            await net.until(lambda: False, "the end")
            assert author is not None

    with pytest.RaisesGroup(pytest.RaisesExc(DatabaseError), allow_unwrapped=True, flatten_subgroups=True):
        in_virtual_time(run)


def test_known_blocks_per_peer_are_bounded(tmp_path: Path) -> None:
    """However many blocks a peer announces, only the latest 512 are remembered for it."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            one, two = await net.join("one"), await net.join("two")
            await net.settle()
            chain = one.sync.peers[two.id]
            for number in range(1_000):
                chain.learn(number.to_bytes(32, "little"))
            assert len(chain.known) == 512
            await trio.lowlevel.checkpoint()

    in_virtual_time(run)
