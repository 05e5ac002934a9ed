"""Processes that outlive their starter: told apart by start time, ended only when they are ours."""

import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cli import processes
from cli.processes import Process

SLEEPER = [sys.executable, "-c", "import signal; print('ready', flush=True); signal.pause()"]
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"


def started(command: list[str], log: Path) -> Process:
    """A process that has said it is ready."""
    process = processes.start(command, log)
    while "ready" not in processes.log_tail(log):
        assert processes.is_alive(process), processes.log_tail(log)
    return process


def test_a_started_process_lives_and_is_stopped(tmp_path: Path) -> None:
    """`start` gives a live process whose output is in its log; `stop` ends it without having to kill it."""
    process = started(SLEEPER, tmp_path / "a.log")
    assert processes.is_alive(process)
    assert processes.stop([process]) == []
    assert not processes.is_alive(process)
    assert processes.identify(process.pid) is None


def test_a_deaf_process_is_killed(tmp_path: Path) -> None:
    """A process that ignores SIGTERM is killed after the time-out, and `stop` says which it was."""
    process = started([sys.executable, "-c", DEAF], tmp_path / "a.log")
    assert processes.stop([process], timeout_s=0.3) == [process]
    assert not processes.is_alive(process)


@pytest.mark.parametrize("change", [{"started_ticks": 1}, {"boot": "another boot"}])
def test_a_pid_used_again_is_left_alone(tmp_path: Path, change: dict[str, int | str]) -> None:
    """A process with our pid, but another start or boot, is not ours: it gets no signal."""
    process = started(SLEEPER, tmp_path / "a.log")
    other = replace(process, **change)  # type: ignore[arg-type]  # the values fit their names
    assert not processes.is_alive(other)
    assert not processes.send(other, signal.SIGKILL)
    assert processes.stop([other]) == []
    assert processes.is_alive(process)
    processes.stop([process])


def test_a_program_that_ends_at_once_is_not_alive(tmp_path: Path) -> None:
    """A start that fails leaves its words in the log and no live process."""
    process = processes.start([sys.executable, "-c", "raise SystemExit('no such chain')"], tmp_path / "a.log")
    assert processes.wait_until_gone([process], 10) == []
    assert "no such chain" in processes.log_tail(tmp_path / "a.log")


def test_a_log_grows_over_starts(tmp_path: Path) -> None:
    """Starting again appends to the log: the words before a crash are kept."""
    log = tmp_path / "a.log"
    for word in ("first", "second"):
        process = processes.start([sys.executable, "-c", f"print('{word}')"], log)
        assert processes.wait_until_gone([process], 10) == []
    assert log.read_text().split() == ["first", "second"]
    assert processes.log_tail(log, lines=1) == "second"
    assert processes.log_tail(tmp_path / "none.log") == ""
