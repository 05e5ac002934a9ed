"""Processes that outlive the command that started them: their identity, start and end.

A process is known by its pid, the moment it started and the boot it started in, so that a pid used again by another
program is never mistaken for ours (Linux: /proc).
"""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STOP_TIMEOUT_S = 20.0
POLL_S = 0.05


@dataclass(frozen=True)
class Process:
    """`started_ticks` is field 22 of /proc/PID/stat, counted since the boot called `boot`."""

    pid: int
    started_ticks: int
    boot: str


def boot_identity() -> str:
    """What names the present boot of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Process | None:
    """The process that has this pid now; None when there is none, or only its remains."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold anything, spaces and parentheses too: count from its end.
    after_name = text[text.rindex(")") + 2 :].split()
    state, started_ticks = after_name[0], int(after_name[19])
    return None if state in "ZX" else Process(pid, started_ticks, boot_identity())


def is_alive(process: Process) -> bool:
    """Whether this very process still runs."""
    return identify(process.pid) == process


def session_members(leaders: Sequence[int]) -> list[Process]:
    """The processes that live in the sessions which these pids began: what `start` started, and all that it started."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        session = int(text[text.rindex(")") + 2 :].split()[3])
        process = identify(int(folder.name)) if session in leaders else None
        if process is not None:
            found.append(process)
    return found


def start(command: Sequence[str], log: Path) -> Process:
    """Start `command` in a session of its own, its output appended to `log`; it lives on when we end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        command[0],
        list(command),
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    # It may have ended already: then keep a record that never matches a later process with its pid.
    return identify(pid) or Process(pid, -1, boot_identity())


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal to this very process; False if it is gone."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        # The descriptor holds on to one process; checked after opening, it cannot be another's.
        if not is_alive(process):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def stop(processes: Sequence[Process], timeout_s: float = STOP_TIMEOUT_S) -> list[Process]:
    """Ask all to end, wait, then kill what is left; the ones that had to be killed."""
    asked = [process for process in processes if send(process, signal.SIGTERM)]
    left = wait_until_gone(asked, timeout_s)
    killed = [process for process in left if send(process, signal.SIGKILL)]
    wait_until_gone(killed, timeout_s)
    return killed


def wait_until_gone(processes: Sequence[Process], timeout_s: float) -> list[Process]:
    """Wait for the end of all of them; those that still run at the deadline."""
    deadline = time.monotonic() + timeout_s
    left = list(processes)
    while left and time.monotonic() < deadline:
        reap(left)
        left = [process for process in left if is_alive(process)]
        if left:
            time.sleep(POLL_S)
    return left


def reap(processes: Sequence[Process]) -> None:
    """Collect the exit status of those that are our own children; others belong to init."""
    for process in processes:
        try:
            os.waitpid(process.pid, os.WNOHANG)
        except ChildProcessError:
            continue


def log_tail(log: Path, lines: int = 15, bytes_max: int = 16_384) -> str:
    """The last lines of a log file; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - bytes_max))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
