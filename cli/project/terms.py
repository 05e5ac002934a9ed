"""The terms of a job in heddle.toml: when it runs, on whose machines, and where its results go.

    destinations = ["https://example.org/results"]      # beside the chain itself

    [schedule]
    start_ms = 0                    # milliseconds since 1970; 0 is at once
    executions = 1                  # per slot
    interval_ms = 120_000           # from one start to the next
    start_delay_max_ms = 120_000    # how late an execution may start

    [processors]
    choice = "public"               # public, known or personal
    accounts = []                   # known and personal: addresses
    reputation_min_ppm = 0          # public: parts per million

    [requirements]
    labels = []
    modules = []
    benchmark_min = 0               # fuel per millisecond
    version_min = 0

    [retry]
    attempts_max = 3
    lost_max = 3

    [verification]
    mode = "trusted"                # owner-accept, quorum, credibility, adaptive or reexecution
    window_ms = 3_600_000           # owner-accept and reexecution: how long a result may be doubted
    agreeing = 2                    # quorum: how many of the slots
    trust = 100                     # credibility: one wrong result in so many
    stake_multiple = 0              # what a processor has at stake, in rewards; 0 leaves it to the mode

Bounds are the chain's (pallets/jobs/bounds.py), and checked there; here only what has no meaning at all is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from node.processor.runtimes.grants import RequestInvalid, destination

CHOICES = ("public", "known", "personal")
MODES = ("trusted", "owner-accept", "quorum", "credibility", "adaptive", "reexecution")
NUMBER_MAX = (1 << 63) - 1
START_DELAY_MAX_MS_DEFAULT = 120_000
WINDOW_MS_DEFAULT = 3_600_000
INTERVAL_PAUSE_MS = 1_000
"""Between the longest run and the next start, where the interval is left out."""

FIELDS = {
    "schedule": ("start_ms", "executions", "interval_ms", "start_delay_max_ms"),
    "processors": ("choice", "accounts", "reputation_min_ppm"),
    "requirements": ("labels", "modules", "benchmark_min", "version_min"),
    "retry": ("attempts_max", "lost_max"),
    "verification": ("mode", "window_ms", "agreeing", "trust", "stake_multiple"),
}


VERIFICATION_FIELDS = {
    "window_ms": ("owner-accept", "reexecution"),
    "agreeing": ("quorum",),
    "trust": ("credibility",),
}
"""Fields that say something in these modes alone: elsewhere whoever wrote them expects a check that is not made."""


class TermsInvalid(ValueError):
    """A field of the terms has no meaning; the message names it and what it may be."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Defaults are a single execution as soon as possible on any machine. `start_ms` 0 means now."""

    start_ms: int = 0
    executions: int = 1
    interval_ms: int = 0
    start_delay_max_ms: int = START_DELAY_MAX_MS_DEFAULT
    choice: str = CHOICES[0]
    accounts: tuple[str, ...] = ()
    reputation_min_ppm: int = 0
    labels: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    benchmark_min: int = 0
    version_min: int = 0
    attempts_max: int = 3
    lost_max: int = 3
    destinations: tuple[str, ...] = ()
    mode: str = MODES[0]
    window_ms: int = WINDOW_MS_DEFAULT
    agreeing: int = 2
    trust: int = 100
    stake_multiple: int = 0


def read_terms(raw: dict[str, Any], duration_ms: int) -> Terms:
    """The terms in a parsed heddle.toml. Raises TermsInvalid."""
    tables = {name: _table(raw, name, known) for name, known in FIELDS.items()}
    schedule, processors = tables["schedule"], tables["processors"]
    requirements, retry, verification = tables["requirements"], tables["retry"], tables["verification"]
    mode = verification.get("mode", MODES[0])
    if mode not in MODES:
        raise TermsInvalid(f"verification.mode is {mode!r}, allowed are {', '.join(MODES)}")
    for name, meant in VERIFICATION_FIELDS.items():
        if name in verification and mode not in meant:
            raise TermsInvalid(f"verification.{name} says nothing in the mode {mode}, only in {' and '.join(meant)}")
    choice = processors.get("choice", CHOICES[0])
    if choice not in CHOICES:
        raise TermsInvalid(f"processors.choice is {choice!r}, allowed are {', '.join(CHOICES)}")
    return Terms(
        start_ms=_whole(schedule, "schedule", "start_ms", 0),
        executions=_whole(schedule, "schedule", "executions", 1),
        interval_ms=_whole(schedule, "schedule", "interval_ms", duration_ms + INTERVAL_PAUSE_MS),
        start_delay_max_ms=_whole(schedule, "schedule", "start_delay_max_ms", START_DELAY_MAX_MS_DEFAULT),
        choice=choice,
        accounts=_texts(processors, "processors.", "accounts"),
        reputation_min_ppm=_whole(processors, "processors", "reputation_min_ppm", 0),
        labels=_texts(requirements, "requirements.", "labels"),
        modules=_texts(requirements, "requirements.", "modules"),
        benchmark_min=_whole(requirements, "requirements", "benchmark_min", 0),
        version_min=_whole(requirements, "requirements", "version_min", 0),
        attempts_max=_whole(retry, "retry", "attempts_max", 3),
        lost_max=_whole(retry, "retry", "lost_max", 3),
        destinations=_webhooks(raw),
        mode=mode,
        window_ms=_whole(verification, "verification", "window_ms", WINDOW_MS_DEFAULT),
        agreeing=_whole(verification, "verification", "agreeing", 2),
        trust=_whole(verification, "verification", "trust", 100),
        stake_multiple=_whole(verification, "verification", "stake_multiple", 0),
    )


def _webhooks(raw: dict[str, Any]) -> tuple[str, ...]:
    urls = _texts(raw, "", "destinations")
    for url in urls:
        try:
            destination(url)
        except RequestInvalid as error:
            raise TermsInvalid(f"destinations: {url.rpartition('@')[2]}: {error}") from error
    return urls


def _table(raw: dict[str, Any], name: str, known: tuple[str, ...]) -> dict[str, Any]:
    table = raw.get(name, {})
    if not isinstance(table, dict):
        raise TermsInvalid(f"{name} must be a table")
    for field in table:
        if field not in known:
            raise TermsInvalid(f"unknown field {name}.{field}, known are {', '.join(known)}")
    return table


def _whole(table: dict[str, Any], prefix: str, name: str, default: int) -> int:
    value = table.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= NUMBER_MAX:
        raise TermsInvalid(f"{prefix}.{name} is {value!r}, it must be a whole number, 0 or more")
    return value


def _texts(table: dict[str, Any], prefix: str, name: str) -> tuple[str, ...]:
    values = table.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TermsInvalid(f"{prefix}{name} must be a list of texts")
    return tuple(values)
