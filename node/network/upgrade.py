"""From a TCP connection to an authenticated, multiplexed one: multistream, Noise, multistream, yamux.

Nothing else is offered: no plaintext, no SECIO, no mplex. Each negotiation reads through a guard, as stock
multistream lets a peer announce a message of any length.
"""

from dataclasses import dataclass
from typing import Protocol

from libp2p.abc import ISecureConn
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import MessageTooLarge
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectError
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX

from node.network.muxer import BoundedYamux
from node.network.port import PeerId
from node.network.tcp_stream import TcpStream

MESSAGE_BYTES_MAX = 256
NEGOTIATION_BYTES_MAX = 1024
NEGOTIATION_LIMIT_S = 10


class _Readable(Protocol):
    async def read(self, n: int | None = ...) -> bytes: ...
    async def write(self, data: bytes) -> None: ...


class _Guard(ReadWriteCloser):
    """Lets a negotiation read messages of 256 bytes and 1 KiB in all."""

    def __init__(self, stream: _Readable) -> None:
        self._stream = stream
        self._left = NEGOTIATION_BYTES_MAX

    async def read(self, n: int | None = None) -> bytes:
        if n is None or n > MESSAGE_BYTES_MAX or n > self._left:
            raise MessageTooLarge(f"multistream: {n} bytes, at most {MESSAGE_BYTES_MAX}, {self._left} left")
        data = await self._stream.read(n)
        self._left -= max(1, len(data))  # an end of stream counts too, so that no loop over it can last
        return data

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)

    async def close(self) -> None:
        raise MultiselectError("a negotiation does not own its stream")

    def get_remote_address(self) -> tuple[str, int] | None:
        return None


async def propose(stream: _Readable, protocol: str) -> None:
    """As the initiator, ask for `protocol`. Raises ProtocolNotSupportedError, MultiselectClientError."""
    client, guarded = MultiselectClient(), MultiselectCommunicator(_Guard(stream))
    await client.handshake(guarded)
    await client.try_select(guarded, TProtocol(protocol))


async def accept(stream: _Readable, offered: Multiselect) -> str:
    """As the responder, find out which of the offered protocols is wanted. Raises MultiselectError and more."""
    protocol, _ = await offered.negotiate(MultiselectCommunicator(_Guard(stream)), NEGOTIATION_LIMIT_S)
    if protocol is None:
        raise MultiselectError("no protocol selected")
    return str(protocol)


@dataclass(frozen=True, slots=True)
class Identity:
    """Our key pair and what Noise needs of it."""

    noise: Noise
    peer: PeerId

    @classmethod
    def from_seed(cls, seed: bytes) -> "Identity":
        """The identity of an ed25519 seed of 32 bytes: the same peer id each time."""
        keys = create_new_key_pair(seed)
        noise = Noise(keys, noise_privkey=create_noise_key_pair().private_key)
        return cls(noise, PeerId(ID.from_pubkey(keys.public_key).to_base58()))


async def secure(tcp: TcpStream, identity: Identity, expected: PeerId | None) -> ISecureConn:
    """Encrypt and authenticate; the initiator names whom it expects. Raises much: call it under a supervisor."""
    if expected is not None:
        await propose(tcp, NOISE)
        return await identity.noise.secure_outbound(tcp, ID.from_base58(expected))
    await accept(tcp, _only(NOISE))
    return await identity.noise.secure_inbound(tcp)


async def upgrade(
    tcp: TcpStream, identity: Identity, expected: PeerId | None, *, ping_interval_s: float, silence_limit_s: float
) -> tuple[BoundedYamux, PeerId]:
    """The multiplexer, not yet started, and who is at its other end. The caller sets the time limit and closes."""
    session = await secure(tcp, identity, expected)
    if expected is not None:
        await propose(session, YAMUX)
    else:
        await accept(session, _only(YAMUX))
    remote = session.get_remote_peer()
    muxer = BoundedYamux(session, remote, tcp, ping_interval_s=ping_interval_s, silence_limit_s=silence_limit_s)
    return muxer, PeerId(remote.to_base58())


def _only(protocol: str) -> Multiselect:
    return Multiselect({TProtocol(protocol): None})
