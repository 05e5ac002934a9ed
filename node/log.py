"""Logs: the lines operators know, on a terminal or as JSON, with nothing a peer says taken at its word.

`setup` once at start; `logger("import")` anywhere. A line has time, level, target and fields. Strings that may come
from a peer reach the terminal with control characters escaped and cut to a bound, so that nobody can forge a line,
move the cursor or fill the disk with one message.
"""

import sys
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

import structlog
import trio

LEVELS: dict[str, int] = {"trace": 5, "debug": 10, "info": 20, "warn": 30, "error": 40, "off": 100}
LEVEL_ALIASES = {"warning": "warn", "critical": "error", "exception": "error"}
LEVEL_DEFAULT = "info"
FILTER_BEFORE_SETUP = "warn"
"""A command that only uses parts of the node has its own output: the log keeps to warnings, on stderr."""
TARGETS_MAX = 64
EVENT_CHARS_MAX = 1_024
VALUE_CHARS_MAX = 256
FIELDS_MAX = 32
TRACEBACK_CHARS_MAX = 16_384
INFORMANT_INTERVAL_MS = 5_000
COLOURS = {"debug": "\x1b[2m", "info": "", "warn": "\x1b[33m", "error": "\x1b[31m"}
COLOUR_END = "\x1b[0m"


class Logger(Protocol):
    """What the node uses of a logger: an event and fields, by level."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...
    def exception(self, event: str, **fields: Any) -> Any: ...


class BadLogFilter(ValueError):
    """An argument of --log that is no `target=level`."""


def parse_filter(text: str) -> dict[str, int]:
    """The thresholds of `--log`: "debug", "sync=debug,rpc=warn" or both; the key "" is for all other targets."""
    thresholds: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        target, separator, level = part.rpartition("=")
        if separator and not target:
            raise BadLogFilter(f"log: {clean(part)} has no target")
        number = LEVELS.get(LEVEL_ALIASES.get(level.lower(), level.lower()))
        if number is None:
            raise BadLogFilter(f"log: {clean(level)} is no level, one of {', '.join(LEVELS)}")
        thresholds[target] = number
    if len(thresholds) > TARGETS_MAX:
        raise BadLogFilter(f"log: {len(thresholds)} targets, at most {TARGETS_MAX}")
    return thresholds


def clean(value: object, chars_max: int = VALUE_CHARS_MAX) -> str:
    """`value` as one printable line of at most `chars_max` characters and a mark that it was cut."""
    if isinstance(value, bytes | bytearray):
        shown = "0x" + bytes(value[: chars_max // 2]).hex()
        return shown if len(value) <= chars_max // 2 else shown + "…"
    text = value if isinstance(value, str) else str(value)
    cut = text[:chars_max]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in cut)[:chars_max]
    return cut if len(text) <= chars_max else cut + "…"


def short(block: bytes) -> str:
    """A hash as operators read it: 0x12ab…cd34."""
    text = block.hex()
    return f"0x{text[:4]}…{text[-4:]}"


def setup(
    filters: str = "", *, json: bool = False, stream: TextIO | None = None, colours: bool | None = None, name: str = ""
) -> None:
    """Configure logging for the process: thresholds of `-l/--log`, console or JSON, to `stream` (stderr).

    `name` is put on each line of a node with a name, so that the logs of a local network can be merged. BadLogFilter on
    a bad filter.
    """
    out = stream or sys.stderr
    thresholds = {"": LEVELS[LEVEL_DEFAULT], **parse_filter(filters)}
    lowest = min(thresholds.values())
    coloured = out.isatty() if colours is None else colours
    render = structlog.processors.JSONRenderer(default=clean) if json else _Console(coloured, name)
    structlog.configure(
        processors=[
            _Threshold(thresholds),
            structlog.processors.TimeStamper(fmt="iso" if json else "%Y-%m-%d %H:%M:%S.%f", utc=True),
            *([_named(name)] if json and name else []),
            structlog.processors.ExceptionRenderer(),
            _bounded,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(max(lowest, LEVELS["debug"]) if lowest < 100 else 50),
        logger_factory=lambda *_: structlog.PrintLogger(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def logger(target: str) -> Logger:
    """The logger of one part of the node. It may be made before `setup`: the configuration is read at each line."""
    log: Logger = structlog.get_logger(target=target)
    return log


Event = MutableMapping[str, Any]


class _Threshold:
    """Drops what is below the threshold of its target; `rpc` also covers `rpc.http`."""

    def __init__(self, thresholds: Mapping[str, int]) -> None:
        self.thresholds = dict(thresholds)

    def __call__(self, _logger: object, method: str, event: Event) -> Event:
        level = LEVEL_ALIASES.get(method, method)
        target = str(event.get("target", ""))
        while target not in self.thresholds:
            target = target.rpartition(".")[0]
        if LEVELS[level] < self.thresholds[target]:
            raise structlog.DropEvent
        event["level"] = level
        return event


def _named(name: str) -> Callable[[object, str, Event], Event]:
    """Adds the node's name to a JSON line."""

    def add(_logger: object, _method: str, event: Event) -> Event:
        event["node"] = name
        return event

    return add


def _bounded(_logger: object, _method: str, event: Event) -> Event:
    """Each field cleaned, and no more than FIELDS_MAX of them: the last line of defence against peers' strings."""
    safe: Event = {}
    for key, value in list(event.items())[:FIELDS_MAX]:
        if key == "exception":
            safe[key] = "\n".join(clean(line, EVENT_CHARS_MAX) for line in str(value).splitlines())[
                :TRACEBACK_CHARS_MAX
            ]
        elif isinstance(value, bool | int | float) or value is None:
            safe[clean(key, 64)] = value
        else:
            safe[clean(key, 64)] = clean(value, EVENT_CHARS_MAX if key == "event" else VALUE_CHARS_MAX)
    return safe


class _Console:
    """`2026-11-22 02:49:31.123  INFO [import] Imported #5 (0x…) peers=3`."""

    def __init__(self, coloured: bool, name: str) -> None:
        self.coloured = coloured
        self.name = f"[{clean(name, 32)}] " if name else ""

    def __call__(self, _logger: object, _method: str, event: Event) -> str:
        level = str(event.pop("level", LEVEL_DEFAULT))
        time = str(event.pop("timestamp", ""))[:23]
        target = event.pop("target", "")
        text = event.pop("event", "")
        trace = event.pop("exception", "")
        fields = "".join(f" {key}={value}" for key, value in event.items())
        line = f"{time} {level.upper():>5} {self.name}[{target}] {text}{fields}"
        if self.coloured and COLOURS.get(level):
            line = f"{COLOURS[level]}{line}{COLOUR_END}"
        return f"{line}\n{trace}" if trace else line


@dataclass(frozen=True, slots=True)
class Status:
    """What the regular line says. `target` is the height being synced to, None if the node is not behind."""

    peers: int
    best: int
    best_hash: bytes
    finalized: int
    finalized_hash: bytes
    target: int | None = None


def idle_line(status: Status) -> str:
    """`Idle (N peers), best: #B (0x12ab…cd34), finalized #F (0x…)`."""
    return f"Idle ({status.peers} peers), {_heads(status)}"


def syncing_line(status: Status, blocks_per_ten_seconds: int) -> str:
    """`Syncing 31.9 bps, target=#N (N peers), best: …`; the rate comes in tenths of a block a second."""
    rate = f"{blocks_per_ten_seconds // 10}.{blocks_per_ten_seconds % 10}"
    return f"Syncing {rate} bps, target=#{status.target} ({status.peers} peers), {_heads(status)}"


def _heads(status: Status) -> str:
    best = f"best: #{status.best} ({short(status.best_hash)})"
    return f"{best}, finalized #{status.finalized} ({short(status.finalized_hash)})"


def imported_line(number: int, block: bytes) -> str:
    """`Imported #n (0x…)`."""
    return f"Imported #{number} ({short(block)})"


def prepared_line(number: int, block: bytes, extrinsics: int, duration_ms: int) -> str:
    """`Prepared block for proposing at N (T ms) [hash: 0x…; extrinsics: n]`."""
    return (
        f"Prepared block for proposing at {number} ({duration_ms} ms) [hash: {short(block)}; extrinsics: {extrinsics}]"
    )


def reorg_line(old: int, old_hash: bytes, new: int, new_hash: bytes, common: int, common_hash: bytes) -> str:
    """`Reorg on #a,0x… to #b,0x…, common ancestor #c,0x…`."""
    ancestor = f"common ancestor #{common},{short(common_hash)}"
    return f"Reorg on #{old},{short(old_hash)} to #{new},{short(new_hash)}, {ancestor}"


async def run_informant(status: Callable[[], Status], log: Logger, interval_ms: int = INFORMANT_INTERVAL_MS) -> None:
    """Writes the regular line for ever. It never ends by itself; the node cancels it."""
    best_before: int | None = None
    while True:
        now = status()
        if now.target is None:
            log.info(idle_line(now))
        else:
            gained = max(0, now.best - (now.best if best_before is None else best_before))
            log.info(syncing_line(now, gained * 10_000 // interval_ms))
        best_before = now.best
        await trio.sleep(interval_ms / 1000)


setup(FILTER_BEFORE_SETUP)
