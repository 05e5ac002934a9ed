"""Relay: transactions that became ready here go to every peer that does not have them, in batches."""

from __future__ import annotations

from collections import OrderedDict

import trio

from node.gossip import Gossip
from node.network.peer_reputation import BAD_TRANSACTION
from node.network.port import ChainStatus, Kind, Network, PeerId
from node.pool import PoolError
from node.transactions import Transactions
from node.wire import Bytes, ListOf, pack, unpack
from runtime.errors import InvalidTransaction, Validity
from runtime.extrinsic import EXTRINSIC_BYTES_MAX, Extrinsic
from runtime.hashing import blake2b256
from runtime.scale import ScaleError

BATCH_S = 0.01
BATCH_BYTES_MAX = 512 << 10
BATCH_MAX = 1024
KNOWN_PER_PEER_MAX = 10_240
QUEUE_MAX = 16_384
MESSAGE = ListOf(Bytes(EXTRINSIC_BYTES_MAX + 8), BATCH_MAX)
HONEST_FAULTS = {Validity.STALE, Validity.FUTURE, Validity.PAYMENT, Validity.ANCIENT_BIRTH_BLOCK}
"""What a transaction may be that a peer relayed in good faith from another state than ours."""


class Relay:
    """Spreads transactions."""

    def __init__(self, transactions: Transactions, network: Network, gossip: Gossip) -> None:
        self.transactions = transactions
        self.network = network
        self._known: dict[PeerId, OrderedDict[bytes, None]] = {}
        self._send, self._queue = trio.open_memory_channel[Extrinsic](QUEUE_MAX)
        transactions.on_ready = self._offer
        gossip.on_up.append(self._on_up)
        gossip.on_down.append(self._on_down)
        gossip.handlers[Kind.TRANSACTIONS] = self._on_transactions

    def _offer(self, extrinsic: Extrinsic) -> None:
        try:
            self._send.send_nowait(extrinsic)
        except trio.WouldBlock:
            return  # it stays in our own pool; peers get it from others or in a block

    def _on_up(self, peer: PeerId, _status: ChainStatus) -> None:
        """A new peer gets what is ready here."""
        self._known[peer] = OrderedDict()
        for entry in list(self.transactions.pool.entries.values())[:BATCH_MAX]:
            if entry.ready:
                self._offer(entry.extrinsic)

    def _on_down(self, peer: PeerId) -> None:
        self._known.pop(peer, None)

    def _learn(self, peer: PeerId, transaction_hash: bytes) -> bool:
        """Note that a peer has a transaction; whether that was news."""
        known = self._known.get(peer)
        if known is None or transaction_hash in known:
            return False
        known[transaction_hash] = None
        if len(known) > KNOWN_PER_PEER_MAX:
            known.popitem(last=False)
        return True

    def _on_transactions(self, peer: PeerId, data: bytes) -> None:
        for raw in unpack(data, MESSAGE, 1 << 20, "transactions"):
            transaction_hash = blake2b256(raw)
            self._learn(peer, transaction_hash)
            if transaction_hash in self.transactions.pool.entries:
                continue
            try:
                self.transactions.submit(raw, local=False)
            except PoolError:
                continue
            except ScaleError as error:
                self.network.report(peer, BAD_TRANSACTION.delta, f"{BAD_TRANSACTION.reason}: {error}")
            except InvalidTransaction as error:
                if error.code not in HONEST_FAULTS and not self._is_of_a_fork(raw, error):
                    self.network.report(peer, BAD_TRANSACTION.delta, f"{BAD_TRANSACTION.reason}: {error}")

    def _is_of_a_fork(self, raw: bytes, error: InvalidTransaction) -> bool:
        """Whether a signature may hold where the peer is: a mortal one covers a block hash of its fork."""
        known = self.transactions.chain.cache.decoded.get(raw)
        return error.code is Validity.BAD_PROOF and known is not None and known.era.period > 0

    async def run(self) -> None:
        """Send batches for ever."""
        async for first in self._queue:
            await trio.sleep(BATCH_S)
            batch = [first]
            while len(batch) < BATCH_MAX:
                try:
                    batch.append(self._queue.receive_nowait())
                except trio.WouldBlock:
                    break
            for peer in list(self._known):
                self._send_batch(peer, batch)

    def _send_batch(self, peer: PeerId, batch: list[Extrinsic]) -> None:
        size = 0
        message: list[bytes] = []
        for extrinsic in batch:
            if not self._learn(peer, extrinsic.hash):
                continue
            if size + len(extrinsic.raw) > BATCH_BYTES_MAX:
                self.network.notify(peer, Kind.TRANSACTIONS, pack(message))
                size, message = 0, []
            message.append(extrinsic.raw)
            size += len(extrinsic.raw)
            self.transactions.broadcast(extrinsic.hash, (peer,))
        if message:
            self.network.notify(peer, Kind.TRANSACTIONS, pack(message))
