"""Tier 3: processors that lie, copy, stall, fall silent or vanish, a matcher that censors. Honest ones lose nothing."""

from __future__ import annotations

import pytest

from pallets.jobs.records import JobState
from tests.sim import crooked_net
from tests.sim.seeds import seeds

SEEDS = 3
TWICE = 2
"""A seed with a liar: it runs two times."""


@pytest.mark.deadline(600)
@pytest.mark.parametrize("seed", seeds(3, SEEDS))
def test_seeds(seed: int) -> None:
    """Each job ends with right results or money back, villains lose bond and name, and the trace is the same again."""
    first = crooked_net.simulate(seed)
    assert set(first.jobs) == {JobState.DONE}
    assert first.accepted > 0
    if seed == TWICE:
        assert "liar" in first.parts
        assert first.juries > 0
        assert first.punished > 0
        assert crooked_net.simulate(seed) == first, f"two runs differ\nagain: make sim SEED={seed} TIER=3"
