"""The host-call tape: what came from outside the sandbox, exactly and in order.

A run is a function of its RunSpec and its tape. Entries are [call, request bytes, ok, reply bytes]; only calls whose
reply does not follow from the RunSpec are on it (fetch, sign). The tape is the msgpack list of entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgpack

from node.processor.runtimes.spec import TAPE_BYTES_MAX

_ENTRY_OVERHEAD_BYTES = 32  # more than msgpack adds to one entry


@dataclass(frozen=True, slots=True)
class TapeEntry:
    """One call: `request` and `reply` are the bytes the script gave and got; `ok` is false for an error reply."""

    call: str
    request: bytes
    ok: bool
    reply: bytes


class TapeFull(Exception):
    """The next entry would pass TAPE_BYTES_MAX."""


class TapeInvalid(ValueError):
    """Not a tape."""


class Tape:
    """A tape being recorded."""

    def __init__(self) -> None:
        self.entries: list[TapeEntry] = []
        self.size_bytes = 0

    def append(self, entry: TapeEntry) -> None:
        """Add one entry, or raise TapeFull and stay as it was."""
        size = len(entry.request) + len(entry.reply) + _ENTRY_OVERHEAD_BYTES
        if self.size_bytes + size > TAPE_BYTES_MAX:
            raise TapeFull
        self.entries.append(entry)
        self.size_bytes += size

    def encode(self) -> bytes:
        """The tape's bytes, whose hash a report publishes."""
        return bytes(msgpack.packb([[e.call, e.request, e.ok, e.reply] for e in self.entries]))


def decode_tape(data: bytes) -> list[TapeEntry]:
    """The entries of a tape; TapeInvalid if it is none, or not in its one canonical form."""
    if len(data) > TAPE_BYTES_MAX:
        raise TapeInvalid(f"tape has {len(data)} bytes, allowed is {TAPE_BYTES_MAX}")
    try:
        rows = msgpack.unpackb(data)
    except (ValueError, msgpack.UnpackException) as error:
        raise TapeInvalid("tape is not msgpack") from error
    tape = Tape()
    if not isinstance(rows, list):
        raise TapeInvalid("tape is not a list")
    for row in rows:
        match row:
            case [str(call), bytes(request), bool(ok), bytes(reply)]:
                tape.append(TapeEntry(call, request, ok, reply))
            case _:
                raise TapeInvalid("tape entry is not [call, request, ok, reply]")
    if tape.encode() != data:
        raise TapeInvalid("tape is not canonical")
    return tape.entries
