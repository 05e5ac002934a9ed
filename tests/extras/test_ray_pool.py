"""The pool on a Ray cluster: what only a cluster of several machines can show, and what it must never do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import trio

from node.keys.pair import from_uri
from node.processor.advert import JOBS_PER_CORE, machine_advert
from node.processor.benchmark import BENCHMARK_MIN, measure_benchmark
from node.processor.cluster.errors import (
    ClusterError,
    ClusterOpen,
    ClusterUnreachable,
    NoMachine,
    TokenRefused,
    VersionDiffers,
)
from node.processor.cluster.messages import WORKER_MEMORY_BYTES
from node.processor.cluster.pool import RayPool
from node.processor.runtimes.port import NoRoom, WorkerCrashed
from node.processor.runtimes.spec import FUEL_MAX, FetchReply, FetchRequest
from pallets.jobs.types import Architecture
from tests.helpers.ray_cluster import MACHINE_CORES, MACHINE_MEMORY_BYTES, ROOT, RayCluster, alive, ray_cluster_of
from tests.helpers.runtime_runs import make_spec, until
from tests.helpers.waiting import wait_for

ENDLESS = '(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))'
TRIVIAL = '(module (memory (export "memory") 1) (func (export "_start")))'
GONE_DEADLINE_S = 60
EVERY_CALL = """
    export async function main(h) {
      h.progress(30, "begun"); h.log("a line"); h.checkpoint("half");
      const reply = await h.fetch("http://example.com/a");
      const signature = h.sign("paid");
      return reply.text() + " " + signature.length;
    }"""


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """After each test no sandbox runs anywhere on the cluster: no orphan."""
    yield
    wait_for(lambda: not sandboxes(), GONE_DEADLINE_S, "the end of every sandbox")


def sandboxes() -> list[int]:
    """Process ids of the workers of this checkout, those that lost their parents too."""
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            if "node.processor.runtimes.worker" in one.cmdline() and one.cwd() == str(ROOT):
                found.append(one.pid)
    return found


def on_cluster(cluster: RayCluster, workers: int, test: Callable[[RayPool], Awaitable[None]]) -> None:
    """Run a test with a pool on the cluster."""

    async def main() -> None:
        async with cluster.pool(workers) as pool:
            await test(pool)

    trio.run(main)


def why_not(address: str, token: str) -> ClusterError:
    """The error of a pool that cannot open."""

    async def main() -> ClusterError:
        with pytest.raises(ClusterError) as caught:
            async with RayPool(address, token):
                raise AssertionError("it opened")
        return caught.value

    return trio.run(main)


@pytest.mark.deadline(120)
def test_both_machines_run_jobs_at_the_same_time(ray_cluster: RayCluster) -> None:
    """As many endless runs as the cluster has cores: their sandboxes are spread over both machines."""
    runs = 2 * MACHINE_CORES

    async def test(pool: RayPool) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(runs):
                nursery.start_soon(pool.run, make_spec("wasm", ENDLESS, fuel=FUEL_MAX, memory_bytes=1 << 20))
            await until(lambda: len(pool.worker_pids) == runs)
            for machine in ray_cluster.machines:
                here = {one.pid for one in machine.processes()} & set(pool.worker_pids)
                assert len(here) == MACHINE_CORES
            nursery.cancel_scope.cancel()

    on_cluster(ray_cluster, runs, test)


@pytest.mark.deadline(120)
def test_the_calls_of_a_script_come_back_to_the_node(ray_cluster: RayCluster) -> None:
    """Progress, log, checkpoint, fetch and sign of a run on the cluster are all answered by this process."""
    heard: list[object] = []
    pair = from_uri("//Ferdie")

    async def fetch(request: FetchRequest) -> FetchReply:
        heard.append(request.url)
        return FetchReply(200, (), b"fetched here")

    async def sign(content: bytes) -> bytes:
        heard.append(content)
        return pair.sign(content)

    async def test(pool: RayPool) -> None:
        outcome = await pool.run(
            make_spec("javascript", EVERY_CALL, fetch=("example.com",), sign=True),
            fetch,
            sign=sign,
            on_progress=lambda percent, note: heard.append((percent, note)),
            on_log=heard.append,
            on_checkpoint=heard.append,
        )
        assert outcome.failure is None, outcome.message
        assert outcome.output == b"fetched here 64"
        assert heard == [(30, "begun"), "a line\n", b"half", "http://example.com/a", b"paid"]

    on_cluster(ray_cluster, 1, test)


@pytest.mark.deadline(240)
def test_a_machine_lost_in_a_run_is_a_typed_error(ray_cluster: RayCluster) -> None:
    """Its run ends in WorkerCrashed and its sandbox with it; the other machine goes on, and a new one is seen."""

    async def test(pool: RayPool) -> None:
        async def lost() -> None:
            with pytest.raises(WorkerCrashed):
                await pool.run(make_spec("wasm", ENDLESS, fuel=FUEL_MAX, wall_ms=200_000))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lost)
            await until(lambda: len(pool.worker_pids) == 1)
            [pid] = pool.worker_pids
            victim = next(one for one in ray_cluster.machines if pid in {each.pid for each in one.processes()})
            ray_cluster.kill_machine(victim)
        await until(lambda: not alive(pid))
        assert (await pool.run(make_spec("wasm", TRIVIAL))).failure is None
        await until(lambda: pool.room().cores == MACHINE_CORES)
        await trio.to_thread.run_sync(ray_cluster.add_machine)
        await until(lambda: pool.room().cores == 2 * MACHINE_CORES)

    on_cluster(ray_cluster, 1, test)


@pytest.mark.deadline(120)
def test_a_wall_limit_ends_the_sandbox_elsewhere(ray_cluster: RayCluster) -> None:
    """When `run` says that the wall limit was passed, the sandbox on the other machine is already gone."""

    async def test(pool: RayPool) -> None:
        seen: list[int] = []

        async def note() -> None:
            await until(lambda: bool(pool.worker_pids))
            seen.extend(pool.worker_pids)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(note)
            await pool.run(make_spec("wasm", ENDLESS, fuel=FUEL_MAX, wall_ms=1_000))
            assert seen
            assert not any(map(alive, seen))

    on_cluster(ray_cluster, 1, test)


@pytest.mark.deadline(120)
def test_a_lost_bridge_is_replaced_and_leaves_nothing(ray_cluster: RayCluster) -> None:
    """kill -9 of the bridge: its run ends in WorkerCrashed, its sandbox is ended by Ray, the next has a new bridge."""

    async def test(pool: RayPool) -> None:
        async def lost() -> None:
            with pytest.raises(WorkerCrashed):
                await pool.run(make_spec("wasm", ENDLESS, fuel=FUEL_MAX))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lost)
            await until(lambda: bool(pool.worker_pids))
            [pid] = pool.worker_pids
            assert pool.bridge_pid is not None
            os.kill(pool.bridge_pid, signal.SIGKILL)
        await until(lambda: not alive(pid))
        assert (await pool.run(make_spec("wasm", TRIVIAL))).failure is None

    on_cluster(ray_cluster, 1, test)


@pytest.mark.deadline(120)
def test_kill_of_the_node_leaves_no_sandbox_on_the_cluster(ray_cluster: RayCluster) -> None:
    """kill -9 of the process that asked for a run ends its sandbox on the cluster too."""
    script = textwrap.dedent(f"""
        import os, trio
        from node.processor.cluster.pool import RayPool
        from tests.helpers.runtime_runs import make_spec, until
        async def main():
            async with RayPool({ray_cluster.address!r}, os.environ["RAY_AUTH_TOKEN"]) as pool, trio.open_nursery() as n:
                n.start_soon(pool.run, make_spec("wasm", {ENDLESS!r}, fuel=2**48))
                await until(lambda: bool(pool.worker_pids))
                print(pool.worker_pids[0], flush=True)
        trio.run(main)
        """)
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=ray_cluster.environment()
    ) as process:
        assert process.stdout is not None
        pid = int(next(line for line in process.stdout if line.strip().isdecimal()))
        assert alive(pid)
        process.kill()
    wait_for(lambda: not alive(pid), GONE_DEADLINE_S, "the sandbox ends")


@pytest.mark.deadline(120)
def test_what_no_machine_has_is_refused_at_once(ray_cluster: RayCluster) -> None:
    """A run with more memory than any machine has is NoRoom, by the node's own view and by the bridge's; none waits."""
    memory_bytes = MACHINE_MEMORY_BYTES - WORKER_MEMORY_BYTES

    async def test(pool: RayPool) -> None:
        assert (await pool.run(make_spec("wasm", TRIVIAL, memory_bytes=memory_bytes))).failure is None
        too_much = make_spec("wasm", TRIVIAL, memory_bytes=memory_bytes + 1)
        with pytest.raises(NoRoom, match=r"limits\.memory_bytes"):
            pool.check_room(too_much)
        with pytest.raises(NoRoom, match=r"limits\.memory_bytes"):
            await pool.run(too_much)
        connection = pool._connection
        assert connection is not None
        with trio.fail_after(10), pytest.raises(NoRoom, match=r"limits\.memory_bytes"):
            await connection.place(too_much, {})
        assert pool.worker_pids == []

    on_cluster(ray_cluster, 1, test)


@pytest.mark.deadline(120)
def test_the_advert_is_the_clusters(ray_cluster: RayCluster) -> None:
    """Cores and memory of both machines are in the advert, the runtimes are theirs, and their speed is measured."""

    async def test(pool: RayPool) -> None:
        figure = await measure_benchmark(pool)
        assert figure > BENCHMARK_MIN
        advert = machine_advert(pool, figure)
        assert advert.capacity.cores == 2 * MACHINE_CORES * JOBS_PER_CORE
        assert advert.capacity.memory_bytes == 2 * MACHINE_MEMORY_BYTES
        assert isinstance(advert.architecture, Architecture)
        assert len(advert.runtimes) == 3
        assert advert.modules == ()

    on_cluster(ray_cluster, 1, test)


@pytest.mark.deadline(120)
def test_who_cannot_use_the_cluster_is_told_why(ray_cluster: RayCluster) -> None:
    """A wrong token and an address where nobody answers are errors of their own types, within seconds."""
    refused = why_not(ray_cluster.address, "0" * 64)
    assert isinstance(refused, TokenRefused)
    assert "token" in str(refused)
    nobody = why_not("127.0.0.1:1", ray_cluster.token)
    assert isinstance(nobody, ClusterUnreachable)
    assert "127.0.0.1:1" in str(nobody)


@pytest.mark.deadline(120)
def test_another_version_of_ray_is_refused(ray_cluster: RayCluster) -> None:
    """Where the cluster says that it runs another Ray, the error names both versions."""
    script = prelude(ray_cluster) + textwrap.dedent("""
        from ray.experimental import internal_kv
        old = internal_kv._internal_kv_get("CLUSTER_METADATA", namespace="cluster")
        new = old.replace(b"2.60.0", b"2.59.0")
        assert new != old
        internal_kv._internal_kv_put("CLUSTER_METADATA", new, overwrite=True, namespace="cluster")
        print("told", flush=True)
        sys.stdin.read()
        internal_kv._internal_kv_put("CLUSTER_METADATA", old, overwrite=True, namespace="cluster")
        """)
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, cwd=ROOT, env=ray_cluster.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as liar:
        assert liar.stdout is not None
        assert "told" in liar.stdout.readline()
        found = why_not(ray_cluster.address, ray_cluster.token)
    assert liar.returncode == 0
    assert isinstance(found, VersionDiffers)
    assert "2.59.0" in str(found)
    assert "2.60.0" in str(found)


def prelude(cluster: RayCluster) -> str:
    """The first lines of a script that has Ray connected as the bridge has it."""
    return textwrap.dedent(f"""
        import io, os, sys
        from node.processor.cluster import bridge as bridges
        ray = bridges.connect({cluster.address!r}, os.environ["RAY_AUTH_TOKEN"])
        bridge = bridges.Bridge(io.BytesIO(), ray, None)
        """)


@pytest.mark.deadline(120)
def test_nothing_that_the_cluster_sends_is_unpickled(ray_cluster: RayCluster, tmp_path: Path) -> None:
    """A place that answers with a pickle is lost, and the pickle unread; Ray's own way of reading would have run it."""
    script = """
        class Trap:
            def __init__(self, path): self.path = path
            def __reduce__(self): return (open, (self.path, "w"))
        def trap(path): return Trap(path)
        reference = ray.remote(trap).remote({path!r})
        try:
            bridge.take(reference, lambda: False)
        except bridges.PlaceLost as error:
            print("lost:", error)
        print("unread:", not os.path.exists({path!r}))
        ray.get(reference)
        print("read:", os.path.exists({path!r}))
        """
    script = prelude(ray_cluster) + textwrap.dedent(script).format(path=str(tmp_path / "sprung"))
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=ROOT, env=ray_cluster.environment(), capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout
    assert "lost: answered with what is no bytes: PYTHON" in told
    assert "unread: True" in told
    assert "read: True" in told


@pytest.mark.deadline(120)
def test_the_cluster_listens_on_loopback_only(ray_cluster: RayCluster) -> None:
    """No process of the tests' cluster can be reached from another machine."""
    listening = [
        connection.laddr.ip
        for one in ray_cluster.all_processes()
        for connection in one.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


@pytest.mark.deadline(240)
def test_an_open_cluster_or_an_empty_one_is_not_used() -> None:
    """A cluster that asks for no token is refused, and so is one without a machine for jobs."""
    with ray_cluster_of(0, guarded=False) as cluster:
        assert isinstance(why_not(cluster.address, cluster.token), ClusterOpen)
    with ray_cluster_of(0) as cluster:
        assert isinstance(why_not(cluster.address, cluster.token), NoMachine)
