"""Which Host and Origin headers are let in, by the rules and at the port."""

import pytest
import trio
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from node.rpc.hosts import HostRules, is_loopback
from tests.helpers.rpc_server import ECHO, Running, receive_all, run, split


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        ("localhost", True),
        ("localhost:9944", True),
        ("LOCALHOST:1", True),
        ("127.0.0.1:9944", True),
        ("[::1]:9944", True),
        ("[::1]", True),
        ("evil.example", False),
        ("evil.example:9944", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:80", False),
        ("localhost:evil", False),
        ("", False),
        (None, False),
    ],
)
def test_host_of_a_loopback_listener(header: str | None, allowed: bool) -> None:
    """Only loopback names reach a loopback listener: a name rebound to 127.0.0.1 does not."""
    assert HostRules(external=False).host_allowed(header) is allowed


def test_host_of_an_external_listener() -> None:
    """Outside any name is let in, unless the operator names those he serves."""
    assert HostRules(external=True).host_allowed("node.example:9944")
    named = HostRules(external=True, hosts=["node.example"])
    assert named.host_allowed("node.example:9944")
    assert not named.host_allowed("evil.example")


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        (None, True),
        ("http://localhost", True),
        ("http://localhost:3000", True),
        ("https://127.0.0.1:3000", True),
        ("https://polkadot.js.org", True),
        ("null", False),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://localhost.evil.example:80", False),
        ("https://polkadot.js.org.evil.example", False),
    ],
)
def test_origin(header: str | None, allowed: bool) -> None:
    """By default pages of this machine and of the well-known explorer may ask."""
    assert HostRules(external=False).origin_allowed(header) is allowed


def test_all_origins() -> None:
    """The operator may let every page in."""
    assert HostRules(external=False, origins=["all"]).origin_allowed("https://evil.example")


def test_loopback_addresses() -> None:
    """What counts as listening on this machine only."""
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.2", "node.example"))


@pytest.mark.parametrize("header", ["Host: evil.example", "Host: localhost\r\nOrigin: https://evil.example"])
@pytest.mark.parametrize("line", ["POST / HTTP/1.1", "GET /health HTTP/1.1", "OPTIONS / HTTP/1.1"])
def test_refused_at_the_port(line: str, header: str) -> None:
    """A foreign Host or Origin gets 403 for every kind of request and nothing is called."""

    async def test(server: Running) -> None:
        rest = f"Content-Type: application/json\r\nContent-Length: {len(ECHO)}\r\nConnection: close\r\n\r\n"
        async with await server.raw() as stream:
            await stream.send_all(f"{line}\r\n{header}\r\n{rest}".encode() + ECHO)
            assert split(await receive_all(stream))[0] == 403
        assert server.record.calls == []

    run(test)


def test_websocket_of_a_foreign_page() -> None:
    """A page of another site cannot open a WebSocket; a local one can."""

    async def test(server: Running) -> None:
        def open_from(origin: str) -> str:
            with connect(f"ws://127.0.0.1:{server.port}", origin=Origin(origin)) as client:
                client.send(ECHO.decode())
                return str(client.recv(timeout=10))

        with pytest.raises(InvalidStatus) as refused:
            await trio.to_thread.run_sync(open_from, "https://evil.example")
        assert refused.value.response.status_code == 403
        assert '"result":"x"' in await trio.to_thread.run_sync(open_from, "http://localhost:3000")

    run(test)


def test_cors_headers() -> None:
    """A page that is let in reads the answer and may ask for leave first."""

    async def test(server: Running) -> None:
        async with await server.raw() as stream:
            head = "OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:1\r\nConnection: close\r\n\r\n"
            await stream.send_all(head.encode())
            answer = await receive_all(stream)
        assert b"204" in answer
        assert b"access-control-allow-origin: http://localhost:1" in answer
        assert b"access-control-allow-headers: content-type" in answer
        status, _ = await server.post(ECHO, extra="Origin: http://localhost:1\r\n")
        assert status == 200

    run(test)
