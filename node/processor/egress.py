"""The egress guard: every request that a job or a webhook makes leaves through here.

    DestinationRefused   the address, a redirect's target or the scheme is not allowed (runtimes/spec.py)
    FetchFailed          no answer: name, connection, time, size (runtimes/spec.py)

Rules (reliability.md, server-side request forgery): a name is resolved once, every address it has is checked, and the
connection goes to a checked address, so that a second answer of the name server cannot change it. Only public unicast
addresses pass; private, loopback, link-local (with the clouds' metadata services), shared, documentation, benchmark,
multicast and reserved ones do not, nor forms of IPv6 that carry an IPv4 address, save NAT64 around a public one. The
operator may allow exact `host:port` pairs. Each redirect is a new destination and is checked again. Proxies of the
environment are ignored. Replies are neither decompressed nor decoded. Time and size are capped.

httpcore is used directly, the part of httpx that does HTTP: its pool takes a network backend as a public argument, and
it does not decompress, so a small reply stays small.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urljoin

import httpcore
import trio

from node.processor.runtimes.grants import DEFAULT_PORTS, RequestInvalid, destination, granted, split_host_port
from node.processor.runtimes.spec import (
    FETCH_REPLY_BYTES_MAX,
    DestinationRefused,
    FetchFailed,
    FetchReply,
    FetchRequest,
)

TIMEOUT_MS = 15_000
REDIRECTS_MAX = 5
ADDRESSES_MAX = 16
REPLY_HEADERS_MAX = 64
REPLY_HEAD_BYTES_MAX = 32 * 1024
ALLOWED_PAIRS_MAX = 64
REDIRECT_STATUSES = frozenset((301, 302, 303, 307, 308))
USER_AGENT = b"heddle-processor"
# Not passed on to another host by a redirect.
CREDENTIAL_HEADERS = frozenset(("authorization", "cookie"))

# https://www.iana.org/assignments/iana-ipv4-special-registry: what is not reachable from everywhere, or not one host.
_REFUSED_V4 = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
# Of IPv6 only global unicast passes, without its special parts: protocol assignments (with Teredo, ORCHID and
# benchmarking), documentation, 6to4.
_GLOBAL_V6 = ip_network("2000::/3")
_REFUSED_V6 = tuple(ip_network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_NAT64 = ip_network("64:ff9b::/96")

Resolve = Callable[[str, int], Awaitable[list[str]]]


def address_refused(text: str) -> bool:
    """Whether `text`, an address, is none that a job may reach. What is no address at all is refused too."""
    try:
        address = ip_address(text)
    except ValueError:
        return True
    if isinstance(address, IPv4Address):
        return any(address in network for network in _REFUSED_V4)
    return _v6_refused(address)


def _v6_refused(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return True
    if address in _NAT64:
        return address_refused(str(IPv4Address(int(address) & 0xFFFFFFFF)))
    return address not in _GLOBAL_V6 or any(address in network for network in _REFUSED_V6)


async def resolve_name(host: str, port: int) -> list[str]:
    """The addresses of `host`, each once, in the system's order; FetchFailed if it has none."""
    try:
        rows = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchFailed(f"cannot resolve {host}") from error
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """httpcore's way to the network, with the check between resolving and connecting."""

    def __init__(self, pairs: frozenset[tuple[str, int]], resolve: Resolve) -> None:
        self._pairs = pairs
        self._resolve = resolve
        self._plain = httpcore.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        name = host.lower().rstrip(".")
        addresses = await self._resolve(name, port)
        if len(addresses) > ADDRESSES_MAX:
            raise FetchFailed(f"{host} has more than {ADDRESSES_MAX} addresses")
        if (name, port) not in self._pairs:
            for address in addresses:
                if address_refused(address):
                    raise DestinationRefused(f"{host}:{port} is {address}, which is not a public address")
        failure: Exception = FetchFailed(f"{host} has no address")
        for address in addresses:
            try:
                return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise DestinationRefused("unix sockets are not a destination")

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class EgressLimits:
    """Caps of one request, redirects included."""

    timeout_ms: int = TIMEOUT_MS
    reply_bytes_max: int = FETCH_REPLY_BYTES_MAX


def parse_pair(text: str) -> tuple[str, int]:
    """The operator's `host:port`; ValueError without a port."""
    host, port = split_host_port(text)
    if not host or port is None:
        raise ValueError(f"{text!r} is not host:port")
    return host, port


class EgressGuard:
    """Makes requests under the rules above. `allowed` are the operator's pairs, `resolve` the name service."""

    def __init__(
        self,
        allowed: Iterable[str] = (),
        resolve: Resolve = resolve_name,
        limits: EgressLimits | None = None,
    ) -> None:
        pairs = frozenset(parse_pair(text) for text in allowed)
        if len(pairs) > ALLOWED_PAIRS_MAX:
            raise ValueError(f"{len(pairs)} allowed destinations, the most is {ALLOWED_PAIRS_MAX}")
        self.limits = limits if limits is not None else EgressLimits()
        self._backend = _GuardedBackend(pairs, resolve)
        self._ssl: ssl.SSLContext | None = None

    async def fetch(self, request: FetchRequest) -> FetchReply:
        """A job's request: redirects are followed while each target is granted and passes the guard."""
        try:
            with trio.fail_after(self.limits.timeout_ms / 1000):
                for _ in range(REDIRECTS_MAX + 1):
                    if not granted(request.hosts, request.url):
                        raise DestinationRefused(f"host not granted: {request.url}")
                    reply = await self._exchange(request, self.limits.reply_bytes_max)
                    location = dict(reply.headers).get("location")
                    if reply.status not in REDIRECT_STATUSES or location is None:
                        return reply
                    request = _redirected(request, reply.status, location)
        except RequestInvalid as error:
            raise FetchFailed(f"redirect: {error}") from error
        except trio.TooSlowError as error:
            raise FetchFailed(f"no whole reply within {self.limits.timeout_ms} ms") from error
        raise FetchFailed(f"more than {REDIRECTS_MAX} redirects")

    async def send(self, request: FetchRequest, reply_bytes_max: int) -> FetchReply:
        """One request, no redirects followed; `hosts` is not looked at. For the node's own destinations."""
        try:
            with trio.fail_after(self.limits.timeout_ms / 1000):
                return await self._exchange(request, reply_bytes_max)
        except RequestInvalid as error:
            raise FetchFailed(str(error)) from error
        except trio.TooSlowError as error:
            raise FetchFailed(f"no whole reply within {self.limits.timeout_ms} ms") from error

    async def _exchange(self, request: FetchRequest, reply_bytes_max: int) -> FetchReply:
        """One request and its whole reply, on a connection of its own."""
        scheme, host, port = destination(request.url)
        if scheme == "https" and self._ssl is None:
            self._ssl = httpcore.default_ssl_context()
        shown = f"[{host}]" if ":" in host else host
        authority = shown if port == DEFAULT_PORTS[scheme] else f"{shown}:{port}"
        headers = [(b"host", authority.encode("idna" if not authority.isascii() else "ascii"))]
        headers += [(b"user-agent", USER_AGENT), (b"accept-encoding", b"identity"), (b"connection", b"close")]
        own = {name.encode() for name, _ in request.headers}
        headers = [pair for pair in headers if pair[0] not in own]
        headers += [(name.encode(), value.encode()) for name, value in request.headers]
        try:
            async with (
                httpcore.AsyncConnectionPool(
                    ssl_context=self._ssl, max_connections=1, network_backend=self._backend
                ) as pool,
                pool.stream(request.method, request.url, headers=headers, content=request.body) as response,
            ):
                return await _read(response, reply_bytes_max)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, ssl.SSLError) as error:
            raise FetchFailed(f"{type(error).__name__}: {error}"[:200]) from error
        except (ValueError, UnicodeError, httpcore.UnsupportedProtocol) as error:
            raise FetchFailed(f"url: {error}"[:200]) from error


async def _read(response: httpcore.Response, reply_bytes_max: int) -> FetchReply:
    head_bytes = sum(len(name) + len(value) for name, value in response.headers)
    if len(response.headers) > REPLY_HEADERS_MAX or head_bytes > REPLY_HEAD_BYTES_MAX:
        raise FetchFailed(f"more than {REPLY_HEADERS_MAX} headers or {REPLY_HEAD_BYTES_MAX} bytes of them")
    body = bytearray()
    # A loop that is left early would leave httpcore's generators to the garbage collector; so where the reply is too
    # long the connection is closed under it and it runs out by itself.
    try:
        async for part in response.aiter_stream():
            if len(body) <= reply_bytes_max:
                body += part
                if len(body) > reply_bytes_max:
                    await response.extensions["network_stream"].aclose()
    except (httpcore.NetworkError, httpcore.ProtocolError):
        if len(body) <= reply_bytes_max:
            raise
    if len(body) > reply_bytes_max:
        raise FetchFailed(f"reply is longer than {reply_bytes_max} bytes")
    headers = sorted((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers)
    return FetchReply(response.status, tuple(headers), bytes(body))


def _redirected(request: FetchRequest, status: int, location: str) -> FetchRequest:
    """The request that a redirect asks for; RequestInvalid for a target that is no http(s) URL."""
    url = urljoin(request.url, location)
    old_scheme, *old_host = destination(request.url)
    scheme, *host = destination(url)
    if (old_scheme, scheme) == ("https", "http"):
        raise DestinationRefused("redirect from https to http")
    headers = request.headers
    if host != old_host:
        headers = tuple(pair for pair in headers if pair[0] not in CREDENTIAL_HEADERS)
    if status == 303 or (status in (301, 302) and request.method == "POST"):
        headers = tuple(pair for pair in headers if pair[0] != "content-type")
        return replace(request, method="GET", url=url, headers=headers, body=b"")
    return replace(request, url=url, headers=headers)
