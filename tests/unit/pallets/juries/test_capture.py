"""How often colluders get the last word: exact, from the chain's own tally, against the figures of spec/job-layer.md.

Colluders hold the share q of the stake and all tell the same lie; seats are independent draws. Of the honest ones a
tenth is offline.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import comb

import pytest

from pallets.juries.tally import reveals_needed, verdict_of
from pallets.juries.types import PanelKind, Seat

Q = Fraction(1, 5)
OFFLINE = Fraction(1, 10)
TRUTH, LIE = b"t" * 32, b"l" * 32
LADDER = (9, 31, 63)


def benches(seats: int, q: Fraction, offline: Fraction) -> Iterator[tuple[Fraction, int, int]]:
    """Probability, honest reveals, lies: every way in which a rung of so many seats can be drawn."""
    honest = (1 - q) * (1 - offline)
    for lies in range(seats + 1):
        for truths in range(seats - lies + 1):
            ways = comb(seats, lies) * comb(seats - lies, truths)
            absent = seats - lies - truths
            yield ways * q**lies * honest**truths * (1 - q - honest) ** absent, truths, lies


def outcomes(
    seats: int, *, q: Fraction = Q, offline: Fraction = OFFLINE, last: bool = False
) -> dict[bytes | None, Fraction]:
    """The probability of each verdict of one rung, by the rules of tally.py."""
    found: dict[bytes | None, Fraction] = {TRUTH: Fraction(0), LIE: Fraction(0), None: Fraction(0)}
    needed = reveals_needed(PanelKind.JURY, seats, seats, last=last)
    assert needed is not None
    for probability, truths, lies in benches(seats, q, offline):
        if probability:
            bench = [seat(TRUTH)] * truths + [seat(LIE)] * lies + [seat(None)] * (seats - truths - lies)
            found[verdict_of(bench, needed)] += probability
    assert sum(found.values()) == 1
    return found


def seat(digest: bytes | None) -> Seat:
    """A juror who revealed this, or nothing."""
    return Seat(bytes(32), bytes(32), 0, digest, digest)


def test_the_ladder_finds_the_truth_in_9998_of_10000_disputes() -> None:
    """When a wrong verdict is appealed and a hung rung climbs."""
    correct, climbing = Fraction(0), Fraction(1)
    for seats in LADDER:
        rung = outcomes(seats)
        correct += climbing * rung[TRUTH]
        climbing *= rung[None] + rung[LIE]
    assert Fraction(9_998, 10_000) < correct < 1


def test_colluders_with_a_fifth_of_the_stake_never_get_the_last_word() -> None:
    """As long as honest parties appeal, the largest rung decides: below one in 10¹²."""
    assert outcomes(63, last=True)[LIE] < Fraction(1, 10**12)


def test_the_last_rung_alone_hangs_rather_than_errs() -> None:
    """The worst case: the losing side always appeals, so that only the largest jury counts."""
    last = outcomes(63, last=True)
    assert last[TRUTH] > Fraction(97, 100)
    assert last[LIE] * 10**10 < last[None] < Fraction(3, 100)


@pytest.mark.parametrize(("seats", "low", "high"), [(7, "0.071", "0.073"), (31, "0.00000015", "0.00000025")])
def test_why_juries_are_not_small(seats: int, low: str, high: str) -> None:
    """Whoever withholds four beacon reveals has 16 tries: 7 % for a jury of 7, 2·10⁻⁷ for one of 31."""
    once = outcomes(seats, offline=Fraction(0))[LIE]
    assert Fraction(low) < 1 - (1 - once) ** 16 < Fraction(high)


def test_why_a_majority_of_replicas_does_not_slash() -> None:
    """Two of three lie together in 10.4 % of all draws, all three in 0.8 %: dissent goes to a jury."""
    draws = {lies: comb(3, lies) * Q**lies * (1 - Q) ** (3 - lies) for lies in range(4)}
    assert draws[2] + draws[3] == Fraction(104, 1_000)
    assert draws[3] == Fraction(8, 1_000)


def test_a_third_of_the_stake_can_hang_a_jury_but_not_bend_it() -> None:
    """The remaining risk that the specification names: just above a third, hung is likely and a lie is not."""
    rung = outcomes(63, q=Fraction(36, 100), last=True)
    assert rung[None] > Fraction(1, 2)
    assert rung[LIE] < Fraction(1, 10**5)
