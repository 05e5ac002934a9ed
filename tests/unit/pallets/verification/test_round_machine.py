"""A Hypothesis machine: processors that lie or fall silent, owners, challengers and jurors in any order, and time."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pallets.escrow.events import Forfeited
from pallets.jobs import types
from pallets.jobs.failure import AppError
from pallets.jobs.records import ExecutionState, SlotState
from pallets.jobs.report import Outcome
from pallets.juries.types import Stage
from pallets.verification.events import BondFrozen
from runtime.errors import DispatchError
from tests.helpers.job_world import ALICE, BOB, PROCESSORS, SALT, SLOT_MS, failure
from tests.helpers.machine_runs import Record, run_machine
from tests.helpers.round_world import CHALLENGER, ONE, THREE, TWO, RoundWorld

LIVE_JOBS_MAX = 3
FETCH = types.Capabilities(("example.org",), (), storage=False, sign=False)
MODES: tuple[tuple[types.Verification, int], ...] = (
    (types.Quorum(2), 3),
    (types.Quorum(2), 2),
    (types.Credibility(4), 8),
    (types.Adaptive(), 1),
    (types.Reexecution(150_000), 1),
    (types.OwnerAccept(30_000), 2),
)
numbers = st.integers(0, 20)
kinds_of_three = st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=3, max_size=3)
lies = st.sampled_from([False, False, True])


class RoundMachine(RuleBasedStateMachine):
    """ONE is honest, though it may fall silent; TWO and THREE may lie; jurors are honest or silent."""

    def __init__(self) -> None:
        super().__init__()
        self.world = RoundWorld(late=80, challengeReveal=10, auditOneIn=2, trustedAfter=1)
        self.jobs: list[int] = []
        self.frozen: set[bytes] = set()

    def attempt(self, pallet: str, name: str, signer: bytes, *arguments: Any) -> bool:
        """Make a call; a refused one must change nothing."""
        before = self.world.state.mark()
        try:
            self.world.call(pallet, name, signer, *arguments)
        except DispatchError:
            assert self.world.state.mark() == before
            return False
        return True

    def live(self) -> list[int]:
        """Jobs that have not ended."""
        return [job for job in self.jobs if self.world.jobs.is_live(job)]

    def outcome(self, job: int, execution: int, kind: int) -> Outcome:
        """The truth, a lie, or a failure."""
        if kind == 2:
            return failure(AppError(1))
        return self.world.lie(job, execution) if kind else self.world.found(job, execution)

    def word(self, who: bytes, kind: int) -> int:
        """ONE tells the truth."""
        return 0 if who == ONE else kind

    @precondition(lambda self: len(self.live()) < LIVE_JOBS_MAX)
    @rule(
        mode=st.sampled_from(MODES),
        count=st.integers(1, 3),
        fetch=st.booleans(),
        known=st.booleans(),
        lost=st.integers(0, 1),
        order=st.permutations((ONE, TWO, THREE)),
        kinds=kinds_of_three,
        eager=st.integers(0, 5),
    )
    def register(
        self,
        mode: tuple[types.Verification, int],
        count: int,
        fetch: bool,
        known: bool,
        lost: int,
        order: list[bytes],
        kinds: list[int],
        eager: int,
    ) -> None:
        """A job in some mode, whose processors acknowledge; most go some way at once, so that much is judged."""
        world, (verification, slots) = self.world, mode
        start = world.system.now_ms + 20_000
        spec = world.spec(
            slots=slots,
            verification=verification,
            schedule=types.Schedule(start, start + (count - 1) * 40_000 + 1, 40_000, 5_000, 20_000),
            retry=types.RetryPolicy(2, lost, 1_000, 1_000, 1, 1),
            capabilities=FETCH if fetch else types.NO_CAPABILITIES,
            processors=types.Known(PROCESSORS) if known and slots < 6 else types.Public(0, attested_only=False),
            timeouts=types.Timeouts(20, 120_000),
        )
        if not self.attempt("Jobs", "register", ALICE, spec):
            return
        job = world.jobs.next_job.get() - 1
        self.jobs.append(job)
        world.slots(8)
        self.place(job, order)
        if eager > 0:
            self.work(kinds, idle=9)
        if eager > 1:
            self.world.slots(3)
            self.challenge(0, lie=eager > 4, shows=eager > 2)
        if eager > 2:
            self.judge(silent=7)
            self.reveal(kinds, None)
        if eager > 3:
            self.judge(silent=6)

    def place(self, job: int, order: list[bytes]) -> None:
        """Propose for what is vacant, wait, acknowledge."""
        world = self.world
        vacant = [number for number, slot in world.jobs.slots_of(job) if slot.state is SlotState.VACANT]
        placements = tuple(
            world.placement(number, who) for number, who in zip(vacant, order, strict=False) if number < len(order)
        )
        self.attempt("Matching", "propose", BOB, job, placements)
        world.slots(3)
        for number, slot in list(world.jobs.slots_of(job)):
            if slot.processor is not None:
                self.attempt("Jobs", "acknowledge", slot.processor, job, number, slot.generation, None)

    @rule(number=numbers, order=st.permutations((ONE, TWO, THREE)))
    def place_any(self, number: int, order: list[bytes]) -> None:
        """Slots that became vacant are filled."""
        live = self.live()
        if live:
            self.place(live[number % len(live)], order)

    @rule(kinds=kinds_of_three, idle=st.integers(0, 5))
    def work(self, kinds: list[int], idle: int) -> None:
        """The next executions are started, and end in commitments or reports; one slot may be idle."""
        world = self.world
        due = [
            world.execution(job, number, execution).due_ms
            for job in self.live()
            for number, slot in world.jobs.slots_of(job)
            for execution in slot.live
        ]
        world.slots(min(max(0, min(due, default=0) - world.system.now_ms) // SLOT_MS, 60))
        for job in self.live():
            for number, slot in list(world.jobs.slots_of(job)):
                if slot.processor is None or number == idle:
                    continue
                for execution in slot.live:
                    kind = self.word(slot.processor, kinds[number % 3])
                    self.run(job, execution, number, kind)

    def run(self, job: int, execution: int, number: int, kind: int) -> None:
        """Start, then commit or report, whichever the mode takes."""
        world = self.world
        slot, record = world.slot(job, number), world.jobs.executions.find((job, number, execution))
        if slot.processor is None or record is None:
            return
        place = (job, execution, number, slot.generation, record.attempt)
        self.attempt("Jobs", "started", slot.processor, *place)
        if not world.jobs.is_live(job):
            return
        outcome = self.outcome(job, execution, kind)
        commitment = world.commitment(job, execution, number, outcome)
        if not self.attempt("Verification", "commit", slot.processor, *place, commitment):
            self.attempt("Jobs", "report", slot.processor, *place, outcome)

    @rule(kinds=kinds_of_three, silent=st.sampled_from([ONE, TWO, THREE, None]))
    def reveal(self, kinds: list[int], silent: bytes | None) -> None:
        """Whoever has committed shows what it may have committed to; one may be silent."""
        self.world.slots(5)
        for key, entry in list(self.world.verification.entries.items()):
            who = entry.terms.processor
            if who == silent or entry.outcome is not None:
                continue
            for kind in {self.word(who, kind) for kind in kinds}:
                outcome = self.outcome(key[0], key[1], kind)
                arguments = (*key, entry.terms.generation, entry.terms.attempt, outcome, SALT)
                self.attempt("Verification", "reveal", who, *arguments)

    @rule(kind=st.integers(0, 2), right=st.booleans())
    def reveal_late(self, kind: int, right: bool) -> None:
        """Frozen bonds are asked for, by their owners or by others."""
        for key, late in list(self.world.verification.late.items()):
            outcome = self.outcome(key[0], key[1], self.word(late.terms.processor, kind))
            who = late.terms.processor if right else BOB
            assert not self.attempt("Verification", "reveal_late", who, *key, outcome, SALT) or right

    @rule(number=numbers, name=st.sampled_from(["accept", "reject"]), by_owner=st.booleans())
    def owner_says(self, number: int, name: str, by_owner: bool) -> None:
        """A result is taken or not, by its owner or somebody else."""
        keys = [key for key, _ in self.world.verification.entries.items()]
        if keys:
            key = keys[number % len(keys)]
            assert not self.attempt("Verification", name, ALICE if by_owner else BOB, *key) or by_owner

    @rule(number=numbers, lie=lies, shows=st.booleans())
    def challenge(self, number: int, lie: bool, shows: bool) -> None:
        """Somebody doubts a result, honestly or not, and shows its own or not."""
        keys = [key for key, _ in self.world.verification.entries.items()]
        if not keys:
            return
        job, execution, _ = keys[number % len(keys)]
        outcome = self.outcome(job, execution, int(lie))
        commitment = self.world.outsiders_commitment(job, execution, outcome, CHALLENGER)
        if self.attempt("Verification", "challenge", CHALLENGER, job, execution, commitment) and shows:
            self.attempt("Verification", "reveal_challenge", CHALLENGER, job, execution, outcome, SALT)

    @rule(silent=st.integers(0, 7))
    def judge(self, silent: int) -> None:
        """Jurors and auditors do their duty on all panels; one may be silent."""
        world = self.world
        world.slots(3)
        for stage in (Stage.CLAIMING, Stage.COMMITTING, Stage.REVEALING):
            for panel in [number for number, _ in world.verification.panels.items()]:
                self.serve(panel, stage, silent)
            if stage is not Stage.REVEALING:
                world.slots(16 if stage is Stage.CLAIMING else 5)

    def serve(self, panel: int, stage: Stage, silent: int) -> None:
        """What the jurors of one panel do at a stage."""
        world, found = self.world, self.world.juries.panels.find(panel)
        if found is None or found.stage is not stage:
            return
        job, execution = found.dispute.job, found.dispute.execution
        outcome = world.found(job, execution)
        for place, who in enumerate(world.jurors):
            if place == silent:
                continue
            if stage is Stage.CLAIMING:
                self.attempt("Juries", "claim", who, panel)
            elif stage is Stage.COMMITTING:
                commitment = world.outsiders_commitment(job, execution, outcome, who)
                self.attempt("Juries", "commit", who, panel, commitment)
            else:
                self.attempt("Juries", "reveal", who, panel, outcome, SALT)

    @rule(number=numbers, slot=st.integers(0, 2))
    def resign(self, number: int, slot: int) -> None:
        """A processor leaves its slot, whatever it has committed to."""
        live = self.live()
        if live and number % 3 == 0:
            job = live[number % len(live)]
            held = self.world.slot(job, slot) if slot < self.world.job(job).slots else None
            if held is not None and held.processor is not None:
                self.attempt("Jobs", "resign", held.processor, job, slot, held.generation)

    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        """An owner gives a job up."""
        live = self.live()
        if live and number % 4 == 0:
            self.attempt("Jobs", "cancel", ALICE, live[number % len(live)])

    @rule(number=numbers, execution=st.integers(0, 2))
    def poke(self, number: int, execution: int) -> None:
        """Anybody has an execution's rounds looked at."""
        if self.jobs:
            self.attempt("Verification", "poke", BOB, self.jobs[number % len(self.jobs)], execution)

    @rule(count=st.integers(1, 25))
    def time_passes(self, count: int) -> None:
        """Slots with their blocks."""
        self.world.slots(count)

    @rule(gap=st.sampled_from([30, 400]))
    def chain_stands_still(self, gap: int) -> None:
        """An outage of the chain."""
        self.world.slots(1, gap=gap)

    @invariant()
    def everything_adds_up(self) -> None:
        """Every pallet's invariant; all money is free or held."""
        world = self.world
        world.check()
        world.state.undo.clear()
        infos = [info.data for _, info in world.system.accounts.items()]
        assert world.balances.total_issuance() == sum(data.free + data.reserved for data in infos)

    @invariant()
    def an_honest_bond_is_lost_by_silence_alone(self) -> None:
        """Whatever others do, only whoever left a commitment closed can lose a bond without having lied."""
        for _, event in self.world.state.events:
            if isinstance(event, BondFrozen):
                self.frozen.add(event.processor)
            elif isinstance(event, Forfeited) and event.processor == ONE:
                assert ONE in self.frozen
        self.world.state.events.clear()

    @invariant()
    def an_ended_job_awaits_nothing(self) -> None:
        """No result of an ended job waits for a judgment."""
        waiting = (ExecutionState.COMMITTED, ExecutionState.REPORTED, ExecutionState.DISPUTED)
        for (job, _, _), record in self.world.jobs.executions.items():
            assert self.world.jobs.is_live(job) or record.state not in waiting

    def teardown(self) -> None:
        """Left alone, every job ends, every bond comes back or is burned, and nothing is held."""
        self.world.slots(60)
        for _ in range(60):
            if not self.live() and not list(self.world.verification.late.items()):
                break
            self.world.slots(25, gap=3)
        assert not self.live()
        assert self.world.is_settled()
        self.world.check()


@pytest.mark.deadline(300)
def test_no_order_of_judgments_breaks_an_invariant_and_every_round_ends(record_property: Record) -> None:
    """Any order of honest, lying and silent parties: all invariants after each step; money back in the end."""
    run_machine(RoundMachine, record_property)
