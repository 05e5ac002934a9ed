"""One run in a native sandbox: start it, answer its calls, and turn every end into an Outcome.

Called by the worker process only. The calls are those of the wasm runtimes, by the same code, so grants, quotas and the
tape are the same; requests leave through the node's egress guard. What the kernel counts takes fuel's place: a unit of
fuel is a nanosecond of processor time. Nothing here is reproducible elsewhere.
"""

from __future__ import annotations

import math
import os
import resource
import selectors
import socket
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass

from node.processor.runtimes.artifacts import SOURCES, runtime_id
from node.processor.runtimes.calls import CALL_NAME_BYTES_MAX, HostCalls, Link
from node.processor.runtimes.ended import RunEnded, over
from node.processor.runtimes.files import Storage
from node.processor.runtimes.native.bubblewrap import interpreter_command, interpreter_of, limited, start, walls
from node.processor.runtimes.native.syscalls import refusing_filter
from node.processor.runtimes.native.usage import Watch
from node.processor.runtimes.outcome import (
    AppError,
    Failure,
    Outcome,
    OutOfResources,
    Resource,
    RuntimeUnsupported,
    Status,
    blake2b256,
    clip_message,
)
from node.processor.runtimes.spec import OUTPUT_BYTES_MAX, RunSpec
from node.processor.runtimes.virtual import SeededRandom, VirtualClock

LENGTH_BYTES = 4
MESSAGE_BYTES_MAX = OUTPUT_BYTES_MAX + CALL_NAME_BYTES_MAX + 1
PART_BYTES_MAX = 1 << 16
NS = 1_000_000_000
SIGNALLED = 128
ABORTED = (SIGNALLED + 5, SIGNALLED + 6)
"""How Node.js ends when its heap is full: by a trap or an abort."""
CPU_LIMIT_REACHED = SIGNALLED + 24
CPU_GRACE_S = 2
"""The kernel's own limit, of whole seconds, comes after ours."""
NO_SPACE = ("[Errno 28]", "ENOSPC")
LOG_TAIL_CHARACTERS = 100


class NativeCalls(HostCalls):
    """The job API, with what a full /tmp looks like to a script."""

    def _runtime_failed(self, body: bytes) -> bytes:
        text = body.decode(errors="replace")
        if any(mark in text for mark in NO_SPACE):
            raise over(Resource.STORAGE, "the storage is full")
        return super()._runtime_failed(body)


@dataclass(slots=True)
class _Box:
    """A sandbox that has been started, and the two ways out of it."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    output: int
    descriptor: int
    heard: bool = False


def run_native(spec: RunSpec, link: Link) -> Outcome:
    """One run from start to end. Never raises for anything the script does."""
    calls = _calls(spec, link)
    interpreter = interpreter_of(spec.runtime)
    if interpreter is None:
        return _outcome(spec, calls, RuntimeUnsupported(), f"no interpreter for {spec.runtime} here", 0, 0)
    failure: Failure | None
    before = _children_cpu_ns()
    with ExitStack() as stack:
        box = _start(spec, interpreter.path, stack)
        watch = Watch(box.process.pid, box.descriptor, spec.limits, spec.limits.fuel)
        try:
            _serve(box, calls)
            failure, message = _exit_failure(spec, box, calls, watch)
        except RunEnded as ended:
            failure, message = ended.failure, ended.message
        finally:
            watch.close()
            watch.kill()
            box.process.wait()
    if watch.breach is not None and not isinstance(failure, OutOfResources):
        failure, message = watch.breach, f"used more {watch.breach.resource.value} than granted"
    used = max(watch.cpu_ns, _children_cpu_ns() - before)
    return _outcome(spec, calls, failure, message, used, watch.memory_peak)


def _calls(spec: RunSpec, link: Link) -> NativeCalls:
    storage = Storage(spec.limits.storage_bytes, spec.capabilities.storage)
    extra = {"entrypoint": (spec.entrypoint or "main").encode(), "script": spec.script}
    if spec.runtime == "native-node":
        extra["prelude"] = (SOURCES / "quickjs" / "prelude.js").read_bytes()
    return NativeCalls(spec, link, storage, VirtualClock(spec.now_ms), SeededRandom(spec.seed), extra)


def _start(spec: RunSpec, interpreter: str, stack: ExitStack) -> _Box:
    """The sandbox with its own start-up file in it. Everything of ours is closed with the stack."""
    native = SOURCES / "native"
    if spec.runtime == "native-python":
        files = {"/job/boot.py": native / "boot.py", "/job/api.py": SOURCES / "guest" / "boot.py"}
        contents = {path: source.read_bytes() for path, source in files.items()}
    else:
        contents = {"/job/boot.mjs": (native / "boot.mjs").read_bytes(), "/job/script.mjs": spec.script}
    data = {path: _memory_file(content, stack) for path, content in contents.items()}
    ours, theirs = socket.socketpair()
    stack.callback(ours.close)
    stack.callback(theirs.close)
    output, their_output = os.pipe()
    stack.callback(os.close, output)
    storage = spec.limits.storage_bytes if spec.capabilities.storage else 0
    filter_code = refusing_filter()
    refused = None if filter_code is None else _memory_file(filter_code, stack)
    command = [
        *walls(storage, data, refused),
        *limited(spec, spec.limits.fuel // NS + CPU_GRACE_S),
        *interpreter_command(spec, interpreter, theirs.fileno()),
    ]
    inherited = () if refused is None else (refused,)
    try:
        process = start(command, pass_fds=(theirs.fileno(), *data.values(), *inherited), output=their_output)
    finally:
        os.close(their_output)
    theirs.close()
    descriptor = os.pidfd_open(process.pid)
    stack.callback(os.close, descriptor)
    return _Box(process, ours, output, descriptor)


def _memory_file(content: bytes, stack: ExitStack) -> int:
    descriptor = os.memfd_create("heddle-job")
    stack.callback(os.close, descriptor)
    with os.fdopen(os.dup(descriptor), "wb") as stream:
        stream.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _serve(box: _Box, calls: HostCalls) -> None:
    """Answer calls and take what is printed until the sandbox is gone."""
    buffer = bytearray()
    with selectors.DefaultSelector() as ready:
        for source in (box.channel, box.output, box.descriptor):
            ready.register(source, selectors.EVENT_READ)
        gone = False
        while True:
            # Once it is gone what it left behind is still read, without waiting for more.
            found = [key.fd for key, _ in ready.select(0 if gone else None) if key.fd != box.descriptor or not gone]
            if gone and not found:
                return
            for descriptor in found:
                if descriptor == box.descriptor:
                    gone = True
                elif descriptor == box.output:
                    part = os.read(descriptor, PART_BYTES_MAX)
                    calls.print_out(part) if part else ready.unregister(descriptor)
                elif not _hear(box, calls, buffer):
                    ready.unregister(box.channel)


def _hear(box: _Box, calls: HostCalls, buffer: bytearray) -> bool:
    """Read from the channel and answer each whole message; False at its end."""
    try:
        part = box.channel.recv(PART_BYTES_MAX)
    except ConnectionError:
        return False
    if not part:
        return False
    buffer += part
    while len(buffer) >= LENGTH_BYTES:
        length = int.from_bytes(buffer[:LENGTH_BYTES], "little")
        if length > MESSAGE_BYTES_MAX:
            raise over(Resource.OUTPUT, f"a call of more than {MESSAGE_BYTES_MAX} bytes")
        if len(buffer) < LENGTH_BYTES + length:
            break
        message = bytes(buffer[LENGTH_BYTES : LENGTH_BYTES + length])
        del buffer[: LENGTH_BYTES + length]
        box.heard = True
        name = message[1 : 1 + message[0]] if message else b""
        ok, reply = calls.call(name.decode(errors="replace"), message[1 + len(name) :])
        result = len(reply) if ok else -1 - len(reply)
        try:
            box.channel.sendall(result.to_bytes(LENGTH_BYTES, "little", signed=True) + reply)
        except ConnectionError:
            return False
    return True


def _exit_failure(spec: RunSpec, box: _Box, calls: HostCalls, watch: Watch) -> tuple[Failure | None, str]:
    code = box.process.wait()
    if code == 0:
        return None, ""
    code = SIGNALLED - code if code < 0 else code
    if code == CPU_LIMIT_REACHED:
        return OutOfResources(Resource.COMPUTE), "the processor time is used up"
    if code in ABORTED and watch.memory_peak > spec.limits.memory_bytes // 2:
        return OutOfResources(Resource.MEMORY), "the heap is full"
    if not box.heard and watch.breach is None:
        told = bytes(calls.logs).decode(errors="replace").strip()[-LOG_TAIL_CHARACTERS:]
        return RuntimeUnsupported(), f"the sandbox did not start: {told}"
    return AppError(code & 0xFF or 1), f"exit {code}"


def _children_cpu_ns() -> int:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return math.ceil((used.ru_utime + used.ru_stime) * NS)


def _outcome(
    spec: RunSpec, calls: HostCalls, failure: Failure | None, message: str, cpu_ns: int, memory_peak: int
) -> Outcome:
    tape = calls.tape.encode()
    return Outcome(
        runtime_id=runtime_id(spec.runtime),
        status=Status.SUCCEEDED if failure is None else Status.FAILED,
        output=bytes(calls.output) if failure is None else b"",
        failure=failure,
        message=clip_message(message),
        fuel_used=min(cpu_ns, spec.limits.fuel),
        memory_peak=memory_peak,
        network_used=calls.network_used,
        tape=tape,
        tape_hash=blake2b256(tape),
        logs=bytes(calls.logs).decode(errors="replace"),
        reproducible=False,
    )
