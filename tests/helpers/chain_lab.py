"""A node's chain, pool and author in memory, block by block: no network, no tasks, a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from node.authoring import Author
from node.beacon_chain import BeaconAuthor
from node.chain import Chain
from node.keys.keystore import AURA, Keystore
from node.keys.pair import Pair, dev_pair
from node.store.startup import create_store
from node.store.store import Store
from node.transactions import Transactions
from runtime.chain_spec import Genesis, local_spec
from runtime.dev_accounts import dev_validator
from runtime.executive import Executed, Executive
from runtime.extrinsic import SigningContext, bare_extrinsic, sign_extrinsic
from runtime.heddle import TRANSACTION_VERSION
from runtime.types import AURA_ENGINE, Block, Digest, Header, Seal, slot_item
from tests.sim.disk import MemoryDatabase

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
SLOT_MS = 1_000
FIRST_SLOT = 1_700_000_000
"""The slot in which a lab's clock begins."""
UNIT = 10**12
ALICE, BOB, CHARLIE, DAVE = (dev_pair(name) for name in ("Alice", "Bob", "Charlie", "Dave"))

_genesis: dict[tuple[str, ...], Genesis] = {}
_beacons: dict[tuple[bytes, bytes], BeaconAuthor] = {}


def genesis_of(*names: str) -> Genesis:
    """The genesis of a local chain of these validators, built once."""
    if names not in _genesis:
        _genesis[names] = local_spec([dev_validator(name) for name in names], SLOT_MS).build()
    return _genesis[names]


def beacon_of(pair: Pair, genesis_hash: bytes) -> BeaconAuthor:
    """An author's hash chain, computed once for all labs."""
    key = (pair.public, genesis_hash)
    if key not in _beacons:
        _beacons[key] = BeaconAuthor(pair.secret, genesis_hash)
    return _beacons[key]


@dataclass
class SetClock:
    """The chain's wall time, as the test says."""

    time_ms: int = FIRST_SLOT * SLOT_MS

    def now_ms(self) -> int:
        return self.time_ms


class Inline:
    """Execution where it is asked for."""

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        return function(*arguments)


@dataclass
class Journal:
    """Slots authored in, in memory."""

    slots: dict[bytes, int] = field(default_factory=dict)

    def last_authored(self, key: bytes) -> int | None:
        return self.slots.get(key)

    def note_authored(self, key: bytes, slot: int, block_hash: bytes) -> None:
        self.slots[key] = slot


class Lab:
    """One node. //Alice authors with `author`; `validators` may be sealed for with `make_block`."""

    def __init__(self, folder: Path, *validators: str, database: MemoryDatabase | None = None) -> None:
        names = validators or ("Alice",)
        self.genesis = genesis_of(*names)
        self.pairs = {dev_pair(name).public: dev_pair(name) for name in names}
        self.clock = SetClock()
        self.store: Store = create_store(
            database or MemoryDatabase(), self.genesis.header.encode(), self.genesis.header.hash(), self.genesis.state
        )
        self.chain = Chain(self.store, SLOT_MS, self.clock, Inline())
        self.events = self.chain.events.listen()
        self.transactions = Transactions(self.chain)
        self.keystore = Keystore(folder / "keystore")
        if not self.keystore.has(AURA, ALICE.public):
            self.keystore.insert(AURA, ALICE)
        self.journal = Journal()
        self.author = Author(self.chain, self.transactions.pool, self.keystore, self.journal)
        self.maker = Executive(self.chain.new_runtime())
        self.beacons = {public: beacon_of(pair, self.chain.genesis_hash) for public, pair in self.pairs.items()}
        self.author._beacons.update(self.beacons)
        # Shared with the maker: it is attached anew for each question and for each block.
        self.runtime = self.maker.runtime

    @property
    def pool(self) -> Any:
        """The pool."""
        return self.transactions.pool

    # Transactions.

    def call(self, pallet: str, name: str, *arguments: Any) -> bytes:
        """An encoded call by its names."""
        return self.runtime.call_codec.encode(self.runtime.definition(pallet, name)(*arguments))

    def transfer(self, amount: int = UNIT, target: bytes = CHARLIE.public) -> bytes:
        """An encoded transfer."""
        return self.call("Balances", "transfer_keep_alive", target, amount)

    def sign(
        self, call: bytes, nonce: int = 0, pair: Pair = BOB, *, spec: int = 1, genesis: bytes | None = None, **rest: Any
    ) -> bytes:
        """A signed extrinsic; `rest` are era, era_block_hash, tip."""
        context = SigningContext(spec, TRANSACTION_VERSION, genesis or self.chain.genesis_hash)
        return sign_extrinsic(call, pair.public, pair.sign, context, nonce=nonce, **rest)

    def submit(self, raw: bytes) -> bytes:
        """Into the pool."""
        return self.transactions.submit(raw, local=True)

    # Blocks.

    def tick(self, slots: int = 1) -> int:
        """Let slots pass; the slot that is now."""
        self.clock.time_ms += slots * SLOT_MS
        return self.chain.current_slot()

    async def author_block(self, slots: int = 1) -> Header:
        """Let //Alice author in the next slot; her block is the best one then."""
        assert await self.author.try_slot(self.tick(slots)), "no block was made"
        self.follow()
        return self.chain.header(self.chain.best.hash)

    def make(self, parent: bytes, slot: int, *raws: bytes) -> tuple[Block, Executed]:
        """A sealed block upon any stored block, not imported."""
        chain = self.chain
        runtime = chain.at(parent, self.runtime)
        key = runtime.aura.author_key(slot)
        commitment = runtime.beacon.author_commitment(slot)
        assert key is not None
        assert commitment is not None
        reveal = self.beacons[key].reveal(commitment, runtime.beacon.chain(commitment))
        header = chain.header(parent)
        digest = Digest((slot_item(slot), reveal.item()))
        self.maker.start(parent, header.number + 1, digest, chain.store.state_at(parent))
        time = bare_extrinsic(self.call("Timestamp", "set", slot * SLOT_MS))
        for raw in (time, *raws):
            self.maker.apply(self.maker.cache.decode(raw, self.maker.runtime))
        executed = self.maker.finish()
        return Block(self.seal(executed.header, slot, parent), executed.extrinsics), executed

    def seal(self, unsealed: Header, slot: int, parent: bytes) -> Header:
        """The header with the seal of its slot's author."""
        key = self.chain.at(parent, self.runtime).aura.author_key(slot)
        assert key is not None
        return unsealed.with_item(Seal(AURA_ENGINE, self.pairs[key].sign(unsealed.hash())))

    async def import_made(self, parent: bytes, slot: int, *raws: bytes) -> Header:
        """Make a block upon `parent` and import it, as if a peer had sent it."""
        block, _ = self.make(parent, slot, *raws)
        await self.chain.import_block(block)
        self.follow()
        return block.header

    def follow(self) -> None:
        """Hand what happened to the pool, as its task does."""
        while self.events.statistics().current_buffer_used:
            self.transactions.on_event(self.events.receive_nowait())

    def finalise(self, block_hash: bytes | None = None) -> None:
        """Make a block final, by default the best one."""
        self.chain.finalise(block_hash or self.chain.best.hash)
        self.follow()

    # Looking.

    def look(self) -> Any:
        """The runtime on the best state, its invariants checked."""
        runtime = self.chain.at(self.chain.best.hash, self.runtime)
        runtime.check_state()
        return runtime

    def free(self, pair: Pair) -> int:
        """An account's free balance."""
        free: int = self.look().balances.free(pair.public)
        return free

    def state_root(self) -> bytes:
        """A digest of the best block's whole state."""
        return self.chain.header(self.chain.best.hash).state_root

    def pool_content(self) -> tuple[Any, ...]:
        """All that the pool holds, to compare before and after."""
        pool = self.pool
        entries = [(h, e.ready, e.priority, e.extrinsic.raw) for h, e in sorted(pool.entries.items())]
        chains = [(who, sorted(chain)) for who, chain in sorted(pool.chains.items())]
        shares = (pool.ready.count, pool.ready.bytes, pool.future.count, pool.future.bytes)
        return entries, chains, shares, sorted(pool.banned)
