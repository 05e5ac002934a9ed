"""Finding peers: the dialler, which retries boot nodes for ever, and the exchange of addresses among peers."""

import secrets
from typing import Protocol

import trio

from node.log import logger
from node.network.address_book import AddressBook
from node.network.addresses import PeerAddress, parse_address, scope
from node.network.config import NetworkConfig
from node.network.peer import Peer
from node.network.peer_exchange import PROTOCOL, decode_peers, encode_peers
from node.network.peer_reputation import MALFORMED_MESSAGE
from node.network.port import MalformedMessage, PeerId, RequestFailed, RequestHandler
from node.network.tcp_stream import TcpStream, Traffic

log = logger("network")

DIAL_LIMIT_S = 10.0
DIALS_MAX = 4
EXCHANGE_INTERVAL_S = 5.0
EXCHANGE_TIMEOUT_MS = 5_000
SCOPE_INTERNET = 3


class Host(Protocol):
    """What discovery needs of the network that it serves."""

    @property
    def local_id(self) -> PeerId: ...
    @property
    def traffic(self) -> Traffic: ...
    def peers(self) -> list[PeerId]: ...
    def is_banned(self, peer: PeerId) -> bool: ...
    def report(self, peer: PeerId, delta: int, reason: str) -> None: ...
    def serve(self, protocol: str, handler: RequestHandler) -> None: ...
    async def request(self, peer: PeerId, protocol: str, data: bytes, timeout_ms: int) -> bytes: ...
    async def supervise(self, tcp: TcpStream, expected: PeerId | None) -> bool:
        """Serve a connection until it ends; True: its peer came up."""


class Discovery:
    """Keeps the outbound slots filled. `peers` is the network's own table, only read here."""

    def __init__(self, host: Host, config: NetworkConfig, peers: dict[PeerId, Peer]) -> None:
        self._host, self._peers = host, peers
        self._max_outbound = config.max_outbound
        self._book = AddressBook(host.local_id, [parse_address(text) for text in config.bootnodes])
        self._dialling: set[PeerId] = set()
        self._dial_now = trio.Event()
        self._exchange_now = trio.Event()
        self.dials_failed_total = 0
        host.serve(PROTOCOL, self._tell_peers)

    def learn(self, address: PeerAddress) -> None:
        """Dial this peer as soon as a slot is free."""
        self._book.learn(address)
        self._dial_now.set()

    def note_admitted(self, peer: PeerId) -> None:
        """The peer's connection counts among the slots from now on, no longer among the dials."""
        self._dialling.discard(peer)

    def note_up(self, peer: PeerId) -> None:
        """The peer is up: its dials start afresh, and it may know others."""
        self._book.succeeded(peer, trio.current_time())
        self._exchange_now.set()

    def note_down(self, peer: PeerId) -> None:
        """The peer is gone: dial it again soon, or another one in its place."""
        self._book.succeeded(peer, trio.current_time())
        self._dial_now.set()

    async def run(self, nursery: trio.Nursery) -> None:
        """Dial for ever, in tasks of `nursery`, as long as there are free slots."""
        nursery.start_soon(self._exchange_peers)
        while True:
            now_s = trio.current_time()
            self._dial_now = trio.Event()
            for peer in self._book.due(now_s):
                if not self._may_dial():
                    break
                if peer not in self._peers and peer not in self._dialling and not self._host.is_banned(peer):
                    self._dialling.add(peer)
                    nursery.start_soon(self._dial, self._book.address(peer))
            with trio.move_on_at(min(self._book.next_due_s(now_s), now_s + EXCHANGE_INTERVAL_S)):
                await self._dial_now.wait()

    def _may_dial(self) -> bool:
        outbound = sum(1 for peer in self._peers.values() if peer.connection.outbound)
        return len(self._dialling) < DIALS_MAX and outbound + len(self._dialling) < self._max_outbound

    async def _dial(self, address: PeerAddress) -> None:
        """Dial once and serve the connection until it ends."""
        came_up = False
        try:
            with trio.fail_after(DIAL_LIMIT_S):
                stream = await trio.open_tcp_stream(address.host, address.port)
            tcp = TcpStream(stream, is_initiator=True, traffic=self._host.traffic)
        except (OSError, trio.TooSlowError) as error:
            log.debug("dialling failed", address=str(address), error=str(error))
        else:
            came_up = await self._host.supervise(tcp, address.peer)
        finally:
            self._dialling.discard(address.peer)
        if not came_up and address.peer not in self._peers:
            self.dials_failed_total += 1
            self._book.failed(address.peer, trio.current_time())
        self._dial_now.set()

    async def _exchange_peers(self) -> None:
        """While we want peers, ask one of ours, drawn at random, whom it knows."""
        while True:
            with trio.move_on_after(EXCHANGE_INTERVAL_S):
                await self._exchange_now.wait()
            self._exchange_now = trio.Event()
            known = self._host.peers()
            if known and self._may_dial():
                await self._ask(secrets.choice(known))

    async def _ask(self, peer: PeerId) -> None:
        teller_host = self._peers[peer].connection.host
        try:
            answer = await self._host.request(peer, PROTOCOL, b"", EXCHANGE_TIMEOUT_MS)
            for address in decode_peers(answer, teller_host):
                self.learn(address)
        except RequestFailed as error:
            log.debug("peer exchange failed", error=str(error))
        except MalformedMessage as error:
            self._host.report(peer, MALFORMED_MESSAGE.delta, f"peer exchange: {error}")

    async def _tell_peers(self, asker: PeerId, _data: bytes) -> bytes:
        """Addresses of our peers, as far as the asker can reach them: never a nearer scope than its own."""
        known = self._peers.get(asker)
        nearest = scope(known.connection.host) if known is not None else SCOPE_INTERNET
        addresses = [
            address
            for address in map(_address_of, self._peers.values())
            if address is not None and address.peer != asker and scope(address.host) >= nearest
        ]
        return encode_peers(addresses)


def _address_of(peer: Peer) -> PeerAddress | None:
    """Where others can dial a peer: where we did, or where it says it listens."""
    if not peer.up or peer.handshake is None:
        return None
    port = peer.connection.port if peer.connection.outbound else peer.handshake.listen_port
    return PeerAddress(peer.id, peer.connection.host, port) if port else None
