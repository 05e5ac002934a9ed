"""Waiting for a condition of another process, with a deadline."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.05


def wait_for(condition: Callable[[], T | None], deadline_s: float, what: str) -> T:
    """The first true value of `condition`; AssertionError that names `what` if the deadline passes before."""
    pause = threading.Event()
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        pause.wait(POLL_S)
