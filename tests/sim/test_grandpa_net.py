"""Tier 1: networks of voters in a heap loop. Safety under faults, liveness after them, the same trace each time."""

from __future__ import annotations

import pytest

from tests.helpers.votes import NAMES
from tests.sim.grandpa_net import Faults, InvariantBroken, Network, drawn

SEEDS = 100
KEPT_SEEDS = (1, 3, 8, 15, 22, 30, 33, 42, 44, 48, 49)
"""Seeds that once failed, kept for ever: forks of equal height that never met, votes for a block nobody fetched."""


def test_four_voters_finalise_each_block() -> None:
    """On a good network the block of a slot is final within that slot."""
    net = Network(1, NAMES[:4])
    net.run_until(30_900)
    assert net.best() == 30
    assert net.finalised() == [30] * 4


@pytest.mark.deadline(240)
@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_seeds(first: int) -> None:
    """Loss, delay, partitions, crashes, restarts and changes of voters: safe always, live after healing."""
    for seed in range(first, first + 10):
        drawn(seed)


def test_the_same_seed_gives_the_same_trace() -> None:
    """Every message of a run, in order, is the same a second time."""
    traces = []
    for seed in (7, 7, 12):
        net = Network(seed, NAMES[:4])
        net.faults = Faults(loss=0.2, duplicate=0.2, delay_ms_max=500)
        net.crash_chance = 0.002
        net.run_until(25_000)
        traces.append((net.trace(), net.messages))
    assert traces[0] == traces[1]
    assert traces[0] != traces[2]


def test_kept_seeds_lie_in_the_range() -> None:
    """Every seed that once failed is still run."""
    assert all(seed < SEEDS for seed in KEPT_SEEDS)


def test_a_minority_does_not_stop_finality() -> None:
    """With one of four voters away the others go on; it catches up when it is back."""
    net = Network(3, NAMES[:4])
    net.run_until(5_000)
    net.nodes[3].crash()
    net.run_until(40_000)
    assert net.nodes[0].disk.finalised.number >= 25
    net.nodes[3].boot()
    net.run_until(50_000)
    assert net.finalised()[0] >= 34


def test_half_the_voters_finalise_nothing() -> None:
    """Split in two halves neither side finalises; healed, both agree again."""
    net = Network(4, NAMES[:4])
    net.run_until(5_000)
    before = net.finalised()[-1]
    net.faults = Faults(groups=(frozenset({0, 1}),))
    net.run_until(30_000)
    assert net.finalised()[-1] <= before + 1
    net.faults = Faults()
    net.run_until(60_000)
    assert net.finalised()[0] >= net.best() - 2


def test_voters_change_on_the_way() -> None:
    """Two changes of the set: each hand-over block has its own justification on every node."""
    net = Network(5, NAMES[:7], voters=NAMES[:4], changes={5: NAMES[1:5], 12: NAMES[3:7]})
    net.run_until(40_000)
    assert net.finalised()[0] >= 38
    for node in net.nodes:
        assert node.finality is not None
        assert node.finality.set_id == 2
        assert node.disk.mandatory == {5, 12}


def test_a_network_that_restarts_as_a_whole_goes_on() -> None:
    """All nodes crash at once in the middle of rounds; back, nobody votes twice and finality resumes."""
    net = Network(6, NAMES[:4])
    for at_ms in (3_150, 7_320, 11_450):
        net.run_until(at_ms)
        for node in net.nodes:
            node.crash()
        net.run_until(at_ms + 500)
        for node in net.nodes:
            node.boot()
    net.run_until(30_000)
    assert net.finalised()[0] >= net.best() - 2


def test_a_lone_voter_survives_crashes() -> None:
    """With one voter finality follows each block, across crashes between any two actions."""
    net = Network(7, NAMES[:1])
    net.crash_chance = 0.02
    net.run_until(120_000)
    net.crash_chance = 0.0
    net.run_until(140_000)
    assert len(net.crashed) > 3
    assert net.finalised()[0] == net.best()


def test_the_invariants_bite() -> None:
    """A canary: two nodes with one key, each with its own file, are caught voting twice."""
    with pytest.raises(InvariantBroken):
        _twins()


def _twins() -> None:
    net = Network(8, [*NAMES[:3], "alice"], voters=NAMES[:3])
    net.faults = Faults(groups=(frozenset({0}),))
    net.run_until(60_000)
    net.faults = Faults(groups=(frozenset({3}),))
    net.run_until(120_000)
