"""Requests and responses on pooled streams.

Wire, any number of times on one stream: request = u32 length, body (<= 64 KiB); response = status byte, u32 length,
body (<= 16 MiB, written in chunks). Protocol names are /<genesis hex>/rpc/<name>.
"""

from enum import IntEnum

import trio
from libp2p.protocol_muxer.exceptions import ProtocolNotSupportedError

from node.log import logger
from node.network.connection import Connection
from node.network.framing import FramedStream, FrameTooLong
from node.network.port import (
    REQUEST_BYTES_MAX,
    RESPONSE_BYTES_MAX,
    PeerId,
    RequestFailed,
    RequestFailure,
    RequestHandler,
    RequestRefused,
)
from node.network.token_bucket import TokenBucket
from node.network.tuning import STREAM_ERRORS

log = logger("network")

STREAMS_PER_PROTOCOL_MAX = 4
SERVED_PER_PEER_MAX = 4
BUSY_AFTER_S = 5.0
HANDLER_LIMIT_S = 30.0
RESPONSE_LIMIT_S = 60.0
REQUEST_BODY_LIMIT_S = 10.0
IDLE_LIMIT_S = 120.0
REQUESTS_PER_SECOND_MAX = 500
REQUESTS_BURST_MAX = 1000
REASON_BYTES_MAX = 256


class Status(IntEnum):
    """The first byte of a response."""

    OK = 0
    REFUSED = 1
    BUSY = 2
    FAILED = 3


_FAILURE = {
    Status.REFUSED: RequestFailure.REFUSED,
    Status.BUSY: RequestFailure.BUSY,
    Status.FAILED: RequestFailure.FAILED,
}


class RequestClient:
    """Our requests on one connection: at most 4 at a time per protocol, on streams that are used again."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._connection, self._prefix = connection, prefix
        self._idle: dict[str, list[FramedStream]] = {}
        self._slots: dict[str, trio.CapacityLimiter] = {}

    async def ask(self, protocol: str, data: bytes) -> bytes:
        """The answer. Raises RequestFailed, but for a time-out, which is the caller's to set."""
        slots = self._slots.setdefault(protocol, trio.CapacityLimiter(STREAMS_PER_PROTOCOL_MAX))
        async with slots:
            try:
                return await self._ask(protocol, data)
            except FrameTooLong as error:
                raise self._failed(protocol, RequestFailure.TOO_LARGE, str(error)) from error
            except ProtocolNotSupportedError as error:
                raise self._failed(protocol, RequestFailure.UNSUPPORTED) from error
            except trio.TooSlowError as error:
                raise self._failed(protocol, RequestFailure.TIMED_OUT) from error
            except STREAM_ERRORS as error:
                raise self._failed(protocol, RequestFailure.BROKEN, str(error)) from error

    async def _ask(self, protocol: str, data: bytes) -> bytes:
        idle = self._idle.setdefault(protocol, [])
        while idle:
            try:
                return await self._exchange(protocol, idle.pop(), data)
            except FrameTooLong:
                raise
            except STREAM_ERRORS:
                continue  # the peer had closed the idle stream; requests only read, so asking again does no harm
        stream = await self._connection.open_stream(f"{self._prefix}/rpc/{protocol}")
        return await self._exchange(protocol, stream, data)

    async def _exchange(self, protocol: str, stream: FramedStream, data: bytes) -> bytes:
        try:
            await stream.write(len(data).to_bytes(4, "big") + data)
            status = (await stream.read_exactly(1))[0]
            body = await stream.read_frame(RESPONSE_BYTES_MAX if status == Status.OK else REASON_BYTES_MAX)
        except BaseException:
            await stream.discard()
            raise
        self._idle[protocol].append(stream)
        if status == Status.OK:
            return body
        failure = _FAILURE[Status(status)] if status in set(Status) else RequestFailure.FAILED
        raise self._failed(protocol, failure, ascii(body.decode(errors="replace"))[1:-1])

    def _failed(self, protocol: str, failure: RequestFailure, detail: str = "") -> RequestFailed:
        return RequestFailed(self._connection.peer, protocol, failure, detail)


class RequestLimits:
    """What one peer may ask of us: 4 requests at a time, and a rate; what is above waits, then is told `busy`."""

    def __init__(self) -> None:
        self.serving = trio.CapacityLimiter(SERVED_PER_PEER_MAX)
        self.rate = TokenBucket(REQUESTS_PER_SECOND_MAX, REQUESTS_BURST_MAX)


class RequestServer:
    """The handlers of all protocols."""

    def __init__(self) -> None:
        self.handlers: dict[str, RequestHandler] = {}
        self.served_total = 0

    async def serve_stream(self, peer: PeerId, protocol: str, stream: FramedStream, limits: RequestLimits) -> None:
        """Answer the requests of one stream until it ends. Raises STREAM_ERRORS, TooSlowError: the caller guards."""
        while True:
            with trio.fail_after(IDLE_LIMIT_S):
                head = await stream.read_exactly(4)
            size = int.from_bytes(head, "big")
            if size > REQUEST_BYTES_MAX:
                raise FrameTooLong(size, REQUEST_BYTES_MAX)
            with trio.fail_after(REQUEST_BODY_LIMIT_S):
                data = await stream.read_exactly(size)
            await limits.rate.take(1)
            await self._serve(peer, protocol, data, stream, limits)

    async def _serve(
        self, peer: PeerId, protocol: str, data: bytes, stream: FramedStream, limits: RequestLimits
    ) -> None:
        try:
            with trio.fail_after(BUSY_AFTER_S):
                await limits.serving.acquire()
        except trio.TooSlowError:
            await _respond(stream, Status.BUSY, b"")
            return
        try:
            status, body = await self._answer(peer, protocol, data)
            with trio.fail_after(RESPONSE_LIMIT_S):
                await _respond(stream, status, body)
        finally:
            limits.serving.release()

    async def _answer(self, peer: PeerId, protocol: str, data: bytes) -> tuple[Status, bytes]:
        """Run the handler under supervision: its mistakes become a failed answer and a line in our log."""
        self.served_total += 1
        try:
            with trio.fail_after(HANDLER_LIMIT_S):
                body = await self.handlers[protocol](peer, data)
        except RequestRefused as refusal:
            return Status.REFUSED, str(refusal).encode()[:REASON_BYTES_MAX]
        except trio.TooSlowError:
            return Status.BUSY, b""
        except Exception:  # supervised: a handler's mistake must not end the peer's stream, and is ours to see
            log.exception("a request handler failed", protocol=protocol)
            return Status.FAILED, b""
        if len(body) > RESPONSE_BYTES_MAX:
            log.error("a response is too large", protocol=protocol, size=len(body), limit=RESPONSE_BYTES_MAX)
            return Status.FAILED, b"response too large"
        return Status.OK, body


async def _respond(stream: FramedStream, status: Status, body: bytes) -> None:
    await stream.write(bytes((status,)) + len(body).to_bytes(4, "big") + body)
