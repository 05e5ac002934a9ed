"""The chain as this node knows it: one store, one executive, and the questions everyone asks.

Blocks enter by `import_block` (from peers) or `insert_own` (just authored); both end in the store and tell the hub.
Execution runs on the Compute port, one block at a time; questions about state run on runtime instances of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import trio

from consensus import aura
from node.events import EventHub, Finalised, Imported
from node.ports import Clock, Compute
from node.store.errors import BlockKnown, UnknownBlock
from node.store.reader import StateReader
from node.store.records import Head
from node.store.store import Store
from runtime.crypto import Scheme, verify
from runtime.errors import OWN_FAULTS, BlockFault, InvalidBlock
from runtime.executive import Executed, Executive
from runtime.extrinsic import ExtrinsicCache
from runtime.heddle import MAX_SPEC, Heddle
from runtime.types import Block, Header


class DeferredBlock(Exception):
    """The block's slot has not begun; `wait_ms` says for how long."""

    def __init__(self, wait_ms: int) -> None:
        super().__init__(f"the block's slot begins in {wait_ms} ms")
        self.wait_ms = wait_ms


class UpgradeNeeded(Exception):
    """From block `height` on the chain runs rules that this node does not have: it stops (spec/chain.md (d))."""

    def __init__(self, spec: int, height: int) -> None:
        super().__init__(f"block {height} needs spec version {spec}, this node has {MAX_SPEC}: install a newer release")
        self.spec = spec
        self.height = height


@dataclass(frozen=True, slots=True)
class ImportResult:
    """A block that is now stored, and its dispatch failures by extrinsic index."""

    head: Head
    is_best: bool


class Chain:
    """The node's chain. `slot_ms` and the genesis hash come from the chain spec."""

    def __init__(self, store: Store, slot_ms: int, clock: Clock, compute: Compute) -> None:
        self.store = store
        self.slot_ms = slot_ms
        self.clock = clock
        self.compute = compute
        self.events = EventHub()
        self.cache = ExtrinsicCache()
        self.genesis_hash = store.genesis_hash
        self.executive = Executive(self.new_runtime(), self.cache)
        self.equivocations = aura.EquivocationDetector()
        self.on_import_time: Callable[[float], None] = lambda _seconds: None
        self.on_equivocation: Callable[[aura.AuthorEquivocation], None] = lambda _found: None
        self._asking = self.new_runtime()
        self._lock = trio.Lock()

    def new_runtime(self) -> Heddle:
        """A runtime instance of one's own, to look at a state with."""
        runtime = Heddle(self.slot_ms)
        runtime.system.genesis_hash = self.genesis_hash
        return runtime

    # What is known.

    @property
    def best(self) -> Head:
        """The head of the best chain."""
        return self.store.best

    @property
    def finalised(self) -> Head:
        """The highest final block."""
        return self.store.finalised

    def header(self, block_hash: bytes) -> Header:
        """A stored header. Raises UnknownBlock."""
        return Header.decode(self.store.header(block_hash))

    def current_slot(self) -> int:
        """The slot that the clock says."""
        return aura.slot_at(self.clock.now_ms(), self.slot_ms)

    def at(self, block_hash: bytes, runtime: Heddle | None = None) -> Heddle:
        """A runtime that looks at the state after `block_hash`: valid until the next call with the same runtime.

        Raises UnknownBlock, StateDiscarded.
        """
        runtime = runtime or self._asking
        head = Head(self.store.number(block_hash), block_hash)
        runtime.attach(self.store.state_at(block_hash), head.number + 1)
        runtime.look_from(self.header(block_hash))
        return runtime

    # Blocks coming in.

    async def import_block(self, block: Block) -> ImportResult:
        """Check, execute and store a block from a peer.

        Raises BlockKnown, UnknownBlock (the parent), DeferredBlock, InvalidBlock, or the store's other refusals.
        """
        header = block.header
        async with self._lock:
            begun_ms = self.clock.now_ms()
            block_hash = header.hash()
            self.store.check_import(block_hash, header.parent_hash, header.number)
            sealed, author = self._check_header(header)
            early_ms = aura.slot_start_ms(sealed.slot, self.slot_ms) - self.clock.now_ms()
            if early_ms > 0:
                raise DeferredBlock(early_ms)
            self.store.check_import(block_hash, header.parent_hash, header.number, (sealed.slot, author))
            reader = self.store.state_at(header.parent_hash)
            executed = await self.compute.run(self._execute, block, reader)
            stored = self._store(header, executed, (sealed.slot, author), own=False)
            self.on_import_time((self.clock.now_ms() - begun_ms) / 1000)
            return stored

    def _execute(self, block: Block, reader: StateReader) -> Executed:
        """Run a foreign block. A fault of ours while doing so is InvalidBlock(INTERNAL): no penalty, an alarm."""
        try:
            return self.executive.execute_block(block, reader)
        except OWN_FAULTS as error:
            raise InvalidBlock(BlockFault.INTERNAL, repr(error)) from error

    def _check_header(self, header: Header) -> tuple[aura.SealedHeader, bytes]:
        """Digest, slot, author and seal, by the parent's state. Raises InvalidBlock."""
        runtime = self.at(header.parent_hash)
        if runtime.state.spec > MAX_SPEC:
            raise UpgradeNeeded(runtime.state.spec, header.number)
        parent_slot = runtime.aura.current_slot.get() if header.number > 1 else None
        authorities = runtime.aura.authorities_for_child()
        sealed = aura.check_seal(header, parent_slot, authorities, self.current_slot(), _verify_seal)
        author = aura.slot_author(sealed.slot, authorities)
        found = self.equivocations.note(sealed, author)
        if found is not None:
            self.on_equivocation(found)
        return sealed, author

    def _store(self, header: Header, executed: Executed, origin: tuple[int, bytes], *, own: bool) -> ImportResult:
        store = self.store
        head = Head(header.number, header.hash())
        is_best = head.number > store.best.number
        old = store.best
        store.import_block(
            head.hash,
            header.parent_hash,
            head.number,
            header.encode(),
            executed.extrinsics,
            executed.events,
            executed.changes,
            executed.root,
            is_new_best=is_best,
            origin=origin,
        )
        enacted, retracted = self._route(old, head) if is_best else ((), ())
        self.events.publish(Imported(head, header, is_best, own, enacted, retracted))
        return ImportResult(head, is_best)

    def _route(self, old: Head, new: Head) -> tuple[tuple[Head, ...], tuple[Head, ...]]:
        """(enacted ascending, retracted descending) between two heads."""
        store = self.store
        shared = store.common_ancestor(old.hash, new.hash)
        enacted = [Head(n, store.ancestor(new.hash, n)) for n in range(shared.number + 1, new.number + 1)]
        retracted = [Head(n, store.ancestor(old.hash, n)) for n in range(old.number, shared.number, -1)]
        return tuple(enacted), tuple(retracted)

    async def insert_own(self, header: Header, executed: Executed, origin: tuple[int, bytes]) -> ImportResult:
        """Store a block that this node authored and executed."""
        async with self._lock:
            self.store.check_import(header.hash(), header.parent_hash, header.number, origin)
            return self._store(header, executed, origin, own=True)

    # Finality.

    def finalise(self, block_hash: bytes, justification: bytes | None = None) -> bool:
        """Make a block final; whether anything became final. Raises UnknownBlock, NotDescendant."""
        store, old = self.store, self.store.best
        leaving = self._leaving(block_hash)
        result = store.finalize(block_hash, justification)
        if not result.finalised:
            return False
        enacted: tuple[Head, ...] = ()
        retracted: tuple[Head, ...] = ()
        if result.best != old:
            best, retracted = result.best, leaving
            first = leaving[-1].number
            enacted = tuple(Head(n, store.ancestor(best.hash, n)) for n in range(first, best.number + 1))
        self.events.publish(Finalised(result.finalised, result.pruned, result.best, enacted, retracted))
        return True

    def _leaving(self, block_hash: bytes) -> tuple[Head, ...]:
        """The blocks of the best chain, descending, that are gone once a block of another fork is final."""
        store, best = self.store, self.store.best
        if store.number(block_hash) <= store.finalised.number:
            return ()
        shared = store.common_ancestor(best.hash, block_hash)
        if shared.hash == block_hash:
            return ()
        return tuple(Head(n, store.ancestor(best.hash, n)) for n in range(best.number, shared.number, -1))

    def block(self, block_hash: bytes) -> Block | None:
        """A stored block, or None if it is unknown or its body is pruned."""
        try:
            body = self.store.body(block_hash)
        except UnknownBlock:
            return None
        return None if body is None else Block(self.header(block_hash), tuple(body))


def _verify_seal(key: bytes, message: bytes, signature: bytes) -> bool:
    return verify(Scheme.ED25519, key, message, signature)


__all__ = ["BlockKnown", "Chain", "DeferredBlock", "ImportResult", "UnknownBlock"]
