"""Hosts: which Host and Origin headers are let in.

A page in the operator's own browser can send requests to 127.0.0.1. Two checks stop it: `Origin` must be one that the
operator allows (a page says truly where it comes from), and on a loopback listener `Host` must be a loopback name, so
that a foreign name which suddenly resolves to 127.0.0.1 (DNS rebinding) is refused.
"""

import ipaddress
import re
from collections.abc import Sequence
from fnmatch import translate

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
LOCAL_ORIGINS = (
    "http://localhost:*",
    "http://127.0.0.1:*",
    "https://localhost:*",
    "https://127.0.0.1:*",
    "https://polkadot.js.org",
)
"""Substrate's default for --rpc-cors."""
ALL = "all"


class HostRules:
    """`origins` are patterns with `*`, or "all"; `hosts` are further names, without a port, or "all"."""

    def __init__(self, *, external: bool, origins: Sequence[str] = LOCAL_ORIGINS, hosts: Sequence[str] = ()) -> None:
        self.any_host = ALL in hosts or (external and not hosts)
        self.hosts = LOOPBACK_NAMES | {host.lower() for host in hosts}
        self.any_origin = ALL in origins
        self.origins = [re.compile(translate(origin.lower())) for origin in origins]

    def host_allowed(self, header: str | None) -> bool:
        """Whether a request with this Host header is let in. HTTP/1.1 demands one."""
        if self.any_host:
            return True
        return header is not None and _host_name(header) in self.hosts

    def origin_allowed(self, header: str | None) -> bool:
        """Whether a page of this origin may ask. What is no browser sends no Origin and is let in."""
        if header is None or self.any_origin:
            return True
        origin = header.lower()
        with_port = origin if re.search(r":\d+$", origin) else origin + ":"
        return any(pattern.match(origin) or pattern.match(with_port) for pattern in self.origins)


def is_loopback(host: str) -> bool:
    """Whether listening on `host` reaches this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_name(header: str) -> str:
    """The name in a Host header, without its port: "[::1]:9944" -> "::1"."""
    host = header.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return name if name and port.isascii() and port.isdigit() else host
