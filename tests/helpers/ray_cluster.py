"""A Ray cluster of a head and two machines, each in processes of its own on 127.0.0.1, behind a token."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from node.processor.cluster.pool import RayPool
from tests.helpers.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
NOT_RUN = "NOT RUN: ray (make test-extras)"
MACHINE_CORES = 2
MACHINE_MEMORY_BYTES = 1 << 30
STORE_BYTES = 100_000_000
START_DEADLINE_S = 120
STOP_DEADLINE_S = 30


def has_ray() -> bool:
    """Whether this environment has the optional extra."""
    return find_spec("ray") is not None


def alive(pid: int) -> bool:
    """Whether the process still runs; one that waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


class RayMachine:
    """One machine of a cluster: Ray's command, which stays, and the processes that it started."""

    def __init__(self, folder: Path, name: str, environment: dict[str, str], *options: str) -> None:
        self._log = folder / f"{name}.log"
        command = [sys.executable, "-m", "tests.helpers.ray_machine", "start", *options]
        command += ["--node-ip-address", "127.0.0.1", "--object-store-memory", str(STORE_BYTES), "--block"]
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        wait_for(self._started, START_DEADLINE_S, f"the start of Ray's {name}")

    def _started(self) -> bool:
        text = self._log.read_text()
        assert self.process.poll() is None, text
        return "Ray runtime started" in text

    def processes(self) -> list[psutil.Process]:
        """What this machine runs now."""
        return [one for one in psutil.Process(self.process.pid).children(recursive=True) if alive(one.pid)]

    def raylet_pid(self) -> int:
        """Ray's own process of this machine; with it the machine is lost to the cluster."""
        return next(int(one.pid) for one in self.processes() if one.name() == "raylet")

    def stop(self) -> None:
        """End it and all that it started; nothing stays."""
        if self.process.poll() is not None:
            return
        started = self.processes()
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_DEADLINE_S)
        for one in started:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.kill()
        self.process.wait()


class RayCluster:
    """The address, the token, and the machines that run jobs."""

    def __init__(self, folder: Path, *, guarded: bool) -> None:
        self.folder = folder
        self._guarded = guarded
        self.token = secrets.token_hex(32)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        port = self.address.partition(":")[2]
        options = ("--head", "--port", port, "--num-cpus", "0", "--temp-dir", str(folder / "s"))
        dashboard = ("--include-dashboard", "false", "--dashboard-host", "127.0.0.1")
        self.head = RayMachine(folder, "head", self.environment(), *options, *dashboard)
        self.machines: list[RayMachine] = []
        self._names = 0

    def environment(self) -> dict[str, str]:
        """The variables of whatever belongs to the cluster."""
        ours = {
            "RAY_AUTH_MODE": "token" if self._guarded else "disabled",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        return {**os.environ, **ours, "PYTHONPATH": str(ROOT)}

    def add_machine(self) -> RayMachine:
        """One more machine that runs jobs."""
        self._names += 1
        size = ("--num-cpus", str(MACHINE_CORES), "--memory", str(MACHINE_MEMORY_BYTES))
        machine = RayMachine(
            self.folder, f"machine-{self._names}", self.environment(), "--address", self.address, *size
        )
        self.machines.append(machine)
        return machine

    def all_processes(self) -> list[psutil.Process]:
        """What head and machines run now."""
        return [one for machine in (self.head, *self.machines) for one in machine.processes()]

    def stop(self) -> None:
        """End every machine, the head last."""
        for machine in (*self.machines, self.head):
            machine.stop()

    @asynccontextmanager
    async def pool(self, workers: int = 2, **fields: Any) -> AsyncIterator[RayPool]:
        """A pool on this cluster."""
        async with RayPool(self.address, self.token, workers_max=workers, **fields) as pool:
            yield pool

    def kill_machine(self, machine: RayMachine) -> None:
        """Take away what makes it one, as a sudden end would."""
        os.kill(machine.raylet_pid(), signal.SIGKILL)
        machine.process.wait(STOP_DEADLINE_S)
        self.machines.remove(machine)


@contextmanager
def ray_cluster_of(machines: int, *, guarded: bool = True) -> Iterator[RayCluster]:
    """A cluster that is gone with the block, its files too. The folder's name is short: sockets are in it."""
    folder = Path(tempfile.mkdtemp(prefix="hr"))
    try:
        cluster = RayCluster(folder, guarded=guarded)
        try:
            for _ in range(machines):
                cluster.add_machine()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
