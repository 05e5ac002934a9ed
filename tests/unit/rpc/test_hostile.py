"""Clients that mean harm: after each of them a good request is answered and nothing is left held."""

import random
from collections.abc import Callable

import pytest
import trio
import trio.lowlevel

from node.rpc.limits import Limits
from tests.helpers.rpc_server import ECHO, Running, receive_all, run, split, until

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + b"A" * 22 + b"==\r\n\r\n"
)
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
MASK = b"\0\0\0\0"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A client's frame, masked with zeros."""
    head = bytes(((0x80 if fin else 0) | opcode,))
    if len(payload) < 126:
        return head + bytes((0x80 | len(payload),)) + MASK + payload
    return head + b"\xff" + len(payload).to_bytes(8, "big") + MASK + payload


JUNK = {
    "upgrade with a trailing frame": UPGRADE + frame(1, ECHO),
    "upgrade with a trailing bad frame": UPGRADE + b"\xff\xff\xff\xff",
    "upgrade with trailing junk": UPGRADE + b"GET / HTTP/1.1\r\n\r\n",
    "upgrade by POST": UPGRADE.replace(b"GET", b"POST"),
    "upgrade with a body": UPGRADE.replace(b"Host", b"Content-Length: 5\r\nHost") + b"12345",
    "upgrade without a key": UPGRADE.replace(b"Sec-WebSocket-Key", b"X-Key"),
    "upgrade with two keys": UPGRADE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Key: B\r\n\r\n"),
    "upgrade of HTTP/1.0": UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "upgrade with bare newlines": UPGRADE.replace(b"\r\n", b"\n"),
    "upgrade to h2c": b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    "h2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "zeros": bytes(5000),
    "newlines": b"\r\n" * 5000,
    "no method": b" / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two lengths": POST.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n") % 5 + b"12345",
    "length and chunks": POST.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n") % 5 + b"0\r\n\r\n",
    "negative length": POST.replace(b"%d", b"-1"),
    "huge length": POST.replace(b"%d", b"9" * 30),
    "bad chunk": POST.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked") + b"zz\r\n",
    "huge chunk": POST.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked") + b"ffffffffffffffff\r\n",
    "header bomb": b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    + b"".join(b"X-%d: y\r\n" % i for i in range(5000))
    + b"\r\n",
    "one long header": b"GET /health HTTP/1.1\r\nX: " + b"y" * 100_000,
    "long target": b"GET /" + b"y" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "nothing": b"",
    "unmasked frame": UPGRADE + b"\x81\x01x",
    "reserved bits": UPGRADE + b"\xf1\x80" + MASK,
    "unknown opcode": UPGRADE + frame(11),
    "fragmented ping": UPGRADE + frame(9, fin=False),
    "long ping": UPGRADE + frame(9, b"x" * 200),
    "continuation of nothing": UPGRADE + frame(0, b"x"),
    "text inside text": UPGRADE + frame(1, b"x", fin=False) + frame(1, b"x"),
    "close with one byte": UPGRADE + frame(8, b"\x03"),
    "close with a bad code": UPGRADE + frame(8, b"\xff\xff"),
    "two closes": UPGRADE + frame(8, b"\x03\xe8") * 2 + frame(1, ECHO),
    "frame of 2^63 bytes": UPGRADE + b"\x81\xff" + b"\x7f" + b"\xff" * 7 + MASK,
    "text that is no UTF-8": UPGRADE + frame(1, b"\xff\xfe"),
    "endless empty fragments": UPGRADE + frame(1, fin=False) + frame(0, fin=False) * 5000,
}


async def throw(server: Running, data: bytes, *, end: bool = True) -> bytes:
    """Send bytes, say that no more come, and take what the server answers until it closes."""
    stream = await server.raw()
    async with stream:
        try:
            await stream.send_all(data)
            if end:
                await stream.send_eof()
        except trio.BrokenResourceError:
            return b""
        return await receive_all(stream)


async def receive_until(stream: trio.SocketStream, text: bytes) -> bytes:
    """What arrives up to and with `text`."""
    received = b""
    with trio.fail_after(10):
        while text not in received:
            received += await stream.receive_some(4096)
    return received


@pytest.mark.parametrize("name", JUNK)
def test_junk(name: str) -> None:
    """Bytes that no good client sends end their own connection only."""

    async def test(server: Running) -> None:
        await throw(server, JUNK[name])
        await server.assert_alive()
        await server.assert_idle()

    run(test)


def test_upgrade_with_a_trailing_request_is_served() -> None:
    """The request that ends hypercorn - an upgrade with a frame right behind it - is simply answered."""

    async def test(server: Running) -> None:
        async with await server.raw() as stream:
            await stream.send_all(UPGRADE + frame(1, ECHO))
            received = await receive_until(stream, b'"id":1,"result":"x"}')
            assert received.startswith(b"HTTP/1.1 101 ")
            await stream.send_all(frame(1, ECHO.replace(b'"id":1', b'"id":2')))
            received += await receive_until(stream, b'"id":2,"result":"x"}')
            assert received.count(b"result") == 2
        await server.assert_idle()

    run(test)


def test_mutated_requests() -> None:
    """1,500 seeded mutations of good requests: the server answers a good one afterwards, and holds nothing."""

    async def test(server: Running) -> None:
        rng = random.Random(1500)
        chunked = POST.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked") + b"5\r\n12345\r\n0\r\n\r\n"
        seeds = [UPGRADE + frame(1, ECHO) + frame(9, b"p") + frame(8, b"\x03\xe8"), POST % len(ECHO) + ECHO, chunked]
        limiter = trio.CapacityLimiter(20)

        async def one(data: bytes) -> None:
            async with limiter:
                await throw(server, data)

        async with trio.open_nursery() as nursery:
            for _ in range(1500):
                nursery.start_soon(one, mutated(rng, rng.choice(seeds)))
        await server.assert_alive()
        await server.assert_idle()

    run(test, Limits(linger_ms=50, head_timeout_ms=500, body_timeout_ms=500))


PIECES = (b"\r\n", b"\0", b"\xff" * 9, b": ", b"Upgrade: websocket\r\n")


def mutated(rng: random.Random, data: bytes) -> bytes:
    """One to four changes: a byte, a cut, a doubled or a removed piece, another's line."""
    changes: list[Callable[[bytes, int, int], bytes]] = [
        lambda old, a, _: old[:a] + bytes((rng.randrange(256),)) + old[a + 1 :],
        lambda old, a, _: old[:a],
        lambda old, a, b: old[:b] + old[a:b] + old[b:],
        lambda old, a, b: old[:a] + old[b:],
        lambda old, a, _: old[:a] + rng.choice(PIECES) + old[a:],
    ]
    for _ in range(rng.randrange(1, 5)):
        a, b = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
        data = rng.choice(changes)(data, a, b)
    return data


@pytest.mark.parametrize(
    "start",
    [b"", b"P", b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nHost: localhost\r\nX", POST % 100, POST % 100 + b"{"],
)
def test_slow_loris(start: bytes) -> None:
    """A client that sends part of a request and then waits is told 408 and closed."""

    async def test(server: Running) -> None:
        async with await server.raw() as stream:
            await stream.send_all(start)
            assert split(await receive_all(stream))[0] == 408
        await server.assert_alive()
        await server.assert_idle()

    run(test, Limits(head_timeout_ms=150, body_timeout_ms=150, linger_ms=50))


def test_drip_by_drip_does_not_extend_the_time() -> None:
    """One byte at a time, each before the limit, does not keep the connection past the limit for the whole head."""

    async def test(server: Running) -> None:
        async with await server.raw() as stream:
            with trio.fail_after(15):
                try:
                    for _ in range(100_000):
                        await stream.send_all(b"X")
                        await trio.sleep(0.02)
                except trio.BrokenResourceError:
                    pass
            await until(lambda: server.server.listener.connections == 0)
        await server.assert_alive()

    run(test, Limits(head_timeout_ms=200, linger_ms=50))


def test_idle_keep_alive_connection_is_closed() -> None:
    """Between two requests a connection may rest only so long."""

    async def test(server: Running) -> None:
        async with await server.raw() as stream:
            await stream.send_all(POST % len(ECHO) + ECHO)
            assert split(await receive_all(stream))[0] == 200
        await server.assert_idle()

    run(test, Limits(idle_timeout_ms=100))


def test_connection_limit() -> None:
    """Above the limit a client is told 503 at once; when one goes there is room again."""

    async def test(server: Running) -> None:
        held = [await server.raw() for _ in range(3)]
        await until(lambda: server.server.listener.connections == 3)
        async with await server.raw() as stream:
            assert split(await receive_all(stream))[0] == 503
        await held.pop().aclose()
        await until(lambda: server.server.listener.connections == 2)
        await server.assert_alive()
        for stream in held:
            await stream.aclose()

    run(test, Limits(connections_max=3))


def test_http_client_that_stops_reading() -> None:
    """A client that never reads its answer is dropped by the time-out, and its bytes are given back."""

    async def test(server: Running) -> None:
        body = b'{"jsonrpc":"2.0","id":1,"method":"big","params":[12000000]}'
        stream = await server.raw()
        await stream.send_all(POST % len(body) + body)
        await until(lambda: server.server.budget.bytes_taken > 10_000_000)
        await server.assert_idle()
        await server.assert_alive()
        await stream.aclose()

    run(test, Limits(send_timeout_ms=200))


@pytest.mark.parametrize("limits", [Limits(send_timeout_ms=200), Limits(send_queue_messages_max=50)])
def test_websocket_client_that_stops_reading(limits: Limits) -> None:
    """A client that asks and never reads is dropped, by the time-out or by the full queue."""

    async def test(server: Running) -> None:
        body = b'{"jsonrpc":"2.0","id":1,"method":"big","params":[1000000]}'
        stream = await server.raw()
        await stream.send_all(UPGRADE)
        with trio.move_on_after(15) as clock:
            try:
                while server.server.listener.connections or not server.record.calls:
                    await stream.send_all(frame(1, body))
                    await trio.lowlevel.checkpoint()
            except trio.BrokenResourceError:
                pass
        assert not clock.cancelled_caught
        await server.assert_idle()
        await server.assert_alive()
        await stream.aclose()

    run(test, limits)


@pytest.mark.parametrize(("size", "pushes_max"), [(100_000, 32 * 1024 * 1024 // 100_000), (1, 4_096)])
def test_pushes_to_a_client_that_stops_reading(size: int, pushes_max: int) -> None:
    """Notifications that nobody takes fill the queue, by bytes or by count; then client and subscription are gone."""

    async def test(server: Running) -> None:
        stream = await server.raw()
        await stream.send_all(UPGRADE + frame(1, b'{"jsonrpc":"2.0","id":1,"method":"heads_sub","params":[0]}'))
        await until(lambda: len(server.subscribers) == 1)
        pushed = 0
        while server.subscribers[0].push("x" * size):
            pushed += 1
            assert pushed <= pushes_max
        assert pushed > pushes_max * 9 // 10
        await server.assert_idle()
        assert len(server.closed) == 1
        await stream.aclose()

    run(test)


def test_endless_fragments() -> None:
    """A message in ever more empty frames is refused with close code 1009."""

    async def test(server: Running) -> None:
        answer = await throw(server, JUNK["endless empty fragments"], end=False)
        assert (1009).to_bytes(2, "big") + b"more than 1024 fragments" in answer

    run(test, Limits(linger_ms=50))


def test_ping_flood_is_bounded() -> None:
    """A flood of pings whose pongs are never read ends in a drop, not in memory."""

    async def test(server: Running) -> None:
        stream = await server.raw()
        await stream.send_all(UPGRADE)
        flood = frame(9, b"x" * 125) * 500
        with trio.move_on_after(15) as clock:
            try:
                while True:
                    await stream.send_all(flood)
            except trio.BrokenResourceError:
                pass
        assert not clock.cancelled_caught
        await server.assert_idle()
        await stream.aclose()

    run(test, Limits(send_timeout_ms=300))


def test_pings_alone_do_not_use_up_the_memory() -> None:
    """Bytes of control frames are given back at once: a chatty client holds nothing."""

    async def test(server: Running) -> None:
        async with await server.raw() as stream:
            await stream.send_all(UPGRADE)
            for _ in range(200):
                await stream.send_all(frame(9, b"x" * 100))
                with trio.fail_after(10):
                    assert await stream.receive_some(4096)
            await until(lambda: server.server.budget.bytes_taken == 0)

    run(test, Limits(memory_bytes_max=10_000))


def test_shared_memory_bound() -> None:
    """Bodies of all connections together are bounded: the one too many is refused with 503, the others go on."""

    async def test(server: Running) -> None:
        first = await server.raw()
        await first.send_all(POST % len(ECHO.ljust(3000)) + ECHO)
        await until(lambda: server.server.budget.bytes_taken == len(ECHO))
        assert (await server.post(ECHO.ljust(4000)))[0] == 503
        await first.send_all(b" " * (3000 - len(ECHO)))
        with trio.fail_after(10):
            assert b'"result":"x"' in await first.receive_some(4096)
        await first.aclose()
        await server.assert_idle()

    run(test, Limits(memory_bytes_max=4000, linger_ms=50))


def test_reset_in_the_middle() -> None:
    """Connections reset at every stage leave nothing behind."""

    async def test(server: Running) -> None:
        for data in (
            b"",
            b"POST",
            POST % 50,
            POST % len(ECHO) + ECHO,
            UPGRADE,
            UPGRADE + frame(1, ECHO),
            UPGRADE + b"\x81",
        ):
            stream = await server.raw()
            stream.setsockopt(*linger_zero())
            await stream.send_all(data) if data else None
            await trio.aclose_forcefully(stream)
        await server.assert_alive()
        await server.assert_idle()

    run(test)


def linger_zero() -> tuple[int, int, bytes]:
    """The socket option that makes close a reset."""
    return trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, (1).to_bytes(4, "little") + bytes(4)


@pytest.mark.parametrize("name", ["header bomb", "one long header", "long target"])
def test_heads_are_bounded(name: str) -> None:
    """Headers that do not end within 16 KiB are refused with 431, and not kept until they do."""

    async def test(server: Running) -> None:
        async with await server.raw() as stream:
            await stream.send_all(JUNK[name])
            assert split(await receive_all(stream))[0] == 431
        await server.assert_idle()

    run(test, Limits(linger_ms=100))


def test_the_guard_of_a_connection() -> None:
    """An unexpected exception under a connection is logged, ends that connection and leaves all others alone."""

    async def test(server: Running) -> None:
        async with await server.raw() as other:
            await other.send_all(UPGRADE)
            assert await throw(server, b"GET /breaks HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
            assert "connection failed" in server.record.events()
            await other.send_all(frame(1, ECHO))
            await receive_until(other, b'"result":"x"')
        await server.assert_idle()

    run(test)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("upgrade with a body", 400),
        ("upgrade by POST", 405),
        ("upgrade without a key", 400),
        ("upgrade with two keys", 400),
        ("h2 preface", 505),
        ("TLS hello", 400),
        ("two lengths", 400),
        ("huge length", 400),
    ],
)
def test_what_junk_is_told(name: str, status: int) -> None:
    """A client that only errs learns by the status what was wrong."""

    async def test(server: Running) -> None:
        assert split(await throw(server, JUNK[name], end=False))[0] == status

    run(test, Limits(linger_ms=50))
