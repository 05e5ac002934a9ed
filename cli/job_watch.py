"""Following jobs while they run: a picture that changes in place on a terminal, plain lines elsewhere."""

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cli.errors import CliError, TimedOut
from cli.job_timeline import STATES, Line, Timeline, short
from cli.output import emit_line
from cli.rpc_client import RpcClient

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

SILENCE_MAX_S = 600.0
LINES_SHOWN = 12
SLOTS_SHOWN = 8
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
    from rich.console import Console
    from rich.live import Live

    with Live(picture(timelines), console=Console(highlight=False), auto_refresh=False) as live:
        _follow_all(url, timelines, lambda *_: live.update(picture(timelines), refresh=True), timeout_s)


def picture(timelines: Sequence[Timeline]) -> "Group":
    """All jobs: the way of states, a line for each slot, and the latest news; it fits a terminal of 24 lines by 80."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Text] = []
    shown = max(1, LINES_SHOWN // len(timelines) ** 2)
    for timeline in timelines:
        parts.append(Text(f"job {timeline.job} {timeline.name}".rstrip(), "bold"))
        parts += [_way(timeline), *_slots(timeline)]
        parts += [_line(line) for line in timeline.lines[-shown:]]
    return Group(*parts)


def _way(timeline: Timeline) -> "Text":
    """OPEN ─ MATCHED ─ ... with the present state bright and the time at which each was reached."""
    from rich.text import Text

    text = Text("  ")
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
            text.append(f" {reached / 1000:.0f}s", "dim")
    if timeline.final:
        text.append("  final", "dim")
    return text


def _slots(timeline: Timeline) -> "list[Text]":
    """A line for each of the first slots: who has it, how far its execution is, and what came out."""
    from rich.text import Text

    styles = {"accepted": "green", "running": "yellow", "failed": "red", "suspect": "red"}
    lines = []
    for number, place in sorted(timeline.places.items())[:SLOTS_SHOWN]:
        text = Text(f"  slot {number:<3} {short(place.processor):<14} ")
        text.append(f"{place.state:<13}", styles.get(place.state, ""))
        if place.execution is not None:
            text.append(f"execution {place.execution}, attempt {place.attempt} {place.progress}", "dim")
        text.append(f" {place.digest[:14]}", "dim")
        lines.append(text)
    if len(timeline.places) > SLOTS_SHOWN:
        lines.append(Text(f"  and {len(timeline.places) - SLOTS_SHOWN} slots more", "dim"))
    return lines


def _line(line: Line) -> "Text":
    from rich.text import Text

    style = {True: "green", False: "red", None: ""}[line.good]
    return Text.assemble((f"{seconds(line.after_ms):>8}  #{line.block:<6} ", "dim"), (line.text, style))
