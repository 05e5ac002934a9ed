"""Networks in processes of their own, over real sockets: killed, stopped and started again."""

import signal

import pytest
import trio

from node.network.port import Kind
from tests.helpers.network_process import NetworkProcess, network_process
from tests.helpers.networks import config, running, until

START_S = 40.0


async def started(nursery: trio.Nursery, process: NetworkProcess) -> str:
    """The address of a process, once it listens."""
    nursery.start_soon(process.read_lines)
    await until(lambda: bool(process.address), "the process listens", START_S)
    return process.address


@pytest.mark.deadline(120)
def test_processes_find_each_other_and_talk() -> None:
    """Two processes that know only ours find each other through it; requests and notifications pass."""

    async def main() -> None:
        async with running(config(1)) as node, trio.open_nursery() as nursery:
            with (
                network_process(2, bootnodes=[node.address]) as first,
                network_process(3, bootnodes=[node.address]) as second,
            ):
                await started(nursery, first)
                await started(nursery, second)
                await until(lambda: node.network.peers_count == 2, "both are up", START_S)
                await until(lambda: first.said(up=second.id) == second.said(up=first.id) == 1, "they met", START_S)
                for peer in node.network.peers():
                    assert await node.network.request(peer, "echo", b"x" * 60_000) == b"x" * 60_000
                    assert node.network.notify(peer, Kind.ANNOUNCE, bytes(1 << 20))
                    assert node.network.notify(peer, Kind.VOTE, bytes(100))
                for process in (first, second):
                    await until(lambda: process.said(kind=2, size=1 << 20) == 1, "announce")  # noqa: B023 - awaited in this turn of the loop
                    await until(lambda: process.said(kind=1, size=100) == 1, "vote")  # noqa: B023 - awaited in this turn of the loop
                nursery.cancel_scope.cancel()

    trio.run(main)


@pytest.mark.deadline(120)
def test_a_killed_peer_is_noticed_and_found_again_when_it_restarts() -> None:
    """After kill -9 PeerDown comes at once; the same node, started again on its port, is up again without our doing."""

    async def main() -> None:
        number = 2
        async with trio.open_nursery() as nursery:
            with network_process(number) as process:
                address = await started(nursery, process)
                async with running(config(1, (address,))) as node:
                    await until(lambda: node.network.peers_count == 1, "up", START_S)
                    process.process.kill()
                    await until(lambda: len(node.downs()) == 1, "noticed", 5)
                    with network_process(number, listen_port=int(address.split("/")[4])) as again:
                        assert await started(nursery, again) == address
                        await until(lambda: len(node.ups()) == 2, "up again", START_S)
                        assert await node.network.request(node.network.peers()[0], "echo", b"again") == b"again"
                        nursery.cancel_scope.cancel()

    trio.run(main)


@pytest.mark.deadline(120)
def test_a_stopped_peer_is_dropped_after_15_seconds() -> None:
    """A peer under SIGSTOP keeps its sockets open but says nothing: pings notice; continued, it comes back."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            with network_process(2) as process:
                address = await started(nursery, process)
                async with running(config(1, (address,))) as node:
                    await until(lambda: node.network.peers_count == 1, "up", START_S)
                    process.process.send_signal(signal.SIGSTOP)
                    stopped_at_s = trio.current_time()
                    await until(lambda: len(node.downs()) == 1, "dropped", 60)
                    assert trio.current_time() - stopped_at_s > 10  # not by a shorter limit
                    assert "silent for" in node.downs()[0].reason
                    process.process.send_signal(signal.SIGCONT)
                    await until(lambda: len(node.ups()) == 2, "back", 60)
                    nursery.cancel_scope.cancel()

    trio.run(main)


@pytest.mark.deadline(120)
def test_an_own_pause_is_no_silence_of_the_peers() -> None:
    """A process stopped for longer than its own limit keeps its peers when it goes on: they never were silent."""

    async def main() -> None:
        async with running(config(1)) as node, trio.open_nursery() as nursery:
            with network_process(2, bootnodes=[node.address], ping_interval_s=0.4, silence_limit_s=1.0) as process:
                await started(nursery, process)
                await until(lambda: node.network.peers_count == 1, "up", START_S)
                peer = node.network.peers()[0]
                for _ in range(5):
                    process.process.send_signal(signal.SIGSTOP)
                    resume_at_s = trio.current_time() + 1.5
                    await until(lambda: trio.current_time() > resume_at_s, "past the limit")  # noqa: B023 - awaited in this turn of the loop
                    process.process.send_signal(signal.SIGCONT)
                    for _ in range(50):
                        assert await node.network.request(peer, "echo", b"awake") == b"awake"
                assert node.downs() == []
                assert process.said(down=node.id) == 0
                nursery.cancel_scope.cancel()

    trio.run(main)
