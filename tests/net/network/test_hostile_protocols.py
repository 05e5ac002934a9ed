"""Peers that break the rules of our protocols: handshakes, notifications, requests. A bystander notices nothing."""

import pytest
import trio

from node.network.connection import Connection
from node.network.framing import FramedStream
from node.network.port import (
    NOTIFICATION_BYTES_MAX,
    REQUEST_BYTES_MAX,
    RESPONSE_BYTES_MAX,
    Kind,
    PeerId,
    RequestFailed,
    RequestFailure,
)
from node.network.tuning import STREAM_ERRORS
from tests.helpers.hostile import (
    ACK,
    DATA,
    HANDSHAKE,
    NOTIFICATIONS,
    PING,
    PREFIX,
    SYN,
    WINDOW_UPDATE,
    assert_unharmed,
    greeting,
    hostile,
    ignore,
    multistream,
    raw_session,
    swallow,
    victim_and_bystander,
    yamux_frame,
)
from tests.helpers.networks import until


@pytest.mark.parametrize(
    "handshake",
    [
        (5).to_bytes(4, "big") + b"\xff\xff\xff\xff\xff",
        (1 << 30).to_bytes(4, "big"),
        (0).to_bytes(4, "big"),
        greeting()[:-1] + b"\xcc",
    ],
)
def test_a_malformed_handshake_ends_the_connection(handshake: bytes) -> None:
    """What is no handshake closes the connection; no PeerUp is reported."""

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander), hostile(66, victim.address) as attacker:
            await attacker.greet(handshake)
            with trio.fail_after(30):
                await attacker.ended.wait()
            assert attacker.id not in victim.ups()
            await assert_unharmed(victim, bystander)

    trio.run(main)


def test_a_false_genesis_under_the_right_protocol_name_is_banned() -> None:
    """A peer that uses our protocol names but another genesis in its handshake is refused and banned."""

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander), hostile(66, victim.address) as attacker:
            await attacker.greet(greeting(genesis=bytes(32)))
            with trio.fail_after(30):
                await attacker.ended.wait()
            assert victim.network.is_banned(attacker.id)
            assert attacker.id not in victim.ups()
            await assert_unharmed(victim, bystander)

    trio.run(main)


@pytest.mark.parametrize(
    "frame", [(NOTIFICATION_BYTES_MAX + 2).to_bytes(4, "big"), bytes(4), b"\xff\xff\xff\xff" + bytes(100)]
)
def test_a_bad_notification_frame_ends_the_connection_and_costs_reputation(frame: bytes) -> None:
    """Frames above 1 MiB and frames without a kind drop the peer; what came before was delivered."""

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander), hostile(66, victim.address) as attacker:
            stream = await attacker.greet()
            await stream.write((2).to_bytes(4, "big") + b"\x01!" + frame)
            await until(lambda: len(victim.downs()) == 1, "PeerDown")
            assert [event.data for event in victim.notified()] == [b"!"]
            assert victim.network.reputation(attacker.id) < 0
            await assert_unharmed(victim, bystander)

    trio.run(main)


def test_a_second_notification_stream_is_refused_and_the_first_goes_on() -> None:
    """Only one notification stream a peer is read; another one costs reputation."""

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander), hostile(66, victim.address) as attacker:
            first = await attacker.greet()
            await until(lambda: attacker.id in victim.network.peers(), "up")

            async def greet_again() -> None:
                await (await attacker.greet()).read_exactly(1)

            with pytest.raises(STREAM_ERRORS):
                await greet_again()
            assert victim.network.reputation(attacker.id) < 0
            await first.write((2).to_bytes(4, "big") + b"\x02?")
            await until(lambda: len(victim.notified()) == 1, "the first stream is read")
            await assert_unharmed(victim, bystander)

    trio.run(main)


def test_an_oversized_request_is_reset_and_costs_reputation() -> None:
    """A request that announces more than 64 KiB is not read."""

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander), hostile(66, victim.address) as attacker:
            await attacker.greet()
            await until(lambda: attacker.id in victim.network.peers(), "up")
            stream = await attacker.open(f"{PREFIX}/rpc/echo")
            await stream.write((REQUEST_BYTES_MAX + 1).to_bytes(4, "big"))
            with pytest.raises(STREAM_ERRORS):
                await stream.read_exactly(1)
            assert victim.network.reputation(attacker.id) < 0
            await assert_unharmed(victim, bystander)

    trio.run(main)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"\x00" + (RESPONSE_BYTES_MAX + 1).to_bytes(4, "big"), RequestFailure.TOO_LARGE),
        (b"\x01" + (257).to_bytes(4, "big") + bytes(257), RequestFailure.TOO_LARGE),
        (b"\xc8" + (1).to_bytes(4, "big") + b"\xff", RequestFailure.FAILED),
        (b"\x00" + (100).to_bytes(4, "big") + b"cut", RequestFailure.BROKEN),
        (b"", RequestFailure.BROKEN),
    ],
)
def test_a_bad_answer_is_a_typed_failure(answer: bytes, failure: RequestFailure) -> None:
    """Oversized, unknown, cut and missing answers fail the request with their reason; nothing else suffers."""

    async def serve(connection: Connection, protocol: str, stream: FramedStream) -> None:
        if protocol == NOTIFICATIONS:
            await swallow(connection, protocol, stream)
        await stream.read_exactly(4)
        await stream.write(answer)
        await stream._stream.close()
        await trio.sleep_forever()

    async def main() -> None:
        async with victim_and_bystander() as (victim, bystander), hostile(66, victim.address, serve) as attacker:
            await attacker.greet()
            await until(lambda: attacker.id in victim.network.peers(), "up")
            with pytest.raises(RequestFailed) as failed:
                await victim.network.request(attacker.id, "bad", b"")
            assert failed.value.failure == failure
            await assert_unharmed(victim, bystander)

    trio.run(main)


def test_a_peer_that_does_not_read_its_notifications_is_dropped() -> None:
    """A peer that answers pings but reads no notifications: the queue fills, notify says False, then it is dropped."""

    async def main() -> None:
        async with (
            victim_and_bystander(slow_reader_limit_s=1.0) as (victim, bystander),
            hostile(66, victim.address, ignore) as attacker,
        ):
            await attacker.greet()
            await until(lambda: attacker.id in victim.network.peers(), "up")

            def dropped() -> bool:
                # The library may grant it megabytes while it greets: the queue is kept full until they are used up.
                while victim.network.notify(attacker.id, Kind.ANNOUNCE, bytes(100_000)):
                    pass
                return len(victim.downs()) == 1

            await until(dropped, "dropped")
            assert "read nothing" in victim.downs()[0].reason
            await assert_unharmed(victim, bystander)

    trio.run(main)


def test_a_peer_whose_socket_takes_nothing_is_dropped() -> None:
    """A peer that stops reading its socket: the write gives up, though the peer itself keeps sending."""

    async def main() -> None:
        async with (
            victim_and_bystander(ping_interval_s=0.5, silence_limit_s=3.0) as (victim, bystander),
            raw_session(66, victim.address) as session,
            trio.open_nursery() as nursery,
        ):
            stranger = PeerId(session.get_local_peer().to_base58())
            hello = HANDSHAKE + multistream(NOTIFICATIONS.encode()) + greeting()
            await session.write(yamux_frame(DATA, SYN, 1, len(hello), hello))
            # The victim opens its own stream: agree to it without reading, by what it must have said.
            agreed = HANDSHAKE + multistream(NOTIFICATIONS.encode())
            await until(lambda: victim.network.connections_open == 2, "connected")
            await session.write(yamux_frame(WINDOW_UPDATE, ACK, 2, 1 << 30))
            await session.write(yamux_frame(DATA, 0, 2, len(agreed), agreed))

            async def keep_sending() -> None:
                try:
                    while True:
                        await session.write(yamux_frame(PING, ACK, 0, 0))
                        await trio.sleep(0.2)
                except STREAM_ERRORS:
                    return

            nursery.start_soon(keep_sending)
            await until(lambda: stranger in victim.network.peers(), "up")

            def flood() -> bool:
                while victim.network.notify(stranger, Kind.ANNOUNCE, bytes(500_000)):
                    pass
                return len(victim.downs()) == 1

            await until(flood, "dropped", 40)
            assert "took nothing" in victim.downs()[0].reason
            nursery.cancel_scope.cancel()
            await assert_unharmed(victim, bystander)

    trio.run(main)
