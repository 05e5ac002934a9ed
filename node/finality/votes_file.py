"""The vote file: what this node's keys have signed, on stable storage before it is sent (spec/chain.md (h)).

`votes/votes.log` holds records of 160 bytes (`consensus/votes_gate.py`) under an exclusive lock. A torn last record is
cut off at start. Any other damage makes the node an observer: it signs nothing, and the file stays as it is for its
operator to look at. At 4 MiB the file is written anew with what still matters.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

from consensus.votes_gate import REWRITE_BYTES, Record, RecordKind, VotesGate, scan
from node.log import logger

log = logger("votes")

FILE_NAME = "votes.log"
TEMPORARY_NAME = "votes.new"
READ_BYTES_MAX = 64 << 20
SLOT_NEVER = (1 << 64) - 1
"""What an observer says it authored last: no slot lies above."""


class VotesFileError(Exception):
    """The vote file cannot be used: locked by another process, too large, or not writable. The node must not vote."""


class VotesLog(Protocol):
    """The Disk port's part for votes. Each write is on stable storage when it returns; VotesFileError if it is not."""

    def read(self) -> bytes:
        """Everything in the log."""

    def append(self, data: bytes) -> None:
        """Add to the end."""

    def truncate(self, size: int) -> None:
        """Keep the first `size` bytes."""

    def replace(self, data: bytes) -> None:
        """Exchange the whole content, in one step that a crash does not cut in two."""

    def close(self) -> None:
        """Release the log."""


class PosixVotesLog:
    """The log as a file: flock, fdatasync, and replacement by rename. The folder is made if need be."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE_NAME
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = _open_locked(self._path, os.O_RDWR | os.O_CREAT)
            _sync_folder(folder)
        except OSError as error:
            raise VotesFileError(f"{self._path}: {error.strerror}") from error

    def read(self) -> bytes:
        size = os.fstat(self._file).st_size
        if size > READ_BYTES_MAX:
            raise VotesFileError(f"{self._path}: {size} bytes, at most {READ_BYTES_MAX}")
        data = os.pread(self._file, size, 0)
        if len(data) != size:
            raise VotesFileError(f"{self._path}: only {len(data)} of {size} bytes could be read")
        return data

    def append(self, data: bytes) -> None:
        try:
            os.lseek(self._file, 0, os.SEEK_END)
            _write_all(self._file, data)
            os.fdatasync(self._file)
        except OSError as error:
            raise VotesFileError(f"{self._path}: {error.strerror}") from error

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._file, size)
            os.fsync(self._file)
        except OSError as error:
            raise VotesFileError(f"{self._path}: {error.strerror}") from error

    def replace(self, data: bytes) -> None:
        temporary = self._folder / TEMPORARY_NAME
        try:
            # The new file is locked before it takes the name, so that at no moment the name stands for an unlocked one.
            new = _open_locked(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            _write_all(new, data)
            os.fsync(new)
            temporary.replace(self._path)
            _sync_folder(self._folder)
        except OSError as error:
            raise VotesFileError(f"{self._path}: {error.strerror}") from error
        os.close(self._file)
        self._file = new

    def close(self) -> None:
        os.close(self._file)


def _open_locked(path: Path, flags: int) -> int:
    file = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise VotesFileError(f"{path}: another process of this node is running") from error
    return file


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class VotesFile:
    """The gate over a log: asked before anything is signed, told before anything is sent."""

    def __init__(self, votes_log: VotesLog) -> None:
        self._log = votes_log
        data = votes_log.read()
        found = scan(data)
        if found.keep_bytes < len(data):
            log.warning("cut off a torn record of the vote file", bytes=len(data) - found.keep_bytes)
            votes_log.truncate(found.keep_bytes)
        if found.damaged:
            log.error("the vote file is damaged: this node signs no votes and no blocks", records=len(found.records))
        self._size = found.keep_bytes
        self.gate = VotesGate.of(found)

    @staticmethod
    def open(folder: Path) -> VotesFile:
        """The vote file of a node. Raises VotesFileError."""
        return VotesFile(PosixVotesLog(folder))

    def append(self, *records: Record) -> None:
        """Write records that the gate has noted, before anything that depends on them. Raises VotesFileError."""
        data = b"".join(record.encode() for record in records)
        if not data:
            return
        if self._size + len(data) > REWRITE_BYTES and not self.gate.observer:
            # The gate holds the new records already, so the rewritten file does too.
            content = b"".join(record.encode() for record in self.gate.compacted())
            if len(content) <= REWRITE_BYTES // 2:
                self._log.replace(content)
                self._size = len(content)
                self.gate.forget()
                return
        self._log.append(data)
        self._size += len(data)

    def last_authored(self, key: bytes) -> int | None:
        """The highest slot noted for a key."""
        return SLOT_NEVER if self.gate.observer else self.gate.last_slot.get(key)

    def note_authored(self, key: bytes, slot: int, block_hash: bytes) -> None:
        """Note that a key seals a block in a slot. On stable storage when it returns. Raises VotesFileError."""
        record = Record(RecordKind.AUTHORED, 0, slot, 0, block_hash, key, bytes(64))
        self.gate.note(record)
        self.append(record)

    def close(self) -> None:
        """Release the file and its lock."""
        self._log.close()
