"""Peers that break the rules of sockets, encryption and streams: what they attack ends, a bystander notices nothing."""

import random
import socket
import struct

import pytest
import trio
from libp2p.crypto import rsa
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import ProtocolNotSupportedError
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise

from node.network.addresses import parse_address
from node.network.connection import INBOUND_STREAMS_MAX, REFUSED_STREAMS_MAX
from node.network.muxer import BUFFERED_BYTES_MAX
from node.network.port import (
    PeerId,
)
from node.network.tcp_stream import TcpStream, Traffic
from node.network.tuning import STREAM_ERRORS, YAMUX_WINDOW_BYTES_MAX
from node.network.upgrade import propose
from tests.helpers.hostile import (
    ACK,
    DATA,
    FIN,
    HANDSHAKE,
    NOTIFICATIONS,
    PING,
    PREFIX,
    RST,
    SYN,
    WINDOW_UPDATE,
    assert_unharmed,
    drain,
    hostile,
    ignore,
    multistream,
    raw_session,
    tcp_to,
    victim_and_bystander,
    yamux_frame,
)
from tests.helpers.networks import config, running, until, until_connected


@pytest.mark.parametrize(
    "attack",
    [
        HANDSHAKE + b"\x03\xff\xfe\n",
        b"\x03\xff\xfe\n",
        HANDSHAKE + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        HANDSHAKE + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        HANDSHAKE + b"\x00",
        HANDSHAKE + b"\x03abc",
        HANDSHAKE + multistream(b"ls") * 3000,
        HANDSHAKE + multistream(b"/ipfs/id/1.0.0") * 400,
        HANDSHAKE + multistream(b""),
        multistream(b"/multistream/9.9.9"),
        HANDSHAKE + multistream(NOTIFICATIONS.encode()[:100]) + bytes(100_000),
        b"",
    ],
)
def test_a_negotiation_gone_wrong_ends_one_stream_only(attack: bytes) -> None:
    """Invalid UTF-8 (the 26 bytes that end stock libp2p), endless lengths, floods: the stream ends, the peer stays."""

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander), hostile(66, victim.address) as attacker:
            await attacker.greet()
            await until(lambda: attacker.id in victim.network.peers(), "the attacker is a peer")
            stream = await attacker.raw_stream()
            try:
                await stream.write(attack)
                await stream.close()
                while True:
                    await stream.read(1 << 16)
            except STREAM_ERRORS:
                pass  # the victim reset it, or answered and closed it
            await assert_unharmed(victim, bystander)
            assert attacker.id in victim.network.peers()

    trio.run(main)


@pytest.mark.parametrize(
    "attack",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + bytes(100_000),
        HANDSHAKE + b"\x03\xff\xfe\n",
        HANDSHAKE + multistream(NOISE.encode()) + b"\xff\xff" + bytes(65535),
        HANDSHAKE + multistream(NOISE.encode()) + b"\x00\x00",
        HANDSHAKE + multistream(NOISE.encode()) + b"\x00\x20" + bytes(32) + b"\x00\x40" + bytes(64),
    ],
)
def test_garbage_before_authentication_ends_its_connection_only(attack: bytes) -> None:
    """HTTP, TLS, endless lengths, invalid UTF-8 and broken Noise messages are closed; the bystander is served."""

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander):
            before = victim.network.connections_open
            stream = await tcp_to(victim.address)
            try:
                await stream.send_all(attack)
                await stream.send_eof()
                while await stream.receive_some(1 << 16):
                    pass
            except trio.BrokenResourceError:
                pass  # closed with a reset
            await until(lambda: victim.network.connections_open == before, "the connection is closed")
            await assert_unharmed(victim, bystander)
            await stream.aclose()

    trio.run(main)


def test_a_peer_that_resets_its_socket_at_once_harms_nobody() -> None:
    """Connections that are reset before a byte was sent leave the listener running."""

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander):
            for _ in range(50):
                stream = await tcp_to(victim.address)
                stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await stream.aclose()
            await until(lambda: victim.network.connections_open == 1, "all closed")
            await assert_unharmed(victim, bystander)

    trio.run(main)


def test_only_noise_with_an_ed25519_identity_is_spoken() -> None:
    """Plaintext and SECIO are not offered, and an identity by RSA key is refused before it is verified."""

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander):
            for security in ("/plaintext/2.0.0", "/secio/1.0.0", "/tls/1.0.0"):
                tcp = TcpStream(await tcp_to(victim.address), is_initiator=True, traffic=Traffic())
                with pytest.raises(ProtocolNotSupportedError):
                    await propose(tcp, security)
                await tcp.close()
            keys = rsa.create_new_key_pair(2048)
            noise = Noise(keys, noise_privkey=create_noise_key_pair().private_key)
            tcp = TcpStream(await tcp_to(victim.address), is_initiator=True, traffic=Traffic())
            await propose(tcp, NOISE)
            session = await noise.secure_outbound(tcp, ID.from_base58(parse_address(victim.address).peer))
            with pytest.raises(STREAM_ERRORS):
                await session.read(1)
            await tcp.close()
            await assert_unharmed(victim, bystander)

    trio.run(main)


def test_nobody_can_pose_as_the_boot_node() -> None:
    """Where another node listens at a boot node's address, no connection comes up."""

    async def main() -> None:
        async with running(config(1)) as impostor, running(config(9)) as genuine:
            address = impostor.address.replace(impostor.id, genuine.id)
            async with running(config(2, (address,))) as node:
                await until(lambda: node.network.dials_failed_total >= 2, "two dials in vain")
                assert node.network.peers() == []
                assert impostor.events == []

    trio.run(main)


def test_more_than_250_connections_in_a_life_are_served() -> None:
    """After 260 inbound connections, each authenticated, an honest node is still accepted (stock refuses the 251st)."""

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander):
            for number in range(260):
                async with raw_session(1000 + number % 7, victim.address):
                    pass
            assert victim.network.connections_total >= 260
            await until(lambda: victim.network.connections_open == 1, "all closed")
            async with running(config(3, (victim.address,))) as late:
                await until_connected(victim, late)
            await assert_unharmed(victim, bystander)

    trio.run(main)


def test_one_address_cannot_take_all_sockets() -> None:
    """Idle sockets above the cap of their address are closed at once; when they go, an honest node gets in."""

    async def main() -> None:
        async with victim_and_bystander(max_per_loopback_address=10) as (victim, bystander):
            idle = [await tcp_to(victim.address) for _ in range(30)]
            await until(lambda: victim.network.refused_connections_total == 21, "those above the cap are refused")
            assert victim.network.connections_open == 10
            for stream in idle:
                await stream.aclose()
            await until(lambda: victim.network.connections_open == 1, "the idle ones are gone")
            async with running(config(3, (victim.address,))) as late:
                await until_connected(victim, late)
            await assert_unharmed(victim, bystander)

    trio.run(main)


def test_whoever_says_nothing_is_dropped() -> None:
    """A silent socket and an authenticated peer without a handshake both lose their connection after the limit."""

    async def main() -> None:
        async with (
            victim_and_bystander(handshake_limit_s=2.0) as (victim, bystander),
            hostile(66, victim.address, ignore) as attacker,
        ):
            stream = await tcp_to(victim.address)
            await until(lambda: victim.network.connections_open == 3, "both are connected")
            assert attacker.id not in victim.network.peers()
            with trio.fail_after(40):
                assert await stream.receive_some(1000) == HANDSHAKE
                assert await stream.receive_some(1000) == b""
                await attacker.ended.wait()
            await until(lambda: victim.network.connections_open == 1, "both are gone")
            await assert_unharmed(victim, bystander)
            await stream.aclose()

    trio.run(main)


def test_a_flood_of_streams_ends_the_flooder() -> None:
    """Of 10,000 stream openings 64 are served, few are refused one by one, then the peer is dropped and punished."""

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander), raw_session(66, victim.address) as session:
            stranger = PeerId(session.get_local_peer().to_base58())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(drain, session)

                async def flood() -> None:
                    for number in range(1, 20_001, 2):
                        await session.write(yamux_frame(WINDOW_UPDATE, SYN, number, 0))
                        if number % 501 == 0:
                            await assert_unharmed(victim, bystander)

                with pytest.raises(STREAM_ERRORS):
                    await flood()
                nursery.cancel_scope.cancel()
            await until(lambda: victim.network.connections_open == 1, "dropped")
            assert victim.network.reputation(stranger) < 0
            assert INBOUND_STREAMS_MAX + REFUSED_STREAMS_MAX < 1000
            await assert_unharmed(victim, bystander)

    trio.run(main)


def test_a_peer_that_ignores_its_window_is_dropped_before_memory_fills() -> None:
    """Data beyond all windows, on a stream that is not being read, ends the connection within its buffer cap."""

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander), hostile(66, victim.address) as attacker:
            await attacker.greet()
            await until(lambda: attacker.id in victim.network.peers(), "the attacker is a peer")
            request = await attacker.open(f"{PREFIX}/rpc/hang")
            await request.write((5).to_bytes(4, "big") + b"hello")
            stream = request._stream
            before = victim.network.traffic.bytes_in

            async def flood() -> None:
                for _ in range(4 * BUFFERED_BYTES_MAX // 65_000):
                    stream.send_window = 1 << 30
                    await stream.write(bytes(65_000))

            with pytest.raises(STREAM_ERRORS):
                await flood()
            await until(lambda: attacker.id not in victim.network.peers(), "dropped")
            assert victim.network.traffic.bytes_in - before < BUFFERED_BYTES_MAX + (4 << 20)
            await assert_unharmed(victim, bystander)

    trio.run(main)


def test_a_flood_of_tiny_frames_leaves_time_for_others() -> None:
    """While one peer sends pings as fast as it can, the bystander is answered again and again."""

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander), raw_session(66, victim.address) as session:
            answered = 0

            async def flood() -> None:
                burst = b"".join(yamux_frame(PING, ACK, 0, number) for number in range(4000))
                try:
                    while True:
                        await session.write(burst)
                except STREAM_ERRORS:
                    return

            async with trio.open_nursery() as nursery:
                nursery.start_soon(flood)
                nursery.start_soon(drain, session)
                for _ in range(50):
                    await assert_unharmed(victim, bystander)
                    answered += 1
                nursery.cancel_scope.cancel()
            assert answered == 50

    trio.run(main)


@pytest.mark.parametrize(
    "frame",
    [
        yamux_frame(DATA, SYN, 1, YAMUX_WINDOW_BYTES_MAX + 1),
        yamux_frame(DATA, 0, 77, 0xFFFFFFFF),
        yamux_frame(3, 0, 0, 0),
        yamux_frame(3, 0, 0, 0xFFFFFFFF),
        yamux_frame(DATA, SYN, 1, 100) + b"cut",
        b"cut",
    ],
)
def test_a_broken_yamux_frame_ends_its_connection_only(frame: bytes) -> None:
    """Frames above the window, cut ones and a go-away close the connection of their sender."""

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander):
            async with raw_session(66, victim.address) as session:
                await until(lambda: victim.network.connections_open == 2, "connected")
                await session.write(frame)
            await until(lambda: victim.network.connections_open == 1, "closed")
            await assert_unharmed(victim, bystander)

    trio.run(main)


def test_random_frames_harm_nobody() -> None:
    """20 connections of 300 seeded random yamux frames each, true and false lengths, known and unknown streams."""

    async def attack(address: str, seed: int) -> None:
        rng = random.Random(seed)
        async with raw_session(1000 + seed, address) as session, trio.open_nursery() as nursery:
            nursery.start_soon(drain, session)
            try:
                for _ in range(300):
                    body = rng.choice([b"", HANDSHAKE, rng.randbytes(rng.randrange(200)), bytes(5000)])
                    true_length = rng.random() < 0.97
                    kind = rng.choice([DATA, DATA, WINDOW_UPDATE, PING, rng.randrange(256)])
                    length = len(body) if kind == DATA and true_length else rng.getrandbits(rng.choice([4, 12, 32]))
                    flags = rng.choice([0, SYN, SYN | FIN, SYN | RST, ACK, FIN, RST, rng.getrandbits(16)])
                    body = body if kind == DATA else b""
                    await session.write(yamux_frame(kind, flags, rng.randrange(40), length, body))
            except STREAM_ERRORS:
                pass  # the victim had enough
            nursery.cancel_scope.cancel()

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander):
            for seed in range(20):
                await attack(victim.address, seed)
                await assert_unharmed(victim, bystander)

    trio.run(main)
