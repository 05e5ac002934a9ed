"""How fast this machine runs jobs: measured here, kept for the next start, and measured again in the background.

A processor that starts again has promises to look after; with the figure of last time it watches the chain at once.
"""

from __future__ import annotations

from node.log import logger
from node.processor.runtimes.port import Pool
from node.processor.runtimes.spec import JobContext, Limits, RunSpec
from node.store.database import Database
from runtime.hashing import blake2b256

log = logger("processor")

BENCHMARK_RUNS = 3
BENCHMARK_MIN = 100_000
CHANGE_MIN_PPM = 200_000
"""A figure that differs by less than a fifth is noise: neither kept nor advertised."""
PREFIX = b"b"
FIGURE_BYTES = 8
LOOPS = {
    "javascript": """
        export function main() {
            let x = 0;
            for (let i = 0; i < 1000000; i++) x = (x * 31 + i) | 0;
            return String(x);
        }
    """,
    "python": """
def main(heddle):
    x = 0
    for i in range(200_000):
        x = (x * 31 + i) & 0xFFFFFFFF
    return str(x)
""",
}


class KeptBenchmark:
    """The last figure in the processor's database, for these machines and runtimes: others have their own."""

    def __init__(self, database: Database, pool: Pool) -> None:
        room = pool.room()
        machine = f"{room.machine} {room.cores} {sorted(pool.runtime_ids().items())}"
        self._key = PREFIX + blake2b256(machine.encode())
        self._database = database

    def get(self) -> int | None:
        """What was measured last; None on a machine that has not been measured."""
        raw = self._database.get(self._key)
        return None if raw is None or len(raw) != FIGURE_BYTES else int.from_bytes(raw, "little")

    def put(self, figure: int) -> None:
        """Keep a figure."""
        self._database.write(((self._key, figure.to_bytes(FIGURE_BYTES, "little")),), sync=True)


def differs(old: int, new: int) -> bool:
    """Whether a new figure is one to be told."""
    return abs(new - old) * 1_000_000 > CHANGE_MIN_PPM * old


async def measure_benchmark(pool: Pool) -> int:
    """Fuel per millisecond of processor time that a run of this machine uses up: the best of a few short runs.

    Time spent waiting for a core is left out: what else runs while the node starts says nothing about the machine.
    """
    best = 0
    for name, script in LOOPS.items():
        if name not in pool.runtime_ids():
            continue
        for _ in range(BENCHMARK_RUNS):
            spec = RunSpec(name, script.encode(), "main", b"", JobContext("benchmark"), Limits(fuel=1 << 40))
            before = pool.cpu_used_ns()
            outcome = await pool.run(spec)
            elapsed_ms = max((pool.cpu_used_ns() - before) // 1_000_000, 1)
            if outcome.failure is None:
                best = max(best, outcome.fuel_used // elapsed_ms)
    log.info("benchmark", fuel_per_ms=best)
    return max(best, BENCHMARK_MIN)
