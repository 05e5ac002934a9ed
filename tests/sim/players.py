"""Players: what consumers, processors, matchers and passers-by call, right and wrong, drawn from one generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

from pallets.jobs import types
from pallets.jobs.failure import AppError, Declined, InputUnavailable, OutOfResources, Resource, ScriptInvalid
from pallets.jobs.records import LIVE_STATES, ExecutionState, Slot, SlotState
from pallets.jobs.report import Failed, InlineOutput, Outcome, Succeeded
from pallets.matching.types import Placement
from runtime.hashing import blake2b256
from runtime.heddle import Heddle
from runtime.pallet import RuntimeCall
from tests.helpers.job_world import ADVERT, SCRIPT, job_spec
from tests.sim.machine import pair_of

HDL = 10**12
CONSUMERS = ("Alice", "Bob", "Charlie")
PROCESSORS = ("Processor1", "Processor2", "Processor3", "Processor4")
EVERYONE = (*CONSUMERS, "Dave", *PROCESSORS)
CALLS_MAX = 7
WRONG = 0.06
"""How often a number in a call is off by one."""
DILIGENT = 0.6
"""How often a processor does in a block what it has to."""
LIVE_JOBS_MAX = 5

Drawn = tuple[str, RuntimeCall]


class Players:
    """Everyone. `calls` looks at a state and draws what happens in the block upon it."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self._runtime: Heddle
        self._now_ms = 0
        self._names = {pair_of(name).public: name for name in EVERYONE}
        self._kinds: list[tuple[int, Callable[[], Drawn | None]]] = [
            (6, self._transfer),
            (3, self._batch),
            (3, self._register),
            (5, self._processor),
            (5, self._propose),
            (5, self._answer),
            (1, self._cancel),
            (1, self._poke),
            (1, self._resign),
            (1, self._sudo),
        ]

    def calls(self, runtime: Heddle, now_ms: int) -> Iterator[Drawn]:
        """Who calls what. `now_ms` is the time of the coming block."""
        self._runtime, self._now_ms = runtime, now_ms
        yield from self._duties()
        weights = [weight for weight, _ in self._kinds]
        for _ in range(self.random.randint(1, CALLS_MAX)):
            (_, draw) = self.random.choices(self._kinds, weights)[0]
            drawn = draw()
            if drawn is not None:
                yield drawn

    def _call(self, pallet: str, name: str, *arguments: Any) -> RuntimeCall:
        return self._runtime.definition(pallet, name)(*arguments)

    def _wrong(self) -> int:
        return 1 if self.random.random() < WRONG else 0

    def _duties(self) -> Iterator[Drawn]:
        """Most of the time processors are there, and do what they have to."""
        for name in PROCESSORS:
            public = pair_of(name).public
            known = self._runtime.processors.adverts.contains(public) and self._runtime.processors.units(public)
            if not known and self.random.random() < DILIGENT:
                yield self._processor(name)
        for job, number, slot, name in self._taken():
            if self.random.random() < DILIGENT:
                drawn = self._act(job, number, slot, name)
                if drawn is not None:
                    yield drawn

    # Money.

    def _transfer(self) -> Drawn:
        """Between anyone, to new accounts too, now and then more than there is."""
        target = self.random.choice([*(pair_of(name).public for name in EVERYONE), self.random.randbytes(32)])
        amount = self.random.choice((1, 10**9, 10**10, HDL, 1_000 * HDL, 10**25))
        name = self.random.choice(("transfer_keep_alive", "transfer_allow_death"))
        return self.random.choice(EVERYONE), self._call("Balances", name, target, amount)

    def _batch(self) -> Drawn:
        """Several calls at once: all or nothing, or up to the first failure."""
        inner = tuple(self._transfer()[1] for _ in range(self.random.randint(0, 4)))
        return self.random.choice(EVERYONE), self._call("Utility", self.random.choice(("batch", "batch_all")), inner)

    def _sudo(self) -> Drawn:
        """Root's calls, by the one who may and by others."""
        return self.random.choice(("Alice", "Bob")), self._call("Sudo", "sudo", self._transfer()[1])

    # Jobs.

    def _register(self) -> Drawn | None:
        """A job of any shape."""
        random = self.random
        if sum(job.state in LIVE_STATES for _, job in self._runtime.jobs.jobs.items()) >= LIVE_JOBS_MAX:
            return None
        start_ms = self._now_ms + random.randrange(0, 30_000)
        interval_ms = random.choice((6_000, 40_000))
        count = random.randint(1, 3)
        public = tuple(pair_of(name).public for name in PROCESSORS)
        choice = random.randrange(3)
        processors: types.ProcessorChoice = (
            types.Public(0, attested_only=False),
            types.Known(public),
            types.Personal(public),
        )[choice]
        spec = replace(
            job_spec(start_ms),
            script=SCRIPT,
            slots=random.randint(1, 3),
            processors=processors,
            reward=0 if choice == 2 else random.choice((HDL, 2 * HDL + 1, 3_333_333_333_333)),
            schedule=types.Schedule(start_ms, start_ms + (count - 1) * interval_ms + 1, interval_ms, 4_000, 80_000),
            retry=replace(types.RETRY_DEFAULT, attempts_max=random.randint(1, 3), lost_max=random.randint(0, 2)),
            timeouts=types.Timeouts(10, 200_000),
        )
        return random.choice(CONSUMERS), self._call("Jobs", "register", spec)

    def _processor(self, who: str | None = None) -> Drawn:
        """A processor registers, offers capacity, withdraws it, or says that it is alive."""
        name = who or self.random.choice(PROCESSORS)
        public = pair_of(name).public
        if not self._runtime.processors.records.contains(public):
            return name, self._call("Processors", "register", 1)
        if not self._runtime.processors.units(public) or self.random.random() < 0.1:
            return name, self._call("Processors", "stake", self.random.choice((HDL, HDL // 3, 70 * HDL)))
        if self.random.random() < 0.1:
            name_of = self.random.choice(("unstake", "withdraw_unbonded"))
            amount = (self.random.choice((1, HDL, 3 * HDL)),) if name_of == "unstake" else ()
            return name, self._call("Processors", name_of, *amount)
        consumers = tuple(sorted(pair_of(consumer).public for consumer in CONSUMERS))
        advert = replace(ADVERT, consumers=consumers if self.random.random() < 0.3 else ())
        if not self._runtime.processors.adverts.contains(public) or self.random.random() < 0.3:
            return name, self._call("Processors", "advertise", advert)
        if self.random.random() < 0.2:
            return name, self._call("Processors", "delete_advertisement")
        return name, self._call("Processors", "heartbeat", 2)

    def _live_job(self) -> int | None:
        jobs = [number for number, job in self._runtime.jobs.jobs.items() if job.state in LIVE_STATES]
        return self.random.choice(jobs) if jobs else None

    def _propose(self) -> Drawn | None:
        """Somebody proposes a processor for each slot."""
        job = self._live_job()
        if job is None:
            return None
        order = self.random.sample(PROCESSORS, len(PROCESSORS))
        count = self._runtime.jobs.jobs.get(job).slots
        placements = tuple(Placement(number, pair_of(order[number]).public, 0) for number in range(count))
        return self.random.choice(EVERYONE), self._call("Matching", "propose", job, placements)

    def _taken(self) -> list[tuple[int, int, Slot, str]]:
        """Job, number, slot and processor of every slot of a live job that has one."""
        jobs = self._runtime.jobs
        live = [number for number, job in jobs.jobs.items() if job.state in LIVE_STATES]
        return [
            (job, number, slot, self._names[slot.processor])
            for job in live
            for number, slot in jobs.slots_of(job)
            if slot.processor is not None
        ]

    def _slot(self) -> tuple[int, int, Slot, str] | None:
        taken = self._taken()
        return self.random.choice(taken) if taken else None

    def _answer(self) -> Drawn | None:
        """The processor of a slot does the next thing, perhaps a second time in this block."""
        found = self._slot()
        return None if found is None else self._act(*found)

    def _act(self, job: int, number: int, slot: Slot, name: str) -> Drawn | None:
        """What a processor has to do for a slot: answer the offer, or go on with its first live execution."""
        if slot.state is SlotState.OFFERED:
            generation = slot.generation + self._wrong()
            if self.random.random() < 0.08:
                reason = self.random.choice((Declined(), InputUnavailable()))
                return name, self._call("Jobs", "decline", job, number, generation, reason)
            return name, self._call("Jobs", "acknowledge", job, number, generation, None)
        if not slot.live:
            return None
        execution = slot.live[0]
        record = self._runtime.jobs.executions.get((job, number, execution))
        place = (job, execution, number, slot.generation + self._wrong(), record.attempt + self._wrong())
        running = record.state in (ExecutionState.RUNNING, ExecutionState.SUSPECT)
        if self.random.random() < 0.1:
            return name, self._call("Jobs", "progress", *place, self.random.randrange(1_100))
        if running != (self.random.random() < WRONG):
            return name, self._call("Jobs", "report", *place, self._outcome())
        return name, self._call("Jobs", "started", *place)

    def _outcome(self) -> Outcome:
        random = self.random
        if random.random() < 0.7:
            output = random.randbytes(random.choice((0, 5, 64)))
            return Succeeded(blake2b256(output), InlineOutput(output), random.randrange(2_000), ())
        classes = (AppError(7), OutOfResources(Resource.WALL), OutOfResources(Resource.COMPUTE), ScriptInvalid())
        return Failed(random.choice((*classes, InputUnavailable())), "as drawn", 10)

    def _cancel(self) -> Drawn | None:
        """The owner, or somebody else, cancels."""
        job = self._live_job()
        return None if job is None else (self.random.choice(CONSUMERS), self._call("Jobs", "cancel", job))

    def _poke(self) -> Drawn | None:
        """Anyone has a job looked at."""
        job = self._live_job()
        return None if job is None else (self.random.choice(EVERYONE), self._call("Jobs", "poke", job))

    def _resign(self) -> Drawn | None:
        """A processor leaves."""
        found = self._slot()
        if found is None:
            return None
        job, number, slot, name = found
        return name, self._call("Jobs", "resign", job, number, slot.generation)
