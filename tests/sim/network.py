"""A simulated network: any number of nodes in one process, on trio's clock, with faults drawn from one seed.

Notifications and requests may be lost, delayed (hence reordered) and doubled; partitions, also one-way, cut wires;
inboxes are bounded. Peers see each other come and go as with real connections: a node that crashes is gone for all.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import trio

from node.network.port import (
    EVENTS_QUEUE_MAX,
    NOTIFICATION_BYTES_MAX,
    REQUEST_BYTES_MAX,
    REQUEST_TIMEOUT_MS,
    RESPONSE_BYTES_MAX,
    ChainStatus,
    FrameTooLarge,
    NetworkEvent,
    Notification,
    PeerDown,
    PeerId,
    PeerUp,
    RequestFailed,
    RequestFailure,
    RequestHandler,
    RequestRefused,
    Role,
)

NO_STATUS = ChainStatus(Role.FULL, 0, bytes(32), 0)


@dataclass(slots=True)
class Faults:
    """How bad the wires are. `cuts` are (from, to) pairs that carry nothing."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay_ms_max: int = 20
    cuts: set[tuple[PeerId, PeerId]] = field(default_factory=set)

    def part(self, one: set[PeerId], two: set[PeerId]) -> None:
        """Cut both ways between two groups."""
        self.cuts |= {(a, b) for a in one for b in two} | {(b, a) for a in one for b in two}


class Switchboard:
    """All wires. `run` carries what is sent; it must run for anything to arrive."""

    def __init__(self, seed: int) -> None:
        self.faults = Faults()
        self.random = Random(f"wires {seed}")
        self.delivered = 0
        self._ports: dict[PeerId, SimNetwork] = {}
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._counter = 0
        self._changed = trio.Event()

    def join(self, name: str) -> SimNetwork:
        """A node comes up: everyone sees it, and it sees everyone."""
        port = SimNetwork(self, PeerId(name))
        for other in self._ports.values():
            port.tell(PeerUp(other.local_id, other.status))
            other.tell(PeerUp(port.local_id, port.status))
        self._ports[port.local_id] = port
        return port

    def leave(self, port: SimNetwork) -> None:
        """A node is gone."""
        if self._ports.pop(port.local_id, None) is not None:
            for other in self._ports.values():
                other.tell(PeerDown(port.local_id, "gone"))
        port.close()

    def peers_of(self, name: PeerId) -> list[PeerId]:
        """Who is up besides `name`."""
        return [other for other in self._ports if other != name]

    def port(self, name: PeerId) -> SimNetwork | None:
        """A node that is up."""
        return self._ports.get(name)

    def delay_s(self, source: PeerId, target: PeerId) -> float | None:
        """How long the next thing takes over a wire; None when it is lost."""
        faults = self.faults
        if (source, target) in faults.cuts or self.random.random() < faults.loss:
            return None
        return (1 + self.random.randrange(max(1, faults.delay_ms_max))) / 1000

    def carry(self, source: PeerId, target: PeerId, event: NetworkEvent) -> None:
        """Send an event over a wire."""
        for _ in range(2 if self.random.random() < self.faults.duplicate else 1):
            delay_s = self.delay_s(source, target)
            if delay_s is not None:
                self._at(trio.current_time() + delay_s, target, event)

    def _at(self, time_s: float, target: PeerId, event: NetworkEvent) -> None:
        def deliver() -> None:
            port = self._ports.get(target)
            if port is not None:
                self.delivered += 1
                port.tell(event)

        self._counter += 1
        heapq.heappush(self._heap, (time_s, self._counter, deliver))
        self._changed.set()

    async def run(self) -> None:
        """Carry for ever."""
        while True:
            self._changed = trio.Event()
            with trio.move_on_at(self._heap[0][0] if self._heap else float("inf")):
                await self._changed.wait()
            while self._heap and self._heap[0][0] <= trio.current_time():
                heapq.heappop(self._heap)[2]()


class SimNetwork:
    """One node's Network port."""

    def __init__(self, board: Switchboard, name: PeerId) -> None:
        self.status = NO_STATUS
        self.reports: list[tuple[PeerId, int, str]] = []
        self._board = board
        self._name = name
        self._handlers: dict[str, RequestHandler] = {}
        self._send, self._events = trio.open_memory_channel[NetworkEvent](EVENTS_QUEUE_MAX)
        self._banned: dict[PeerId, float] = {}

    @property
    def local_id(self) -> PeerId:
        return self._name

    @property
    def events(self) -> trio.MemoryReceiveChannel[NetworkEvent]:
        return self._events

    def tell(self, event: NetworkEvent) -> None:
        """Put an event into the inbox; a full inbox loses it."""
        if self._banned.get(event.peer, 0.0) > trio.current_time():
            return
        try:
            self._send.send_nowait(event)
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            return

    def close(self) -> None:
        """The node is gone."""
        self._send.close()
        self._events.close()

    def peers(self) -> list[PeerId]:
        return self._board.peers_of(self._name)

    def notify(self, peer: PeerId, kind: int, data: bytes) -> bool:
        if len(data) > NOTIFICATION_BYTES_MAX:
            raise FrameTooLarge("notification", len(data), NOTIFICATION_BYTES_MAX)
        if self._board.port(peer) is None:
            return False
        self._board.carry(self._name, peer, Notification(self._name, int(kind), data))
        return True

    def serve(self, protocol: str, handler: RequestHandler) -> None:
        self._handlers[protocol] = handler

    async def request(self, peer: PeerId, protocol: str, data: bytes, timeout_ms: int = REQUEST_TIMEOUT_MS) -> bytes:
        if len(data) > REQUEST_BYTES_MAX:
            raise FrameTooLarge("request", len(data), REQUEST_BYTES_MAX)
        with trio.move_on_after(timeout_ms / 1000):
            await self._cross(self._name, peer)
            port = self._board.port(peer)
            if port is None:
                raise RequestFailed(peer, protocol, RequestFailure.NOT_CONNECTED)
            answer = await port.answer(self._name, protocol, data)
            await self._cross(peer, self._name)
            return answer
        raise RequestFailed(peer, protocol, RequestFailure.TIMED_OUT)

    async def _cross(self, source: PeerId, target: PeerId) -> None:
        """Take the time of a wire; for ever when it loses the message."""
        delay_s = self._board.delay_s(source, target)
        if delay_s is None:
            await trio.sleep_forever()
        else:
            await trio.sleep(delay_s)

    async def answer(self, peer: PeerId, protocol: str, data: bytes) -> bytes:
        """Handle a request of a peer."""
        handler = self._handlers.get(protocol)
        if handler is None:
            raise RequestFailed(self._name, protocol, RequestFailure.UNSUPPORTED)
        try:
            found = await handler(peer, data)
        except RequestRefused as refused:
            raise RequestFailed(self._name, protocol, RequestFailure.REFUSED, str(refused)) from refused
        if len(found) > RESPONSE_BYTES_MAX:
            raise FrameTooLarge("response", len(found), RESPONSE_BYTES_MAX)
        return found

    def ban(self, peer: PeerId, seconds: float) -> None:
        self._banned[peer] = trio.current_time() + seconds

    def report(self, peer: PeerId, delta: int, reason: str) -> None:
        self.reports.append((peer, delta, reason))

    def update_status(self, status: ChainStatus) -> None:
        self.status = status
