"""A job's life as it is told: the chain's events and views become lines for people and a state for a display.

It does no I/O. Times are milliseconds of chain time since the registration.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from cli.amounts import format_amount
from cli.job_news import news_of

STATES = ("OPEN", "MATCHED", "ASSIGNED", "RUNNING", "DONE")
LINES_MAX = 10_000
SHORT_CHARS = 6
News = tuple[str, bool | None]
"""What to say of an event, nothing if empty, and whether it is good or bad."""
Handler = Callable[[dict[str, Any], int], News]
ENDED = ("done", "cancelled", "expired", "skipped", "omitted")


def variant_of(value: Any) -> tuple[str, dict[str, Any]]:
    """A variant of a sum type as JSON has it ("Name" or {"Name": {fields}}): its name and fields."""
    if isinstance(value, dict) and len(value) == 1:
        name, fields = next(iter(value.items()))
        return str(name), fields if isinstance(fields, dict) else {}
    return ("" if value is None else str(value)), {}


def failure_text(failure: Any) -> str:
    """A failure class with what it says: `OutOfResources(memory)`."""
    name, fields = variant_of(failure)
    inside = ", ".join(str(value) for value in fields.values())
    return f"{name}({inside})" if inside else name


def end_text(end: Any) -> str:
    """How a job ended, in words."""
    name, fields = variant_of(end)
    if name == "JobSucceeded":
        return "succeeded"
    if name == "JobFailed":
        return f"failed: {failure_text(fields.get('reason'))}"
    if name == "JobExpired":
        return f"expired: {fields.get('expiry')}"
    return "cancelled by its owner" if name == "JobCancelled" else name


def short(address: str) -> str:
    """An address for a narrow column."""
    return f"{address[:SHORT_CHARS]}…{address[-SHORT_CHARS:]}" if len(address) > 2 * SHORT_CHARS + 1 else address


@dataclass(frozen=True)
class LiveRun:
    """An execution that is under way on a slot, as a view told it; `deadline` is on the chain's active clock."""

    execution: int
    attempt: int
    state: str
    deadline: int


@dataclass
class Place:
    """A slot, and the latest of its executions. `deadline` is that of its offer, on the active clock, 0 without one."""

    processor: str = ""
    state: str = "vacant"
    execution: int | None = None
    attempt: int = 0
    progress: str = ""
    digest: str = ""
    changed_ms: int = 0
    deadline: int = 0
    runs: tuple[LiveRun, ...] = ()
    permille: dict[int, int] = field(default_factory=dict)
    ended: int = 0


@dataclass(frozen=True)
class Line:
    """One thing that happened: when (ms since the registration), in which block, and what."""

    after_ms: int
    block: int
    text: str
    good: bool | None = None


@dataclass
class Timeline:
    """Everything told of one job so far."""

    job: int
    name: str = ""
    state: str = "OPEN"
    reached_ms: dict[str, int] = field(default_factory=dict)
    places: dict[int, Place] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    end: Any = None
    final: bool = False
    started_ms: int | None = None
    now_ms: int = 0
    clock: int = 0
    slot_ms: int = 0
    accepted: int = 0
    expected: int = 0
    failed_attempts: int = 0
    _seen: set[tuple[str, int]] = field(default_factory=set)

    @property
    def ended(self) -> bool:
        """Whether the job is over, final or not."""
        return self.end is not None

    @property
    def succeeded(self) -> bool:
        """Whether it is over and enough results were accepted."""
        return variant_of(self.end)[0] == "JobSucceeded"

    @property
    def elapsed_ms(self) -> int:
        """From the registration to the latest thing told."""
        return max(0, self.now_ms - (self.started_ms or self.now_ms))

    def hear(self, message: dict[str, Any]) -> list[Line]:
        """Take in one notification of jobs_subscribe, or an event of jobs_events; the new lines."""
        kind = message.get("kind", "event")
        before = len(self.lines)
        if kind == "view" and message.get("view") is not None:
            self.clock, self.slot_ms = message.get("clock", self.clock), message.get("slot_ms", self.slot_ms)
            self._view(message["view"])
            self._runs(message.get("executions", ()))
        elif kind == "event":
            self._event(message)
        elif kind == "retracted":
            self._retract(message)
        elif kind == "ended":
            self.final, self.end = True, message["end"]
            self.state = str(message["state"]).upper()
        return self.lines[before:]

    def _view(self, view: dict[str, Any]) -> None:
        job = view["job"]
        for place in view["slots"]:
            self._place(place["number"], place["slot"])
        running = job["state"] == "assigned" and any(one.state == "running" for one in self.places.values())
        self.state = "RUNNING" if running else str(job["state"]).upper()
        if job["state"] in ENDED:
            self.end = job["end"]
        self.accepted, self.expected = job.get("accepted", 0), job.get("executions", 0) * job.get("slots", 0)

    def _runs(self, executions: Iterable[dict[str, Any]]) -> None:
        """What is under way, as the view tells it."""
        for place in self.places.values():
            place.runs = ()
        for one in executions:
            run = LiveRun(one["execution"], one["attempt"], one["state"], one["deadline"])
            place = self.places.setdefault(one["slot"], Place())
            place.runs = (*place.runs, run)

    def _place(self, number: int, slot: dict[str, Any]) -> None:
        place = self.places.setdefault(number, Place())
        place.processor = slot.get("processor_address") or ""
        place.deadline = slot.get("deadline", 0) if slot["state"] == "offered" else 0
        place.ended = slot.get("ended", 0)
        if slot["state"] in ("vacant", "offered"):
            place.state = slot["state"]
        elif place.state in ("vacant", "offered"):
            place.state = "acknowledged"

    def _retract(self, message: dict[str, Any]) -> None:
        """A block left the best chain: its events no longer happened, and may come again in another."""
        self._seen = {key for key in self._seen if key[0] != message["hash"]}
        self._say(self.now_ms, message["block"], "this block was replaced by another; what it said is taken back", None)

    def _event(self, event: dict[str, Any]) -> None:
        key = (event["hash"], event["index"])
        if key in self._seen:
            return
        self._seen.add(key)
        self.now_ms = max(self.now_ms, event["time_ms"])
        if self.started_ms is None:
            self.started_ms = event["time_ms"]
        handler = self._handlers().get(event["event"])
        if handler is None:
            text, good = news_of(event["event"], event["fields"])
        else:
            text, good = handler(event["fields"], event["time_ms"])
        if text:
            self._say(event["time_ms"], event["block"], text, good)

    def _handlers(self) -> dict[str, Handler]:
        return {
            "JobRegistered": self._on_job_registered,
            "Deposited": self._on_deposited,
            "SlotOffered": self._on_slot_offered,
            "JobMatched": self._on_job_matched,
            "JobReopened": self._on_job_reopened,
            "SlotAcknowledged": self._on_slot_acknowledged,
            "JobAssigned": self._on_job_assigned,
            "SlotVacated": self._on_slot_vacated,
            "SlotResigned": self._on_slot_resigned,
            "ExecutionScheduled": self._on_execution_scheduled,
            "ExecutionStarted": self._on_execution_started,
            "ExecutionProgressed": self._on_execution_progressed,
            "ExecutionSuspected": self._on_execution_suspected,
            "ExecutionCommitted": self._on_execution_committed,
            "ExecutionReported": self._on_execution_reported,
            "ExecutionDisputed": self._on_execution_disputed,
            "ExecutionRejected": self._on_execution_rejected,
            "ExecutionAccepted": self._on_execution_accepted,
            "AttemptFailed": self._on_attempt_failed,
            "ExecutionCancelled": self._on_execution_cancelled,
            "Fined": self._on_fined,
            "Refunded": self._on_refunded,
            "JobDone": self._on_job_done,
        }

    def _say(self, time_ms: int, block: int, text: str, good: bool | None) -> None:
        if len(self.lines) < LINES_MAX:
            self.lines.append(Line(max(0, time_ms - (self.started_ms or time_ms)), block, text, good))

    def _reach(self, state: str, time_ms: int) -> None:
        self.state = state
        self.reached_ms.setdefault(state, time_ms - (self.started_ms or time_ms))

    def _move(self, fields: dict[str, Any], time_ms: int, state: str) -> str:
        """Note where a slot stands; its execution in words."""
        place = self.places.setdefault(fields["slot"], Place())
        place.state, place.changed_ms = state, time_ms
        if "execution" in fields:
            place.execution, place.attempt = fields["execution"], fields["attempt"]
        if "processor" in fields:
            place.processor = fields["processor_address"]
        attempt = f", attempt {place.attempt}" if place.attempt > 1 else ""
        return f"slot {fields['slot']}: execution {place.execution}{attempt}"

    # One function for each event of the job layer: its text, and whether it is good or bad news.

    def _on_job_registered(self, fields: dict[str, Any], time_ms: int) -> News:
        self._reach("OPEN", time_ms)
        return "OPEN: registered, waiting for processors", None

    def _on_deposited(self, fields: dict[str, Any], time_ms: int) -> News:
        return f"{format_amount(fields['amount'])} are held for it", None

    def _on_slot_offered(self, fields: dict[str, Any], time_ms: int) -> News:
        self._move(fields, time_ms, "offered")
        return f"slot {fields['slot']}: offered to {short(fields['processor_address'])}", None

    def _on_job_matched(self, fields: dict[str, Any], time_ms: int) -> News:
        self._reach("MATCHED", time_ms)
        return "MATCHED: every slot has an offer", None

    def _on_job_reopened(self, fields: dict[str, Any], time_ms: int) -> News:
        self._reach("OPEN", time_ms)
        return "OPEN again: a slot lost its processor", False

    def _on_slot_acknowledged(self, fields: dict[str, Any], time_ms: int) -> News:
        self._move(fields, time_ms, "acknowledged")
        return f"slot {fields['slot']}: acknowledged by {short(fields['processor_address'])}", None

    def _on_job_assigned(self, fields: dict[str, Any], time_ms: int) -> News:
        self._reach("ASSIGNED", time_ms)
        return "ASSIGNED: every slot is acknowledged", None

    def _on_slot_vacated(self, fields: dict[str, Any], time_ms: int) -> News:
        self._move(fields, time_ms, "vacant")
        lost = f"{short(fields['processor_address'])} is off it ({failure_text(fields['reason'])})"
        return f"slot {fields['slot']}: {lost}, matched anew", False

    def _on_slot_resigned(self, fields: dict[str, Any], time_ms: int) -> News:
        return f"slot {fields['slot']}: {short(fields['processor_address'])} resigned", False

    def _on_execution_scheduled(self, fields: dict[str, Any], time_ms: int) -> News:
        run = self._move(fields, time_ms, "scheduled")
        return (f"{run} is tried again", None) if fields["attempt"] > 1 else ("", None)

    def _on_execution_started(self, fields: dict[str, Any], time_ms: int) -> News:
        run = self._move(fields, time_ms, "running")
        self._reach("RUNNING", time_ms)
        return f"{run} runs on {short(fields['processor_address'])}", None

    def _on_execution_progressed(self, fields: dict[str, Any], time_ms: int) -> News:
        self._move(fields, time_ms, "running")
        place = self.places[fields["slot"]]
        place.progress = f"{fields['permille'] / 10:.0f} %"
        # At most four executions of a slot are live: older ones are forgotten.
        place.permille = {**dict(list(place.permille.items())[-3:]), fields["execution"]: fields["permille"]}
        return "", None

    def _on_execution_suspected(self, fields: dict[str, Any], time_ms: int) -> News:
        run = self._move(fields, time_ms, "suspect")
        return f"{run} gives no sign of life", False

    def _on_execution_reported(self, fields: dict[str, Any], time_ms: int) -> News:
        run = self._move(fields, time_ms, "reported")
        self.places[fields["slot"]].digest = fields["digest"]
        return f"{run} reported, digest {fields['digest'][:18]}…", None

    def _on_execution_committed(self, fields: dict[str, Any], time_ms: int) -> News:
        run = self._move(fields, time_ms, "committed")
        return f"{run} is committed, not yet shown", None

    def _on_execution_disputed(self, fields: dict[str, Any], time_ms: int) -> News:
        run = self._move(fields, time_ms, "disputed")
        return f"{run} is before a jury", False

    def _on_execution_rejected(self, fields: dict[str, Any], time_ms: int) -> News:
        run = self._move(fields, time_ms, "rejected")
        return f"{run} rejected, {failure_text(fields['failure'])}, {format_amount(fields['paid'])} paid", False

    def _on_execution_accepted(self, fields: dict[str, Any], time_ms: int) -> News:
        run = self._move(fields, time_ms, "accepted")
        return f"{run} accepted, {format_amount(fields['paid'])} paid", True

    def _on_attempt_failed(self, fields: dict[str, Any], time_ms: int) -> News:
        run = self._move(fields, time_ms, "failed")
        self.failed_attempts += 1
        message = f": {fields['message']}" if fields["message"] else ""
        return f"{run} failed, {failure_text(fields['failure'])}{message}", False

    def _on_execution_cancelled(self, fields: dict[str, Any], time_ms: int) -> News:
        run = self._move(fields, time_ms, "cancelled")
        return f"{run} cancelled, {format_amount(fields['paid'])} paid", None

    def _on_fined(self, fields: dict[str, Any], time_ms: int) -> News:
        fine = f"{short(fields['processor_address'])} lost {format_amount(fields['amount'])} of its bond"
        return f"slot {fields['slot']}: {fine}", False

    def _on_refunded(self, fields: dict[str, Any], time_ms: int) -> News:
        return f"{format_amount(fields['amount'])} went back to the payer", None

    def _on_job_done(self, fields: dict[str, Any], time_ms: int) -> News:
        self.end = fields["outcome"]
        name = variant_of(self.end)[0]
        state = {"JobCancelled": "CANCELLED", "JobExpired": "EXPIRED"}.get(name, "DONE")
        self._reach(state, time_ms)
        return f"{state}: {end_text(self.end)}", self.succeeded
