"""What a sandbox uses, looked at every few milliseconds; past a limit it is killed, whatever it is doing.

The figures are the kernel's, of the sandbox's first process and all below it. A page that processes share counts for
each of them.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from node.processor.runtimes.native.bubblewrap import PROCESSES_MAX
from node.processor.runtimes.outcome import OutOfResources, Resource
from node.processor.runtimes.spec import Limits

POLL_S = 0.02
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def tree(pid: int) -> Iterator[int]:
    """The process and its descendants, as far as they are still there; at most twice PROCESSES_MAX."""
    waiting = [pid]
    for _ in range(2 * PROCESSES_MAX):
        if not waiting:
            return
        one = waiting.pop()
        yield one
        with suppress(OSError):
            for children in Path(f"/proc/{one}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())


def cpu_ns(pid: int) -> int:
    """Processor time of a process and of those of its children that it has waited for."""
    # The name in parentheses may hold spaces; utime, stime, cutime and cstime are fields 14 to 17.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) * TICK_NS


def memory_bytes(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


class Watch:
    """Looks at one sandbox until `close`. `breach` is the limit that it passed, if it did; then it has been killed."""

    def __init__(self, pid: int, descriptor: int, limits: Limits, cpu_ns_max: int) -> None:
        self.breach: OutOfResources | None = None
        self.memory_peak = 0
        self.cpu_ns = 0
        self._pid = pid
        self._descriptor = descriptor
        self._memory_max = limits.memory_bytes
        self._cpu_max = cpu_ns_max
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()
        self._thread.join()

    def kill(self) -> None:
        """End the sandbox: with its first process the kernel ends all in it."""
        with suppress(ProcessLookupError):
            # By its descriptor: a number could be another process's by now.
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def _run(self) -> None:
        while not self._closed.wait(POLL_S):
            self._look()
            if self.breach is not None:
                self.kill()
                return

    def _look(self) -> None:
        memory = used = 0
        for pid in tree(self._pid):
            with suppress(OSError, ValueError, IndexError):
                memory += memory_bytes(pid)
                used += cpu_ns(pid)
        self.memory_peak = max(self.memory_peak, memory)
        self.cpu_ns = max(self.cpu_ns, used)
        if memory > self._memory_max:
            self.breach = OutOfResources(Resource.MEMORY)
        elif used > self._cpu_max:
            self.breach = OutOfResources(Resource.COMPUTE)
