"""A hostile job of each kind in each language ends in its typed reason, and its worker takes the next job."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import trio

from node.processor.egress import EgressGuard
from node.processor.runtimes.outcome import failure_text
from node.processor.runtimes.pool import RuntimePool
from tests.helpers.http_receiver import Reply, Seen, receiver
from tests.helpers.runtime_runs import make_spec

HOSTILE = Path(__file__).resolve().parents[2] / "e2e" / "hostile"
KINDS: dict[str, dict[str, Any]] = tomllib.loads((HOSTILE / "hostile.toml").read_text())
EXTENSIONS = {"wasm": "wat", "javascript": "js", "python": "py"}
REFUSED = "127.0.0.1:9"  # nobody allowed it; whether something listens there does not matter


@pytest.mark.deadline(180)
@pytest.mark.parametrize("language", EXTENSIONS)
def test_hostile_jobs(language: str) -> None:
    """Every kind in one language, in one worker that serves an honest job after each of them."""

    def answer(request: Seen, _count: int) -> Reply:
        redirect = {"Location": f"http://{REFUSED}/"} if request.path == "/redirect" else {}
        return Reply(302 if redirect else 200, redirect, b"served")

    with receiver(answer) as server:
        trio.run(_run_all, language, server.pair)
        assert len(server.seen) == 3 + 1  # the requests within the limit, and the one that was redirected


async def _run_all(language: str, served: str) -> None:
    guard = EgressGuard(allowed=[served])
    honest = make_spec("javascript", "export function main() { return 'honest' }")
    async with RuntimePool(1) as pool:
        for kind, case in KINDS.items():

            def fill(text: str) -> str:
                return text.replace("{served}", served).replace("{refused}", REFUSED)

            spec = make_spec(
                language,
                (HOSTILE / language / f"{kind}.{EXTENSIONS[language]}").read_bytes(),
                fuel=2_000_000_000,
                fetch=tuple(fill(host) for host in case.get("fetch", ())),
                storage=case.get("storage", False),
                input=fill(case.get("url", "")).encode(),
            )
            outcome = await pool.run(spec, guard.fetch)
            assert outcome.failure is not None, f"{kind} succeeded: {outcome.output[:100]!r}"
            assert failure_text(outcome.failure) == case["failure"], f"{kind}: {outcome.message}"
            assert outcome.fuel_used <= spec.limits.fuel
            assert outcome.memory_peak <= spec.limits.memory_bytes
            pids = pool.worker_pids
            assert (await pool.run(honest)).output == b"honest"
            assert pool.worker_pids == pids


def test_native_recursion_in_javascript_stays_inside_quickjs() -> None:
    """Nesting that the parsers of JSON and JavaScript follow ends as a reproducible stack failure, no native trap."""
    scripts = [
        "export function main() { return JSON.parse('['.repeat(1000000)) }",
        "export function main() { return eval('('.repeat(100000) + '1' + ')'.repeat(100000)) }",
        "export function main() { let a = []; for (let n = 0; n < 20000; n++) a = [a]; return JSON.stringify(a) }",
        "export function main() { const f = () => [2, 1].sort(f); return f() }",
        "export function main() { const f = () => 'a'.replace(/a/, f); return f() }",
    ]

    async def main() -> None:
        async with RuntimePool(1) as pool:
            for script in scripts:
                outcome = await pool.run(make_spec("javascript", script))
                assert outcome.failure is not None
                assert failure_text(outcome.failure) == "OutOfResources(stack)", script
                assert outcome.reproducible, script

    trio.run(main)
