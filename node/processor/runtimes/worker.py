"""The worker process: `python -m node.processor.runtimes.worker CACHE_DIR`, frames on standard input and output.

The main thread reads frames; a second one, with a stack of its own size, runs guests. wasmtime releases the GIL, so
end of input - the node is gone - ends the process at once, even in the middle of a guest's endless loop. A run has no
effect outside this process but its frames: fetches and signatures are done by the node.
"""

from __future__ import annotations

import os
import queue
import resource
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from node.processor.runtimes.engine import THREAD_STACK_BYTES
from node.processor.runtimes.frames import LENGTH_BYTES, FrameInvalid, decode_body, encode_frame, frame_length
from node.processor.runtimes.native.sandbox import run_native
from node.processor.runtimes.outcome import Outcome, failure_fields
from node.processor.runtimes.sandbox import Sandbox
from node.processor.runtimes.spec import (
    LANGUAGES,
    MEMORY_BYTES_MAX,
    DestinationRefused,
    FetchFailed,
    FetchReply,
    FetchRequest,
    SpecInvalid,
    unpack_spec,
)

NICENESS = 10  # consensus on the same machine goes first
OPEN_FILES_MAX = 64
# The guest's own bound is wasmtime's; this one bounds the whole process. It is RLIMIT_DATA because wasmtime reserves
# 4 GiB of addresses for each memory: under RLIMIT_AS that must be lowered, and every access then pays a bounds check
# (CPython starts in twice the time).
DATA_BYTES_MAX = MEMORY_BYTES_MAX + (3 << 30)
EXIT_PROTOCOL = 3


class PipeLink:
    """The guest's way out: frames to the node, and for fetch and sign a wait for the reply."""

    def __init__(self, stream: BinaryIO, replies: queue.SimpleQueue[list[Any]]) -> None:
        self._stream = stream
        self._replies = replies

    def send(self, *items: Any) -> None:
        """Write one frame."""
        self._stream.write(encode_frame(*items))
        self._stream.flush()

    def progress(self, percent: int, note: str) -> None:
        self.send("progress", percent, note)

    def log(self, text: str) -> None:
        self.send("log", text)

    def checkpoint(self, content: bytes) -> None:
        self.send("checkpoint", content)

    def fetch(self, request: FetchRequest) -> FetchReply:
        self.send("call", "fetch", asdict(request))
        match self._replies.get():
            case ["reply", "ok", [int(status), list(headers), bytes(body)]]:
                return FetchReply(status, tuple((name, value) for name, value in headers), body)
            case ["reply", "refused", str(text)]:
                raise DestinationRefused(text)
            case ["reply", _, text]:
                raise FetchFailed(str(text))
            case _:
                raise FetchFailed("no reply")

    def sign(self, content: bytes) -> bytes:
        self.send("call", "sign", content)
        match self._replies.get():
            case ["reply", "ok", bytes(signature)]:
                return signature
            case _:
                return b""


def read_frame(stream: BinaryIO) -> list[Any] | None:
    """The next frame, or None at the end of input."""
    prefix = stream.read(LENGTH_BYTES)
    if len(prefix) < LENGTH_BYTES:
        return None
    length = frame_length(prefix)
    body = stream.read(length)
    return decode_body(body) if len(body) == length else None


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """An Outcome as plain values for the `done` frame."""
    fields = {name: getattr(outcome, name) for name in Outcome.__slots__ if name not in ("failure", "status")}
    kind, detail = failure_fields(outcome.failure)
    return {**fields, "failure": [int(kind), detail] if kind is not None else None}


def serve(cache_dir: Path, link: PipeLink, runs: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Run specs one after another, for the life of the process."""
    try:
        sandbox = Sandbox(cache_dir)
        link.send("ready")
        while True:
            raw = runs.get()
            try:
                spec = unpack_spec(raw)
                outcome = run_native(spec, link) if spec.runtime in LANGUAGES else sandbox.run(spec, link)
            except SpecInvalid as error:
                link.send("refused", str(error))
                continue
            link.send("done", outcome_fields(outcome))
    except BaseException:  # noqa: BLE001 - the supervisor of the thread
        # Whatever went wrong, the process must not live on without this thread.
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)


def limit_process() -> None:
    """Bounds of the process itself: priority, core files, open files, memory."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES_MAX, OPEN_FILES_MAX))
    resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES_MAX, DATA_BYTES_MAX))


def main() -> None:
    """Entry point of the process."""
    limit_process()
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a stray print must not land in the frames
    runs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    replies: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
    threading.stack_size(THREAD_STACK_BYTES)
    link = PipeLink(output, replies)
    threading.Thread(target=serve, args=(Path(sys.argv[1]), link, runs), daemon=True).start()
    while True:
        try:
            frame = read_frame(sys.stdin.buffer)
        except FrameInvalid:
            os._exit(EXIT_PROTOCOL)
        match frame:
            case None:
                os._exit(0)
            case ["run", dict(raw)]:
                runs.put(raw)
            case ["reply", *_]:
                replies.put(frame)
            case _:
                os._exit(EXIT_PROTOCOL)


if __name__ == "__main__":
    main()
