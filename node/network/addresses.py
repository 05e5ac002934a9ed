"""Addresses of peers as text: /ip4/127.0.0.1/tcp/30333/p2p/12D3…, parsed by a total function."""

import ipaddress
import re
from dataclasses import dataclass

from node.network.port import InvalidAddress, PeerId

ADDRESS_CHARACTERS_MAX = 400
_PEER_ID = re.compile(r"[1-9A-HJ-NP-Za-km-z]{40,64}")
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_-]{1,63})*\.?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer listens. `host` is an IPv4 or IPv6 literal or, of an operator's boot nodes only, a name."""

    peer: PeerId
    host: str
    port: int

    def __str__(self) -> str:
        return format_address(self.host, self.port, self.peer)


def format_address(host: str, port: int, peer: PeerId) -> str:
    """The multiaddr of a peer at `host` and `port`."""
    try:
        family = f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        family = "dns"
    return f"/{family}/{host}/tcp/{port}/p2p/{peer}"


def parse_address(text: str) -> PeerAddress:
    """Read /FAMILY/HOST/tcp/PORT/p2p/ID. Raises InvalidAddress that names the wrong part."""
    parts = text.split("/") if len(text) <= ADDRESS_CHARACTERS_MAX else []
    if len(parts) != 7 or parts[0] or parts[3] != "tcp" or parts[5] not in {"p2p", "ipfs"}:
        raise InvalidAddress(f"{text[:ADDRESS_CHARACTERS_MAX]!r}: expected /ip4|ip6|dns/HOST/tcp/PORT/p2p/ID")
    family, host, port, peer = parts[1], parts[2], parts[4], parts[6]
    if family in {"ip4", "ip6"}:
        if not is_ip(host) or f"ip{ipaddress.ip_address(host).version}" != family:
            raise InvalidAddress(f"{host!r} is no {family} address")
    elif family not in {"dns", "dns4", "dns6"} or not _HOST_NAME.fullmatch(host):
        raise InvalidAddress(f"/{family}/{host} is neither an IP address nor a host name")
    if not _PORT.fullmatch(port) or int(port) > 0xFFFF:
        raise InvalidAddress(f"port {port!r} is not in 1..65535")
    return PeerAddress(parse_peer_id(peer), host, int(port))


def parse_peer_id(text: str) -> PeerId:
    """Check that `text` has the form of a peer id in base58. Raises InvalidAddress."""
    if not _PEER_ID.fullmatch(text):
        raise InvalidAddress(f"{text[:80]!r} is no peer id")
    return PeerId(text)


def is_ip(host: str) -> bool:
    """Whether `host` is an IP literal without a scope."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def scope(host: str) -> int:
    """How far an IP literal reaches: 0 nowhere, 1 this machine, 2 a private network, 3 the internet.

    A peer may only tell us of addresses that reach no nearer than its own does: a stranger from the internet cannot
    make us knock at our own loopback or private ports.
    """
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_unspecified or address.is_multicast:
        return 0
    if address.is_loopback:
        return 1
    return 2 if not address.is_global else 3
