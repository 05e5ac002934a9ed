"""The executor: every end of a run becomes the chain's class, and replicas agree to the byte."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from node.blobs import Blobs, BlobStore
from node.keys.pair import from_uri
from node.processor.executor import Executor, Finished, Work, chain_failure, signing_message
from node.processor.runtimes import outcome as runs
from node.processor.runtimes.port import Pool
from pallets.jobs import failure as classes
from pallets.jobs.bounds import INLINE_BYTES_MAX, MESSAGE_BYTES_MAX
from pallets.jobs.report import BlobOutput, Failed, InlineOutput, Succeeded
from pallets.jobs.types import (
    NO_CAPABILITIES,
    Blob,
    BlobInput,
    InlineInput,
    JobSpec,
    Quorum,
    Reexecution,
    RuntimeKind,
    Trusted,
)
from runtime.crypto import Scheme, verify
from tests.helpers.chain_lab import FIRST_SLOT, SLOT_MS
from tests.helpers.processor_lab import ProcessorLab
from tests.sim.network import Switchboard

OpenPool = Callable[..., AbstractAsyncContextManager[Pool]]

JOB = bytes(range(32))
SEED = bytes(reversed(range(32)))
FIGURES = b"""
import random, time

def main(heddle):
    words = {"warp", "weft", "heddle", "shed", "reed"}
    return [list(words), hash("warp"), random.random(), time.time(), heddle.random(8).hex(), heddle.job["execution"]]
"""


def with_pools(open_pool: OpenPool, test: Callable[..., Awaitable[None]], folder: Path, *hash_seeds: str) -> None:
    """Run a test with an executor for each hash seed; they share nothing."""

    async def run() -> None:
        executors = []
        async with AsyncExitStack() as stack:
            for hash_seed in hash_seeds or ("0",):
                pool = await stack.enter_async_context(open_pool(1, environment={"PYTHONHASHSEED": hash_seed}))
                blobs = Blobs(BlobStore(folder / hash_seed), Switchboard(0).join(hash_seed))
                executors.append(Executor(blobs, pool, None, 1))
            await test(*executors)

    trio.run(run)


def work(executor: Executor, folder: Path, kind: RuntimeKind, script: bytes, **fields: Any) -> Work:
    """An execution of a script that is in the executor's store."""
    spec = job(folder, kind=kind, script=Blob(executor.blobs.store.put(script), len(script)), **fields)
    return Work(JOB, SEED, spec, execution=3, slot=1, attempt=2, due_ms=FIRST_SLOT * SLOT_MS)


def job(folder: Path, *, kind: RuntimeKind = RuntimeKind.PYTHON, **fields: Any) -> JobSpec:
    """A job specification with the lab's defaults."""
    spec = ProcessorLab(folder / "lab").spec(runtime=kind)
    resources = replace(spec.resources, fuel=2_000_000_000)
    entrypoint = "" if kind is RuntimeKind.WASM else "main"
    return replace(spec, **{"resources": resources, "entrypoint": entrypoint, **fields})


def succeeded(finished: Finished) -> Succeeded:
    """The outcome of a run that must have succeeded."""
    assert isinstance(finished.outcome, Succeeded), finished.outcome
    return finished.outcome


def test_replicas_agree_under_any_hash_seed(open_pool: OpenPool, tmp_path: Path) -> None:
    """Two pools with different PYTHONHASHSEED, slot and attempt: the same output, digest and fuel."""

    async def test(first: Executor, second: Executor) -> None:
        one = work(first, tmp_path, RuntimeKind.PYTHON, FIGURES, input=InlineInput(b"input"))
        second.blobs.store.put(FIGURES)
        other = replace(one, slot=2, attempt=1)
        found = [await executor.run(item) for executor, item in ((first, one), (second, other))]
        assert found[0] == found[1]
        assert succeeded(found[0]).fuel > 0
        changed = succeeded(await first.run(replace(one, execution=4)))
        assert changed.digest != succeeded(found[0]).digest

    with_pools(open_pool, test, tmp_path, "1", "2")


def test_compared_scripts_do_not_see_what_differs_between_replicas(tmp_path: Path) -> None:
    """Where results are compared slot and attempt are 0 and nothing is signed; elsewhere they are as they are."""
    capabilities = replace(NO_CAPABILITIES, sign=True)
    spec = job(tmp_path, capabilities=capabilities)
    seen = []
    for mode in (Trusted(), Quorum(1), Reexecution(600_000)):
        given = Executor.run_spec(
            Work(JOB, SEED, replace(spec, verification=mode), execution=3, slot=1, attempt=2, due_ms=1), b"", b""
        )
        seen.append((given.job.execution, given.job.slot, given.job.attempt, given.capabilities.sign))
    assert seen == [(3, 1, 2, True), (3, 0, 0, False), (3, 0, 0, False)]


def test_chance_is_the_jobs_and_the_executions(tmp_path: Path) -> None:
    """The seed of a run follows from the job's seed and the execution alone."""
    one = Work(JOB, SEED, job(tmp_path), execution=3, slot=1, attempt=2, due_ms=1)
    seeds = {Executor.run_spec(item, b"", b"").seed for item in (one, replace(one, slot=0, attempt=1, due_ms=2))}
    assert len(seeds) == 1
    for item in (replace(one, seed=JOB), replace(one, execution=4)):
        assert Executor.run_spec(item, b"", b"").seed not in seeds


def test_large_outputs_go_to_the_blob_store(open_pool: OpenPool, tmp_path: Path) -> None:
    """Up to the inline limit the output is on chain, beyond it a blob that this node keeps; both are stored here."""

    async def test(executor: Executor) -> None:
        for size in (INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1):
            script = f"export function main() {{ return 'x'.repeat({size}) }}".encode()
            finished = await executor.run(work(executor, tmp_path, RuntimeKind.JAVASCRIPT, script))
            output, expected = succeeded(finished).output, b"x" * size
            assert finished.output == expected
            if size > INLINE_BYTES_MAX:
                assert isinstance(output, BlobOutput)
                assert executor.blobs.store.get(output.blob.cid) == expected
                assert output.blob.size == size
            else:
                assert output == InlineOutput(expected)

    with_pools(open_pool, test, tmp_path)


def test_ends_of_runs_become_the_chains_classes(open_pool: OpenPool, tmp_path: Path) -> None:
    """An error of the script, an invalid script, a used-up budget, a missing grant: each has its class and message."""
    cases: list[tuple[bytes, classes.Failure]] = [
        (b"export function main() { throw new Error('" + b"long " * 100 + b"') }", classes.AppError(1)),
        (b"export function main( {", classes.ScriptInvalid()),
        (b"export function main() { for (;;) {} }", classes.OutOfResources(classes.Resource.COMPUTE)),
        (b"export async function main(h) { await h.fetch('http://example.com') }", classes.CapabilityDenied("fetch")),
    ]

    async def test(executor: Executor) -> None:
        for script, expected in cases:
            finished = await executor.run(work(executor, tmp_path, RuntimeKind.JAVASCRIPT, script))
            assert isinstance(finished.outcome, Failed)
            assert finished.outcome.failure == expected
            assert 0 < len(finished.outcome.message.encode()) <= MESSAGE_BYTES_MAX
            assert finished.output is None

    with_pools(open_pool, test, tmp_path)


def test_what_is_missing_is_no_fault_of_the_script(open_pool: OpenPool, tmp_path: Path) -> None:
    """A script or input that nobody has cannot be promised, and a run without it ends as InputUnavailable."""
    absent = Blob(b"\x01\x55\x12\x20" + bytes(32), 10)

    async def test(executor: Executor) -> None:
        whole = work(executor, tmp_path, RuntimeKind.PYTHON, FIGURES)
        assert await executor.prefetch(whole.spec)
        for spec in (replace(whole.spec, script=absent), replace(whole.spec, input=BlobInput(absent))):
            assert not await executor.prefetch(spec)
            outcome = (await executor.run(replace(whole, spec=spec))).outcome
            assert isinstance(outcome, Failed)
            assert outcome.failure == classes.InputUnavailable()

    with_pools(open_pool, test, tmp_path)


def test_a_blob_of_another_size_than_declared_is_not_taken(open_pool: OpenPool, tmp_path: Path) -> None:
    """A job pays for the sizes that it declares: a longer script or input is one that cannot be had."""

    async def test(executor: Executor) -> None:
        whole = work(executor, tmp_path, RuntimeKind.PYTHON, FIGURES)
        script = whole.spec.script
        for size in (script.size - 1, script.size + 1):
            wrong = Blob(script.cid, size)
            for spec in (replace(whole.spec, script=wrong), replace(whole.spec, input=BlobInput(wrong))):
                assert not await executor.prefetch(spec)
                outcome = (await executor.run(replace(whole, spec=spec))).outcome
                assert isinstance(outcome, Failed)
                assert outcome.failure == classes.InputUnavailable()

    with_pools(open_pool, test, tmp_path)


def test_a_wall_limit_is_the_jobs_duration(open_pool: OpenPool, tmp_path: Path) -> None:
    """A run with plenty of fuel ends with its duration, as a wall limit."""

    async def test(executor: Executor) -> None:
        endless = work(executor, tmp_path, RuntimeKind.JAVASCRIPT, b"export function main() { for (;;) {} }")
        spec = endless.spec
        schedule = replace(spec.schedule, duration_ms=300)
        resources = replace(spec.resources, fuel=1 << 48)
        outcome = (
            await executor.run(replace(endless, spec=replace(spec, schedule=schedule, resources=resources)))
        ).outcome
        assert isinstance(outcome, Failed)
        assert outcome.failure == classes.OutOfResources(classes.Resource.WALL)

    with_pools(open_pool, test, tmp_path)


@pytest.mark.parametrize("resource", list(runs.Resource))
def test_every_budget_has_its_class(resource: runs.Resource) -> None:
    """The sandbox's resources and the chain's have the same names."""
    assert chain_failure(runs.OutOfResources(resource)) == classes.OutOfResources(classes.Resource[resource.name])


@pytest.mark.parametrize(
    ("field", "value"), [("memory_bytes", 64 << 30), ("storage_bytes", 1 << 40)], ids=["memory", "storage"]
)
def test_limits_beyond_the_sandbox_are_not_accepted(
    open_pool: OpenPool, tmp_path: Path, field: str, value: int
) -> None:
    """What the chain allows and this sandbox does not is refused before it is promised."""

    async def test(executor: Executor) -> None:
        spec = job(tmp_path)
        assert executor.accepts(spec)
        assert not executor.accepts(replace(spec, resources=replace(spec.resources, **{field: value})))
        assert not executor.accepts(replace(spec, runtime=RuntimeKind.NATIVE))

    with_pools(open_pool, test, tmp_path)


def test_a_signature_names_the_job(open_pool: OpenPool, tmp_path: Path) -> None:
    """What a script has signed verifies by the processor's account, for its own job and execution only."""
    pair = from_uri("//Ferdie")
    script = b"export function main() { return heddle.sign('paid') }"

    async def test(executor: Executor) -> None:
        executor.sign = pair.sign
        granted = replace(NO_CAPABILITIES, sign=True)
        item = work(executor, tmp_path, RuntimeKind.JAVASCRIPT, script, capabilities=granted)
        output = succeeded(await executor.run(item)).output
        assert isinstance(output, InlineOutput)
        message = signing_message(JOB, 3, b"paid")
        assert verify(Scheme.ED25519, pair.public, message, output.data)
        assert not verify(Scheme.ED25519, pair.public, signing_message(JOB, 4, b"paid"), output.data)
        assert not verify(Scheme.ED25519, pair.public, b"paid", output.data)

    with_pools(open_pool, test, tmp_path)
