"""The layers below a connection, on streams made of bytes: the guard of negotiations, the bounds of the multiplexer."""

import struct
from typing import cast

import pytest
import trio
import trio.testing
from libp2p.abc import ISecureConn
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, HEADER_SIZE, TYPE_PING, YAMUX_HEADER_FORMAT

from node.network.muxer import CONTROL_BYTES_MAX, BoundedYamux
from node.network.tcp_stream import TcpStream, Traffic
from node.network.tuning import YAMUX_FRAME_BYTES_MAX, prepare_libp2p
from node.network.upgrade import NEGOTIATION_BYTES_MAX, accept, propose

HANDSHAKE = b"\x13/multistream/1.0.0\n"
PROTOCOL = "/heddle/test/1"


class Endless:
    """A stream that gives `head`, then zeros or `tail` for ever, and counts what is taken from it."""

    def __init__(self, head: bytes, tail: bytes) -> None:
        self.data, self.tail = head, tail
        self.taken = 0

    async def read(self, n: int | None = None) -> bytes:
        """The next `n` bytes."""
        assert n is not None
        while len(self.data) < n:
            self.data += self.tail
        data, self.data = self.data[:n], self.data[n:]
        self.taken += n
        await trio.lowlevel.checkpoint()
        return data

    async def write(self, data: bytes) -> None:
        """Take anything."""
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        (HANDSHAKE, b"\x03ls\n"),
        (HANDSHAKE, b"\x04abc\n"),
        (HANDSHAKE + b"\xff\xff\xff\xff\x7f", b"a"),
        (HANDSHAKE + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"a"),
        (HANDSHAKE + b"\x80\x80\x10", b"a"),
        (b"", b"\xff"),
        (b"\x80\x02", b"a"),
    ],
)
def test_a_negotiation_reads_little_whatever_comes(head: bytes, tail: bytes) -> None:
    """Endless questions and messages of any announced length end with an error after at most 1 KiB, on both sides."""

    async def main() -> None:
        responder, initiator = Endless(head, tail), Endless(head, tail)
        with pytest.raises(BaseLibp2pError):
            await accept(responder, Multiselect({TProtocol(PROTOCOL): None}))
        with pytest.raises(BaseLibp2pError):
            await propose(initiator, PROTOCOL)
        assert max(responder.taken, initiator.taken) <= NEGOTIATION_BYTES_MAX

    trio.run(main)


class Stalled:
    """A session from which pings come for ever and which takes no answer."""

    is_initiator = False
    pings = 0

    async def read(self, n: int | None = None) -> bytes:
        """The next ping."""
        assert n == HEADER_SIZE
        await trio.lowlevel.checkpoint()
        self.pings += 1
        return struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_PING, FLAG_SYN, 0, self.pings)

    async def write(self, data: bytes) -> None:
        """Never done."""
        await trio.sleep_forever()

    async def close(self) -> None:
        """Nothing to close."""

    def get_remote_address(self) -> tuple[str, int] | None:
        """Nowhere."""
        return None


def test_answers_that_nobody_reads_are_bounded() -> None:
    """A peer that asks by ping and reads no answer is dropped once 512 KiB of control frames wait beside a message."""

    async def main() -> None:
        prepare_libp2p()
        left, right = await loopback()
        async with left, right:
            tcp = TcpStream(left, is_initiator=False, traffic=Traffic())
            session = Stalled()
            wrapped = cast("ISecureConn", session)
            muxer = BoundedYamux(wrapped, ID(b"peer"), tcp, ping_interval_s=1e6, silence_limit_s=1e7)
            await muxer.start()
            assert muxer.failure == "its control frames outran its reading"
            # How many frames the one message in flight took depends on which task ran first.
            assert session.pings <= (CONTROL_BYTES_MAX + YAMUX_FRAME_BYTES_MAX) // HEADER_SIZE + 2

    async def loopback() -> tuple[trio.SocketStream, trio.SocketStream]:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        right = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        left = await listener.accept()
        await listener.aclose()
        return left, right

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
