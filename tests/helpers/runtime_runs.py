"""Running scripts in a real pool of workers, for tests."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import trio

from node.processor.runtimes.outcome import Outcome
from node.processor.runtimes.pool import RuntimePool
from node.processor.runtimes.spec import Capabilities, JobContext, Limits, RunSpec

SEED = bytes(range(32))
UNTIL_S = 30
NOW_MS = 1_800_000_000_000
LIMITS = Limits(
    fuel=3_000_000_000,
    memory_bytes=48 << 20,
    storage_bytes=1 << 20,
    network_requests=3,
    output_bytes=1 << 16,
    wall_ms=50_000,
)


def make_spec(runtime: str, script: str | bytes, **fields: Any) -> RunSpec:
    """A spec with this module's limits, seed and time. A field of Limits or Capabilities may be given by its name."""
    limits, capabilities = LIMITS, Capabilities()
    for name in list(fields):
        if hasattr(limits, name):
            limits = replace(limits, **{name: fields.pop(name)})
        elif hasattr(capabilities, name):
            capabilities = replace(capabilities, **{name: fields.pop(name)})
    spec = RunSpec(
        runtime=runtime,
        script=script.encode() if isinstance(script, str) else script,
        entrypoint="",
        input=b"",
        job=JobContext("job-1", execution=2, slot=1, attempt=3),
        limits=limits,
        capabilities=capabilities,
        seed=SEED,
        now_ms=NOW_MS,
    )
    return replace(spec, **fields)


async def run_each(specs: list[RunSpec], **callbacks: Any) -> list[Outcome]:
    """The outcomes of `specs`, one after another in one worker."""
    async with RuntimePool(1) as pool:
        return [await pool.run(spec, **callbacks) for spec in specs]


async def until(condition: Callable[[], bool]) -> None:
    """Return once `condition` holds; TooSlowError after UNTIL_S."""
    with trio.fail_after(UNTIL_S):
        while not condition():  # noqa: ASYNC110 - another process's state has no event
            await trio.sleep(0.02)


def outcomes(*specs: RunSpec, **callbacks: Any) -> list[Outcome]:
    """`run_each` from a test that is not async."""
    return trio.run(functools.partial(run_each, list(specs), **callbacks))
