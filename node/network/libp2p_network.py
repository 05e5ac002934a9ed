"""The Network port over py-libp2p's Noise, yamux and multistream, with our own connections on top.

A connection's way: accept or dial -> upgrade (authenticated, encrypted, multiplexed) -> admit (bans, slots, one
connection a peer) -> handshake on our genesis -> PeerUp -> notifications and requests -> PeerDown.
One supervisor per connection: whatever a peer provokes ends that connection only.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio
from libp2p.custom_types import TProtocol
from libp2p.protocol_muxer.multiselect import Multiselect
from trio_typing import TaskStatus

from node.log import logger
from node.network.addresses import format_address, is_ip, parse_address, scope
from node.network.ban_table import BanTable
from node.network.config import NetworkConfig
from node.network.connection import Connection
from node.network.discovery import Discovery
from node.network.framing import FramedStream, FrameTooLong
from node.network.handshake import encode_handshake
from node.network.peer import Peer
from node.network.peer_reputation import (
    OVERSIZED_MESSAGE,
    TIMED_OUT,
    WRONG_GENESIS,
    PeerReputation,
    Penalty,
)
from node.network.port import (
    EVENTS_QUEUE_MAX,
    NOTIFICATION_BYTES_MAX,
    REQUEST_BYTES_MAX,
    REQUEST_TIMEOUT_MS,
    ChainStatus,
    FrameTooLarge,
    NetworkEvent,
    PeerDown,
    PeerId,
    PeerUp,
    RequestFailed,
    RequestFailure,
    RequestHandler,
)
from node.network.requests import RequestServer
from node.network.tcp_stream import TcpStream, Traffic
from node.network.tuning import prepare_libp2p
from node.network.upgrade import Identity, upgrade

log = logger("network")

PENDING_UPGRADES_MAX = 64
SIMULTANEOUS_DIAL_S = 10.0
WRONG_GENESIS_BAN_S = 60.0
REPUTATION_BAN_S = 600.0
LISTEN_BACKLOG = 128


class Libp2pNetwork:
    """A node's network. `async with network.run():` serves it; counters are plain integers for the metrics."""

    def __init__(self, config: NetworkConfig, status: Callable[[], ChainStatus]) -> None:
        prepare_libp2p()
        self._config = config
        self._status = status
        self._identity = Identity.from_seed(config.node_key_seed)
        self._events_in, self._events = trio.open_memory_channel[NetworkEvent](EVENTS_QUEUE_MAX)
        self._peers: dict[PeerId, Peer] = {}
        self._bans = BanTable()
        self._reputation = PeerReputation()
        self._requests = RequestServer()
        self._offered = Multiselect({})
        self._inbound_by_host: Counter[str] = Counter()
        self._upgrading = 0
        self._listeners: Sequence[trio.SocketListener] = ()
        self.traffic = Traffic()
        self.refused_connections_total = 0
        self.connections_open = 0
        self.connections_total = 0
        self._offered.add_handler(TProtocol(f"{self._prefix}/notif/1"), None)
        self._discovery = Discovery(self, config, self._peers)

    # The port

    @property
    def local_id(self) -> PeerId:
        return self._identity.peer

    @property
    def events(self) -> trio.MemoryReceiveChannel[NetworkEvent]:
        return self._events

    def peers(self) -> list[PeerId]:
        return [peer.id for peer in self._peers.values() if peer.up]

    def notify(self, peer: PeerId, kind: int, data: bytes) -> bool:
        if len(data) > NOTIFICATION_BYTES_MAX:
            raise FrameTooLarge("notification", len(data), NOTIFICATION_BYTES_MAX)
        known = self._peers.get(peer)
        return known is not None and known.up and known.outbox.put(kind, data)

    def serve(self, protocol: str, handler: RequestHandler) -> None:
        self._requests.handlers[protocol] = handler
        self._offered.add_handler(TProtocol(f"{self._prefix}/rpc/{protocol}"), None)

    async def request(self, peer: PeerId, protocol: str, data: bytes, timeout_ms: int = REQUEST_TIMEOUT_MS) -> bytes:
        if len(data) > REQUEST_BYTES_MAX:
            raise FrameTooLarge("request", len(data), REQUEST_BYTES_MAX)
        known = self._peers.get(peer)
        if known is None or not known.up:
            raise RequestFailed(peer, protocol, RequestFailure.NOT_CONNECTED)
        try:
            with trio.fail_after(timeout_ms / 1000):
                return await known.requests.ask(protocol, data)
        except RequestFailed as error:
            if error.failure is RequestFailure.TOO_LARGE:
                self.report(peer, OVERSIZED_MESSAGE.delta, OVERSIZED_MESSAGE.reason)
            raise
        except trio.TooSlowError as error:
            self.report(peer, TIMED_OUT.delta, TIMED_OUT.reason)
            raise RequestFailed(peer, protocol, RequestFailure.TIMED_OUT, f"{timeout_ms} ms") from error

    def ban(self, peer: PeerId, seconds: float) -> None:
        self._bans.ban(peer, seconds, trio.current_time())
        known = self._peers.get(peer)
        if known is not None:
            known.connection.close("banned")

    def report(self, peer: PeerId, delta: int, reason: str) -> None:
        if self._reputation.change(peer, delta, trio.current_time()):
            log.info("Banned peer", peer=peer, seconds=REPUTATION_BAN_S, reason=reason)
            self.ban(peer, REPUTATION_BAN_S)

    def update_status(self, status: ChainStatus) -> None:
        self._status = lambda: status

    # Beyond the port

    def listen_addresses(self) -> list[str]:
        """Where we listen, as /ip4/HOST/tcp/PORT/p2p/ID; empty while the network does not run."""
        names = [listener.socket.getsockname() for listener in self._listeners]
        return [format_address(str(name[0]), int(name[1]), self.local_id) for name in names]

    @property
    def peers_count(self) -> int:
        """Peers that are up."""
        return sum(1 for peer in self._peers.values() if peer.up)

    @property
    def notifications_dropped_total(self) -> int:
        """Notifications dropped at full queues of the peers of now."""
        return sum(peer.outbox.dropped_total for peer in self._peers.values())

    @property
    def dials_failed_total(self) -> int:
        """Dials that brought no peer up."""
        return self._discovery.dials_failed_total

    def reputation(self, peer: PeerId) -> int:
        """A peer's score now."""
        return self._reputation.score(peer, trio.current_time())

    def is_banned(self, peer: PeerId) -> bool:
        """Whether a peer is refused now."""
        return self._bans.is_banned(peer, trio.current_time())

    def connect(self, address: str) -> None:
        """Learn a peer's address and dial it as soon as a slot is free. Raises InvalidAddress."""
        self._discovery.learn(parse_address(address))

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Listen and dial while the block runs; afterwards all sockets are closed and `events` ends. Runs once.

        Raises OSError when the port is taken. What the block raises comes out in an exception group.
        """
        listeners = await trio.open_tcp_listeners(
            self._config.listen_port, host=self._config.listen_host, backlog=LISTEN_BACKLOG
        )
        try:
            async with trio.open_nursery() as nursery:
                self._listeners = listeners
                nursery.start_soon(self._accept_connections, nursery)
                nursery.start_soon(self._discovery.run, nursery)
                log.info("Listening", addresses=" ".join(self.listen_addresses()))
                yield
                nursery.cancel_scope.cancel()
        finally:
            self._listeners = ()
            for listener in listeners:
                await trio.aclose_forcefully(listener)
            self._peers.clear()
            self._events_in.close()

    async def run_forever(self, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The same as a task: `await nursery.start(network.run_forever)`."""
        async with self.run():
            task_status.started()
            await trio.sleep_forever()

    @property
    def _prefix(self) -> str:
        return f"/{self._config.genesis_hash.hex()}"

    # Connections

    async def _accept_connections(self, nursery: trio.Nursery) -> None:
        # serve_listeners outlives exhaustion of file descriptors: it waits a little and tries again.
        await trio.serve_listeners(self._handle_inbound, list(self._listeners), handler_nursery=nursery)

    async def _handle_inbound(self, stream: trio.SocketStream) -> None:
        self.connections_total += 1
        try:
            tcp = TcpStream(stream, is_initiator=False, traffic=self.traffic)
        except OSError:
            await trio.aclose_forcefully(stream)
            return
        host = tcp.remote_host
        if self._inbound_by_host[host] >= self._address_cap(host) or self._upgrading >= PENDING_UPGRADES_MAX:
            self.refused_connections_total += 1
            await tcp.close()
            return
        self._inbound_by_host[host] += 1
        try:
            await self.supervise(tcp, None)
        finally:
            self._inbound_by_host[host] -= 1
            if not self._inbound_by_host[host]:
                del self._inbound_by_host[host]

    def _address_cap(self, host: str) -> int:
        is_local = is_ip(host) and scope(host) == 1
        return self._config.max_per_loopback_address if is_local else self._config.max_per_address

    async def supervise(self, tcp: TcpStream, expected: PeerId | None) -> bool:
        """The supervisor of one connection. True: its peer came up. Closes the socket in any case."""
        self.connections_open += 1
        try:
            return await self._run_connection(tcp, expected)
        except Exception as error:  # noqa: BLE001 - a supervisor: a connection's failure goes no further
            log.debug("a connection failed", host=tcp.remote_host, error=f"{type(error).__name__}: {error}")
            return False
        finally:
            self.connections_open -= 1
            await tcp.close()

    async def _run_connection(self, tcp: TcpStream, expected: PeerId | None) -> bool:
        self._upgrading += 1
        try:
            with trio.fail_after(self._config.handshake_limit_s):
                muxer, peer_id = await upgrade(
                    tcp,
                    self._identity,
                    expected,
                    ping_interval_s=self._config.ping_interval_s,
                    silence_limit_s=self._config.silence_limit_s,
                )
        finally:
            self._upgrading -= 1
        connection = Connection(
            muxer,
            peer_id,
            outbound=expected is not None,
            host=tcp.remote_host,
            port=tcp.remote_port,
            slow_reader_limit_s=self._config.slow_reader_limit_s,
        )
        refusal = self._refusal(connection)
        if refusal:
            self.refused_connections_total += 1
            log.debug("refused a connection", peer=peer_id, host=tcp.remote_host, reason=refusal)
            return False
        return await self._run_peer(connection)

    def _refusal(self, connection: Connection) -> str:
        """Why a connection is not admitted; empty if it is, and then an older one of the same peer is closed."""
        if connection.peer == self.local_id:
            return "it is we ourselves"
        if self.is_banned(connection.peer):
            return "it is banned"
        older = self._peers.get(connection.peer)
        if older is not None:
            return self._choose(older.connection, connection)
        same_direction = sum(1 for peer in self._peers.values() if peer.connection.outbound == connection.outbound)
        limit = self._config.max_outbound if connection.outbound else self._config.max_inbound
        return "" if same_direction < limit else "no slot is free"

    def _choose(self, older: Connection, newer: Connection) -> str:
        """One connection a peer: empty if the newer one is taken instead of the older, else why it is refused.

        Of two simultaneous dials both sides keep that of the lower id. Otherwise the newer one wins: a peer that dials
        again has lost its old one.
        """
        simultaneous = newer.opened_at_s - older.opened_at_s < SIMULTANEOUS_DIAL_S
        if simultaneous and older.outbound != newer.outbound:
            dialled_by_lower = self.local_id < newer.peer
            if newer.outbound != dialled_by_lower:
                return "we are connected already"
        older.close("replaced by a newer connection")
        return ""

    async def _run_peer(self, connection: Connection) -> bool:
        older = self._peers.get(connection.peer)
        peer = Peer(
            connection,
            self._config.genesis_hash,
            self._config.handshake_limit_s,
            self._emit,
            self._punisher(connection.peer),
        )
        self._peers[peer.id] = peer
        self._discovery.note_admitted(peer.id)
        handshake = encode_handshake(self._config.genesis_hash, self._status(), self._listen_port())

        async def main() -> None:
            await peer.run(handshake, older.finished if older is not None else None)

        try:
            await connection.run(self._offered, self._serve_stream, main)
        except Exception as error:  # noqa: BLE001 - a supervisor: no traceback, as a peer could provoke many a second
            log.warning("a connection failed", peer=peer.id, error=f"{type(error).__name__}: {error}")
        finally:
            was_up, peer.up = peer.up, False
            if self._peers.get(peer.id) is peer:
                del self._peers[peer.id]
            peer.note_end()
        if was_up:
            log.debug("peer is gone", peer=peer.id, reason=connection.close_reason)
            self._discovery.note_down(peer.id)
            await self._emit(PeerDown(peer.id, connection.close_reason))
        peer.finished.set()
        return was_up

    async def _emit(self, event: NetworkEvent) -> None:
        await self._events_in.send(event)
        if isinstance(event, PeerUp):
            self._discovery.note_up(event.peer)

    def _listen_port(self) -> int:
        return int(self._listeners[0].socket.getsockname()[1]) if self._listeners else 0

    async def _serve_stream(self, connection: Connection, protocol: str, stream: FramedStream) -> None:
        peer = self._peers.get(connection.peer)
        if peer is None or peer.connection is not connection:
            return
        if protocol == peer.notification_protocol:
            await peer.read_notifications(stream)
            return
        name = protocol.removeprefix(f"{self._prefix}/rpc/")
        try:
            await self._requests.serve_stream(peer.id, name, stream, peer.limits)
        except FrameTooLong:
            self.report(peer.id, OVERSIZED_MESSAGE.delta, OVERSIZED_MESSAGE.reason)
            raise

    def _punisher(self, peer: PeerId) -> Callable[[Penalty], None]:
        def punish(penalty: Penalty) -> None:
            if penalty is WRONG_GENESIS:
                self._bans.ban(peer, WRONG_GENESIS_BAN_S, trio.current_time())
            else:
                self.report(peer, penalty.delta, penalty.reason)

        return punish
