"""JSON-RPC by HTTP: requests, batches, errors, keep-alive, routes - with httpx and with bare sockets."""

import json
from typing import Any

import httpx
import pytest
import trio

from node.rpc.limits import Limits
from tests.helpers.rpc_server import ECHO, Running, receive_all, run, split


def request(method: str, params: Any = None, id_: Any = 1) -> dict[str, Any]:
    """A request object."""
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}


def test_httpx_keeps_one_connection() -> None:
    """Fifty requests of an ordinary client go over one connection and each gets its own answer."""

    async def test(server: Running) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
            for number in range(50):
                answer = await client.post("/", json=request("echo", [number], number))
                assert answer.json() == {"jsonrpc": "2.0", "id": number, "result": number}
                assert server.server.listener.connections == 1
        await server.assert_idle()

    run(test)


@pytest.mark.parametrize(
    ("params", "result"),
    [
        (["ab"], "ab"),
        (["ab", 2], "abab"),
        ({"value": "ab", "times": 3}, "ababab"),
        (["ab", None], "ab"),
        (["ab", 2, None], "abab"),
    ],
)
def test_params_by_position_and_by_name(params: Any, result: str) -> None:
    """Parameters come as a list or an object; null and what is left out take the default."""

    async def test(server: Running) -> None:
        assert (await server.call("echo", params))["result"] == result

    run(test)


@pytest.mark.parametrize(
    ("method", "params", "code", "message"),
    [
        ("nothing", [], -32601, "Method not found"),
        ("echo", [], -32602, "Invalid params: value: is missing"),
        ("echo", ["a", 1, 2], -32602, "Invalid params: params: has 3 values, at most 2"),
        ("echo", {"value": 1, "other": 2}, -32602, "Invalid params: other: is no parameter of this method"),
        ("echo", "text", -32602, "Invalid params: params: must be a list or an object"),
        ("block", ["0x12"], -32602, "Invalid params: hash: has 1 bytes, must have 32"),
        ("refuses", [], 1010, "Invalid Transaction"),
        ("fails", [], -32603, "Internal error"),
        ("not_json", [], -32603, "Internal error"),
        ("heads_sub", [], -32601, "Subscriptions need a WebSocket connection"),
    ],
)
def test_errors_have_code_and_message(method: str, params: Any, code: int, message: str) -> None:
    """Each kind of failure has its code and says what is wrong; the next request is answered."""

    async def test(server: Running) -> None:
        error = (await server.call(method, params))["error"]
        assert (error["code"], error["message"]) == (code, message)
        await server.assert_alive()

    run(test)


def test_a_failing_method_is_logged_and_counted() -> None:
    """An unexpected exception is told to the log by method name, never to the client."""

    async def test(server: Running) -> None:
        assert "mistake" not in json.dumps(await server.call("fails"))
        assert ("exception", "RPC method failed", {"method": "fails"}) in server.record.lines
        assert server.record.calls == [("fails", False)]

    run(test)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"echo","params":[NaN]}', -32700),
        (b"[" * 100_000, -32700),
        (b'{"a":' * 100_000, -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"echo","params":[' + b"9" * 5000 + b"]}", -32700),
        (b"1", -32600),
        (b"null", -32600),
        (b"{}", -32600),
        (b"[]", -32600),
        (b'{"id":1,"method":"echo"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        (b'{"jsonrpc":"2.0","id":[1],"method":"echo"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"echo"}', -32600),
        (b'{"jsonrpc":"2.0","id":1e999,"method":"echo"}', -32600),
        (b'{"jsonrpc":"2.0","id":"' + b"x" * 257 + b'","method":"echo"}', -32600),
    ],
)
def test_what_is_no_request(body: bytes, code: int) -> None:
    """Whatever is no JSON or no request gets one error object."""

    async def test(server: Running) -> None:
        status, answer = await server.post(body)
        assert status == 200
        assert json.loads(answer)["error"]["code"] == code
        await server.assert_alive()

    run(test)


def test_lone_surrogates_go_through() -> None:
    """Half a character pair in JSON neither fails nor comes back as bytes that are no UTF-8."""

    async def test(server: Running) -> None:
        _, answer = await server.post(b'{"jsonrpc":"2.0","id":1,"method":"echo","params":["\\ud800"]}')
        assert b'"\\ud800"' in answer

    run(test)


def test_batch_answers_in_order_without_notifications() -> None:
    """A batch mixes requests, failures and notifications; only those with an id are answered, in order."""

    async def test(server: Running) -> None:
        batch = [
            request("echo", [1], "a"),
            {"jsonrpc": "2.0", "method": "echo", "params": [2]},
            request("none", [], "c"),
            5,
        ]
        status, body = await server.post(json.dumps(batch).encode())
        answers = json.loads(body)
        assert status == 200
        assert [answer["id"] for answer in answers] == ["a", "c", None]
        assert [answer.get("error", {}).get("code") for answer in answers] == [None, -32601, -32600]
        assert len(server.record.calls) == 2

    run(test)


def test_notifications_alone_have_no_answer() -> None:
    """A notification, or a batch of them, gives 204 and no body."""

    async def test(server: Running) -> None:
        note = b'{"jsonrpc":"2.0","method":"echo","params":[1]}'
        assert await server.post(note) == (204, b"")
        assert await server.post(b"[" + note + b"]") == (204, b"")
        assert server.record.calls == [("echo", True)] * 2

    run(test)


def test_batch_limit() -> None:
    """A batch of the limit passes; one more is refused as a whole and nothing of it runs."""

    async def test(server: Running) -> None:
        _, body = await server.post(json.dumps([request("echo", [i], i) for i in range(256)]).encode())
        assert [answer["result"] for answer in json.loads(body)] == list(range(256))
        server.record.calls.clear()
        _, body = await server.post(json.dumps([request("echo", [i], i) for i in range(257)]).encode())
        assert json.loads(body)["error"]["code"] == -32010
        assert server.record.calls == []

    run(test)


def test_answer_too_big() -> None:
    """An answer past the limit becomes an error with the id of the request; in a batch the whole sum counts."""

    async def test(server: Running) -> None:
        assert len((await server.call("big", [900]))["result"]) == 900
        answer = await server.call("big", [1000])
        assert (answer["id"], answer["error"]["code"]) == (1, -32008)
        _, body = await server.post(json.dumps([request("big", [400], i) for i in range(3)]).encode())
        assert json.loads(body)["error"]["code"] == -32011

    run(test, Limits(response_bytes_max=1000))


@pytest.mark.parametrize("chunked", [False, True])
def test_body_too_big(chunked: bool) -> None:
    """A body past the limit is refused with 413 - as soon as it is announced, or when the chunks pass the limit."""

    async def test(server: Running) -> None:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        body = b"Transfer-Encoding: chunked\r\n\r\n7d1\r\n" if chunked else b"Content-Length: 2001\r\n\r\n"
        async with await server.raw() as stream:
            await stream.send_all(head + body + (b"x" * 2001 if chunked else b""))
            assert split(await receive_all(stream))[0] == 413
        assert (await server.post(b" " * (2000 - len(ECHO)) + ECHO))[0] == 200
        await server.assert_idle()

    run(test, Limits(request_bytes_max=2000))


def test_fifteen_megabytes_by_default() -> None:
    """The default limit lets 15 MB in and out, and not one byte more in."""

    async def test(server: Running) -> None:
        size = 15 * 1024 * 1024
        _, answer = await server.post(ECHO.replace(b'"x"', b'"' + b"y" * (size - len(ECHO) - 100) + b'"'))
        assert len(json.loads(answer)["result"]) == size - len(ECHO) - 100
        status, _ = await server.post(b" " * (size + 1))
        assert status == 413

    run(test)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_only_json_content_type(content_type: str) -> None:
    """What a page may post without asking first is refused before it is looked at."""

    async def test(server: Running) -> None:
        assert (await server.post(ECHO, content_type))[0] == 415
        assert server.record.calls == []
        assert (await server.post(ECHO, "application/json; charset=utf-8"))[0] == 200

    run(test)


def test_routes_beside_json_rpc() -> None:
    """GET /health is answered; other paths and methods are 404 and 405."""

    async def test(server: Running) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
            answer = await client.get("/health?x=1")
            assert (answer.status_code, answer.json()) == (200, {"peers": 0})
            assert (await client.get("/")).status_code == 404
            assert (await client.put("/health")).status_code == 405
            assert (await client.get("/health")).status_code == 200

    run(test)


def test_pipelined_requests() -> None:
    """Two requests sent in one go get two answers on the same connection."""

    async def test(server: Running) -> None:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        one = head + b"Content-Length: %d\r\n\r\n" % len(ECHO) + ECHO
        async with await server.raw() as stream:
            await stream.send_all(one + one)
            await stream.send_eof()
            assert (await receive_all(stream)).count(b'"result":"x"') == 2

    run(test)


def test_expect_continue() -> None:
    """A client that waits for leave to send its body gets it."""

    async def test(server: Running) -> None:
        head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
        async with await server.raw() as stream:
            await stream.send_all(f"{head}Content-Length: {len(ECHO)}\r\nConnection: close\r\n\r\n".encode())
            with trio.fail_after(10):
                assert b"100" in await stream.receive_some(1000)
            await stream.send_all(ECHO)
            assert b'"result":"x"' in await receive_all(stream)

    run(test)


def test_unsafe_methods_only_where_allowed() -> None:
    """An unsafe method works on loopback, by any of its names, and is refused by the policy `safe`."""

    async def allowed(server: Running) -> None:
        assert (await server.call("danger", ["x"]))["result"] == "x"

    async def refused(server: Running) -> None:
        for name in ("danger", "peril"):
            error = (await server.call(name, ["x"]))["error"]
            assert error == {"code": -32601, "message": "RPC call is unsafe to be called externally"}
        await server.assert_alive()

    run(allowed)
    run(refused, unsafe="safe")


def test_unsafe_methods_are_refused_outside() -> None:
    """Listening on all interfaces closes the unsafe methods, unless the operator insists."""

    async def refused(server: Running) -> None:
        assert "unsafe" in (await server.call("danger", ["x"]))["error"]["message"]

    async def insisted(server: Running) -> None:
        assert (await server.call("danger", ["x"]))["result"] == "x"

    run(refused, host="0.0.0.0")
    run(insisted, host="0.0.0.0", unsafe="unsafe")
