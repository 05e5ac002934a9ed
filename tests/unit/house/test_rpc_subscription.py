"""Subscriptions of the JSON-RPC client, against a real WebSocket server."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from websockets.sync.server import ServerConnection, serve

from cli.errors import TimedOut, Unreachable
from cli.rpc_client import RpcClient, RpcError


def push(identity: str, result: object) -> str:
    """One notification of a subscription."""
    return json.dumps({"jsonrpc": "2.0", "method": "x", "params": {"subscription": identity, "result": result}})


@contextmanager
def serving(handle: Callable[[ServerConnection, int], None]) -> Iterator[str]:
    """The address of a server that reads one request and gives its id to `handle`."""

    def handler(socket: ServerConnection) -> None:
        handle(socket, json.loads(socket.recv())["id"])

    with serve(handler, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


def accept(socket: ServerConnection, request: int) -> None:
    """Answer a subscription request with the identity `mine`."""
    socket.send(json.dumps({"jsonrpc": "2.0", "id": request, "result": "mine"}))


def test_pushes_come_in_order_and_only_ours() -> None:
    """Pushes of the subscription arrive in order; those of another one are not mixed in."""

    def handle(socket: ServerConnection, request: int) -> None:
        accept(socket, request)
        for identity, value in (("mine", 1), ("other", 2), ("mine", {"finalized": "0x00"})):
            socket.send(push(identity, value))
        socket.recv(timeout=20)  # stay until the client closes

    with serving(handle) as url, RpcClient(url) as client, client.subscribe("s") as updates:
        assert [updates.next(10), updates.next(10)] == [1, {"finalized": "0x00"}]


def test_silence_ends_in_a_time_out() -> None:
    """A subscription that says nothing ends the wait with TimedOut."""

    def handle(socket: ServerConnection, request: int) -> None:
        accept(socket, request)
        socket.recv(timeout=20)

    with serving(handle) as url, RpcClient(url) as client, client.subscribe("s") as updates, pytest.raises(TimedOut):
        updates.next(0.05)


def test_a_node_that_goes_away_is_unreachable() -> None:
    """A connection closed by the node ends the wait at once, with exit code 3."""
    with (
        serving(accept) as url,
        RpcClient(url) as client,
        client.subscribe("s") as updates,
        pytest.raises(Unreachable),
    ):
        updates.next(20)


def test_a_refused_subscription_is_the_node_s_error() -> None:
    """An error instead of an identity is raised with its code, for example a transaction the pool refuses."""

    def handle(socket: ServerConnection, request: int) -> None:
        error = {"code": 1010, "message": "Invalid Transaction", "data": "BadProof"}
        socket.send(json.dumps({"jsonrpc": "2.0", "id": request, "error": error}))

    with (
        serving(handle) as url,
        RpcClient(url) as client,
        pytest.raises(RpcError, match="BadProof"),
        client.subscribe("author_submitAndWatchExtrinsic", "0x00"),
    ):
        pass
