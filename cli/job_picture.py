"""The live picture of jobs on a terminal: a tree of slots and executions under the way of states, and the latest news.

It fits a terminal of 24 lines by 80 columns, however many jobs, slots and executions there are: what has no room is
counted in one line.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cli.job_timeline import STATES, Line, LiveRun, Place, Timeline, short

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

LINES_MAX = 22
NEWS_MAX = 9
BAR_CELLS = 12
BAD_STATES = ("CANCELLED", "EXPIRED", "SKIPPED", "OMITTED")
STYLES = {
    "accepted": "green",
    "running": "yellow",
    "committed": "yellow",
    "failed": "red",
    "suspect": "red",
    "rejected": "red",
    "disputed": "red",
}


def picture(timelines: Sequence[Timeline], waited_s: float = 0.0) -> "Group":
    """All jobs; `waited_s` is the time since the last view was told, by which deadlines are nearer."""
    from rich.console import Group
    from rich.text import Text

    lines_each = max(LINES_MAX // max(len(timelines), 1), 4)
    news = max(1, min(NEWS_MAX, lines_each // 3))
    parts: list[Text] = []
    for timeline in timelines:
        head = Text(f"job {timeline.job} {timeline.name}".rstrip(), "bold")
        parts += [head.append(_counts(timeline), "dim"), _way(timeline)]
        parts += _tree(timeline, lines_each - 2 - news, waited_s)
        parts += [_line(line) for line in timeline.lines[-news:]]
    for part in parts:
        part.no_wrap, part.overflow = True, "ellipsis"
    return Group(*parts)


def seconds(milliseconds: int) -> str:
    """A time span for people: `12.5 s`."""
    return f"{milliseconds / 1000:.1f} s"


def _counts(timeline: Timeline) -> str:
    """`   3 of 40 accepted, 1 attempt failed`, nothing while there is nothing to count."""
    said = [f"{timeline.accepted} of {timeline.expected} accepted"] if timeline.expected > 1 else []
    if timeline.failed_attempts:
        said.append(f"{timeline.failed_attempts} attempts failed")
    return f"   {', '.join(said)}" if said else ""


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


def _tree(timeline: Timeline, lines_max: int, waited_s: float) -> "list[Text]":
    """Slots with their live executions, as many as there is room for; the others are counted by state."""
    from rich.text import Text

    left = sorted(timeline.places.items())
    lines: list[Text] = []
    while left:
        number, place = left[0]
        more = [] if timeline.ended else [_run(timeline, place, run, waited_s) for run in place.runs]
        room = lines_max - (len(left) > 1)
        if len(lines) + 1 + len(more) > room:
            more = more[: max(room - len(lines) - 1, 0)]
        if len(lines) + 1 > room:
            break
        lines += [_slot(timeline, number, place, waited_s), *more]
        left.pop(0)
    if left:
        states = Counter(place.state for _, place in left)
        told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        lines.append(Text(f"  ╰ and {len(left)} slots more: {told}", "dim"))
    return lines


def _slot(timeline: Timeline, number: int, place: Place, waited_s: float) -> "Text":
    from rich.text import Text

    text = Text.assemble((f"  ├ slot {number:<3} ", "dim"), f"{short(place.processor) or '-':<14} ")
    text.append(f"{place.state:<13}", STYLES.get(place.state, ""))
    if place.deadline and not timeline.ended:
        text.append(_left(timeline, place.deadline, waited_s) + " to answer", "dim")
    elif place.execution is not None and (not place.runs or timeline.ended):
        text.append(f"execution {place.execution}, attempt {place.attempt} {place.digest[:14]}", "dim")
    elif place.ended:
        text.append(f"{place.ended} executions over", "dim")
    return text


def _run(timeline: Timeline, place: Place, run: LiveRun, waited_s: float) -> "Text":
    from rich.text import Text

    text = Text(f"  │  ╰ execution {run.execution:<5} ", "dim")
    text.append(f"{run.state:<10} ", STYLES.get(run.state, ""))
    permille = place.permille.get(run.execution, 0) if run.state in ("running", "suspect") else 0
    if permille:
        full = permille * BAR_CELLS // 1000
        text.append("█" * full, "green").append("░" * (BAR_CELLS - full), "dim").append(f" {permille // 10:>2} %  ")
    text.append(f"attempt {run.attempt}, {_left(timeline, run.deadline, waited_s)}", "dim")
    return text


def _left(timeline: Timeline, deadline: int, waited_s: float) -> str:
    """`57 slots left`: from the clock as it was told, and the time that has gone by since."""
    gone = int(waited_s * 1000) // timeline.slot_ms if timeline.slot_ms else 0
    return f"{max(deadline - timeline.clock - gone, 0)} slots left"


def _line(line: Line) -> "Text":
    from rich.text import Text

    style = {True: "green", False: "red", None: ""}[line.good]
    return Text.assemble((f"{seconds(line.after_ms):>8}  #{line.block:<6} ", "dim"), (line.text, style))
