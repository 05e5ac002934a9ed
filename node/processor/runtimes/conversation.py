"""What node and worker say to each other about one run, whatever carries the frames.

A worker is not trusted with more than its run: every frame is checked here, and the outcome against the spec.
"""

from __future__ import annotations

from typing import Any, Protocol

import trio

from node.processor.runtimes.outcome import (
    Failure,
    Outcome,
    OutOfResources,
    Resource,
    Status,
    blake2b256,
    failure_from,
)
from node.processor.runtimes.port import Callbacks, Fetch, WorkerCrashed
from node.processor.runtimes.spec import (
    DestinationRefused,
    FetchFailed,
    FetchRequest,
    RunSpec,
    SpecInvalid,
    pack_spec,
)

EMPTY_TAPE = b"\x90"  # msgpack of no entries


class WorkerLink(Protocol):
    """The frames to and from one worker."""

    async def send(self, *items: Any) -> None:
        """Write one frame; WorkerCrashed if the worker is gone."""

    async def receive(self) -> list[Any]:
        """Read one frame; WorkerCrashed at the end of its output or for a frame that is none."""


async def run_within_wall(worker: WorkerLink, spec: RunSpec, callbacks: Callbacks, id: str) -> tuple[Outcome, bool]:
    """The outcome of a run whose runtime has this id, and whether it ended in time; if not, its worker must go."""
    with trio.move_on_after(spec.limits.wall_ms / 1000) as wall:
        outcome = await _converse(worker, spec, callbacks, id)
    if wall.cancelled_caught:
        message = f"ran longer than {spec.limits.wall_ms} ms"
        return ended(id, OutOfResources(Resource.WALL), message, reproducible=False), False
    return outcome, True


async def _converse(worker: WorkerLink, spec: RunSpec, callbacks: Callbacks, id: str) -> Outcome:
    """Send the spec and answer frames until the outcome."""
    await worker.send("run", pack_spec(spec))
    while True:
        match await worker.receive():
            case ["progress", int(percent), str(note)]:
                if callbacks.on_progress is not None:
                    callbacks.on_progress(percent, note)
            case ["log", str(text)]:
                if callbacks.on_log is not None:
                    callbacks.on_log(text)
            case ["checkpoint", bytes(content)]:
                if callbacks.on_checkpoint is not None:
                    callbacks.on_checkpoint(content)
            case ["call", "fetch", dict(raw)]:
                await worker.send("reply", *await _answer_fetch(callbacks.fetch, raw))
            case ["call", "sign", bytes(content)]:
                signature = b"" if callbacks.sign is None else await callbacks.sign(content)
                await worker.send("reply", "ok", signature)
            case ["refused", str(text)]:
                raise SpecInvalid(text)
            case ["done", dict(raw)]:
                return read_outcome(spec, raw, id)
            case frame:
                raise WorkerCrashed(f"sent an unknown frame {str(frame[0])[:32]!r}")


async def _answer_fetch(fetch: Fetch | None, raw: dict[str, Any]) -> tuple[str, Any]:
    match raw:
        case {"method": str(method), "url": str(url), "headers": [*pairs], "body": bytes(body), "hosts": [*names]}:
            headers = tuple((str(name), str(value)) for name, value in pairs)
            request = FetchRequest(method, url, headers, body, tuple(map(str, names)))
        case _:
            raise WorkerCrashed("sent a malformed fetch")
    if fetch is None:
        return "refused", "this processor does no requests"
    try:
        reply = await fetch(request)
    except DestinationRefused as error:
        return "refused", str(error)
    except FetchFailed as error:
        return "failed", str(error)
    return "ok", [reply.status, [list(pair) for pair in reply.headers], reply.body]


def read_outcome(spec: RunSpec, raw: dict[str, Any], id: str) -> Outcome:
    """The `done` frame, checked against the spec and the runtime's id."""
    try:
        failed = raw.pop("failure")
        failure = failure_from(int(failed[0]), str(failed[1])) if failed is not None else None
        status = Status.SUCCEEDED if failure is None else Status.FAILED
        outcome = Outcome(status=status, failure=failure, **raw)
        consistent = (
            outcome.runtime_id == id
            and len(outcome.output) <= spec.limits.output_bytes
            and 0 <= outcome.fuel_used <= spec.limits.fuel
            and blake2b256(outcome.tape) == outcome.tape_hash
            and isinstance(outcome.logs, str)
            and isinstance(outcome.message, str)
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise WorkerCrashed("sent a malformed outcome") from error
    if not consistent:
        raise WorkerCrashed("sent an outcome past its limits")
    return outcome


def ended(id: str, failure: Failure, message: str, *, reproducible: bool) -> Outcome:
    """The outcome of a run that no worker finished."""
    return Outcome(
        runtime_id=id,
        status=Status.FAILED,
        output=b"",
        failure=failure,
        message=message,
        fuel_used=0,
        memory_peak=0,
        network_used=0,
        tape=EMPTY_TAPE,
        tape_hash=blake2b256(EMPTY_TAPE),
        logs="",
        reproducible=reproducible,
    )
