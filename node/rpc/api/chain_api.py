"""chain_*: blocks, headers, heads and subscriptions to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from node.chain import Chain
from node.events import Finalised, Imported
from node.rpc.methods import Methods
from node.rpc.params import LIST_MAX, block_hash, block_number, items
from node.rpc.subscription import Subscription
from node.store.errors import UnknownBlock
from node.store.records import Head
from runtime.scale import codec_of
from runtime.types import DigestItem, Header

DIGEST_ITEM = codec_of(DigestItem)


def hexed(data: bytes) -> str:
    """Bytes as clients want them."""
    return "0x" + data.hex()


def header_json(header: Header) -> dict[str, Any]:
    """A header as Substrate's RPC shows it."""
    return {
        "parentHash": hexed(header.parent_hash),
        "number": hex(header.number),
        "stateRoot": hexed(header.state_root),
        "extrinsicsRoot": hexed(header.extrinsics_root),
        "digest": {"logs": [hexed(DIGEST_ITEM.encode(item)) for item in header.digest.logs]},
    }


class ChainApi:
    """Answers about blocks."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def register(self, methods: Methods) -> None:
        """Add the methods to the table."""
        methods.register("chain_getBlockHash", self.block_hash, aliases=("chain_getHead",))
        methods.register("chain_getFinalizedHead", self.finalised_head, aliases=("chain_getFinalisedHead",))
        methods.register("chain_getHeader", self.header)
        methods.register("chain_getBlock", self.block)
        for subscribe, unsubscribe, push, aliases, function in (
            (
                "chain_subscribeNewHeads",
                "chain_unsubscribeNewHeads",
                "chain_newHead",
                (("chain_subscribeNewHead", "chain_unsubscribeNewHead"), ("subscribe_newHead", "unsubscribe_newHead")),
                self.new_heads,
            ),
            ("chain_subscribeAllHeads", "chain_unsubscribeAllHeads", "chain_allHead", (), self.all_heads),
            (
                "chain_subscribeFinalizedHeads",
                "chain_unsubscribeFinalizedHeads",
                "chain_finalizedHead",
                (("chain_subscribeFinalisedHeads", "chain_unsubscribeFinalisedHeads"),),
                self.finalised_heads,
            ),
        ):
            methods.register_subscription(subscribe, unsubscribe, push, function, aliases=aliases)

    async def block_hash(self, number: Any = None) -> Any:
        """The hash at a height of the best chain (or a list of them); without one, the best head's."""
        if number is None:
            return hexed(self.chain.best.hash)
        if isinstance(number, list):
            return [self._hash_at(block_number(one, "number")) for one in items(number, "number", LIST_MAX)]
        return self._hash_at(block_number(number))

    def _hash_at(self, number: int) -> str | None:
        found = self.chain.store.hash_at(number)
        return None if found is None else hexed(found)

    async def finalised_head(self) -> str:
        """The hash of the last final block."""
        return hexed(self.chain.finalised.hash)

    async def header(self, hash: Any = None) -> Any:
        """A header, of the best block by default; null if unknown."""
        try:
            return header_json(self.chain.header(self._hash_or_best(hash)))
        except UnknownBlock:
            return None

    async def block(self, hash: Any = None) -> Any:
        """A block with its justifications; null if unknown."""
        wanted = self._hash_or_best(hash)
        block = self.chain.block(wanted)
        if block is None:
            return None
        justification = self.chain.store.justification(wanted)
        justifications = None if justification is None else [[list(b"FRNK"), list(justification)]]
        content = {"header": header_json(block.header), "extrinsics": [hexed(raw) for raw in block.extrinsics]}
        return {"block": content, "justifications": justifications}

    def _hash_or_best(self, value: Any) -> bytes:
        return self.chain.best.hash if value is None else block_hash(value)

    async def new_heads(self, subscription: Subscription) -> None:
        """Best heads, from the present one on."""
        subscription.push(header_json(self.chain.header(self.chain.best.hash)))
        subscription.start(self._follow, subscription, self._best_of)

    async def all_heads(self, subscription: Subscription) -> None:
        """Every imported header."""
        subscription.push(header_json(self.chain.header(self.chain.best.hash)))
        subscription.start(self._follow, subscription, self._all_of)

    async def finalised_heads(self, subscription: Subscription) -> None:
        """Final heads, none left out."""
        subscription.push(header_json(self.chain.header(self.chain.finalised.hash)))
        subscription.start(self._follow, subscription, self._final_of)

    async def _follow(self, subscription: Subscription, pick: Callable[[Any], tuple[Head, ...]]) -> None:
        with self.chain.events.listen() as events:
            async for event in events:
                for head in pick(event):
                    try:
                        header = self.chain.header(head.hash)
                    except UnknownBlock:
                        continue  # finality has removed its fork before we came to read of it
                    subscription.push(header_json(header))
        subscription.close()

    @staticmethod
    def _best_of(event: Any) -> tuple[Head, ...]:
        if isinstance(event, Finalised):
            return (event.best,) if event.enacted else ()
        return (event.head,) if isinstance(event, Imported) and event.is_best else ()

    @staticmethod
    def _all_of(event: Any) -> tuple[Head, ...]:
        return (event.head,) if isinstance(event, Imported) else ()

    @staticmethod
    def _final_of(event: Any) -> tuple[Head, ...]:
        return event.heads if isinstance(event, Finalised) else ()
