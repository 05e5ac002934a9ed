"""Logs: the lines operators grep, thresholds, and that a peer's string stays one harmless piece of a line."""

import io
import json
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from node import log
from node.log import Status
from tests.helpers.rpc_server import Recorder

HASH = bytes(range(32))
STATUS = Status(peers=3, best=12, best_hash=HASH, finalized=10, finalized_hash=HASH[::-1])


@pytest.fixture(autouse=True)
def _defaults() -> Iterator[None]:
    """Leave logging as other tests expect it."""
    yield
    log.setup(log.FILTER_BEFORE_SETUP)


def lines(filters: str = "", *, json_lines: bool = False, name: str = "") -> io.StringIO:
    """Set up logging into a buffer."""
    stream = io.StringIO()
    log.setup(filters, json=json_lines, stream=stream, name=name)
    return stream


def test_operator_lines() -> None:
    """The lines have Substrate's words, so that operators' tools find them."""
    assert log.idle_line(STATUS) == "Idle (3 peers), best: #12 (0x0001…1e1f), finalized #10 (0x1f1e…0100)"
    target = Status(3, 12, HASH, 10, HASH, target=99)
    assert log.syncing_line(target, 319).startswith("Syncing 31.9 bps, target=#99 (3 peers), best: #12 (0x0001…1e1f)")
    assert log.imported_line(7, HASH) == "Imported #7 (0x0001…1e1f)"
    assert log.prepared_line(8, HASH, 4, 12).startswith("Prepared block for proposing at 8 (12 ms) [hash: 0x0001…1e1f")
    assert log.reorg_line(5, HASH, 6, HASH, 4, HASH).startswith("Reorg on #5,0x0001…1e1f to #6")


def test_console_line() -> None:
    """A line has time, level, target, text and fields."""
    stream = lines("sync=debug")
    log.logger("sync").debug("Imported #7", peers=3)
    time, rest = stream.getvalue()[:23], stream.getvalue()[23:]
    assert time[4] == "-"
    assert time[19] == "."
    assert rest == " DEBUG [sync] Imported #7 peers=3\n"


def test_json_line() -> None:
    """With --log-json each line is one object with the node's name."""
    stream = lines(json_lines=True, name="alice")
    log.logger("sync").warning("late", ms=5, block=HASH)
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "late",
        "target": "sync",
        "level": "warn",
        "ms": 5,
        "block": "0x" + HASH.hex(),
        "node": "alice",
    }


def test_before_the_setup_only_warnings_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that uses a part of the node keeps its own output clean."""
    log.logger("part").info("hidden")
    log.logger("part").warning("shown")
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.count("\n") == 1
    assert "shown" in written.err


def test_thresholds_by_target() -> None:
    """A target's own threshold wins, covers what is below it, and the rest has the default."""
    stream = lines("rpc=warn,sync=debug,off=off")
    for target in ("rpc", "rpc.http", "sync.blocks", "other", "off"):
        log.logger(target).debug(f"{target} debug")
        log.logger(target).info(f"{target} info")
        log.logger(target).error(f"{target} error")
    texts = [line.split("] ")[1] for line in stream.getvalue().splitlines()]
    expected = ["rpc error", "rpc.http error", "sync.blocks debug", "sync.blocks info", "sync.blocks error"]
    assert texts == [*expected, "other info", "other error"]


def test_a_logger_made_before_the_setup_follows_it() -> None:
    """Modules may make their logger at import time."""
    early = log.logger("early")
    stream = lines("warn")
    early.info("hidden")
    early.warning("shown")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("text", ["loud", "sync=loud", "=debug", "a=b=c", ",".join(f"t{i}=info" for i in range(65))])
def test_bad_filters(text: str) -> None:
    """A filter that is none is refused when the node starts."""
    with pytest.raises(log.BadLogFilter):
        log.setup(text)


@pytest.mark.parametrize("json_lines", [False, True])
def test_a_peer_cannot_forge_or_flood(json_lines: bool) -> None:
    """Line breaks, escape sequences and long strings from a peer stay inside one bounded line."""
    stream = lines(json_lines=json_lines)
    evil = "x\n2026-01-01 ERROR [import] forged\r\x1b[2J\x9b\u202e\ud800" + "y" * 100_000
    log.logger("net").info(evil, agent=evil, **{f"k{i}": evil for i in range(100)})
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert written[:-1].isprintable()
    assert len(written) < log.EVENT_CHARS_MAX + log.FIELDS_MAX * (log.VALUE_CHARS_MAX + 80)
    written.encode()


def test_tracebacks_are_shown_and_bounded() -> None:
    """A failure's traceback is in the log, with the message of the exception escaped and cut."""
    stream = lines()
    try:
        raise ValueError("bad\x1b[31m" + "z" * 50_000)
    except ValueError:
        log.logger("task").exception("failed")
    assert "Traceback" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
    assert len(stream.getvalue()) < log.TRACEBACK_CHARS_MAX + 2_000


def test_clean() -> None:
    """Bytes are shown as hex, long values cut with a mark, printable text left as it is."""
    assert log.clean(b"\x01\x02") == "0x0102"
    assert log.clean(b"\x01" * 300).endswith("…")
    assert log.clean("Zürich – ok") == "Zürich – ok"
    assert log.clean("x" * 300) == "x" * 256 + "…"
    assert log.clean("\x00" * 300, 10) == "\\x00\\x00\\x" + "…"


def test_informant_writes_every_five_seconds() -> None:
    """The regular line comes at once and every 5 s; while syncing it says the rate."""
    record = Recorder()
    states = [STATUS, Status(3, 12, HASH, 10, HASH, target=99), Status(3, 112, HASH, 10, HASH, target=200)]

    async def main() -> None:
        answers = iter(states)
        with trio.move_on_after(12):
            await log.run_informant(lambda: next(answers), record)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert [event.split(",")[0] for event in record.events()] == [
        "Idle (3 peers)",
        "Syncing 0.0 bps",
        "Syncing 20.0 bps",
    ]
