"""Networks on 127.0.0.1 for tests: started in one process, their events collected, waited for with deadlines."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from node.network.config import NetworkConfig
from node.network.libp2p_network import Libp2pNetwork
from node.network.port import ChainStatus, NetworkEvent, Notification, PeerDown, PeerId, PeerUp, Role

GENESIS = bytes(range(32))
WAIT_S = 15.0


def seed(number: int) -> bytes:
    """The node key of a test's node."""
    return number.to_bytes(32, "big")


def status(best: int = 0) -> ChainStatus:
    """A status at height `best`."""
    return ChainStatus(Role.FULL, best, bytes(32), 0)


def config(number: int, bootnodes: tuple[str, ...] = (), genesis: bytes = GENESIS, **settings: Any) -> NetworkConfig:
    """Settings of a test's node on a port chosen by the system."""
    return NetworkConfig(seed(number), genesis, bootnodes=bootnodes, **settings)


@dataclass
class Node:
    """A running network and all that it reported."""

    network: Libp2pNetwork
    events: list[NetworkEvent] = field(default_factory=list)

    @property
    def id(self) -> PeerId:
        """Its peer id."""
        return self.network.local_id

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.network.listen_addresses()[0]

    def notified(self) -> list[Notification]:
        """The notifications so far."""
        return [event for event in self.events if isinstance(event, Notification)]

    def ups(self) -> list[PeerId]:
        """Who came up so far."""
        return [event.peer for event in self.events if isinstance(event, PeerUp)]

    def downs(self) -> list[PeerDown]:
        """Who went so far."""
        return [event for event in self.events if isinstance(event, PeerDown)]

    async def collect(self) -> None:
        """Read the events for ever."""
        async for event in self.network.events:
            self.events.append(event)


@asynccontextmanager
async def running(settings: NetworkConfig) -> AsyncIterator[Node]:
    """A network that runs while the block does."""
    node = Node(Libp2pNetwork(settings, status))
    async with node.network.run(), trio.open_nursery() as nursery:
        nursery.start_soon(node.collect)
        yield node
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool], what: str, limit_s: float = WAIT_S) -> None:
    """Wait until a condition holds; fail with `what` after the limit."""
    with trio.move_on_after(limit_s):
        while not condition():  # noqa: ASYNC110 - any condition, also one that signals nothing
            await trio.sleep(0.005)
        return
    raise AssertionError(f"not within {limit_s} s: {what}")


async def until_connected(*nodes: Node) -> None:
    """Wait until each node has all the others up."""
    for node in nodes:
        others = {other.id for other in nodes if other is not node}
        await until(lambda: others <= set(node.network.peers()), f"{node.id} knows all")  # noqa: B023 - awaited in this turn of the loop
