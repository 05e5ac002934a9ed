"""Tier 1 of the runtime: random calls on forks, executed in several orders. Every rule after each block."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.sim import runtime_net
from tests.sim.seeds import seeds

SEEDS = 100
GROUP = 10


@pytest.mark.deadline(300)
@pytest.mark.parametrize("group", range(GROUP))
def test_seeds(group: int) -> None:
    """Three runtimes agree on every root whatever order they see the forks in; money, jobs and pallets add up."""
    chosen = seeds(1, SEEDS)[group::GROUP]
    ends: Counter[str] = Counter()
    for seed in chosen:
        result = runtime_net.simulate(seed)
        ends.update(dict(result.jobs))
    # Otherwise the players would no longer reach what the rules are about.
    assert ends["DONE"] >= len(chosen)
    assert ends["EXPIRED"]
    assert ends["CANCELLED"]


@pytest.mark.deadline(120)
def test_the_same_seed_gives_the_same_blocks() -> None:
    """A second run makes the same blocks, though the executives have seen others meanwhile."""
    first = runtime_net.simulate(3)
    other = runtime_net.simulate(5)
    assert runtime_net.simulate(3) == first
    assert other.trace != first.trace
