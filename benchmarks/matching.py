"""What matching costs as processors and open jobs grow: on chain it must not grow at all, off chain by n log n at most.

For each pair of sizes, on the composed runtime with public jobs of one slot:

    search    the chain's own search in on_idle, one block of it: up to four jobs, sixteen candidates each
    propose   one proposal with one placement: all checks, and the window in which it competes
    close     the end of that window: the offer
    rank      all processors judged and ranked for one job by a matcher, off chain

    python -m benchmarks.matching [--json] [--processors 10,100,1000,10000] [--jobs 1,100,10000]
"""

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from math import log2
from typing import Any

from node.jobs_benchmark import ADVERT, STAKE, job_spec
from pallets.balances import UNIT
from pallets.beacon import MIX_HISTORY
from pallets.matching.eligibility import Candidate
from pallets.matching.types import Placement
from runtime.hashing import blake2b256
from runtime.heddle import Heddle
from runtime.pallet import Signed
from runtime.state import EmptyReader

SLOT_MS = 2000
FIRST_SLOT = 1_000_000
BLOCK_PS = 500 * 10**9
WAITED_SLOTS = 100
"""Jobs have waited so long that every processor is drawn and the chain searches."""
REPEATS = 7
OWNER_JOBS = 1_000
"""Jobs of one owner."""
NOISE = 2.0
"""A growth is judged with this much room: times of a busy machine."""

Row = dict[str, float]


def account(kind: str, number: int) -> bytes:
    """An account of its own."""
    return blake2b256(f"{kind} {number}".encode())


class Scene:
    """A chain's state with processors and open jobs, driven without blocks."""

    def __init__(self, processors: int, jobs: int) -> None:
        self.runtime = runtime = Heddle(SLOT_MS)
        self.matcher = account("matcher", 0)
        self.processors = [account("processor", n) for n in range(processors)]
        owners = [account("owner", n) for n in range(-(-jobs // OWNER_JOBS))]
        balances = [[who, 10**9 * UNIT] for who in (self.matcher, *owners, *self.processors)]
        genesis: dict[str, dict[str, Any]] = {"Balances": {"balances": balances}, "Matching": {"advertAgeSlotsMin": 0}}
        runtime.state.attach(EmptyReader(), 1)
        for name in ("Balances", "Escrow", "Reputation", "Processors", "Jobs", "Matching"):
            runtime.by_name[name].genesis(genesis.get(name, {}))
        runtime.system.slot = FIRST_SLOT
        self.step()
        for who in self.processors:
            runtime.processors.register(Signed(who), 1)
            runtime.processors.stake(Signed(who), STAKE)
            runtime.processors.advertise(Signed(who), ADVERT)
        start_ms = (FIRST_SLOT + 100 * WAITED_SLOTS) * SLOT_MS
        for number in range(jobs):
            owner = owners[number // OWNER_JOBS]
            runtime.jobs.register(Signed(owner), job_spec(start_ms, number.to_bytes(8, "little")))
        for _ in range(WAITED_SLOTS):
            self.step()
        runtime.state.undo.clear()
        runtime.state.events.clear()

    def step(self) -> None:
        """One block's beginning."""
        runtime, system = self.runtime, self.runtime.system
        system.number += 1
        system.parent_slot, system.slot = system.slot, system.slot + 1
        system.now_ms = system.slot * SLOT_MS
        mix = blake2b256(b"mix" + system.number.to_bytes(4, "little"))
        runtime.beacon.mixes.put(system.number % MIX_HISTORY, mix)
        runtime.agenda.on_initialize(system.number, system.slot)

    # What is measured.

    def search(self) -> None:
        """The chain's own search of one block."""
        self.runtime.matching.on_idle(BLOCK_PS)

    def propose(self) -> None:
        """One placement for the first open job."""
        job = self.first_job()
        self.runtime.matching.propose(Signed(self.matcher), job, (Placement(0, self.processors[0], 0),))

    def close(self) -> None:
        """The blocks until a window has closed; its agenda entry is the only one due."""
        while any(True for _ in self.runtime.matching.windows.items()):
            self.step()

    def rank(self) -> None:
        """All processors for one job, best first: what a matcher that looks at everybody does."""
        eligibility = self.runtime.matching.eligibility
        parameters, seat = self.runtime.matching.parameters.get(), eligibility.seat(self.first_job(), 0)
        judged = [eligibility.judge(parameters, seat, who, 0, self.matcher) for who in self.processors]
        fit = [one for one in judged if isinstance(one, Candidate)]
        assert len(fit) == len(self.processors), "every processor of the scene is able and drawn"
        fit.sort(key=lambda one: (-one.score, one.ticket))

    def first_job(self) -> int:
        """A job that waits."""
        return self.runtime.jobs.queue.at.get(0)

    def measure(self, work: Callable[[], None], before: Callable[[], None] = lambda: None) -> tuple[float, int, int]:
        """Median microseconds of CPU, storage reads and writes of `work`; its effects are undone each time."""
        state, times, reads, writes = self.runtime.state, [], 0, 0
        for _ in range(REPEATS):
            mark = state.mark()
            facts = vars(self.runtime.system).copy()
            before()
            reads, writes = state.reads, state.writes
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
            reads, writes = state.reads - reads, state.writes - writes
            state.rollback(mark)
            vars(self.runtime.system).update(facts)
        return statistics.median(times) * 1e6, reads, writes


def measure(processors: int, jobs: int) -> Row:
    """One pair of sizes."""
    scene = Scene(processors, jobs)
    gc.collect()
    row: Row = {"processors": processors, "jobs": jobs}
    works: list[tuple[str, Callable[[], None], Callable[[], None]]] = [
        ("search", scene.search, lambda: None),
        ("propose", scene.propose, lambda: None),
        ("close", scene.step, lambda: _until_last_slot(scene)),
        ("rank", scene.rank, lambda: None),
    ]
    for name, work, before in works:
        micros, reads, writes = scene.measure(work, before)
        row |= {f"{name}_us": round(micros, 1), f"{name}_reads": reads, f"{name}_writes": writes}
    return row


def _until_last_slot(scene: Scene) -> None:
    """Up to the block in which the window of a proposal closes."""
    scene.propose()
    window = scene.runtime.matching.windows.get((scene.first_job(), 0))
    while scene.runtime.system.slot + 1 < window.closes:
        scene.step()


def verdict(rows: list[Row]) -> dict[str, Any]:
    """Whether what happens on chain stays as it is, and what happens off chain grows by n log n at most.

    On chain storage accesses are compared, which are exact; off chain times, with room for a busy machine.
    """
    found: dict[str, Any] = {}
    for name in ("search", "propose", "close"):
        # A scene with fewer jobs or candidates than one block looks at does less.
        touched = [row[f"{name}_reads"] + row[f"{name}_writes"] for row in rows]
        found[f"{name}_accesses_max"] = max(touched)
        full = [
            row[f"{name}_reads"] + row[f"{name}_writes"]
            for row in rows
            if row["processors"] >= 100 and row["jobs"] >= 10
        ]
        found[f"{name}_bounded"] = not full or max(full) <= NOISE * min(full)
    smallest, largest = min(rows, key=_size), max(rows, key=_size)
    n, m = smallest["processors"], largest["processors"]
    found["rank_growth"] = round(largest["rank_us"] / smallest["rank_us"], 2)
    found["rank_growth_allowed"] = round(NOISE * m * log2(m) / (n * log2(n)), 2)
    found["rank_ok"] = found["rank_growth"] <= found["rank_growth_allowed"]
    return found


def _size(row: Row) -> float:
    return row["processors"]


def main() -> None:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--processors", default="10,100,1000,10000")
    parser.add_argument("--jobs", default="1,100,10000")
    arguments = parser.parse_args()
    sizes = [(int(n), int(m)) for n in arguments.processors.split(",") for m in arguments.jobs.split(",")]
    rows = [measure(n, m) for n, m in sizes]
    if arguments.json:
        print(json.dumps({"rows": rows, **verdict(rows)}))
        return
    heads = [name for name in rows[0] if not name.endswith("_writes")]
    print(" ".join(f"{head:>13}" for head in heads))
    for row in rows:
        print(" ".join(f"{row[head]:>13,}" for head in heads))
    for name, value in verdict(rows).items():
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
