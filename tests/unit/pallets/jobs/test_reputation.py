"""Reputation scores against Acurast's vectors, an exact model, and the caps on credit."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pallets.jobs.types import RuntimeKind
from pallets.reputation import (
    CV_MAX,
    NEW,
    ONE,
    SUM_MAX,
    Record,
    convict,
    fail,
    next_average,
    score_ppm,
    succeed,
    weight_of,
)
from tests.helpers.job_world import ALICE, BOB, HDL, PROCESSORS, World

WASM = RuntimeKind.WASM


@pytest.mark.parametrize(
    ("successes", "failures", "weight", "score"),
    [
        (0, 0, ONE, 509_803),
        (1, 0, ONE, 679_738),
        (59, 0, ONE, 991_915),
        (59, 0, ONE // 2, 967_076),
        (0, 99, ONE // 2, 43_172),
    ],
)
def test_acurasts_vectors_come_out_exactly(successes: int, failures: int, weight: int, score: int) -> None:
    """The five vectors of reference/acurast.md."""
    record = NEW
    for _ in range(successes):
        record = succeed(record, weight)
    for _ in range(failures):
        record = fail(record, weight)
    assert score_ppm(record) == score


@given(st.lists(st.tuples(st.booleans(), st.integers(0, ONE)), max_size=120))
def test_the_score_is_within_a_millionth_of_the_exact_formula(steps: list[tuple[bool, int]]) -> None:
    """Against fractions: fading by 49/50, ((r+1)/(r+s+2)) / (51/52)."""
    record, good, bad = NEW, Fraction(0), Fraction(0)
    for success, weight in steps:
        record = succeed(record, weight) if success else fail(record, weight)
        good, bad = good * 49 / 50, bad * 49 / 50
        good += Fraction(weight, ONE) if success else 0
        bad += 0 if success else Fraction(weight, ONE)
    exact = (good + 1) / (good + bad + 2) * 52 / 51 * 10**6
    assert abs(score_ppm(record) - exact) <= 1


def test_a_weight_grows_with_the_reward_up_to_four_averages() -> None:
    """Half at the average, 0.8 from four averages on."""
    assert weight_of(HDL, HDL) == ONE // 2
    assert weight_of(4 * HDL, HDL) == weight_of(400 * HDL, HDL) == 8 * ONE // 10


@pytest.mark.parametrize(
    ("average", "reward", "after"),
    [(1_000, 1_000, 1_000), (1_000, 1_255, 1_000), (1_000, 1_256, 1_001), (1_000, 744, 999), (1_000, 10**9, 1_011)],
)
def test_the_average_moves_by_a_256th_truncated_and_clamped(average: int, reward: int, after: int) -> None:
    """One settlement counts as at most four times more than the average."""
    assert next_average(average, reward) == after


def test_credit_from_one_payer_is_capped_per_era() -> None:
    """After a weight of 2 in an era the same payer's jobs add nothing; another payer's do; the next era does."""
    world = World({"reputation": {"eraSlots": 50}})
    processor = PROCESSORS[0]
    for _ in range(10):
        world.reputation.credit(processor, ALICE, WASM, HDL)
    assert world.reputation.credits.get((processor, ALICE)).weight == 2 * ONE
    capped = world.reputation.score(processor, WASM)
    world.reputation.credit(processor, ALICE, WASM, HDL)
    assert world.reputation.score(processor, WASM) == capped
    world.reputation.credit(processor, BOB, WASM, HDL)
    assert world.reputation.score(processor, WASM) > capped
    world.slots(50)
    before = world.reputation.score(processor, WASM)
    world.reputation.credit(processor, ALICE, WASM, HDL)
    assert world.reputation.score(processor, WASM) > before
    world.check()


def test_classes_of_runtime_are_apart_and_debits_have_a_floor() -> None:
    """A tiny reward still debits a quarter; the score in another class stays."""
    world = World()
    world.reputation.debit(PROCESSORS[0], WASM, 1, 4)
    assert world.reputation.records.get((PROCESSORS[0], WASM)).failures == ONE // 4
    world.reputation.debit(PROCESSORS[0], WASM, 1, 2)
    assert world.reputation.records.get((PROCESSORS[0], WASM)).failures == ONE // 4 * 49 // 50 + ONE // 8
    assert world.reputation.score(PROCESSORS[0], RuntimeKind.PYTHON) == 509_803


def test_dust_does_not_move_the_average() -> None:
    """Settlements below 0.01 HDL are left out of it."""
    world = World()
    world.reputation.credit(PROCESSORS[0], ALICE, WASM, 10**10 - 1)
    assert world.reputation.average(WASM) == 10**12
    world.reputation.credit(PROCESSORS[0], ALICE, WASM, 10**10)
    assert world.reputation.average(WASM) < 10**12


@pytest.mark.parametrize(
    ("reward", "average", "weight"),
    [
        (0, HDL, 0),
        (1, HDL, 0),
        (HDL // 3, HDL, 249_999_999_999),
        (HDL, 2 * HDL, 333_333_333_333),
        (3 * HDL, HDL, 750_000_000_000),
        (4 * HDL - 1, HDL, 799_999_999_999),
    ],
)
def test_weights_are_floored_shares(reward: int, average: int, weight: int) -> None:
    """x·ONE / (average + x), rounded down."""
    assert weight_of(reward, average) == weight


def test_jobs_that_filter_by_label_earn_a_quarter() -> None:
    """The same reward, asked of processors with a label, weighs a fourth; it moves the average all the same."""
    world = World()
    world.reputation.credit(PROCESSORS[0], ALICE, WASM, 2 * HDL)
    full, average = world.reputation.records.get((PROCESSORS[0], WASM)).successes, world.reputation.average(WASM)
    other = World()
    other.reputation.credit(PROCESSORS[0], ALICE, WASM, 2 * HDL, narrowed=True)
    assert other.reputation.records.get((PROCESSORS[0], WASM)).successes == full // 4
    assert other.reputation.average(WASM) == average


def test_verified_results_are_counted_per_class_and_a_third_is_lost_by_a_mismatch() -> None:
    """CV: +1 for each agreement, ⌊2·CV/3⌋ after a difference that honest processors may have."""
    world = World()
    for expected in range(1, 6):
        world.reputation.verified(PROCESSORS[0], WASM)
        assert world.reputation.cv(PROCESSORS[0], WASM) == expected
    assert world.reputation.cv(PROCESSORS[0], RuntimeKind.PYTHON) == world.reputation.cv(PROCESSORS[1], WASM) == 0
    for expected in (3, 2, 1, 0, 0):
        world.reputation.mismatched(PROCESSORS[0], WASM)
        assert world.reputation.cv(PROCESSORS[0], WASM) == expected
    world.check()


def test_the_count_of_verified_results_stays_within_its_type() -> None:
    """It stops at the largest number that it can hold."""
    world = World()
    world.reputation.verified_counts.put((PROCESSORS[0], WASM), CV_MAX)
    world.reputation.verified(PROCESSORS[0], WASM)
    assert world.reputation.cv(PROCESSORS[0], WASM) == CV_MAX


def test_a_conviction_forgets_every_success() -> None:
    """After a final verdict r = 0 and s has 10 more: far below a newcomer, and one success does not mend it."""
    world = World()
    for payer in (ALICE, BOB):
        world.reputation.credit(PROCESSORS[0], payer, WASM, 4 * HDL)
    world.reputation.verified(PROCESSORS[0], WASM)
    world.reputation.convicted(PROCESSORS[0], WASM)
    assert world.reputation.records.get((PROCESSORS[0], WASM)) == Record(0, 10 * ONE)
    assert world.reputation.cv(PROCESSORS[0], WASM) == 0
    assert world.reputation.score(PROCESSORS[0], WASM) == 84_967
    world.reputation.credit(PROCESSORS[0], ALICE, WASM, 4 * HDL)
    assert world.reputation.score(PROCESSORS[0], WASM) < 509_803
    world.check()


def test_convictions_do_not_grow_beyond_what_fading_allows() -> None:
    """However often a processor is convicted, its record keeps the invariant."""
    record = NEW
    for _ in range(8):
        record = convict(record)
    assert record == Record(0, SUM_MAX)
