"""JSON-RPC by WebSocket, with the client of `websockets`: calls, subscriptions, and how they end."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import trio
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from node.rpc.limits import Limits
from tests.helpers.rpc_server import ECHO, Running, run, until

TIMEOUT_SECONDS = 15


def ask(client: ClientConnection, method: str, *params: Any) -> Any:
    """Send a request and take the next message as its answer."""
    client.send(json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
    return receive(client)


def receive(client: ClientConnection) -> Any:
    """The next message, decoded."""
    return json.loads(client.recv(timeout=TIMEOUT_SECONDS))


async def with_client(server: Running, use: Callable[[ClientConnection], None], **options: Any) -> None:
    """Run `use` with a connected client in a thread."""

    def work() -> None:
        with connect(f"ws://127.0.0.1:{server.port}", **options) as client:
            use(client)

    await trio.to_thread.run_sync(work)


def test_calls_and_batches() -> None:
    """Requests, errors and batches on one connection; text and binary frames are the same."""

    def use(client: ClientConnection) -> None:
        assert ask(client, "echo", "x") == {"jsonrpc": "2.0", "id": 7, "result": "x"}
        assert ask(client, "none")["error"]["code"] == -32601
        assert ask(client, "fails")["error"]["code"] == -32603
        client.send(b"[" + ECHO + b"," + ECHO + b"]")
        assert [answer["result"] for answer in receive(client)] == ["x", "x"]
        client.send("nonsense")
        assert receive(client)["error"]["code"] == -32700

    async def test(server: Running) -> None:
        await with_client(server, use)
        await server.assert_idle()
        assert server.record.sessions == 0

    run(test)


def test_fragments_and_large_messages() -> None:
    """A message in many fragments is one message; several megabytes go both ways."""

    def use(client: ClientConnection) -> None:
        text = ECHO.decode()
        client.send(text[i : i + 7] for i in range(0, len(text), 7))
        assert receive(client)["result"] == "x"
        assert len(ask(client, "echo", "y" * 5_000_000)["result"]) == 5_000_000

    async def test(server: Running) -> None:
        await with_client(server, use, max_size=None)
        await server.assert_idle()

    run(test)


def test_a_waiting_call_does_not_hold_up_others() -> None:
    """Calls of one connection run side by side: a later one is answered while an earlier one waits."""

    async def test(server: Running) -> None:
        def use(client: ClientConnection) -> None:
            client.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "waits"}))
            assert ask(client, "echo", "x")["result"] == "x"
            trio.from_thread.run_sync(server.release.set)
            assert receive(client) == {"jsonrpc": "2.0", "id": 1, "result": "released"}

        await with_client(server, use)

    run(test)


def test_subscription_life() -> None:
    """The id comes before the first push, pushes follow in order, unsubscribing ends them and says so once."""

    async def test(server: Running) -> None:
        def use(client: ClientConnection) -> None:
            id_ = ask(client, "heads_sub", 3)["result"]
            for number in range(3):
                push = {"jsonrpc": "2.0", "method": "head", "params": {"subscription": id_, "result": number}}
                assert receive(client) == push
            subscription = server.subscribers[0]
            assert trio.from_thread.run_sync(subscription.push, {"late": True})
            assert receive(client)["params"]["result"] == {"late": True}
            assert ask(client, "heads_unsub", id_)["result"] is True
            assert ask(client, "heads_unsub", id_)["result"] is False
            assert not trio.from_thread.run_sync(subscription.push, "after")
            assert server.closed == [id_]
            assert ask(client, "echo", "x")["result"] == "x"

        await with_client(server, use)

    run(test)


def test_aliases_and_batched_subscriptions() -> None:
    """Aliases subscribe and unsubscribe too; in a batch the pushes come after the whole answer."""

    async def test(server: Running) -> None:
        def use(client: ClientConnection) -> None:
            one = {"jsonrpc": "2.0", "id": 1, "method": "sub_heads", "params": [1]}
            client.send(json.dumps([one, one]))
            ids = [answer["result"] for answer in receive(client)]
            assert [receive(client)["params"]["subscription"] for _ in ids] == ids
            assert all(ask(client, "unsub_heads", id_)["result"] for id_ in ids)

        await with_client(server, use)

    run(test)


def test_refused_subscription_leaves_nothing() -> None:
    """If the method refuses, the client gets the error and no subscription is left behind."""

    async def test(server: Running) -> None:
        def use(client: ClientConnection) -> None:
            assert ask(client, "heads_sub", -1)["error"]["message"] == "count is negative"
            assert ask(client, "heads_sub", 1, 2)["error"]["code"] == -32602
            unknown: Any
            for unknown in ("1-1", 5, [1], {}):
                assert ask(client, "heads_unsub", unknown)["result"] is False
            assert ask(client, "heads_unsub")["error"]["code"] == -32602
            assert server.subscribers == []

        await with_client(server, use)

    run(test)


def test_ids_are_the_connections_own() -> None:
    """One client cannot end another's subscription."""

    async def test(server: Running) -> None:
        def use(client: ClientConnection) -> None:
            id_ = ask(client, "heads_sub", 0)["result"]
            with connect(f"ws://127.0.0.1:{server.port}") as other:
                assert ask(other, "heads_unsub", id_)["result"] is False
            assert ask(client, "heads_unsub", id_)["result"] is True

        await with_client(server, use)

    run(test)


def test_disconnecting_ends_subscriptions() -> None:
    """When the client goes, properly or by a cut, its subscriptions are closed and later pushes go nowhere."""

    async def test(server: Running) -> None:
        def subscribe(client: ClientConnection) -> None:
            ask(client, "heads_sub", 0)

        def cut(client: ClientConnection) -> None:
            ask(client, "heads_sub", 0)
            client.socket.close()

        for number, use in enumerate((subscribe, cut), start=1):
            await with_client(server, use)
            # A lambda's type cannot be said.
            await until(lambda number=number: len(server.closed) == number)  # type: ignore[misc]
        assert not any(subscription.push(1) for subscription in server.subscribers)
        await server.assert_idle()

    run(test)


def test_a_failing_subscription_task_ends_it_alone() -> None:
    """A mistake in a subscription's task is logged and closes that subscription, not the connection."""

    async def test(server: Running) -> None:
        def use(client: ClientConnection) -> None:
            ask(client, "broken_sub")
            assert ask(client, "echo", "x")["result"] == "x"

        await with_client(server, use)
        await server.assert_idle()
        assert len(server.closed) == 1
        assert ("exception", "subscription failed", {"method": "broken"}) in server.record.lines

    run(test)


def test_subscription_limit() -> None:
    """One more than the limit is refused; ending one makes room."""

    async def test(server: Running) -> None:
        def use(client: ClientConnection) -> None:
            ids = [ask(client, "heads_sub", 0)["result"] for _ in range(3)]
            assert ask(client, "heads_sub", 0)["error"]["code"] == -32006
            assert ask(client, "heads_unsub", ids[0])["result"] is True
            assert "result" in ask(client, "heads_sub", 0)

        await with_client(server, use)
        await until(lambda: len(server.closed) == 4)

    run(test, Limits(subscriptions_max=3))


def test_pushes_before_the_id_wait_for_it() -> None:
    """A subscription that pushes a lot at once keeps the latest ones, behind the id."""

    async def test(server: Running) -> None:
        def use(client: ClientConnection) -> None:
            id_ = ask(client, "heads_sub", 1000)["result"]
            assert isinstance(id_, str)
            assert [receive(client)["params"]["result"] for _ in range(256)] == list(range(744, 1000))

        await with_client(server, use)

    run(test)


def test_message_too_big() -> None:
    """A message past the limit closes the connection with 1009."""

    async def test(server: Running) -> None:
        codes: list[int] = []

        def use(client: ClientConnection) -> None:
            client.send("x" * 1001)
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=TIMEOUT_SECONDS)
            if closed.value.rcvd is not None:
                codes.append(closed.value.rcvd.code)

        await with_client(server, use)
        assert codes == [1009]
        await server.assert_idle()

    run(test, Limits(request_bytes_max=1000))


def test_silent_client_is_pinged_then_dropped() -> None:
    """A client that answers pings stays; the connection of one that does not is cut."""

    async def test(server: Running) -> None:
        def use(client: ClientConnection) -> None:
            try:
                client.recv(timeout=1)
            except TimeoutError:
                assert ask(client, "echo", "x")["result"] == "x"

        await with_client(server, use)
        handshake = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        stream = await server.raw()
        await stream.send_all(
            handshake + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + b"A" * 22 + b"==\r\n\r\n"
        )
        await until(lambda: "WebSocket client dropped" in server.record.events())
        await server.assert_idle()
        await stream.aclose()

    run(test, Limits(ping_interval_ms=100))
