"""Dispatch: a JSON-RPC message in, an answer out. Knows nothing of HTTP or WebSocket.

JSON-RPC 2.0 with batches. Nothing that arrives here raises: what is not JSON, not a request, or not understood by the
method becomes an error object; a method that fails unexpectedly becomes -32603 and a line in the log.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import trio

from node.log import Logger
from node.rpc import errors
from node.rpc.errors import InvalidParams, RpcError
from node.rpc.limits import Limits
from node.rpc.methods import Method, Methods
from node.rpc.subscription import Subscription, Subscriptions

ID_CHARS_MAX = 256
NO_ANSWER = b""


class Observer(Protocol):
    """Whom the server tells what happens, for metrics. `method` is always a registered name."""

    def call_started(self, method: str) -> None: ...
    def call_finished(self, method: str, seconds: float, ok: bool) -> None: ...
    def session_opened(self) -> None: ...
    def session_closed(self) -> None: ...


class NoObserver:
    """Tells nobody."""

    def call_started(self, method: str) -> None: ...
    def call_finished(self, method: str, seconds: float, ok: bool) -> None: ...
    def session_opened(self) -> None: ...
    def session_closed(self) -> None: ...


@dataclass(slots=True)
class Caller:
    """Who asks: whether unsafe methods are open to it, and its subscriptions if it is on a WebSocket."""

    unsafe_allowed: bool
    subscriptions: Subscriptions | None = None


@dataclass(slots=True)
class Answer:
    """The bytes to send (empty: nothing), and the subscriptions to open once they are on their way."""

    data: bytes = NO_ANSWER
    started: list[Subscription] = field(default_factory=list)

    def open(self) -> None:
        """To be called right after `data` was queued."""
        for subscription in self.started:
            subscription.open()


class Dispatcher:
    """Answers messages with the methods of a registry."""

    def __init__(self, methods: Methods, limits: Limits, observer: Observer, log: Logger) -> None:
        self.methods = methods
        self.limits = limits
        self.observer = observer
        self.log = log

    async def answer(self, message: bytes, caller: Caller) -> Answer:
        """The answer to one message: a request, a notification or a batch of them."""
        try:
            request = parse(message)
        except ValueError:
            return Answer(_failure(None, RpcError(errors.PARSE_ERROR, "Parse error")))
        answer = Answer()
        if isinstance(request, list):
            answer.data = await self._batch(request, caller, answer.started)
        else:
            answer.data = await self._single(request, caller, answer.started)
        return answer

    async def _batch(self, batch: list[Any], caller: Caller, started: list[Subscription]) -> bytes:
        """One after the other, in order; the answers in the same order, without those of notifications."""
        if not batch:
            return _failure(None, RpcError(errors.INVALID_REQUEST, "Invalid request", "the batch is empty"))
        if len(batch) > self.limits.batch_max:
            limit = f"Exceeded max limit of {self.limits.batch_max}"
            return _failure(None, RpcError(errors.BATCH_TOO_LARGE, "The batch request was too large", limit))
        parts: list[bytes] = []
        size = 2
        for request in batch:
            await trio.lowlevel.checkpoint()  # others get their turn between two of a batch
            part = await self._single(request, caller, started)
            size += len(part) + 1
            if size > self.limits.response_bytes_max:
                limit = f"Exceeded max limit of {self.limits.response_bytes_max}"
                error = RpcError(errors.BATCH_RESPONSE_TOO_LARGE, "The batch response was too large", limit)
                _end(started)
                return _failure(None, error)
            if part:
                parts.append(part)
        return b"[" + b",".join(parts) + b"]" if parts else NO_ANSWER

    async def _single(self, request: Any, caller: Caller, started: list[Subscription]) -> bytes:
        if not isinstance(request, dict):
            return _failure(None, RpcError(errors.INVALID_REQUEST, "Invalid request", "must be an object"))
        id_ = request.get("id")
        if not _is_id(id_):
            return _failure(
                None, RpcError(errors.INVALID_REQUEST, "Invalid request", "id must be a string or a number")
            )
        if request.get("jsonrpc") != "2.0" or not isinstance(request.get("method"), str):
            why = 'must have "jsonrpc": "2.0" and a method'
            return _failure(id_, RpcError(errors.INVALID_REQUEST, "Invalid request", why))
        mine: list[Subscription] = []
        try:
            result = await self._call(request["method"], request.get("params"), caller, mine)
            data = self._success(id_, request["method"], result)
        except RpcError as error:
            _end(mine)
            data = _failure(id_, error)
        started.extend(mine)
        return data if "id" in request else NO_ANSWER

    def _success(self, id_: Any, name: str, result: Any) -> bytes:
        """The response with a result; RpcError if that is too big, or nothing that JSON can say."""
        try:
            data = _encode({"jsonrpc": "2.0", "id": id_, "result": result})
        except (TypeError, ValueError) as error:
            self.log.exception("RPC method returned what is no JSON", method=name)
            raise RpcError(errors.INTERNAL_ERROR, "Internal error") from error
        if len(data) > self.limits.response_bytes_max:
            limit = f"Exceeded max limit of {self.limits.response_bytes_max}"
            raise RpcError(errors.OVERSIZED_RESPONSE, "Response is too big", limit)
        return data

    async def _call(self, name: str, params: Any, caller: Caller, started: list[Subscription]) -> Any:
        """The result, or RpcError for whatever went wrong."""
        method = self.methods.find(name)
        if method is None:
            raise errors.method_not_found(name)
        if method.unsafe and not caller.unsafe_allowed:
            raise errors.method_unsafe()
        arguments = method.arguments(params)
        self.observer.call_started(method.name)
        began, ok = trio.current_time(), False
        try:
            result = await self._invoke(method, arguments, caller, started)
            ok = True
        except RpcError:
            raise
        except Exception as error:
            # The supervisor of a call: a mistake in one method must not end the connection, let alone the node.
            self.log.exception("RPC method failed", method=method.name)
            raise RpcError(errors.INTERNAL_ERROR, "Internal error") from error
        finally:
            self.observer.call_finished(method.name, trio.current_time() - began, ok)
        return result

    async def _invoke(self, method: Method, arguments: list[Any], caller: Caller, started: list[Subscription]) -> Any:
        if method.unsubscribes is not None:
            return caller.subscriptions is not None and caller.subscriptions.end(arguments[0])
        if method.push is None:
            return await method.function(*arguments)
        if caller.subscriptions is None:
            raise RpcError(errors.METHOD_NOT_FOUND, "Subscriptions need a WebSocket connection", method.name)
        subscription = caller.subscriptions.create(method.push)
        started.append(subscription)
        await method.function(subscription, *arguments)
        return subscription.id


def parse(message: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN or Infinity, nesting as deep as the parser's own limit. ValueError otherwise."""
    try:
        return json.loads(message.decode(), parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _is_id(id_: object) -> bool:
    if isinstance(id_, str):
        return len(id_) <= ID_CHARS_MAX
    return id_ is None or (isinstance(id_, int | float) and not isinstance(id_, bool) and -(2**64) < id_ < 2**64)


def _end(subscriptions: list[Subscription]) -> None:
    """The answer with their ids is not sent: nobody could unsubscribe them."""
    for subscription in subscriptions:
        subscription.close()
    subscriptions.clear()


_encoder: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


def _encode(value: Any) -> bytes:
    return _encoder(value).encode()


def _failure(id_: Any, error: RpcError) -> bytes:
    return _encode({"jsonrpc": "2.0", "id": id_, "error": error.as_json()})


__all__ = ["Answer", "Caller", "Dispatcher", "InvalidParams", "NoObserver", "Observer", "parse"]
