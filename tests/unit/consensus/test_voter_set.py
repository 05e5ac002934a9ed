"""Voter sets: how many votes decide, whatever the number of voters and their weights."""

import pytest

from consensus.grandpa.voter_set import VoterSet


def voters(*weights: int) -> VoterSet:
    """A set with these weights."""
    return VoterSet([(bytes([number]) * 32, weight) for number, weight in enumerate(weights)])


@pytest.mark.parametrize(("count", "threshold"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (10, 7)])
def test_more_than_two_thirds_decide(count: int, threshold: int) -> None:
    """W - floor((W - 1) / 3) votes decide: with three voters all of them, with four any three."""
    assert voters(*[1] * count).threshold == threshold


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3), (5, 1, 1, 1), (9, 9, 9, 9), (1,)])
def test_two_decisions_share_an_honest_voter(weights: tuple[int, ...]) -> None:
    """Two groups that both decide overlap in more weight than may lie, so they cannot decide differently."""
    group = voters(*weights)
    assert 2 * group.threshold - group.total > group.tolerated
    assert group.threshold > group.tolerated
