"""The bridge process: `python -m node.processor.cluster.bridge ADDRESS [CACHE_DIR]`, frames on its input and output.

It is Ray's driver, so that the node is none: what Ray does when a cluster is lost - end the process - ends this one,
and the places of its runs with it. Of what the cluster answers only plain bytes are taken: a value that would have to
be unpickled is refused unread, since a place is trusted no more than a script. The token comes by the environment.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any, BinaryIO

from node.processor.cluster.errors import (
    ClusterError,
    ClusterOpen,
    ClusterUnreachable,
    RayMissing,
    TokenRefused,
    VersionDiffers,
)
from node.processor.cluster.messages import (
    BRIDGE_BYTES_MAX,
    MACHINES_MAX,
    PLACE_TIMEOUT_S,
    RAY_VERSION,
    RUN_CORES,
    RUNS_MAX,
    STOP_TIMEOUT_S,
    TEXT_CHARACTERS_MAX,
    WORKER_MEMORY_BYTES,
    Machine,
    no_room,
)
from node.processor.runtimes.frames import (
    LENGTH_BYTES,
    FrameInvalid,
    decode_body,
    encode_frame,
    frame_length,
)

RPC_TIMEOUT_S = 5
SLICE_MS = 200
"""How long one wait for an answer lasts before it is looked whether the run is still wanted."""
CENSUS_S = 5
DESCRIBE_TIMEOUT_S = 60
CALLS_AT_ONCE = 4
"""`read`, `send` and `stop` of a place are in threads of their own."""
RAW = b"RAW"
"""How Ray marks a value that is bytes and nothing else."""
EXIT_PROTOCOL = 3
PING = "/ray.rpc.NodeInfoGcsService/GetClusterId"
LOOPBACK_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Set to 0 it keeps Ray from taking another address of the machine where a loopback one was given."""


class PlaceLost(Exception):
    """The place of a run is gone, or sent what it must not."""


class Bridge:
    """Standard output for all threads, and the runs by number."""

    def __init__(self, output: BinaryIO, ray: Any, cache_dir: str | None) -> None:
        self.ray = ray
        self.cache_dir = cache_dir
        self.runs: dict[int, Run] = {}
        self.machines: dict[str, Machine] = {}
        """By Ray's id of them."""
        self._described: dict[str, Machine | None] = {}
        """What each machine said when it came; None for one that could not say what it has."""
        self._output = output
        self._lock = threading.Lock()

    def say(self, *items: Any) -> None:
        """Write one frame to the node."""
        with self._lock:
            self._output.write(encode_frame(*items, bytes_max=BRIDGE_BYTES_MAX))
            self._output.flush()

    def take(self, reference: Any, given_up: Callable[[], bool]) -> list[Any]:
        """The answer behind a reference, which must be bytes in our form; PlaceLost if it is not or never comes."""
        worker = self.ray._private.worker.global_worker.core_worker  # noqa: SLF001 - what is public would unpickle
        while True:
            try:
                data, metadata, *_ = worker.get_objects([reference], SLICE_MS)[0]
            except self.ray.exceptions.GetTimeoutError:
                if given_up():
                    raise PlaceLost("did not answer in time") from None
                continue
            except self.ray.exceptions.RayError as error:
                raise PlaceLost(str(error)[:TEXT_CHARACTERS_MAX]) from error
            if metadata != RAW or data is None:
                raise PlaceLost(f"answered with what is no bytes: {self._meaning(metadata)}")
            try:
                return decode_body(bytes(data))
            except FrameInvalid as error:
                raise PlaceLost(str(error)) from error

    def _meaning(self, metadata: bytes) -> str:
        """Ray's own name of an error, or the kind of value that was sent."""
        text = metadata[:32].decode(errors="replace")
        if not text.isdecimal():
            return text
        from ray.core.generated.common_pb2 import ErrorType

        return str(ErrorType.Name(int(text))) if int(text) in ErrorType.values() else text

    # Machines.

    def census(self) -> dict[str, Machine]:
        """The machines that are there now, asked once each for what they can run."""
        found: dict[str, Machine] = {}
        for node in self.ray.nodes()[:MACHINES_MAX]:
            name, has = str(node["NodeID"]), node["Resources"]
            if not node["Alive"] or int(has.get("CPU", 0)) < RUN_CORES:
                continue
            if name not in self._described:
                self._described[name] = self._describe(name, int(has["CPU"]), int(has.get("memory", 0)))
            known = self._described[name]
            if known is not None:
                found[name] = known
        for gone in self._described.keys() - {str(node["NodeID"]) for node in self.ray.nodes() if node["Alive"]}:
            self._described.pop(gone, None)
        return found

    def _describe(self, id: str, cores: int, memory_bytes: int) -> Machine | None:
        from node.processor.cluster.place import describe

        affinity = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(id, soft=False)
        task = self.ray.remote(describe).options(num_cpus=0, max_retries=0, scheduling_strategy=affinity)
        end = time.monotonic() + DESCRIBE_TIMEOUT_S
        try:
            match self.take(task.remote(self.cache_dir), lambda: time.monotonic() > end):
                case ["machine", str(kind), dict(ids), list(native), list(modules)]:
                    return Machine(cores, memory_bytes, kind, ids, tuple(native), tuple(modules))
        except PlaceLost as error:
            self.say("note", f"a machine of the cluster cannot run jobs: {error}")
        return None

    def count_machines(self) -> None:
        """Look at the cluster, and tell the node what has changed. For ever, in a thread of its own."""
        while True:
            found = self.census()
            if found != self.machines:
                self.machines = found
                self.say("cluster", [one.packed() for one in found.values()])
            time.sleep(CENSUS_S)


class Run(threading.Thread):
    """One run's place in the cluster, from `open` to `ended`."""

    def __init__(self, bridge: Bridge, number: int, memory_bytes: int, environment: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.commands: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._bridge = bridge
        self._memory_bytes = memory_bytes
        self._environment = environment
        self._place: Any = None
        self._opened = False
        self._stopping_since: float | None = None

    def run(self) -> None:
        """Serve the node's commands; whatever happens, the place is gone when `ended` is said."""
        code: int | None = None
        reason = "stopped"
        try:
            if not any(one.holds(self._memory_bytes) for one in self._bridge.census().values()):
                self._bridge.say("refused", self.number, no_room(self._memory_bytes))
                return
            self._open()
            code = self._serve()
        except PlaceLost as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - the supervisor of the thread: a lost cluster has many faces
            reason = f"{type(error).__name__}: {error}"
        finally:
            self._close()
            del self._bridge.runs[self.number]
        self._bridge.say("ended", self.number, code, reason[:TEXT_CHARACTERS_MAX])

    def stop(self) -> None:
        """From another thread: end the worker now, also in the middle of a wait for it."""
        self._stopping_since = time.monotonic()
        if self._opened:
            self._place.stop.remote()
        self.commands.put(("stop", b""))

    def _given_up(self) -> bool:
        since = self._stopping_since
        return since is not None and time.monotonic() - since > STOP_TIMEOUT_S

    def _open(self) -> None:
        """Have a place made for it. Cluster-wide Ray spreads them, and holds cores and memory for each."""
        from node.processor.cluster.place import Place

        made = (
            self._bridge.ray.remote(Place)
            .options(
                num_cpus=RUN_CORES,
                memory=self._memory_bytes + WORKER_MEMORY_BYTES,
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=CALLS_AT_ONCE,
                scheduling_strategy="SPREAD",
            )
            .remote(self._bridge.cache_dir, self._environment)
        )
        end = time.monotonic() + PLACE_TIMEOUT_S
        self._place = made
        match self._bridge.take(
            made.opened.remote(), lambda: self._stopping_since is not None or time.monotonic() > end
        ):
            case ["opened", int(pid)]:
                self._opened = True
                self._bridge.say("opened", self.number, pid)
            case _:
                raise PlaceLost("opened with what is no worker")

    def _serve(self) -> int | None:
        """Answer `next` after `next` until the worker ends or the node has enough; the worker's exit code."""
        while True:
            match self.commands.get():
                case ("send", frame):
                    self._place.send.remote(frame)
                case ("next", _):
                    match self._bridge.take(self._place.read.remote(), self._given_up):
                        case ["frame", int(used_ns), bytes(body)]:
                            self._bridge.say("frame", self.number, used_ns, body)
                        case ["ended", int(code)]:
                            return code
                        case _:
                            raise PlaceLost("sent what is no frame")
                case _:
                    return None

    def _close(self) -> None:
        """Wait until the worker is gone; then the place itself ends, by force."""
        if self._place is None:
            return
        end = time.monotonic() + STOP_TIMEOUT_S
        if self._opened:
            # A place that is gone has taken its worker along: that ends with its input.
            with suppress(PlaceLost):
                self._bridge.take(self._place.stop.remote(), lambda: time.monotonic() > end)
        self._bridge.ray.kill(self._place, no_restart=True)


def read_frame(stream: BinaryIO) -> list[Any] | None:
    """The next frame, or None at the end of input."""
    prefix = stream.read(LENGTH_BYTES)
    if len(prefix) < LENGTH_BYTES:
        return None
    length = frame_length(prefix, BRIDGE_BYTES_MAX)
    body = stream.read(length)
    return decode_body(body) if len(body) == length else None


def check_door(address: str, token: str) -> None:
    """One call of the cluster without a token, which must be refused, and one with ours, which must not.

    Ray itself would try a wrong token for twenty seconds and a wrong address for a minute.
    """
    import grpc

    def status(metadata: tuple[tuple[str, str], ...]) -> Any:
        with grpc.insecure_channel(address) as channel:
            call = channel.unary_unary(PING, request_serializer=bytes, response_deserializer=bytes)
            try:
                call(b"", timeout=RPC_TIMEOUT_S, metadata=metadata)
            except grpc.RpcError as error:
                return error.code()
            return grpc.StatusCode.OK

    match status(()):
        case grpc.StatusCode.UNAUTHENTICATED:
            pass
        case grpc.StatusCode.OK:
            raise ClusterOpen(f"the cluster at {address} takes work from anyone: start it with RAY_AUTH_MODE=token")
        case other:
            raise ClusterUnreachable(f"no Ray cluster answers at {address} ({other.name.lower()})")
    match status((("authorization", f"Bearer {token}"),)):
        case grpc.StatusCode.OK:
            return
        case grpc.StatusCode.UNAUTHENTICATED:
            raise TokenRefused(f"the cluster at {address} refuses the token: give the one it was started with")
        case other:
            raise ClusterUnreachable(f"the Ray cluster at {address} went silent ({other.name.lower()})")


def connect(address: str, token: str) -> Any:
    """Ray's module, connected; a ClusterError that says why not."""
    if find_spec("ray") is None:
        raise RayMissing
    check_door(address, token)
    host = address.rpartition(":")[0].strip("[]")
    try:
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if loopback:
        os.environ[LOOPBACK_VARIABLE] = "0"
    import ray

    if ray.__version__ != RAY_VERSION:
        raise VersionDiffers(f"ray {ray.__version__} is installed here, Heddle's extra is {RAY_VERSION}")
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, namespace="heddle")
    except RuntimeError as error:
        if str(error).startswith("Version mismatch"):
            told = " ".join(str(error).split())[:TEXT_CHARACTERS_MAX]
            raise VersionDiffers(f"the cluster's Ray or Python differs from ours: {told}") from error
        raise ClusterUnreachable(f"Ray at {address}: {error}"[:TEXT_CHARACTERS_MAX]) from error
    except ConnectionError as error:
        raise ClusterUnreachable(f"Ray at {address}: {error}"[:TEXT_CHARACTERS_MAX]) from error
    return ray


def serve(bridge: Bridge, stream: BinaryIO) -> None:
    """Do what the node says until its end of the pipe is closed. What it would never say ends the process."""
    while True:
        try:
            frame = read_frame(stream)
        except FrameInvalid:
            os._exit(EXIT_PROTOCOL)
        match frame:
            case None:
                os._exit(0)  # Ray ends the places of a driver that is gone
            case ["open", int(number), int(memory_bytes), dict(environment)] if (
                number not in bridge.runs and len(bridge.runs) < RUNS_MAX
            ):
                bridge.runs[number] = Run(bridge, number, memory_bytes, environment)
                bridge.runs[number].start()
            case ["stop", int(number)]:
                if run := bridge.runs.get(number):
                    run.stop()
            case ["send", int(number), bytes(body)]:
                if run := bridge.runs.get(number):
                    run.commands.put(("send", body))
            case ["next", int(number)]:
                if run := bridge.runs.get(number):
                    run.commands.put(("next", b""))
            case _:
                os._exit(EXIT_PROTOCOL)


def main() -> None:
    """Entry point of the process."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a stray print must not land in the frames
    address, cache_dir = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    try:
        ray = connect(address, os.environ["RAY_AUTH_TOKEN"])
    except ClusterError as error:
        body = encode_frame("failed", type(error).__name__, str(error))
        output.write(body)
        output.flush()
        os._exit(1)
    bridge = Bridge(output, ray, cache_dir)
    bridge.machines = bridge.census()
    bridge.say("cluster", [one.packed() for one in bridge.machines.values()])
    threading.Thread(target=bridge.count_machines, daemon=True).start()
    serve(bridge, sys.stdin.buffer)


if __name__ == "__main__":
    main()
