"""The first message on a notification stream: who speaks, on which chain, how far it is.

A msgpack array of fixed length and types, at most STATUS_BYTES_MAX, refused unless it is in its only canonical form:
[genesis hash, protocol version, roles, best number, best hash, finalized number, listen port].
"""

from dataclasses import dataclass

import msgpack

from node.network.port import PROTOCOL_VERSION, ChainStatus, MalformedMessage, Role

STATUS_BYTES_MAX = 256
HEIGHT_MAX = (1 << 32) - 1
HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Handshake:
    """A peer's first message. `listen_port` is 0 for a peer that takes no connections."""

    genesis_hash: bytes
    protocol_version: int
    status: ChainStatus
    listen_port: int


def encode_handshake(genesis_hash: bytes, status: ChainStatus, listen_port: int) -> bytes:
    """Our own handshake as bytes."""
    fields = (
        genesis_hash,
        PROTOCOL_VERSION,
        int(status.roles),
        status.best_number,
        status.best_hash,
        status.finalized_number,
        listen_port,
    )
    return bytes(msgpack.packb(fields, use_bin_type=True))


def decode_handshake(data: bytes) -> Handshake:
    """Read a peer's handshake. Raises MalformedMessage naming the field. The caller judges the genesis."""
    if len(data) > STATUS_BYTES_MAX:
        raise MalformedMessage("handshake", f"{len(data)} bytes, at most {STATUS_BYTES_MAX}")
    try:
        fields = msgpack.unpackb(data, raw=False, use_list=True, strict_map_key=True, max_array_len=7, max_map_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise MalformedMessage("handshake", f"is no msgpack: {type(error).__name__}") from error
    if type(fields) is not list or len(fields) != 7:
        raise MalformedMessage("handshake", "is no array of 7")
    genesis_hash, version, roles, best_number, best_hash, finalized_number, listen_port = fields
    _check_hash("genesis_hash", genesis_hash)
    _check_number("protocol_version", version, 0xFFFF)
    _check_number("roles", roles, 0xFF)
    _check_number("best_number", best_number, HEIGHT_MAX)
    _check_hash("best_hash", best_hash)
    _check_number("finalized_number", finalized_number, best_number)
    _check_number("listen_port", listen_port, 0xFFFF)
    if msgpack.packb(fields, use_bin_type=True) != data:
        raise MalformedMessage("handshake", "is not in canonical form")
    status = ChainStatus(Role(roles), best_number, best_hash, finalized_number)
    return Handshake(genesis_hash, version, status, listen_port)


def _check_hash(field: str, value: object) -> None:
    if type(value) is not bytes or len(value) != HASH_BYTES:
        raise MalformedMessage(field, f"is not {HASH_BYTES} bytes")


def _check_number(field: str, value: object, limit: int) -> None:
    if type(value) is not int or not 0 <= value <= limit:
        raise MalformedMessage(field, f"is no integer in 0..{limit}")
