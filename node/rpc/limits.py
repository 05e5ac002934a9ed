"""Limits: every bound of the RPC server, in one place."""

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds per server and per connection; the defaults are Substrate's where it has one."""

    connections_max: int = 100
    request_bytes_max: int = 15 * MEBIBYTE
    """One HTTP body or one WebSocket message."""
    response_bytes_max: int = 15 * MEBIBYTE
    batch_max: int = 256
    subscriptions_max: int = 1_024
    """Per connection."""
    calls_max: int = 16
    """WebSocket requests of one connection at work at a time; the next one is not read before one has ended."""
    fragments_max: int = 1_024
    """Frames of one WebSocket message: empty ones cost memory and count for no bytes."""

    head_bytes_max: int = 16 * 1024
    """Request line and headers together."""
    head_timeout_ms: int = 10_000
    """From the connection, or the first byte of a later request, to the end of the headers."""
    body_timeout_ms: int = 30_000
    idle_timeout_ms: int = 75_000
    """Between two HTTP requests of one connection."""

    send_chunk_bytes: int = 256 * 1024
    send_timeout_ms: int = 10_000
    """For each chunk: whoever takes less than 25 KiB a second is dropped."""
    send_queue_messages_max: int = 4_096
    send_queue_bytes_max: int = 32 * MEBIBYTE
    """What waits for a WebSocket client to read it; past this bound the client is dropped."""
    ping_interval_ms: int = 30_000
    """A WebSocket client that is silent for two intervals is dropped."""
    linger_ms: int = 1_000
    """How long the answer to a refused request may be read before the connection is closed."""
    linger_bytes_max: int = 16 * MEBIBYTE
    """A whole body that is just too big is thrown away, so that its sender learns why."""
    memory_bytes_max: int = 256 * MEBIBYTE
    """All requests being received and all answers waiting to be read, of all connections together."""


class Budget:
    """Bytes that all connections share. Whoever asks for more than is left gets nothing and has to go."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes_taken = 0

    def take(self, count: int) -> bool:
        """Reserve `count` bytes; False, and nothing reserved, if they are not left."""
        if self.bytes_taken + count > self.bytes_max:
            return False
        self.bytes_taken += count
        return True

    def give_back(self, count: int) -> None:
        """Return what was taken."""
        assert 0 <= count <= self.bytes_taken
        self.bytes_taken -= count
