"""Peers that break the rules on purpose: from raw sockets up to well-formed connections that misbehave."""

import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from libp2p.abc import ISecureConn
from libp2p.custom_types import TProtocol
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import YAMUX_HEADER_FORMAT, YamuxStream

from node.network.addresses import parse_address
from node.network.connection import Connection, StreamHandler
from node.network.framing import FramedStream
from node.network.handshake import encode_handshake
from node.network.muxer import BoundedYamux
from node.network.port import PeerId
from node.network.tcp_stream import TcpStream, Traffic
from node.network.tuning import STREAM_ERRORS, prepare_libp2p
from node.network.upgrade import Identity, propose, secure, upgrade
from tests.helpers.networks import GENESIS, Node, config, running, seed, status, until_connected

DATA, WINDOW_UPDATE, PING = 0, 1, 2
SYN, ACK, FIN, RST = 1, 2, 4, 8
PREFIX = f"/{GENESIS.hex()}"
NOTIFICATIONS = f"{PREFIX}/notif/1"
Plain = Callable[[], Awaitable[None]]


def yamux_frame(kind: int, flags: int, stream: int, length: int, body: bytes = b"") -> bytes:
    """A yamux frame, whether its length is true or not."""
    return struct.pack(YAMUX_HEADER_FORMAT, 0, kind, flags, stream, length) + body


def multistream(*messages: bytes) -> bytes:
    """Multistream messages, each with its length of one byte and its line end."""
    return b"".join(bytes((len(message) + 1,)) + message + b"\n" for message in messages)


HANDSHAKE = multistream(b"/multistream/1.0.0")


def greeting(genesis: bytes = GENESIS) -> bytes:
    """A well-formed handshake frame."""
    body = encode_handshake(genesis, status(), 0)
    return len(body).to_bytes(4, "big") + body


async def tcp_to(address: str) -> trio.SocketStream:
    """A plain connection to a node."""
    target = parse_address(address)
    return await trio.open_tcp_stream(target.host, target.port)


@asynccontextmanager
async def raw_session(number: int, address: str) -> AsyncIterator[ISecureConn]:
    """An authenticated session up to yamux, whose frames the test writes itself."""
    prepare_libp2p()
    tcp = TcpStream(await tcp_to(address), is_initiator=True, traffic=Traffic())
    try:
        session = await secure(tcp, Identity.from_seed(seed(number)), parse_address(address).peer)
        await propose(session, YAMUX)
        yield session
    finally:
        await tcp.close()


async def drain(session: ISecureConn) -> None:
    """Read whatever comes until the connection ends."""
    try:
        while await session.read(1):
            pass
    except STREAM_ERRORS:
        return


class Hostile:
    """A connection that follows the protocols as far as a test wants. `served` answers the victim's streams."""

    def __init__(self, id_: PeerId, muxer: BoundedYamux, connection: Connection) -> None:
        self.id, self.muxer, self.connection = id_, muxer, connection
        self.ended = trio.Event()

    async def raw_stream(self) -> YamuxStream:
        """A stream on which nothing was said yet."""
        return await self.muxer.open_stream()

    async def open(self, protocol: str) -> FramedStream:
        """A stream on which a protocol was agreed."""
        return await self.connection.open_stream(protocol)

    async def greet(self, frame: bytes | None = None) -> FramedStream:
        """Open the notification stream and send a handshake, by default a true one."""
        stream = await self.open(NOTIFICATIONS)
        await stream.write(greeting() if frame is None else frame)
        return stream


async def ignore(_connection: Connection, _protocol: str, _stream: FramedStream) -> None:
    """Accept a stream, say nothing, read nothing."""
    await trio.sleep_forever()


async def swallow(_connection: Connection, _protocol: str, stream: FramedStream) -> None:
    """Accept a stream and read it to its end."""
    while True:
        await stream.read_exactly(1)


@asynccontextmanager
async def hostile(number: int, address: str, handler: StreamHandler = swallow) -> AsyncIterator[Hostile]:
    """Connect to a node, authenticated, with the streams of an ordinary peer on offer."""
    prepare_libp2p()
    identity = Identity.from_seed(seed(number))
    target = parse_address(address)
    tcp = TcpStream(await tcp_to(address), is_initiator=True, traffic=Traffic())
    muxer, peer = await upgrade(tcp, identity, target.peer, ping_interval_s=4, silence_limit_s=60)
    connection = Connection(muxer, peer, outbound=True, host=target.host, port=target.port, slow_reader_limit_s=60)
    one = Hostile(identity.peer, muxer, connection)
    offered = Multiselect({TProtocol(NOTIFICATIONS): None, TProtocol(f"{PREFIX}/rpc/bad"): None})

    async def run() -> None:
        await connection.run(offered, handler, trio.sleep_forever)
        one.ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await muxer.event_started.wait()
        yield one
        connection.close("the test is over")
    await tcp.close()


@asynccontextmanager
async def victim_and_bystander(**settings: Any) -> AsyncIterator[tuple[Node, Node]]:
    """A node under attack and an honest peer of it, both serving `echo`."""

    async def echo(_peer: PeerId, data: bytes) -> bytes:
        return data

    async def hang(_peer: PeerId, _data: bytes) -> bytes:
        await trio.sleep_forever()

    async with running(config(1, **settings)) as victim, running(config(2, (victim.address,))) as bystander:
        for node in (victim, bystander):
            node.network.serve("echo", echo)
            node.network.serve("hang", hang)
        await until_connected(victim, bystander)
        yield victim, bystander


async def assert_unharmed(victim: Node, bystander: Node) -> None:
    """The bystander never lost its connection and is answered both ways."""
    assert bystander.downs() == []
    assert await bystander.network.request(victim.id, "echo", b"from the bystander") == b"from the bystander"
    assert await victim.network.request(bystander.id, "echo", b"from the victim") == b"from the victim"
