"""What the machines behind a processor offer: its advert."""

from __future__ import annotations

from node.processor.runtimes.port import Pool
from node.processor.runtimes.spec import NETWORK_REQUESTS_MAX
from pallets.jobs.types import Architecture, RuntimeKind
from pallets.processors.calendar import Capacity
from pallets.processors.types import Advert, Pricing

MEMORY_BYTES_MAX = 16 << 40
"""Of a cluster; what one machine gives is bounded by its pool."""
STORAGE_BYTES = 8 << 30
CORES_MAX = 1_024
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


def machine_advert(pool: Pool, benchmark: int) -> Advert:
    """The advert of the pool's machines, at the usual prices, for everybody."""
    room = pool.room()
    cores, memory_bytes = min(room.cores, CORES_MAX), min(room.memory_bytes, MEMORY_BYTES_MAX)
    return Advert(
        runtimes=tuple(dict.fromkeys(KINDS[name] for name in pool.runtime_ids())),
        capacity=Capacity(memory_bytes, STORAGE_BYTES, cores * JOBS_PER_CORE),
        requests_max=NETWORK_REQUESTS_MAX,
        modules=pool.modules(),
        labels=(),
        architecture=MACHINES.get(room.machine or ""),
        accelerators=(),
        fetch=True,
        storage=True,
        sign=True,
        benchmark=benchmark,
        pricing=PRICING,
        consumers=(),
        start_delay_min_ms=0,
    )
