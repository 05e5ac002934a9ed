"""What node, bridge and place say to each other, and its bounds. Imported by all three: nothing of trio or Ray here.

Node to bridge: `open`, `send`, `next`, `stop`, each with the run's number. Bridge to node: `failed`, `cluster`, and for
each `open` or `next` one of `opened`, `refused`, `frame`, `ended`. For `stop` the answer is `ended`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from node.processor.runtimes.frames import FRAME_BYTES_MAX, FrameInvalid

BRIDGE_BYTES_MAX = FRAME_BYTES_MAX + (1 << 16)
"""A worker's frame, and what is put around it."""
MACHINES_MAX = 256
RUNS_MAX = 64
"""Runs at once, each of which has a thread of the bridge."""
RUN_CORES = 1
WORKER_MEMORY_BYTES = 256 << 20
"""What a worker takes beside its job's memory: interpreter, input, output, tape."""
PLACE_TIMEOUT_S = 60
"""A run for which no machine becomes free in this time is given up."""
STOP_TIMEOUT_S = 5
"""A worker that has not said within this time that it ended is ended with Ray's means."""
RAY_VERSION = "2.60.0"
TEXT_CHARACTERS_MAX = 500


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of the cluster: what it has for runs, and its runtimes by name."""

    cores: int
    memory_bytes: int
    kind: str
    runtimes: dict[str, str]
    native: tuple[str, ...]
    modules: tuple[str, ...]

    def packed(self) -> list[Any]:
        """As plain values, for a frame."""
        return [self.cores, self.memory_bytes, self.kind, self.runtimes, list(self.native), list(self.modules)]

    def holds(self, memory_bytes: int) -> bool:
        """Whether a run with this much memory for its job could be here, were nothing else."""
        return self.cores >= RUN_CORES and self.memory_bytes >= memory_bytes + WORKER_MEMORY_BYTES


def unpack_machine(raw: Any) -> Machine:
    """The inverse of `packed`, checked; FrameInvalid for what is none."""
    match raw:
        case [int(cores), int(memory_bytes), str(kind), dict(runtimes), [*native], [*modules]] if (
            cores >= 0
            and memory_bytes >= 0
            and all(isinstance(one, str) for one in (*runtimes, *runtimes.values(), *native, *modules))
        ):
            return Machine(cores, memory_bytes, kind, runtimes, tuple(native), tuple(modules))
        case _:
            raise FrameInvalid("a machine is malformed")


def no_room(memory_bytes: int) -> str:
    """Why a run with this much memory is refused."""
    needed = memory_bytes + WORKER_MEMORY_BYTES
    return f"limits.memory_bytes is {memory_bytes}: no machine of the cluster has {needed} bytes and {RUN_CORES} core"
