"""The message by which peers tell each other of peers: a msgpack array of [peer id, IP literal, port], at most 32."""

import msgpack

from node.network.addresses import PeerAddress, is_ip, parse_peer_id, scope
from node.network.port import InvalidAddress, MalformedMessage

PROTOCOL = "peers/1"
PEERS_MAX = 32
PEERS_BYTES_MAX = 8 << 10
HOST_CHARACTERS_MAX = 45


def encode_peers(addresses: list[PeerAddress]) -> bytes:
    """An answer that tells of at most PEERS_MAX peers."""
    rows = [[address.peer, address.host, address.port] for address in addresses[:PEERS_MAX]]
    return bytes(msgpack.packb(rows, use_bin_type=True))


def decode_peers(data: bytes, teller_host: str) -> list[PeerAddress]:
    """Read an answer. Raises MalformedMessage. Addresses that reach nearer than the teller's own are left out."""
    if len(data) > PEERS_BYTES_MAX:
        raise MalformedMessage("peers", f"{len(data)} bytes, at most {PEERS_BYTES_MAX}")
    try:
        rows = msgpack.unpackb(data, raw=False, max_array_len=PEERS_MAX, max_map_len=0, max_str_len=64)
    except (ValueError, msgpack.UnpackException) as error:
        raise MalformedMessage("peers", f"is no msgpack: {type(error).__name__}") from error
    if type(rows) is not list:
        raise MalformedMessage("peers", "is no array")
    addresses = [_decode_row(row) for row in rows]
    nearest = scope(teller_host)
    return [address for address in addresses if scope(address.host) >= nearest]


def _decode_row(row: object) -> PeerAddress:
    if type(row) is not list or len(row) != 3:
        raise MalformedMessage("peers[]", "is no array of 3")
    peer, host, port = row
    if type(peer) is not str:
        raise MalformedMessage("peers[].id", "is no text")
    if type(host) is not str or len(host) > HOST_CHARACTERS_MAX or not is_ip(host):
        raise MalformedMessage("peers[].host", "is no IP address")
    if type(port) is not int or not 1 <= port <= 0xFFFF:
        raise MalformedMessage("peers[].port", "is not in 1..65535")
    try:
        return PeerAddress(parse_peer_id(peer), host, port)
    except InvalidAddress as error:
        raise MalformedMessage("peers[].id", "is no peer id") from error
