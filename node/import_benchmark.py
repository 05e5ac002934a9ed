"""Block import, measured against raw libsodium verification in the same run.

Blocks of signed transfers between random accounts of a large state, with the full runtime and LevelDB. Used by
`heddle benchmark import` and `make bench`; the figures are ratios, because machines differ (performance.md).
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.benchmark_chain import BenchmarkChain, Signer, raw_verify_seconds
from node.collecting import collect_seldom
from node.store.store import Store
from pallets.balances import UNIT
from runtime.extrinsic import ExtrinsicCache
from runtime.types import Block, Header


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
        self.senders = [Signer(number.to_bytes(32, "little")) for number in range(1, transfers + 1)]
        self.accounts = [sender.public for sender in self.senders]
        self.accounts += [self.random.randbytes(32) for _ in range(accounts - transfers)]
        balances = {"balances": [[account, 1000 * UNIT] for account in self.accounts]}
        self.chain = BenchmarkChain(folder, self.accounts[0], {"balances": balances})

    def make_block(self) -> Block:
        """A block of transfers, one per sender, upon the head; it is not stored."""
        chain, target = self.chain, self.random.choice
        return chain.make_block(
            [
                chain.signed(sender, "Balances", "transfer_keep_alive", target(self.accounts), UNIT // 1000)
                for sender in self.senders
            ]
        )


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
        chain = workload.chain
        importing = chain.new_executive(ExtrinsicCache())
        importing_cached = chain.new_executive(chain.builder.cache)
        collect_seldom()
        for number in range(blocks):
            progress(f"round {number + 1} of {blocks}")
            raw.append(raw_verify_seconds(transfers))
            full.append(chain.import_block(workload.make_block(), importing))
            block = workload.make_block()
            cached.append(chain.import_block(block, importing_cached))
        tree_seconds = tree_seconds_per_key(chain.store, chain.head, 7)
        chain.store.close()

    def rate(samples: list[float]) -> float:
        return transfers / sorted(samples)[len(samples) // 2]

    return ImportFigures(transfers, accounts, blocks, rate(raw), rate(full), rate(cached), tree_seconds * 1e6)
