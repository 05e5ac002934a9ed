"""Which destinations a granted list covers, and how a script's HTTP message is read.

The message form is plain text so that a C program can write it: `METHOD url`, header lines `name: value`, an empty
line, the body. A reply has the status number in place of the first line.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from node.processor.runtimes.spec import FetchReply, FetchRequest

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
HEADERS_MAX = 32
HEAD_BYTES_MAX = 16 * 1024
URL_BYTES_MAX = 2_048
DEFAULT_PORTS = {"http": 80, "https": 443}
# Set by the transport alone: a script that chose them could reach another host or desynchronise a proxy.
HEADERS_REFUSED = frozenset(
    {"connection", "content-length", "host", "keep-alive", "proxy-authorization"}
    | {"te", "trailer", "transfer-encoding", "upgrade"},
)
HOST_LABEL_MAX = 63
_HOST_CHARACTERS = frozenset("-_0123456789abcdefghijklmnopqrstuvwxyz")
_TOKEN_CHARACTERS = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


class RequestInvalid(ValueError):
    """The script's request is malformed; it gets this text as an error and may go on."""


def destination(url: str) -> tuple[str, str, int]:
    """(scheme, host in lower case, port) of an absolute http(s) URL without user information; RequestInvalid else."""
    if len(url.encode()) > URL_BYTES_MAX:
        raise RequestInvalid(f"url is longer than {URL_BYTES_MAX} bytes")
    if any(ord(character) <= 0x20 or ord(character) == 0x7F or character == "\\" for character in url):
        raise RequestInvalid("url has a space, a backslash or a control character")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise RequestInvalid(f"url: {error}") from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise RequestInvalid("url is not http or https with a host")
    if parts.username is not None or parts.password is not None:
        raise RequestInvalid("url has user information")
    return parts.scheme, parts.hostname.lower().rstrip("."), port if port is not None else DEFAULT_PORTS[parts.scheme]


def split_host_port(text: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[v6]` or `[v6]:port`; ValueError for a bad port."""
    text = text.strip().lower()
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    if not port:
        return host, None
    number = int(port)
    if not 1 <= number <= 65_535:
        raise ValueError(f"port {number} is out of 1..65535")
    return host, number


def is_grant(entry: str) -> bool:
    """Whether an entry of a granted list can cover anything: `host`, `host:port`, `*.domain`, an address."""
    try:
        host, _ = split_host_port(entry)
    except ValueError:
        return False
    name = host.removeprefix("*.")
    if ":" in name or "[" in entry:
        return _is_address(name)
    labels = name.split(".")
    return all(0 < len(label) <= HOST_LABEL_MAX and set(label) <= _HOST_CHARACTERS for label in labels)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def granted(hosts: tuple[str, ...], url: str) -> bool:
    """Whether an entry covers `url`: `host` on ports 80 and 443, `host:port`, `*.domain` for the names below it."""
    _, host, port = destination(url)
    for entry in hosts:
        try:
            name, entry_port = split_host_port(entry)
        except ValueError:
            continue
        port_fits = port == entry_port if entry_port is not None else port in DEFAULT_PORTS.values()
        name_fits = host.endswith(name[1:]) if name.startswith("*.") else host == name
        if port_fits and name_fits:
            return True
    return False


def parse_request(message: bytes, hosts: tuple[str, ...]) -> FetchRequest:
    """The request in a script's message; RequestInvalid names what is wrong."""
    head, _, body = message.partition(b"\n\n")
    if len(head) > HEAD_BYTES_MAX:
        raise RequestInvalid(f"request head is longer than {HEAD_BYTES_MAX} bytes")
    try:
        lines = head.decode().split("\n")
    except UnicodeDecodeError as error:
        raise RequestInvalid("request head is not UTF-8") from error
    method, _, url = lines[0].partition(" ")
    if method not in METHODS:
        raise RequestInvalid(f"method is not one of {' '.join(METHODS)}")
    destination(url)
    fields = [line for line in lines[1:] if line]
    if len(fields) > HEADERS_MAX:
        raise RequestInvalid(f"more than {HEADERS_MAX} headers")
    return FetchRequest(method, url, tuple(_header(line) for line in fields), body, hosts)


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    name, value = name.strip().lower(), value.strip()
    if not colon or not name or not set(name) <= _TOKEN_CHARACTERS:
        raise RequestInvalid("header is not `name: value`")
    if name in HEADERS_REFUSED:
        raise RequestInvalid(f"header {name} is set by the transport alone")
    if any(ord(character) < 0x20 or ord(character) > 0x7E for character in value):
        raise RequestInvalid(f"header {name} has a character that is not printable ASCII")
    return name, value


def format_reply(reply: FetchReply) -> bytes:
    """The message that a script gets."""
    lines = [str(reply.status), *(f"{name}: {value}" for name, value in reply.headers)]
    return "\n".join(lines).encode() + b"\n\n" + reply.body
