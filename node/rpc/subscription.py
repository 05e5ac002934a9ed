"""Subscriptions of one WebSocket connection: who is told what, until it unsubscribes or goes.

A method registered by `Methods.register_subscription` gets a `Subscription`. It may `push` at once or later, from any
task of the event loop; `start` a task that pushes; and leave a note in `on_close` to take itself off a list. Whatever
is pushed before the client has the id waits for it. Nothing here blocks: what the client does not read fills the
connection's bounded queue, and a full queue closes the connection.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from node.log import Logger
from node.rpc.errors import TOO_MANY_SUBSCRIPTIONS, RpcError

PENDING_MAX = 256
"""Notifications pushed before the id is out; more than that is a mistake of the method, and the oldest ones go."""
CLOSERS_MAX = 16


class Subscription:
    """One subscription. `push` tells the client; `closed` says that it is no longer listening."""

    def __init__(
        self, id_: str, method: str, send: Callable[[bytes], bool], nursery: trio.Nursery, log: Logger
    ) -> None:
        self.id = id_
        self.method = method
        self.closed = False
        self._send = send
        self._nursery = nursery
        self._log = log
        self._pending: list[bytes] | None = []
        self._closers: list[Callable[[], None]] = []
        self._scope = trio.CancelScope()

    def push(self, result: Any) -> bool:
        """Send one notification with `result`; False if the client is gone. Never blocks."""
        if self.closed:
            return False
        params = {"subscription": self.id, "result": result}
        body = {"jsonrpc": "2.0", "method": self.method, "params": params}
        data = json.dumps(body, separators=(",", ":")).encode()
        if self._pending is None:
            return self._send(data)
        self._pending.append(data)
        del self._pending[:-PENDING_MAX]
        return True

    def start(self, function: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run a task that lives as long as the subscription. If it fails, that is logged and the subscription ends."""
        self._nursery.start_soon(self._run, function, args)

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when the subscription ends, for whatever reason; at once if it has ended."""
        if self.closed:
            callback()
            return
        assert len(self._closers) < CLOSERS_MAX
        self._closers.append(callback)

    def close(self) -> None:
        """End it: no more pushes, its tasks cancelled, its callbacks called. A second call does nothing."""
        if self.closed:
            return
        self.closed = True
        self._pending = None
        self._scope.cancel()
        closers, self._closers = self._closers, []
        for callback in closers:
            callback()

    def open(self) -> None:
        """The id is on its way: send what has been waiting, and from now on everything at once."""
        if self.closed or self._pending is None:
            return
        pending, self._pending = self._pending, None
        for data in pending:
            self._send(data)

    async def _run(self, function: Callable[..., Awaitable[None]], args: tuple[Any, ...]) -> None:
        try:
            with self._scope:
                await function(*args)
        except Exception:  # noqa: BLE001 - the supervisor of a task: one subscription fails, the connection lives
            self._log.exception("subscription failed", method=self.method)
            self.close()


class Subscriptions:
    """All subscriptions of one connection, at most `count_max`."""

    def __init__(
        self, count_max: int, send: Callable[[bytes], bool], nursery: trio.Nursery, log: Logger, prefix: str
    ) -> None:
        self.count_max = count_max
        self._send = send
        self._nursery = nursery
        self._log = log
        self._prefix = prefix
        self._made = 0
        self._active: dict[str, Subscription] = {}

    def __len__(self) -> int:
        return len(self._active)

    def create(self, push: str) -> Subscription:
        """A new subscription whose notifications are named `push`. RpcError if the connection has too many."""
        if len(self._active) >= self.count_max:
            raise RpcError(
                TOO_MANY_SUBSCRIPTIONS, "Too many subscriptions on the connection", f"at most {self.count_max}"
            )
        self._made += 1
        subscription = Subscription(f"{self._prefix}{self._made:x}", push, self._send, self._nursery, self._log)
        self._active[subscription.id] = subscription
        subscription.on_close(lambda: self._forget(subscription.id))
        return subscription

    def end(self, id_: object) -> bool:
        """Unsubscribe: True if there was such a subscription on this connection."""
        subscription = self._active.get(id_) if isinstance(id_, str) else None
        if subscription is None:
            return False
        subscription.close()
        return True

    def close(self) -> None:
        """The connection is gone: end them all."""
        for subscription in list(self._active.values()):
            subscription.close()

    def _forget(self, id_: str) -> None:
        self._active.pop(id_, None)
