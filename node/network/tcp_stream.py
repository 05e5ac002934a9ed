"""A TCP connection as libp2p's lowest layer: exact reads from one buffer, bytes counted, silence noticed."""

from dataclasses import dataclass

import trio
from libp2p.abc import IRawConnection
from libp2p.connection_types import ConnectionType
from libp2p.io.exceptions import ConnectionClosedError
from multiaddr import Multiaddr

RECEIVE_BYTES = 128 << 10
READ_BYTES_MAX = 1 << 16


@dataclass(slots=True)
class Traffic:
    """Bytes over the wire of all connections, for the metric network_bytes_total."""

    bytes_in: int = 0
    bytes_out: int = 0


class TcpStream(IRawConnection):
    """Exact reads save the layers above their loops over partial ones, of which py-libp2p gives up after 100."""

    def __init__(self, stream: trio.SocketStream, *, is_initiator: bool, traffic: Traffic) -> None:
        self.is_initiator = is_initiator
        self.remote_host, self.remote_port = _remote(stream)
        self.received_at_s = trio.current_time()
        self._stream, self._traffic = stream, traffic
        self._buffer = bytearray()

    async def read(self, n: int | None = None) -> bytes:
        """Exactly `n` bytes; fewer at the end of the stream. Raises ConnectionClosedError."""
        if n is None or not 0 <= n <= READ_BYTES_MAX:
            raise ConnectionClosedError(f"a read of {n} bytes is not in 0..{READ_BYTES_MAX}")
        while len(self._buffer) < n:
            received = await self._receive()
            if not received:
                break
            self._buffer += received
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data

    async def _receive(self) -> bytes:
        try:
            received = await self._stream.receive_some(RECEIVE_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("the connection broke") from error
        self._traffic.bytes_in += len(received)
        self.received_at_s = trio.current_time()
        return bytes(received)

    async def write(self, data: bytes) -> None:
        """All of `data`. Raises ConnectionClosedError. A cancelled write leaves a torn frame: close then."""
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("the connection broke") from error
        self._traffic.bytes_out += len(data)

    async def close(self) -> None:
        await trio.aclose_forcefully(self._stream)

    def get_remote_address(self) -> tuple[str, int] | None:
        return self.remote_host, self.remote_port

    def get_transport_addresses(self) -> list[Multiaddr]:
        return []

    def get_connection_type(self) -> ConnectionType:
        return ConnectionType.DIRECT


def _remote(stream: trio.SocketStream) -> tuple[str, int]:
    """The remote IP literal and port; raises OSError when the peer has already gone."""
    name = stream.socket.getpeername()
    return str(name[0]).partition("%")[0], int(name[1])
