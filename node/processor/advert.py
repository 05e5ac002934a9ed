"""What this machine offers: its advert, with a benchmark that was measured here."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable
from contextlib import suppress

from node.log import logger
from node.processor.runtimes.native.bubblewrap import native_modules
from node.processor.runtimes.pool import RuntimePool
from node.processor.runtimes.spec import NETWORK_REQUESTS_MAX, JobContext, Limits, RunSpec
from pallets.jobs.types import Architecture, RuntimeKind
from pallets.processors.calendar import Capacity
from pallets.processors.types import Advert, Pricing

log = logger("processor")

MEMORY_BYTES_MAX = 16 << 30
STORAGE_BYTES = 8 << 30
CORES_MAX = 64
JOBS_PER_CORE = 4
"""Runs promised per core: the calendar counts whole durations, and most runs need a fraction of theirs."""
PRICING = Pricing(base=5 * 10**9, per_ms=10**6, per_storage_byte=0, per_request=0)
"""Until `heddle processor advertise` says otherwise: the base covers the fees of one execution's transactions."""
BENCHMARK_RUNS = 3
BENCHMARK_MIN = 100_000
KINDS = {
    "wasm": RuntimeKind.WASM,
    "javascript": RuntimeKind.JAVASCRIPT,
    "python": RuntimeKind.PYTHON,
    "native-python": RuntimeKind.NATIVE,
    "native-node": RuntimeKind.NATIVE,
}
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
MACHINES = {"x86_64": Architecture.X86_64, "aarch64": Architecture.AARCH64, "riscv64": Architecture.RISCV64}


def cpu_ns(pids: Iterable[int]) -> int:
    """Processor time that these processes have used; one that is gone counts nothing."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            # The clock of a process, as clock_getcpuclockid(3) makes it from the pid.
            total += time.clock_gettime_ns((~pid << 3) | 2)
    return total


async def measure_benchmark(pool: RuntimePool) -> int:
    """Fuel per millisecond of processor time that a run of this machine uses up: the best of a few short runs.

    Time spent waiting for a core is left out: what else runs while the node starts says nothing about the machine.
    """
    best = 0
    for name, script in LOOPS.items():
        if name not in pool.runtime_ids():
            continue
        for _ in range(BENCHMARK_RUNS):
            spec = RunSpec(name, script.encode(), "main", b"", JobContext("benchmark"), Limits(fuel=1 << 40))
            before = cpu_ns(pool.worker_pids)
            outcome = await pool.run(spec)
            elapsed_ms = max((cpu_ns(pool.worker_pids) - before) // 1_000_000, 1)
            if outcome.failure is None:
                best = max(best, outcome.fuel_used // elapsed_ms)
    log.info("benchmark", fuel_per_ms=best)
    return max(best, BENCHMARK_MIN)


def machine_advert(pool: RuntimePool, benchmark: int) -> Advert:
    """The advert of this machine, at the usual prices, for everybody."""
    cores = min(os.cpu_count() or 1, CORES_MAX)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return Advert(
        runtimes=tuple(dict.fromkeys(KINDS[name] for name in pool.runtime_ids())),
        capacity=Capacity(min(memory, MEMORY_BYTES_MAX), STORAGE_BYTES, cores * JOBS_PER_CORE),
        requests_max=NETWORK_REQUESTS_MAX,
        modules=native_modules(pool.native),
        labels=(),
        architecture=MACHINES.get(platform.machine()),
        accelerators=(),
        fetch=True,
        storage=True,
        sign=True,
        benchmark=benchmark,
        pricing=PRICING,
        consumers=(),
        start_delay_min_ms=0,
    )
