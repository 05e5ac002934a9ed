"""The processor's benchmark: measured in real runs, kept for the next start, told when it has changed much."""

from pathlib import Path

import pytest
import trio

from node.processor.benchmark import BENCHMARK_MIN, KeptBenchmark, differs, measure_benchmark
from node.processor.runtimes.pool import RuntimePool
from node.store.database import LevelDatabase


def test_a_figure_is_kept_for_this_machine_alone(tmp_path: Path) -> None:
    """After a restart the figure is there; a machine with other runtimes has none yet."""
    database = LevelDatabase(tmp_path / "processor")
    kept = KeptBenchmark(database, RuntimePool(1))
    assert kept.get() is None
    kept.put(123_456)
    database.close()
    database = LevelDatabase(tmp_path / "processor")
    assert KeptBenchmark(database, RuntimePool(2)).get() == 123_456
    assert KeptBenchmark(database, RuntimePool(1, native=("native-python",))).get() is None
    database.close()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [(1_000, 1_200, False), (1_000, 1_201, True), (1_000, 800, False), (1_000, 799, True), (1_000, 1_000, False)],
)
def test_a_change_of_more_than_a_fifth_is_told(old: int, new: int, told: bool) -> None:
    """Less is noise, in both directions."""
    assert differs(old, new) == told


def test_it_is_measured_in_real_runs() -> None:
    """The figure of this machine is above the least that is advertised."""

    async def measured() -> int:
        async with RuntimePool(1) as pool:
            return await measure_benchmark(pool)

    assert trio.run(measured) >= BENCHMARK_MIN
