"""Relay of transactions between nodes on a simulated network: to everyone, once, and no blame for honest ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from node.network.port import Kind
from node.transactions import TransactionUpdate
from node.wire import pack
from runtime.address import Era
from tests.helpers.chain_lab import BOB, CHARLIE
from tests.helpers.lab_network import Peer, in_virtual_time, lab_network


def has(peer: Peer, *hashes: bytes) -> bool:
    """Whether the pool holds all of these, ready."""
    entries = peer.lab.pool.entries
    return all(one in entries and entries[one].ready for one in hashes)


def test_a_transaction_reaches_everybody(tmp_path: Path) -> None:
    """Along a line of three nodes a transaction arrives at the far end, and its watcher is told of the broadcast."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            one, two, three = [await net.join(name) for name in ("one", "two", "three")]
            await net.settle()
            net.board.faults.part({one.id}, {three.id})
            send, updates = trio.open_memory_channel[TransactionUpdate](16)
            raw = one.lab.sign(one.lab.transfer())
            one.lab.transactions.watch(raw, send)
            sent = one.lab.submit(raw)
            await net.until(lambda: has(two, sent) and has(three, sent), "the transaction on all")
            told = [updates.receive_nowait().json() for _ in range(updates.statistics().current_buffer_used)]
            assert told[0] == "ready"
            assert {"broadcast": ["two"]} in told

    in_virtual_time(run)


def test_what_became_ready_later_is_relayed(tmp_path: Path) -> None:
    """A transaction that waited for its predecessor goes out when that one is there."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            one, two = await net.join("one"), await net.join("two")
            await net.settle()
            later = one.lab.submit(one.lab.sign(one.lab.transfer(), 1))
            await net.settle()
            assert later not in two.lab.pool.entries
            first = one.lab.submit(one.lab.sign(one.lab.transfer(), 0))
            await net.until(lambda: has(two, first, later), "both")

    in_virtual_time(run)


def test_a_new_peer_gets_what_is_ready(tmp_path: Path) -> None:
    """Whoever joins later gets what is ready here."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            one = await net.join("one")
            sent = [one.lab.submit(one.lab.sign(one.lab.transfer(), 0, pair)) for pair in (BOB, CHARLIE)]
            await net.settle()
            two = await net.join("two")
            await net.until(lambda: has(two, *sent), "both")

    in_virtual_time(run)


def test_nothing_is_sent_back_or_twice(tmp_path: Path) -> None:
    """A transaction crosses the wire between two nodes once."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            one, two = await net.join("one"), await net.join("two")
            await net.settle()
            before = net.board.delivered
            sent = one.lab.submit(one.lab.sign(one.lab.transfer()))
            await net.until(lambda: has(two, sent), "the transaction")
            await net.settle()
            assert net.board.delivered == before + 1

    in_virtual_time(run)


def test_a_large_batch_goes_in_several_messages(tmp_path: Path) -> None:
    """A megabyte of transactions arrives although a notification holds less."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            one, two = await net.join("one"), await net.join("two")
            await net.settle()
            remark = one.lab.call("System", "remark", bytes(64 << 10))
            sent = [one.lab.submit(one.lab.sign(remark, nonce)) for nonce in range(20)]
            await net.until(lambda: has(two, *sent), "all of them")

    in_virtual_time(run)


async def deliver(victim: Peer, attacker: Peer, *raws: bytes) -> None:
    """Notify transactions as they are."""
    attacker.network.notify(victim.id, Kind.TRANSACTIONS, pack(list(raws)))
    await trio.sleep(5)


@pytest.mark.parametrize("kind", ["wrong signature", "wrong genesis", "undecodable", "unsigned"])
def test_bad_transactions_cost_their_sender(kind: str, tmp_path: Path) -> None:
    """What no honest node would relay is reported, changes nothing, and the good one beside it is taken."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            victim, attacker = await net.join("victim"), await net.join("attacker")
            await net.settle()
            lab = attacker.lab
            good = lab.sign(lab.transfer(), 0, CHARLIE)
            signed = lab.sign(lab.transfer())
            bad = {
                "wrong signature": signed[:60] + bytes((signed[60] ^ 1,)) + signed[61:],
                "wrong genesis": lab.sign(lab.transfer(), genesis=b"\x01" * 32),
                "undecodable": signed[:-1],
                "unsigned": b"\x14\x04\x00\x00\x00\x00"[:1] + b"\x04\x00\x00\x00",
            }[kind]
            await deliver(victim, attacker, bad, good)
            assert len(victim.reasons) == 1
            assert [entry.extrinsic.raw for entry in victim.lab.pool.entries.values()] == [good]

    in_virtual_time(run)


@pytest.mark.parametrize("data", [b"", b"\xc0", pack([1]), pack([b"x" * 300_000]), pack([b""] * 1_025)], ids=range(5))
def test_a_malformed_message_costs_its_sender(data: bytes, tmp_path: Path) -> None:
    """What is no list of transactions within the limits is reported."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            victim, attacker = await net.join("victim"), await net.join("attacker")
            await net.settle()
            attacker.network.notify(victim.id, Kind.TRANSACTIONS, data)
            await net.until(lambda: len(victim.reasons) == 1, "a report")

    in_virtual_time(run)


def test_honest_differences_are_not_blamed(tmp_path: Path) -> None:
    """Stale nonces, an account that cannot pay here, and mortal signatures of another fork cost nothing."""

    async def run() -> None:
        async with lab_network(tmp_path) as net:
            victim, sender = await net.join("victim"), await net.join("sender")
            await net.settle()
            lab = sender.lab
            lab.submit(lab.sign(lab.transfer(), 0))
            await sender.author()
            await net.until(lambda: victim.lab.chain.best == lab.chain.best, "the block")
            stale = lab.sign(lab.transfer(5), 0)
            poor = lab.sign(lab.transfer(), 1, tip=10**30)
            of_a_fork = lab.sign(lab.transfer(), 1, era=Era.mortal(16, 1), era_block_hash=b"\x07" * 32)
            await deliver(victim, sender, stale, poor, of_a_fork)
            assert victim.reasons == []
            assert victim.lab.pool.entries == {}

    in_virtual_time(run)
