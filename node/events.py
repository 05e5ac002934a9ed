"""What happens to the chain, told to every part of the node that wants to know."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from node.store.records import Head
from runtime.types import Header

BUFFER_MAX = 1024
"""Events that a slow listener may leave unread before it is cut off; it then sees the end of its channel."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A block was stored. With `is_best`, `enacted` (ascending) joined the best chain and `retracted` left it."""

    head: Head
    header: Header
    is_best: bool
    own: bool
    enacted: tuple[Head, ...] = ()
    retracted: tuple[Head, ...] = ()


@dataclass(frozen=True, slots=True)
class Finalised:
    """Blocks became final, ascending; `pruned` are gone for ever.

    If the best block was on a pruned fork, the best chain has changed: `enacted` and `retracted` are as in Imported.
    """

    heads: tuple[Head, ...]
    pruned: tuple[Head, ...]
    best: Head
    enacted: tuple[Head, ...] = ()
    retracted: tuple[Head, ...] = ()


ChainEvent = Imported | Finalised


@dataclass(slots=True)
class EventHub:
    """Hands each event to all listeners, without waiting for any."""

    _listeners: dict[int, trio.MemorySendChannel[ChainEvent]] = field(default_factory=dict)
    _next: int = 0

    def listen(self) -> trio.MemoryReceiveChannel[ChainEvent]:
        """A channel of all events from now on. It ends if BUFFER_MAX events lie unread; close it when done."""
        send, receive = trio.open_memory_channel[ChainEvent](BUFFER_MAX)
        self._listeners[self._next] = send
        self._next += 1
        return receive

    def publish(self, event: ChainEvent) -> None:
        """Give `event` to every listener that still listens and keeps up."""
        for key, channel in list(self._listeners.items()):
            try:
                channel.send_nowait(event)
            except (trio.WouldBlock, trio.BrokenResourceError):
                channel.close()
                del self._listeners[key]
