"""The five ports through which the node reaches the world. Each has a real implementation and a simulated one.

    Network   node/network/port.py       libp2p                          tests/sim/network.py
    Disk      node/store/database.py     LevelDB, files                  tests/sim/disk.py
    Clock     Clock                      the machine's clock             trio's MockClock
    Entropy   Entropy                    the kernel                      a seeded generator
    Compute   Compute                    a thread                        inline

Waiting is always `trio.sleep`, which the simulator's clock drives.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple

import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

SWITCH_INTERVAL_S = 0.0005
"""While a thread executes blocks the event loop must get its turn: p99 1.9 ms instead of 40 (spec/chain.md §2)."""


class Clock(Protocol):
    """Wall time, for slots and eras of the chain."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""


class Entropy(Protocol):
    """Secrets and nonces."""

    def token(self, size: int) -> bytes:
        """`size` unpredictable bytes."""


class Compute(Protocol):
    """Work that would hold up the event loop."""

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """The result of `function(*arguments)`; one such call at a time."""


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class SystemEntropy:
    """The kernel's randomness."""

    def token(self, size: int) -> bytes:
        return os.urandom(size)


class ThreadCompute:
    """One execution thread: blocks execute one after another, off the event loop."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(1)
        sys.setswitchinterval(SWITCH_INTERVAL_S)

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        return await trio.to_thread.run_sync(function, *arguments, limiter=self._limiter)
