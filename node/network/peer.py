"""A peer: one connection, its notification stream in each direction, and the handshake that both must pass."""

from collections.abc import Awaitable, Callable

import trio
from libp2p.protocol_muxer.exceptions import ProtocolNotSupportedError

from node.log import logger
from node.network.connection import Connection
from node.network.framing import FramedStream, FrameTooLong
from node.network.handshake import STATUS_BYTES_MAX, Handshake, decode_handshake
from node.network.outbox import Outbox
from node.network.peer_reputation import (
    DUPLICATE_STREAM,
    MALFORMED_MESSAGE,
    OVERSIZED_MESSAGE,
    STREAM_FLOOD,
    WRONG_GENESIS,
    Penalty,
)
from node.network.port import (
    NOTIFICATION_BYTES_MAX,
    PROTOCOL_VERSION,
    MalformedMessage,
    NetworkEvent,
    Notification,
    PeerUp,
)
from node.network.requests import RequestClient, RequestLimits
from node.network.token_bucket import TokenBucket
from node.network.tuning import STREAM_ERRORS

log = logger("network")

NOTIFICATIONS_PER_SECOND_MAX = 20_000
NOTIFICATIONS_BURST_MAX = 40_000
NOTIFIED_BYTES_PER_SECOND_MAX = 32 << 20
NOTIFIED_BYTES_BURST_MAX = 64 << 20

Emit = Callable[[NetworkEvent], Awaitable[None]]
Punish = Callable[[Penalty], None]


class Peer:
    """The state of a peer from admission on. `up` turns true once, when `PeerUp` has been reported."""

    def __init__(
        self, connection: Connection, genesis_hash: bytes, handshake_limit_s: float, emit: Emit, punish: Punish
    ) -> None:
        self.id = connection.peer
        self.connection = connection
        self.prefix = f"/{genesis_hash.hex()}"
        self.outbox = Outbox()
        self.requests = RequestClient(connection, self.prefix)
        self.limits = RequestLimits()
        self.handshake: Handshake | None = None
        self.up = False
        self.finished = trio.Event()
        self._genesis_hash = genesis_hash
        self._handshake_limit_s = handshake_limit_s
        self._emit, self._punish = emit, punish
        self._reading = False
        self._greeted = trio.Event()
        self._announced = trio.Event()

    @property
    def notification_protocol(self) -> str:
        """The name under which each side opens its one stream of notifications."""
        return f"{self.prefix}/notif/1"

    async def run(self, our_handshake: bytes, before: trio.Event | None) -> None:
        """Shake hands, report `PeerUp` once `before` (the end of an older connection) is past, then write for ever."""
        try:
            with trio.move_on_after(self._handshake_limit_s) as scope:
                stream = await self.connection.open_stream(self.notification_protocol)
                await stream.write(len(our_handshake).to_bytes(4, "big") + our_handshake)
                await self._greeted.wait()
            if scope.cancelled_caught or self.handshake is None:
                self.connection.close(f"no handshake within {self._handshake_limit_s:.0f} s")
                return
            if before is not None:
                await before.wait()
            await self._emit(PeerUp(self.id, self.handshake.status, self.connection.outbound))
            self.up = True
            self._announced.set()
            while True:
                await stream.write(await self.outbox.next_batch())
        except ProtocolNotSupportedError:
            self._refuse_chain(f"it does not speak {self.notification_protocol}: another chain, or another version")
        except (*STREAM_ERRORS, trio.TooSlowError) as error:
            self.connection.close(f"its notification stream failed: {error}")

    async def read_notifications(self, stream: FramedStream) -> None:
        """The peer's notification stream: its handshake, then notifications. Its end ends the connection."""
        if self._reading:
            self._punish(DUPLICATE_STREAM)
            return
        self._reading = True
        try:
            self._judge(decode_handshake(await stream.read_frame(STATUS_BYTES_MAX)))
            await self._announced.wait()
            await self._read_frames(stream)
        except MalformedMessage as error:
            self.connection.close(f"malformed {error}")
            self._punish(MALFORMED_MESSAGE)
        except FrameTooLong as error:
            self.connection.close(f"it notified {error}")
            self._punish(OVERSIZED_MESSAGE)
        except STREAM_ERRORS as error:
            self.connection.close(f"its notification stream ended: {error}")

    async def _read_frames(self, stream: FramedStream) -> None:
        messages = TokenBucket(NOTIFICATIONS_PER_SECOND_MAX, NOTIFICATIONS_BURST_MAX)
        volume = TokenBucket(NOTIFIED_BYTES_PER_SECOND_MAX, NOTIFIED_BYTES_BURST_MAX)
        while True:
            content = await stream.read_frame(NOTIFICATION_BYTES_MAX + 1)
            if not content:
                raise MalformedMessage("notification", "has no kind")
            await messages.take(1)
            await volume.take(len(content))
            await self._emit(Notification(self.id, content[0], content[1:]))

    def _judge(self, handshake: Handshake) -> None:
        if handshake.genesis_hash != self._genesis_hash:
            self._refuse_chain(f"its genesis is 0x{handshake.genesis_hash.hex()}, ours 0x{self._genesis_hash.hex()}")
        elif handshake.protocol_version != PROTOCOL_VERSION:
            self.connection.close(f"it speaks version {handshake.protocol_version}, we {PROTOCOL_VERSION}")
        else:
            self.handshake = handshake
            self._greeted.set()

    def _refuse_chain(self, why: str) -> None:
        log.warning("Refused peer: wrong genesis", peer=self.id, host=self.connection.host, detail=why)
        self.connection.close(f"wrong genesis: {why}")
        self._punish(WRONG_GENESIS)

    def note_end(self) -> None:
        """After the connection: punish what only shows then."""
        if self.connection.flooded:
            self._punish(STREAM_FLOOD)
