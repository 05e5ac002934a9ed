"""A JSON-RPC client: calls over HTTP with keep-alive, subscriptions over a WebSocket, one address for both.

Errors: Unreachable when nobody answers, RpcError with the node's own code and data when it refuses.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from cli.errors import CliError, Refused, TimedOut, Unreachable

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

RESPONSE_BYTES_MAX = 32 << 20
CALL_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0

# What to do about the errors of the transaction pool and the server (reference: Substrate's author and system RPC).
HINTS = {
    -32601: "the node may be older or newer than this command: compare `heddle --version` with its system_version",
    -32602: "this is a mistake of the command, or the node speaks another version",
    1002: "the chain would not accept it: check signature, genesis and spec version",
    1010: "the chain would not accept it; the reason is in the message",
    1011: "the node cannot tell whether it is valid: it may still be syncing",
    1012: "the same transaction was refused a short time ago; wait, or change it",
    1013: "it is in the pool already",
    1014: "another transaction with this nonce waits: raise the tip, or wait for it",
    1016: "the pool is full: raise the tip or try again later",
    1021: "the nonce is too far ahead: send the ones before it first",
}


class RpcError(CliError):
    """The node answered with an error: its code, message and data."""

    def __init__(self, method: str, code: int, message: str, data: Any = None) -> None:
        detail = f"{message}: {data}" if data not in (None, "") else message
        super().__init__(f"{method}: {detail} ({code})", HINTS.get(code, ""))
        self.method = method
        self.code = code
        self.data = data


def checked_url(url: str) -> tuple[str, str]:
    """The node's address for (HTTP, WebSocket); Refused if it is no address."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    schemes = {"http": ("http", "ws"), "ws": ("http", "ws"), "https": ("https", "wss"), "wss": ("https", "wss")}
    if parts.scheme not in schemes or not parts.hostname:
        raise Refused(f"url: {url!r} is not a node's address", "write it as http://127.0.0.1:9944")
    http, socket = schemes[parts.scheme]
    rest = f"{parts.netloc}{parts.path or '/'}"
    return f"{http}://{rest}", f"{socket}://{rest}"


def result_of(method: str, answer: Any) -> Any:
    """The result in a JSON-RPC answer; RpcError if it holds an error, CliError if it is no answer at all."""
    if not isinstance(answer, dict):
        raise CliError(f"{method}: the answer is no JSON-RPC object", "is this address a Heddle node's?")
    error = answer.get("error")
    if error is not None:
        known = error if isinstance(error, dict) else {"message": str(error)}
        raise RpcError(method, int(known.get("code", 0)), str(known.get("message", "")), known.get("data"))
    if "result" not in answer:
        raise CliError(f"{method}: the answer holds neither result nor error", "is this address a Heddle node's?")
    return answer["result"]


class Subscription:
    """Pushes of one subscription, in order; `next` waits for one."""

    def __init__(self, socket: "ClientConnection", identity: str) -> None:
        self.socket = socket
        self.identity = identity

    def next(self, timeout_s: float) -> Any:
        """The next push; TimedOut after `timeout_s`, Unreachable if the node goes away."""
        from websockets.exceptions import ConnectionClosed

        while True:
            try:
                message = json.loads(self.socket.recv(timeout=timeout_s))
            except TimeoutError as error:
                raise TimedOut(f"nothing came within {timeout_s:.0f} s", "is the chain still growing?") from error
            except ConnectionClosed as error:
                raise Unreachable("the node closed the connection", "look at its log") from error
            parameters = message.get("params")
            if isinstance(parameters, dict) and parameters.get("subscription") == self.identity:
                return parameters.get("result")

    def __iter__(self) -> Iterator[Any]:
        """Pushes for as long as they come within ten minutes of each other."""
        while True:
            yield self.next(600.0)


class RpcClient:
    """One node. Use it as a context manager, or close it."""

    def __init__(self, url: str, timeout_s: float = CALL_TIMEOUT_S) -> None:
        import httpx

        self.url, self.socket_url = checked_url(url)
        self.timeout_s = timeout_s
        self._identities = itertools.count(1)
        # trust_env: a proxy meant for the internet must not get to see what goes to a node of one's own.
        self._http = httpx.Client(timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S), trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the connection."""
        self._http.close()

    def call(self, method: str, *parameters: Any) -> Any:
        """The result of one call."""
        return result_of(method, self._post(self._request(method, parameters)))

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The results of several calls in one request, in their order; the first error is raised."""
        if not calls:
            return []
        requests = [self._request(method, parameters) for method, parameters in calls]
        answers = self._post(requests)
        if not isinstance(answers, list):
            return [result_of(calls[0][0], answers)]
        by_identity = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
        return [result_of(request["method"], by_identity.get(request["id"])) for request in requests]

    @contextmanager
    def subscribe(self, method: str, *parameters: Any) -> Iterator[Subscription]:
        """A subscription, ended (by closing its socket) with the block."""
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        try:
            socket = connect(
                self.socket_url,
                open_timeout=CONNECT_TIMEOUT_S,
                max_size=RESPONSE_BYTES_MAX,
                proxy=None,
                compression=None,
            )
        except (OSError, WebSocketException) as error:
            raise self._unreachable(error) from error
        with socket:
            request = self._request(method, parameters)
            socket.send(json.dumps(request))
            try:
                answer = json.loads(socket.recv(timeout=self.timeout_s))
            except (TimeoutError, WebSocketException) as error:
                raise self._unreachable(error) from error
            yield Subscription(socket, result_of(method, answer))

    def _request(self, method: str, parameters: Sequence[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._identities), "method": method, "params": list(parameters)}

    def _post(self, body: Any) -> Any:
        import httpx

        try:
            with self._http.stream("POST", self.url, json=body) as response:
                content = bytearray()
                for piece in response.iter_bytes():
                    content += piece
                    if len(content) > RESPONSE_BYTES_MAX:
                        raise CliError(f"the node's answer is over {RESPONSE_BYTES_MAX} bytes", "ask for less")
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        try:
            return json.loads(content)
        except ValueError as error:
            detail = f"HTTP {response.status_code}"
            raise CliError(f"{self.url} answers {detail}, not JSON", "is this address a Heddle node's?") from error

    def _unreachable(self, error: Exception) -> Unreachable:
        reason = str(error) or type(error).__name__
        hint = "start one with `heddle node --dev`, or say where it is with --url"
        return Unreachable(f"no node answers at {self.url} ({reason})", hint)
