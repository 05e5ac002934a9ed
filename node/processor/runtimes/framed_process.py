"""A process of ours that is spoken to in frames: a worker, or the bridge to a cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from node.processor.runtimes.frames import (
    FRAME_BYTES_MAX,
    LENGTH_BYTES,
    FrameInvalid,
    decode_body,
    encode_frame,
    frame_length,
)
from node.processor.runtimes.port import WorkerCrashed

EXIT_WAIT_MS = 1_000
PIPE_BYTES_MAX = 1 << 16


class FramedProcess:
    """One process and the frames to and from it. `runs` and `frames` count what it was given and has sent."""

    def __init__(self, process: trio.Process, bytes_max: int) -> None:
        self.process = process
        self.runs = 0
        self.frames = 0
        self._bytes_max = bytes_max
        self._buffer = bytearray()

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        bytes_max: int = FRAME_BYTES_MAX,
        errors: int | None = None,
    ) -> FramedProcess:
        """A new process. Its standard error is this one's, or goes to `errors`."""
        process = await trio.lowlevel.open_process(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=dict(environment),
            cwd=folder,
        )
        return cls(process, bytes_max)

    async def send(self, *items: Any) -> None:
        """Write one frame; WorkerCrashed if the process is gone."""
        assert self.process.stdin is not None
        try:
            await self.process.stdin.send_all(encode_frame(*items, bytes_max=self._bytes_max))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise WorkerCrashed("closed its input", await self._exit_code()) from error

    async def receive(self) -> list[Any]:
        """Read one frame; WorkerCrashed at the end of its output or for a frame that is none."""
        try:
            length = frame_length(await self._take(LENGTH_BYTES), self._bytes_max)
            body = decode_body(await self._take(length))
        except FrameInvalid as error:
            raise WorkerCrashed(f"broke the protocol: {error}") from error
        self.frames += 1
        return body

    async def _take(self, length: int) -> bytes:
        assert self.process.stdout is not None
        while len(self._buffer) < length:
            part = await self.process.stdout.receive_some(PIPE_BYTES_MAX)
            if not part:
                raise WorkerCrashed("ended", await self._exit_code())
            self._buffer += part
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    async def _exit_code(self) -> int | None:
        with trio.move_on_after(EXIT_WAIT_MS / 1000):
            await self.process.wait()
        return self.process.returncode

    async def kill(self) -> None:
        """End the process and wait until it is gone, even under cancellation."""
        with trio.CancelScope(shield=True):
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    await trio.aclose_forcefully(stream)
