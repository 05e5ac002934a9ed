"""A world in which results are judged: processors for the work, others that may be jurors and auditors, a treasury."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pallets.balances import TREASURY, HoldReason
from pallets.jobs import types
from pallets.jobs.report import Outcome, Succeeded
from pallets.juries.types import Stage
from pallets.processors.types import FREE
from pallets.verification.types import Round, RoundState
from tests.helpers.job_world import ADVERT, ALICE, HDL, PARAMETERS, PROCESSORS, SALT, World, account

JURORS = tuple(account(f"juror {n}") for n in range(7))
CHALLENGER = account("challenger")
ONE, TWO, THREE = PROCESSORS[:3]
REWARD = 2 * HDL
EVERYBODY_DRAWN_SLOTS = 8
DEAR = replace(FREE, base=1_000 * HDL)
"""A price that no job pays: these processors judge only."""


class RoundWorld(World):
    """Three processors that work, seven that judge."""

    def __init__(self, jurors: int = 7, **verification: int) -> None:
        matching = {**PARAMETERS["matching"], "fallbackAfterSlots": 1_000, "drawStepSlots": 1}
        kept = {"retentionSlots": 1 << 30}
        super().__init__({**PARAMETERS, "matching": matching, "jobs": kept, "verification": verification})
        self.balances.issue(TREASURY, 1_000 * HDL)
        for who in (*JURORS, CHALLENGER):
            self.balances.issue(who, 1_000 * HDL)
        for who in PROCESSORS[:3]:
            self.offer_capacity(who)
        self.jurors = JURORS[:jurors]
        for who in self.jurors:
            self.offer_capacity(who, replace(ADVERT, pricing=DEAR))

    def job_in(self, mode: types.Verification, slots: int = 1, **changes: Any) -> int:
        """A job in this mode, assigned to the first processors once everybody is drawn."""
        job = self.register(spec=self.spec(slots=slots, verification=mode, **changes))
        self.slots(EVERYBODY_DRAWN_SLOTS)
        self.assign(job, *PROCESSORS[:slots])
        return job

    def round(self, job: int, execution: int = 0, place: int = 0) -> Round:
        """A round that is not settled."""
        return self.verification.rounds.get((job, execution, place))

    def until_round(self, job: int, state: RoundState, place: int = 0) -> None:
        """Blocks until a round is in a state."""
        self.until(lambda: self.round(job, 0, place).state is state)

    def until_reveals(self, job: int) -> None:
        """Blocks until results may be shown."""
        self.until_round(job, RoundState.REVEALING)
        self.until(lambda: self.agenda.now() >= self.round(job).open_at)

    def lie(self, job: int, execution: int = 0) -> Succeeded:
        """A result that is not the right one."""
        return self.found(job, execution, b"a lie")

    def report_found(self, job: int, outcome: Outcome | None = None, slot: int = 0) -> None:
        """Start and report a result with its right digest."""
        self.run(job, 0, slot, outcome or self.found(job))

    def judge(self, job: int, *outcomes: Outcome, place: int = 0) -> list[bytes]:
        """The panel that a round waits for: everyone claims, those who sit say the outcomes. Who sat.

        One outcome is everyone's; otherwise one per seat, by rank.
        """
        panel = self.round(job, 0, place).panel
        assert panel is not None, "the round waits for a panel"
        self.slots(3)
        for who in self.jurors:
            self.refuses("Juries", "claim", who, panel)
        self.until(lambda: self.juries.panel(panel).stage is not Stage.CLAIMING)
        seats = [seat.processor for seat in self.juries.seats_of(panel, self.juries.panel(panel))]
        words = dict(zip(seats, outcomes * len(seats) if len(outcomes) == 1 else outcomes, strict=False))
        for who, outcome in words.items():
            self.call("Juries", "commit", who, panel, self.outsiders_commitment(job, 0, outcome, who))
        self.until(lambda: self.juries.panel(panel).stage is Stage.REVEALING)
        self.until(lambda: self.agenda.now() >= self.juries.panel(panel).opens)
        for who, outcome in words.items():
            self.call("Juries", "reveal", who, panel, outcome, SALT)
        return seats

    def judge_together(self, job: int, outcomes: Sequence[Outcome]) -> list[list[bytes]]:
        """The panels of several executions sit at once, and each finds its outcome. Who sat on each."""
        panels = [self.round(job, execution).panel or 0 for execution in range(len(outcomes))]
        self.slots(3)
        for panel in panels:
            for who in self.jurors:
                self.refuses("Juries", "claim", who, panel)
        self.until(lambda: all(self.juries.panel(panel).stage is not Stage.CLAIMING for panel in panels))
        seats = [[seat.processor for seat in self.juries.seats_of(panel, self.juries.panel(panel))] for panel in panels]
        for execution, outcome in enumerate(outcomes):
            for who in seats[execution]:
                word = self.outsiders_commitment(job, execution, outcome, who)
                self.call("Juries", "commit", who, panels[execution], word)
        self.until(lambda: all(self.agenda.now() >= self.juries.panel(panel).opens for panel in panels))
        for execution, outcome in enumerate(outcomes):
            for who in seats[execution]:
                self.call("Juries", "reveal", who, panels[execution], outcome, SALT)
        return seats

    def bond(self, who: bytes) -> int:
        """What a processor has locked as bonds."""
        return self.balances.held(who, HoldReason.BOND)

    def is_settled(self) -> bool:
        """Nothing is held for any judgment."""
        parties = (*PROCESSORS, *JURORS, CHALLENGER, ALICE)
        reasons = (HoldReason.BOND, HoldReason.CHALLENGE, HoldReason.JUROR, HoldReason.APPEAL, HoldReason.JOB_ESCROW)
        held = any(self.balances.held(who, reason) for who in parties for reason in reasons)
        return not held and not list(self.verification.rounds.items()) and not list(self.verification.panels.items())
