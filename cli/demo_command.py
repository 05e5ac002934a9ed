"""`heddle demo`: real jobs on a real chain, from nothing to a settled end, in two minutes.

One validator and two processors start as processes of their own and find each other over libp2p. A consumer gets a
wallet and some money, sends the three example jobs through the same doors as `heddle job submit`, and watches them.
Every result is compared between its replicas and with an independent computation; every unit of money is looked for.
"""

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import network_command as networks
from cli import network_state
from cli.errors import CliError, NotFound, TimedOut
from cli.network_state import Network
from cli.options import JsonOption
from cli.output import console, emit, fields, note, table
from cli.processes import log_tail, session_members, stop, wait_until_gone

if TYPE_CHECKING:
    from cli.chain_client import ChainClient
    from cli.demo_accounts import Account, Snapshot
    from cli.demo_results import Checked
    from node.keys.pair import Pair

DEADLINE_S = 120.0
ADVERT_POLL_S = 0.25
GONE_TIMEOUT_S = 10.0
TAIL_LINES = 25
SLOT_MS_DEFAULT = 1_000
JOB_SLOTS_DEFAULT = 2
JOBS = ("airports-js", "airports-python", "airports-wasm")
FAUCET = "//Alice"
WALLET = "demo"
BUDGET = 100 * 10**12
EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "jobs"

app = typer.Typer(help="Watch real jobs go through a real chain: three processes, three jobs, two minutes.")


@dataclass(frozen=True)
class Demo:
    """One run: where its files are, what of it is said, and when it must be over (monotonic seconds)."""

    home: Path
    network: Network
    slots: int
    quiet: bool
    end_s: float

    @property
    def url(self) -> str:
        """The validator's RPC."""
        return self.network.nodes[0].url

    @property
    def processors(self) -> dict[str, bytes]:
        """The processors' accounts by name."""
        names = [node.name for node in self.network.nodes if node.role == "processor"]
        return {name: networks.processor_pair(name).public for name in names}

    def left_s(self, what: str) -> float:
        """Seconds until the deadline; TimedOut, naming what was going on, if it has passed."""
        left = self.end_s - time.monotonic()
        if left <= 0:
            raise TimedOut(f"the demo took more than {DEADLINE_S:.0f} s; it was {what}", "is the machine very busy?")
        return left

    def head(self, title: str) -> None:
        """Begin a chapter."""
        if not self.quiet:
            console().print(f"\n[bold cyan]── {title}[/bold cyan]")

    def say(self, text: str) -> None:
        """A plain line."""
        if not self.quiet:
            console().print(text, markup=False)


@app.command()
def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the network up, and say how to use it.")] = False,
    slots: Annotated[int, typer.Option(min=1, max=2, help="How many processors run each job.")] = JOB_SLOTS_DEFAULT,
    slot_ms: Annotated[int, typer.Option("--slot-ms", help="Length of the chain's slots.")] = SLOT_MS_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Start a network, run three real jobs on it as a consumer would, and check everything that comes out."""
    started_s = time.monotonic()
    if not (EXAMPLES / "check.py").is_file():
        raise NotFound(f"there is no {EXAMPLES}", "the demo needs the whole repository: clone it, then `make demo`")
    home = kept_home() if keep else Path(tempfile.mkdtemp(prefix="heddle-demo-"))
    network = networks.prepare(home / "network", (1, 2, slot_ms), fresh=True)
    this = Demo(home, network, slots, as_json, started_s + DEADLINE_S)
    with interruptible():
        try:
            document = run(this)
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt):
                show_tails(this)
            stop_all(this)
            note(f"The logs and data are in {home}.", as_json=as_json)
            raise
        if not keep:
            stop_all(this)
            shutil.rmtree(home, ignore_errors=True)
    document |= {"seconds": round(time.monotonic() - started_s, 1), "ok": all(job["ok"] for job in document["jobs"])}
    emit(document, as_json=as_json, human=lambda _: None)
    if not document["ok"]:
        raise CliError("a result is wrong, or money is missing", "the lines above say which")
    this.head(f"All of it in {document['seconds']} s")
    if keep:
        show_ways(this)
    else:
        this.say("The network is stopped, and no process of it is left. `make demo KEEP=1` leaves it up.")


def kept_home() -> Path:
    """Where a demo that stays keeps its wallet and network."""
    from node.keys.wallet import home

    return home() / "demo"


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the demo as Ctrl-C does: with its processes."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(this: Demo) -> dict[str, Any]:
    """The story, from three processes to the accounts."""
    from cli.chain_client import ChainClient

    this.head("Three processes of the same program find each other over libp2p")
    start_nodes(this)
    with ChainClient.connect(this.url) as chain:
        await_adverts(this, chain)
        this.head("A consumer makes a wallet and is given some money")
        consumer = fund_consumer(this, chain)
        before = take(this, chain)
        this.head(f"Three jobs over 28,298 airports, each on {this.slots} processors")
        ids = submit_jobs(this, chain, consumer)
        this.head("The jobs run")
        follow(this, ids)
        this.head("Results, compared between replicas and with plain CPython")
        checked = check_results(this, chain, ids)
        after = take(this, chain)
        account = show_accounts(this, chain, consumer, before, after, ids)
    this.head("Done")
    for one in checked:
        this.say(one.line)
    return summary(ids, checked, account)


def start_nodes(this: Demo) -> None:
    """Start all, wait until each answers."""
    network = this.network
    for node in network.nodes:
        network = networks.start_node(network, node.name)
        running = network.node(node.name)
        this.say(f"{node.name:<12} {node.role:<10} pid {networks.pid_of(running)}  rpc {node.url}  log {node.log}")
    for node in network.nodes:
        networks.await_ready(node)


def await_adverts(this: Demo, chain: "ChainClient") -> None:
    """Wait until every processor has measured itself, registered and advertised."""
    from runtime import ss58

    wanted = {ss58.encode(who): name for name, who in this.processors.items()}
    while True:
        found = {one["processor_address"]: one for one in chain.rpc.call("processors_list") if one["advert"]}
        if wanted.keys() <= found.keys():
            break
        time.sleep(min(ADVERT_POLL_S, this.left_s("waiting for the processors to register")))
    for node in this.network.nodes:
        peers = networks.describe(network_state.load_present(this.home / "network").node(node.name))["peers"]
        this.say(f"{node.name:<12} has {peers} peers")
    for address, name in wanted.items():
        advert = found[address]["advert"]
        this.say(f"{name:<12} advertises {', '.join(advert['runtimes'])} at {advert['benchmark']:,} fuel a millisecond")


def fund_consumer(this: Demo, chain: "ChainClient") -> "Pair":
    """A new wallet, and a transfer to it that is final."""
    from cli.accounts import pair_of
    from cli.amounts import format_amount
    from node.keys.pair import generate_phrase
    from node.keys.wallet import WalletStore

    store = WalletStore(this.home)
    if WALLET not in store.names():
        store.create(WALLET, pair_of(generate_phrase(12)), None, no_password=True)
    consumer = store.open(WALLET)
    this.say(f"$ heddle wallet new {WALLET}\n{consumer.address}")
    this.say(f"$ heddle wallet transfer {WALLET} {BUDGET // 10**12} --from {FAUCET}")
    call = chain.call("Balances", "transfer_keep_alive", consumer.public, BUDGET)
    done = chain.send(call, pair_of(FAUCET), timeout_s=this.left_s("funding the wallet"))
    this.say(f"final in block {done.block_number}, for a fee of {format_amount(done.fee)}")
    return consumer


def take(this: Demo, chain: "ChainClient") -> "Snapshot":
    """All balances at the last final block."""
    from cli.demo_accounts import take_snapshot

    return take_snapshot(chain, list(this.processors.values()))


def submit_jobs(this: Demo, chain: "ChainClient", consumer: "Pair") -> dict[str, int]:
    """Send the example jobs; their ids by name."""
    from cli.amounts import format_amount
    from cli.job_spec import read_job
    from cli.job_submission import submit, upload_bar

    ids = {}
    for name in JOBS:
        folder = EXAMPLES / name
        this.say(f"$ heddle job submit {folder.relative_to(EXAMPLES.parent.parent)} --slots {this.slots}")
        draft = read_job(folder, slots=this.slots)
        with upload_bar(sum(len(blob.data) for blob in draft.blobs), shown=not this.quiet) as progress:
            done = submit(chain, draft, consumer, folder, progress=progress)
        this.left_s(f"submitting {name}")
        blobs = ", ".join(f"{blob.label} of {len(blob.data):,} bytes" for blob in draft.blobs)
        money = f"{format_amount(done.deposit)} held, fee {format_amount(done.fee)}"
        this.say(f"job {done.job} in block {done.block}: {blobs} in the blob store, {money}")
        ids[name] = done.job
    return ids


def follow(this: Demo, ids: dict[str, int]) -> None:
    """The live timeline, until the end of every job is final; CliError if one did not succeed."""
    from cli.job_timeline import Timeline, end_text
    from cli.job_watch import watch

    timelines = [Timeline(job, name) for name, job in ids.items()]
    watch(this.url, timelines, quiet=this.quiet, timeout_s=this.left_s("running the jobs"))
    for timeline in timelines:
        if not timeline.succeeded:
            reason = "; ".join(line.text for line in timeline.lines if line.good is False)
            raise CliError(f"{timeline.name} ended as {end_text(timeline.end)} ({reason})", "the logs say more")


def check_results(this: Demo, chain: "ChainClient", ids: dict[str, int]) -> list["Checked"]:
    """Every replica's result, compared and checked."""
    from cli.demo_results import check_all, short_form
    from cli.job_result import fetch_result
    from cli.project.folder import load_project

    jobs = []
    for name, job in ids.items():
        view = chain.rpc.call("jobs_get", job)
        replicas = [fetch_result(chain.rpc, view, slot, 0) for slot in range(this.slots)]
        this.say(f"$ heddle job result {job}")
        for line in short_form(name, replicas[0].data):
            this.say(f"  {line}")
        for one in replicas:
            where = f"{len(one.data):,} bytes from {'a blob' if one.from_blob else 'the chain'}"
            this.say(f"  slot {one.slot}: digest {one.digest}, fuel {one.fuel:,}, {where}")
        jobs.append((name, load_project(EXAMPLES / name).read_input(), replicas))
    checked = check_all(EXAMPLES / "check.py", jobs)
    this.left_s("checking the results")
    return checked


def show_accounts(
    this: Demo,
    chain: "ChainClient",
    consumer: "Pair",
    before: "Snapshot",
    after: "Snapshot",
    ids: dict[str, int],
) -> "Account":
    """Money and reputation before and after; CliError if a unit is missing."""
    from cli import demo_accounts as accounts
    from cli.amounts import SYMBOL
    from pallets.balances import TREASURY
    from runtime.dev_accounts import DEV_ACCOUNTS

    parties = {"consumer": consumer.public, **this.processors}
    parties |= {"treasury": TREASURY, "author //Alice": DEV_ACCOUNTS["Alice"]}
    account = accounts.account_for(before, after, parties)
    views = {name: chain.rpc.call("jobs_get", job, after.block_hash) for name, job in ids.items()}
    if not this.quiet:
        this.head(f"Money, from block {before.number} to block {after.number}: every unit is accounted for")
        out = console()
        heads = ("job", "deposited", "= paid", "+ fees", "+ refunded", "+ held")
        table(heads, accounts.ledger_rows(views), empty="")(out)
        table((SYMBOL, "before", "after", "change"), accounts.account_rows(account), empty="")(out)
        this.head("Reputation, in parts per million")
        scores = accounts.reputation_rows(before, after, this.processors)
        table(("processor", "runtime", "before", "after"), scores, empty="")(out)
    if account.missing or accounts.unsettled(views):
        raise CliError(f"{account.missing} units are missing; unsettled: {accounts.unsettled(views)}", "this is a bug")
    return account


def summary(ids: dict[str, int], checked: list["Checked"], account: "Account") -> dict[str, Any]:
    """The document of --json."""
    jobs = [
        {
            "name": one.name,
            "job": ids[one.name],
            "ok": one.good,
            "problems": one.problems,
            "digests": [run.digest for run in one.replicas],
            "fuel": [run.fuel for run in one.replicas],
            "processors": [run.processor for run in one.replicas],
        }
        for one in checked
    ]
    balances = [{**asdict(row), "change": row.change} for row in account.rows]
    return {"jobs": jobs, "balances": balances, "issued": account.issued, "missing": account.missing}


def show_tails(this: Demo) -> None:
    """The last words of every node."""
    for node in this.network.nodes:
        note(f"\n-- {node.name}: the end of {node.log}\n{log_tail(Path(node.log), TAIL_LINES)}")


def stop_all(this: Demo) -> None:
    """Stop the nodes, and see that nothing of theirs is left; CliError if something had to be killed."""
    network = network_state.load_present(this.home / "network")
    leaders = [node.process.pid for node in network.nodes if node.process is not None]
    networks.stop_nodes(network, [node.name for node in network.nodes])
    left = wait_until_gone(session_members(leaders), GONE_TIMEOUT_S)
    if left:
        stop(left)
        pids = ", ".join(str(one.pid) for one in left)
        raise CliError(f"processes {pids} stayed behind and were ended", "this is a bug")


def show_ways(this: Demo) -> None:
    """How to use the network that stays up."""
    program = networks.heddle_program()[0]
    if Path(program).is_relative_to(Path.cwd()):
        program = str(Path(program).relative_to(Path.cwd()))
    ways = {
        f"export HEDDLE_HOME={this.home} HEDDLE_URL={this.url}": "then, in that shell:",
        f"{program} network status": "the nodes",
        f"{program} job list": "the jobs",
        f"{program} job submit examples/jobs/airports-wasm --watch": "one more",
        f"{program} wallet balance {WALLET}": "the consumer's money",
        f"{program} network down": "stop it",
    }
    this.say("The network stays up. To look at it:")
    fields(ways)(console())
