"""One seed decides everything: trio's scheduler, its clock and every random choice of a simulation."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, TypeVar

import trio
from trio._core import _run as scheduler
from trio.testing import MockClock

T = TypeVar("T")


def random_of(seed: int, concern: str) -> Random:
    """The generator of one concern: drawing more for one changes nothing for the others."""
    digest = hashlib.blake2b(f"{seed} {concern}".encode(), digest_size=8).digest()
    return Random(int.from_bytes(digest, "little"))


@contextmanager
def _deterministic_scheduling(seed: int) -> Iterator[None]:
    """trio's switch for Hypothesis: tasks that are ready run in an order that its own generator gives."""
    core: Any = scheduler
    before, state = core._ALLOW_DETERMINISTIC_SCHEDULING, core._r.getstate()
    core._ALLOW_DETERMINISTIC_SCHEDULING = True
    core._r.seed(random_of(seed, "scheduler").getrandbits(64))
    try:
        yield
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING = before
        core._r.setstate(state)


def run(seed: int, main: Callable[[], Awaitable[T]]) -> T:
    """Run `main` in virtual time that jumps to the next deadline when nothing is ready."""
    with _deterministic_scheduling(seed):
        return trio.run(main, clock=MockClock(autojump_threshold=0))


class Trace:
    """A digest over everything that happened, in order. Two runs of one seed have the same."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.events = 0

    def note(self, what: str, *details: object) -> None:
        """Take an event in."""
        line = f"{trio.current_time():.6f} {what} {' '.join(_text(one) for one in details)}\n"
        self._hash.update(line.encode())
        self.events += 1

    def digest(self) -> str:
        """So far."""
        return self._hash.hexdigest()


def _text(value: object) -> str:
    return hashlib.blake2b(value, digest_size=8).hexdigest() if isinstance(value, bytes) else str(value)
