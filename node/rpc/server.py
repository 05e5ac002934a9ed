"""Server: JSON-RPC over HTTP and WebSocket on one port, and plain GET routes; and the Prometheus port.

Each connection runs under one guard: whatever a client provokes - a library's assertion included - ends that connection
and nothing else. The server listens on loopback unless told otherwise; unsafe methods are then open, and refused as
soon as it listens outside (spec of --rpc-methods: auto, safe, unsafe).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Literal, Protocol

import trio

from node.log import Logger, logger
from node.rpc.dispatch import Caller, Dispatcher, NoObserver, Observer
from node.rpc.hosts import LOCAL_ORIGINS, HostRules, is_loopback
from node.rpc.http import Handler, HttpConnection, HttpRequest, HttpResponse, Upgrade, linger, send_in_time
from node.rpc.limits import Budget, Limits
from node.rpc.methods import Methods
from node.rpc.websocket import WebSocketSession

LISTEN_BACKLOG = 128
JSON = "application/json"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 21\r\n\r\nToo many connections\n"

Route = Callable[[HttpRequest], Awaitable[HttpResponse]]


class PortStatus(Protocol):
    """What `nursery.start` gives a server, to be told the port it listens on."""

    def started(self, value: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where to listen and whom to let in. Port 0 lets the system choose."""

    host: str = "127.0.0.1"
    port: int = 9944
    unsafe: Literal["auto", "safe", "unsafe"] = "auto"
    origins: tuple[str, ...] = LOCAL_ORIGINS
    hosts: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    @property
    def external(self) -> bool:
        """Whether others than this machine can reach the port."""
        return not is_loopback(self.host)

    @property
    def unsafe_allowed(self) -> bool:
        """Whether callers may use methods marked unsafe."""
        return self.unsafe == "unsafe" or (self.unsafe == "auto" and not self.external)


class Listener:
    """Accepts connections on one port, bounded in number, each served by `serve` under a guard."""

    def __init__(
        self, config: ServerConfig, log: Logger, serve: Callable[[trio.SocketStream, str], Awaitable[None]]
    ) -> None:
        self.config = config
        self.log = log
        self._serve = serve
        self._connections = 0
        self._made = 0

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return self._connections

    async def run(self, *, task_status: PortStatus = trio.TASK_STATUS_IGNORED) -> None:
        """Listen for ever; `nursery.start` gives the port. OSError if the address cannot be had."""
        listeners = await trio.open_tcp_listeners(self.config.port, host=self.config.host, backlog=LISTEN_BACKLOG)
        port: int = listeners[0].socket.getsockname()[1]
        self.log.info("Listening", address=self.config.host, port=port)
        async with trio.open_nursery() as nursery:
            task_status.started(port)
            await trio.serve_listeners(self._guarded, listeners, handler_nursery=nursery)

    async def _guarded(self, stream: trio.SocketStream) -> None:
        """The supervisor of one connection: its failures end here."""
        if self._connections >= self.config.limits.connections_max:
            await self._refuse(stream)
            return
        self._connections += 1
        self._made += 1
        name = f"{self._made:x}-"
        try:
            await self._serve(stream, name)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as gone:
            self.log.debug("client gone", client=name, reason=str(gone.exceptions[0]))
        except* Exception:  # the supervisor of one connection
            self.log.exception("connection failed", client=name)
        finally:
            self._connections -= 1
            await trio.aclose_forcefully(stream)

    async def _refuse(self, stream: trio.SocketStream) -> None:
        try:
            with trio.move_on_after(1):
                await stream.send_all(BUSY)
        except trio.BrokenResourceError:
            pass
        finally:
            await trio.aclose_forcefully(stream)


class RpcServer:
    """The RPC port. `routes` are plain GET paths, such as /health, answered beside JSON-RPC."""

    def __init__(
        self,
        methods: Methods,
        config: ServerConfig,
        routes: Mapping[str, Route] | None = None,
        observer: Observer | None = None,
        log: Logger | None = None,
    ) -> None:
        self.config = config
        self.routes = dict(routes or {})
        self.observer = observer or NoObserver()
        self.log = log or logger("rpc")
        self.rules = HostRules(external=config.external, origins=config.origins, hosts=config.hosts)
        self.budget = Budget(config.limits.memory_bytes_max)
        self.dispatcher = Dispatcher(methods, config.limits, self.observer, self.log)
        self.listener = Listener(config, self.log, self._serve)

    async def run(self, *, task_status: PortStatus = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; `await nursery.start(server.run)` returns the port."""
        await self.listener.run(task_status=task_status)

    async def _serve(self, stream: trio.SocketStream, name: str) -> None:
        connection = HttpConnection(stream, self._handle, self.config.limits, self.budget, upgrades=True)
        upgrade = await connection.run()
        if upgrade is not None:
            await self._websocket(stream, upgrade, name)

    async def _websocket(self, stream: trio.SocketStream, upgrade: Upgrade, name: str) -> None:
        refusal = self._refusal(upgrade.request)
        if refusal is not None:
            head = f"HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: {len(refusal.body)}\r\n\r\n"
            with trio.CancelScope() as clock:
                await send_in_time(stream, head.encode() + refusal.body, self.config.limits, clock)
            await linger(stream, self.config.limits)
            return
        session = WebSocketSession(
            stream,
            self.dispatcher,
            self.config.limits,
            self.budget,
            self.log,
            unsafe_allowed=self.config.unsafe_allowed,
            name=name,
        )
        self.observer.session_opened()
        try:
            await session.run(upgrade)
        finally:
            self.observer.session_closed()

    def _refusal(self, request: HttpRequest) -> HttpResponse | None:
        """Why a request is not even looked at: its Host or its Origin."""
        if not self.rules.host_allowed(request.headers.get("host")):
            return HttpResponse(HTTPStatus.FORBIDDEN, b"Provided Host header is not whitelisted\n")
        if not self.rules.origin_allowed(request.headers.get("origin")):
            return HttpResponse(HTTPStatus.FORBIDDEN, b"Provided Origin header is not whitelisted\n")
        return None

    async def _handle(self, request: HttpRequest) -> HttpResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        response = await self._route(request)
        origin = request.headers.get("origin")
        if origin is None:
            return response
        cors = (("access-control-allow-origin", origin), ("vary", "origin"))
        return HttpResponse(response.status, response.body, response.content_type, (*response.headers, *cors))

    async def _route(self, request: HttpRequest) -> HttpResponse:
        if request.method == "POST":
            return await self._json_rpc(request)
        if request.method == "OPTIONS":
            allowed = (("access-control-allow-methods", "POST, GET"), ("access-control-allow-headers", "content-type"))
            return HttpResponse(HTTPStatus.NO_CONTENT, headers=allowed)
        return await get_only(self.routes, request)

    async def _json_rpc(self, request: HttpRequest) -> HttpResponse:
        """A page may post text/plain without asking first, so only JSON's own content type is taken."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in (
            JSON,
            "application/json-rpc",
        ):
            return HttpResponse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, b"Supplied content type is not application/json\n")
        answer = await self.dispatcher.answer(request.body, Caller(self.config.unsafe_allowed))
        if not answer.data:
            return HttpResponse(HTTPStatus.NO_CONTENT)
        return HttpResponse(HTTPStatus.OK, answer.data, JSON)


async def get_only(routes: Mapping[str, Route], request: HttpRequest) -> HttpResponse:
    """A route table of GET paths; 404 and 405 for the rest."""
    route = routes.get(request.path.partition("?")[0])
    if route is None:
        return HttpResponse(HTTPStatus.NOT_FOUND, b"Not found\n")
    if request.method != "GET":
        return HttpResponse(HTTPStatus.METHOD_NOT_ALLOWED, b"Only GET\n", headers=(("allow", "GET"),))
    return await route(request)


class GetServer:
    """A port with GET routes only: Prometheus."""

    def __init__(self, routes: Mapping[str, Route], config: ServerConfig, log: Logger | None = None) -> None:
        self.config = config
        self.handler: Handler = partial(get_only, dict(routes))
        self.rules = HostRules(external=config.external, hosts=config.hosts)
        self.budget = Budget(config.limits.memory_bytes_max)
        self.listener = Listener(config, log or logger("metrics"), self._serve)

    async def run(self, *, task_status: PortStatus = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; `await nursery.start(server.run)` returns the port."""
        await self.listener.run(task_status=task_status)

    async def _serve(self, stream: trio.SocketStream, _name: str) -> None:
        await HttpConnection(stream, self._handle, self.config.limits, self.budget).run()

    async def _handle(self, request: HttpRequest) -> HttpResponse:
        if not self.rules.host_allowed(request.headers.get("host")):
            return HttpResponse(HTTPStatus.FORBIDDEN, b"Provided Host header is not whitelisted\n")
        return await self.handler(request)
