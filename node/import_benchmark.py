"""Block import, measured against raw libsodium verification in the same run.

Blocks of signed transfers between random accounts of a large state, with the full runtime and LevelDB. Used by
`heddle benchmark import` and `make bench`; the figures are ratios, because machines differ (performance.md).
"""

from __future__ import annotations

import gc
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair

from node.beacon_chain import BeaconAuthor, genesis_commitment
from node.store.database import LevelDatabase
from node.store.startup import create_store
from node.store.store import Store
from pallets.balances import UNIT
from runtime.executive import Executive
from runtime.extrinsic import ExtrinsicCache, SigningContext, bare_extrinsic, sign_extrinsic
from runtime.heddle import TRANSACTION_VERSION, Heddle, build_genesis
from runtime.types import Block, Digest, Header, slot_item

SLOT_MS = 2000
FIRST_SLOT = 1000


@dataclass(frozen=True, slots=True)
class ImportFigures:
    """Rates are per second on one core; ratios are against raw verification."""

    transfers_per_block: int
    accounts: int
    blocks: int
    raw_verify_per_second: float
    import_per_second: float
    cached_per_second: float
    tree_us_per_changed_key: float

    @property
    def import_per_raw_verify(self) -> float:
        """Import with verification, relative to verification alone."""
        return self.import_per_second / self.raw_verify_per_second

    @property
    def cached_per_raw_verify(self) -> float:
        """Import of transactions that gossip verified before, relative to verification alone."""
        return self.cached_per_second / self.raw_verify_per_second


class Workload:
    """A chain with many accounts, and blocks of transfers made for it."""

    def __init__(self, folder: Path, accounts: int, transfers: int, seed: int = 1) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a repeatable workload, no secret
        self.transfers = transfers
        seeds = [number.to_bytes(32, "little") for number in range(1, transfers + 1)]
        self.senders = [crypto_sign_seed_keypair(seed_) for seed_ in seeds]
        self.accounts = [public for public, _ in self.senders]
        self.accounts += [self.random.randbytes(32) for _ in range(accounts - transfers)]
        self.nonce = 0
        author, self.author_secret = self.accounts[0], b"benchmark author".ljust(32, b".")
        member = {
            "account": author,
            "aura": author,
            "grandpa": author,
            "beacon": genesis_commitment(self.author_secret),
        }
        config: dict[str, dict[str, Any]] = {
            "system": {"slotMs": SLOT_MS},
            "balances": {"balances": [[account, 1000 * UNIT] for account in self.accounts]},
            "session": {"validators": [member]},
        }
        header, pairs = build_genesis(config)
        self.genesis = header
        self.store = create_store(LevelDatabase(folder / "db"), header.encode(), header.hash(), pairs)
        self.beacon = BeaconAuthor(self.author_secret, header.hash())
        self.builder = self.new_executive(ExtrinsicCache())
        self.head: Header = header

    def new_executive(self, cache: ExtrinsicCache) -> Executive:
        """An executive on a runtime of its own."""
        runtime = Heddle(SLOT_MS)
        runtime.system.genesis_hash = self.genesis.hash()
        return Executive(runtime, cache)

    def make_block(self) -> Block:
        """A block of transfers, one per sender, upon the head; it is not stored."""
        executive = self.builder
        runtime = executive.runtime
        number = self.head.number + 1
        runtime.attach(self.store.state_at(self.head.hash()), number)
        commitment = runtime.beacon.author_commitment(FIRST_SLOT + number)
        assert commitment is not None, "the one validator has a commitment"
        reveal = self.beacon.reveal(commitment, runtime.beacon.chain(commitment))
        digest = Digest((slot_item(FIRST_SLOT + number), reveal.item()))
        executive.start(self.head.hash(), number, digest, self.store.state_at(self.head.hash()))
        timestamp = runtime.definition("Timestamp", "set")((FIRST_SLOT + number) * SLOT_MS)
        raws = [bare_extrinsic(runtime.call_codec.encode(timestamp)), *self._transfers(runtime)]
        for raw in raws:
            executive.apply(executive.cache.decode(raw, runtime))
        return Block(executive.finish().header, tuple(raws))

    def _transfers(self, runtime: Heddle) -> list[bytes]:
        context = SigningContext(runtime.state.spec, TRANSACTION_VERSION, self.genesis.hash())
        transfer = runtime.definition("Balances", "transfer_keep_alive")
        raws = []
        for public, secret in self.senders:
            call = runtime.call_codec.encode(transfer(self.random.choice(self.accounts), UNIT // 1000))
            raws.append(sign_extrinsic(call, public, _signer(secret), context, nonce=self.nonce))
        self.nonce += 1
        return raws

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


def _signer(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda message: crypto_sign(message, secret)[:64]


def raw_verify_seconds(workload: Workload, count: int) -> float:
    """CPU seconds to verify `count` signatures over payloads of a transfer's size with libsodium alone."""
    signed = [(crypto_sign(bytes(120) + n.to_bytes(8, "little"), workload.senders[0][1])) for n in range(count)]
    public = workload.senders[0][0]
    start = time.process_time()
    for message in signed:
        crypto_sign_open(message, public)
    return time.process_time() - start


def tree_seconds_per_key(store: Store, head: Header, seed: int) -> float:
    """CPU seconds per changed key of a state tree update of 4,000 existing keys, key hashes cached."""
    reader = store.state_at(head.hash())
    keys = [key for key, _ in reader.iterate(b"")]
    generator = random.Random(seed)  # noqa: S311 - a repeatable workload, no secret
    changes: list[tuple[bytes, bytes | None]] = [
        (key, generator.randbytes(80)) for key in sorted(generator.sample(keys, min(4000, len(keys))))
    ]
    reader.updated_root(changes)
    start = time.process_time()
    reader.updated_root(changes)
    return (time.process_time() - start) / len(changes)


def measure_import(
    blocks: int = 3, transfers: int = 2000, accounts: int = 100_000, progress: Callable[[str], None] = lambda _: None
) -> ImportFigures:
    """Measure, interleaving raw verification, cached and uncached imports, taking the medians."""
    raw, full, cached = [], [], []
    with tempfile.TemporaryDirectory(prefix="heddle-bench-") as folder:
        progress(f"building a state of {accounts} accounts")
        workload = Workload(Path(folder), accounts, transfers)
        importing, importing_cached = (
            workload.new_executive(ExtrinsicCache()),
            workload.new_executive(workload.builder.cache),
        )
        gc.collect()
        gc.freeze()
        for number in range(blocks):
            progress(f"round {number + 1} of {blocks}")
            raw.append(raw_verify_seconds(workload, transfers))
            full.append(workload.import_block(workload.make_block(), importing))
            block = workload.make_block()
            cached.append(workload.import_block(block, importing_cached))
        tree_seconds = tree_seconds_per_key(workload.store, workload.head, 7)
        workload.store.close()

    def rate(samples: list[float]) -> float:
        return transfers / sorted(samples)[len(samples) // 2]

    return ImportFigures(transfers, accounts, blocks, rate(raw), rate(full), rate(cached), tree_seconds * 1e6)
