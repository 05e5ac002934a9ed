"""Transactions: the pool joined to the chain and to those who watch their own transaction.

Watchers are told in Substrate's words, in the order of a transaction's life: future, ready, broadcast, inBlock,
(retracted, inBlock again), finalized - or usurped, dropped, invalid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import trio
from trio_typing import TaskStatus

from node.chain import Chain
from node.events import ChainEvent, Finalised
from node.ledger import BestLedger
from node.pool import Pool, PoolError, Status
from node.store.errors import UnknownBlock
from node.store.records import Head
from runtime.errors import InvalidTransaction
from runtime.extrinsic import EXTRINSIC_BYTES_MAX, Extrinsic
from runtime.hashing import blake2b256
from runtime.scale import ScaleError

WATCHERS_MAX = 4096
IN_BLOCK_MAX = 65_536
"""Included transactions remembered until they are final."""
LAST = {Status.FINALIZED, Status.USURPED, Status.DROPPED, Status.INVALID, Status.FINALITY_TIMEOUT}


@dataclass(frozen=True, slots=True)
class TransactionUpdate:
    """One change of status; `detail` is a block hash (inBlock, retracted, finalized) or the usurper's hash."""

    status: Status
    detail: bytes | None = None
    peers: tuple[str, ...] = ()

    @property
    def last(self) -> bool:
        """Whether nothing follows."""
        return self.status in LAST

    def json(self) -> Any:
        """As author_extrinsicUpdate shows it."""
        if self.status is Status.BROADCAST:
            return {"broadcast": list(self.peers)}
        return self.status.value if self.detail is None else {self.status.value: "0x" + self.detail.hex()}


class TooManyWatchers(PoolError):
    """The node watches as many transactions as it can."""

    code = 1016


Watcher = trio.MemorySendChannel[TransactionUpdate]


class Transactions:
    """The pool, kept up with the chain."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.ledger = BestLedger(chain)
        self.pool = Pool(self.ledger, self._tell, chain.clock.now_ms)
        self.on_ready: Callable[[Extrinsic], None] = lambda _: None
        self._watchers: dict[bytes, list[Watcher]] = {}
        self._included: dict[bytes, list[Extrinsic]] = {}

    def submit(self, raw: bytes, *, local: bool) -> bytes:
        """Take a transaction; its hash. Raises PoolError, InvalidTransaction or ScaleError with nothing changed."""
        if len(raw) > EXTRINSIC_BYTES_MAX:
            raise ScaleError(f"extrinsic: {len(raw)} bytes, at most {EXTRINSIC_BYTES_MAX} allowed")
        transaction_hash = blake2b256(raw)
        self.pool.submit(raw, transaction_hash, local=local)
        return transaction_hash

    def watch(self, raw: bytes, watcher: Watcher) -> bytes:
        """Tell `watcher` every change of a transaction's status; the transaction's hash. Raises TooManyWatchers."""
        if len(self._watchers) >= WATCHERS_MAX:
            raise TooManyWatchers(f"the node watches {WATCHERS_MAX} transactions already")
        transaction_hash = blake2b256(raw)
        self._watchers.setdefault(transaction_hash, []).append(watcher)
        return transaction_hash

    def unwatch(self, transaction_hash: bytes, watcher: Watcher) -> None:
        """Forget a watcher."""
        watchers = self._watchers.get(transaction_hash, [])
        if watcher in watchers:
            watchers.remove(watcher)
            watcher.close()
        if not watchers:
            self._watchers.pop(transaction_hash, None)

    def broadcast(self, transaction_hash: bytes, peers: tuple[str, ...]) -> None:
        """The relay sent a transaction to peers."""
        self._send(transaction_hash, TransactionUpdate(Status.BROADCAST, None, peers))

    def _tell(self, transaction_hash: bytes, status: Status, detail: bytes | None) -> None:
        self._send(transaction_hash, TransactionUpdate(status, detail))
        entry = self.pool.entries.get(transaction_hash)
        if status is Status.READY and entry is not None:
            self.on_ready(entry.extrinsic)

    def _send(self, transaction_hash: bytes, update: TransactionUpdate) -> None:
        for watcher in list(self._watchers.get(transaction_hash, ())):
            try:
                watcher.send_nowait(update)
            except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
                self.unwatch(transaction_hash, watcher)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the chain for ever."""
        events = self.chain.events.listen()
        task_status.started()
        while True:
            with events:
                async for event in events:
                    self.on_event(event)
            events = self.chain.events.listen()

    def on_event(self, event: ChainEvent) -> None:
        """Let pool and watchers follow what happened to the chain."""
        if isinstance(event, Finalised):
            self._on_final(event)
        elif event.is_best:
            self._on_best(event.enacted, event.retracted)

    def _on_best(self, enacted: tuple[Head, ...], retracted: tuple[Head, ...]) -> None:
        """The best chain grew or changed. Both may be gone again: events are read after they happened."""
        for head in retracted:
            for extrinsic in self._extrinsics(head):
                self._tell(extrinsic.hash, Status.RETRACTED, head.hash)
        for head in enacted:
            extrinsics = self._extrinsics(head)
            if sum(map(len, self._included.values())) + len(extrinsics) <= IN_BLOCK_MAX:
                self._included[head.hash] = extrinsics
            self.pool.on_best_block(head.number, head.hash, extrinsics)
        for head in retracted:
            self._resubmit(head)

    def _resubmit(self, head: Head) -> None:
        """Transactions of a block that left the best chain go back into the pool if they still hold."""
        senders: dict[bytes, None] = {}
        for extrinsic in self._extrinsics(head):
            if extrinsic.signer is None:
                continue
            senders[extrinsic.signer] = None
            if extrinsic.hash not in self.pool.entries:
                try:
                    self.pool.submit(extrinsic.raw, extrinsic.hash, local=False)
                except (PoolError, InvalidTransaction, ScaleError):
                    continue
        for sender in senders:
            self.pool.recheck_sender(sender)

    def _on_final(self, event: Finalised) -> None:
        self._on_best(event.enacted, event.retracted)
        for head in event.heads:
            for extrinsic in self._included.pop(head.hash, []):
                self._tell(extrinsic.hash, Status.FINALIZED, head.hash)
                for watcher in list(self._watchers.get(extrinsic.hash, ())):
                    self.unwatch(extrinsic.hash, watcher)
        for head in event.pruned:
            self._included.pop(head.hash, None)

    def _extrinsics(self, head: Head) -> list[Extrinsic]:
        """A block's extrinsics, also of a fork that finality has removed since, if it was on the best chain."""
        known = self._included.get(head.hash)
        if known is not None:
            return known
        try:
            body = self.chain.store.body(head.hash) or []
        except UnknownBlock:
            return []
        runtime = self.ledger.runtime()
        return [self.chain.cache.decode(raw, runtime) for raw in body]
