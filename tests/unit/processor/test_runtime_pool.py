"""The pools of workers, here and on a cluster: determinism, and what happens when one dies, hangs or must stop."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio

from node.processor.runtimes.artifacts import HOST_ABI, QUICKJS_SHA256, SOURCES, runtime_id, sha256_file
from node.processor.runtimes.outcome import (
    Outcome,
    OutOfResources,
    Resource,
    RuntimeUnsupported,
    blake2b256,
    result_digest,
)
from node.processor.runtimes.pool import RuntimePool
from node.processor.runtimes.port import Pool, WorkerCrashed
from node.processor.runtimes.spec import FUEL_MAX, RunSpec, SpecInvalid
from tests.helpers.ray_cluster import alive
from tests.helpers.runtime_runs import make_spec, until
from tests.helpers.waiting import wait_for

ENDLESS = '(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))'
TRIVIAL = '(module (memory (export "memory") 1) (func (export "_start")))'
FLOATS = {
    "javascript": """
        export function main() {
          let x = 0.1; const seen = new Map();
          for (let n = 1; n < 3000; n++) { x = Math.sin(x) * Math.exp(1 / n) + Math.random(); seen.set(`k${n}`, x); }
          return {x, nan: String(0 / 0), date: new Date().toISOString(), keys: [...seen.keys()].length};
        }""",
    "python": textwrap.dedent("""
        import math, random, time
        def main(h):
            x = 0.1
            for n in range(1, 3000):
                x = math.sin(x) * math.exp(1 / n) + random.random()
            return [x, list({f"k{n}" for n in range(50)}), hash("text"), time.time(), id(h)]
        """),
    # 0/0 has the sign bit set on x86 unless NaNs are made canonical.
    "wasm": """
        (module (import "heddle" "request" (func $r (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1) (data (i32.const 0) "output")
          (func (export "_start")
            (f64.store (i32.const 8) (f64.div (f64.const 0) (f64.const 0)))
            (drop (call $r (i32.const 0) (i32.const 6) (i32.const 8) (i32.const 8)))))""",
}


OpenPool = Callable[..., AbstractAsyncContextManager[Pool]]


def run_in_pools(open_pool: OpenPool, specs: list[RunSpec], seeds: tuple[str, ...]) -> list[list[Outcome]]:
    """The outcomes of `specs` in one new worker for each PYTHONHASHSEED."""

    async def main() -> list[list[Outcome]]:
        found = []
        for seed in seeds:
            async with open_pool(1, environment={"PYTHONHASHSEED": seed}) as pool:
                found.append([await pool.run(spec) for spec in specs])
        return found

    return trio.run(main)


def test_two_workers_agree(open_pool: OpenPool) -> None:
    """The same spec gives the same output, fuel, memory and digest in two processes with different PYTHONHASHSEEDs."""
    specs = [make_spec(runtime, script) for runtime, script in FLOATS.items()]
    one, other = run_in_pools(open_pool, specs, ("1", "2"))
    assert one == other
    for spec, outcome in zip(specs, one, strict=True):
        assert outcome.failure is None, outcome.message
        assert outcome.fuel_used > 0
        digest = result_digest(blake2b256(spec.script), blake2b256(b""), 0, outcome)
        assert len(digest) == 32
    assert one[2].output.hex() == "000000000000f87f"


def test_runtime_ids_pin_engine_interpreter_and_interface(open_pool: OpenPool) -> None:
    """An id names the engine, the interpreter's hash and the host interface, in at most 128 ASCII characters."""
    ids = [runtime_id(name) for name in ("wasm", "javascript", "python")]
    assert ids[0] == "wasm/wasmtime-50.0.1/heddle-1"
    assert ids[1].startswith(f"js-quickjs-ng-0.17.0/{QUICKJS_SHA256}/wasmtime-50.0.1")
    assert ids[2].startswith("python-cpython-3.12.0/e5dc5a398b07b54e")
    assert all(len(text) <= 128 and text.isascii() for text in ids)
    trio.run(_ids_of_pool, open_pool, ids)


async def _ids_of_pool(open_pool: OpenPool, ids: list[str]) -> None:
    async with open_pool(1) as pool:
        assert list(pool.runtime_ids().values()) == ids


def test_host_interface_changes_need_a_new_name() -> None:
    """The start-up code of both languages is part of the fuel, so a change of it must come with a new HOST_ABI."""
    known = {"heddle-1": ("06136db9f13dd02d", "9564cac7b82ad322")}
    found = tuple(sha256_file(SOURCES / name)[:16] for name in ("guest/boot.py", "quickjs/prelude.js"))
    assert known[HOST_ABI] == found


def test_wall_limit_kills_only_the_worker(open_pool: OpenPool) -> None:
    """A run past its wall limit ends as OutOfResources(wall), not reproducible; the pool takes the next one."""

    async def main() -> None:
        async with open_pool(1) as pool:
            await pool.run(make_spec("wasm", TRIVIAL))
            before = pool.worker_pids
            outcome = await pool.run(make_spec("wasm", ENDLESS, fuel=FUEL_MAX, wall_ms=100))
            assert outcome.failure == OutOfResources(Resource.WALL)
            assert not outcome.reproducible
            assert pool.worker_pids == []
            assert (await pool.run(make_spec("wasm", TRIVIAL))).failure is None
            assert not any(map(alive, before))

    trio.run(main)


def test_a_dead_worker_is_a_typed_error(open_pool: OpenPool) -> None:
    """A worker killed in the middle of a run raises WorkerCrashed from that run alone; the pool goes on."""

    async def main() -> None:
        async with open_pool(2) as pool:

            async def victim() -> None:
                with pytest.raises(WorkerCrashed) as caught:
                    await pool.run(make_spec("wasm", ENDLESS, fuel=FUEL_MAX))
                assert caught.value.exit_code == -signal.SIGKILL

            async with trio.open_nursery() as nursery:
                nursery.start_soon(victim)
                await until(lambda: bool(pool.worker_pids))
                os.kill(pool.worker_pids[0], signal.SIGKILL)
                assert (await pool.run(make_spec("wasm", TRIVIAL))).failure is None
            assert (await pool.run(make_spec("wasm", TRIVIAL))).failure is None

    trio.run(main)


def test_an_idle_worker_that_died_is_replaced() -> None:
    """A worker that dies between runs costs nothing: the next run starts another."""

    async def main() -> None:
        async with RuntimePool(1) as pool:
            await pool.run(make_spec("wasm", TRIVIAL))
            [pid] = pool.worker_pids
            os.kill(pid, signal.SIGKILL)
            await until(lambda: not alive(pid))
            assert (await pool.run(make_spec("wasm", TRIVIAL))).failure is None

    trio.run(main)


def test_cancelling_a_run_kills_its_worker(open_pool: OpenPool) -> None:
    """Cancelling the scope around a run ends its process before the scope is left."""

    async def main() -> None:
        async with open_pool(1) as pool:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pool.run, make_spec("wasm", ENDLESS, fuel=FUEL_MAX))
                await until(lambda: bool(pool.worker_pids))
                [pid] = pool.worker_pids
                assert alive(pid)
                nursery.cancel_scope.cancel()
            assert not alive(pid)
            assert pool.worker_pids == []

    trio.run(main)


def test_workers_end_with_their_node() -> None:
    """kill -9 of the node leaves no worker behind, not even one in the middle of an endless loop."""
    script = textwrap.dedent(f"""
        import sys, trio
        from node.processor.runtimes.pool import RuntimePool
        from tests.helpers.runtime_runs import make_spec
        async def main():
            async with RuntimePool(1) as pool:
                await pool.run(make_spec("wasm", {TRIVIAL!r}))
                print(pool.worker_pids[0], flush=True)
                await pool.run(make_spec("wasm", {ENDLESS!r}, fuel=2**48))
        trio.run(main)
        """)
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=root) as node:
        assert node.stdout is not None
        pid = int(node.stdout.readline())
        node.kill()
    wait_for(lambda: not alive(pid), 30, "the worker ends")


def test_a_pool_runs_as_many_as_it_has_workers(open_pool: OpenPool) -> None:
    """More runs than workers wait for a free one, and all get their outcome."""

    async def main() -> None:
        found: list[Outcome] = []
        async with open_pool(2) as pool:

            async def one(number: int) -> None:
                script = f"export function main() {{ return '{number}' }}"
                found.append(await pool.run(make_spec("javascript", script)))

            async with trio.open_nursery() as nursery:
                for number in range(6):
                    nursery.start_soon(one, number)
            assert len(pool.worker_pids) <= 2
        assert sorted(outcome.output for outcome in found) == [str(number).encode() for number in range(6)]
        assert pool.worker_pids == []

    trio.run(main)


def test_specs_out_of_bounds_are_refused(open_pool: OpenPool) -> None:
    """A field past its bound is SpecInvalid with its name, before any worker sees it."""
    cases: list[tuple[str, dict[str, object]]] = [
        ("limits.fuel", {"fuel": 0}),
        ("limits.memory_bytes", {"memory_bytes": 2 << 30}),
        ("limits.wall_ms", {"wall_ms": 0}),
        ("seed bytes", {"seed": b"short"}),
        ("environment entries", {"environment": {str(number): "" for number in range(65)}}),
        ("NUL", {"environment": {"a\0b": ""}}),
    ]

    async def main() -> None:
        async with open_pool(1) as pool:
            for named, fields in cases:
                with pytest.raises(SpecInvalid, match=named):
                    await pool.run(make_spec("wasm", TRIVIAL, **fields))
            assert pool.worker_pids == []

    trio.run(main)


def test_a_runtime_that_is_not_there_is_typed(open_pool: OpenPool, tmp_path: Path) -> None:
    """Without the built interpreter a JavaScript job ends as RuntimeUnsupported, and the advert leaves it out."""

    async def main() -> None:
        async with open_pool(1, cache_dir=tmp_path) as pool:
            assert "javascript" not in pool.runtime_ids()
            outcome = await pool.run(make_spec("javascript", "export function main() {}"))
            assert outcome.failure == RuntimeUnsupported()

    trio.run(main)


def test_a_cache_that_others_may_write_is_not_loaded(open_pool: OpenPool, tmp_path: Path) -> None:
    """Compiled files are native code: from a directory that anyone may write to none is loaded."""
    tmp_path.chmod(0o777)
    (tmp_path / "quickjs.wasm").write_bytes(b"")

    async def main() -> None:
        async with open_pool(1, cache_dir=tmp_path) as pool:
            outcome = await pool.run(make_spec("javascript", "export function main() {}"))
            assert outcome.failure == RuntimeUnsupported()
            assert "writable by no one else" in outcome.message

    trio.run(main)
