"""`make sim`: more seeds than `make test` runs, or one seed again.

    python -m tests.sim.run [--tier 1|2|3] [--seed N | --seeds COUNT] [--first N] [--workers N]

Each seed runs twice; a rule that breaks, or a second run with another trace, is a failure. The exit code says so.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from tests.sim import crooked_net, node_net, runtime_net
from tests.sim.seeds import kept

SEEDS_DEFAULT = 50
TIERS: dict[int, Callable[[int], Any]] = {
    1: runtime_net.simulate,
    2: node_net.simulate,
    3: crooked_net.simulate,
}


def twice(job: tuple[int, int]) -> str:
    """Run a seed of a tier two times; a line about it."""
    tier, seed = job
    started = time.monotonic()
    simulate: Callable[[int], Any] = TIERS[tier]
    try:
        first, second = simulate(seed), simulate(seed)
    except AssertionError as error:
        return f"FAILED tier {tier} {error}"
    if first.trace != second.trace:
        return f"FAILED tier {tier} seed {seed}: two runs, two traces\nagain: make sim SEED={seed} TIER={tier}"
    return f"tier {tier} seed {seed}: {first} in {time.monotonic() - started:.1f} s"


def run(jobs: Iterable[tuple[int, int]], workers: int) -> int:
    """Run them all; how many failed."""
    failed = 0
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for line in pool.imap_unordered(twice, jobs):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            failed += line.startswith("FAILED")
    return failed


def main() -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", type=int, choices=tuple(TIERS))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", type=int, default=SEEDS_DEFAULT)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    tiers = tuple(TIERS) if arguments.tier is None else (arguments.tier,)
    jobs: list[tuple[int, int]] = []
    for tier in tiers:
        numbers = range(arguments.first, arguments.first + arguments.seeds)
        chosen = [arguments.seed] if arguments.seed is not None else sorted({*numbers, *kept(tier)})
        jobs += [(tier, seed) for seed in chosen]
    failed = run(jobs, arguments.workers)
    sys.stdout.write(f"{len(jobs) - failed} seeds passed, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
