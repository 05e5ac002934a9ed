"""Time and chance of a run: functions of the job, not of the machine."""

from __future__ import annotations

import hashlib

CLOCK_STEP_NS = 1_000_000
SLEEP_NS_MAX = 1 << 62


class SeededRandom:
    """A stream of bytes that follows from a seed: blake2b(seed ‖ counter), block after block."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._counter = 0
        self._left = b""

    def take(self, length: int) -> bytes:
        """The next `length` bytes."""
        blocks = [self._left]
        have = len(self._left)
        while have < length:
            blocks.append(hashlib.blake2b(self._seed + self._counter.to_bytes(8, "little")).digest())
            self._counter += 1
            have += 64
        joined = b"".join(blocks)
        self._left = joined[length:]
        return joined[:length]


class VirtualClock:
    """Nanoseconds since 1970 that only the guest's own actions advance."""

    def __init__(self, now_ms: int) -> None:
        self.start_ns = now_ms * 1_000_000
        self.now_ns = self.start_ns

    def read_ns(self) -> int:
        """The time, one step later than the last reading."""
        self.now_ns += CLOCK_STEP_NS
        return self.now_ns

    def sleep_ns(self, duration_ns: int) -> None:
        """Pass the time at once."""
        self.now_ns = min(self.now_ns + max(duration_ns, 0), SLEEP_NS_MAX)
