"""A node, put together: what each part needs of the others, and the tasks that make it live.

Everything here works on the ports alone, so that the simulator runs the same node. `node/service.py` makes the real
ports and adds what only a real process has: RPC, metrics, signals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from node.authoring import Author
from node.blobs import Blobs, BlobStore
from node.chain import Chain
from node.evidence import Evidence
from node.finality.driver import FinalityDriver
from node.finality.votes_file import VotesFile
from node.gossip import Gossip
from node.keys.keystore import Keystore
from node.log import Status
from node.network.port import Network, Role
from node.ports import Clock, Compute, Entropy
from node.relay import Relay
from node.run_logs import RunLogs
from node.store.store import Store
from node.sync import Sync
from node.transactions import Transactions

MAJOR_SYNC_BLOCKS = 5


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside world of one node."""

    network: Network
    clock: Clock
    entropy: Entropy
    compute: Compute


class Node:
    """One node on a chain. `run` lives until cancelled; if an essential task fails, its error comes out."""

    def __init__(
        self,
        store: Store,
        slot_ms: int,
        ports: Ports,
        keystore: Keystore,
        votes: VotesFile,
        blobs: Path,
        *,
        validator: bool = False,
        role: Role = Role.FULL,
    ) -> None:
        self.ports = ports
        self.keystore = keystore
        self.validator = validator
        self.chain = Chain(store, slot_ms, ports.clock, ports.compute)
        self.transactions = Transactions(self.chain)
        self.gossip = Gossip(ports.network)
        self.sync = Sync(self.chain, ports.network, self.gossip, role | (Role.AUTHORITY if validator else Role(0)))
        self.relay = Relay(self.transactions, ports.network, self.gossip)
        self.blobs = Blobs(BlobStore(blobs), ports.network)
        self.logs = RunLogs(ports.network)
        self.finality = FinalityDriver(
            self.chain, ports.network, self.gossip, keystore, votes, ports.clock, ports.entropy, voting=validator
        )
        self.sync.on_justification = self.finality.on_justification
        self.finality.want_block = self.sync.want_block
        self.author = Author(self.chain, self.transactions.pool, keystore, votes)
        self.author.ready = lambda: not self.sync.syncing
        self.evidence = Evidence(self.chain)
        self.finality.on_equivocation = self.evidence.add_votes
        self.chain.on_equivocation = self.evidence.add_headers
        self.author.evidence = self.evidence.take

    def status(self) -> Status:
        """What the regular log line says."""
        best, final = self.chain.best, self.chain.finalised
        ahead = max((peer.best_number for peer in self.sync.peers.values()), default=0)
        target = ahead if ahead > best.number + MAJOR_SYNC_BLOCKS else None
        return Status(len(self.ports.network.peers()), best.number, best.hash, final.number, final.hash, target)

    async def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Live: follow, relay, vote and author."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.transactions.run)
            nursery.start_soon(self.gossip.run)
            nursery.start_soon(self.sync.run)
            nursery.start_soon(self.relay.run)
            nursery.start_soon(self.finality.run)
            if self.validator:
                nursery.start_soon(self.author.run)
            started()
