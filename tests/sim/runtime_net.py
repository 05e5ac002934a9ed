"""Tier 1 of the runtime: blocks of random calls on forks, executed by several runtimes in different orders.

One executive authors. The others import every block, each in its own random order in which parents come first, so that
they jump between forks in different ways; all must agree on every root. After each block every rule is checked.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

from node.beacon_chain import BeaconAuthor
from node.store.database import prefix_end
from pallets.jobs.records import LIVE_STATES
from runtime import tree
from runtime.chain_spec import Genesis, local_spec
from runtime.dev_accounts import DEV_NAMES, dev_validator
from runtime.errors import InvalidTransaction
from runtime.executive import Executed, Executive
from runtime.extrinsic import SigningContext, bare_extrinsic, sign_extrinsic
from runtime.heddle import TRANSACTION_VERSION, Heddle
from runtime.types import AURA_ENGINE, Block, Digest, Header, Seal, slot_item
from tests.sim.determinism import random_of
from tests.sim.machine import pair_of
from tests.sim.players import CONSUMERS, PROCESSORS, Players
from tests.sim.rules import BrokenRule, JobStates, check_money, follow_jobs, require

SLOT_MS = 2_000
FIRST_SLOT = 850_000_000
VALIDATORS = DEV_NAMES[:4]
IMPORTERS = 2
BLOCKS = 40
"""Blocks with calls in them, on all forks."""
FORK_DEPTH_MAX = 6
STALE = 0.15
"""How often an author is offered an extrinsic again, which it must refuse without a trace in its block."""
QUIET_BLOCKS_MAX = 400
QUIET_GAP_SLOTS = 4


class SeedFailed(AssertionError):
    """A seed broke a rule; the message says how to see it again."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to."""

    trace: str
    blocks: int
    height: int
    extrinsics: int
    failures: int
    jobs: tuple[tuple[str, int], ...]
    """How many jobs of the best chain ended how."""


class ForkState:
    """The state after a block: what the next one is executed on."""

    def __init__(self, values: dict[bytes, bytes], root: tree.Node) -> None:
        self._values = values
        self._order: list[bytes] | None = None
        self.root = root

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def iterate(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        if self._order is None:
            self._order = sorted(self._values)
        low = bisect_left(self._order, max(prefix, start))
        end = prefix_end(prefix)
        high = len(self._order) if end is None else bisect_left(self._order, end)
        return iter([(key, self._values[key]) for key in self._order[low:high]])

    def updated_root(self, changes: Sequence[tuple[bytes, bytes | None]]) -> tree.Node:
        return tree.update(self.root, tree.hashed(changes))

    def after(self, executed: Executed) -> ForkState:
        """The state of a child."""
        values = dict(self._values)
        for key, value in executed.changes:
            if value is None:
                values.pop(key, None)
            else:
                values[key] = value
        return ForkState(values, executed.root)


@dataclass(slots=True)
class Node:
    """A block in the tree."""

    header: Header
    block: Block | None
    state: ForkState
    jobs: JobStates
    changes: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    slot: int = FIRST_SLOT


@cache
def executives() -> tuple[Executive, ...]:
    """One that authors, and the importers. They serve every seed: nothing may stay behind from one block to another."""
    return tuple(Executive(_new_runtime()) for _ in range(1 + IMPORTERS))


@cache
def looking() -> Heddle:
    """A runtime to look at states with."""
    return _new_runtime()


@cache
def genesis() -> Genesis:
    """Four validators, the consumers and the processors."""
    endowed = [pair_of(name).public for name in (*CONSUMERS, *PROCESSORS)]
    return local_spec([dev_validator(name) for name in VALIDATORS], SLOT_MS, endowed=endowed).build()


@cache
def beacon_author(name: str) -> BeaconAuthor:
    """The hash chain of a validator, made once."""
    return BeaconAuthor(pair_of(name).secret, genesis().header.hash())


def _new_runtime() -> Heddle:
    runtime = Heddle(SLOT_MS)
    runtime.system.genesis_hash = genesis().header.hash()
    return runtime


class RuntimeNet:
    """The block tree of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random_of(seed, "forks")
        self.players = Players(random_of(seed, "players"))
        block0 = genesis()
        root = tree.build_from_state(block0.state.items())
        self.nodes = [Node(block0.header, None, ForkState(block0.state, root), {})]
        self.author, *self.importers = executives()
        self.context = SigningContext(1, TRANSACTION_VERSION, block0.header.hash())
        self.extrinsics = self.failures = 0
        self._trace = hashlib.blake2b(digest_size=16)
        self._names = {pair_of(name).public: name for name in VALIDATORS}

    def run(self) -> Result:
        """Grow a tree of busy blocks, import it in other orders, then let the best chain end its jobs in quiet."""
        while len(self.nodes) <= BLOCKS:
            self.grow(self._drawn_parent(), self.random.choice((1, 1, 1, 2, 5)), busy=True)
        for executive in self.importers:
            self._import_all(executive)
        self._end_quietly()
        best = self._best()
        return Result(
            self._trace.hexdigest(),
            len(self.nodes) - 1,
            best.header.number,
            self.extrinsics,
            self.failures,
            tuple(sorted(Counter(state.name for state, _ in best.jobs.values()).items())),
        )

    def _best(self) -> Node:
        return max(self.nodes, key=lambda node: node.header.number)

    def _drawn_parent(self) -> Node:
        """Mostly the best block; sometimes any of the last ones."""
        if self.random.random() < 0.75:
            return self._best()
        return self.random.choice(self.nodes[-FORK_DEPTH_MAX:])

    def _look(self, node: Node) -> Heddle:
        runtime = looking()
        runtime.attach(node.state, node.header.number + 1)
        runtime.look_from(node.header)
        return runtime

    def grow(self, parent: Node, gap: int, *, busy: bool) -> Node:
        """Author a child of `parent`, `gap` slots later, and check every rule on the state after it."""
        slot = parent.slot + gap
        runtime = self._look(parent)
        key = runtime.aura.author_key(slot)
        assert key is not None
        name = self._names[key]
        commitment = runtime.beacon.author_commitment(slot)
        assert commitment is not None
        reveal = beacon_author(name).reveal(commitment, runtime.beacon.chain(commitment))
        extrinsics = self._drawn_extrinsics(runtime, slot) if busy else []
        author = self.author
        digest = Digest((slot_item(slot), reveal.item()))
        author.start(parent.header.hash(), parent.header.number + 1, digest, parent.state)
        for raw in (self._timestamp(slot), *extrinsics):
            try:
                author.apply(author.cache.decode(raw, author.runtime))
            except InvalidTransaction:
                continue
        executed = author.finish()
        self.extrinsics += len(executed.extrinsics)
        self.failures += len(executed.failures)
        unsealed = executed.header
        header = unsealed.with_item(Seal(AURA_ENGINE, pair_of(name).sign(unsealed.hash())))
        return self._added(parent, header, executed, slot)

    def _added(self, parent: Node, header: Header, executed: Executed, slot: int) -> Node:
        """Check the rules on the author's runtime, which still shows the state after the block."""
        runtime = self.author.runtime
        runtime.check_state()
        check_money(runtime)
        jobs = follow_jobs(parent.jobs, runtime, [event for _, event in runtime.state.events])
        block = Block(header, executed.extrinsics)
        node = Node(header, block, parent.state.after(executed), jobs, executed.changes, slot)
        self.nodes.append(node)
        self._trace.update(header.hash())
        return node

    def _timestamp(self, slot: int) -> bytes:
        runtime = looking()
        return bare_extrinsic(runtime.call_codec.encode(runtime.definition("Timestamp", "set")(slot * SLOT_MS)))

    def _drawn_extrinsics(self, runtime: Heddle, slot: int) -> list[bytes]:
        """Calls by anyone, signed with the nonces of the parent's state."""
        nonces: dict[str, int] = {}
        raws = []
        for name, call in self.players.calls(runtime, slot * SLOT_MS):
            pair = pair_of(name)
            nonce = nonces.get(name, runtime.system.accounts.get(pair.public).nonce)
            nonces[name] = nonce + 1
            data = runtime.call_codec.encode(call)
            raws.append(sign_extrinsic(data, pair.public, pair.sign, self.context, nonce=nonce))
            if self.random.random() < STALE:
                raws.append(self.random.choice(raws))
        return raws

    def _import_all(self, executive: Executive) -> None:
        """Every block once more, in a random order with parents first."""
        by_hash = {node.header.hash(): node for node in self.nodes}
        children: dict[bytes, list[Node]] = {}
        for node in self.nodes[1:]:
            children.setdefault(node.header.parent_hash, []).append(node)
        ready = list(children.get(self.nodes[0].header.hash(), []))
        while ready:
            node = ready.pop(self.random.randrange(len(ready)))
            assert node.block is not None
            executed = executive.execute_block(node.block, by_hash[node.header.parent_hash].state)
            require(executed.changes == node.changes, f"block {node.header.number} changed something else")
            ready += children.get(node.header.hash(), [])

    def _end_quietly(self) -> None:
        """Left alone, every job ends."""
        head = self._best()
        for _ in range(QUIET_BLOCKS_MAX):
            live = [number for number, (state, _) in head.jobs.items() if state in LIVE_STATES]
            if not live:
                return
            head = self.grow(head, QUIET_GAP_SLOTS, busy=False)
        raise BrokenRule(f"jobs {live} do not end")


def simulate(seed: int, run: Callable[[RuntimeNet], Result] = RuntimeNet.run) -> Result:
    """Run a seed. Raises SeedFailed."""
    try:
        return run(RuntimeNet(seed))
    except Exception as error:
        raise SeedFailed(f"seed {seed}: {error!r}\nagain: make sim SEED={seed} TIER=1") from error
