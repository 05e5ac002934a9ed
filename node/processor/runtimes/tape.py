"""The host-call tape: what came from outside the sandbox, exactly and in order.

A run is a function of its RunSpec and its tape. Entries are [call, request bytes, ok, reply bytes]; only calls whose
reply does not follow from the RunSpec are on it (fetch, sign). The tape is the msgpack list of entries.

Whoever runs the same RunSpec with the tape in the place of the world (`Replay`) must make the same calls in the same
order, byte for byte, up to the tape's end. Otherwise the tape is not of such a run: it is inconsistent.
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


class TapeDiffers(Exception):
    """The script did not ask what the tape answers."""


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


class Replay:
    """A tape that answers in the place of the world."""

    def __init__(self, tape: bytes) -> None:
        try:
            self._entries = decode_tape(tape)
            self._fault = ""
        except (TapeInvalid, TapeFull) as error:
            self._entries = []
            self._fault = str(error) or "tape is too long"
        self._place = 0

    def answer(self, call: str, request: bytes) -> TapeEntry:
        """The entry that answers this call. Raises TapeDiffers."""
        if self._fault or self._place == len(self._entries):
            raise TapeDiffers(self._fault or f"the tape has no entry {self._place}")
        entry = self._entries[self._place]
        if (entry.call, entry.request) != (call, request):
            raise TapeDiffers(f"the tape's entry {self._place} answers another call")
        self._place += 1
        return entry

    def rest(self) -> str:
        """What is wrong with a tape at which its run has ended here; empty if nothing is."""
        left = len(self._entries) - self._place
        return self._fault or (f"{left} entries of the tape are left" if left else "")
