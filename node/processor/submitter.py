"""Submitter: signs and sends the processor's calls, each until the chain shows its effect.

The watcher says at every block what it wants; the submitter sees to it that one wish has one transaction in flight. A
transaction that was included without the wished effect is sent again after a growing pause, of 64 blocks at the most.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from node.chain import Chain
from node.keys.pair import Pair
from node.log import logger
from node.pool import PoolError
from node.transactions import Transactions
from runtime.address import Era
from runtime.errors import InvalidTransaction
from runtime.extrinsic import SigningContext, sign_extrinsic
from runtime.scale import ScaleError

log = logger("processor")

ERA_BLOCKS = 64
SALT_TAG = b"heddle/salt/1"
SALT_BYTES = 32
TRIES_MAX = 6
"""From here on a call is repeated every 2^6 blocks."""
WISHES_MAX = 4096


@dataclass(slots=True)
class Wish:
    """A call in flight: its transaction, how often it was sent, and the height before which it is not sent again."""

    transaction_hash: bytes
    tries: int
    not_before: int


class Submitter:
    """Sends the calls of one account."""

    def __init__(self, chain: Chain, transactions: Transactions, pair: Pair) -> None:
        self.chain = chain
        self.transactions = transactions
        self.pair = pair
        self.on_sent: Callable[[str], None] = lambda _: None
        self._wishes: dict[Any, Wish] = {}

    @property
    def account(self) -> bytes:
        """Who signs."""
        return self.pair.public

    def salt(self, subject: bytes) -> bytes:
        """32 bytes that nobody else can tell, and that this account finds again for the same subject."""
        return hashlib.blake2b(SALT_TAG + subject, digest_size=SALT_BYTES, key=self.pair.secret).digest()

    def want(self, key: Any, pallet: str, call: str, *arguments: Any) -> bool:
        """Send a call unless it is in flight or was just tried; whether it was sent now."""
        height, wish = self.chain.best.number, self._wishes.get(key)
        if self.is_pending(key):
            return False
        if wish is None and len(self._wishes) >= WISHES_MAX:
            del self._wishes[next(iter(self._wishes))]
        tries = 1 if wish is None else min(wish.tries + 1, TRIES_MAX)
        sent = self._send(pallet, call, arguments)
        self._wishes[key] = Wish(sent or b"", tries, height + (1 << tries))
        if sent is not None:
            log.debug("sent", call=f"{pallet}.{call}", wish=str(key), tries=tries)
            self.on_sent(f"{pallet}.{call}")
        if tries == TRIES_MAX:
            log.warning("a call has no effect so far", call=f"{pallet}.{call}", wish=str(key))
        return sent is not None

    def is_pending(self, key: Any) -> bool:
        """Whether a call is in flight or was just tried: to want it now would change nothing."""
        wish = self._wishes.get(key)
        if wish is None:
            return False
        return self.chain.best.number < wish.not_before or wish.transaction_hash in self.transactions.pool.entries

    def done(self, key: Any) -> None:
        """The chain shows the effect: the wish may come again later as a new one."""
        self._wishes.pop(key, None)

    def _send(self, pallet: str, call: str, arguments: tuple[Any, ...]) -> bytes | None:
        runtime = self.transactions.ledger.runtime()
        call_data = runtime.call_codec.encode(runtime.definition(pallet, call)(*arguments))
        best = self.chain.best
        era = Era.mortal(ERA_BLOCKS, best.number)
        context = SigningContext(runtime.state.spec, runtime.transaction_version, self.chain.genesis_hash)
        raw = sign_extrinsic(
            call_data,
            self.pair.public,
            self.pair.sign,
            context,
            nonce=self.transactions.pool.next_nonce(self.pair.public),
            era=era,
            era_block_hash=self.chain.store.ancestor(best.hash, era.birth(best.number)),
            scheme=self.pair.scheme,
        )
        try:
            return self.transactions.submit(raw, local=True)
        except (PoolError, InvalidTransaction, ScaleError) as error:
            log.warning("call refused", call=f"{pallet}.{call}", reason=str(error))
            return None
