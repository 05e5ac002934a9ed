"""What scripts print and log: kept by the processor that ran them, asked for by the job's name over `logs/1`.

The chain holds no logs. A processor keeps those of its latest runs in files, whole and bounded; any node fetches one
from its peers in parts, while the script still runs too. Like results, logs are public: a job's secrets are kept out of
them by the sandbox, and what a script prints is its consumer's choice.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from node.log import logger
from node.network.peer_reputation import BAD_RESPONSE
from node.network.port import MalformedMessage, Network, PeerId, RequestFailed, RequestRefused
from node.wire import HASH, Bytes, pack, unpack

log = logger("logs")

LOG_BYTES_MAX = 256 << 10
"""Of one run: the sandbox's own limit on what a script may log (runtimes/spec.py)."""
RUNS_KEPT_MAX = 1_000
PART_BYTES = 64 << 10
PROTOCOL = "logs/1"
REQUEST = (HASH, int, int, int, int)
"""Job, execution, slot, attempt, offset."""
RESPONSE = (int, bool, Bytes(PART_BYTES))


@dataclass(frozen=True, slots=True)
class RunPlace:
    """One attempt at an execution of a job, which is named by its hash."""

    job_hash: bytes
    execution: int
    slot: int
    attempt: int

    @property
    def file_name(self) -> str:
        """Where its log lies in the folder."""
        return f"{self.job_hash.hex()}-{self.execution}-{self.slot}-{self.attempt}.log"


@dataclass(frozen=True, slots=True)
class LogPart:
    """A piece of a log: `total` bytes are there by now, and no more come once it is `over`."""

    total: int
    over: bool
    data: bytes


class LogUnavailable(Exception):
    """Neither here nor with any peer."""


class LogStore:
    """The logs of this processor's runs, in `folder`: the latest RUNS_KEPT_MAX."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._sizes: dict[RunPlace, int] = {}
        """Runs at work, with what they have written."""
        files = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime_ns)
        self._kept: dict[str, None] = {path.name: None for path in files}
        """The names of all logs here, oldest first."""

    def begin(self, place: RunPlace) -> None:
        """A run starts, perhaps again: its log is empty."""
        self._sizes[place] = 0
        try:
            self._path(place).write_bytes(b"")
        except OSError as error:  # a full disk loses logs, and no run
            log.warning("a run's log cannot be kept", reason=str(error.strerror))
        self._kept.pop(place.file_name, None)
        self._kept[place.file_name] = None
        while len(self._kept) > RUNS_KEPT_MAX:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            (self.folder / oldest).unlink(missing_ok=True)

    def write(self, place: RunPlace, text: str) -> None:
        """Add what a script has just written, up to the bound of one run."""
        size = self._sizes.get(place, LOG_BYTES_MAX)
        content = text.encode()[: LOG_BYTES_MAX - size]
        if content:
            try:
                with self._path(place).open("ab") as file:
                    file.write(content)
            except OSError as error:
                log.warning("a run's log is cut short", reason=str(error.strerror))
                size, content = LOG_BYTES_MAX, b""
            self._sizes[place] = size + len(content)

    def end(self, place: RunPlace) -> None:
        """The run is over, however it ended."""
        self._sizes.pop(place, None)

    def part(self, place: RunPlace, offset: int) -> LogPart | None:
        """A part from `offset` on; None if the run was not made here, or its log gave way to newer ones."""
        # Asked before the file is read: what is written in between is told next time.
        over = place not in self._sizes
        try:
            with self._path(place).open("rb") as file:
                total = os.fstat(file.fileno()).st_size
                file.seek(min(offset, total))
                return LogPart(total, over, file.read(PART_BYTES))
        except FileNotFoundError:
            return None

    def _path(self, place: RunPlace) -> Path:
        return self.folder / place.file_name


class RunLogs:
    """The logs that can be had: one's own, if this node is a processor, and those of its peers."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.store: LogStore | None = None
        network.serve(PROTOCOL, self._serve)

    async def _serve(self, _peer: PeerId, data: bytes) -> bytes:
        job_hash, execution, slot, attempt, offset = unpack(data, REQUEST, 128, "log request")
        found = None if self.store is None else self.store.part(RunPlace(job_hash, execution, slot, attempt), offset)
        if found is None:
            raise RequestRefused("no such log here")
        return pack([found.total, found.over, found.data])

    async def part(self, place: RunPlace, offset: int) -> LogPart:
        """A part of a log, from here or from the peer that has it. Raises LogUnavailable."""
        found = None if self.store is None else self.store.part(place, offset)
        if found is not None:
            return found
        for peer in self.network.peers():
            answer = await self._ask(peer, place, offset)
            if answer is not None:
                return answer
        raise LogUnavailable(f"no log of it here or with any of {len(self.network.peers())} peers")

    async def _ask(self, peer: PeerId, place: RunPlace, offset: int) -> LogPart | None:
        request = pack([place.job_hash, place.execution, place.slot, place.attempt, offset])
        try:
            answer = await self.network.request(peer, PROTOCOL, request)
            total, over, data = unpack(answer, RESPONSE, PART_BYTES + 64, "log answer")
            if total > LOG_BYTES_MAX or offset + len(data) > max(total, offset):
                raise MalformedMessage("total", f"{total} bytes announced, {len(data)} sent at {offset}")
        except RequestFailed:
            return None
        except MalformedMessage as error:
            self.network.report(peer, BAD_RESPONSE.delta, str(error))
            return None
        return LogPart(total, over, data)
