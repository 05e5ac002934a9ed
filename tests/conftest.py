"""What every test gets: a deadline of its own, and property tests that draw the same examples each time."""

import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

import hypothesis
import pytest

DEADLINE_S_DEFAULT = 60

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("seeded", derandomize=False, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    """With --hypothesis-seed the examples follow from that seed; the repeatable profile would overrule it."""
    if config.getoption("--hypothesis-seed", None) is not None:
        hypothesis.settings.load_profile("seeded")


class DeadlineMissed(BaseException):
    """A test ran past its deadline. Not an Exception, so that no supervisor under test can swallow it."""


@pytest.fixture(autouse=True)
def _deadline(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that runs past its deadline: 60 s, or what `@pytest.mark.deadline(seconds)` says."""
    marker = request.node.get_closest_marker("deadline")
    seconds = marker.args[0] if marker else DEADLINE_S_DEFAULT

    def missed(_number: int, _frame: FrameType | None) -> None:
        raise DeadlineMissed(f"{request.node.nodeid} ran for more than {seconds} s")

    before = signal.signal(signal.SIGALRM, missed)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """A cluster of two machines for all tests of a run; where Ray is not installed they count as skipped."""
    from tests.helpers.ray_cluster import NOT_RUN, has_ray, ray_cluster_of

    if not has_ray():
        pytest.skip(NOT_RUN)
    left_s, _ = signal.setitimer(signal.ITIMER_REAL, 0)  # its start is not the first test's time
    with ray_cluster_of(2) as cluster:
        signal.setitimer(signal.ITIMER_REAL, left_s)
        yield cluster


@pytest.fixture(params=["local", "ray"])
def open_pool(request: pytest.FixtureRequest) -> Any:
    """Each kind of pool there is: called with a number of workers it gives what `async with` opens."""
    from node.processor.runtimes.pool import RuntimePool

    return RuntimePool if request.param == "local" else request.getfixturevalue("ray_cluster").pool
