"""Following jobs while they run: a picture that changes in place on a terminal, plain lines elsewhere."""

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cli.errors import CliError, NotFound, TimedOut
from cli.job_picture import seconds
from cli.job_timeline import Line, Timeline
from cli.output import emit_line
from cli.rpc_client import RpcClient

SILENCE_MAX_S = 600.0
TICK_S = 1.0
MESSAGES_MAX = 10_000

Message = dict[str, Any]
Heard = Callable[[Timeline, Message, list[Line]], None]


class Caller(Protocol):
    """What answers requests: a client, or a stand-in for one."""

    def call(self, method: str, *params: Any) -> Any: ...


@dataclass(frozen=True)
class Past:
    """The events of a job so far. Those before the block `kept_from` are gone from the node; None if it has all."""

    events: list[dict[str, Any]]
    kept_from: int | None


def past_events(rpc: Caller, job: int, from_block: int) -> Past:
    """The events of a job from a height up to the best block, as far as the node still has them."""
    found: list[dict[str, Any]] = []
    kept_from = None
    number: int | None = from_block
    while number is not None:
        answer = rpc.call("jobs_events", job, number)
        found += answer["events"]
        if answer["kept_from"] > number:
            kept_from = answer["kept_from"]
        number = answer["next"]
    return Past(found, kept_from)


def require_told(past: Past, job: int) -> None:
    """NotFound if nothing of a job is left to tell."""
    if past.kept_from is not None and not past.events:
        raise NotFound(
            f"the node has discarded the events before block {past.kept_from}, and all of job {job} with them",
            f"ask a node that keeps more (--state-pruning archive); how it stands: `heddle job show {job}`",
        )


def follow(rpc: RpcClient, job: int) -> Iterator[Message]:
    """All that is told of a job, from its registration until its end is final. Raises TimedOut after a long silence.

    Past events are asked for once the subscription is there, so that none falls between the two.
    """
    with rpc.subscribe("jobs_subscribe", job) as updates:
        view = rpc.call("jobs_get", job)
        for event in past_events(rpc, job, view["job"]["registered_block"]).events:
            yield {"kind": "event", **event}
        message: Message = {"kind": "view", "view": view}
        while message["kind"] != "ended":
            message = updates.next(SILENCE_MAX_S)
            yield message


def watch(
    url: str,
    timelines: Sequence[Timeline],
    *,
    as_json: bool = False,
    quiet: bool = False,
    timeout_s: float | None = None,
) -> None:
    """Follow jobs until the end of all of them is final, drawing what happens; the timelines then hold how it went.

    Raises TimedOut when that takes longer than `timeout_s`; without one, when nothing is told for ten minutes.
    """
    several = len(timelines) > 1
    if quiet:
        _follow_all(url, timelines, lambda *_: None, timeout_s)
    elif as_json:
        _follow_all(url, timelines, lambda _timeline, message, _lines: emit_line(message), timeout_s)
    elif sys.stdout.isatty():
        _watch_live(url, timelines, timeout_s)
    else:
        _follow_all(url, timelines, lambda timeline, _, lines: print_lines(timeline, lines, named=several), timeout_s)


def print_lines(timeline: Timeline, lines: Sequence[Line], *, named: bool = False) -> None:
    """Plain lines: time since the registration, block, what happened."""
    for line in lines:
        prefix = f"{timeline.name or f'job {timeline.job}':<16} " if named else ""
        sys.stdout.write(f"{prefix}{seconds(line.after_ms):>8}  #{line.block:<6} {line.text}\n")
    sys.stdout.flush()


def _follow_all(
    url: str,
    timelines: Sequence[Timeline],
    heard: Heard,
    timeout_s: float | None,
    tick: Callable[[], None] | None = None,
) -> None:
    """Follow each job in a thread of its own; timelines change, and `heard` is called, in this one only.

    `tick`, if there is one, is called every second in which nothing is heard.
    """
    messages: queue.Queue[tuple[Timeline, Message] | CliError] = queue.Queue(MESSAGES_MAX)

    def run(timeline: Timeline) -> None:
        try:
            with RpcClient(url) as rpc:
                for message in follow(rpc, timeline.job):
                    messages.put((timeline, message))
        except CliError as error:
            messages.put(error)

    for timeline in timelines:
        threading.Thread(target=run, args=(timeline,), daemon=True).start()
    silent_s = time.monotonic() + SILENCE_MAX_S
    end_s = None if timeout_s is None else time.monotonic() + timeout_s
    while not all(timeline.final for timeline in timelines):
        wait_s = max(0.0, (silent_s if end_s is None else end_s) - time.monotonic())
        try:
            told = messages.get(timeout=wait_s if tick is None else min(wait_s, TICK_S))
        except queue.Empty:
            if tick is not None and wait_s > TICK_S:
                tick()
                continue
            late = ", ".join(f"{one.job} is {one.state}" for one in timelines if not one.final)
            raise TimedOut(f"not at its end in time: job {late}", "ask `heddle job why ID`") from None
        if isinstance(told, CliError):
            raise told
        silent_s = time.monotonic() + SILENCE_MAX_S
        timeline, message = told
        heard(timeline, message, timeline.hear(message))


def _watch_live(url: str, timelines: Sequence[Timeline], timeout_s: float | None) -> None:
    from rich.console import Console
    from rich.live import Live

    from cli.job_picture import picture

    told_s = time.monotonic()

    def draw() -> None:
        live.update(picture(timelines, time.monotonic() - told_s), refresh=True)

    def heard(_timeline: Timeline, message: Message, _lines: list[Line]) -> None:
        nonlocal told_s
        if message["kind"] == "view":
            told_s = time.monotonic()
        draw()

    with Live(picture(timelines), console=Console(highlight=False), auto_refresh=False) as live:
        _follow_all(url, timelines, heard, timeout_s, draw)
