"""jobs_explain of jobs that wait for nobody: nothing is said of processors, whatever they would do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

from tests.helpers.chain_lab import BOB, Lab
from tests.unit.rpc.test_jobs_api import Client, Work


def test_a_job_that_waits_for_nobody_has_no_reasons(tmp_path: Path) -> None:
    """While every slot is held, and after the end, no slot is named and no processor is counted."""

    async def run() -> None:
        lab = Lab(tmp_path)
        client, work = Client(lab), Work(lab)
        await work.register()
        assert (await client.call("jobs_explain", 0))["slot"] == 0
        await work.assign()
        nothing: dict[str, Any] = {"slot": None, "eligible": 0, "now": {}}
        held = await client.call("jobs_explain", 0)
        assert held == {"job": 0, **nothing, "so_far": held["so_far"]}
        work.send(BOB, "Jobs", "cancel", 0)
        await work.blocks()
        assert (await client.call("jobs_get", 0))["job"]["state"] == "cancelled"
        ended = await client.call("jobs_explain", 0)
        assert ended == {"job": 0, **nothing, "so_far": ended["so_far"]}

    trio.run(run)


def test_a_job_cancelled_while_it_is_vacant_has_no_reasons(tmp_path: Path) -> None:
    """A slot that nobody took is not looked at any more once the job has ended."""

    async def run() -> None:
        lab = Lab(tmp_path)
        client, work = Client(lab), Work(lab)
        await work.register()
        work.send(BOB, "Jobs", "cancel", 0)
        await work.blocks()
        ended = await client.call("jobs_explain", 0)
        assert (ended["slot"], ended["eligible"], ended["now"]) == (None, 0, {})

    trio.run(run)
