"""A running RPC server with a few methods, and raw and proper clients for it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from node.rpc import params
from node.rpc.errors import RpcError
from node.rpc.http import HttpRequest, HttpResponse
from node.rpc.limits import Limits
from node.rpc.methods import Methods
from node.rpc.server import RpcServer, ServerConfig
from node.rpc.subscription import Subscription

DEADLINE_SECONDS = 20
ECHO = b'{"jsonrpc":"2.0","id":1,"method":"echo","params":["x"]}'


@dataclass
class Recorder:
    """A log and an observer that remember what they were told."""

    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    calls: list[tuple[str, bool]] = field(default_factory=list)
    sessions: int = 0

    def debug(self, event: str, **fields: Any) -> None:
        self.lines.append(("debug", event, fields))

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append(("warning", event, fields))

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append(("error", event, fields))

    def exception(self, event: str, **fields: Any) -> None:
        self.lines.append(("exception", event, fields))

    def call_started(self, method: str) -> None:
        assert method

    def call_finished(self, method: str, seconds: float, ok: bool) -> None:
        assert seconds >= 0
        self.calls.append((method, ok))

    def session_opened(self) -> None:
        self.sessions += 1

    def session_closed(self) -> None:
        self.sessions -= 1

    def events(self) -> list[str]:
        """The texts of all lines."""
        return [event for _, event, _ in self.lines]


@dataclass
class Running:
    """A server that listens on `port`."""

    server: RpcServer
    port: int
    record: Recorder
    subscribers: list[Subscription]
    closed: list[str]
    release: trio.Event

    async def raw(self) -> trio.SocketStream:
        """A bare TCP connection."""
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def post(self, body: bytes, content_type: str = "application/json", extra: str = "") -> tuple[int, bytes]:
        """One POST on a connection of its own: status and body."""
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n{extra}"
        stream = await self.raw()
        async with stream:
            await stream.send_all(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
            return split(await receive_all(stream))

    async def call(self, method: str, arguments: Any = None) -> Any:
        """The decoded answer to one request by HTTP."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": arguments}
        _, body = await self.post(json.dumps(request).encode())
        return json.loads(body)

    async def assert_alive(self) -> None:
        """The server answers a good request."""
        assert await self.post(ECHO) == (200, b'{"jsonrpc":"2.0","id":1,"result":"x"}')

    async def assert_idle(self) -> None:
        """All connections are gone, and all bytes that they held."""
        await until(lambda: self.server.listener.connections == 0)
        assert self.server.budget.bytes_taken == 0


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, at most DEADLINE_SECONDS."""
    with trio.fail_after(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - the condition is the server's, which tells nobody
            await trio.sleep(0.002)


async def receive_all(stream: trio.SocketStream, bytes_max: int = 64_000_000) -> bytes:
    """What comes until the server closes; a reset counts as a close."""
    received = bytearray()
    with trio.fail_after(DEADLINE_SECONDS):
        try:
            while data := await stream.receive_some(65_536):
                received += data
                assert len(received) <= bytes_max
        except trio.BrokenResourceError:
            pass
    return bytes(received)


def split(response: bytes) -> tuple[int, bytes]:
    """Status and body of one HTTP response."""
    head, _, body = response.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


def make_methods(subscribers: list[Subscription], closed: list[str], release: trio.Event) -> Methods:
    """What the tests call."""
    methods = Methods()

    async def echo(value: Any, times_: int = 1) -> Any:
        return value * times_ if times_ != 1 else value

    async def fails() -> None:
        raise RuntimeError("a mistake in a method")

    async def refuses() -> None:
        raise RpcError(1010, "Invalid Transaction", "stale")

    async def block(hash_: Any) -> str:
        return params.block_hash(hash_).hex()

    async def big(count: int) -> str:
        return "x" * count

    async def waits() -> str:
        await release.wait()
        return "released"

    async def not_json() -> Any:
        return {b"bytes": object()}

    async def heads(subscription: Subscription, count: int = 1) -> None:
        if count < 0:
            raise RpcError(-32602, "count is negative")
        subscribers.append(subscription)
        subscription.on_close(lambda: closed.append(subscription.id))
        for number in range(count):
            subscription.push(number)

    async def broken(subscription: Subscription) -> None:
        async def task() -> None:
            raise RuntimeError("a mistake in a subscription")

        subscription.on_close(lambda: closed.append(subscription.id))
        subscription.start(task)

    for name, function in (("echo", echo), ("fails", fails), ("refuses", refuses), ("block", block), ("big", big)):
        methods.register(name, function)
    methods.register("waits", waits)
    methods.register("not_json", not_json)
    methods.register("danger", echo, aliases=["peril"], unsafe=True)
    methods.register_subscription("heads_sub", "heads_unsub", "head", heads, aliases=[("sub_heads", "unsub_heads")])
    methods.register_subscription("broken_sub", "broken_unsub", "broken", broken)
    return methods


async def health(_request: HttpRequest) -> HttpResponse:
    """A plain route."""
    return HttpResponse(200, b'{"peers":0}', "application/json")


async def breaks(_request: HttpRequest) -> HttpResponse:
    """A route with a mistake."""
    raise RuntimeError("a mistake in a route")


@asynccontextmanager
async def running(limits: Limits | None = None, **config: Any) -> AsyncIterator[Running]:
    """A server on a port of the system's choice, gone at the end of the block."""
    record, release = Recorder(), trio.Event()
    subscribers: list[Subscription] = []
    closed: list[str] = []
    settings = ServerConfig(port=0, limits=limits or Limits(), **config)
    methods = make_methods(subscribers, closed, release)
    server = RpcServer(methods, settings, {"/health": health, "/breaks": breaks}, record, record)
    async with trio.open_nursery() as nursery:
        port: int = await nursery.start(server.run)
        yield Running(server, port, record, subscribers, closed, release)
        nursery.cancel_scope.cancel()


def run(test: Callable[[Running], Awaitable[None]], limits: Limits | None = None, **config: Any) -> None:
    """Run a test against a server, within the deadline."""

    async def main() -> None:
        with trio.fail_after(DEADLINE_SECONDS * 2):
            async with running(limits, **config) as server:
                await test(server)

    trio.run(main)
