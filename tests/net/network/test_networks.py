"""Two and three real networks in one process: what the Network port promises."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import structlog.testing
import trio

from node.network.config import NetworkConfig
from node.network.libp2p_network import Libp2pNetwork
from node.network.port import (
    NOTIFICATION_BYTES_MAX,
    REQUEST_BYTES_MAX,
    RESPONSE_BYTES_MAX,
    FrameTooLarge,
    Kind,
    PeerId,
    PeerUp,
    RequestFailed,
    RequestFailure,
    RequestRefused,
)
from tests.helpers.networks import GENESIS, Node, config, running, seed, status, until, until_connected


async def echo(_peer: PeerId, data: bytes) -> bytes:
    """A handler that answers what it got."""
    return data


async def failure_of(node: Node, peer: PeerId, protocol: str, data: bytes = b"", timeout_ms: int = 10_000) -> str:
    """Why a request fails."""
    with pytest.raises(RequestFailed) as failed:
        await node.network.request(peer, protocol, data, timeout_ms)
    return failed.value.failure


def test_two_nodes_meet_and_tell_their_status() -> None:
    """A node dials its boot node; both report PeerUp with the other's status, the newest one at that time."""

    async def main() -> None:
        async with running(config(1)) as boot:
            boot.network.update_status(status(42))
            async with running(config(2, (boot.address,))) as node:
                await until_connected(boot, node)
                assert node.events == [PeerUp(boot.id, status(42), outbound=True)]
                assert boot.events == [PeerUp(node.id, status(0), outbound=False)]
                assert boot.network.peers_count == node.network.peers_count == 1
                traffic = node.network.traffic
                assert traffic.bytes_in > 100
                assert traffic.bytes_out > 100

    trio.run(main)


def test_the_node_key_decides_the_peer_id() -> None:
    """The same seed gives the same id, and the address names host, port and id."""

    async def main() -> None:
        async with running(config(1)) as node:
            assert node.id == "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
            host, port = node.address.split("/")[2], int(node.address.split("/")[4])
            assert node.address == f"/ip4/{host}/tcp/{port}/p2p/{node.id}"
            assert (host, port > 0) == ("127.0.0.1", True)

    trio.run(main)


def test_requests_are_answered_in_both_directions_and_at_once() -> None:
    """Many concurrent requests each get their own answer, whichever side dialled."""

    async def main() -> None:
        async with running(config(1)) as boot, running(config(2, (boot.address,))) as node:
            boot.network.serve("echo/1", echo)
            node.network.serve("echo/1", echo)
            await until_connected(boot, node)
            answers: dict[bytes, bytes] = {}

            async def ask(asker: Node, asked: Node, data: bytes) -> None:
                answers[data] = await asker.network.request(asked.id, "echo/1", data)

            async with trio.open_nursery() as nursery:
                for number in range(40):
                    nursery.start_soon(ask, boot, node, b"down %d" % number)
                    nursery.start_soon(ask, node, boot, b"up %d" % number)
            assert len(answers) == 80
            assert all(answer == data for data, answer in answers.items())

    trio.run(main)


def test_the_largest_request_and_response_pass() -> None:
    """64 KiB up and 16 MiB down arrive whole; one byte more is refused at the caller, or fails at the server."""

    async def main() -> None:
        large = bytes(range(256)) * (RESPONSE_BYTES_MAX // 256)

        async def serve(_peer: PeerId, data: bytes) -> bytes:
            return large if len(data) == REQUEST_BYTES_MAX else large + b"!"

        async with running(config(1)) as boot, running(config(2, (boot.address,))) as node:
            boot.network.serve("large/1", serve)
            await until_connected(boot, node)
            assert await node.network.request(boot.id, "large/1", bytes(REQUEST_BYTES_MAX), 30_000) == large
            assert await failure_of(node, boot.id, "large/1") == RequestFailure.FAILED
            with pytest.raises(FrameTooLarge):
                await node.network.request(boot.id, "large/1", bytes(REQUEST_BYTES_MAX + 1))

    trio.run(main)


def test_failed_requests_say_why_and_leave_the_connection_alone() -> None:
    """Refusal, a crash of the handler, an unknown protocol, a time-out and a stranger are told apart; then it works."""

    async def main() -> None:
        async def refuse(_peer: PeerId, _data: bytes) -> bytes:
            raise RequestRefused("no such \x1b[31mblock")

        async def crash(_peer: PeerId, _data: bytes) -> bytes:
            raise ZeroDivisionError

        async def hang(_peer: PeerId, _data: bytes) -> bytes:
            await trio.sleep_forever()

        async with running(config(1)) as boot, running(config(2, (boot.address,))) as node:
            for name, handler in (("echo", echo), ("refuse", refuse), ("crash", crash), ("hang", hang)):
                boot.network.serve(name, handler)
            await until_connected(boot, node)
            with pytest.raises(RequestFailed, match=r"no such \\x1b") as refused:
                await node.network.request(boot.id, "refuse", b"")
            assert refused.value.failure == RequestFailure.REFUSED
            assert await failure_of(node, boot.id, "crash") == RequestFailure.FAILED
            assert await failure_of(node, boot.id, "unknown") == RequestFailure.UNSUPPORTED
            assert await failure_of(node, boot.id, "hang", timeout_ms=50) == RequestFailure.TIMED_OUT
            assert await failure_of(node, node.id, "echo") == RequestFailure.NOT_CONNECTED
            assert await node.network.request(boot.id, "echo", b"still here") == b"still here"
            assert node.downs() == []

    trio.run(main)


def test_more_requests_than_one_peer_may_ask_wait_their_turn() -> None:
    """Of many slow requests over two protocols the server never runs more than 4 of one peer, and all are answered."""

    async def main() -> None:
        now = most = 0
        gate = trio.Event()

        async def slow(_peer: PeerId, data: bytes) -> bytes:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await gate.wait()
            now -= 1
            return data

        async with running(config(1)) as boot, running(config(2, (boot.address,))) as node:
            boot.network.serve("a", slow)
            boot.network.serve("b", slow)
            await until_connected(boot, node)
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(node.network.request, boot.id, "a", b"")
                    nursery.start_soon(node.network.request, boot.id, "b", b"")
                await until(lambda: now == 4, "four run")
                gate.set()
            assert most == 4

    trio.run(main)


def test_a_request_to_a_peer_that_goes_fails_at_once() -> None:
    """The network of the asked peer ends while the request runs: it fails as broken, long before its time-out."""

    async def main() -> None:
        asked = trio.Event()

        async def hang(_peer: PeerId, _data: bytes) -> bytes:
            asked.set()
            await trio.sleep_forever()

        async with running(config(1)) as node:
            async with trio.open_nursery() as nursery, running(config(2, (node.address,))) as other:
                other.network.serve("hang", hang)
                await until_connected(node, other)
                failures: list[str] = []

                async def ask() -> None:
                    failures.append(await failure_of(node, other.id, "hang", timeout_ms=60_000))

                nursery.start_soon(ask)
                await asked.wait()
            assert failures == [RequestFailure.BROKEN]
            await until(lambda: len(node.downs()) == 1, "PeerDown")

    trio.run(main)


def test_notifications_arrive_whole_and_in_order() -> None:
    """Notifications of one kind keep their order, the empty and the largest one included."""

    async def main() -> None:
        async with running(config(1)) as boot, running(config(2, (boot.address,))) as node:
            await until_connected(boot, node)
            sent = [b"", bytes(NOTIFICATION_BYTES_MAX), *(b"vote %d" % number for number in range(2000))]
            for data in sent:
                assert node.network.notify(boot.id, Kind.VOTE, data)
            await until(lambda: len(boot.notified()) == len(sent), "all notifications")
            assert [event.data for event in boot.notified()] == sent
            assert {(event.peer, event.kind) for event in boot.notified()} == {(node.id, Kind.VOTE)}
            with pytest.raises(FrameTooLarge):
                node.network.notify(boot.id, Kind.VOTE, bytes(NOTIFICATION_BYTES_MAX + 1))
            assert not node.network.notify(node.id, Kind.VOTE, b"to a stranger")

    trio.run(main)


def test_a_vote_overtakes_the_transactions_that_wait() -> None:
    """With its queue full notify says False for transactions; a vote still passes, and arrives before all of them."""

    async def main() -> None:
        async with running(config(1)) as boot, running(config(2, (boot.address,))) as node:
            await until_connected(boot, node)
            sent = 0
            while boot.network.notify(node.id, Kind.TRANSACTIONS, bytes(60_000)):
                sent += 1
            assert boot.network.notifications_dropped_total == 1
            assert boot.network.notify(node.id, Kind.VOTE, b"vote")
            await until(lambda: len(node.notified()) == sent + 1, "all that was accepted")
            assert [event.kind for event in node.notified()] == [Kind.VOTE] + [Kind.TRANSACTIONS] * sent

    trio.run(main)


def test_three_nodes_find_each_other_through_one() -> None:
    """Two nodes that know only a boot node are told of each other and connect."""

    async def main() -> None:
        async with (
            running(config(1)) as boot,
            running(config(2, (boot.address,))) as second,
            running(config(3, (boot.address,))) as third,
        ):
            await until_connected(boot, second, third)

    trio.run(main)


def test_a_boot_node_that_comes_up_late_is_found() -> None:
    """A node keeps dialling a boot node that is not there yet, and again after it went and came back."""

    async def main() -> None:
        port = free_port()
        boot_settings = config(1, listen_port=port)
        boot_id = Libp2pNetwork(boot_settings, status).local_id
        async with running(config(2, (f"/ip4/127.0.0.1/tcp/{port}/p2p/{boot_id}",))) as node:
            await until(lambda: node.network.dials_failed_total >= 2, "two dials in vain")
            for ups in (1, 2):
                async with running(boot_settings):
                    await until(lambda: len(node.ups()) == ups, "the boot node is up")  # noqa: B023 - awaited in this turn of the loop
                await until(lambda: len(node.downs()) == ups, "the boot node is gone")  # noqa: B023 - awaited in this turn of the loop

    trio.run(main)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_node_of_another_chain_is_refused_and_banned_with_a_clear_line() -> None:
    """Nodes with different genesis never see each other as peers; both ban the other and log why."""

    async def main() -> None:
        async with running(config(1)) as node, running(config(2, (node.address,), genesis=bytes(32))) as stranger:
            await until(lambda: node.network.is_banned(stranger.id), "the stranger is banned")
            await until(lambda: stranger.network.is_banned(node.id), "and bans us")
            assert node.events == stranger.events == []

    with structlog.testing.capture_logs() as lines:
        trio.run(main)
    refusals = [line for line in lines if line["event"] == "Refused peer: wrong genesis"]
    assert len(refusals) == 2
    assert all(line["log_level"] == "warning" and line["peer"] for line in refusals)


def test_a_banned_peer_is_dropped_and_refused_until_the_ban_ends() -> None:
    """A ban disconnects and keeps refusing; when it has ended the peer is back."""

    async def main() -> None:
        async with running(config(1)) as boot, running(config(2, (boot.address,))) as node:
            await until_connected(boot, node)
            boot.network.ban(node.id, 2)
            await until(lambda: len(boot.downs()) == 1 and len(node.downs()) == 1, "both report the end")
            assert boot.downs()[0].reason == "banned"
            await until(lambda: boot.network.refused_connections_total >= 1, "it is refused while banned")
            assert boot.network.is_banned(node.id)
            await until(lambda: len(boot.ups()) == 2, "it is back")
            assert not boot.network.is_banned(node.id)

    trio.run(main)


def test_reports_add_up_to_a_ban() -> None:
    """Small reports change the score only; beyond the threshold the peer is banned."""

    async def main() -> None:
        async with running(config(1)) as boot, running(config(2, (boot.address,))) as node:
            await until_connected(boot, node)
            boot.network.report(node.id, -(1 << 20), "bad transactions")
            assert -(1 << 20) <= boot.network.reputation(node.id) < 0
            assert boot.network.peers() == [node.id]
            for _ in range(4):
                boot.network.report(node.id, -(1 << 29), "bad block")
            assert boot.network.is_banned(node.id)
            await until(lambda: boot.network.peers() == [], "dropped")

    trio.run(main)


def test_simultaneous_dials_leave_one_connection() -> None:
    """Ten pairs that dial each other at the same time each end with one connection that works both ways."""

    async def main() -> None:
        for _ in range(10):
            async with running(config(1)) as first, running(config(2)) as second:
                first.network.serve("echo", echo)
                second.network.serve("echo", echo)
                first.network.connect(second.address)
                second.network.connect(first.address)
                await until_connected(first, second)
                await until(lambda: settled(first) and settled(second), "one connection")
                assert await first.network.request(second.id, "echo", b"1") == b"1"
                assert await second.network.request(first.id, "echo", b"2") == b"2"

    def settled(node: Node) -> bool:
        return node.network.peers_count == 1 and node.network.connections_open == 1

    trio.run(main)


def test_full_slots_refuse_more_peers() -> None:
    """With one inbound slot the second node is refused and the first one stays."""

    async def main() -> None:
        async with running(config(1, max_inbound=1)) as boot, running(config(2, (boot.address,))) as first:
            await until_connected(boot, first)
            async with running(config(3, (boot.address,))) as second:
                await until(lambda: boot.network.refused_connections_total >= 1, "refused")
                assert second.network.peers() == []
                assert boot.network.peers() == [first.id]

    trio.run(main)


def test_a_closed_network_leaves_nothing_behind() -> None:
    """After the block the port can be bound again at once, the other side is told, and events end."""

    async def main() -> None:
        settings = config(1, listen_port=free_port())
        async with running(config(2)) as other:
            for round_number in (1, 2, 3):
                network = Libp2pNetwork(settings, status)
                async with network.run():
                    other.network.connect(network.listen_addresses()[0])
                    await until(lambda: network.peers_count == 1, "connected")  # noqa: B023 - awaited in this turn of the loop
                assert network.peers() == []
                assert [type(event) async for event in network.events] == [PeerUp]
                await until(lambda: len(other.downs()) == round_number, "told")  # noqa: B023 - awaited in this turn of the loop

    trio.run(main)


def test_a_taken_port_is_an_error_at_start() -> None:
    """Two networks on one port: the second raises OSError instead of running deaf."""

    async def main() -> None:
        async with running(config(1)) as node:
            port = int(node.address.split("/")[4])
            with pytest.raises(OSError, match="in use"):
                async with Libp2pNetwork(config(2, listen_port=port), status).run():
                    raise AssertionError("it runs")

    trio.run(main)


def test_as_a_task_it_runs_until_it_is_cancelled() -> None:
    """`nursery.start(network.run_forever)` returns once it listens."""

    async def main() -> None:
        network = Libp2pNetwork(NetworkConfig(seed(1), GENESIS), status)
        async with trio.open_nursery() as nursery:
            await nursery.start(network.run_forever)
            assert len(network.listen_addresses()) == 1
            nursery.cancel_scope.cancel()
        assert network.listen_addresses() == []

    trio.run(main)


def test_another_version_of_libp2p_is_refused_at_start(tmp_path: Path) -> None:
    """The hardening fits one version of the library: where another one is installed, a network cannot be made."""
    metadata = tmp_path / "libp2p-0.8.2.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: libp2p\nVersion: 0.8.2\n")
    program = "from node.network.tuning import prepare_libp2p; prepare_libp2p()"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 1
    assert "UnsupportedLibp2p: libp2p 0.8.2 is installed, exactly 0.8.1 is supported" in done.stderr
