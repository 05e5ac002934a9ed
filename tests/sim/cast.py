"""Who is who among the simulated processors, each put together as `ProcessorService` does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random

import trio

from node.keys.pair import Pair
from node.node import Node
from node.processor.destinations.sender import DestinationFailed
from node.processor.executor import Executor
from node.processor.journal import Journal
from node.processor.matcher import Matcher
from node.processor.vault import Vault
from node.processor.watcher import Watcher
from node.store.database import Database
from runtime.hashing import blake2b256
from tests.sim import villains
from tests.sim.observer import Observer
from tests.sim.processor import ADVERT, DELIVERY_S_MAX, WORKERS, ObservedSubmitter, SimPool


class Part(Enum):
    """What a processor does wrong; the classes that do it."""

    HONEST = "honest"
    LIAR = "liar"
    STALLER = "staller"
    LATE = "late"
    VANISHER = "vanisher"
    MUTE = "mute"
    COPIER = "copier"
    CENSOR = "censor"


POOLS: dict[Part, type[SimPool]] = {
    Part.LIAR: villains.LyingPool,
    Part.STALLER: villains.StallingPool,
    Part.LATE: villains.LatePool,
}
SUBMITTERS: dict[Part, type[ObservedSubmitter]] = {
    Part.VANISHER: villains.VanishingSubmitter,
    Part.MUTE: villains.MuteSubmitter,
    Part.COPIER: villains.CopyingSubmitter,
}
MATCHERS: dict[Part, type[Matcher]] = {Part.CENSOR: villains.CensoringMatcher}


@dataclass(frozen=True, slots=True)
class Casting:
    """One processor account, and what it does wrong. `challenge_ppm`: how many of others' results it looks at."""

    name: str
    part: Part = Part.HONEST
    challenge_ppm: int = 0


class SimProcessor:
    """One processor on a node. `on_report` hears of each report, commitment and reveal sent."""

    def __init__(
        self,
        node: Node,
        pair: Pair,
        journal: Database,
        random: Random,
        observer: Observer,
        on_report: Callable[[], None],
        casting: Casting,
    ) -> None:
        self._random = random
        self._observer = observer
        part = casting.part
        submitter = SUBMITTERS.get(part, ObservedSubmitter)(node, pair, observer, on_report)
        executor = Executor(node.blobs, POOLS.get(part, SimPool)(random, observer), None, WORKERS)
        self.watcher = Watcher(
            *(node.chain, submitter, executor, Journal(journal), lambda: ADVERT, self._deliver),
            challenge_ppm=casting.challenge_ppm,
            vault=Vault(journal, pair.secret, random.randbytes),
        )
        self.matcher = MATCHERS.get(part, Matcher)(node.chain, submitter)

    async def _deliver(self, url: str, identity: str, payload: str) -> bytes:
        """A webhook that is slow and, while faults last, now and then fails."""
        await trio.sleep(self._random.uniform(0.01, DELIVERY_S_MAX))
        if self._random.random() < self._observer.delivery_loss:
            raise DestinationFailed(f"{url}: no answer")
        content = json.loads(payload)
        self._observer.delivered(content["job"], content["execution"], identity)
        return blake2b256(identity.encode())

    async def run(self) -> None:
        """Work until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.watcher.run)
            nursery.start_soon(self.matcher.run)
