"""Gossip: what peers say, handed to the part of the node that it concerns.

One task reads the network's events. A handler never waits; what a peer sends wrongly costs it reputation here, so that
handlers just raise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from node.finality.votes_file import VotesFileError
from node.log import logger
from node.network.peer_reputation import MALFORMED_MESSAGE
from node.network.port import ChainStatus, MalformedMessage, Network, Notification, PeerDown, PeerId, PeerUp
from node.store.errors import DatabaseError
from runtime.scale import ScaleError

log = logger("gossip")

NotificationHandler = Callable[[PeerId, bytes], None]


@dataclass(slots=True)
class Gossip:
    """Handlers by kind of notification, and listeners for peers that come and go."""

    network: Network
    handlers: dict[int, NotificationHandler] = field(default_factory=dict)
    on_up: list[Callable[[PeerId, ChainStatus], None]] = field(default_factory=list)
    on_down: list[Callable[[PeerId], None]] = field(default_factory=list)

    async def run(self) -> None:
        """Hand out events for ever."""
        async for event in self.network.events:
            if isinstance(event, PeerUp):
                for up in self.on_up:
                    up(event.peer, event.status)
            elif isinstance(event, PeerDown):
                for down in self.on_down:
                    down(event.peer)
            else:
                self._notify(event)

    def _notify(self, event: Notification) -> None:
        handler = self.handlers.get(event.kind)
        if handler is None:
            return
        try:
            handler(event.peer, event.data)
        except (MalformedMessage, ScaleError) as error:
            log.debug("malformed notification", peer=event.peer, kind=event.kind, reason=str(error))
            self.network.report(event.peer, MALFORMED_MESSAGE.delta, f"{MALFORMED_MESSAGE.reason}: {error}")
        except (DatabaseError, VotesFileError, OSError):
            raise  # our own disk: the node stops
        except Exception:  # the supervisor of one notification: a peer's message must not end the node
            log.exception("a notification could not be handled", peer=event.peer, kind=event.kind)
