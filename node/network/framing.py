"""Exact reads and patient writes on a multiplexed stream."""

import trio
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux.yamux import HEADER_SIZE, YamuxStream

from node.network.tuning import STREAM_ERRORS, YAMUX_FRAME_BYTES_MAX

CHUNK_BYTES_MAX = YAMUX_FRAME_BYTES_MAX - HEADER_SIZE  # one frame, one Noise message
WINDOW_POLL_FIRST_S = 0.0005
WINDOW_POLL_MAX_S = 0.02
DISCARD_LIMIT_S = 5.0


class FramedStream:
    """A stream with a read buffer. One task reads and one writes at a time. Errors: STREAM_ERRORS."""

    def __init__(self, stream: YamuxStream, slow_reader_limit_s: float) -> None:
        self._stream = stream
        self._slow_reader_limit_s = slow_reader_limit_s
        self._buffer = bytearray()

    async def read_exactly(self, size: int) -> bytes:
        """`size` bytes. Raises MuxedStreamEOF, MuxedStreamReset. The caller has checked `size` against its limit."""
        while len(self._buffer) < size:
            self._buffer += await self._stream.read(CHUNK_BYTES_MAX)
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return data

    async def read_frame(self, limit: int) -> bytes:
        """A frame of u32 length and content. Raises FrameTooLong above `limit`, before its content is read."""
        size = int.from_bytes(await self.read_exactly(4), "big")
        if size > limit:
            raise FrameTooLong(size, limit)
        return await self.read_exactly(size)

    async def write(self, data: bytes) -> None:
        """All of `data`, in chunks. The stock write fails after 5 s without window; we wait longer."""
        for start in range(0, len(data), CHUNK_BYTES_MAX):
            chunk = data[start : start + CHUNK_BYTES_MAX]
            if self._stream.send_window < len(chunk):
                await self._wait_for_window(len(chunk))
            await self._stream.write(chunk)

    async def _wait_for_window(self, size: int) -> None:
        poll_s = WINDOW_POLL_FIRST_S
        with trio.move_on_after(self._slow_reader_limit_s):
            # The library signals no event when the window opens.
            while self._stream.send_window < size and not self._stream.send_closed:
                await trio.sleep(poll_s)
                poll_s = min(WINDOW_POLL_MAX_S, poll_s * 2)
            return
        raise MuxedStreamError(f"the peer read nothing for {self._slow_reader_limit_s:.0f} s")

    async def discard(self) -> None:
        """Reset the stream, drop what it holds; whoever is being cancelled may call it."""
        await discard(self._stream)


class FrameTooLong(MuxedStreamError):
    """A peer announced a frame above its limit."""

    def __init__(self, size: int, limit: int) -> None:
        self.size, self.limit = size, limit
        super().__init__(f"a frame of {size} bytes, at most {limit}")


async def discard(stream: YamuxStream) -> None:
    """Reset a stream and forget its unread data, which would otherwise stay for a minute."""
    with trio.CancelScope(deadline=trio.current_time() + DISCARD_LIMIT_S, shield=True):
        unread = stream.conn.stream_buffers.get(stream.stream_id)
        if unread is not None:
            unread.clear()
        try:
            await stream.reset()
        except STREAM_ERRORS:
            return
