"""What waits to be notified to one peer: three byte-capped queues in strict priority, written in batches.

Batching is the biggest lever (14k frames/s singly, 104k/s batched: reference/libp2p.md), and a vote must never wait
behind blocks or transactions that are still here.
"""

from collections import deque
from typing import Final

import trio

from node.network.port import NOTIFICATION_BYTES_MAX, FrameTooLarge, Kind

BATCH_BYTES_MAX = 65_507  # one yamux frame that fills one Noise message
PRIORITIES = 3
QUEUE_BYTES_MAX: Final = (2 << 20, 4 << 20, 4 << 20)
_PRIORITY: Final[dict[int, int]] = {
    Kind.VOTE: 0,
    Kind.NEIGHBOUR: 0,
    Kind.JUSTIFICATION: 0,
    Kind.ANNOUNCE: 1,
}
"""All other kinds, transactions among them, go last."""


def frame(kind: int, data: bytes) -> bytes:
    """A notification on the wire: u32 big-endian length of what follows, kind byte, data."""
    return (len(data) + 1).to_bytes(4, "big") + bytes((kind,)) + data


class Outbox:
    """One writer waits at `next_batch`; `put` never blocks."""

    def __init__(self) -> None:
        self._queues: tuple[deque[bytes], ...] = tuple(deque() for _ in range(PRIORITIES))
        self._bytes = [0] * PRIORITIES
        self._filled = trio.Event()
        self.dropped_total = 0

    def put(self, kind: int, data: bytes) -> bool:
        """Queue a notification. False: dropped, its queue is full. Raises FrameTooLarge, ValueError for a bad kind."""
        if len(data) > NOTIFICATION_BYTES_MAX:
            raise FrameTooLarge("notification", len(data), NOTIFICATION_BYTES_MAX)
        framed = frame(kind, data)
        priority = _PRIORITY.get(kind, PRIORITIES - 1)
        if self._bytes[priority] + len(framed) > QUEUE_BYTES_MAX[priority]:
            self.dropped_total += 1
            return False
        self._queues[priority].append(framed)
        self._bytes[priority] += len(framed)
        self._filled.set()
        return True

    async def next_batch(self) -> bytes:
        """Wait for frames and take as many, highest priority first, as fit BATCH_BYTES_MAX; at least one."""
        await self._filled.wait()
        batch: list[bytes] = []
        size = 0
        for priority, queue in enumerate(self._queues):
            while queue and (not batch or size + len(queue[0]) <= BATCH_BYTES_MAX):
                framed = queue.popleft()
                self._bytes[priority] -= len(framed)
                size += len(framed)
                batch.append(framed)
            if queue:
                return b"".join(batch)
        self._filled = trio.Event()
        return b"".join(batch)
