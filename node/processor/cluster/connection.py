"""The node's end of a bridge process: one pipe, and on it the frames of many runs.

A run is asked for each frame, so at most one waits here for each, and a slow run delays no other. When the bridge ends,
every run of it ends in WorkerCrashed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from typing import Any

import trio

from node.log import logger
from node.processor.cluster.errors import ClusterUnreachable, NoMachine, error_of
from node.processor.cluster.messages import BRIDGE_BYTES_MAX, STOP_TIMEOUT_S, Machine, unpack_machine
from node.processor.runtimes.artifacts import REPOSITORY
from node.processor.runtimes.framed_process import FramedProcess
from node.processor.runtimes.frames import FrameInvalid, decode_body, encode_frame
from node.processor.runtimes.launch import bare_environment, module_command
from node.processor.runtimes.port import NoRoom, WorkerCrashed
from node.processor.runtimes.spec import RunSpec

log = logger("processor")

BRIDGE_MODULE = "node.processor.cluster.bridge"
CONNECT_TIMEOUT_S = 120
SEND_TIMEOUT_S = 60
"""A bridge that takes no frame for this long hangs, and is ended."""
ANSWERS_MAX = 4


class Connection:
    """A bridge that is connected to a cluster, and the runs on it."""

    def __init__(self, bridge: FramedProcess, machines: tuple[Machine, ...]) -> None:
        self.machines = machines
        self.alive = True
        self.on_machines: Callable[[], None] = lambda: None
        """Called after the cluster has changed."""
        self._bridge = bridge
        self._sending = trio.Lock()
        self._runs: dict[int, trio.MemorySendChannel[list[Any]]] = {}
        self._numbers = 0

    @classmethod
    async def open(cls, address: str, token: str, cache_dir: str | None) -> Connection:
        """Start a bridge and have it connect; a ClusterError if it cannot."""
        variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0"}
        command = module_command(BRIDGE_MODULE, address, *([] if cache_dir is None else [cache_dir]))
        bridge = await FramedProcess.start(
            command, bare_environment(variables), REPOSITORY, bytes_max=BRIDGE_BYTES_MAX, errors=subprocess.DEVNULL
        )
        try:
            with trio.fail_after(CONNECT_TIMEOUT_S):
                frame = await bridge.receive()
                while frame[0] == "note":
                    log.warning("cluster", note=str(frame[1:]))
                    frame = await bridge.receive()
                match frame:
                    case ["cluster", [*machines]]:
                        connection = cls(bridge, tuple(map(unpack_machine, machines)))
                    case ["failed", str(kind), str(text)]:
                        raise error_of(kind, text)
                    case _:
                        raise ClusterUnreachable(f"the bridge to {address} broke the protocol")
            if not connection.machines:
                raise NoMachine(f"no machine of the cluster at {address} has a core and Heddle's runtimes")
        except (WorkerCrashed, FrameInvalid, trio.TooSlowError) as error:
            await bridge.kill()
            raise ClusterUnreachable(f"the bridge to {address} did not connect: {error}") from error
        except BaseException:
            await bridge.kill()
            raise
        return connection

    @property
    def pid(self) -> int:
        """The bridge's process id."""
        return self._bridge.process.pid

    async def serve(self) -> None:
        """Hand frames to their runs until the bridge ends; returns then."""
        try:
            while True:
                self._dispatch(await self._bridge.receive())
        except (WorkerCrashed, FrameInvalid, trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
            pass  # ended, or sent what it must not
        finally:
            await self.close()

    def _dispatch(self, frame: list[Any]) -> None:
        match frame:
            case ["cluster", [*machines]]:
                self.machines = tuple(map(unpack_machine, machines))
                self.on_machines()
            case ["note", str(text)]:
                log.warning("cluster", note=text)
            case [str(kind), int(number), *rest]:
                if number in self._runs:
                    self._runs[number].send_nowait([kind, *rest])
            case _:
                raise FrameInvalid("an answer to no run")

    async def close(self) -> None:
        """End the bridge, and with it every place of its runs."""
        self.alive = False
        await self._bridge.kill()
        for channel in self._runs.values():
            channel.close()
        self._runs.clear()

    async def say(self, *items: Any) -> None:
        """Write one frame, whole even if the caller is cancelled: others share the pipe."""
        try:
            with trio.CancelScope(shield=True), trio.fail_after(SEND_TIMEOUT_S):
                async with self._sending:
                    await self._bridge.send(*items)
        except trio.TooSlowError as error:
            await self.close()
            raise WorkerCrashed("is behind a bridge that hangs") from error

    async def place(self, spec: RunSpec, environment: Mapping[str, str]) -> RemoteWorker:
        """A worker somewhere in the cluster for this run; NoRoom if no machine has what it needs."""
        self._numbers += 1
        number = self._numbers
        if not self.alive:
            raise WorkerCrashed("has no cluster: the bridge ended")
        sender, receiver = trio.open_memory_channel[list[Any]](ANSWERS_MAX)
        self._runs[number] = sender
        worker = RemoteWorker(self, number, receiver)
        try:
            await self.say("open", number, spec.limits.memory_bytes, dict(environment))
            match await worker.answer():
                case ["opened", int(pid)]:
                    worker.pid = pid
                    return worker
                case ["refused", str(text)]:
                    self.forget(number)
                    raise NoRoom(text)
                case _:
                    raise WorkerCrashed("opened with what is no worker")
        except BaseException:
            await worker.end()
            raise

    def forget(self, number: int) -> None:
        """No answer to this run is expected any more."""
        if number in self._runs:
            self._runs.pop(number).close()

    def expects(self, number: int) -> bool:
        """Whether the run still has a place, as far as the node knows."""
        return number in self._runs


class RemoteWorker:
    """The frames to and from one worker of the cluster. `pid` counts on the worker's own machine."""

    def __init__(self, connection: Connection, number: int, answers: trio.MemoryReceiveChannel[list[Any]]) -> None:
        self.pid = 0
        self.used_ns = 0
        """Processor time of the worker, as its place says."""
        self._started_ns = 0
        self._connection = connection
        self._number = number
        self._answers = answers

    async def send(self, *items: Any) -> None:
        """Write one frame to the worker."""
        await self._connection.say("send", self._number, encode_frame(*items))

    async def receive(self) -> list[Any]:
        """Ask for one frame and read it; WorkerCrashed if place or worker is gone."""
        await self._connection.say("next", self._number)
        match await self.answer():
            case ["frame", int(used_ns), bytes(body)]:
                self.used_ns = max(self.used_ns, used_ns - self._started_ns)
                try:
                    return decode_body(body)
                except FrameInvalid as error:
                    raise WorkerCrashed(f"broke the protocol: {error}") from error
            case _:
                raise WorkerCrashed("is behind a bridge that broke the protocol")

    def count_from_here(self) -> None:
        """What the worker has used so far was its start, which says nothing of runs."""
        self._started_ns, self.used_ns = self.used_ns, 0

    async def answer(self) -> list[Any]:
        """The bridge's next answer for this run; WorkerCrashed for the end of it."""
        try:
            answer = await self._answers.receive()
        except trio.EndOfChannel:
            raise WorkerCrashed("has no cluster: the bridge ended") from None
        match answer:
            case ["ended", code, str(reason)]:
                self._connection.forget(self._number)
                raise WorkerCrashed("ended" if code is not None else reason, code if isinstance(code, int) else None)
            case _:
                return answer

    async def end(self) -> None:
        """End worker and place, and wait until they are gone, even under cancellation; the bridge goes if it must."""
        if not self._connection.expects(self._number):
            return
        with trio.CancelScope(shield=True):
            try:
                await self._connection.say("stop", self._number)
                with trio.fail_after(2 * STOP_TIMEOUT_S):
                    while True:
                        await self.answer()
            except WorkerCrashed:
                pass  # gone, which is what was asked for
            except trio.TooSlowError:
                await self._connection.close()
            finally:
                self._connection.forget(self._number)
