"""How a worker process is started: its command, its environment, its folder. The same on every machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from node.processor.runtimes.artifacts import PYTHON_PATH_VARIABLE, REPOSITORY

WORKER_MODULE = "node.processor.runtimes.worker"
KEPT_VARIABLES = ("PATH", "VIRTUAL_ENV", "PYTHONPATH", PYTHON_PATH_VARIABLE)


def module_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of ours in a process of its own, with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def worker_command(cache_dir: Path) -> list[str]:
    """The command line of a worker."""
    return module_command(WORKER_MODULE, str(cache_dir))


def bare_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What a process of ours may know of this one's environment: where its own code is, and what is given."""
    environment = {**{name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}, **extra}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), environment.get("PYTHONPATH")]))
    return environment


def cpu_ns(pid: int) -> int:
    """Processor time that a process has used; 0 once it is gone."""
    try:
        # The clock of a process, as clock_getcpuclockid(3) makes it from the pid.
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return 0
