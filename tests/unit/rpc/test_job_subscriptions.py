"""Many subscriptions to jobs at once: what each costs, and how many there may be."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import trio
import trio.testing

from node.rpc.api.job_events import FOLLOWERS_MAX
from node.rpc.errors import TOO_MANY_SUBSCRIPTIONS, RpcError
from runtime.heddle import Heddle
from tests.helpers.chain_lab import BOB, Lab
from tests.unit.rpc.test_jobs_api import Client, Work

METHODS = ("jobs_subscribe", "jobs_subscribeOwner")
MANY = 20


def runtimes() -> int:
    """How many runtimes there are in this process."""
    gc.collect()
    return sum(isinstance(one, Heddle) for one in gc.get_objects())


@pytest.mark.parametrize("method", METHODS)
def test_subscriptions_share_one_runtime(tmp_path: Path, method: str) -> None:
    """A runtime is nearly a megabyte and tens of milliseconds: no subscription makes one of its own."""

    async def run() -> None:
        lab = Lab(tmp_path)
        client, work = Client(lab), Work(lab)
        await work.register()
        lab.look()
        async with trio.open_nursery() as nursery:
            before = runtimes()
            for _ in range(MANY):
                await client.subscribe(nursery, 0 if method == "jobs_subscribe" else None, method=method)
            assert runtimes() == before
            work.send(BOB, "Jobs", "cancel", 0)
            await work.blocks()
            await trio.testing.wait_all_tasks_blocked()
            told = [push for push in client.pushed if push["kind"] in ("view", "job")]
            assert len(told) == 2 * MANY  # before the cancellation, and after it
            nursery.cancel_scope.cancel()

    trio.run(run)


def test_there_is_an_end_of_subscriptions(tmp_path: Path) -> None:
    """All connections together have so many; one that was closed makes room, and so does one that has told the end."""

    async def run() -> None:
        lab = Lab(tmp_path)
        client, work = Client(lab), Work(lab)
        await work.register()
        async with trio.open_nursery() as nursery:
            first = await client.subscribe(nursery, None, method="jobs_subscribeOwner")
            for _ in range(FOLLOWERS_MAX - 1):
                await client.subscribe(nursery, 0)
            for method, subject in zip(METHODS, (0, None), strict=True):
                with pytest.raises(RpcError) as refused:
                    await client.subscribe(nursery, subject, method=method)
                assert refused.value.code == TOO_MANY_SUBSCRIPTIONS
            first.close()
            await client.subscribe(nursery, 0)
            work.send(BOB, "Jobs", "cancel", 0)
            await work.blocks()
            lab.finalise()
            await trio.testing.wait_all_tasks_blocked()
            await client.subscribe(nursery, None, method="jobs_subscribeOwner")
            nursery.cancel_scope.cancel()

    trio.run(run)
