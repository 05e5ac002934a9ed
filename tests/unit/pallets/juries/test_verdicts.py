"""How panels come to a verdict: commitments, reveals, hung rungs, appeals."""

from collections.abc import Callable

import pytest

from pallets.balances import HoldReason
from pallets.jobs.failure import AppError
from pallets.juries import errors, events
from pallets.juries.pallet import Juries
from pallets.juries.types import Opinion, PanelKind, Stage
from runtime.errors import DispatchError
from runtime.runtime import new_registry
from tests.helpers.job_world import failure, success
from tests.helpers.jury_world import CHALLENGER, DEFENDANT, JURORS, LIE, PAYER, REWARD, SALT, TRUTH, JuryWorld


def test_two_thirds_of_the_revealed_make_a_verdict() -> None:
    """Two of three on one digest; the third is told to dissent."""
    world = JuryWorld(seatsSecond=0, seatsThird=0)
    panel = world.open()
    first, second, third = world.claim_all(panel)
    world.vote(panel, {first: TRUTH, second: TRUTH, third: LIE})
    verdict = world.handler.verdicts[panel]
    assert verdict.digest == TRUTH.digest
    assert dict(verdict.opinions) == {first: Opinion.AGREED, second: Opinion.AGREED, third: Opinion.DISSENTED}
    world.check()


def test_a_failed_outcome_can_be_the_verdict() -> None:
    """That the script itself fails is a digest like any other."""
    world = JuryWorld(seatsSecond=0, seatsThird=0)
    panel = world.open()
    outcome = failure(AppError(7))
    world.try_rung(panel, outcome)
    assert world.handler.verdicts[panel].digest == world.handler.digest_of(world.dispute(), outcome)


def test_three_opinions_hang_the_last_rung() -> None:
    """Without two thirds there is no verdict."""
    world = JuryWorld(seatsSecond=0, seatsThird=0)
    panel = world.open()
    words = zip(world.claim_all(panel), (TRUTH, LIE, success(b"44")), strict=True)
    world.vote(panel, dict(words))
    assert world.handler.verdicts[panel].digest is None
    world.check()


@pytest.mark.parametrize(("present", "decided"), [(2, True), (1, False)])
def test_too_few_reveals_are_no_verdict(present: int, decided: bool) -> None:
    """Two thirds of the jurors must reveal."""
    world = JuryWorld(seatsSecond=0, seatsThird=0)
    panel = world.open()
    world.vote(panel, dict.fromkeys(world.claim_all(panel)[:present], TRUTH))
    world.until(lambda: panel in world.handler.verdicts)
    assert (world.handler.verdicts[panel].digest is not None) is decided
    world.check()


def test_fewer_than_three_jurors_decide_nothing() -> None:
    """Two that agree are hung on the last rung, without having run anything."""
    world = JuryWorld(2, seatsSecond=0, seatsThird=0)
    panel = world.open()
    for who in world.jurors:
        world.call("Juries", "claim", who, panel)
    world.until(lambda: panel in world.handler.verdicts)
    assert world.handler.verdicts[panel].digest is None
    assert dict(world.handler.verdicts[panel].opinions) == dict.fromkeys(world.jurors, Opinion.SILENT)
    world.check()


def test_the_last_rung_takes_those_who_came() -> None:
    """Four jurors for nine seats decide with three reveals."""
    world = JuryWorld(4, seatsFirst=9, seatsSecond=0, seatsThird=0)
    panel = world.open()
    world.vote(panel, dict.fromkeys(world.claim_all(panel)[:3], TRUTH))
    world.until(lambda: panel in world.handler.verdicts)
    assert world.handler.verdicts[panel].digest == TRUTH.digest


def test_a_rung_below_the_last_does_not_decide_with_too_few() -> None:
    """Four jurors for nine seats are no quorum while there is a larger rung: it climbs at once."""
    world = JuryWorld(4, seatsFirst=9, seatsSecond=11, seatsThird=0)
    panel = world.open()
    for who in world.jurors:
        world.call("Juries", "claim", who, panel)
    world.until(lambda: world.panel(panel).rung == 1)
    assert world.panel(panel).stage is Stage.CLAIMING
    assert world.events(events.RungEnded) == [events.RungEnded(panel, 0, None)]
    assert {event.stage for event in world.events(events.StageBegan)} == {Stage.CLAIMING}


def test_a_hung_rung_climbs_and_draws_others() -> None:
    """The next rung has more seats, and nobody who sat before."""
    world = JuryWorld()
    panel = world.open()
    first = world.claim_all(panel)
    world.vote(panel, dict(zip(first, (TRUTH, LIE, success(b"44")), strict=True)))
    assert (world.panel(panel).rung, world.panel(panel).seats) == (1, 5)
    world.slots(2)
    assert world.refuses("Juries", "claim", first[0], panel) is errors.Excluded
    second = world.try_rung(panel)
    assert not set(first) & set(second)
    assert len(second) == 5
    world.until(lambda: panel in world.handler.verdicts)
    opinions = dict(world.handler.verdicts[panel].opinions)
    assert [opinions[who] for who in first] == [Opinion.AGREED, Opinion.DISSENTED, Opinion.DISSENTED]
    world.check()


def test_a_verdict_is_final_when_nobody_appeals() -> None:
    """It waits for `appealSlots`, and not longer."""
    world = JuryWorld(appealSlots=20)
    panel = world.open()
    world.try_rung(panel)
    assert world.panel(panel).stage is Stage.APPEALABLE
    world.slots(19)
    assert panel not in world.handler.verdicts
    world.slots(1)
    assert world.handler.verdicts[panel].digest == TRUTH.digest
    world.check()


@pytest.mark.parametrize("who", [PAYER, DEFENDANT, CHALLENGER])
def test_any_party_appeals_with_the_price_of_the_next_rung(who: bytes) -> None:
    """A bond of five rewards for five seats; the larger rung has the last word before the next appeal."""
    world = JuryWorld()
    panel = world.open()
    world.try_rung(panel, LIE)
    world.call("Juries", "appeal", who, panel)
    assert world.balances.held(who, HoldReason.APPEAL) == 5 * REWARD
    world.check()
    world.slots(2)
    world.try_rung(panel, TRUTH)
    world.until(lambda: panel in world.handler.verdicts)
    assert world.handler.verdicts[panel].digest == TRUTH.digest
    assert world.balances.held(who, HoldReason.APPEAL) == 0
    world.check()


def test_the_ladder_has_an_end() -> None:
    """After two appeals the third rung's verdict is final at once."""
    world = JuryWorld(24)
    panel = world.open()
    for outcome in (LIE, TRUTH):
        world.try_rung(panel, outcome)
        world.call("Juries", "appeal", DEFENDANT, panel)
        world.slots(2)
    world.try_rung(panel, LIE)
    assert world.handler.verdicts[panel].digest == LIE.digest
    assert world.juries.panels.find(panel) is None
    world.check()


@pytest.mark.parametrize("speaks", [True, False])
def test_an_audit_is_the_word_of_one(speaks: bool) -> None:
    """Its verdict is the auditor's digest, or none; there is no ladder."""
    world = JuryWorld()
    panel = world.open(PanelKind.AUDIT)
    (auditor,) = world.claim_all(panel)
    world.vote(panel, {auditor: TRUTH} if speaks else {})
    world.until(lambda: panel in world.handler.verdicts)
    assert world.handler.verdicts[panel].digest == (TRUTH.digest if speaks else None)
    world.check()


def test_an_audit_that_nobody_claims_ends_without_a_word() -> None:
    """A panel never stays open for ever."""
    world = JuryWorld()
    panel = world.open(PanelKind.AUDIT)
    world.until(lambda: panel in world.handler.verdicts, 20)
    assert world.handler.verdicts[panel].digest is None


def test_a_panel_that_all_ignore_climbs_to_its_end() -> None:
    """Three claim windows, then it is hung."""
    world = JuryWorld()
    panel = world.open()
    world.until(lambda: panel in world.handler.verdicts, 60)
    assert world.handler.verdicts[panel].digest is None
    assert len(world.events(events.RungEnded)) == 3
    world.check()


def test_commitments_close_early_when_all_are_in_and_reveals_wait_for_the_gap() -> None:
    """The last commitment starts the gap; a reveal within it is too early, whoever makes it."""
    world = JuryWorld()
    panel = world.open()
    sitting = world.claim_all(panel)
    for who in sitting:
        world.commit(panel, who)
    assert world.panel(panel).stage is Stage.REVEALING
    assert world.refuses("Juries", "reveal", sitting[0], panel, TRUTH, SALT) is errors.TooEarly
    world.slots(4)
    assert world.refuses("Juries", "reveal", sitting[0], panel, TRUTH, SALT) is None


def test_each_stage_has_its_length() -> None:
    """15 slots to claim, twice the duration and 30 to commit, after the gap 30 to reveal, 150 to appeal."""
    world = JuryWorld()
    panel = world.open(duration_ms=7_000)
    first, second, _ = world.claim_all(panel)
    world.commit(panel, first)
    world.commit(panel, second)
    world.until_stage(panel, Stage.REVEALING)
    world.slots(4)
    world.reveal(panel, first)
    world.reveal(panel, second)
    lengths = [event.deadline - event.opens for event in world.events(events.StageBegan)]
    assert lengths == [15, 2 * 7 + 30, 30, 150]


def claiming(world: JuryWorld) -> int:
    """Claims are open."""
    return world.open()


def committing(world: JuryWorld) -> int:
    """All seats are taken, the first juror has committed."""
    panel = world.open()
    world.commit(panel, world.claim_all(panel)[0])
    return panel


def revealing(world: JuryWorld) -> int:
    """The first two jurors have committed, the first has revealed."""
    panel = world.open()
    first, second, _ = world.claim_all(panel)
    world.commit(panel, first)
    world.commit(panel, second)
    world.until_stage(panel, Stage.REVEALING)
    world.slots(4)
    world.reveal(panel, first)
    return panel


def appealable(world: JuryWorld) -> int:
    """There is a verdict."""
    panel = world.open()
    world.try_rung(panel)
    return panel


def settled(world: JuryWorld) -> int:
    """All is over."""
    panel = appealable(world)
    world.until(lambda: panel in world.handler.verdicts)
    return panel


STRANGER = JURORS[11]
ZERO = bytes(32)
WRONG: dict[Callable[[JuryWorld], int], dict[str, type[DispatchError]]] = {
    claiming: dict.fromkeys(("commit", "reveal", "appeal"), errors.WrongStage),
    committing: {
        **dict.fromkeys(("claim", "reveal", "appeal"), errors.WrongStage),
        "commit by 0": errors.AlreadyCommitted,
        "commit by stranger": errors.NotAJuror,
    },
    revealing: {
        **dict.fromkeys(("claim", "commit", "appeal"), errors.WrongStage),
        "reveal by 0": errors.AlreadyRevealed,
        "reveal by 1": errors.CommitmentMismatch,
        "reveal by 2": errors.NotCommitted,
        "reveal by stranger": errors.NotAJuror,
    },
    appealable: {
        **dict.fromkeys(("claim", "commit", "reveal"), errors.WrongStage),
        "appeal by stranger": errors.NotAParty,
    },
    settled: dict.fromkeys(("claim", "commit", "reveal", "appeal", "poke"), errors.PanelNotFound),
}
ARGUMENTS = {"claim": (), "commit": (ZERO,), "reveal": (LIE, SALT), "appeal": (), "poke": ()}


@pytest.mark.parametrize(
    ("state", "what", "error"),
    [(state, what, error) for state, calls in WRONG.items() for what, error in calls.items()],
)
def test_calls_are_refused_in_the_wrong_state(
    state: Callable[[JuryWorld], int], what: str, error: type[DispatchError]
) -> None:
    """Each call in each stage by each kind of caller, with nothing changed."""
    world = JuryWorld()
    panel = state(world)
    name, _, caller = what.partition(" by ")
    seats = [] if world.juries.panels.find(panel) is None else [seat.processor for seat in world.bench(panel)]
    who = STRANGER if not caller or caller == "stranger" else seats[int(caller)]
    assert who not in seats or caller.isdigit()
    before = (dict(world.juries.panels.items()), dict(world.juries.benches.items()))
    assert world.refuses("Juries", name, who, panel, *ARGUMENTS[name]) is error
    assert (dict(world.juries.panels.items()), dict(world.juries.benches.items())) == before
    world.check()


def test_the_table_of_wrong_states_knows_every_call() -> None:
    """A call that is added must be added to it."""
    names = {definition.name for definition in Juries.call_definitions(new_registry())}
    assert names == set(ARGUMENTS)


def test_an_appeal_needs_the_whole_bond() -> None:
    """Less free money than the bond and the existential deposit is refused."""
    world = JuryWorld()
    panel = world.open()
    world.try_rung(panel)
    world.balances.burn(DEFENDANT, world.balances.free(DEFENDANT) - 5 * REWARD)
    assert world.refuses("Juries", "appeal", DEFENDANT, panel) is errors.LockNotAvailable
    world.check()


def test_calls_after_a_deadline_find_the_next_stage() -> None:
    """A commitment that comes when the window is over is refused, even before the chain has worked the change off."""
    world = JuryWorld()
    panel = world.open()
    sitting = world.claim_all(panel)
    world.agenda.active_clock.put(world.panel(panel).deadline)
    assert world.refuses("Juries", "commit", sitting[0], panel, ZERO) is errors.WrongStage
    world.call("Juries", "poke", STRANGER, panel)
    assert world.panel(panel).stage is Stage.REVEALING


def test_a_poke_before_anything_is_due_changes_nothing() -> None:
    """It is allowed, and does nothing."""
    world = JuryWorld()
    panel = world.open()
    before = world.panel(panel)
    world.call("Juries", "poke", STRANGER, panel)
    assert world.panel(panel) == before
