"""`heddle network`: real nodes on this machine, each a `heddle node` process with its own log.

Nothing here restarts a node by itself: what dies stays dead until `start` or `up`, so that a crash is seen.
"""

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import network_state as state
from cli.errors import CliError, Refused, TimedOut, Unreachable
from cli.network_plan import Size, plan, processor_uri
from cli.network_state import Network, NodeRecord
from cli.options import JsonOption
from cli.output import emit, note, table
from cli.processes import log_tail, start, stop

if TYPE_CHECKING:
    from node.keys.pair import Pair
    from runtime.chain_spec import ChainSpec

READY_TIMEOUT_S = 60.0
READY_POLL_S = 0.1
STATUS_TIMEOUT_S = 3.0
DEFAULT_SIZE = Size(validators=2, processors=1, slot_ms=1000)

app = typer.Typer(no_args_is_help=True, help="Start, look at and stop a network of real nodes on this machine.")

BasePathOption = Annotated[
    Path | None,
    typer.Option("--base-path", metavar="DIR", help="The network's folder.", show_default="~/.heddle/network"),
]


def folder_of(base_path: Path | None) -> Path:
    """The network's folder, absolute: its processes do not share our working directory for ever."""
    return (base_path or state.default_base_path()).expanduser().resolve()


@app.command()
def up(
    *,
    validators: Annotated[int | None, typer.Option(help="How many validators.", show_default="2")] = None,
    processors: Annotated[int | None, typer.Option(help="How many processors.", show_default="1")] = None,
    slot_ms: Annotated[int | None, typer.Option(help="Length of a slot in milliseconds.", show_default="1000")] = None,
    base_path: BasePathOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete an older network in that folder first.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start a network; a stopped one in the same folder goes on from where it was."""
    folder = folder_of(base_path)
    network = prepare(folder, (validators, processors, slot_ms), fresh=fresh)
    started = [node.name for node in network.nodes]
    for name in started:
        network = start_node(network, name)
        note(f"{name}: pid {pid_of(network.node(name))}", as_json=as_json)
    try:
        for name in started:
            await_ready(network.node(name))
    except CliError:
        stop_nodes(network, started)
        raise
    show(network, as_json=as_json)
    note(f"Logs and data: {network.base_path}", as_json=as_json)
    note("Look at it with `heddle network status`, end it with `heddle network down`.", as_json=as_json)


@app.command()
def status(*, base_path: BasePathOption = None, as_json: JsonOption = False) -> None:
    """Say of each node whether it lives, where it listens, and how far its chain is."""
    show(state.load_present(folder_of(base_path)), as_json=as_json)


@app.command("start")
def start_one(
    name: Annotated[str, typer.Argument(help="The node's name, as `status` shows it.")],
    *,
    base_path: BasePathOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start one node again that has ended, on the data it had."""
    network = state.load_present(folder_of(base_path))
    if network.node(name).alive:
        raise Refused(f"{name} is running already", "look at it with `heddle network status`")
    network = start_node(network, name)
    await_ready(network.node(name))
    show(network, as_json=as_json)


@app.command("stop")
def stop_one(
    name: Annotated[str, typer.Argument(help="The node's name, as `status` shows it.")],
    *,
    base_path: BasePathOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop one node; its data stay."""
    network = state.load_present(folder_of(base_path))
    network.node(name)
    show(stop_nodes(network, [name]), as_json=as_json)


@app.command()
def down(*, base_path: BasePathOption = None, as_json: JsonOption = False) -> None:
    """Stop every node of the network, and no other process; data and logs stay."""
    network = state.load_present(folder_of(base_path))
    stopped = [node.name for node in network.nodes if node.alive]
    stop_nodes(network, stopped)
    emit({"stopped": stopped}, as_json=as_json, human=lambda out: out.print(f"stopped {len(stopped)} nodes"))


def prepare(folder: Path, wanted: Sequence[int | None], *, fresh: bool) -> Network:
    """The network to start in `folder`: the one recorded there, or a new one of the wanted size."""
    network = state.load(folder)
    if network is not None and any(node.alive for node in network.nodes):
        dead = next((node.name for node in network.nodes if not node.alive), None)
        again = f"start {dead} again with `heddle network start {dead}`, " if dead else ""
        raise Refused(
            f"a network is running in {folder}", f"{again}stop it with `heddle network down`, or add --base-path"
        )
    if network is not None and fresh:
        remove(network)
        network = None
    if network is not None:
        there = size_of(network)
        if any(value not in (None, have) for value, have in zip(wanted, astuple(there), strict=True)):
            raise Refused(
                f"{folder} holds a network of {there.validators} validators, {there.processors} processors, "
                f"{there.slot_ms} ms a slot",
                "leave the options out to start it again, or add --fresh to delete it",
            )
        return network
    chosen = [default if value is None else value for value, default in zip(wanted, astuple(DEFAULT_SIZE), strict=True)]
    size = Size(*chosen).checked()
    if folder.exists() and any(folder.iterdir()):
        raise Refused(f"{folder} holds files that are not a network's", "use another --base-path")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"base-path: {folder}: {error.strerror}", "use a folder that you may write to") from error
    network = plan(folder, folder / "chain.json", size)
    spec = chain_spec_of(network)
    Path(network.chain_spec).write_text(spec.to_json())
    insert_processor_keys(network, spec.id)
    state.save(network)
    return network


def chain_spec_of(network: Network) -> "ChainSpec":
    """The chain all nodes start from: validators are development accounts, processors have something to stake."""
    from runtime.chain_spec import local_spec
    from runtime.dev_accounts import dev_validator

    validators = [dev_validator(node.name.capitalize()) for node in network.nodes if node.role == "validator"]
    endowed = [processor_pair(node.name).public for node in network.nodes if node.role == "processor"]
    return local_spec(validators, network.slot_ms, endowed=endowed)


def insert_processor_keys(network: Network, chain_id: str) -> None:
    """Give each processor the key of its account, where its node will look for it."""
    from node.keys.keystore import ACCO, Keystore

    for node in network.nodes:
        if node.role == "processor":
            Keystore(Path(node.base_path) / "chains" / chain_id / "keystore").insert(ACCO, processor_pair(node.name))


def processor_pair(name: str) -> "Pair":
    """The account of the processor called `processor-N`."""
    from node.keys.pair import from_uri

    return from_uri(processor_uri(name))


def size_of(network: Network) -> Size:
    """How large a recorded network is."""
    roles = [node.role for node in network.nodes]
    return Size(roles.count("validator"), roles.count("processor"), network.slot_ms)


def remove(network: Network) -> None:
    """Delete what `up` made in the network's folder, and nothing else."""
    for node in network.nodes:
        shutil.rmtree(node.base_path, ignore_errors=True)
        Path(node.log).unlink(missing_ok=True)
    Path(network.chain_spec).unlink(missing_ok=True)
    (Path(network.base_path) / state.FILE_NAME).unlink(missing_ok=True)


def start_node(network: Network, name: str) -> Network:
    """Start one node; its process is on record before anything else happens."""
    node = network.node(name)
    process = start([*heddle_program(), *node.arguments], Path(node.log))
    network = network.with_process(name, process)
    state.save(network)
    return network


def heddle_program() -> list[str]:
    """The `heddle` of this environment; its own process, so that the pid on record is the node's."""
    installed = Path(sys.executable).with_name("heddle")
    return [str(installed)] if installed.exists() else [sys.executable, "-P", "-m", "cli.main"]


def stop_nodes(network: Network, names: Sequence[str]) -> Network:
    """Stop these nodes and take their processes off the record."""
    stop([node.process for node in network.nodes if node.name in names and node.process is not None])
    for name in names:
        network = network.with_process(name, None)
    state.save(network)
    return network


def await_ready(node: NodeRecord) -> None:
    """Wait until the node answers over RPC; CliError with its last words if it ends before."""
    from cli.rpc_client import RpcClient

    deadline = time.monotonic() + READY_TIMEOUT_S
    with RpcClient(node.url, STATUS_TIMEOUT_S) as client:
        while time.monotonic() < deadline:
            if not node.alive:
                last_words = log_tail(Path(node.log))
                raise CliError(f"{node.name} ended at its start; its last words:\n{last_words}", f"see {node.log}")
            try:
                client.call("system_health")
            except Unreachable:
                time.sleep(READY_POLL_S)
            else:
                return
    waited = f"{READY_TIMEOUT_S:.0f} s"
    raise TimedOut(f"{node.name} does not answer on port {node.rpc_port} after {waited}", f"see {node.log}")


def pid_of(node: NodeRecord) -> int | None:
    """The pid of the node's own process while it lives."""
    return node.process.pid if node.process is not None and node.alive else None


def describe(node: NodeRecord) -> dict[str, Any]:
    """One entry of `status --json`; best, finalized and peers are null when the node does not answer."""
    from cli.rpc_client import RpcClient

    document: dict[str, Any] = {
        "name": node.name,
        "role": node.role,
        "rpc_port": node.rpc_port,
        "p2p_port": node.p2p_port,
        "prometheus_port": node.prometheus_port,
        "peer_id": node.peer_id,
        "pid": pid_of(node),
        "log": node.log,
        "base_path": node.base_path,
        "alive": node.alive,
        **dict.fromkeys(("best", "best_hash", "finalized", "finalized_hash", "peers")),
    }
    if not node.alive:
        return document
    try:
        with RpcClient(node.url, STATUS_TIMEOUT_S) as client:
            best, final_hash, health = client.batch(
                [("chain_getHeader", []), ("chain_getFinalizedHead", []), ("system_health", [])]
            )
            best_hash, final = client.batch(
                [("chain_getBlockHash", [int(best["number"], 16)]), ("chain_getHeader", [final_hash])]
            )
    except CliError as error:
        document["error"] = error.message
        return document
    document |= {"best": int(best["number"], 16), "best_hash": best_hash, "peers": health["peers"]}
    document |= {"finalized": int(final["number"], 16), "finalized_hash": final_hash}
    return document


def show(network: Network, *, as_json: bool) -> None:
    """Print all nodes."""
    nodes = [describe(node) for node in network.nodes]
    names = ("name", "role", "pid", "rpc_port", "p2p_port", "peers", "best", "finalized")
    rows = [["-" if node[name] is None else node[name] for name in names] for node in nodes]
    heads = [name.replace("_port", "").replace("finalized", "final") for name in names]
    document = {"base_path": network.base_path, "chain_spec": network.chain_spec, "nodes": nodes}
    emit(document, as_json=as_json, human=table(heads, rows, empty="no nodes"))
