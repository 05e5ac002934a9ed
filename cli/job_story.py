"""A job's story told from its events: every attempt with its times, processor and reason, and where the money went.

It does no I/O. Times are milliseconds of chain time since the registration; amounts are planck.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

from cli.amounts import format_amount
from cli.job_timeline import end_text, failure_text, short, variant_of
from cli.output import fields, table

if TYPE_CHECKING:
    from rich.console import Console

Event = dict[str, Any]
ROWS_SHOWN_MAX = 200
"""Attempts and movements drawn for people, the latest; --json has all."""
ENDS = {
    "ExecutionAccepted": "accepted",
    "ExecutionRejected": "rejected",
    "ExecutionCancelled": "cancelled",
}
JOB_ENDED = "its job ended"
TOO_LATE = "it would have come too late to count"
NOBODY = "nobody had the slot"
STEPS = {
    "ExecutionStarted": "running",
    "ExecutionProgressed": "running",
    "ExecutionSuspected": "suspect",
    "ExecutionCommitted": "committed",
    "ExecutionReported": "reported",
    "ExecutionDisputed": "disputed",
}
CAUSES = {**ENDS, "AttemptFailed": "failed"}
JOB_ENDS = ("JobClosing", "JobDone")
MONEY = {
    "Deposited": "deposited",
    "Paid": "paid to",
    "FeeBurned": "burned",
    "Refunded": "back to the payer",
}
"""The events that tell of a job's deposit."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at one execution on one slot. Times are None until they have come."""

    slot: int
    execution: int
    attempt: int
    state: str = "scheduled"
    processor: str = ""
    due_ms: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    reason: str = ""
    paid: int = 0


@dataclass(frozen=True)
class Skip:
    """So many executions of a slot, from `first` on, that never had an attempt: their starts passed."""

    slot: int
    first: int
    count: int
    after_ms: int


@dataclass(frozen=True)
class Movement:
    """Money that came into a job's deposit (positive) or left it (negative), and what was held afterwards."""

    after_ms: int
    block: int
    kind: str
    what: str
    amount: int
    held: int


@dataclass(frozen=True)
class Sums:
    """A job's money: deposited == paid + fees + refunded + held, always."""

    deposited: int = 0
    paid: int = 0
    fees: int = 0
    refunded: int = 0

    @property
    def held(self) -> int:
        """What is still held for the job."""
        return self.deposited - self.paid - self.fees - self.refunded


@dataclass(frozen=True)
class Holder:
    """Who has a slot, or had it last: then `left` is the transaction that took it, and `why` the reason."""

    processor: str = ""
    left: tuple[str, int | None] | None = None
    why: str = ""


def attempts_of(events: Sequence[Event]) -> list[Attempt]:
    """Every attempt, by slot, execution and attempt."""
    attempts: dict[tuple[int, int, int], Attempt] = {}
    holders: dict[int, Holder] = {}
    begun_ms = events[0]["time_ms"] if events else 0
    for place, event in enumerate(events):
        about = event["fields"]
        if event["event"] == "SlotAcknowledged":
            holders[about["slot"]] = Holder(about["processor_address"])
        elif event["event"] == "SlotVacated":
            why = failure_text(about["reason"])
            holders[about["slot"]] = Holder(about["processor_address"], _transaction(event), why)
        if not {"slot", "execution", "attempt"} <= set(about):
            continue
        key = (about["slot"], about["execution"], about["attempt"])
        attempt = _after(attempts.get(key) or Attempt(*key), event["event"], about, event["time_ms"], begun_ms)
        if event["event"] == "AttemptFailed":
            attempt = _blamed(attempt, holders.get(about["slot"], Holder(left=("", None))), _transaction(event))
        elif event["event"] == "ExecutionCancelled":
            attempt = replace(attempt, reason=_why_cancelled(events, place))
        attempts[key] = attempt
    return [attempts[key] for key in sorted(attempts)]


def skips_of(events: Sequence[Event]) -> list[Skip]:
    """The executions that nobody could begin in time: the slot was vacant, the job paused, or the chain stood still."""
    begun_ms = events[0]["time_ms"] if events else 0
    return [
        Skip(about["slot"], about["first"], about["count"], event["time_ms"] - begun_ms)
        for event in events
        if event["event"] == "ExecutionsSkipped" and (about := event["fields"])
    ]


def _after(attempt: Attempt, name: str, about: dict[str, Any], time_ms: int, begun_ms: int) -> Attempt:
    """An attempt after one event of it."""
    now_ms = time_ms - begun_ms
    if about.get("processor_address"):
        attempt = replace(attempt, processor=about["processor_address"])
    if name == "ExecutionScheduled":
        return replace(attempt, due_ms=about["due_ms"] - begun_ms)
    if name == "ExecutionStarted":
        attempt = replace(attempt, started_ms=now_ms)
    if name == "AttemptFailed":
        reason = failure_text(about["failure"]) + (f": {about['message']}" if about["message"] else "")
        state = "failed" if about["final"] else "failed, tried again"
        return replace(attempt, state=state, ended_ms=now_ms, reason=reason)
    if name in ENDS:
        reason = failure_text(about.get("failure"))
        return replace(attempt, state=ENDS[name], ended_ms=now_ms, paid=about.get("paid", 0), reason=reason)
    return replace(attempt, state=STEPS.get(name, attempt.state))


def _blamed(attempt: Attempt, holder: Holder, now: tuple[str, int | None]) -> Attempt:
    """A failed attempt with whose it was, also if it had not begun, and why the slot was lost if not by its failure."""
    if holder.left not in (None, now):
        return attempt if attempt.processor else replace(attempt, reason=f"{attempt.reason}: {NOBODY}")
    attempt = replace(attempt, processor=attempt.processor or holder.processor)
    if not holder.why or attempt.reason.startswith(holder.why):
        return attempt
    return replace(attempt, reason=f"{attempt.reason}: its processor lost the slot by {holder.why}")


def _why_cancelled(events: Sequence[Event], place: int) -> str:
    """An execution is broken off by the end of its job, or because the others are judged without it."""
    for event in _rest_of_transaction(events, place):
        if event["event"] in JOB_ENDS and variant_of(event["fields"]["outcome"])[0] != "JobSucceeded":
            return f"{JOB_ENDED}: {end_text(event['fields']['outcome'])}"
    return TOO_LATE


def movements_of(events: Sequence[Event]) -> list[Movement]:
    """Every movement of the job's deposit, with what was held after it."""
    begun_ms = events[0]["time_ms"] if events else 0
    movements, held = [], 0
    for place, event in enumerate(events):
        kind, about = event["event"], event["fields"]
        if kind not in MONEY:
            continue
        amount = about["amount"] if kind == "Deposited" else -about["amount"]
        held += amount
        what = MONEY[kind] + (f" {short(about['to_address'])}" if kind == "Paid" else "")
        why = _cause(events, place)
        what += f", {why}" if why else ""
        movements.append(Movement(event["time_ms"] - begun_ms, event["block"], kind, what, amount, held))
    return movements


def _cause(events: Sequence[Event], place: int) -> str:
    """Why money moved: the nearest end of an attempt, or of the job, told by the same transaction."""
    for event in _rest_of_transaction(events, place):
        about = event["fields"]
        if event["event"] in CAUSES:
            return f"execution {about['execution']} on slot {about['slot']} {CAUSES[event['event']]}"
        if event["event"] == "JobDone":
            return f"the job {end_text(about['outcome'])}"
    return ""


def _transaction(event: Event) -> tuple[str, int | None]:
    """The block and the transaction that told an event; the chain's own work is None."""
    return event["hash"], event.get("extrinsic")


def _rest_of_transaction(events: Sequence[Event], place: int) -> list[Event]:
    """What the same transaction told after an event."""
    here = _transaction(events[place])
    return list(takewhile(lambda one: _transaction(one) == here, islice(events, place + 1, None)))


def sums_of(movements: Sequence[Movement]) -> Sums:
    """The same totals as the chain's ledger has."""

    def total(kind: str) -> int:
        return sum(abs(one.amount) for one in movements if one.kind == kind)

    return Sums(total("Deposited"), total("Paid"), total("FeeBurned"), total("Refunded"))


def draw_story(view: dict[str, Any], events: Sequence[Event]) -> Callable[["Console"], None]:
    """Attempts, then money."""
    attempts, movements = attempts_of(events), movements_of(events)
    sums, job = sums_of(movements), view["job"]
    state = job["state"].upper() + (f", {end_text(job['end'])}" if job["end"] else "")
    rows = [
        [
            one.slot,
            one.execution,
            one.attempt,
            short(one.processor) or "-",
            _time(one.due_ms),
            _time(one.started_ms),
            _time(one.ended_ms),
            one.state,
            one.reason,
        ]
        for one in attempts[-ROWS_SHOWN_MAX:]
    ]
    money = [
        [_time(one.after_ms), f"#{one.block}", one.what, _signed(one.amount), format_amount(one.held)]
        for one in movements[-ROWS_SHOWN_MAX:]
    ]
    skipped = [
        f"After {_time(one.after_ms)}, {one.count} executions of slot {one.slot} were skipped, from {one.first} on: "
        "their starts passed while nobody could begin them."
        for one in skips_of(events)[-ROWS_SHOWN_MAX:]
    ]
    left_out = [
        f"{len(found) - ROWS_SHOWN_MAX} earlier {name} are left out; --json has all"
        for name, found in (("attempts", attempts), ("movements", movements))
        if len(found) > ROWS_SHOWN_MAX
    ]
    parts = (sums.paid, sums.fees, sums.refunded, sums.held)
    paid, fees, refunded, held = map(format_amount, parts)
    equation = f"{format_amount(sums.deposited)} = {paid} paid + {fees} burned + {refunded} back + {held} held"

    def draw(target: "Console") -> None:
        fields({"job": view["id"], "state": state, "deposit": equation})(target)
        heads = ("slot", "execution", "attempt", "processor", "due", "started", "ended", "how", "why")
        table(heads, rows, empty="No execution has come up yet.")(target)
        table(("after", "block", "money", "amount", "held"), money, empty="No money has moved yet.")(target)
        for sentence in (*skipped, *left_out):
            target.print(sentence)

    return draw


def _time(milliseconds: int | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1000:.1f} s"


def _signed(amount: int) -> str:
    return ("+" if amount >= 0 else "−") + format_amount(abs(amount))
