"""HTTP/1.1 on a trio stream, by h11: requests of bounded size in bounded time, whole responses, keep-alive.

Serves the RPC port and the Prometheus port. h11 does the parsing and refuses what is no HTTP; here are the clocks, the
counts of bytes, and the decision to close.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import h11
import trio

from node.rpc.limits import Budget, Limits

RECEIVE_BYTES = 64 * 1024
SERVER_NAME = b"heddle"
HTTP_VERSIONS = (b"1.0", b"1.1")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. Header names are in lower case; of a repeated header the first counts."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One response, with its whole body."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The client's first request asks for a WebSocket: what was read of it, and what came behind it."""

    request: HttpRequest
    head: bytes
    rest: bytes


Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


class Refused(Exception):
    """The request is not served; `response` says why and the connection is closed after it."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.response = HttpResponse(status, f"{why}\n".encode())


class Gone(Exception):
    """The client closed the connection or kept silent, between two requests: nothing is owed."""


@dataclass(slots=True)
class HttpConnection:
    """One client. `run` serves it to its end, or returns its wish for a WebSocket."""

    stream: trio.SocketStream
    handler: Handler
    limits: Limits
    budget: Budget
    upgrades: bool = False
    http: h11.Connection = field(init=False)
    _raw: bytearray | None = field(init=False, default_factory=bytearray)
    """What came in, as long as it may turn out to be an upgrade."""
    _clock: trio.CancelScope = field(init=False, default_factory=trio.CancelScope)
    """One scope for the whole connection; its deadline moves with what is waited for, which is cheaper than many."""
    _late: str = field(init=False, default="")
    """What to tell a client that misses the deadline; nothing if empty."""

    def __post_init__(self) -> None:
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=self.limits.head_bytes_max)

    async def run(self) -> Upgrade | None:
        """Serve requests until the client or a limit ends the connection."""
        try:
            upgrade = None
            with self._clock:
                upgrade = await self._serve()
            if self._clock.cancelled_caught and self._late:
                raise Refused(HTTPStatus.REQUEST_TIMEOUT, self._late)
            return upgrade
        except Gone:
            return None
        except Refused as refused:
            await self._send_last(refused.response)
        except h11.RemoteProtocolError as error:
            hint = HTTPStatus(error.error_status_hint)
            await self._send_last(HttpResponse(hint, f"{hint.phrase}\n".encode()))
        return None

    async def _serve(self) -> Upgrade | None:
        while True:
            request = await self._head()
            if self.upgrades and self._raw is not None and _wants_websocket(request):
                return await self._upgrade(request)
            self._raw = None
            response = await self._respond_to(request)
            if not self.budget.take(len(response.body)):
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "out of memory for responses")
            try:
                await self._send(response)
            finally:
                self.budget.give_back(len(response.body))
            if self.http.our_state is not h11.DONE or self.http.their_state is not h11.DONE:
                return None
            self.http.start_next_cycle()

    async def _respond_to(self, request: h11.Request) -> HttpResponse:
        taken = 0
        body = bytearray()
        deadline = trio.current_time() + self.limits.body_timeout_ms / 1000
        try:
            if _content_length(request) > self.limits.request_bytes_max:
                raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {self.limits.request_bytes_max} bytes")
            while True:
                event = await self._event(deadline, "the body took too long")
                if isinstance(event, h11.EndOfMessage):
                    break
                if not isinstance(event, h11.Data):
                    raise Gone
                if len(body) + len(event.data) > self.limits.request_bytes_max:
                    limit = self.limits.request_bytes_max
                    raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {limit} bytes")
                if not self.budget.take(len(event.data)):
                    raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "out of memory for requests")
                taken += len(event.data)
                body += event.data
            return await self.handler(_request(request, bytes(body)))
        finally:
            self.budget.give_back(taken)

    async def _head(self) -> h11.Request:
        """The next request line and headers: a long wait for its first byte, a short one for the rest."""
        if self._raw is None and not self.http.trailing_data[0]:
            await self._receive(trio.current_time() + self.limits.idle_timeout_ms / 1000, "")
        deadline = trio.current_time() + self.limits.head_timeout_ms / 1000
        event = await self._event(deadline, "the headers took too long")
        if not isinstance(event, h11.Request):
            raise Gone
        if event.http_version not in HTTP_VERSIONS:
            raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.1")
        # h11 counts only what is still incomplete: a head that arrives whole in one piece is counted here.
        size = len(event.target) + sum(len(name) + len(value) for name, value in event.headers)
        if size > self.limits.head_bytes_max:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"at most {self.limits.head_bytes_max} bytes")
        return event

    async def _event(self, deadline: float, late: str) -> h11.Event | type[h11.PAUSED]:
        """The next event; Refused with `late` if it is not there by the deadline. Most are there without waiting."""
        while True:
            event = self.http.next_event()
            if event is not h11.NEED_DATA:
                assert not isinstance(event, type) or event is h11.PAUSED
                return event
            if self.http.they_are_waiting_for_100_continue:
                await self._write(self.http.send(h11.InformationalResponse(status_code=100, headers=[])))
            await self._receive(deadline, late)

    async def _receive(self, deadline: float, late: str) -> None:
        self._late, self._clock.deadline = late, deadline
        data = await self.stream.receive_some(RECEIVE_BYTES)
        self._clock.deadline = math.inf
        if self._raw is not None:
            self._raw += data
        self.http.receive_data(data)

    async def _upgrade(self, request: h11.Request) -> Upgrade:
        """The head goes on as it came. A request to upgrade has no body."""
        assert self._raw is not None
        event = self.http.next_event()
        if not isinstance(event, h11.EndOfMessage):
            raise Refused(HTTPStatus.BAD_REQUEST, "an upgrade has no body")
        rest = self.http.trailing_data[0]
        raw = bytes(self._raw)
        return Upgrade(_request(request, b""), raw[: len(raw) - len(rest)], rest)

    async def _send(self, response: HttpResponse, *, close: bool = False) -> None:
        headers = [(b"server", SERVER_NAME), *((name.encode(), value.encode()) for name, value in response.headers)]
        if response.status != HTTPStatus.NO_CONTENT:
            headers.append((b"content-type", response.content_type.encode()))
            headers.append((b"content-length", str(len(response.body)).encode()))
        if close:
            headers.append((b"connection", b"close"))
        phrase = HTTPStatus(response.status).phrase.encode()
        head = self.http.send(h11.Response(status_code=response.status, headers=headers, reason=phrase))
        body = self.http.send(h11.Data(data=response.body)) or b""
        end = self.http.send(h11.EndOfMessage()) or b""
        await self._write((head or b"") + body + end)

    async def _write(self, data: bytes | None) -> None:
        self._late = ""
        await send_in_time(self.stream, data or b"", self.limits, self._clock)

    async def _send_last(self, response: HttpResponse) -> None:
        """The answer to what is refused; then wait a moment, so that closing does not overtake it."""
        if self.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        with trio.CancelScope() as self._clock:
            await self._send(response, close=True)
        await linger(self.stream, self.limits)


async def send_in_time(
    stream: trio.SocketStream, data: bytes | bytearray, limits: Limits, clock: trio.CancelScope
) -> None:
    """Send `data` in chunks, each within the limit. A client that does not read lets `clock` run out and cancel."""
    view = memoryview(data)
    for start in range(0, len(view), limits.send_chunk_bytes):
        clock.deadline = trio.current_time() + limits.send_timeout_ms / 1000
        await stream.send_all(view[start : start + limits.send_chunk_bytes])
    clock.deadline = math.inf


async def linger(stream: trio.SocketStream, limits: Limits) -> None:
    """Say that nothing more comes, and throw away for a bounded time and size what still arrives.

    Closing with unread input resets the connection, and the client would never see the answer.
    """
    with trio.move_on_after(limits.linger_ms / 1000):
        await stream.send_eof()
        left = limits.linger_bytes_max
        while left > 0:
            data = await stream.receive_some(RECEIVE_BYTES)
            if not data:
                return
            left -= len(data)


def _request(request: h11.Request, body: bytes) -> HttpRequest:
    headers: dict[str, str] = {}
    for name, value in request.headers:
        headers.setdefault(name.decode("ascii"), value.decode("latin-1"))
    return HttpRequest(request.method.decode("ascii"), request.target.decode("latin-1"), headers, body)


def _content_length(request: h11.Request) -> int:
    for name, value in request.headers:
        if name == b"content-length":
            return int(value) if len(value) < 20 else 10**20
    return 0


def _wants_websocket(request: h11.Request) -> bool:
    """Whether the request asks for a WebSocket; whether it asks rightly is for the WebSocket code to say."""
    return any(name == b"upgrade" and b"websocket" in value.lower() for name, value in request.headers)
