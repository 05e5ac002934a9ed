"""What this machine offers: its advert."""

from __future__ import annotations

import os
import platform

from node.processor.runtimes.native.bubblewrap import native_modules
from node.processor.runtimes.pool import RuntimePool
from node.processor.runtimes.spec import NETWORK_REQUESTS_MAX
from pallets.jobs.types import Architecture, RuntimeKind
from pallets.processors.calendar import Capacity
from pallets.processors.types import Advert, Pricing

MEMORY_BYTES_MAX = 16 << 30
STORAGE_BYTES = 8 << 30
CORES_MAX = 64
JOBS_PER_CORE = 4
"""Runs promised per core: the calendar counts whole durations, and most runs need a fraction of theirs."""
PRICING = Pricing(base=5 * 10**9, per_ms=10**6, per_storage_byte=0, per_request=0)
"""Until `heddle processor advertise` says otherwise: the base covers the fees of one execution's transactions."""
KINDS = {
    "wasm": RuntimeKind.WASM,
    "javascript": RuntimeKind.JAVASCRIPT,
    "python": RuntimeKind.PYTHON,
    "native-python": RuntimeKind.NATIVE,
    "native-node": RuntimeKind.NATIVE,
}
MACHINES = {"x86_64": Architecture.X86_64, "aarch64": Architecture.AARCH64, "riscv64": Architecture.RISCV64}


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
