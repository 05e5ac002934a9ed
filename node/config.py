"""What an operator may set of a node: the options of `heddle node`, checked, with their defaults.

BadConfig names the option and its range. Everything else of a node follows from this and the chain spec.
"""

from dataclasses import dataclass, field
from pathlib import Path

P2P_PORT = 30333
RPC_PORT = 9944
PROMETHEUS_PORT = 9615
PORT_MAX = 65_535
NAME_CHARS_MAX = 64
BOOTNODES_MAX = 256
DESTINATIONS_MAX = 256
PEERS_MAX = 1_000
DEV_ACCOUNTS = ("alice", "bob", "charlie", "dave", "eve", "ferdie")
RPC_METHODS = ("auto", "safe", "unsafe")


class BadConfig(ValueError):
    """An option is out of its range, or two contradict each other."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node.

    chain: "dev", or the path of a chain spec file. base_path: None with `temporary` (a folder that goes with the node).
    dev_account: a name of DEV_ACCOUNTS, whose well-known keys the node then uses. node_key: 32 bytes of ed25519 seed;
    None takes the one kept in the base path. allow_destinations: exact (host, port) pairs that jobs may reach although
    the egress guard refuses their kind of address. challenge_ppm: the share of others' results that the processor runs
    again, in parts per million, to challenge what is wrong. stake: planck that the processor stakes by itself,
    None for one unit. offer_native: run jobs in this machine's Python and Node.js too, where bubblewrap works.
    ray_address, ray_token: the Ray cluster that runs jobs, host:port and its secret; None for this machine's own worker
    processes. blocks/state pruning: number of blocks kept, None keeps all.
    """

    chain: str = "dev"
    base_path: Path | None = None
    temporary: bool = False
    name: str = "heddle"
    validator: bool = False
    force_authoring: bool = False
    dev_account: str | None = None
    processor: bool = False
    allow_destinations: tuple[tuple[str, int], ...] = ()
    stake: int | None = None
    offer_native: bool = False
    challenge_ppm: int = 0
    ray_address: str | None = None
    ray_token: str | None = field(default=None, repr=False)
    listen_host: str = "127.0.0.1"
    port: int = P2P_PORT
    bootnodes: tuple[str, ...] = ()
    node_key: bytes | None = None
    in_peers: int = 32
    out_peers: int = 8
    rpc_host: str = "127.0.0.1"
    rpc_port: int = RPC_PORT
    rpc_methods: str = "auto"
    rpc_origins: tuple[str, ...] = ()
    rpc_max_connections: int = 100
    prometheus_host: str = "127.0.0.1"
    prometheus_port: int | None = PROMETHEUS_PORT
    keystore_path: Path | None = None
    password: str | None = None
    state_pruning: int | None = 256
    log: str = "info"
    log_json: bool = False

    def __post_init__(self) -> None:
        self._check_ranges()
        if self.dev_account is not None and self.dev_account not in DEV_ACCOUNTS:
            raise BadConfig(f"{self.dev_account}: no development account, one of {', '.join(DEV_ACCOUNTS)}")
        if self.rpc_methods not in RPC_METHODS:
            raise BadConfig(f"rpc-methods: {self.rpc_methods!r}, one of {', '.join(RPC_METHODS)}")
        if (self.base_path is None) != self.temporary:
            raise BadConfig("base-path: give a folder, or --tmp for one that goes with the node, and not both")
        if self.password is not None and self.temporary:
            raise BadConfig("password: a temporary node has no keystore to lock")

        if (self.ray_address is None) != (self.ray_token is None):
            raise BadConfig("ray-address: a cluster's address and its token belong together")

    def _check_ranges(self) -> None:
        if not 1 <= len(self.name) <= NAME_CHARS_MAX or not self.name.isprintable():
            raise BadConfig(f"name: 1 to {NAME_CHARS_MAX} printable characters")
        for option, value, high in (
            ("port", self.port, PORT_MAX),
            ("rpc-port", self.rpc_port, PORT_MAX),
            ("prometheus-port", self.prometheus_port or 0, PORT_MAX),
            ("in-peers", self.in_peers, PEERS_MAX),
            ("out-peers", self.out_peers, PEERS_MAX),
            ("rpc-max-connections", self.rpc_max_connections, 100_000),
            ("bootnodes", len(self.bootnodes), BOOTNODES_MAX),
            ("allow-destination", len(self.allow_destinations), DESTINATIONS_MAX),
        ):
            if not 0 <= value <= high:
                raise BadConfig(f"{option}: {value} is not in 0..{high}")
        if self.state_pruning is not None and self.state_pruning < 1:
            raise BadConfig(f"state-pruning: {self.state_pruning}, at least 1, or archive")


def parse_address(option: str, text: str) -> tuple[str, int]:
    """`10.0.0.1:6379` or `[::1]:8081` as a (host, port) pair. BadConfig, which names the option, otherwise."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= PORT_MAX:
        raise BadConfig(f"{option}: {text!r} is not HOST:PORT")
    return host.lower(), int(port)


def parse_destination(text: str) -> tuple[str, int]:
    """A value of --allow-destination as an exact (host, port) pair. BadConfig otherwise."""
    return parse_address("allow-destination", text)
