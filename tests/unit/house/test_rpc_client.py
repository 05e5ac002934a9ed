"""The JSON-RPC client against a real HTTP server that gives prepared answers."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from cli.errors import CliError, Refused, Unreachable
from cli.network_plan import free_ports
from cli.rpc_client import RpcClient, RpcError, checked_url


class Answers(BaseHTTPRequestHandler):
    """Answers `echo` with its parameters, `fail` with an error, `junk` with HTML, `empty` with no result."""

    protocol_version = "HTTP/1.1"
    connections: ClassVar[set[tuple[str, int]]] = set()

    def do_POST(self) -> None:
        """One request or a batch of them."""
        self.connections.add(self.client_address)
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if isinstance(body, list):
            content = json.dumps([self.answer(one) for one in reversed(body)]).encode()
        elif body["method"] == "junk":
            content = b"<html>not a node</html>"
        else:
            content = json.dumps(self.answer(body)).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @staticmethod
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request."""
        head = {"jsonrpc": "2.0", "id": request["id"]}
        if request["method"] == "fail":
            return head | {"error": {"code": 1010, "message": "Invalid Transaction", "data": "BadSignature"}}
        return head if request["method"] == "empty" else head | {"result": request["params"]}

    def log_message(self, *_arguments: object) -> None:
        """No access log."""


@contextmanager
def serving() -> Iterator[str]:
    """The address of a running server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        # Handler threads end with their connection, which the client keeps: do not wait for them.
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_call_returns_its_result_on_one_connection() -> None:
    """Results come back, and the connection is kept for the next call."""
    Answers.connections.clear()
    with serving() as url, RpcClient(url) as client:
        assert [client.call("echo", number, "a") for number in range(5)] == [[number, "a"] for number in range(5)]
    assert len(Answers.connections) == 1


def test_a_batch_keeps_its_order() -> None:
    """Answers that arrive in another order are given back in the order of the calls."""
    with serving() as url, RpcClient(url) as client:
        assert client.batch([("echo", [1]), ("echo", [2]), ("echo", [3])]) == [[1], [2], [3]]
        assert client.batch([]) == []


def test_the_node_s_error_is_typed() -> None:
    """An error answer carries code and data, says the reason, and has a next step."""
    with serving() as url, RpcClient(url) as client, pytest.raises(RpcError) as caught:
        client.call("fail")
    assert (caught.value.code, caught.value.data) == (1010, "BadSignature")
    assert "BadSignature" in caught.value.message
    assert caught.value.hint
    with serving() as url, RpcClient(url) as client, pytest.raises(RpcError):
        client.batch([("echo", [1]), ("fail", [])])


@pytest.mark.parametrize("method", ["junk", "empty"])
def test_an_address_that_is_no_node_s_is_told(method: str) -> None:
    """HTML, or an answer without a result, is an error that asks whether the address is right."""
    with serving() as url, RpcClient(url) as client, pytest.raises(CliError, match=r"JSON|result"):
        client.call(method)


def test_no_node_is_unreachable() -> None:
    """A port that nobody listens on is exit code 3, for calls and for subscriptions."""
    (port,) = free_ports(1)
    with RpcClient(f"127.0.0.1:{port}") as client:
        with pytest.raises(Unreachable):
            client.call("system_health")
        with pytest.raises(Unreachable), client.subscribe("chain_subscribeNewHeads"):
            pass


def test_a_plain_http_server_refuses_a_subscription_as_unreachable() -> None:
    """A server that does not speak WebSocket ends as an error, not as a traceback."""
    with serving() as url, RpcClient(url) as client, pytest.raises(CliError), client.subscribe("x"):
        pass


@pytest.mark.parametrize(
    ("written", "http", "socket"),
    [
        ("127.0.0.1:9944", "http://127.0.0.1:9944/", "ws://127.0.0.1:9944/"),
        ("ws://localhost:1", "http://localhost:1/", "ws://localhost:1/"),
        ("https://node.example", "https://node.example/", "wss://node.example/"),
    ],
)
def test_an_address_may_be_written_either_way(written: str, http: str, socket: str) -> None:
    """http and ws addresses mean the same node."""
    assert checked_url(written) == (http, socket)


@pytest.mark.parametrize("written", ["", "ftp://x", "http://", "file:///etc/passwd"])
def test_what_is_no_address_is_refused(written: str) -> None:
    """A wrong --url is refused before anything is sent."""
    with pytest.raises(Refused, match="url"):
        checked_url(written)
