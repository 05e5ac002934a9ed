"""Networks of voters: safety under faults, liveness after they heal."""

from tests.helpers.votes import NAMES
from tests.sim.grandpa_net import Network


def test_four_voters_finalise_each_block() -> None:
    """On a good network finality follows the head by one block."""
    net = Network(1, NAMES[:4])
    net.run_until(30_500)
    assert net.best() == 30
    assert net.finalised()[0] >= 29
