"""Logs of runs: kept within bounds, readable while the script runs, and fetched from the peer that has them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import trio

from node.run_logs import (
    LOG_BYTES_MAX,
    PART_BYTES,
    PROTOCOL,
    RUNS_KEPT_MAX,
    LogPart,
    LogStore,
    LogUnavailable,
    RunLogs,
    RunPlace,
)
from node.wire import pack
from tests.sim.network import Switchboard

PLACE = RunPlace(b"\x07" * 32, 0, 1, 2)


def test_a_log_grows_until_its_run_is_over(tmp_path: Path) -> None:
    """What was written is there at once; `over` is told with the last of it, and after a restart too."""
    store = LogStore(tmp_path)
    assert store.part(PLACE, 0) is None
    store.begin(PLACE)
    store.write(PLACE, "one\n")
    assert store.part(PLACE, 0) == LogPart(4, over=False, data=b"one\n")
    store.write(PLACE, "two\n")
    store.end(PLACE)
    assert store.part(PLACE, 4) == LogPart(8, over=True, data=b"two\n")
    assert LogStore(tmp_path).part(PLACE, 99) == LogPart(8, over=True, data=b"")


def test_a_run_that_begins_again_starts_an_empty_log(tmp_path: Path) -> None:
    """After a crash the script runs from its start: what the first run wrote is gone."""
    store = LogStore(tmp_path)
    store.begin(PLACE)
    store.write(PLACE, "lost")
    store.begin(PLACE)
    assert store.part(PLACE, 0) == LogPart(0, over=False, data=b"")


def test_a_log_and_their_number_are_bounded(tmp_path: Path) -> None:
    """A log stops at its limit; beyond the number of runs kept the oldest goes; a run that is over takes no more."""
    store = LogStore(tmp_path)
    store.begin(PLACE)
    store.write(PLACE, "x" * LOG_BYTES_MAX + "y")
    part = store.part(PLACE, LOG_BYTES_MAX - 1)
    assert part == LogPart(LOG_BYTES_MAX, over=False, data=b"x")
    store.end(PLACE)
    store.write(PLACE, "late")
    for number in range(RUNS_KEPT_MAX):
        store.begin(RunPlace(b"\x08" * 32, number, 0, 1))
    assert len(list(tmp_path.iterdir())) == RUNS_KEPT_MAX
    assert store.part(PLACE, 0) is None


def test_a_log_is_fetched_from_a_peer_in_parts(tmp_path: Path) -> None:
    """The node that is asked needs no processor: its peer's log comes over in parts of 64 KiB."""

    async def run() -> None:
        board = Switchboard(1)
        asking, having = RunLogs(board.join("one")), RunLogs(board.join("two"))
        with trio.fail_after(30), pytest.raises(LogUnavailable):
            await asking.part(PLACE, 0)
        having.store = LogStore(tmp_path)
        having.store.begin(PLACE)
        text = "0123456789abcdef" * (PART_BYTES // 8)
        having.store.write(PLACE, text)
        having.store.end(PLACE)
        found = bytearray()
        with trio.fail_after(30):
            while len(found) < len(text):
                part = await asking.part(PLACE, len(found))
                assert (part.total, part.over) == (len(text), True)
                assert len(part.data) <= PART_BYTES
                found += part.data
        assert found.decode() == text

    trio.run(run)


LIES: dict[str, Any] = {
    "more than announced": [3, True, b"four"],
    "too large": [LOG_BYTES_MAX + 1, True, b""],
    "no flag": [4, 1, b"four"],
    "no list": 7,
}


@pytest.mark.parametrize("lie", LIES)
def test_a_peer_that_answers_nonsense_is_reported(lie: str) -> None:
    """An answer that breaks the format, or announces less than it sends, counts against the peer."""

    async def run() -> None:
        board = Switchboard(1)
        one, two = board.join("one"), board.join("two")
        logs = RunLogs(one)

        async def answer(_peer: Any, _data: bytes) -> bytes:
            return pack(LIES[lie])

        two.serve(PROTOCOL, answer)
        with trio.fail_after(30), pytest.raises(LogUnavailable):
            await logs.part(PLACE, 0)
        assert [reason for _peer, _delta, reason in one.reports]

    trio.run(run)


def test_a_log_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    """With a disk that takes nothing a script's log is lost, and nothing is raised into its run."""
    store = LogStore(tmp_path / "logs")
    shutil.rmtree(store.folder)
    store.begin(PLACE)
    store.write(PLACE, "lost")
    store.end(PLACE)
    assert store.part(PLACE, 0) is None
