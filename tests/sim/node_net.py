"""Tier 2: whole nodes - store, voter, author, pool, sync, processors - on simulated ports, all from one seed.

Three phases: faults of every kind under load; healing; then the network must live again within a deadline. The observer
checks its rules all along.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog
import trio

from node.beacon_chain import genesis_commitment
from node.network.port import PeerId
from pallets.jobs.records import LIVE_STATES, JobState
from runtime.chain_spec import Genesis, local_spec
from runtime.dev_accounts import DEV_ACCOUNTS, GenesisValidator
from tests.sim.cast import Casting
from tests.sim.clients import Client, drawn_job
from tests.sim.determinism import Trace, random_of, run
from tests.sim.machine import Machine, Wires, pair_of
from tests.sim.network import Faults
from tests.sim.observer import Observer
from tests.sim.rules import BrokenRule, require
from tests.sim.world import START_MS

Came_co = TypeVar("Came_co", covariant=True)
SLOT_MS = 2_000
NAMES = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie", "Grace")
CONSUMER = "Ferdie//consumer"
SENDERS = ("Alice//sender", "Bob//sender", "Charlie//sender")
PROCESSORS = ("Alice//processor", "Bob//processor", "Charlie//processor")
FAULTS_S = 50.0
HEAL_S = 60.0
"""After healing: within this all nodes are up and finality has passed what was best then."""
WATCH_SLOTS = 15
"""Slots over which the block rate is then measured."""
AGREE_S = 30.0
JOBS_S = 500.0
POLL_S = 0.25


class SeedFailed(AssertionError):
    """A seed broke a rule; the message says how to see it again."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to."""

    trace: str
    events: int
    height: int
    forks: int
    starts: int
    transfers: int
    jobs: tuple[JobState, ...]
    runs: int
    deliveries: int


@dataclass(slots=True)
class Severity:
    """How bad it gets, drawn from the seed. Chances are per write (power) or per message."""

    power: float
    loss: float
    duplicate: float
    delay_ms_max: int
    crashes: float
    partitions: float

    @staticmethod
    def drawn(seed: int) -> Severity:
        random = random_of(seed, "severity")
        return Severity(
            power=random.choice((0.0, 0.002, 0.01)),
            loss=random.choice((0.0, 0.05, 0.3)),
            duplicate=random.choice((0.0, 0.1, 0.5)),
            delay_ms_max=random.choice((20, 300, 2_000)),
            crashes=random.choice((0.0, 0.3, 0.6)),
            partitions=random.choice((0.0, 0.3, 0.6)),
        )


class NodeNet:
    """The network of one seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.random = random_of(seed, "faults")
        self.severity = Severity.drawn(seed)
        self.trace = Trace()
        validators = NAMES if seed % 5 == 0 else NAMES[:4]
        processors = PROCESSORS if seed % 5 in (1, 3) else ()
        self.genesis = genesis_of(validators)
        self.observer = Observer(SLOT_MS, self.genesis.header.hash(), self.trace)
        self.wires = Wires(seed, self.observer, self.trace)
        self.faulty = True
        self.loading = True
        shared = (self.genesis, self.wires, self.observer, folder, self._power_chance)
        self.machines = [Machine(seed, name, *shared) for name in validators]
        self.machines += [
            Machine(seed, f"Worker{number}", *shared, validator=False, processors=(Casting(name),))
            for number, name in enumerate(processors)
        ]
        self.clients = [self._client(name) for name in SENDERS]
        self.consumer = self._client(CONSUMER) if processors else None
        self._busy = 0

    def _client(self, name: str) -> Client:
        random = random_of(self.seed, f"client {name}")
        return Client(name, random, self.machines, self.observer, lambda: self.loading)

    def _power_chance(self) -> float:
        return self.severity.power if self.faulty else 0.0

    async def live(self) -> Result:
        """The life of the network."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.wires.run)
            for machine in self.machines:
                nursery.start_soon(machine.live)
            targets = [client.pair.public for client in self.clients]
            for client in self.clients:
                self._start(nursery, client.transfers, targets)
            if self.consumer is not None:
                self._start(nursery, self._jobs, self.consumer)
            await self._weather()
            self._heal()
            await self._recover()
            nursery.cancel_scope.cancel()
        self.observer.check_history()
        return self._result()

    def _start(self, nursery: trio.Nursery, function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        async def counted() -> None:
            self._busy += 1
            try:
                await function(*arguments)
            finally:
                self._busy -= 1

        nursery.start_soon(counted)

    async def _jobs(self, consumer: Client) -> None:
        """Register a few jobs while everything goes wrong."""
        for number in range(3):
            await trio.sleep(consumer.random.uniform(1, 12))
            blob = consumer.store_blob(f"script {self.seed} {number}".encode())
            now_ms = START_MS + round(trio.current_time() * 1000)
            await consumer.send("Jobs", "register", drawn_job(consumer.random, blob, now_ms))

    # The fault phase.

    async def _weather(self) -> None:
        """Faults come and go."""
        severity, random = self.severity, self.random
        faults = self.wires.faults
        faults.loss, faults.duplicate, faults.delay_ms_max = severity.loss, severity.duplicate, severity.delay_ms_max
        self.observer.delivery_loss = severity.loss
        await trio.sleep(3 * SLOT_MS / 1000)
        while trio.current_time() < FAULTS_S:
            if random.random() < severity.crashes:
                for machine in random.sample(self.machines, random.choice((1, 1, 2, len(self.machines)))):
                    machine.cut_power()
            if random.random() < severity.partitions:
                self._part()
            await trio.sleep(random.uniform(1, 8))
            if random.random() < 0.5:
                faults.cuts.clear()
                self.trace.note("joined")

    def _part(self) -> None:
        """Cut between two groups, one way or both."""
        names = [PeerId(machine.name) for machine in self.machines]
        self.random.shuffle(names)
        place = self.random.randint(1, len(names) - 1)
        one, two = names[:place], names[place:]
        self.trace.note("parted", ",".join(one), ",".join(two))
        if self.random.random() < 0.3:
            self.wires.faults.cuts |= {(a, b) for a in one for b in two}
        else:
            self.wires.faults.part(set(one), set(two))

    # After it.

    def _heal(self) -> None:
        self.trace.note("healed")
        self.faulty = False
        self.wires.faults = Faults()
        self.observer.delivery_loss = 0.0
        for machine in self.machines:
            machine.down_s_max = 1.0

    async def _recover(self) -> None:
        """All that must happen once faults have ended, each with its deadline."""
        goal = self._best()
        await self._until(lambda: self._finals() > goal, HEAL_S, f"every node finalises a block above {goal}")
        start = self._best()
        await trio.sleep(WATCH_SLOTS * SLOT_MS / 1000)
        made = self._best() - start
        require(made * 2 >= WATCH_SLOTS, f"{made} blocks in {WATCH_SLOTS} slots after healing")
        self.loading = False
        await self._until(lambda: self._busy == 0, HEAL_S * 2, "every client's extrinsics are final")
        if self.consumer is not None:
            await self._until(self._jobs_ended, JOBS_S, "every job ends")
        last = self._best()
        await self._until(lambda: self._finals() >= last, AGREE_S, f"every node finalises {last}")

    async def _until(self, condition: Callable[[], bool], deadline_s: float, what: str) -> None:
        end = trio.current_time() + deadline_s
        while not condition():
            require(trio.current_time() < end, f"not within {deadline_s} s: {what}; {self}")
            await trio.sleep(POLL_S)

    def _best(self) -> int:
        return max((m.node.chain.best.number for m in self.machines if m.node is not None), default=0)

    def _finals(self) -> int:
        """The lowest final head; -1 while a machine is down."""
        return min(-1 if m.node is None else m.node.chain.finalised.number for m in self.machines)

    def _final_jobs(self) -> list[JobState]:
        chain = self.observer.final_chain()
        return [state for state, _ in chain[-1].jobs.values()] if chain else []

    def _jobs_ended(self) -> bool:
        return all(state not in LIVE_STATES for state in self._final_jobs())

    def _result(self) -> Result:
        observer = self.observer
        return Result(
            self.trace.digest(),
            self.trace.events,
            max(observer.final, default=0),
            len(observer.blocks) - max(observer.final, default=0),
            sum(machine.starts for machine in self.machines),
            sum(client.settled for client in self.clients),
            tuple(self._final_jobs()),
            observer.runs,
            observer.deliveries,
        )

    def __repr__(self) -> str:
        heads = [
            f"{m.name} {m.node.chain.best.number}/{m.node.chain.finalised.number}" if m.node else f"{m.name} off"
            for m in self.machines
        ]
        return f"best/final: {', '.join(heads)}"


def genesis_of(names: tuple[str, ...]) -> Genesis:
    """A chain of these validators; clients and processors have money."""
    validators = []
    for name in names:
        pair = pair_of(name)
        validators.append(GenesisValidator(pair.public, pair.public, pair.public, commitment_of(name)))
    endowed = [pair_of(name).public for name in (CONSUMER, *SENDERS, *PROCESSORS)]
    assert all(pair_of(name).public == DEV_ACCOUNTS[name] for name in names if name in DEV_ACCOUNTS)
    return local_spec(validators, SLOT_MS, endowed=endowed).build()


_commitments: dict[str, bytes] = {}


def commitment_of(name: str) -> bytes:
    """The beacon commitment of a validator, made once: it costs 65,536 hashes."""
    if name not in _commitments:
        _commitments[name] = genesis_commitment(pair_of(name).secret)
    return _commitments[name]


class Net(Protocol[Came_co]):
    """A network of one seed."""

    async def live(self) -> Came_co: ...


def simulate(seed: int) -> Result:
    """Run a seed. Raises SeedFailed."""
    return guarded(seed, 2, NodeNet)


def guarded(seed: int, tier: int, make: Callable[[int, Path], Net[Came_co]]) -> Came_co:
    """Run a seed of a network in which no node may log an error. Raises SeedFailed."""
    faults: list[str] = []

    def keep_errors(_logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        faults.append(f"{method}: {event}\n{traceback.format_exc(limit=-4)}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[keep_errors],
        wrapper_class=structlog.make_filtering_bound_logger(40),
        cache_logger_on_first_use=False,
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            net = make(seed, Path(folder))
            result = run(seed, net.live)
    except BaseExceptionGroup as group:
        raise SeedFailed(f"seed {seed}: {first_of(group)!r}\nagain: make sim SEED={seed} TIER={tier}") from group
    finally:
        structlog.configure(**before)
    if faults:
        raise SeedFailed(f"seed {seed}: a node logged an error: {faults[0]}\nagain: make sim SEED={seed} TIER={tier}")
    return result


def first_of(group: BaseException) -> BaseException:
    """The first leaf of nested exception groups, a broken rule before others."""
    leaves: list[BaseException] = []

    def collect(error: BaseException) -> None:
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                collect(one)
        else:
            leaves.append(error)

    collect(group)
    return next((leaf for leaf in leaves if isinstance(leaf, BrokenRule)), leaves[0])
