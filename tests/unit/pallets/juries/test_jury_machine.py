"""A Hypothesis machine plays jurors, parties, silence, time and the handler; every invariant after each step."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from pallets.balances import HoldReason
from pallets.jobs.report import Outcome
from pallets.juries.events import AppealSettled, JurorSettled
from pallets.juries.types import Panel, PanelKind, Stage
from runtime.errors import DispatchError
from tests.helpers.job_world import HDL, success
from tests.helpers.jury_world import CHALLENGER, DEFENDANT, JURORS, LIE, PAYER, SALT, TRUTH, JuryWorld
from tests.helpers.machine_runs import Record, run_machine

PANELS_MAX = 3
WORDS = (TRUTH, TRUTH, TRUTH, LIE, success(b"44"))
PARTIES = (PAYER, DEFENDANT, CHALLENGER)
WILLING = JURORS[:20]
EVERYONE = (*WILLING, *PARTIES)

who = st.sampled_from(WILLING)
anybody = st.sampled_from(EVERYONE)
words = st.sampled_from(WORDS)
panels = st.sampled_from([0, 0, 0, 1, 2])


class JuryMachine(RuleBasedStateMachine):
    """Panels of three kinds of reward, in any order of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.world = JuryWorld(jurors=20, appealSlots=25, treasuryPerEraMax=9 * HDL, eraSlots=300, commitGraceSlots=5)
        self.world.handler.settles = False
        self.world.handler.fund = self.pay
        self.issuance = self.world.money()
        self.fund_left = 7 * HDL
        self.committed: dict[tuple[int, bytes], Outcome] = {}
        self.tries = 0

    def pay(self, to: bytes, amount: int) -> int:
        """The losing side's bonds: seven HDL in all."""
        part = min(amount, self.fund_left)
        self.fund_left -= part
        self.world.balances.transfer(DEFENDANT, to, part, keep_alive=True)
        return part

    def attempt(self, name: str, who: bytes, *arguments: Any) -> bool:
        """A call that may be refused; a refusal changes no money."""
        self.tries += 1
        before = self.world.money()
        try:
            self.world.call("Juries", name, who, *arguments)
        except DispatchError:
            assert self.world.money() == before
            return False
        return True

    @initialize(reward=st.sampled_from([7, HDL]))
    def begin(self, reward: int) -> None:
        """There is always a first jury."""
        self.world.open(PanelKind.JURY, reward=reward)

    @precondition(lambda self: self.world.juries.next_panel.get() < PANELS_MAX)
    @rule(kind=st.sampled_from([PanelKind.JURY, PanelKind.JURY, PanelKind.AUDIT]), reward=st.sampled_from([0, 7, HDL]))
    def open(self, kind: PanelKind, reward: int) -> None:
        """A dispute arises."""
        self.world.open(kind, reward=reward)

    @rule(panel=panels, count=st.integers(1, 20), first=st.integers(0, 19))
    def claim(self, panel: int, count: int, first: int) -> None:
        """Some processors want seats."""
        for number in range(count):
            self.attempt("claim", WILLING[(first + number) % 20], panel)

    @rule(panel=panels, juror=anybody)
    def claim_alone(self, panel: int, juror: bytes) -> None:
        """One account wants a seat, a party perhaps."""
        if self.attempt("claim", juror, panel):
            assert juror not in PARTIES

    @rule(panel=panels, share=st.integers(1, 4), data=st.data())
    def commit(self, panel: int, share: int, data: st.DataObject) -> None:
        """Of those who sit, all or all but every `share`-th commit."""
        for place, juror in enumerate(self.sitting(panel)):
            if share == 1 or place % share:
                self.commit_one(panel, juror, data.draw(words))

    @rule(panel=panels, share=st.integers(1, 4))
    def reveal(self, panel: int, share: int) -> None:
        """Of those who committed, all or all but every `share`-th reveal."""
        for place, juror in enumerate(self.sitting(panel)):
            if (share == 1 or place % share) and (panel, juror) in self.committed:
                self.attempt("reveal", juror, panel, self.committed[panel, juror], SALT)

    @rule(panel=panels, juror=who, word=words)
    def reveal_something_else(self, panel: int, juror: bytes, word: Outcome) -> None:
        """An opening counts only if it is what was committed."""
        if self.attempt("reveal", juror, panel, word, SALT):
            assert self.committed[panel, juror] == word

    @rule(panel=panels, stages=st.integers(1, 6), liars=st.integers(0, 4), data=st.data())
    def go_on(self, panel: int, stages: int, liars: int, data: st.DataObject) -> None:
        """What some stages are for happens without a hitch."""
        for _ in range(stages):
            found = self.world.juries.panels.find(panel)
            if found is None or found.stage is Stage.DECIDED:
                return
            self.play(panel, found.stage, liars, data)
            self.until_changed(panel, found)

    def until_changed(self, panel: int, before: Panel) -> None:
        """Time passes until the panel is at another stage."""
        self.world.until(lambda: self.world.juries.panels.get(panel) != before)

    def play(self, panel: int, stage: Stage, liars: int, data: st.DataObject) -> None:
        """Everybody does what a stage is for; the first jurors say anything."""
        if stage is Stage.CLAIMING:
            self.claim(panel, 20, 0)
        elif stage is Stage.COMMITTING:
            for place, juror in enumerate(self.sitting(panel)):
                self.commit_one(panel, juror, TRUTH if place >= liars else data.draw(words))
        elif stage is Stage.REVEALING:
            self.world.slots(4)
            self.reveal(panel, 1)
        elif liars:
            self.appeal(panel, DEFENDANT)

    @rule(panel=panels, party=anybody)
    def appeal(self, panel: int, party: bytes) -> None:
        """Only parties may."""
        if self.attempt("appeal", party, panel):
            assert party in PARTIES

    @rule(panel=panels)
    def poke(self, panel: int) -> None:
        """Anyone may."""
        self.attempt("poke", PAYER, panel)

    @rule(count=st.integers(1, 6), gap=st.sampled_from([1, 1, 2, 9]))
    def wait(self, count: int, gap: int) -> None:
        """Time passes."""
        self.world.slots(count, gap=gap)

    @rule(panel=panels, choice=st.sampled_from(["verdict", "verdict", "other", "none"]))
    def settle(self, panel: int, choice: str) -> None:
        """The handler settles a decided panel, now and then for something else than its verdict."""
        found = self.world.juries.panels.find(panel)
        if found is None or found.stage is not Stage.DECIDED:
            return
        digest = {"verdict": found.verdict, "other": TRUTH.digest, "none": None}[choice]
        self.world.juries.settle(panel, digest, self.pay)

    def sitting(self, panel: int) -> list[bytes]:
        """Who sits on the present rung."""
        found = self.world.juries.panels.find(panel)
        return [] if found is None else [seat.processor for seat in self.world.juries.benches.get((panel, found.rung))]

    def commit_one(self, panel: int, juror: bytes, word: Outcome) -> None:
        """Remember what was committed."""
        dispute = self.world.dispute()
        digest = self.world.handler.digest_of(dispute, word)
        if self.attempt("commit", juror, panel, self.world.handler.commitment_of(dispute, juror, digest, SALT)):
            self.committed[panel, juror] = word

    @invariant()
    def everything_holds(self) -> None:
        """Each pallet's invariant; money is only ever burned, and no more than was lost."""
        self.world.check()
        lost = sum(event.lost for event in self.world.events(JurorSettled))
        lost += sum(event.lost for event in self.world.events(AppealSettled))
        assert self.issuance - lost <= self.world.money() <= self.issuance

    def teardown(self) -> None:
        """All panels come to an end by time alone, and leave no lock behind."""
        world = self.world
        opened = range(world.juries.next_panel.get())
        world.until(lambda: all(panel in world.handler.verdicts for panel in opened), 400)
        for panel in opened:
            if world.juries.panels.find(panel) is not None:
                world.juries.settle(panel, world.panel(panel).verdict, self.pay)
        world.check()
        assert not list(world.juries.benches.items())
        for account in EVERYONE:
            assert (
                world.balances.held(account, HoldReason.JUROR) == world.balances.held(account, HoldReason.APPEAL) == 0
            )


@pytest.mark.deadline(300)
def test_panels_end_and_money_is_conserved_whatever_jurors_do(record_property: Record) -> None:
    """Claims, commitments, reveals, silence, appeals, settlements and time in any order."""
    run_machine(JuryMachine, record_property)
