"""A Hypothesis machine plays consumers, processors, matchers and time in any order; every invariant after each step."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pallets.balances import HoldReason
from pallets.escrow.events import Deposited, FeeBurned, Paid, Refunded
from pallets.escrow.types import Ledger
from pallets.jobs import events, types
from pallets.jobs.failure import AppError, Declined, Failure, InputUnavailable, OutOfResources, Resource, ScriptInvalid
from pallets.jobs.queries import executions_of
from pallets.jobs.records import LIVE_STATES, ExecutionState, JobState
from pallets.processors.calendar import Lease
from runtime.errors import DispatchError
from runtime.pallet import Event
from tests.helpers.job_life_rules import OwnerRules
from tests.helpers.job_world import (
    ADVERT,
    ALICE,
    BOB,
    CAROL,
    HDL,
    MATCHER,
    PARAMETERS,
    PROCESSORS,
    SCRIPT,
    SLOT_MS,
    World,
    failure,
    success,
)
from tests.helpers.machine_runs import Record, run_machine

LIVE_JOBS_MAX = 4
WAIT_SLOTS_MAX = 40
CONSUMERS = (ALICE, BOB, CAROL)
EVERYONE = (*CONSUMERS, MATCHER, *PROCESSORS)
JOB_STEPS: dict[tuple[str, type[Event]], str] = {
    ("open", events.JobMatched): "matched",
    ("matched", events.JobReopened): "open",
    ("matched", events.JobAssigned): "assigned",
    ("open", events.JobDone): "over",
    ("open", events.JobAssigned): "assigned",
    ("open", events.JobWaiting): "waiting",
    ("waiting", events.JobOpened): "open",
    ("waiting", events.JobDone): "over",
    ("matched", events.JobDone): "over",
    ("assigned", events.JobDone): "over",
    ("assigned", events.JobFellBack): "open",
}
EXECUTION_STEPS: dict[tuple[str, type[Event]], str] = {
    ("new", events.ExecutionScheduled): "scheduled",
    ("scheduled", events.ExecutionStarted): "running",
    ("running", events.ExecutionProgressed): "running",
    ("running", events.ExecutionSuspected): "suspect",
    ("suspect", events.ExecutionProgressed): "running",
    ("running", events.ExecutionReported): "reported",
    ("suspect", events.ExecutionReported): "reported",
    ("reported", events.ExecutionAccepted): "over",
    ("scheduled", events.AttemptFailed): "failed",
    ("running", events.AttemptFailed): "failed",
    ("suspect", events.AttemptFailed): "failed",
    ("failed", events.ExecutionScheduled): "scheduled",
    ("scheduled", events.ExecutionCancelled): "over",
    ("running", events.ExecutionCancelled): "over",
    ("suspect", events.ExecutionCancelled): "over",
}
"""The legal transitions, as events tell them; a final AttemptFailed ends the execution."""
JOB_EVENTS = {kind for _, kind in JOB_STEPS}
EXECUTION_EVENTS = {kind for _, kind in EXECUTION_STEPS}
MONEY_EVENTS: dict[type[Event], str] = {
    Deposited: "deposited",
    Paid: "paid",
    FeeBurned: "fees",
    Refunded: "refunded",
}
"""Events that tell of a job's money, and the field of its ledger that they add up to."""
ENDS = {JobState.DONE, JobState.CANCELLED, JobState.EXPIRED}

who = st.sampled_from(EVERYONE)
nearly_right = st.integers(0, 9).map(lambda n: 1 if n == 0 else 0)
failures: st.SearchStrategy[Failure] = st.sampled_from(
    [AppError(7), OutOfResources(Resource.WALL), OutOfResources(Resource.COMPUTE), ScriptInvalid(), InputUnavailable()]
)


@dataclass(frozen=True)
class Shape:
    """What differs between the jobs of the machine."""

    slots: int
    count: int
    interval_slots: int
    choice: types.ProcessorChoice
    reward: int
    attempts: int
    lost: int
    wait_slots: int
    long: bool
    priority: int
    lane: types.Lane | None
    fallback: bool
    competing: bool

    def spec(self, world: World) -> types.JobSpec:
        """The specification, starting from now."""
        start = world.system.now_ms + (5 + self.wait_slots) * SLOT_MS
        duration_ms = 200_000 if self.long else 2_000
        interval_ms = self.interval_slots * SLOT_MS + (duration_ms if self.long else 0)
        delay_ms = 5_000 if self.count > 1 else 60_000
        end = start + (self.count - 1) * interval_ms + 1
        return world.spec(
            slots=self.slots,
            processors=self.choice,
            reward=0 if isinstance(self.choice, types.Personal) else self.reward,
            schedule=types.Schedule(start, end, interval_ms, duration_ms, delay_ms),
            retry=replace(types.RETRY_DEFAULT, attempts_max=self.attempts, lost_max=self.lost),
            timeouts=types.Timeouts(20, 120_000),
            assignment=types.Competing() if self.competing and self.lane is None else types.Single(),
            queue=types.Queue(self.priority, self.lane, preemptible=not self.priority),
            fallback=types.Fallback(SCRIPT, types.RuntimeKind.PYTHON, "again") if self.fallback else None,
            mutability=types.Editor(CAROL) if self.priority else types.Immutable(),
        )


shapes = st.builds(
    Shape,
    slots=st.integers(1, 3),
    count=st.integers(1, 6),
    interval_slots=st.sampled_from([3, 20, 90]),
    choice=st.sampled_from([types.Public(0, attested_only=False), types.Known(PROCESSORS), types.Personal(PROCESSORS)]),
    reward=st.sampled_from([HDL, 2 * HDL + 1, 3_333_333_333_333]),
    attempts=st.integers(1, 3),
    lost=st.integers(0, 2),
    wait_slots=st.integers(0, 30),
    long=st.booleans(),
    priority=st.sampled_from([0, 0, 1, 20]),
    fallback=st.booleans(),
    competing=st.sampled_from([False, False, True]),
    lane=st.sampled_from([None, None, types.Lane("one", 1), types.Lane("two", 2)]),
)
ends = st.one_of(st.none(), st.none(), failures)


class JobMachine(OwnerRules, RuleBasedStateMachine):
    """Calls in any order by anyone, right and wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World({**PARAMETERS, "jobs": {"retentionSlots": 1 << 30}})
        for processor in PROCESSORS[:4]:
            self.world.offer_capacity(processor)
        self.states: dict[int, JobState] = {}
        self.job_steps: dict[int, str] = {}
        self.execution_steps: dict[tuple[int, int, int], tuple[str, int]] = {}
        self.money_told: dict[int, dict[str, int]] = {}

    def attempt(self, pallet: str, name: str, signer: bytes, *arguments: object) -> bool:
        """Make a call; a refused one must change nothing."""
        before = self.world.state.mark()
        try:
            self.world.call(pallet, name, signer, *arguments)
        except DispatchError:
            assert self.world.state.mark() == before
            return False
        return True

    def live_jobs(self) -> int:
        """How many of the jobs are live."""
        return sum(state in LIVE_STATES for state in self.states.values())

    def pick(self, number: int) -> int | None:
        """A job, live ones first."""
        jobs = list(self.states)
        live = [job for job in jobs if self.states[job] in LIVE_STATES] or jobs
        return live[number % len(live)] if live else None

    @precondition(lambda self: self.live_jobs() < LIVE_JOBS_MAX)
    @rule(
        owner=st.sampled_from(CONSUMERS),
        shape=shapes,
        eager=st.sampled_from([True, True, False]),
        order=st.permutations(PROCESSORS[:4]),
    )
    def register(self, owner: bytes, shape: Shape, eager: bool, order: list[bytes]) -> None:
        """A job of any shape; most get their processors at once."""
        if self.attempt("Jobs", "register", owner, shape.spec(self.world)):
            job = self.world.jobs.next_job.get() - 1
            self.states[job] = JobState.OPEN
            if eager:
                self.world.slots(3)
                self.place(job, order)

    @rule(job=st.integers(0, 20), order=st.permutations(PROCESSORS[:4]), matcher=who)
    def propose(self, job: int, order: list[bytes], matcher: bytes) -> None:
        """Somebody proposes a processor for each slot."""
        found = self.pick(job)
        if found is not None:
            placements = tuple(
                self.world.placement(number, order[number]) for number in range(self.world.job(found).slots)
            )
            self.attempt("Matching", "propose", matcher, found, placements)

    @rule(job=st.integers(0, 20), wrong=nearly_right)
    def acknowledge_all(self, job: int, wrong: int) -> None:
        """Every processor with an offer of a job acknowledges, now and then with a wrong generation."""
        found = self.pick(job)
        if found is not None:
            for number, slot in list(self.world.jobs.slots_of(found)):
                signer = slot.processor or PROCESSORS[0]
                self.attempt("Jobs", "acknowledge", signer, found, number, slot.generation + wrong, None)

    @rule(number=st.integers(0, 20), order=st.permutations(PROCESSORS[:4]))
    def place_any(self, number: int, order: list[bytes]) -> None:
        """Proposed, offered, acknowledged: the way most jobs go."""
        found = self.pick(number)
        if found is not None:
            self.place(found, order)

    def place(self, job: int, order: list[bytes]) -> None:
        """Propose, wait for the offers, acknowledge."""
        placements = tuple(self.world.placement(n, order[n]) for n in range(self.world.job(job).slots))
        self.attempt("Matching", "propose", MATCHER, job, placements)
        self.world.slots(2)
        for n, slot in list(self.world.jobs.slots_of(job)):
            if slot.processor is not None:
                self.attempt("Jobs", "acknowledge", slot.processor, job, n, slot.generation, None)

    @rule(job=st.integers(0, 20), number=st.integers(0, 2), reason=st.sampled_from([Declined(), InputUnavailable()]))
    def decline(self, job: int, number: int, reason: Failure) -> None:
        """A processor turns its offer down."""
        found = self.pick(job)
        if found is not None:
            slot = self.world.slot(found, number)
            signer = slot.processor or PROCESSORS[0]
            self.attempt("Jobs", "decline", signer, found, number, slot.generation, reason)

    @rule(job=st.integers(0, 20), number=st.integers(0, 2), wrong=nearly_right)
    def start(self, job: int, number: int, wrong: int) -> None:
        """A processor starts its first live execution."""
        self.act("started", job, number, wrong)

    @rule(job=st.integers(0, 20), number=st.integers(0, 2))
    def progress(self, job: int, number: int) -> None:
        """A processor gives a sign of life."""
        self.act("progress", job, number, 0, 500)

    @rule(job=st.integers(0, 20), number=st.integers(0, 2), wrong=nearly_right)
    def succeed(self, job: int, number: int, wrong: int) -> None:
        """A processor reports an output."""
        self.act("report", job, number, wrong, success())

    @rule(job=st.integers(0, 20), number=st.integers(0, 2), what=failures)
    def fail(self, job: int, number: int, what: Failure) -> None:
        """A processor reports a failure."""
        self.act("report", job, number, 0, failure(what))

    @rule(ends=st.lists(ends, min_size=3, max_size=3))
    def work(self, ends: list[Failure | None]) -> None:
        """The processors of all live jobs wait until the first may start, and run, each with its own end."""
        live = [job for job, state in self.states.items() if state in LIVE_STATES]
        views = [view for job in live for view in executions_of(self.world.jobs, job)]
        due = [view.record.due_ms for view in views if view.record.state is ExecutionState.SCHEDULED]
        wait = max(0, min(due, default=0) - self.world.system.now_ms) // SLOT_MS
        self.world.slots(min(wait, WAIT_SLOTS_MAX))
        for job in range(len(live)):
            for number, what in enumerate(ends):
                self.act("started", job, number, 0)
                self.act("report", job, number, 0, success() if what is None else failure(what))

    def act(self, name: str, job: int, number: int, wrong: int, *rest: object) -> None:
        """A processor's call about its first live execution; `wrong` is added to the attempt."""
        found = self.pick(job)
        if found is None:
            return
        slot = self.world.slot(found, number)
        execution = slot.live[0] if slot.live else 0
        record = self.world.jobs.executions.find((found, number, execution))
        attempt = (record.attempt if record else 1) + wrong
        signer = slot.processor or PROCESSORS[0]
        self.attempt("Jobs", name, signer, found, execution, number, slot.generation, attempt, *rest)

    @rule(job=st.integers(0, 20), number=st.integers(0, 2))
    def resign(self, job: int, number: int) -> None:
        """A processor leaves."""
        found = self.pick(job)
        if found is not None:
            slot = self.world.slot(found, number)
            self.attempt("Jobs", "resign", slot.processor or PROCESSORS[0], found, number, slot.generation)

    @rule(job=st.integers(0, 20), by_owner=st.booleans(), other=who)
    def cancel(self, job: int, by_owner: bool, other: bytes) -> None:
        """The owner, or somebody else, cancels."""
        found = self.pick(job)
        if found is not None and job % 4 == 0:
            owner = self.world.job(found).owner
            done = self.attempt("Jobs", "cancel", owner if by_owner else other, found)
            assert not done or owner in ((owner,) if by_owner else (other,))

    @rule(job=st.integers(0, 20), anyone=who)
    def poke(self, job: int, anyone: bytes) -> None:
        """Anyone has a job looked at."""
        found = self.pick(job)
        if found is not None:
            self.attempt("Jobs", "poke", anyone, found)

    @rule(processor=st.sampled_from(PROCESSORS[:4]), what=st.integers(0, 2))
    def processor_changes(self, processor: bytes, what: int) -> None:
        """A processor renews its advert, withdraws it, or says that it is alive."""
        name, arguments = (("advertise", (ADVERT,)), ("delete_advertisement", ()), ("heartbeat", (2,)))[what]
        self.attempt("Processors", name, processor, *arguments)

    @rule(count=st.integers(1, 8))
    def time_passes(self, count: int) -> None:
        """A few slots, each with its block."""
        self.world.slots(count)

    @precondition(lambda self: self.live_jobs() == LIVE_JOBS_MAX)
    @rule(count=st.integers(20, 80))
    def long_time_passes(self, count: int) -> None:
        """Long enough for deadlines."""
        self.world.slots(count)

    @rule(gap=st.sampled_from([2, 3, 30, 30, 400]))
    def chain_stands_still(self, gap: int) -> None:
        """An outage of the chain."""
        self.world.slots(1, gap=gap)

    @invariant()
    def all_pallets_agree(self) -> None:
        """check_state of every pallet."""
        self.world.check()
        self.world.state.undo.clear()

    @invariant()
    def issuance_is_free_held_and_escrowed(self) -> None:
        """All money is somewhere; what vanished was burned as fees or fines."""
        balances = self.world.balances
        infos = [info.data for _, info in self.world.system.accounts.items()]
        assert balances.total_issuance() == sum(data.free + data.reserved for data in infos)
        held = sum(self.held(ledger) for _, ledger in self.world.escrow.ledgers.items())
        bonds = sum(bond.amount for _, bond in self.world.escrow.bonds.items())
        deposits = sum(record.deposit for _, record in self.world.processors.records.items())
        beside = (HoldReason.STAKE, HoldReason.SECRETS)
        others = sum(balances.held(who, reason) for who in EVERYONE for reason in beside)
        assert sum(data.reserved for data in infos) == held + bonds + deposits + others

    @staticmethod
    def held(ledger: Ledger) -> int:
        """What a job holds; its account adds up."""
        total = ledger.pots.total()
        assert ledger.deposited == ledger.paid + ledger.fees + ledger.refunded + total
        return total

    @invariant()
    def only_legal_transitions(self) -> None:
        """Every event is a legal step of its job or execution, each retry raises the attempt by one, ends absorb.

        What the events tell of a job's money adds up to its ledger.
        """
        for _, event in self.world.state.events:
            kind = type(event)
            if kind in JOB_EVENTS:
                before = self.job_steps.get(event.job, "open")
                assert (before, kind) in JOB_STEPS, f"job {event.job} is {before}: {event}"
                self.job_steps[event.job] = JOB_STEPS[before, kind]
            elif kind in EXECUTION_EVENTS:
                self.step_execution(event)
            elif kind in MONEY_EVENTS:
                self.money_told.setdefault(event.job, dict.fromkeys(MONEY_EVENTS.values(), 0))
                self.money_told[event.job][MONEY_EVENTS[kind]] += event.amount
        self.world.state.events.clear()
        for job, ledger in self.world.escrow.ledgers.items():
            assert self.money_told[job] == {name: getattr(ledger, name) for name in MONEY_EVENTS.values()}
        for job in self.states:
            self.states[job] = self.world.job(job).state
            over = self.states[job] in ENDS
            assert over == (self.job_steps.get(job) == "over")

    def step_execution(self, event: Any) -> None:
        """One event of an execution."""
        key = (event.job, event.slot, event.execution)
        before, attempt = self.execution_steps.get(key, ("new", 0))
        kind = type(event)
        assert (before, kind) in EXECUTION_STEPS, f"{key} is {before}: {event}"
        assert event.attempt == attempt + (kind is events.ExecutionScheduled)
        final = isinstance(event, events.AttemptFailed) and event.final
        self.execution_steps[key] = "over" if final else EXECUTION_STEPS[before, kind], event.attempt

    @invariant()
    def reserved_stays_within_capacity(self) -> None:
        """At each start of an interval, all intervals that are open then fit into the processor."""
        for processor, leases in self.world.processors.leases.items():
            advert = self.world.processors.adverts.find(processor) or ADVERT
            for moment in {start for lease in leases for start in starts(lease)}:
                running = [lease for lease in leases for s in starts(lease) if s <= moment < s + lease.length_ms]
                assert len(running) <= advert.capacity.cores
                assert sum(lease.memory_bytes for lease in running) <= advert.capacity.memory_bytes

    def teardown(self) -> None:
        """Left alone, every job ends, and nothing is held for any."""
        self.world.slots(40)
        self.world.slots(400, gap=3)
        for _ in range(60):
            if all(self.world.job(job).state in ENDS for job in self.states if self.world.jobs.jobs.find(job)):
                break
            self.world.slots(20, gap=3)
        for job in self.states:
            record = self.world.jobs.jobs.find(job)
            assert record is None or record.state in ENDS, f"job {job} is {record}"
        for account in EVERYONE:
            assert self.world.balances.held(account, HoldReason.JOB_ESCROW) == 0
            assert self.world.balances.held(account, HoldReason.BOND) == 0
        assert not list(self.world.processors.leases.items())
        self.world.check()


def starts(lease: Lease) -> list[int]:
    """When the lease's intervals begin."""
    return [lease.offset_ms + n * lease.period_ms for n in range(lease.count)]


@pytest.mark.deadline(300)
def test_every_invariant_holds_whatever_anyone_does_and_every_job_ends(record_property: Record) -> None:
    """Any order of calls by anyone, with time-outs and outages between: all invariants after each step."""
    run_machine(JobMachine, record_property)
