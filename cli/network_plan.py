"""What a local network will look like before it is started: names, keys, ports and each node's command line."""

import secrets
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cli.errors import Refused
from cli.network_state import Network, NodeRecord

# The development accounts that `heddle node` has a flag for.
VALIDATOR_NAMES = ("alice", "bob", "charlie", "dave", "eve", "ferdie")
VALIDATORS_MAX = len(VALIDATOR_NAMES)
PROCESSORS_MAX = 16
PORTS_PER_NODE = 3


@dataclass(frozen=True)
class Size:
    """How many nodes of each kind, and how long a slot is; checked by `checked`."""

    validators: int
    processors: int
    slot_ms: int

    def checked(self) -> "Size":
        """Itself; Refused names the number that is out of its range."""
        from runtime.heddle import SLOT_MS_MAX, SLOT_MS_MIN

        for name, value, low, high in (
            ("validators", self.validators, 1, VALIDATORS_MAX),
            ("processors", self.processors, 0, PROCESSORS_MAX),
            ("slot-ms", self.slot_ms, SLOT_MS_MIN, SLOT_MS_MAX),
        ):
            if not low <= value <= high:
                raise Refused(f"--{name}: {value} is not in {low}..{high}", "choose a number in that range")
        return self


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on, all different."""
    with ExitStack() as held:
        ports = []
        for _ in range(count):
            listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            listener.bind(("127.0.0.1", 0))
            ports.append(int(listener.getsockname()[1]))
        return ports


def peer_id_of(public_key: bytes) -> str:
    """libp2p's name of a node: base58 of the identity multihash of its protobuf-coded ed25519 public key."""
    from base58 import b58encode

    coded = b"\x08\x01\x12\x20" + public_key
    return b58encode(bytes([0, len(coded)]) + coded).decode()


def node_key(folder: Path) -> bytes:
    """The node's secret network key, 32 bytes as hex in `node-key`; made at the first use, readable by its owner."""
    file = folder / "node-key"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        written = folder / ".node-key.new"
        written.touch(mode=0o600)
        written.write_text(secrets.token_hex(32) + "\n")
        written.replace(file)
    return bytes.fromhex(file.read_text().strip())


def public_of(secret: bytes) -> bytes:
    """The ed25519 public key of a 32-byte secret."""
    from nacl.signing import SigningKey

    return bytes(SigningKey(secret).verify_key)


def processor_uri(name: str) -> str:
    """The secret URI of the account of the processor called `processor-N`: //Processor//N, known to everybody."""
    return f"//Processor//{name.rpartition('-')[2]}"


def plan(base_path: Path, chain_spec: Path, size: Size) -> Network:
    """A network of `size` nodes that all know each other's addresses; nothing is started."""
    names = [(name, "validator") for name in VALIDATOR_NAMES[: size.validators]]
    names += [(f"processor-{number + 1}", "processor") for number in range(size.processors)]
    ports = free_ports(PORTS_PER_NODE * len(names))
    listening = {name: ports[PORTS_PER_NODE * place :][:PORTS_PER_NODE] for place, (name, _) in enumerate(names)}
    peers = {name: peer_id_of(public_of(node_key(base_path / name))) for name, _ in names}
    addresses = {name: f"/ip4/127.0.0.1/tcp/{listening[name][0]}/p2p/{peers[name]}" for name, _ in names}
    nodes = []
    for name, role in names:
        p2p_port, rpc_port, prometheus_port = listening[name]
        # A node is given every other as a boot node, so that the loss of any one leaves the rest connected.
        bootnodes = [address for other, address in addresses.items() if other != name]
        arguments = [
            *("node", "--chain", str(chain_spec), "--base-path", str(base_path / name), "--name", name),
            *(("--validator", f"--{name}", "--no-processor") if role == "validator" else ("--processor",)),
            *("--port", str(p2p_port), "--rpc-port", str(rpc_port), "--prometheus-port", str(prometheus_port)),
            *("--node-key-file", str(base_path / name / "node-key"), "--no-mdns"),
            *(word for address in bootnodes for word in ("--bootnodes", address)),
        ]
        log = str(base_path / f"{name}.log")
        record = NodeRecord(
            name, role, rpc_port, p2p_port, prometheus_port, peers[name], str(base_path / name), log, arguments, None
        )
        nodes.append(record)
    return Network(str(base_path), str(chain_spec), size.slot_ms, nodes)
