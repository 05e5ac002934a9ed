"""Machines of a simulated network: disks that survive, and a node (perhaps with a processor) while the power is on."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import TypeVar, TypeVarTuple

import trio

from node.finality.votes_file import VotesFile
from node.keys.keystore import ACCO, AURA, GRAN, Keystore
from node.keys.pair import Pair, dev_pair
from node.network.port import NetworkEvent, Notification, PeerDown, PeerId, Role
from node.node import Node, Ports
from node.store.database import Database
from node.store.startup import create_store, is_initialised, open_store
from node.store.store import Store
from runtime.chain_spec import Genesis
from tests.sim.cast import Casting, SimProcessor
from tests.sim.determinism import Trace, random_of
from tests.sim.disk import MemoryDatabase
from tests.sim.network import SimNetwork, Switchboard
from tests.sim.observer import ObservedHub, Observer
from tests.sim.power import Power, PowerCut, PoweredDatabase, PoweredVotesLog, VotesDisk
from tests.sim.rules import require
from tests.sim.world import SimClock, SimEntropy

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
SKEW_MS_MAX = 150
EXECUTION_S_MAX = 0.05
DOWN_S_MAX = 12.0
REPORT_CUTS_MAX = 2
REPORT_CUT_S_MAX = 2.5


@cache
def pair_of(name: str) -> Pair:
    """//`name`, made once: a pair costs more than a block."""
    return dev_pair(name)


class Wires(Switchboard):
    """A switchboard that shows what passes, and from which a node can vanish at once."""

    def __init__(self, seed: int, observer: Observer, trace: Trace) -> None:
        super().__init__(seed)
        self._observer = observer
        self._trace = trace

    def carry(self, source: PeerId, target: PeerId, event: NetworkEvent) -> None:
        if isinstance(event, Notification):
            self._trace.note("sent", source, target, event.kind, event.data)
            self._observer.sent(source, event)
        super().carry(source, target, event)

    def sever(self, port: SimNetwork) -> None:
        """The node is gone; its own tasks have not noticed yet."""
        if self._ports.get(port.local_id) is port:
            del self._ports[port.local_id]
            for other in self._ports.values():
                other.tell(PeerDown(port.local_id, "gone"))


class SkewedClock(SimClock):
    """A machine's own idea of the time, off by a constant."""

    def __init__(self, skew_ms: int) -> None:
        self._skew_ms = skew_ms

    def now_ms(self) -> int:
        return super().now_ms() + self._skew_ms


class SlowCompute:
    """Execution in the event loop, that takes some virtual time, before it or after it."""

    def __init__(self, random: Random) -> None:
        self._random = random

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        delay_s = self._random.uniform(0, EXECUTION_S_MAX)
        early = self._random.random() < 0.5
        await trio.sleep(0 if early else delay_s)
        result = function(*arguments)
        await trio.sleep(delay_s if early else 0)
        return result


class Machine:
    """One computer. `live` keeps it running, from one power cut to the next."""

    def __init__(
        self,
        seed: int,
        name: str,
        genesis: Genesis,
        wires: Wires,
        observer: Observer,
        folder: Path,
        power_chance: Callable[[], float],
        *,
        validator: bool = True,
        processors: tuple[Casting, ...] = (),
    ) -> None:
        self.name = name
        self.genesis = genesis
        self.wires = wires
        self.observer = observer
        self.folder = folder / name
        self.validator = validator
        self.node: Node | None = None
        self.starts = 0
        self.down_s_max = DOWN_S_MAX
        self._random = random_of(seed, f"machine {name}")
        self._power_random = random_of(seed, f"power {name}")
        self._power_chance = power_chance
        self._clock = SkewedClock(self._random.randint(-SKEW_MS_MAX, SKEW_MS_MAX))
        self._database = MemoryDatabase()
        self._votes = VotesDisk()
        self._processors = [(casting, pair_of(casting.name), MemoryDatabase()) for casting in processors]
        self._keystore = self._new_keystore()
        self._power: Power | None = None
        self._final_seen = 0
        self._report_cuts = 0

    def _new_keystore(self) -> Keystore:
        keystore = Keystore(self.folder / "keystore")
        for _, account, _ in self._processors:
            keystore.insert(ACCO, account)
        if self.validator:
            for key_type in (AURA, GRAN):
                keystore.insert(key_type, pair_of(self.name))
        return keystore

    async def live(self) -> None:
        """Start, run until the power fails, wait, and start again, for ever."""
        while True:
            with trio.CancelScope() as scope:
                await self._run(scope)
            self._note_end()
            await trio.sleep(self._random.uniform(0.2, self.down_s_max))

    def cut_power(self) -> None:
        """Off, now."""
        if self._power is not None:
            self._power.cut()

    async def _run(self, scope: trio.CancelScope) -> None:
        port = self.wires.join(self.name)
        self.starts += 1
        self.observer.trace.note("start", self.name)

        def off() -> None:
            self.observer.trace.note("off", self.name)
            self.wires.sever(port)
            scope.cancel()

        power = self._power = Power(self._power_random, self._power_chance, off)
        try:
            async with trio.open_nursery() as nursery:
                node, processors = self._boot(power, port, lambda: self._maybe_cut_soon(nursery))
                nursery.start_soon(node.run)
                for processor in processors:
                    nursery.start_soon(processor.run)
        except* PowerCut:
            self.observer.trace.note("dead", self.name)
        finally:
            self.wires.sever(port)
            port.close()
            for peer, _, reason in port.reports:
                self.observer.blamed(self.name, peer, reason)

    def _maybe_cut_soon(self, nursery: trio.Nursery) -> None:
        """A report was sent: a moment at which a crash is worth trying, in fair weather too."""
        if self._report_cuts < REPORT_CUTS_MAX and self._power_random.random() < 0.5:
            self._report_cuts += 1
            nursery.start_soon(self._cut_after, self._power_random.uniform(0, REPORT_CUT_S_MAX))

    async def _cut_after(self, delay_s: float) -> None:
        await trio.sleep(delay_s)
        self.cut_power()

    def _boot(self, power: Power, port: SimNetwork, on_report: Callable[[], None]) -> tuple[Node, list[SimProcessor]]:
        store = self._open_store(PoweredDatabase(power, self._database))
        final = store.finalised.number
        require(final >= self._final_seen, f"{self.name}: the final head receded over a restart")
        ports = Ports(port, self._clock, SimEntropy(self._random), SlowCompute(self._random))
        node = Node(
            store,
            self.genesis.slot_ms,
            ports,
            self._keystore,
            VotesFile(PoweredVotesLog(power, self._votes)),
            self.folder / "blobs",
            validator=self.validator,
            role=Role.FULL | Role.PROCESSOR if self._processors else Role.FULL,
        )
        self.observer.found(self.name, node)
        node.chain.events = ObservedHub(self.observer, self.name, node)
        port.update_status(node.sync.status())
        self.node = node
        return node, [
            SimProcessor(node, account, PoweredDatabase(power, disk), self._random, self.observer, on_report, casting)
            for casting, account, disk in self._processors
        ]

    def _open_store(self, database: Database) -> Store:
        genesis_hash = self.genesis.header.hash()
        if is_initialised(database):
            return open_store(database, genesis_hash)
        return create_store(database, self.genesis.header.encode(), genesis_hash, self.genesis.state)

    def _note_end(self) -> None:
        """The disks as the next start finds them."""
        if self.node is not None:
            self._final_seen = self.node.chain.finalised.number
        self.node = None
        self._database = self._database.crash(self._power_random)
        self._processors = [(one, pair, disk.crash(self._power_random)) for one, pair, disk in self._processors]
