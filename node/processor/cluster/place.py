"""What runs on the machines of the cluster: one Place for each run, with the worker process that holds the sandbox.

A Place is a pipe with a name: it starts the worker, hands frames on unread, and ends it. Its answers are bytes, which
Ray moves as they are; anything else the bridge refuses unread. The worker never sees Ray, nor the cluster's token.
"""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from node.processor.cluster.messages import BRIDGE_BYTES_MAX
from node.processor.runtimes.artifacts import REPOSITORY, default_cache_dir, runtime_id
from node.processor.runtimes.engine import available
from node.processor.runtimes.frames import LENGTH_BYTES, FrameInvalid, encode_body, frame_length
from node.processor.runtimes.launch import bare_environment, cpu_ns, worker_command
from node.processor.runtimes.native.bubblewrap import native_modules
from node.processor.runtimes.native.offered import native_runtimes
from node.processor.runtimes.spec import RUNTIME_NAMES


def describe(cache_dir: str | None) -> bytes:
    """What this machine can run: kind, runtime ids, native runtimes, their modules."""
    folder = default_cache_dir() if cache_dir is None else Path(cache_dir)
    native = native_runtimes()
    names = [*(name for name in RUNTIME_NAMES if available(name, folder)), *native]
    ids = {name: runtime_id(name) for name in names}
    return encode_body("machine", platform.machine(), ids, list(native), list(native_modules(native)))


class Place:
    """One worker process of this machine. `read` waits in one thread while `send` and `stop` come in others."""

    def __init__(self, cache_dir: str | None, environment: dict[str, str]) -> None:
        self._worker = subprocess.Popen(
            worker_command(default_cache_dir() if cache_dir is None else Path(cache_dir)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=bare_environment(environment),
            cwd=REPOSITORY,
        )

    def opened(self) -> bytes:
        """The worker's process id, once it is there."""
        return encode_body("opened", self._worker.pid)

    def read(self) -> bytes:
        """The worker's next frame and its processor time so far; at the end of its output its exit code."""
        assert self._worker.stdout is not None
        try:
            prefix = self._worker.stdout.read(LENGTH_BYTES)
            if len(prefix) == LENGTH_BYTES:
                length = frame_length(prefix)
                body = self._worker.stdout.read(length)
                if len(body) == length:
                    used_ns = cpu_ns(self._worker.pid)
                    return encode_body("frame", used_ns, body, bytes_max=BRIDGE_BYTES_MAX)
        except FrameInvalid:
            self._worker.kill()
        return encode_body("ended", self._worker.wait())

    def send(self, frame: bytes) -> None:
        """Write a frame to the worker. One that is gone shows in `read`."""
        assert self._worker.stdin is not None
        try:
            self._worker.stdin.write(frame)
            self._worker.stdin.flush()
        except OSError:
            self._worker.kill()

    def stop(self) -> bytes:
        """End the worker; the answer comes when it is gone."""
        self._worker.kill()
        return encode_body("ended", self._worker.wait())
