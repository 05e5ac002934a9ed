"""Yamux with bounds: one writer with a queue, a cap on what is buffered, a frame rate, pings that notice silence.

Cures of reference/libp2p.md that live here. In the stock class each caller writes frames itself: a cancelled caller
tears a Noise frame, and two nodes that send much to each other can stop reading, each waiting to write its reply. Here
callers only queue. Control frames never wait, so the reading side never stops for the writing one.
"""

import struct
from collections import deque
from typing import cast

import trio
from libp2p.abc import ISecureConn
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.utils import read_exactly
from libp2p.peer.id import ID
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, HEADER_SIZE, TYPE_PING, YAMUX_HEADER_FORMAT, Yamux, YamuxStream

from node.network.tcp_stream import TcpStream
from node.network.token_bucket import TokenBucket
from node.network.tuning import STREAM_ERRORS, YAMUX_FRAME_BYTES_MAX

BODY_LIMIT_S = 15.0
OUTBOX_BYTES_MAX = 256 << 10
CONTROL_BYTES_MAX = 512 << 10
BUFFERED_BYTES_MAX = 16 << 20
FRAMES_PER_SECOND_MAX = 4000
FRAMES_BURST_MAX = 16000
FRAMES_PER_TURN = 32
LOOKS_PER_PING = 4
PAUSE_S = 1.0


class _MeteredSession:
    """A secured connection whose frame headers are counted, so that a flood is read slowly and others get a turn."""

    def __init__(self, session: ISecureConn) -> None:
        self._session = session
        self._frames = TokenBucket(FRAMES_PER_SECOND_MAX, FRAMES_BURST_MAX)
        self._since_turn = 0
        self.is_initiator = session.is_initiator
        self.write = session.write
        self.close = session.close
        self.get_remote_address = session.get_remote_address

    async def read(self, n: int | None = None) -> bytes:
        if n == HEADER_SIZE:
            self._since_turn += 1
            if self._since_turn >= FRAMES_PER_TURN:
                await self._frames.take(self._since_turn)
                self._since_turn = 0
                await trio.lowlevel.checkpoint()
        return await self._session.read(n)


class BoundedYamux(Yamux):
    """The multiplexer of one connection. `failure` says why we gave it up, if we did."""

    def __init__(
        self, session: ISecureConn, peer: ID, tcp: TcpStream, *, ping_interval_s: float, silence_limit_s: float
    ) -> None:
        # Not a full ISecureConn: yamux uses only what the wrapper has.
        super().__init__(cast("ISecureConn", _MeteredSession(session)), peer, is_initiator=session.is_initiator)
        self.failure = ""
        self._tcp = tcp
        self._ping_interval_s, self._silence_limit_s = ping_interval_s, silence_limit_s
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._filled = trio.Event()
        self._room = trio.Event()
        self._turn = trio.Lock()

    async def accept_stream(self) -> YamuxStream:
        """The next stream that the peer opens. Raises MuxedConnUnavailable at the end of the connection."""
        return cast("YamuxStream", await super().accept_stream())

    async def start(self) -> None:
        """Serve the connection until it ends, for whatever reason; afterwards nothing of it waits any more."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write_outbox)
                await super().start()
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await self._cleanup_on_error()

    async def fail(self, reason: str) -> None:
        """Give the connection up."""
        self.failure = self.failure or reason
        await self._cleanup_on_error()

    async def _cleanup_on_error(self) -> None:
        self.event_shutting_down.set()
        self._room.set()
        self._filled.set()
        await super()._cleanup_on_error()

    async def _write_frame(self, data: bytes) -> None:
        """Queue a frame. Data waits its turn for room; control frames go at once, within CONTROL_BYTES_MAX."""
        if len(data) > HEADER_SIZE:
            async with self._turn:
                while self._outbox_bytes >= OUTBOX_BYTES_MAX and not self.event_shutting_down.is_set():
                    self._room = trio.Event()
                    await self._room.wait()
                self._queue(data)
            return
        if self._outbox_bytes >= CONTROL_BYTES_MAX:
            await self.fail("its control frames outran its reading")
        self._queue(data)
        await trio.lowlevel.checkpoint()

    def _queue(self, data: bytes) -> None:
        if self.event_shutting_down.is_set():
            raise ConnectionClosedError("connection closed")
        self._outbox.append(data)
        self._outbox_bytes += len(data)
        self._filled.set()

    async def _write_outbox(self) -> None:
        while not self.event_shutting_down.is_set():
            if not self._outbox:
                self._filled = trio.Event()
                await self._filled.wait()
                continue
            batch = self._next_batch()
            try:
                with trio.move_on_after(self._silence_limit_s) as scope:
                    await self.secured_conn.write(batch)
            except STREAM_ERRORS as error:
                await self.fail(f"writing failed: {error}")
            else:
                if scope.cancelled_caught:
                    await self.fail(f"it took nothing for {self._silence_limit_s:.0f} s")
            if self._outbox_bytes < OUTBOX_BYTES_MAX:
                self._room.set()

    def _next_batch(self) -> bytes:
        """Frames in their order, as many as one Noise message holds; at least one."""
        batch = [self._outbox.popleft()]
        size = len(batch[0])
        while self._outbox and size + len(self._outbox[0]) <= YAMUX_FRAME_BYTES_MAX:
            size += len(self._outbox[0])
            batch.append(self._outbox.popleft())
        self._outbox_bytes -= size
        return b"".join(batch)

    async def _read_data_body(self, length: int) -> bytes:
        """The body of a data frame, refused once the peer has ignored its windows. TooSlowError ends the connection."""
        buffered = sum(map(len, self.stream_buffers.values()))
        if buffered + length > BUFFERED_BYTES_MAX:
            await self.fail(f"{buffered + length} bytes wait to be read, at most {BUFFERED_BYTES_MAX}")
            raise trio.TooSlowError
        with trio.fail_after(BODY_LIMIT_S):
            return bytes(await read_exactly(self.secured_conn, length))

    async def _measure_rtt_loop(self) -> None:
        """Ping at an interval: any byte counts as life, a stopped process sends none."""
        look_s = self._ping_interval_s / LOOKS_PER_PING
        awake_since_s = trio.current_time()
        while not self.event_shutting_down.is_set():
            self._ping_id = (self._ping_id + 1) & 0xFFFFFFFF
            ping = struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_PING, FLAG_SYN, 0, self._ping_id)
            try:
                await self._write_frame(ping)
            except STREAM_ERRORS:
                return
            self._ping_sent_time = trio.current_time()
            for _ in range(LOOKS_PER_PING):
                before_s = trio.current_time()
                await trio.sleep(look_s)
                now_s = trio.current_time()
                if now_s - before_s > look_s + PAUSE_S:
                    awake_since_s = now_s  # we stood still ourselves: that is no silence of the peer
                silent_s = now_s - max(self._tcp.received_at_s, awake_since_s)
                if silent_s > self._silence_limit_s:
                    await self.fail(f"silent for {silent_s:.0f} s")
                    return
