"""A chain of one validator for benchmarks: real signed blocks on LevelDB, made apart from their import.

Figures taken on it are ratios to raw libsodium verification in the same run, because machines differ (performance.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair

from node.beacon_chain import BeaconAuthor, genesis_commitment
from node.store.database import LevelDatabase
from node.store.startup import create_store
from runtime.executive import Executive
from runtime.extrinsic import ExtrinsicCache, SigningContext, bare_extrinsic, sign_extrinsic
from runtime.heddle import TRANSACTION_VERSION, Heddle, build_genesis
from runtime.pallet import RuntimeCall
from runtime.types import Block, Digest, slot_item

SLOT_MS = 2000
FIRST_SLOT = 1000


class Signer:
    """An account that signs transactions in order."""

    def __init__(self, seed: bytes) -> None:
        self.public, self._secret = crypto_sign_seed_keypair(seed)
        self.nonce = 0

    def sign(self, call: bytes, context: SigningContext) -> bytes:
        """The extrinsic with this account's next nonce."""
        raw = sign_extrinsic(call, self.public, _signer(self._secret), context, nonce=self.nonce)
        self.nonce += 1
        return raw


def _signer(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda message: crypto_sign(message, secret)[:64]


class BenchmarkChain:
    """`builder` makes blocks; other executives import them. `genesis` adds sections to the one validator's."""

    def __init__(self, folder: Path, author: bytes, genesis: dict[str, dict[str, Any]]) -> None:
        secret = b"benchmark author".ljust(32, b".")
        member = {"account": author, "aura": author, "grandpa": author, "beacon": genesis_commitment(secret)}
        base: dict[str, dict[str, Any]] = {"system": {"slotMs": SLOT_MS}, "session": {"validators": [member]}}
        header, pairs = build_genesis({**base, **genesis})
        self.genesis = self.head = header
        self.store = create_store(LevelDatabase(folder / "db"), header.encode(), header.hash(), pairs)
        self._beacon = BeaconAuthor(secret, header.hash())
        self.builder = self.new_executive(ExtrinsicCache())
        self.context = SigningContext(self.builder.runtime.state.spec, TRANSACTION_VERSION, header.hash())

    def new_executive(self, cache: ExtrinsicCache) -> Executive:
        """An executive on a runtime of its own."""
        runtime = Heddle(SLOT_MS)
        runtime.system.genesis_hash = self.genesis.hash()
        return Executive(runtime, cache)

    def look(self) -> Heddle:
        """The builder's runtime on the state of the head, as the next block will start from it."""
        runtime = self.builder.runtime
        runtime.attach(self.store.state_at(self.head.hash()), self.head.number + 1)
        runtime.look_from(self.head)
        return runtime

    def signed(self, signer: Signer, pallet: str, name: str, *arguments: Any) -> bytes:
        """A transaction."""
        return signer.sign(self.encoded(self.definition(pallet, name)(*arguments)), self.context)

    def definition(self, pallet: str, name: str) -> Any:
        """The definition of a call by its names."""
        return self.builder.runtime.definition(pallet, name)

    def encoded(self, call: RuntimeCall) -> bytes:
        """A call's bytes."""
        return self.builder.runtime.call_codec.encode(call)

    def make_block(self, transactions: Sequence[bytes]) -> Block:
        """A block of these transactions upon the head; it is not stored. AssertionError if one of them fails."""
        runtime, executive = self.look(), self.builder
        slot = FIRST_SLOT + self.head.number + 1
        commitment = runtime.beacon.author_commitment(slot)
        assert commitment is not None, "the one validator has a commitment"
        reveal = self._beacon.reveal(commitment, runtime.beacon.chain(commitment))
        reader = self.store.state_at(self.head.hash())
        executive.start(self.head.hash(), self.head.number + 1, Digest((slot_item(slot), reveal.item())), reader)
        raws = [bare_extrinsic(self.encoded(self.definition("Timestamp", "set")(slot * SLOT_MS))), *transactions]
        for raw in raws:
            failure = executive.apply(executive.cache.decode(raw, runtime))
            assert failure is None, f"the workload holds no failing transaction: {runtime.error_name(failure)}"
        return Block(executive.finish().header, tuple(raws))

    def import_block(self, block: Block, executive: Executive) -> float:
        """Execute, compare roots and persist; seconds of CPU time."""
        start = time.process_time()
        executed = executive.execute_block(block, self.store.state_at(block.header.parent_hash))
        header = block.header
        self.store.import_block(
            header.hash(),
            header.parent_hash,
            header.number,
            header.encode(),
            executed.extrinsics,
            executed.events,
            executed.changes,
            executed.root,
            is_new_best=True,
        )
        self.store.finalize(header.hash())
        taken = time.process_time() - start
        self.head = header
        return taken


def raw_verify_seconds(count: int) -> float:
    """CPU seconds to verify `count` signatures over payloads of a transfer's size with libsodium alone."""
    public, secret = crypto_sign_seed_keypair(b"raw verification".ljust(32, b"."))
    signed = [crypto_sign(bytes(120) + n.to_bytes(8, "little"), secret) for n in range(count)]
    start = time.process_time()
    for message in signed:
        crypto_sign_open(message, public)
    return time.process_time() - start
