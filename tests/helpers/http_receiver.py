"""A real HTTP server on 127.0.0.1 whose replies a test decides, and which remembers its requests."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What the server answers. `length` false leaves Content-Length out and ends by closing."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: bool = True


@dataclass
class Receiver:
    """The running server: its port, what it has seen, and a gate that `Reply`s of a test may wait at."""

    port: int
    seen: list[Seen]

    @property
    def pair(self) -> str:
        """host:port, as an operator allows it."""
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/") -> str:
        """The URL of `path` here."""
        return f"http://{self.pair}{path}"


@contextmanager
def receiver(answer: Callable[[Seen, int], Reply]) -> Iterator[Receiver]:
    """Serve `answer(request, how many before it)` on a port of the system's choice."""
    seen: list[Seen] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Seen(self.command, self.path, headers, self.rfile.read(length))
            seen.append(request)
            reply = answer(request, len(seen) - 1)
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.length:
                    self.send_header("Content-Length", str(len(reply.body)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(reply.body)
            except OSError:
                pass  # the client had enough
            self.close_connection = True

        do_GET = do_POST = do_PUT = do_HEAD = _serve  # noqa: N815 - the standard library's names

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Receiver(server.server_address[1], seen)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
