"""Labs joined by the simulated network: sync and relay as tasks, everything else as the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from node.gossip import Gossip
from node.network.port import PeerId
from node.relay import Relay
from node.sync import Sync
from tests.helpers.chain_lab import Lab
from tests.sim.disk import MemoryDatabase
from tests.sim.network import SimNetwork, Switchboard

DEADLINE_S = 120
"""Virtual seconds."""


class Peer:
    """A lab with the network side of a node."""

    def __init__(self, board: Switchboard, name: str, folder: Path, database: MemoryDatabase | None = None) -> None:
        self.lab = Lab(folder / name, database=database)
        self.network: SimNetwork = board.join(name)
        self.gossip = Gossip(self.network)
        self.sync = Sync(self.lab.chain, self.network, self.gossip)
        self.relay = Relay(self.lab.transactions, self.network, self.gossip)

    @property
    def id(self) -> PeerId:
        """Its name."""
        return self.network.local_id

    @property
    def reasons(self) -> list[str]:
        """Why it complained of its peers."""
        return [reason for _peer, _delta, reason in self.network.reports]

    async def run(self) -> None:
        """Live until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.lab.transactions.run)
            nursery.start_soon(self.gossip.run)
            nursery.start_soon(self.sync.run)
            nursery.start_soon(self.relay.run)

    async def author(self, slots: int = 1) -> bytes:
        """A block by //Alice; its hash. The pool follows by itself."""
        assert await self.lab.author.try_slot(self.lab.tick(slots))
        return self.lab.chain.best.hash


class LabNetwork:
    """The board and who lives on it. All share one wall time."""

    def __init__(self, folder: Path, nursery: trio.Nursery) -> None:
        self.folder = folder
        self.nursery = nursery
        self.board = Switchboard(1)
        self.peers: list[Peer] = []
        nursery.start_soon(self.board.run)

    async def join(self, name: str, database: MemoryDatabase | None = None) -> Peer:
        """A peer, its tasks under way."""
        peer = Peer(self.board, name, self.folder, database)
        if self.peers:
            peer.lab.clock = self.peers[0].lab.clock
            peer.lab.chain.clock = peer.lab.clock
        peer.network.update_status(peer.sync.status())
        self.peers.append(peer)
        self.nursery.start_soon(peer.run)
        await wait_all_tasks_blocked()
        return peer

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Let everyone live until something holds."""
        end = trio.current_time() + DEADLINE_S
        while not condition():
            assert trio.current_time() < end, f"not within {DEADLINE_S} virtual seconds: {what}"
            await trio.sleep(0.02)

    async def settle(self) -> None:
        """Let everything under way arrive."""
        await trio.sleep(20)


@asynccontextmanager
async def lab_network(folder: Path) -> AsyncIterator[LabNetwork]:
    """A network whose tasks end with the block."""
    async with trio.open_nursery() as nursery:
        yield LabNetwork(folder, nursery)
        nursery.cancel_scope.cancel()


def in_virtual_time(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test on a clock that jumps whenever everybody waits."""
    trio.run(test, clock=MockClock(autojump_threshold=0))
