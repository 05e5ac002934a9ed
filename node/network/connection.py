"""One connection to one peer: its streams, their cap, and the guard that no stream's failure passes.

Stock 0.8.1 ends the process when a stream handler raises or a negotiation is invalid UTF-8 (reference/libp2p.md).
"""

from collections.abc import Awaitable, Callable

import trio
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable
from libp2p.stream_muxer.yamux.yamux import YamuxStream

from node.log import logger
from node.network.framing import FramedStream, discard
from node.network.muxer import BoundedYamux
from node.network.port import PeerId
from node.network.upgrade import NEGOTIATION_LIMIT_S, accept, propose

log = logger("network")

INBOUND_STREAMS_MAX = 64
REFUSED_STREAMS_MAX = 256
FAILED_STREAMS_MAX = 256
OPEN_LIMIT_S = NEGOTIATION_LIMIT_S

StreamHandler = Callable[["Connection", str, FramedStream], Awaitable[None]]


class Connection:
    """An authenticated connection. `close` may be called at any time; the first reason is kept."""

    def __init__(
        self, muxer: BoundedYamux, peer: PeerId, *, outbound: bool, host: str, port: int, slow_reader_limit_s: float
    ) -> None:
        self.peer, self.outbound, self.host, self.port = peer, outbound, host, port
        self._slow_reader_limit_s = slow_reader_limit_s
        self.opened_at_s = trio.current_time()
        self.close_reason = ""
        self.flooded = False
        self._muxer = muxer
        self._scope = trio.CancelScope()
        self._inbound_streams = 0
        self._refused_streams = 0
        self._failed_streams = 0

    def close(self, reason: str) -> None:
        """End the connection; its tasks are cancelled at once."""
        self.close_reason = self.close_reason or self._muxer.failure or reason
        self._scope.cancel()

    async def run(self, offered: Multiselect, handler: StreamHandler, main: Callable[[], Awaitable[None]]) -> None:
        """Serve the peer's streams and run `main` beside, until the connection ends. Closes the socket."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run_muxer)
                nursery.start_soon(self._accept_streams, nursery, offered, handler)
                await self._muxer.event_started.wait()
                await main()

    async def _run_muxer(self) -> None:
        try:
            await self._muxer.start()
        finally:
            self.close("the peer closed the connection")

    async def open_stream(self, protocol: str) -> FramedStream:
        """A new stream that speaks `protocol`. Raises STREAM_ERRORS, ProtocolNotSupportedError, TooSlowError."""
        with trio.fail_after(OPEN_LIMIT_S):
            stream = await self._muxer.open_stream()
            try:
                await propose(stream, protocol)
            except BaseException:
                await discard(stream)
                raise
        return FramedStream(stream, self._slow_reader_limit_s)

    async def _accept_streams(self, nursery: trio.Nursery, offered: Multiselect, handler: StreamHandler) -> None:
        while True:
            try:
                stream = await self._muxer.accept_stream()
            except MuxedConnUnavailable:
                return
            if self._inbound_streams < INBOUND_STREAMS_MAX:
                self._inbound_streams += 1
                nursery.start_soon(self._guard, stream, offered, handler)
                continue
            self._refused_streams += 1
            await discard(stream)
            if self._refused_streams > REFUSED_STREAMS_MAX:
                self.flooded = True
                self.close("it floods us with streams")

    async def _guard(self, stream: YamuxStream, offered: Multiselect, handler: StreamHandler) -> None:
        """The supervisor of one inbound stream: whatever the peer provokes ends the stream, nothing else."""
        try:
            protocol = await accept(stream, offered)
            await handler(self, protocol, FramedStream(stream, self._slow_reader_limit_s))
        except Exception as error:  # noqa: BLE001 - a supervisor: the stream's failure is counted and goes no further
            self._failed_streams += 1
            log.debug("a stream failed", peer=self.peer, error=f"{type(error).__name__}: {error}")
            if self._failed_streams > FAILED_STREAMS_MAX:
                self.close("too many of its streams failed")
        finally:
            self._inbound_streams -= 1
            await discard(stream)
