"""WebSocket: one client on the sans-I/O protocol of `websockets`, with bounds on all that it can make us keep.

Three kinds of tasks: a reader, a writer, and one per request at work (at most `calls_max`). Only the writer waits for
the client; everyone else puts bytes into a bounded queue. A client that lets the queue overflow, does not take a chunk
in time, or is silent for two ping intervals is dropped.
"""

import contextlib
import logging
from collections import deque

import trio
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from node.log import Logger
from node.rpc.dispatch import Caller, Dispatcher
from node.rpc.http import RECEIVE_BYTES, Upgrade, linger, send_in_time
from node.rpc.limits import Budget, Limits
from node.rpc.subscription import Subscriptions

PING_PAYLOAD = b"heddle"
_QUIET = logging.getLogger("heddle.websockets")
_QUIET.disabled = True
"""The library would write what clients send into the standard log; what matters is logged here, bounded."""
CLOSE_TOO_BIG = 1009


class WebSocketSession:
    """One WebSocket connection, from the handshake to the close."""

    def __init__(
        self,
        stream: trio.SocketStream,
        dispatcher: Dispatcher,
        limits: Limits,
        budget: Budget,
        log: Logger,
        *,
        unsafe_allowed: bool,
        name: str,
    ) -> None:
        self.stream = stream
        self.dispatcher = dispatcher
        self.limits = limits
        self.budget = budget
        self.log = log
        self.name = name
        self.caller = Caller(unsafe_allowed)
        self.protocol = ServerProtocol(max_size=limits.request_bytes_max, logger=_QUIET)
        self._queue: deque[bytes] = deque()
        self._queue_bytes = 0
        self._wake = trio.Event()
        self._ending = False
        self._received = 0
        self._parts: list[bytes] = []
        self._incoming_bytes = 0
        self._calls = trio.Semaphore(limits.calls_max)
        self._scope = trio.CancelScope()

    async def run(self, upgrade: Upgrade) -> None:
        """Serve the client until it goes or is dropped."""
        if not await self._handshake(upgrade):
            return
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self.caller.subscriptions = Subscriptions(
                        self.limits.subscriptions_max, self._send_text, nursery, self.log, self.name
                    )
                    writer = trio.Event()
                    nursery.start_soon(self._write, writer)
                    nursery.start_soon(self._watch)
                    await self._read(upgrade.rest, nursery)
                    self._ending = True
                    self._wake.set()
                    await writer.wait()
                    nursery.cancel_scope.cancel()
        finally:
            if self.caller.subscriptions is not None:
                self.caller.subscriptions.close()
            self.budget.give_back(self._queue_bytes + self._incoming_bytes)

    async def _handshake(self, upgrade: Upgrade) -> bool:
        """Answer the upgrade. What came behind it waits: the library reads no frames before it has answered."""
        self.protocol.receive_data(upgrade.head)
        for event in self.protocol.events_received():
            if isinstance(event, Request):
                self.protocol.send_response(self.protocol.accept(event))
        with trio.CancelScope() as clock:
            for data in self.protocol.data_to_send():
                await send_in_time(self.stream, data, self.limits, clock)
        if self.protocol.state is not State.OPEN:
            await linger(self.stream, self.limits)
            return False
        return True

    async def _read(self, data: bytes, nursery: trio.Nursery) -> None:
        """Until the client closes or its stream ends."""
        while True:
            if data:
                self._received += 1
                if not self._feed(data):
                    return
                frames = [event for event in self.protocol.events_received() if isinstance(event, Frame)]
                for frame in frames:
                    await self._frame(frame, nursery)
                if frames and not self._parts:
                    self.budget.give_back(self._incoming_bytes)
                    self._incoming_bytes = 0
                if self.protocol.state is not State.OPEN:
                    return
            data = await self.stream.receive_some(RECEIVE_BYTES)
            if not data:
                return

    async def _watch(self) -> None:
        """Ping a client that was silent for an interval, drop one that stays silent for the next."""
        pinged, received = False, 0
        while True:
            await trio.sleep(self.limits.ping_interval_ms / 1000)
            if self._received != received:
                pinged, received = False, self._received
            elif pinged:
                self._drop("silent for two ping intervals")
            elif self.protocol.state is State.OPEN:
                pinged = True
                self.protocol.send_ping(PING_PAYLOAD)
                self._flush()

    def _feed(self, data: bytes) -> bool:
        """Hand bytes to the library, counting those of a message that is not complete yet."""
        if not self.budget.take(len(data)):
            self._drop("out of memory for requests")
            return False
        self._incoming_bytes += len(data)
        self.protocol.receive_data(data)
        self._flush()
        return True

    async def _frame(self, frame: Frame, nursery: trio.Nursery) -> None:
        """A frame in order: collect a message, and start its request once it is whole."""
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._parts.clear()
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            if len(self._parts) >= self.limits.fragments_max:
                self.protocol.fail(CLOSE_TOO_BIG, f"more than {self.limits.fragments_max} fragments")
                self._flush()
            return
        message = b"".join(self._parts)
        self._parts.clear()
        await self._calls.acquire()
        nursery.start_soon(self._call, message)

    async def _call(self, message: bytes) -> None:
        try:
            answer = await self.dispatcher.answer(message, self.caller)
            if answer.data:
                self._send_text(answer.data)
            answer.open()
        finally:
            self._calls.release()

    def _send_text(self, data: bytes) -> bool:
        """Queue one message. False if the client is gone, or now dropped because it does not read."""
        try:
            self.protocol.send_text(data)
        except InvalidState:
            return False
        return self._flush()

    def _flush(self) -> bool:
        """Move what the library wants to send into the queue, within the bounds."""
        for data in self.protocol.data_to_send():
            if not data:
                self._ending = True
                continue
            full = len(self._queue) >= self.limits.send_queue_messages_max
            if (
                full
                or self._queue_bytes + len(data) > self.limits.send_queue_bytes_max
                or not self.budget.take(len(data))
            ):
                self._drop("does not read its messages")
                return False
            self._queue.append(data)
            self._queue_bytes += len(data)
        self._wake.set()
        return True

    def _drop(self, why: str) -> None:
        """Cut the connection now, whatever waits."""
        self.log.warning("WebSocket client dropped", client=self.name, reason=why)
        self._queue.clear()
        self._ending = True
        self._scope.cancel()

    async def _write(self, done: trio.Event) -> None:
        """Send what is queued, several messages in one go, until the end is reached and nothing is left."""
        try:
            with trio.CancelScope() as clock:
                await self._write_queue(clock)
            if clock.cancelled_caught:
                self._drop("does not read its messages")
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await linger(self.stream, self.limits)
        finally:
            done.set()

    async def _write_queue(self, clock: trio.CancelScope) -> None:
        while self._queue or not self._ending:
            if not self._queue:
                self._wake = trio.Event()
                await self._wake.wait()
                continue
            chunk = self._chunk()
            try:
                await send_in_time(self.stream, chunk, self.limits, clock)
            finally:
                self._queue_bytes -= len(chunk)
                self.budget.give_back(len(chunk))

    def _chunk(self) -> bytes:
        """The next message, and those behind it as long as all are small."""
        parts = [self._queue.popleft()]
        size = len(parts[0])
        while self._queue and size + len(self._queue[0]) <= self.limits.send_chunk_bytes:
            parts.append(self._queue.popleft())
            size += len(parts[-1])
        return b"".join(parts) if len(parts) > 1 else parts[0]
