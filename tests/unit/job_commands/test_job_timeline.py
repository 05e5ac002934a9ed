"""The timeline: states, lines and ends follow from what a node tells, in any order of repetition."""

import io
from typing import Any, get_type_hints

import pytest
from rich.console import Console

from cli.job_news import SENTENCES, SILENT, news_of
from cli.job_picture import picture
from cli.job_timeline import Timeline, end_text, failure_text
from runtime.heddle import Heddle

BOB = {"processor": "0x00", "processor_address": "5GoNkf6WdbxCFnPdAnYYQyCjAKPJgLNxXwPjwTh6DGg6gN3E"}
RUN = {"execution": 0, "slot": 0, "attempt": 1}


def event(index: int, name: str, time_ms: int = 1_000, block: int = 1, **fields: Any) -> dict[str, Any]:
    """A notification of one event, in a block of its own number."""
    place = {"block": block, "hash": f"0x{block:064x}", "time_ms": time_ms, "index": index}
    return {"kind": "event", **place, "event": name, "fields": {"job": 0, **fields}}


STORY = (
    event(0, "JobRegistered"),
    event(1, "SlotOffered", 3_000, 2, slot=0, **BOB),
    event(2, "JobMatched", 3_000, 2),
    event(0, "SlotAcknowledged", 4_000, 3, slot=0, **BOB),
    event(1, "JobAssigned", 4_000, 3),
    event(2, "ExecutionScheduled", 4_000, 3, due_ms=4_000, **RUN),
    event(0, "ExecutionStarted", 5_000, 4, **RUN, **BOB),
    event(0, "ExecutionReported", 9_000, 5, digest="0x" + "ab" * 32, **RUN),
    event(1, "ExecutionAccepted", 9_000, 5, paid=5 * 10**11, **RUN),
    event(2, "JobDone", 9_000, 5, outcome="JobSucceeded"),
)


def test_a_job_goes_through_its_states() -> None:
    """Events take the timeline from OPEN to DONE with the time of each state since the registration."""
    timeline = Timeline(0)
    for message in STORY:
        timeline.hear(message)
    assert timeline.state == "DONE"
    assert timeline.succeeded
    assert timeline.reached_ms == {"OPEN": 0, "MATCHED": 2_000, "ASSIGNED": 3_000, "RUNNING": 4_000, "DONE": 8_000}
    place = timeline.places[0]
    assert (place.state, place.attempt, place.digest) == ("accepted", 1, "0x" + "ab" * 32)
    assert not timeline.final
    timeline.hear({"kind": "ended", "job": 0, "state": "done", "end": "JobSucceeded"})
    assert timeline.final


def test_an_event_told_twice_is_one_line() -> None:
    """Past events and the subscription may overlap: each event counts once."""
    once, twice = Timeline(0), Timeline(0)
    for message in STORY:
        once.hear(message)
        twice.hear(message)
        assert twice.hear(message) == []
    assert once.lines == twice.lines


def test_what_a_retracted_block_said_may_come_again() -> None:
    """Events of a block that left the best chain are heard again when another block has them."""
    timeline = Timeline(0)
    timeline.hear(STORY[0])
    assert timeline.hear({"kind": "retracted", "block": 1, "hash": STORY[0]["hash"]})
    assert [line.text for line in timeline.hear(STORY[0])] == ["OPEN: registered, waiting for processors"]


def test_a_failure_is_told_with_its_class_and_message() -> None:
    """A failed attempt, its retry and the failed end are bad news in words."""
    timeline = Timeline(0)
    timeline.hear(STORY[0])
    failure = {"OutOfResources": {"resource": "memory"}}
    failed = event(3, "AttemptFailed", 6_000, 4, failure=failure, message="out of memory", final=True, **RUN)
    (line,) = timeline.hear(failed)
    assert line.text == "slot 0: execution 0 failed, OutOfResources(memory): out of memory"
    assert line.good is False
    timeline.hear(event(4, "JobDone", 6_000, 4, outcome={"JobFailed": {"reason": failure}}))
    assert timeline.ended
    assert not timeline.succeeded
    assert end_text(timeline.end) == "failed: OutOfResources(memory)"


def test_ends_and_failures_in_words() -> None:
    """Each way to end has its words, with or without fields."""
    assert end_text("JobCancelled") == "cancelled by its owner"
    assert end_text({"JobExpired": {"expiry": "queue"}}) == "expired: queue"
    assert failure_text("NodeLost") == "NodeLost"
    assert failure_text({"AppError": {"code": 4}}) == "AppError(4)"


def test_an_unknown_event_is_no_mistake() -> None:
    """A newer node may tell more than this command knows."""
    timeline = Timeline(0)
    assert timeline.hear(event(0, "SomethingNew", wonder=1)) == []
    assert timeline.hear({"kind": "newer"}) == []


def test_three_jobs_fit_a_small_terminal() -> None:
    """The live picture of three jobs with two slots each stays within 24 lines of 80 columns, whatever happened."""
    timelines = [Timeline(number, "airports-python") for number in range(3)]
    for timeline in timelines:
        for message in STORY:
            timeline.hear(message)
            timeline.hear({**message, "index": message["index"] + 10, "fields": {**message["fields"], "slot": 1}})
        timeline.hear({"kind": "ended", "job": timeline.job, "state": "done", "end": "JobSucceeded"})
    console = Console(width=80, file=io.StringIO())
    lines = console.render_lines(picture(timelines), pad=False)
    assert len(lines) <= 24
    text = ["".join(segment.text for segment in line) for line in lines]
    assert sum("DONE 8s  final" in line for line in text) == 3


def drawn(timelines: list[Timeline], waited_s: float = 0.0) -> list[str]:
    """The picture's lines on a terminal of 80 columns."""
    console = Console(width=80, file=io.StringIO())
    lines = console.render_lines(picture(timelines, waited_s), pad=False)
    return ["".join(segment.text for segment in line) for line in lines]


def view(slots: int, live: int, clock: int = 1_000) -> dict[str, Any]:
    """A view of an assigned job whose slots run `live` executions each, with 57 slots left for each."""
    place = {"state": "acknowledged", "ended": 3, "deadline": 0, **BOB}
    return {
        "kind": "view",
        "view": {
            "job": {"state": "assigned", "end": None, "accepted": 7, "executions": 100, "slots": slots},
            "slots": [{"number": number, "slot": place, "bond": 0} for number in range(slots)],
        },
        "executions": [
            {"slot": slot, "execution": 10 + n, "attempt": 2, "state": "running", "deadline": clock + 57}
            for slot in range(slots)
            for n in range(live)
        ],
        "clock": clock,
        "slot_ms": 1_000,
    }


def test_the_tree_shows_executions_with_progress_and_deadline() -> None:
    """A bar of what the script says, the attempt, and the slots left: fewer with each second that goes by."""
    timeline = Timeline(0)
    timeline.hear(STORY[0])
    timeline.hear(view(slots=1, live=1))
    timeline.hear(event(7, "ExecutionProgressed", 6_000, 4, execution=10, slot=0, attempt=2, permille=500))
    (run,) = [line for line in drawn([timeline]) if "execution 10" in line]
    assert "██████░░░░░░ 50 %" in run
    assert "attempt 2, 57 slots left" in run
    assert any("50 slots left" in line for line in drawn([timeline], 7.5))
    assert "7 of 100 accepted" in drawn([timeline])[0]


@pytest.mark.parametrize(("jobs", "slots", "live"), [(1, 64, 4), (1, 3, 1), (3, 64, 4), (5, 8, 2)])
def test_the_tree_fits_whatever_the_job(jobs: int, slots: int, live: int) -> None:
    """Up to 24 lines of 80 columns; the slots that have no line are counted, none is forgotten."""
    timelines = [Timeline(number, "a job") for number in range(jobs)]
    for timeline in timelines:
        for number in range(30):
            timeline.hear({**STORY[0], "index": number})
        timeline.hear(view(slots, live))
    lines = drawn(timelines)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    shown = sum("├ slot" in line for line in lines)
    counted = sum(int(line.split("and ")[1].split()[0]) for line in lines if "slots more" in line)
    assert shown + counted == jobs * slots


def test_every_event_of_a_job_is_told_or_silent_on_purpose() -> None:
    """Each event of the chain that names a job has a sentence whose words are its fields, or stands in the list."""
    handled = set(Timeline(0)._handlers())
    events = {event.__name__: event for pallet in Heddle().pallets for event in pallet.events}
    named = {name: kind for name, kind in events.items() if "job" in get_type_hints(kind)}
    assert set(named) == handled | set(SENTENCES) | SILENT
    for name in SENTENCES:
        fields = dict.fromkeys(get_type_hints(named[name]), 1)
        assert news_of(name, fields)[0], name
