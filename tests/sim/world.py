"""Tier 2: whole nodes on simulated ports, under trio's MockClock, from one seed.

A crash ends a node's tasks at once and keeps what its disks had synced, the vote log included; `start` boots it again
from that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TypeVar, TypeVarTuple

import trio
from trio.testing import MockClock
from trio_typing import TaskStatus

from node.finality.votes_file import VotesFile
from node.keys.keystore import AURA, GRAN, Keystore
from node.keys.pair import dev_pair
from node.node import Node, Ports
from node.store.startup import create_store, is_initialised, open_store
from pallets.session import SESSION_SLOTS
from runtime.chain_spec import Genesis, local_spec
from runtime.dev_accounts import dev_validator
from tests.sim.disk import MemoryDatabase
from tests.sim.network import SimNetwork, Switchboard

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
START_MS = 1_700_000_000_000
POLL_S = 0.05


class SimClock:
    """Wall time that trio's mock clock drives."""

    def now_ms(self) -> int:
        return START_MS + round(trio.current_time() * 1000)


class SimEntropy:
    """Seeded secrets."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)


class InlineCompute:
    """Execution in the event loop itself."""

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        await trio.lowlevel.checkpoint()
        return function(*arguments)


class MemoryVotesLog:
    """The vote log's disk: every write is synced, as the real one is."""

    def __init__(self) -> None:
        self.content = b""

    def read(self) -> bytes:
        return self.content

    def append(self, data: bytes) -> None:
        self.content += data

    def truncate(self, size: int) -> None:
        self.content = self.content[:size]

    def replace(self, data: bytes) -> None:
        self.content = data

    def close(self) -> None:
        """Nothing is held."""


class Machine:
    """A node's disks, and the node while it is up."""

    def __init__(self, world: World, name: str, folder: Path, *, validator: bool) -> None:
        self.world = world
        self.name = name
        self.database = MemoryDatabase()
        self.votes = MemoryVotesLog()
        self.validator = validator
        self.keystore = Keystore(folder / name / "keystore")
        self.folder = folder / name
        self.random = Random(f"{world.seed} {name}")
        self.node: Node | None = None
        self.network: SimNetwork | None = None
        self._scope = trio.CancelScope()
        self._stopped = trio.Event()
        self._stopped.set()
        if validator:
            for key_type in (AURA, GRAN):
                self.keystore.insert(key_type, dev_pair(name))

    @property
    def up(self) -> Node:
        """The running node."""
        assert self.node is not None, f"{self.name} is down"
        return self.node

    async def start(self) -> None:
        """Boot from the disks."""
        genesis = self.world.genesis
        genesis_hash = genesis.header.hash()
        if is_initialised(self.database):
            store = open_store(self.database, genesis_hash)
        else:
            store = create_store(self.database, genesis.header.encode(), genesis_hash, genesis.state)
        self.network = self.world.board.join(self.name)
        ports = Ports(self.network, SimClock(), SimEntropy(self.random), InlineCompute())
        node = Node(
            store,
            genesis.slot_ms,
            ports,
            self.keystore,
            VotesFile(self.votes),
            self.folder / "blobs",
            validator=self.validator,
        )
        self.network.update_status(node.sync.status())
        self._stopped = trio.Event()
        self._scope = trio.CancelScope()
        await self.world.nursery.start(self._live, node)

    async def _live(self, node: Node, *, task_status: TaskStatus[None]) -> None:
        with self._scope:
            self.node = node
            await node.run(task_status.started)
        self.node = None
        self._stopped.set()

    async def crash(self) -> None:
        """Lose everything that was not synced."""
        assert self.network is not None
        self._scope.cancel()
        await self._stopped.wait()
        self.world.board.leave(self.network)
        self.database = self.database.crash(self.random)


def genesis_of(names: list[str], slot_ms: int, session_slots: int) -> Genesis:
    """A local network of these validators."""
    spec = local_spec([dev_validator(name) for name in names], slot_ms)
    sections = dict(spec.sections or {})
    sections["session"] = {**sections["session"], "slots": session_slots}
    return replace(spec, sections=sections).build()


class World:
    """The machines of one network."""

    def __init__(
        self,
        seed: int,
        names: list[str],
        folder: Path,
        nursery: trio.Nursery,
        slot_ms: int,
        followers: list[str],
        session_slots: int,
    ) -> None:
        self.seed = seed
        self.nursery = nursery
        self.board = Switchboard(seed)
        self.genesis = genesis_of(names, slot_ms, session_slots)
        self.machines = [Machine(self, name, folder, validator=True) for name in names]
        self.machines += [Machine(self, name, folder, validator=False) for name in followers]

    async def until(self, condition: Callable[[], bool], deadline_s: float, what: str) -> None:
        """Let the world live until something holds; AssertionError when it does not within virtual seconds."""
        end = trio.current_time() + deadline_s
        while not condition():
            assert trio.current_time() < end, f"seed {self.seed}: not within {deadline_s} s: {what}: {self}"
            await trio.sleep(POLL_S)

    def finalised(self) -> list[int]:
        """The final heights of the nodes that are up."""
        return [machine.node.chain.finalised.number for machine in self.machines if machine.node is not None]

    def best(self) -> int:
        """The highest block of the nodes that are up."""
        return max(machine.node.chain.best.number for machine in self.machines if machine.node is not None)

    def __repr__(self) -> str:
        heads = [
            f"{machine.name} {machine.node.chain.best.number}/{machine.node.chain.finalised.number}"
            for machine in self.machines
            if machine.node is not None
        ]
        return f"best/final {', '.join(heads)}"


@asynccontextmanager
async def living(
    seed: int,
    names: list[str],
    folder: Path,
    slot_ms: int = 1_000,
    followers: list[str] | None = None,
    session_slots: int = SESSION_SLOTS,
) -> AsyncIterator[World]:
    """A running network; its tasks end with the block."""
    async with trio.open_nursery() as nursery:
        world = World(seed, names, folder, nursery, slot_ms, followers or [], session_slots)
        nursery.start_soon(world.board.run)
        for machine in world.machines:
            await machine.start()
        yield world
        for machine in world.machines:
            if machine.node is not None:
                await machine.crash()
        nursery.cancel_scope.cancel()


def simulate(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test in virtual time."""
    trio.run(test, clock=MockClock(autojump_threshold=0))
