"""author_*: submitting transactions and watching what becomes of them."""

from __future__ import annotations

from typing import Any

import trio

from node.chain import Chain
from node.keys.keystore import Keystore
from node.keys.pair import SecretError, from_uri
from node.pool import PoolError
from node.rpc.api.chain_api import hexed
from node.rpc.errors import (
    EXTRINSIC_INVALID,
    EXTRINSIC_UNDECODABLE,
    InvalidParams,
    RpcError,
)
from node.rpc.methods import Methods
from node.rpc.params import hex_bytes, text
from node.rpc.subscription import Subscription
from node.transactions import Transactions, TransactionUpdate
from runtime.errors import InvalidTransaction, Validity
from runtime.extrinsic import EXTRINSIC_BYTES_MAX
from runtime.scale import ScaleError

SUBMITTED_BYTES_MAX = EXTRINSIC_BYTES_MAX + 64
"""A little above the limit, so that an oversized extrinsic is refused by name and not by the parser."""
EXPLANATIONS = {
    Validity.CALL: "Transaction call is not expected",
    Validity.PAYMENT: "Inability to pay some fees (e.g. account balance too low)",
    Validity.FUTURE: "Transaction will be valid in the future",
    Validity.STALE: "Transaction is outdated",
    Validity.BAD_PROOF: "Transaction has a bad signature",
    Validity.ANCIENT_BIRTH_BLOCK: "Transaction has an ancient birth block",
    Validity.EXHAUSTS_RESOURCES: "Transaction would exhaust the block limits",
    Validity.CUSTOM: "Invalid Transaction custom error",
    Validity.BAD_MANDATORY: "A call was labelled as mandatory, but resulted in an Error.",
    Validity.MANDATORY_VALIDATION: "Transaction dispatch is mandatory; transactions must not be validated.",
    Validity.BAD_SIGNER: "Invalid signing address",
}


def submission_error(error: PoolError | InvalidTransaction | ScaleError) -> RpcError:
    """The JSON-RPC error of a refused transaction: Substrate's code and words, and our explanation as data."""
    if isinstance(error, ScaleError):
        return RpcError(EXTRINSIC_UNDECODABLE, f"Extrinsic has invalid format: {error}")
    if isinstance(error, PoolError):
        return RpcError(error.code, type(error).__name__, str(error))
    detail = f"{EXPLANATIONS[error.code]}: {error.explanation}"
    return RpcError(EXTRINSIC_INVALID, "Invalid Transaction", detail)


class AuthorApi:
    """Answers about transactions."""

    def __init__(self, chain: Chain, transactions: Transactions, keystore: Keystore) -> None:
        self.chain = chain
        self.transactions = transactions
        self.keystore = keystore

    def register(self, methods: Methods) -> None:
        """Add the methods to the table."""
        methods.register("author_submitExtrinsic", self.submit)
        methods.register("author_pendingExtrinsics", self.pending)
        methods.register("author_hasKey", self.has_key, unsafe=True)
        methods.register("author_insertKey", self.insert_key, unsafe=True)
        methods.register_subscription(
            "author_submitAndWatchExtrinsic",
            "author_unwatchExtrinsic",
            "author_extrinsicUpdate",
            self.submit_and_watch,
        )

    def _take(self, value: Any) -> bytes:
        raw = hex_bytes(value, "extrinsic", SUBMITTED_BYTES_MAX)
        try:
            return self.transactions.submit(raw, local=True)
        except (PoolError, InvalidTransaction, ScaleError) as error:
            raise submission_error(error) from error

    async def submit(self, extrinsic: Any) -> str:
        """Put a signed extrinsic into the pool; its hash."""
        return hexed(self._take(extrinsic))

    async def pending(self) -> list[str]:
        """All transactions in the pool."""
        return [hexed(entry.extrinsic.raw) for entry in self.transactions.pool.entries.values()]

    async def submit_and_watch(self, subscription: Subscription, extrinsic: Any) -> None:
        """Submit, and be told every change of status until the transaction is final or gone."""
        send, receive = trio.open_memory_channel[TransactionUpdate](64)
        raw = hex_bytes(extrinsic, "extrinsic", SUBMITTED_BYTES_MAX)
        watched = self.transactions.watch(raw, send)
        subscription.on_close(lambda: self.transactions.unwatch(watched, send))
        try:
            self._take(extrinsic)
        except RpcError:
            self.transactions.unwatch(watched, send)
            raise
        subscription.start(self._push_updates, subscription, receive)

    @staticmethod
    async def _push_updates(subscription: Subscription, updates: trio.MemoryReceiveChannel[TransactionUpdate]) -> None:
        async with updates:
            async for update in updates:
                subscription.push(update.json())
                if update.last:
                    break

    async def has_key(self, public_key: Any, key_type: Any) -> bool:
        """Whether the keystore holds a key."""
        return self.keystore.has(_key_type(key_type), hex_bytes(public_key, "publicKey", 32, 32))

    async def insert_key(self, key_type: Any, suri: Any, public_key: Any) -> None:
        """Put a key into the keystore; it acts at once."""
        try:
            pair = from_uri(text(suri, "suri", 512))
        except SecretError as error:
            raise InvalidParams("suri", str(error)) from error
        if pair.public != hex_bytes(public_key, "publicKey", 32, 32):
            raise InvalidParams("publicKey", "is not the public key of suri")
        self.keystore.insert(_key_type(key_type), pair)


def _key_type(value: Any) -> bytes:
    name = text(value, "keyType", 4)
    if name not in ("aura", "gran", "acco"):
        raise InvalidParams("keyType", "must be aura, gran or acco")
    return name.encode()
