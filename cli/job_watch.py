"""Following jobs while they run: a picture that changes in place on a terminal, plain lines elsewhere."""

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cli.errors import CliError, TimedOut
from cli.job_timeline import STATES, Line, Timeline, short
from cli.output import console, emit_line
from cli.rpc_client import RpcClient

if TYPE_CHECKING:
    from rich.console import Group

SILENCE_MAX_S = 600.0
LINES_SHOWN = 12
MESSAGES_MAX = 10_000
BAD_STATES = ("CANCELLED", "EXPIRED", "SKIPPED", "OMITTED")

Message = dict[str, Any]
Heard = Callable[[Timeline, Message, list[Line]], None]


def past_events(rpc: RpcClient, job: int, from_block: int) -> list[dict[str, Any]]:
    """The events of a job from a height up to the best block."""
    found: list[dict[str, Any]] = []
    number: int | None = from_block
    while number is not None:
        answer = rpc.call("jobs_events", job, number)
        found += answer["events"]
        number = answer["next"]
    return found


def follow(rpc: RpcClient, job: int) -> Iterator[Message]:
    """All that is told of a job, from its registration until its end is final. Raises TimedOut after a long silence.

    Past events are asked for once the subscription is there, so that none falls between the two.
    """
    with rpc.subscribe("jobs_subscribe", job) as updates:
        view = rpc.call("jobs_get", job)
        for event in past_events(rpc, job, view["job"]["registered_block"]):
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


def seconds(milliseconds: int) -> str:
    """A time span for people: `12.5 s`."""
    return f"{milliseconds / 1000:.1f} s"


def _follow_all(url: str, timelines: Sequence[Timeline], heard: Heard, timeout_s: float | None) -> None:
    """Follow each job in a thread of its own; timelines change, and `heard` is called, in this one only."""
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
    end_s = None if timeout_s is None else time.monotonic() + timeout_s
    while not all(timeline.final for timeline in timelines):
        try:
            told = messages.get(timeout=SILENCE_MAX_S if end_s is None else max(0.0, end_s - time.monotonic()))
        except queue.Empty:
            late = ", ".join(f"{one.job} is {one.state}" for one in timelines if not one.final)
            raise TimedOut(f"not at its end in time: job {late}", "ask `heddle job why ID`") from None
        if isinstance(told, CliError):
            raise told
        timeline, message = told
        heard(timeline, message, timeline.hear(message))


def _watch_live(url: str, timelines: Sequence[Timeline], timeout_s: float | None) -> None:
    from rich.live import Live

    with Live(picture(timelines), console=console(), auto_refresh=False) as live:
        _follow_all(url, timelines, lambda *_: live.update(picture(timelines), refresh=True), timeout_s)


def picture(timelines: Sequence[Timeline]) -> "Group":
    """All jobs: the way of states, the slots, and the latest lines of each."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = []
    for timeline in timelines:
        parts += [_way(timeline), _slots(timeline)]
        shown = timeline.lines[-max(2, LINES_SHOWN // len(timelines)) :]
        parts += [_line(line) for line in shown]
        parts.append(Text(""))
    return Group(*parts)


def _way(timeline: Timeline) -> Any:
    """OPEN ─ MATCHED ─ ... with the present state bright and the time at which each was reached."""
    from rich.text import Text

    title = f"job {timeline.job} {timeline.name}".rstrip()
    text = Text.assemble((f"{title}  ", "bold"))
    over = timeline.state in BAD_STATES
    states = [*STATES[:-1], timeline.state] if over else list(STATES)
    for place, state in enumerate(states):
        reached = timeline.reached_ms.get(state)
        if state == timeline.state:
            good = "bold green" if timeline.succeeded else "bold red"
            style = good if timeline.ended else "bold yellow"
        else:
            style = "green" if reached is not None else "dim"
        text.append(" ─ " if place else "", "dim")
        text.append(state, style)
        if reached is not None:
            text.append(f" {seconds(reached)}", "dim")
    if timeline.final:
        text.append("  final", "dim")
    return text


def _slots(timeline: Timeline) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in ("slot", "processor", "state", "execution", "attempt", "progress", "digest"):
        table.add_column(head)
    styles = {"accepted": "green", "running": "yellow", "failed": "red", "suspect": "red"}
    for number, place in sorted(timeline.places.items()):
        table.add_row(
            str(number),
            short(place.processor),
            Text(place.state, styles.get(place.state, "")),
            "-" if place.execution is None else str(place.execution),
            str(place.attempt or "-"),
            place.progress,
            place.digest[:18],
        )
    return table


def _line(line: Line) -> Any:
    from rich.text import Text

    style = {True: "green", False: "red", None: ""}[line.good]
    return Text.assemble((f"{seconds(line.after_ms):>8}  #{line.block:<6} ", "dim"), (line.text, style))
