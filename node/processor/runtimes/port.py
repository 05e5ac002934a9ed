"""The port through which the node has scripts run: what every pool of workers offers, wherever they are.

Two implementations: `pool.RuntimePool`, worker processes of this machine, and `cluster.pool.RayPool`, worker processes
on the machines of a Ray cluster. In both a script runs in the same sandbox, and its calls come back to the node.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from node.processor.runtimes.outcome import Outcome
from node.processor.runtimes.spec import FetchReply, FetchRequest, RunSpec

Fetch = Callable[[FetchRequest], Awaitable[FetchReply]]
Sign = Callable[[bytes], Awaitable[bytes]]
OnProgress = Callable[[int, str], None]
OnText = Callable[[str], None]
OnBytes = Callable[[bytes], None]


class WorkerCrashed(Exception):
    """The worker process died or broke the protocol: the machine's fault, or an attack; never a script's typed end."""

    def __init__(self, reason: str, exit_code: int | None = None) -> None:
        super().__init__(f"worker {reason} (exit code {exit_code})")
        self.exit_code = exit_code


class NoRoom(Exception):
    """No machine of the pool could ever hold the run, not even alone; the message names field and limit."""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What the node does for a run. Those that are None are ignored (progress, log) or refused (fetch, sign)."""

    fetch: Fetch | None = None
    sign: Sign | None = None
    on_progress: OnProgress | None = None
    on_log: OnText | None = None
    on_checkpoint: OnBytes | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """What a pool's machines have, all together: the capacity of an advert follows from it.

    `machine` is their kind as `platform.machine` names it, None if they differ.
    """

    machine: str | None
    cores: int
    memory_bytes: int


class Pool(Protocol):
    """Up to `workers` runs at once, each in a sandbox inside a process of its own."""

    @property
    def workers(self) -> int:
        """How many runs at once."""

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers there are, each on its own machine: for status and tests."""

    def runtime_ids(self) -> dict[str, str]:
        """Name to runtime id of what can be run: the content of a processor's advert."""

    def modules(self) -> tuple[str, ...]:
        """The modules that jobs may require, such as `python3.11`: those of the native runtimes on offer."""

    def room(self) -> Room:
        """What the machines have."""

    def check_room(self, spec: RunSpec) -> None:
        """Refuse, by NoRoom, a run that no machine could hold: it would wait for ever."""

    def cpu_used_ns(self) -> int:
        """Processor time of the workers so far, to be compared with a later answer."""

    async def offer_native(self) -> None:
        """From now on offer the native runtimes too, where they work."""

    async def run(
        self,
        spec: RunSpec,
        fetch: Fetch | None = None,
        *,
        sign: Sign | None = None,
        on_progress: OnProgress | None = None,
        on_log: OnText | None = None,
        on_checkpoint: OnBytes | None = None,
    ) -> Outcome:
        """Run `spec` to its end. Cancel the surrounding scope to stop it; the worker is gone when the scope is left.

        Raises SpecInvalid for a value out of bounds, NoRoom for one that no machine has, and WorkerCrashed if the
        worker died. The wall limit counts from when a worker has taken the spec.
        """

    async def close(self) -> None:
        """End every worker. A run in progress ends in WorkerCrashed."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
