"""The Network port: what a node may ask of its peers, whatever carries the bytes.

Two implementations exist: `node.network.libp2p_network` (the real one) and the simulator's. Errors:

    NetworkError
    ├── RequestFailed      a request got no answer; `failure` says why
    ├── RequestRefused     raised *by a handler* to answer with a refusal instead of data
    ├── FrameTooLarge      the caller's own message is above its limit: a mistake of the caller
    ├── MalformedMessage   what a peer sent does not decode; names the field
    └── InvalidAddress     text that is not /ip4|ip6|dns/…/tcp/PORT/p2p/ID

Rules: reference/libp2p.md, "Network layer that follows".
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag, StrEnum, unique
from typing import NewType, Protocol

import trio

PeerId = NewType("PeerId", str)
"""A peer's name: the base58 text of the multihash of its public key, proven by the handshake."""

PROTOCOL_VERSION = 1
NOTIFICATION_BYTES_MAX = 1 << 20
REQUEST_BYTES_MAX = 64 << 10
RESPONSE_BYTES_MAX = 16 << 20
REQUEST_TIMEOUT_MS = 10_000
EVENTS_QUEUE_MAX = 1024


@unique
class Kind(IntEnum):
    """What a notification carries; one byte on the wire. A peer may send kinds we do not know: ignore those."""

    VOTE = 1
    ANNOUNCE = 2
    TRANSACTIONS = 3
    NEIGHBOUR = 4
    JUSTIFICATION = 5
    MATCHES = 6


class Role(IntFlag):
    """What a peer says it does. A hint for choosing peers, never a permission."""

    FULL = 1
    AUTHORITY = 2
    PROCESSOR = 4


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """What a node tells a new peer about its chain. Numbers are heights, `best_hash` is 32 bytes."""

    roles: Role
    best_number: int
    best_hash: bytes
    finalized_number: int


@dataclass(frozen=True, slots=True)
class PeerUp:
    """A peer shook hands on our genesis: it can be notified and asked from now on."""

    peer: PeerId
    status: ChainStatus
    outbound: bool = False


@dataclass(frozen=True, slots=True)
class PeerDown:
    """A peer of which `PeerUp` was reported is gone."""

    peer: PeerId
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Notification:
    """A message of a peer that wants no answer. `kind` is 0..255, mostly a `Kind`; data is at most 1 MiB."""

    peer: PeerId
    kind: int
    data: bytes


NetworkEvent = PeerUp | PeerDown | Notification
RequestHandler = Callable[[PeerId, bytes], Awaitable[bytes]]


@unique
class RequestFailure(StrEnum):
    """Why a request has no answer."""

    NOT_CONNECTED = "not connected"
    TIMED_OUT = "timed out"
    UNSUPPORTED = "protocol not supported"
    REFUSED = "refused"
    BUSY = "busy"
    FAILED = "the peer's handler failed"
    TOO_LARGE = "too large"
    BROKEN = "connection broken"


class NetworkError(Exception):
    """Base of everything the network raises on purpose."""


class RequestFailed(NetworkError):
    """A request to `peer` under `protocol` got no answer, because of `failure`."""

    def __init__(self, peer: PeerId, protocol: str, failure: RequestFailure, detail: str = "") -> None:
        self.peer, self.protocol, self.failure, self.detail = peer, protocol, failure, detail
        super().__init__(f"{protocol} to {peer}: {failure}{': ' + detail if detail else ''}")


class RequestRefused(NetworkError):
    """Raised by a request handler: the peer gets `reason` (at most 256 bytes of it) as a refusal."""


class FrameTooLarge(NetworkError):
    """A message of `size` bytes is above `limit`."""

    def __init__(self, what: str, size: int, limit: int) -> None:
        self.what, self.size, self.limit = what, size, limit
        super().__init__(f"{what} of {size} bytes is above its limit of {limit}")


class MalformedMessage(NetworkError):
    """A peer's message breaks its format; `field` names the first thing that is wrong."""

    def __init__(self, field: str, problem: str) -> None:
        self.field, self.problem = field, problem
        super().__init__(f"{field}: {problem}")


class InvalidAddress(NetworkError):
    """Text that is not a peer's address."""


class Network(Protocol):
    """A node's way to its peers. Methods that are not async never block."""

    @property
    def local_id(self) -> PeerId:
        """Our own name."""

    @property
    def events(self) -> trio.MemoryReceiveChannel[NetworkEvent]:
        """Peers coming, going and notifying, in order per peer. Who does not read it slows its peers down."""

    def peers(self) -> list[PeerId]:
        """The peers that are up, in the order in which they came."""

    def notify(self, peer: PeerId, kind: int, data: bytes) -> bool:
        """Queue a notification. False: dropped, as the peer is not up or its queue is full.

        Raises FrameTooLarge above NOTIFICATION_BYTES_MAX.
        """

    def serve(self, protocol: str, handler: RequestHandler) -> None:
        """Answer requests under `protocol` (like "blocks/1") by `handler`, which may raise RequestRefused."""

    async def request(self, peer: PeerId, protocol: str, data: bytes, timeout_ms: int = REQUEST_TIMEOUT_MS) -> bytes:
        """Ask a peer. Request at most 64 KiB, answer at most 16 MiB. Raises RequestFailed."""

    def ban(self, peer: PeerId, seconds: float) -> None:
        """Disconnect a peer and refuse it for a time."""

    def report(self, peer: PeerId, delta: int, reason: str) -> None:
        """Change a peer's reputation, see `peer_reputation`; at the threshold it is banned."""

    def update_status(self, status: ChainStatus) -> None:
        """What handshakes tell about our chain from now on."""
