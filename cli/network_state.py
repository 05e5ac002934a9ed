"""A local network's record on disk: which nodes it has, where they listen, and which processes they are.

It lives in `<base path>/network.json`, is replaced atomically, and is the only thing `status` and `down` go by.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cli.errors import CliError, NotFound
from cli.processes import Process, is_alive

FILE_NAME = "network.json"
FORMAT = 1


@dataclass(frozen=True)
class NodeRecord:
    """One node: `arguments` are those after `heddle`, `process` the one last started for it."""

    name: str
    role: str
    rpc_port: int
    p2p_port: int
    prometheus_port: int
    peer_id: str
    base_path: str
    log: str
    arguments: list[str]
    process: Process | None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.rpc_port}"

    @property
    def alive(self) -> bool:
        """Whether the process that was started for it still runs."""
        return self.process is not None and is_alive(self.process)


@dataclass(frozen=True)
class Network:
    """All nodes of one base path and the chain they share."""

    base_path: str
    chain_spec: str
    slot_ms: int
    nodes: list[NodeRecord]

    def node(self, name: str) -> NodeRecord:
        """The node called `name`; NotFound lists the names there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self.nodes)
        raise NotFound(f"no node is called {name!r} in {self.base_path}", f"its nodes are {names}")

    def with_process(self, name: str, process: Process | None) -> "Network":
        """The same network with another process for one node."""
        nodes = [replace(node, process=process) if node.name == name else node for node in self.nodes]
        return replace(self, nodes=nodes)


def default_base_path() -> Path:
    """Where a network lives when no --base-path is given: below the user's own folder."""
    from node.keys.wallet import home

    return home() / "network"


def save(network: Network) -> None:
    """Replace the record by this one, atomically."""
    folder = Path(network.base_path)
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f".{FILE_NAME}.new"
    written.write_text(json.dumps({"format": FORMAT, **asdict(network)}, indent=2) + "\n")
    written.replace(folder / FILE_NAME)


def load(base_path: Path) -> Network | None:
    """The record in `base_path`, None if there is none; CliError if it cannot be read."""
    file = base_path / FILE_NAME
    try:
        document = json.loads(file.read_text())
        return read_network(document)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise CliError(f"{file} cannot be read: {error}", "if no node of it runs, delete that folder") from error


def load_present(base_path: Path) -> Network:
    """The record in `base_path`; NotFound if there is none."""
    network = load(base_path)
    if network is None:
        raise NotFound(f"there is no network in {base_path}", "start one with `heddle network up --validators 4`")
    return network


def read_network(document: dict[str, Any]) -> Network:
    """A network from its JSON; raises KeyError, TypeError or ValueError if it is none."""
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']}, this command knows {FORMAT}")
    nodes = []
    for fields in document["nodes"]:
        process = fields.pop("process")
        nodes.append(NodeRecord(**fields, process=Process(**process) if process else None))
    return Network(document["base_path"], document["chain_spec"], document["slot_ms"], nodes)
