"""`heddle benchmark burst`: a burst of real jobs on a local network of real processes; checks, and jobs per second."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import network_command as networks
from cli import network_state
from cli.demo_command import Demo, interruptible, show_tails, start_nodes, stop_all
from cli.errors import CliError, Refused
from cli.options import JsonOption
from cli.output import console, emit, fields, note

if TYPE_CHECKING:
    from cli.burst import Story

BURST_MAX = 10_000
PROCESSORS_MAX = 8
PROMISES_MAX = 64
SLOT_MS = 1_000
DEADLINE_S = 1_800.0
ADVERT_POLL_S = 0.25


def burst(
    *,
    jobs: Annotated[int, typer.Option(help="Jobs registered in one burst.")] = 2_000,
    processors: Annotated[int, typer.Option(help="Processors of the network.")] = 2,
    promises: Annotated[int, typer.Option(help="Jobs that a processor promises at a time.")] = PROMISES_MAX,
    slot_ms: Annotated[int, typer.Option("--slot-ms", help="Length of the chain's slots.")] = SLOT_MS,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds for all of it.")] = DEADLINE_S,
    as_json: JsonOption = False,
) -> None:
    """Register a burst of jobs on a local network of real processes, follow all to their ends, check every one."""
    for name, value, high in (
        ("jobs", jobs, BURST_MAX),
        ("processors", processors, PROCESSORS_MAX),
        ("promises", promises, PROMISES_MAX),
    ):
        if not 1 <= value <= high:
            raise Refused(f"--{name}: {value} is not in 1..{high}", "choose a number in that range")
    home = Path(tempfile.mkdtemp(prefix="heddle-burst-"))
    network = networks.prepare(home / "network", (1, processors, slot_ms), fresh=True)
    this = Demo(home, network, 1, as_json, time.monotonic() + timeout_s)
    with interruptible():
        try:
            document = run(this, jobs, promises)
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt):
                show_tails(this)
            stop_all(this)
            note(f"The logs and data are in {home}.", as_json=as_json)
            raise
        running = network_state.load_present(this.home / "network")
        pids = [pid for node in running.nodes if (pid := networks.pid_of(node)) is not None]
        stop_all(this)
    failed = [f"{name}: {text}" for name, texts in document["checks"].items() for text in texts]
    document |= {"ok": not failed, "pids": pids}
    emit(document, as_json=as_json, human=lambda _: None)
    if failed:
        raise CliError("; ".join(failed), f"the logs and data are in {home}")
    shutil.rmtree(home, ignore_errors=True)


def run(this: Demo, jobs: int, promises: int) -> dict[str, Any]:
    """From three processes to the checks."""
    from cli import burst as work
    from cli.burst_checks import all_checks, waits
    from cli.chain_client import ChainClient
    from cli.demo_accounts import take_snapshot

    this.head("A network of real processes")
    start_nodes(this)
    pairs = {name: networks.processor_pair(name) for name in this.processors}
    accounts = tuple(this.processors.values())
    with ChainClient.connect(this.url) as chain:
        await_adverts(this, chain)
        owners = work.owners_of(jobs)
        work.fund(chain, owners, this.left_s("funding the owners"))
        work.widen(chain, pairs, promises, this.left_s("advertising"))
        before = take_snapshot(chain, [])
        this.head(f"{jobs:,} jobs of {len(owners)} owners in one burst")
        orders = work.sign_all(chain, owners, accounts, jobs)
        started_s = time.monotonic()
        work.submit_all(chain, orders)
        submitted_s = time.monotonic() - started_s
        this.say(f"{jobs:,} registrations are in the pool after {submitted_s:.1f} s")
        with progress_bar(jobs, shown=not this.quiet) as told:
            story = work.follow(chain, orders, before.number + 1, this.end_s, told)
        seconds = time.monotonic() - started_s
        after = take_snapshot(chain, [])
        money = (before.balances, after.balances)
        checks = all_checks(chain, after.block_hash, orders, story, money)
    urgent, others = waits(story)
    document = {
        "jobs": jobs,
        "processors": len(accounts),
        "owners": len(owners),
        "blocks": max(story.ended.values(), default=0) - min(story.registered.values(), default=0) + 1,
        "seconds_to_submit": round(submitted_s, 1),
        "seconds": round(seconds, 1),
        "jobs_per_second": round(jobs / seconds, 2),
        "urgent_wait_blocks": round(urgent, 1),
        "other_wait_blocks": round(others, 1),
        "queues_looked_at": [{"block": one.block, "waiting": len(one.order)} for one in story.queues],
        "unaccounted_for": unaccounted(before, after),
    }
    if document["unaccounted_for"]:
        checks["refunds_exact"].append(f"{document['unaccounted_for']} units are missing")
    if not this.quiet:
        this.head("Done")
        fields({name: value for name, value in document.items() if name != "queues_looked_at"})(console())
        for name, problems in checks.items():
            this.say(f"{name:<16} {'; '.join(problems) or 'yes'}")
    return {**document, "checks": checks}


def unaccounted(before: Any, after: Any) -> int:
    """Units of all accounts that issuance does not explain."""
    change = sum(after.balances.values()) - sum(before.balances.values())
    return int(change - (after.issuance - before.issuance))


def await_adverts(this: Demo, chain: Any) -> None:
    """Wait until every processor is on the chain with an advert and a stake."""
    while True:
        runtime = chain.at()
        if all(runtime.processors.adverts.find(who) is not None for who in this.processors.values()):
            return
        time.sleep(min(ADVERT_POLL_S, this.left_s("waiting for the processors to register")))


@contextmanager
def progress_bar(jobs: int, *, shown: bool) -> Iterator[Callable[["Story"], None]]:
    """How many are registered, have a processor, and have ended: a bar on a terminal, elsewhere a line now and then."""
    if not shown:
        yield lambda _story: None
        return
    started_s = time.monotonic()

    def words(story: "Story") -> str:
        return f"{len(story.registered)} registered, {len(story.offered)} offered, {len(story.ended)} ended"

    if not sys.stderr.isatty():
        tenth = max(1, jobs // 10)
        last = -1

        def line(story: "Story") -> None:
            nonlocal last
            if len(story.ended) // tenth > last:
                last = len(story.ended) // tenth
                note(f"{time.monotonic() - started_s:7.1f} s  {words(story)}")

        yield line
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console(stderr=True)) as bar:
        task = bar.add_task("", total=jobs)
        yield lambda story: bar.update(task, completed=len(story.ended), description=words(story))
