"""The demo's results: fetched from every replica, compared, and checked by examples/jobs/check.py in plain CPython."""

import importlib.util
import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.errors import CliError
from cli.job_result import JobResult

CHECKERS = 2


@dataclass(frozen=True)
class Checked:
    """One job's results: `problems` is empty if the replicas agree and the independent check found nothing wrong."""

    name: str
    replicas: Sequence[JobResult]
    problems: list[str]

    @property
    def good(self) -> bool:
        return not self.problems

    @property
    def line(self) -> str:
        """The one line that says how the job ended."""
        first = self.replicas[0]
        if not self.good:
            return f"{self.name}: FAILED: {'; '.join(self.problems)}"
        same = f"{len(self.replicas)} replicas agree on {first.digest[:18]}… and on {first.fuel:,} fuel"
        return f"{self.name}: DONE, {same}; right by the independent check in CPython"


def check_all(script: Path, jobs: Sequence[tuple[str, bytes, Sequence[JobResult]]]) -> list[Checked]:
    """Compare the replicas of each job (name, input, results) and check the output, several jobs at a time."""
    # A fresh interpreter for each: ours has threads, and what it has loaded must not help the check.
    with ProcessPoolExecutor(CHECKERS, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(check_output, str(script), name, data, runs[0].data) for name, data, runs in jobs]
        return [
            Checked(name, runs, [*disagreements(runs), *found.result()])
            for (name, _, runs), found in zip(jobs, waiting, strict=True)
        ]


def check_output(script: str, name: str, data: bytes, output: bytes) -> list[str]:
    """What check.py finds wrong."""
    specification = importlib.util.spec_from_file_location("heddle_example_check", script)
    if specification is None or specification.loader is None:
        raise CliError(f"there is no {script}", "the demo needs the whole repository")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    problems: list[str] = module.check(name, data, output)
    return problems


def disagreements(replicas: Sequence[JobResult]) -> list[str]:
    """In what the replicas of a job differ."""
    first = replicas[0]
    problems = []
    for other in replicas[1:]:
        if other.processor == first.processor:
            problems.append(f"slots {first.slot} and {other.slot} ran on one processor")
        problems += [
            f"slots {first.slot} and {other.slot} differ in {what}"
            for what in ("digest", "fuel", "data")
            if getattr(other, what) != getattr(first, what)
        ]
    return problems


def short_form(name: str, output: bytes) -> list[str]:
    """A result in a few lines for people."""
    result: Any = json.loads(output)
    if name == "airports-js":
        code, nearest, metres = result["loneliest"]
        first = ", ".join(f"{a}-{b} {m:,} m" for a, b, m in result["neighbours"][:3])
        return [
            f"{result['airports']:,} airports, nearest neighbour of each: {first}, …",
            f"the loneliest is {code}: {metres / 1000:,.0f} km to {nearest}",
        ]
    if name == "airports-python":
        largest = sorted(result["countries"].items(), key=lambda item: -item[1]["airports"])[:3]
        top = ", ".join(f"{code} {group['airports']:,}" for code, group in largest)
        counts = f"{len(result['countries'])} countries and {len(result['time_zones'])} time zones"
        return [f"{result['airports']:,} airports in {counts}; most airports: {top}"]
    pairs = ", ".join(f"{a}-{b} {m} m" for a, b, m in result[:3])
    return [f"the closest pairs: {pairs}, … ({len(result)} in all)"]
