"""Where the money of a panel goes: to the planck, in the order of spec/job-layer.md §5."""

import pytest

from pallets.balances import TREASURY, HoldReason
from pallets.juries.events import AppealSettled, JurorSettled
from pallets.juries.pallet import WHOLE_PANEL
from pallets.juries.types import Opinion, PanelKind, Stage
from runtime.errors import InvariantBroken
from runtime.weight import cost_ps
from tests.helpers.job_world import HDL, account, success
from tests.helpers.jury_world import CHALLENGER, DEFENDANT, LIE, PAYER, REWARD, TRUTH, JuryWorld

LOCK = 2 * REWARD
FINE = REWARD // 10


def balances(world: JuryWorld, accounts: list[bytes]) -> list[int]:
    """Free planck of each."""
    return [world.balances.free(who) for who in accounts]


def one_rung(**juries: int) -> JuryWorld:
    """A world whose first rung has the last word."""
    return JuryWorld(**{"seatsSecond": 0, "seatsThird": 0, **juries})


def loser(world: JuryWorld, amount: int) -> None:
    """Let the handler pay at most `amount` from the losing side."""
    left = [amount]

    def pay(to: bytes, wanted: int) -> int:
        part = min(wanted, left[0])
        left[0] -= part
        world.balances.transfer(DEFENDANT, to, part, keep_alive=True)
        return part

    world.handler.fund = pay


def test_the_losing_side_pays_each_juror_one_reward() -> None:
    """With enough bonds nothing else is touched."""
    world = one_rung()
    loser(world, 12 * REWARD)
    panel = world.open()
    before, issuance = balances(world, list(world.jurors)), world.money()
    sitting = world.try_rung(panel)
    gains = {
        who: now - then
        for who, now, then in zip(world.jurors, balances(world, list(world.jurors)), before, strict=True)
    }
    assert gains == {who: REWARD if who in sitting else 0 for who in world.jurors}
    assert world.balances.free(TREASURY) == 1_000 * HDL
    assert world.money() == issuance
    world.check()


def test_overruled_jurors_pay_what_the_losing_side_cannot() -> None:
    """One bond of half a reward, then the dissenter's lock; what is left of the lock is burned."""
    world = one_rung()
    loser(world, REWARD // 2)
    panel = world.open()
    sitting = world.claim_all(panel)
    before, issuance = balances(world, sitting), world.money()
    first, second, third = sitting
    world.vote(panel, {first: TRUTH, second: TRUTH, third: LIE})
    changes = [now - then for now, then in zip(balances(world, sitting), before, strict=True)]
    # The locks were held before, so that those who agreed get theirs back, and the dissenter gets nothing.
    assert changes == [LOCK + REWARD, LOCK + REWARD, 0]
    assert world.money() == issuance - (LOCK - 2 * REWARD + REWARD // 2)
    assert world.balances.free(TREASURY) == 1_000 * HDL
    settled = {event.processor: (event.opinion, event.paid, event.lost) for event in world.events(JurorSettled)}
    assert settled[third] == (Opinion.DISSENTED, 0, LOCK)
    world.check()


def test_the_treasury_pays_what_nobody_else_can() -> None:
    """An unanimous jury, and a losing side with nothing."""
    world = one_rung()
    panel = world.open()
    world.try_rung(panel)
    assert world.balances.free(TREASURY) == 1_000 * HDL - 3 * REWARD
    world.check()


def test_a_treasury_with_too_little_pays_what_it_has_and_stays_alive() -> None:
    """Jurors are paid in the order of their seats until it is empty."""
    world = JuryWorld(seatsSecond=0, seatsThird=0, treasury=REWARD + HDL)
    panel = world.open()
    world.try_rung(panel)
    paid = [event.paid for event in world.events(JurorSettled)]
    assert paid == [REWARD, HDL - world.balances.existential_deposit, 0]
    assert world.balances.free(TREASURY) == world.balances.existential_deposit
    world.check()


def test_the_treasury_gives_at_most_so_much_in_an_era() -> None:
    """The cap holds over panels, and is new in the next era."""
    world = one_rung(treasuryPerEraMax=4 * REWARD, eraSlots=1_000)
    world.slots(1_000 - world.system.slot % 1_000)
    for _ in range(2):
        panel = world.open()
        world.try_rung(panel)
    assert world.balances.free(TREASURY) == 1_000 * HDL - 4 * REWARD
    world.slots(1_000)
    panel = world.open()
    world.try_rung(panel)
    assert world.balances.free(TREASURY) == 1_000 * HDL - 7 * REWARD
    world.check()


def test_an_absent_juror_pays_a_fine_and_one_who_hides_its_word_the_lock() -> None:
    """Never committed: a tenth of the reward. Committed and not revealed: as an overruled one."""
    world = JuryWorld(seatsFirst=6, seatsSecond=0, seatsThird=0)
    loser(world, 12 * REWARD)
    panel = world.open()
    *honest, absent, hiding = world.claim_all(panel)
    world.commit(panel, hiding, LIE)
    issuance = world.money()
    world.vote(panel, dict.fromkeys(honest, TRUTH))
    world.until(lambda: panel in world.handler.verdicts)
    settled = {event.processor: (event.opinion, event.lost) for event in world.events(JurorSettled)}
    assert settled[absent] == (Opinion.SILENT, FINE)
    assert settled[hiding] == (Opinion.DISSENTED, LOCK)
    assert world.money() == issuance - FINE - LOCK
    assert {world.balances.held(who, HoldReason.JUROR) for who in world.jurors} == {0}
    world.check()


def test_a_hung_jury_slashes_nobody_and_pays_half_to_those_who_worked() -> None:
    """Locks come back whole, even of the silent; the treasury pays R/2 for a reveal."""
    world = JuryWorld(seatsFirst=4, seatsSecond=0, seatsThird=0)
    panel = world.open()
    *speaking, silent = world.claim_all(panel)
    before, issuance = balances(world, [*speaking, silent]), world.money()
    world.vote(panel, dict(zip(speaking, (TRUTH, LIE, success(b"44")), strict=True)))
    world.until(lambda: panel in world.handler.verdicts)
    changes = [now - then for now, then in zip(balances(world, [*speaking, silent]), before, strict=True)]
    assert changes == [LOCK + REWARD // 2] * 3 + [LOCK]
    assert world.money() == issuance
    world.check()


def test_a_lost_appeal_pays_the_jurors_first() -> None:
    """The appellant was wrong twice: its bond pays the jurors of both rungs before the losing side does."""
    world = JuryWorld(seatsThird=0)
    loser(world, 100 * REWARD)
    panel = world.open()
    world.try_rung(panel)
    world.call("Juries", "appeal", CHALLENGER, panel)
    world.slots(2)
    before = balances(world, [DEFENDANT, CHALLENGER])
    world.try_rung(panel)
    # Eight jurors: five rewards of the appeal's bond, three of the losing side.
    assert balances(world, [DEFENDANT, CHALLENGER]) == [before[0] - 3 * REWARD, before[1]]
    assert world.events(AppealSettled) == [AppealSettled(panel, CHALLENGER, 5 * REWARD)]
    world.check()


def test_what_jurors_do_not_need_of_a_lost_appeal_is_burned() -> None:
    """Nine seats were paid for, two and six jurors spoke: one reward is left, and nobody gains by it."""
    world = JuryWorld(seatsSecond=9, seatsThird=0)
    panel = world.open()
    world.vote(panel, dict.fromkeys(world.claim_all(panel)[:2], TRUTH))
    world.until_stage(panel, Stage.APPEALABLE)
    world.call("Juries", "appeal", CHALLENGER, panel)
    world.slots(2)
    issuance = world.money()
    world.vote(panel, dict.fromkeys(world.claim_all(panel)[:6], TRUTH))
    world.until(lambda: panel in world.handler.verdicts)
    assert world.money() == issuance - REWARD - 4 * FINE
    assert world.balances.held(CHALLENGER, HoldReason.APPEAL) == 0
    world.check()


def test_a_won_appeal_gets_its_bond_back_and_overturned_jurors_lose_their_locks() -> None:
    """The first rung was bought; the second says so."""
    world = JuryWorld(seatsThird=0)
    panel = world.open()
    bought = world.try_rung(panel, LIE)
    free = world.balances.free(CHALLENGER)
    world.call("Juries", "appeal", CHALLENGER, panel)
    world.slots(2)
    honest = world.try_rung(panel)
    assert world.balances.free(CHALLENGER) == free
    settled = {event.processor: (event.paid, event.lost) for event in world.events(JurorSettled)}
    assert settled == {**dict.fromkeys(bought, (0, LOCK)), **dict.fromkeys(honest, (REWARD, 0))}
    assert world.balances.free(TREASURY) == 1_000 * HDL, "six rewards of locks pay five jurors"
    world.check()


def test_appeals_come_back_when_the_panel_hangs_at_last() -> None:
    """Nobody knows who was right."""
    world = JuryWorld(seatsThird=0)
    panel = world.open()
    world.try_rung(panel)
    free = world.balances.free(PAYER)
    world.call("Juries", "appeal", PAYER, panel)
    world.until(lambda: panel in world.handler.verdicts)
    assert world.handler.verdicts[panel].digest is None
    assert world.balances.free(PAYER) == free
    world.check()


@pytest.mark.parametrize("commits", [False, True])
def test_an_auditor_that_says_nothing_is_fined(commits: bool) -> None:
    """It took the seat, so that nobody else could."""
    world = JuryWorld()
    panel = world.open(PanelKind.AUDIT)
    (auditor,) = world.claim_all(panel)
    if commits:
        world.commit(panel, auditor)
    free = world.balances.free(auditor)
    world.until(lambda: panel in world.handler.verdicts)
    assert world.balances.free(auditor) == free + LOCK - FINE
    world.check()


def test_an_audit_waits_for_its_handler_and_can_be_settled_against_it() -> None:
    """A jury finds the auditor wrong: its lock stays held until then, and is lost."""
    world = JuryWorld()
    world.handler.settles = False
    panel = world.open(PanelKind.AUDIT)
    (auditor,) = world.claim_all(panel)
    world.vote(panel, {auditor: LIE})
    assert world.panel(panel).stage is Stage.DECIDED
    world.slots(500)
    assert world.balances.held(auditor, HoldReason.JUROR) == LOCK
    world.check()
    world.juries.settle(panel, TRUTH.digest)
    assert world.balances.held(auditor, HoldReason.JUROR) == 0
    assert world.events(JurorSettled)[-1] == JurorSettled(panel, auditor, Opinion.DISSENTED, 0, LOCK)
    world.check()


def test_a_panel_is_not_settled_before_it_is_decided() -> None:
    """That would be the handler's mistake."""
    world = JuryWorld()
    panel = world.open()
    with pytest.raises(InvariantBroken):
        world.juries.settle(panel, None)


def test_check_state_notices_a_lock_that_nobody_holds() -> None:
    """The invariant can fail in each of its parts."""
    world = JuryWorld()
    panel = world.open()
    world.claim_all(panel)
    first, second, third = world.bench(panel)
    for bench in ((first, second), (first, third, second), (first, second, second)):
        world.juries.benches.put((panel, 0), bench)
        with pytest.raises(InvariantBroken):
            world.juries.check_state()
    world.juries.benches.put((panel, 0), (first, second, third))
    world.juries.check_state()
    world.balances.hold(account("alice"), HoldReason.APPEAL, HDL)
    with pytest.raises(InvariantBroken):
        world.juries.check_state()


def test_the_largest_panel_stays_within_the_declared_weights() -> None:
    """The whole ladder of the main chain, lost on two rungs: its last reveal changes no more keys than a call pays."""
    world = JuryWorld(120, seatsFirst=9, seatsSecond=31, seatsThird=63)
    panel = world.open()
    for _ in range(2):
        world.try_rung(panel, LIE)
        world.call("Juries", "appeal", DEFENDANT, panel)
        world.slots(2)
    sitting = world.claim_all(panel)
    for who in sitting:
        world.commit(panel, who)
    world.slots(4)
    for who in sitting[:-1]:
        world.reveal(panel, who)
    mark = len(world.state.undo)
    world.reveal(panel, sitting[-1])
    assert world.handler.verdicts[panel].digest == TRUTH.digest
    keys = {key for key, _ in world.state.undo[mark:]}
    assert cost_ps(reads=0, writes=len(keys)) <= WHOLE_PANEL.weight_ps


@pytest.mark.parametrize("ladder", [(9, 5, 0), (9, 9, 0), (31, 0, 31), (60, 61, 62)])
def test_a_ladder_that_does_not_rise_or_is_too_long_is_no_chain(ladder: tuple[int, int, int]) -> None:
    """Genesis refuses it."""
    names = ("seatsFirst", "seatsSecond", "seatsThird")
    with pytest.raises(ValueError, match="ladder"):
        JuryWorld(**dict(zip(names, ladder, strict=True)))
