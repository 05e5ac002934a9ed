"""Tier 3: whole nodes whose processors misbehave. Consumers, who do nothing but register, must not suffer by it.

Five processors are honest, though their machines fail now and then; two do each one thing wrong. In the end

    every job has ended, no wrong result was accepted where results are compared, and what a consumer paid is what its
    jobs' accounts say: the rest came back by itself;
    no honest processor lost a bond or was overruled as a juror (a fine for a lost lease is no loss of a bond);
    whoever a jury found wrong, or who never opened a commitment, has lost its bond and its name, or as an auditor or
    juror its lock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trio

from pallets.escrow.events import BondPaid, Forfeited
from pallets.jobs import types
from pallets.jobs.modes import is_compared
from pallets.jobs.records import LIVE_STATES, ExecutionState, JobState
from pallets.juries.events import JurorSettled, RungEnded
from pallets.juries.types import Opinion
from pallets.verification.events import BondFrozen, JuryCalled
from runtime.chain_spec import DEV_ENDOWMENT, Genesis, local_spec
from runtime.dev_accounts import GenesisValidator
from runtime.heddle import Heddle
from tests.sim.cast import Casting, Part
from tests.sim.clients import HDL, Client, drawn_job
from tests.sim.determinism import Trace, random_of
from tests.sim.machine import Machine, Wires, pair_of
from tests.sim.node_net import SLOT_MS, commitment_of, guarded
from tests.sim.observer import Observer
from tests.sim.rules import BrokenRule, require
from tests.sim.world import START_MS

VALIDATOR, CONSUMER = "Alice", "Ferdie//consumer"
HONEST = ("Alice//processor", "Bob//processor", "Charlie//processor", "Dave//processor", "Eve//processor")
VILLAINS = ("Mallory//processor", "Trudy//processor")
WRONG_RESULTS = (Part.LIAR, Part.COPIER)
"""At most one of these at a time: two of them could hang a jury of three, and then nobody would be found wrong."""
OTHER_PARTS = (Part.STALLER, Part.LATE, Part.VANISHER, Part.MUTE, Part.CENSOR)
READY_S = 30.0
JOBS_S = 3_000.0
POLL_S = 0.5
LATE_SLOTS = 80
WINDOW_MS = 240_000
MODES: tuple[tuple[types.Verification, int], ...] = (
    (types.Quorum(2), 3),
    (types.Reexecution(WINDOW_MS), 1),
    (types.Trusted(), 2),
    (types.Quorum(2), 2),
    (types.Adaptive(), 1),
)
"""How each job's results are judged, and its slots."""
FEES_MAX = HDL
"""More than a consumer's transactions cost together."""
RUINED_PPM = 200_000
"""No processor that was found wrong has a better reputation than this."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to."""

    trace: str
    events: int
    height: int
    starts: int
    parts: tuple[str, ...]
    jobs: tuple[JobState, ...]
    accepted: int
    juries: int
    punished: int


class CrookedNet:
    """The network of one seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.random = random_of(seed, "crooks")
        self.trace = Trace()
        self.genesis = genesis_of()
        self.observer = Observer(SLOT_MS, self.genesis.header.hash(), self.trace)
        self.wires = Wires(seed, self.observer, self.trace)
        parts = [self.random.choice(WRONG_RESULTS), self.random.choice(OTHER_PARTS)]
        self.castings = [Casting(name, part) for name, part in zip(VILLAINS, parts, strict=True)]
        watchful = Casting(HONEST[0], challenge_ppm=10**6)
        honest = [watchful, *(Casting(name) for name in HONEST[1:])]
        shared = (self.genesis, self.wires, self.observer, folder, lambda: 0.0)
        self.machines = [
            Machine(seed, VALIDATOR, *shared),
            Machine(seed, "Worker0", *shared, validator=False, processors=tuple(honest[:3])),
            Machine(seed, "Worker1", *shared, validator=False, processors=(*honest[3:], *self.castings)),
        ]
        self.consumer = Client(
            CONSUMER, random_of(seed, "consumer"), self.machines[:1], self.observer, lambda: True, self.machines
        )
        self._runtime = Heddle(SLOT_MS)

    async def live(self) -> Result:
        """The life of the network."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.wires.run)
            for machine in self.machines:
                nursery.start_soon(machine.live)
            await self._until(self._are_advertised, READY_S, "every processor is advertised")
            await self._register()
            await self._until(self._all_is_over, JOBS_S, "every job has ended and every bond is decided")
            nursery.cancel_scope.cancel()
        self.observer.check_history()
        return self._judge()

    async def _register(self) -> None:
        """The consumer's whole part."""
        random = self.consumer.random
        for number, (mode, slots) in enumerate(MODES):
            blob = self.consumer.store_blob(f"script {self.seed} {number}".encode())
            spec = drawn_job(random, blob, START_MS + round(trio.current_time() * 1000))
            await self.consumer.send("Jobs", "register", replace(spec, verification=mode, slots=slots))
            await trio.sleep(random.uniform(0, 20))

    # Looking at the final chain.

    def _final(self) -> Heddle:
        node = self.machines[0].node
        assert node is not None, "the validator has no power cuts"
        return node.chain.at(node.chain.finalised.hash, self._runtime)

    def _are_advertised(self) -> bool:
        if self.machines[0].node is None:
            return False
        processors = self._final().processors
        return all(processors.adverts.contains(pair_of(name).public) for name in (*HONEST, *VILLAINS))

    def _all_is_over(self) -> bool:
        runtime = self._final()
        jobs = [job for _, job in runtime.jobs.jobs.items()]
        open_ends = (runtime.verification.rounds, runtime.verification.late, runtime.juries.panels)
        waiting = any(any(True for _ in pending.items()) for pending in open_ends)
        return len(jobs) == len(MODES) and not waiting and all(job.state not in LIVE_STATES for job in jobs)

    async def _until(self, condition: Callable[[], bool], deadline_s: float, what: str) -> None:
        end = trio.current_time() + deadline_s
        while not condition():
            if trio.current_time() >= end:
                raise BrokenRule(f"not within {deadline_s} s: {what}; {self}")
            await trio.sleep(POLL_S)

    # The end.

    def _judge(self) -> Result:
        runtime = self._final()
        verdicts = [one for block in self.observer.final_chain() for one in block.verdicts]
        accepted = self._check_results(runtime)
        self._check_money(runtime, verdicts)
        self._check_honest(verdicts)
        self._check_villains(runtime, verdicts)
        return Result(
            self.trace.digest(),
            self.trace.events,
            max(self.observer.final, default=0),
            sum(machine.starts for machine in self.machines),
            tuple(casting.part.value for casting in self.castings),
            tuple(job.state for _, job in sorted(runtime.jobs.jobs.items())),
            accepted,
            sum(isinstance(one, JuryCalled) for one in verdicts),
            sum(isinstance(one, Forfeited) or _is_overruled(one) for one in verdicts),
        )

    def _check_results(self, runtime: Heddle) -> int:
        """Where results are compared, what was accepted is right. How much was accepted."""
        accepted = 0
        for (job, slot, execution), record in runtime.jobs.executions.items():
            if record.state is not ExecutionState.ACCEPTED:
                continue
            accepted += 1
            if is_compared(runtime.jobs.specs.get(job)):
                output: Any = runtime.jobs.results.get((job, slot, execution)).output
                name = runtime.jobs.jobs.get(job).id_hash.hex()
                right = self.observer.results[name, execution]
                require(output.data == right, f"a wrong result of job {job}, execution {execution} was accepted")
        return accepted

    def _check_money(self, runtime: Heddle, verdicts: list[Any]) -> None:
        """The consumer has what its jobs did not pay, and what verdicts gave it."""
        who = self.consumer.pair.public
        ledgers = [ledger for _, ledger in runtime.escrow.ledgers.items()]
        spent = sum(ledger.paid + ledger.fees for ledger in ledgers)
        gained = sum(one.amount for one in verdicts if isinstance(one, BondPaid) and one.to == who)
        expected = DEV_ENDOWMENT + gained - spent
        total = runtime.balances.total(who)
        require(runtime.balances.free(who) == total, "the consumer's money is still held")
        require(expected - FEES_MAX < total <= expected, f"the consumer has {total} planck, not nearly {expected}")

    @staticmethod
    def _check_honest(verdicts: list[Any]) -> None:
        honest = {pair_of(name).public for name in HONEST}
        for one in verdicts:
            lost = isinstance(one, Forfeited | BondPaid) and one.processor in honest
            overruled = _is_overruled(one) and one.processor in honest
            require(not lost and not overruled, f"an honest processor was punished: {one}")

    def _check_villains(self, runtime: Heddle, verdicts: list[Any]) -> None:
        """A jury that came to a verdict, and a commitment that stayed closed, cost somebody a bond and a name."""
        punished = {one.processor for one in verdicts if isinstance(one, Forfeited)}
        kind = types.RuntimeKind.WASM
        for who in punished:
            require(runtime.reputation.score(who, kind) < RUINED_PPM, "who was found wrong has a good name")
        decided = any(isinstance(one, RungEnded) and one.verdict is not None for one in verdicts)
        called = any(isinstance(one, JuryCalled) for one in verdicts)
        lost = bool(punished) or any(_is_overruled(one) for one in verdicts)
        require(lost or not (called and decided), "a jury decided and nobody was punished")
        mute = {pair_of(one.name).public for one in self.castings if one.part in (Part.MUTE, Part.COPIER)}
        for one in verdicts:
            if isinstance(one, BondFrozen) and one.processor in mute:
                require(one.processor in punished, "a commitment that was never opened cost nothing")

    def __repr__(self) -> str:
        jobs = {number: job.state.name for number, job in self._final().jobs.jobs.items()}
        return f"{[one.part.value for one in self.castings]}, jobs {jobs}"


def _is_overruled(event: Any) -> bool:
    """Whether a juror lost its lock for another result than the true one."""
    return isinstance(event, JurorSettled) and event.opinion is Opinion.DISSENTED


def genesis_of() -> Genesis:
    """A chain of one validator on which a commitment that is not opened is forfeited within minutes."""
    pair = pair_of(VALIDATOR)
    validator = GenesisValidator(pair.public, pair.public, pair.public, commitment_of(VALIDATOR))
    endowed = [pair_of(name).public for name in (CONSUMER, *HONEST, *VILLAINS)]
    spec = local_spec([validator], SLOT_MS, endowed=endowed)
    sections = {**(spec.sections or {}), "verification": {"late": LATE_SLOTS}}
    return replace(spec, sections=sections).build()


def simulate(seed: int) -> Result:
    """Run a seed. Raises SeedFailed."""
    return guarded(seed, 3, CrookedNet)
