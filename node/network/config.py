"""What an operator may set of the network, and the bounds that nobody may."""

from dataclasses import dataclass

SEED_BYTES = 32
GENESIS_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Settings of a node's network.

    node_key_seed: 32 bytes of ed25519 seed; the peer id follows from it.
    genesis_hash: 32 bytes; peers of another chain are refused and banned.
    listen_port: 0 lets the system choose; `listen_addresses()` tells the result.
    bootnodes: /ip4|ip6|dns4/HOST/tcp/PORT/p2p/ID; they are dialled for ever.
    max_per_address: inbound connections of one remote IP; loopback has its own cap, as local networks share it.
    handshake_limit_s: for the way from a TCP connection to an authenticated one, and again from there to a peer.
    silence_limit_s: a peer that sends nothing, in spite of pings, or takes nothing for so long is dropped.
    slow_reader_limit_s: how long a stream may stand still because the peer does not read it.
    """

    node_key_seed: bytes
    genesis_hash: bytes
    listen_host: str = "127.0.0.1"
    listen_port: int = 0
    bootnodes: tuple[str, ...] = ()
    max_inbound: int = 32
    max_outbound: int = 8
    max_per_address: int = 8
    max_per_loopback_address: int = 256
    handshake_limit_s: float = 10.0
    ping_interval_s: float = 4.0
    silence_limit_s: float = 15.0
    slow_reader_limit_s: float = 30.0

    def __post_init__(self) -> None:
        for name, size in (("node_key_seed", SEED_BYTES), ("genesis_hash", GENESIS_HASH_BYTES)):
            if len(getattr(self, name)) != size:
                raise ValueError(f"{name}: {len(getattr(self, name))} bytes, expected {size}")
        if not 0 <= self.listen_port <= 0xFFFF:
            raise ValueError(f"listen_port: {self.listen_port} is not in 0..65535")
        for name in ("max_inbound", "max_outbound", "max_per_address", "max_per_loopback_address"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} is below 0")
        if not 0 < self.ping_interval_s < self.silence_limit_s:
            raise ValueError("ping_interval_s: must be above 0 and below silence_limit_s")
