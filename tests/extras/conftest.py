"""The tests of optional extras are skipped, with the reason, where the extra is not installed."""

import pytest

from tests.helpers.ray_cluster import NOT_RUN, has_ray


@pytest.fixture(autouse=True)
def _ray_is_installed() -> None:
    """Each of these tests has to do with Ray."""
    if not has_ray():
        pytest.skip(NOT_RUN)
