"""The job API behind every language: one call with a name and bytes, one reply of bytes.

A reply is a value, an error text that the script may handle, or nothing at all (an absent value). What breaks a
budget or a grant is no reply: it ends the run (`ended.py`). Names are the same for C, JavaScript and Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from node.processor.runtimes.ended import RunEnded, over
from node.processor.runtimes.files import ENTRY_BYTES, Storage
from node.processor.runtimes.grants import RequestInvalid, format_reply, granted, parse_request
from node.processor.runtimes.outcome import (
    AppError,
    CapabilityDenied,
    Resource,
    ScriptInvalid,
    TapeInconsistent,
    clip_message,
)
from node.processor.runtimes.spec import (
    CHECKPOINT_BYTES_MAX,
    FETCH_REQUEST_BYTES_MAX,
    LOG_BYTES_MAX,
    SIGN_BYTES_MAX,
    DestinationRefused,
    FetchFailed,
    FetchReply,
    FetchRequest,
    RunSpec,
)
from node.processor.runtimes.tape import Replay, Tape, TapeDiffers, TapeEntry, TapeFull
from node.processor.runtimes.virtual import SeededRandom, VirtualClock

KEY_BYTES_MAX = 256
RANDOM_BYTES_MAX = 64 * 1024
PROGRESS_EVENTS_MAX = 1_000
CHECKPOINTS_MAX = 1_000
CALL_NAME_BYTES_MAX = 32
APP_CODE_MAX = 255


class CallError(Exception):
    """An error that the script gets as text and may handle."""


class Link(Protocol):
    """The way out of the sandbox: to the node's side of the worker."""

    def progress(self, percent: int, note: str) -> None: ...
    def log(self, text: str) -> None: ...
    def checkpoint(self, content: bytes) -> None: ...
    def fetch(self, request: FetchRequest) -> FetchReply: ...
    def sign(self, content: bytes) -> bytes: ...


class HostCalls:
    """The calls of one run and what they have used. `extra` are texts of the language's own runtime."""

    def __init__(
        self,
        spec: RunSpec,
        link: Link,
        storage: Storage,
        clock: VirtualClock,
        random: SeededRandom,
        extra: dict[str, bytes],
    ) -> None:
        self.output = bytearray()
        self.logs = bytearray()
        self.network_used = 0
        self.tape = Tape()
        self._spec = spec
        self._link = link
        self.replay = None if spec.replay is None else Replay(spec.replay)
        self._storage = storage
        self._clock = clock
        self._random = random
        self._extra = extra
        self._values: dict[bytes, bytes] = {}
        self._progress_events = 0
        self._checkpoints = 0
        self._calls: dict[str, Callable[[bytes], bytes | None]] = {
            "input": lambda _: spec.input,
            "output": self._output,
            "environment": self._environment,
            "job": self._job,
            "fetch": self._fetch,
            "storage.get": self._storage_get,
            "storage.set": self._storage_set,
            "storage.delete": self._storage_delete,
            "progress": self._progress,
            "log": self._log,
            "checkpoint": self._checkpoint,
            "restore": lambda _: spec.checkpoint,
            "now": lambda _: str(clock.read_ns() // 1_000_000).encode(),
            "random": self._random_bytes,
            "sign": self._sign,
            "fail": self._fail,
            "runtime.failed": self._runtime_failed,
        }

    def call(self, name: str, body: bytes) -> tuple[bool, bytes]:
        """(True, value), (False, error text), or (False, b"") for an absent value."""
        if name in self._extra:
            return True, self._extra[name]
        handler = self._calls.get(name)
        if handler is None:
            return False, f"no such call: {clip_message(name)}".encode()
        try:
            reply = handler(body)
        except (CallError, RequestInvalid) as error:
            return False, str(error).encode()
        return (True, reply) if reply is not None else (False, b"")

    def print_out(self, content: bytes) -> None:
        """What the guest writes to its standard streams, and every log line; both count against one cap."""
        if len(self.logs) + len(content) > LOG_BYTES_MAX:
            raise over(Resource.OUTPUT, f"more than {LOG_BYTES_MAX} bytes logged or printed")
        self.logs += content
        self._link.log(content.decode(errors="replace"))

    # -- the calls, in the order of the table above --------------------------------------------------------------

    def _output(self, body: bytes) -> bytes:
        if len(self.output) + len(body) > self._spec.limits.output_bytes:
            raise over(Resource.OUTPUT, f"output passes {self._spec.limits.output_bytes} bytes")
        self.output += body
        return b""

    def _environment(self, body: bytes) -> bytes | None:
        """Body: a name, for its value; or empty, for all as `name NUL value NUL ...`."""
        if not body:
            return _pairs(sorted(self._spec.environment.items()))
        value = self._spec.environment.get(_text(body))
        return value.encode() if value is not None else None

    def _job(self, body: bytes) -> bytes:
        job = self._spec.job
        numbers = (("execution", job.execution), ("slot", job.slot), ("attempt", job.attempt))
        return _pairs([("id", job.id), *((name, str(number)) for name, number in numbers)])

    def _fetch(self, body: bytes) -> bytes:
        hosts = self._spec.capabilities.fetch
        if not hosts:
            raise RunEnded(CapabilityDenied("fetch"), "a request without the fetch capability")
        if self.network_used >= self._spec.limits.network_requests:
            raise over(Resource.NETWORK, f"more than {self._spec.limits.network_requests} requests")
        if len(body) > FETCH_REQUEST_BYTES_MAX:
            raise CallError(f"request is longer than {FETCH_REQUEST_BYTES_MAX} bytes")
        request = parse_request(body, hosts)
        if not granted(hosts, request.url):
            raise RunEnded(CapabilityDenied("fetch"), f"host not granted: {request.url}")
        self.network_used += 1
        if self.replay is not None:
            return self._replayed("fetch", body)
        try:
            reply = format_reply(self._link.fetch(request))
        except FetchFailed as error:
            text = str(error).encode()
            self._record(TapeEntry("fetch", body, ok=False, reply=text))
            raise CallError(str(error)) from error
        except DestinationRefused as error:
            raise RunEnded(CapabilityDenied("fetch"), str(error)) from error
        self._record(TapeEntry("fetch", body, ok=True, reply=reply))
        return reply

    def _storage_get(self, body: bytes) -> bytes | None:
        if not self._storage.granted:
            raise RunEnded(CapabilityDenied("storage"), "a read without the storage capability")
        return self._values.get(body)

    def _storage_set(self, body: bytes) -> bytes:
        """Body: u32 length of the key, little-endian, the key, the value."""
        length = int.from_bytes(body[:4], "little")
        key, value = body[4 : 4 + length], body[4 + length :]
        if len(body) < 4 or len(key) != length or length > KEY_BYTES_MAX:
            raise CallError(f"key must be 0..{KEY_BYTES_MAX} bytes")
        old = self._values.get(key)
        self._storage.reserve(len(value) - len(old) if old is not None else ENTRY_BYTES + length + len(value))
        self._values[key] = value
        return b""

    def _storage_delete(self, body: bytes) -> bytes:
        self._storage.reserve(0)
        old = self._values.pop(body, None)
        if old is not None:
            self._storage.reserve(-ENTRY_BYTES - len(body) - len(old))
        return b""

    def _progress(self, body: bytes) -> bytes:
        """Body: a percentage, and optionally a space and a note. Past PROGRESS_EVENTS_MAX they are dropped."""
        percent, _, note = _text(body).partition(" ")
        if not percent.isascii() or not percent.isdecimal() or len(percent) > 3 or int(percent) > 100:
            raise CallError("progress must be 0..100")
        self._progress_events += 1
        if self._progress_events <= PROGRESS_EVENTS_MAX:
            self._link.progress(int(percent), clip_message(note))
        return b""

    def _log(self, body: bytes) -> bytes:
        self.print_out(body + b"\n")
        return b""

    def _checkpoint(self, body: bytes) -> bytes:
        if len(body) > CHECKPOINT_BYTES_MAX:
            raise CallError(f"checkpoint is longer than {CHECKPOINT_BYTES_MAX} bytes")
        self._checkpoints += 1
        if self._checkpoints > CHECKPOINTS_MAX:
            raise CallError(f"more than {CHECKPOINTS_MAX} checkpoints")
        self._link.checkpoint(body)
        return b""

    def _random_bytes(self, body: bytes) -> bytes:
        text = _text(body)
        if not text.isascii() or not text.isdecimal() or len(text) > 6 or int(text) > RANDOM_BYTES_MAX:
            raise CallError(f"random takes 0..{RANDOM_BYTES_MAX}")
        return self._random.take(int(text))

    def _sign(self, body: bytes) -> bytes:
        if not self._spec.capabilities.sign:
            raise RunEnded(CapabilityDenied("sign"), "a signature without the sign capability")
        if len(body) > SIGN_BYTES_MAX:
            raise CallError(f"message is longer than {SIGN_BYTES_MAX} bytes")
        if self.replay is not None:
            return self._replayed("sign", body)
        reply = self._link.sign(body)
        self._record(TapeEntry("sign", body, ok=True, reply=reply))
        return reply

    def _fail(self, body: bytes) -> bytes:
        """Body: a code 1..255, and optionally a space and a message."""
        code, _, message = _text(body).partition(" ")
        if not code.isascii() or not code.isdecimal() or not 1 <= int(code[:4]) <= APP_CODE_MAX:
            raise CallError(f"code must be 1..{APP_CODE_MAX}")
        raise RunEnded(AppError(int(code)), message)

    def _runtime_failed(self, body: bytes) -> bytes:
        """The language's runtime tells why a script ended. A script may call it too: it only names its own failure."""
        kind, _, message = _text(body).partition(" ")
        match kind:
            case "invalid":
                raise RunEnded(ScriptInvalid(), message)
            case "memory":
                raise over(Resource.MEMORY, message or "memory is full")
            case "stack":
                raise over(Resource.STACK, message or "recursion is too deep")
            case _:
                raise RunEnded(AppError(1), message)

    def _replayed(self, call: str, body: bytes) -> bytes:
        assert self.replay is not None, "only a replay answers"
        try:
            entry = self.replay.answer(call, body)
        except TapeDiffers as error:
            raise RunEnded(TapeInconsistent(), str(error)) from error
        self._record(entry)
        if not entry.ok:
            raise CallError(entry.reply.decode(errors="replace"))
        return entry.reply

    def _record(self, entry: TapeEntry) -> None:
        try:
            self.tape.append(entry)
        except TapeFull:
            raise over(Resource.NETWORK, "the tape of requests and replies is full") from None


def _pairs(items: list[tuple[str, str]]) -> bytes:
    return "".join(f"{name}\0{value}\0" for name, value in items).encode()


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise CallError("text is not UTF-8") from error


class CallChannel:
    """The calls as a device file, for Python: write `u8 name length, name, body`; read `i32, bytes`.

    The i32, little-endian, is the reply's length, or -1 - length where the bytes are an error text.
    """

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls
        self._reply = b""
        self._position = 0

    def write(self, frame: bytes) -> None:
        """Run one call; what was left of the last reply is gone."""
        name = frame[1 : 1 + frame[0]] if frame else b""
        ok, reply = self._calls.call(name.decode(errors="replace"), frame[1 + len(name) :])
        result = len(reply) if ok else -1 - len(reply)
        self._reply = result.to_bytes(4, "little", signed=True) + reply
        self._position = 0

    def read(self, length: int) -> bytes:
        """The next bytes of the reply."""
        content = self._reply[self._position : self._position + length]
        self._position += len(content)
        return content
