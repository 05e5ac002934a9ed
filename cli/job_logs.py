"""What a job's script prints and logs, as its processor has it: read to its end, or followed while the script runs."""

import codecs
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cli.chain_client import bytes_of
from cli.errors import NotFound, TimedOut
from cli.job_timeline import ENDED
from cli.rpc_client import RpcClient, RpcError

POLL_S = 1.0
SILENCE_MAX_S = 600.0
LOG_UNAVAILABLE = 5104
STARTED = ("running", "suspect", "committed", "reported", "accepted", "rejected", "failed", "lost", "timed_out")


@dataclass(frozen=True)
class Run:
    """One attempt whose log is wanted."""

    job: int
    execution: int
    slot: int
    attempt: int


def choose(rpc: RpcClient, job: int, execution: int | None, slot: int | None, attempt: int | None) -> Run | None:
    """The latest attempt that has begun, among those asked for; None if none has yet."""
    begun = [
        Run(job, one["execution"], one["slot"], _begun_attempt(one))
        for one in rpc.call("jobs_executions", job)
        if _begun_attempt(one) and execution in (None, one["execution"]) and slot in (None, one["slot"])
    ]
    latest = max(begun, key=lambda run: (run.execution, -run.slot), default=None)
    if latest is None or attempt is None:
        return latest
    return Run(job, latest.execution, latest.slot, attempt)


def _begun_attempt(record: dict[str, Any]) -> int:
    """The number of an execution's latest attempt that has begun, 0 if none has."""
    attempt: int = record["attempt"]
    return attempt if record["state"] in STARTED else attempt - 1


def read(rpc: RpcClient, run: Run) -> tuple[str, bool]:
    """All of a log that is there by now, and whether that is all of it; NotFound if nobody has it."""
    data, over = bytearray(), False
    while True:
        part = _part(rpc, run, len(data))
        data += bytes_of(part["data"])
        over = part["over"]
        if len(data) >= part["total"]:
            return data.decode(errors="replace"), over


def follow(rpc: RpcClient, run: Run, silence_max_s: float = SILENCE_MAX_S) -> Iterator[str]:
    """A log as it grows, to its end. Raises TimedOut when nothing comes for long, NotFound if nobody has it."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    offset, heard_s = 0, time.monotonic()
    while True:
        part = _part(rpc, run, offset)
        data = bytes_of(part["data"])
        offset += len(data)
        if data:
            heard_s = time.monotonic()
            yield decoder.decode(data)
        if offset < part["total"]:
            continue
        if part["over"]:
            yield decoder.decode(b"", final=True)
            return
        if time.monotonic() - heard_s > silence_max_s:
            raise TimedOut(f"nothing was logged for {silence_max_s:.0f} s", "see `heddle job watch`")
        time.sleep(POLL_S)


def wait_for_run(
    rpc: RpcClient, job: int, execution: int | None, slot: int | None, attempt: int | None, timeout_s: float
) -> Run:
    """The attempt asked for, once it has begun; NotFound if the job ends without."""
    end_s = time.monotonic() + timeout_s
    while True:
        ended = rpc.call("jobs_get", job)["job"]["state"] in ENDED
        run = choose(rpc, job, execution, slot, attempt)
        if run is not None:
            return run
        if ended:
            raise nothing_begun(job, "it has ended")
        if time.monotonic() > end_s:
            raise TimedOut(f"job {job} has not begun within {timeout_s:.0f} s", f"ask `heddle job why {job}`")
        time.sleep(POLL_S)


def nothing_begun(job: int, why: str) -> NotFound:
    """No attempt has begun that was asked for."""
    return NotFound(f"no such run of job {job} has begun: {why}", f"see `heddle job timeline {job}`")


def _part(rpc: RpcClient, run: Run, offset: int) -> dict[str, Any]:
    try:
        part: dict[str, Any] = rpc.call("jobs_logs", run.job, run.execution, run.slot, run.attempt, offset)
    except RpcError as error:
        if error.code == LOG_UNAVAILABLE:
            place = f"attempt {run.attempt} at execution {run.execution} on slot {run.slot}"
            hint = "its processor keeps the latest thousand, and must be a peer of the node that is asked"
            raise NotFound(f"nobody has the log of {place}", hint) from error
        raise
    return part
