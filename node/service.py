"""The process around a node: folders, keys, libp2p, LevelDB, RPC, metrics and signals.

Files: <base>/chains/<id>/{db, keystore, network, votes, blobs}, as Substrate lays them out. A node that cannot start
says in one line why, and returns an exit code.
"""

from __future__ import annotations

import signal
import socket
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from node.chain import UpgradeNeeded
from node.collecting import collect_seldom
from node.config import NodeConfig
from node.finality.votes_file import VotesFile, VotesFileError
from node.job_counting import JobCounting
from node.keys.files import SecretFileError
from node.keys.keystore import AURA, GRAN, Keystore
from node.keys.node_key import load_or_create
from node.keys.pair import dev_pair
from node.keys.sealed import SealError
from node.log import logger, run_informant, setup
from node.measuring import Measuring
from node.metrics import Metrics
from node.network.config import NetworkConfig
from node.network.port import ChainStatus, InvalidAddress, Role
from node.node import Node, Ports
from node.ports import SystemClock, SystemEntropy, ThreadCompute
from node.processor.cluster.errors import ClusterError
from node.rpc.server import GetServer, ServerConfig
from node.rpc.service import rpc_server
from node.store.database import LevelDatabase
from node.store.errors import StoreError
from node.store.flush import Pruning
from node.store.startup import create_store, is_initialised, open_store
from node.store.store import Store
from runtime.chain_spec import ChainSpec, ChainSpecError, Genesis, development_spec, load_chain_spec
from runtime.crypto import EdgeVectorMismatch, check_edge_vectors
from runtime.heddle import MAX_SPEC

if TYPE_CHECKING:
    from node.processor.runtimes.port import Pool
    from node.processor.service import ProcessorService

log = logger("heddle")

EXIT_OK, EXIT_FAILED, EXIT_CONFIG, EXIT_UPGRADE = 0, 1, 2, 3
UPGRADE_WARNING_S = 60


class CannotStart(Exception):
    """Why a node does not start, in words for its operator."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where one chain's files lie."""

    root: Path

    @property
    def database(self) -> Path:
        """LevelDB."""
        return self.root / "db"

    @property
    def votes(self) -> Path:
        """The vote file."""
        return self.root / "votes"

    @property
    def blobs(self) -> Path:
        """Scripts, inputs and results."""
        return self.root / "blobs"

    @property
    def network(self) -> Path:
        """The node key."""
        return self.root / "network"


CANNOT_START = (
    *(CannotStart, ChainSpecError, StoreError, SecretFileError, SealError, VotesFileError),
    *(InvalidAddress, OSError),
)


def check_ports(config: NodeConfig) -> None:
    """Raise CannotStart naming the option whose port is taken, before anything is opened."""
    for option, host, port in (
        ("--port", config.listen_host, config.port),
        ("--rpc-port", config.rpc_host, config.rpc_port),
        ("--prometheus-port", config.prometheus_host, config.prometheus_port or 0),
    ):
        try:
            with socket.create_server((host, port)):
                pass
        except OSError as error:
            raise CannotStart(f"{option} {port}: {error.strerror}; choose another port, or 0 for any") from error


def run_node(config: NodeConfig) -> int:
    """Run a node until SIGINT or SIGTERM; the process's exit code."""
    setup(config.log, json=config.log_json, name=config.name)
    with ExitStack() as stack:
        try:
            check_ports(config)
            process = open_process(config, stack)
        except CANNOT_START as error:
            log.error("cannot start", reason=str(error))  # noqa: TRY400 - a sentence for the operator, no traceback
            return EXIT_CONFIG
        return trio.run(process.run)


def load_spec(chain: str) -> ChainSpec:
    """The chain spec named by --chain. Raises ChainSpecError, OSError."""
    return development_spec() if chain == "dev" else load_chain_spec(Path(chain).read_bytes())


def open_store_at(folder: Path, genesis: Genesis, state_pruning: int | None) -> Store:
    """The chain's database, made at first. Raises StoreError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    database = LevelDatabase(folder)
    pruning = Pruning(state_blocks=state_pruning)
    genesis_hash = genesis.header.hash()
    if is_initialised(database):
        return open_store(database, genesis_hash, pruning)
    return create_store(database, genesis.header.encode(), genesis_hash, genesis.state, pruning)


def open_process(config: NodeConfig, stack: ExitStack) -> Process:
    """Open everything that can fail, before any task runs."""
    try:
        check_edge_vectors()
    except EdgeVectorMismatch as error:
        raise CannotStart(f"a signature library judges an edge case differently than the chain: {error}") from error
    spec = load_spec(config.chain)
    genesis = spec.build()
    base = config.base_path or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heddle-")))
    folders = Folders(base / "chains" / spec.id)
    store = open_store_at(folders.database, genesis, config.state_pruning)
    stack.callback(store.close)
    keystore = Keystore(config.keystore_path or folders.root / "keystore", config.password)
    if config.dev_account is not None:
        pair = dev_pair(config.dev_account.capitalize())
        for key_type in (AURA, GRAN):
            if not keystore.has(key_type, pair.public):
                keystore.insert(key_type, pair)
    folders.network.mkdir(parents=True, exist_ok=True)
    node_key = config.node_key or load_or_create(folders.network / "secret_ed25519")
    votes = VotesFile.open(folders.votes)
    stack.callback(votes.close)
    return Process(config, spec, genesis, folders, store, keystore, node_key, votes)


def first_of(group: BaseExceptionGroup[Exception]) -> BaseException:
    """The first error in a group, however deep: each nursery on the way has put a group around it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def cluster_pool(config: NodeConfig) -> Pool | None:
    """The cluster that runs this node's jobs; None for worker processes of this machine."""
    if config.ray_address is None or config.ray_token is None:
        return None
    from node.processor.cluster.pool import RayPool

    return RayPool(config.ray_address, config.ray_token)


class Process:
    """One node as an operating system process."""

    def __init__(
        self,
        config: NodeConfig,
        spec: ChainSpec,
        genesis: Genesis,
        folders: Folders,
        store: Store,
        keystore: Keystore,
        node_key: bytes,
        votes: VotesFile,
    ) -> None:
        from node.network.libp2p_network import Libp2pNetwork

        self.config = config
        self.spec = spec
        network_config = NetworkConfig(
            node_key,
            genesis.header.hash(),
            config.listen_host,
            config.port,
            (*spec.boot_nodes, *config.bootnodes),
            config.in_peers,
            config.out_peers,
        )
        self.network = Libp2pNetwork(network_config, self._chain_status)
        ports = Ports(self.network, SystemClock(), SystemEntropy(), ThreadCompute())
        self.node = Node(
            store,
            genesis.slot_ms,
            ports,
            keystore,
            votes,
            folders.blobs,
            validator=config.validator,
            role=Role.FULL | (Role.PROCESSOR if config.processor else Role(0)),
        )
        self.metrics = Metrics(name=config.name, version="0.1.0", chain=spec.id, authority=config.validator)
        self.node.chain.on_import_time = self.metrics.import_seconds.observe
        self.node.author.on_block = self.metrics.authored
        self.processor: ProcessorService | None = None
        if config.processor:
            from node.processor.service import ProcessorService, processor_pair

            pair = processor_pair(keystore, config.dev_account, ports.entropy.token(32))
            journal = folders.root / "processor"
            self.processor = ProcessorService(
                *(self.node, pair, journal, config.allow_destinations, config.stake, config.challenge_ppm),
                offer_native=config.offer_native,
                pool=cluster_pool(config),
            )
            self.processor.observe(self.metrics)
        self.rpc = rpc_server(self.node, self.network, spec, config, self.metrics)

    def _chain_status(self) -> ChainStatus:
        return self.node.sync.status()

    async def run(self) -> int:
        """Until a signal or the failure of an essential task; the exit code."""
        log.info("Heddle node", version="0.1.0", chain=self.spec.name, name=self.config.name)
        log.info("Genesis", hash=f"0x{self.node.chain.genesis_hash.hex()}", roles=str(self.node.sync.role))
        collect_seldom()
        code = EXIT_OK
        try:
            async with self.network.run(), trio.open_nursery() as nursery:
                nursery.start_soon(self._until_signal, nursery.cancel_scope)
                nursery.start_soon(self.node.keystore.run_watch, lambda: None, logger("keystore"))
                port = await nursery.start(self.rpc.run)
                log.info("Running JSON-RPC server", address=f"{self.config.rpc_host}:{port}")
                if self.config.prometheus_port is not None:
                    await nursery.start(self._metrics_server().run)
                    nursery.start_soon(JobCounting(self.node.chain, self.metrics).run)
                nursery.start_soon(Measuring(self.node, self.network, self.metrics, self._running).run)
                nursery.start_soon(self._watch_upgrades)
                nursery.start_soon(run_informant, self.node.status, logger("substrate"))
                nursery.start_soon(self.node.run)
                if self.processor is not None:
                    nursery.start_soon(self.processor.run)
        except* UpgradeNeeded as needed:
            log.error("the node stops", reason=str(first_of(needed)))  # noqa: TRY400 - a sentence, no traceback
            code = EXIT_UPGRADE
        except* ClusterError as refused:
            log.error("the node stops", reason=str(first_of(refused)))  # noqa: TRY400 - a sentence, no traceback
            code = EXIT_FAILED
        except* Exception:  # the supervisor of the whole node
            log.exception("Essential task failed: the node stops")
            code = EXIT_FAILED
        return code

    def _running(self) -> int:
        return 0 if self.processor is None else self.processor.watcher.running

    async def _until_signal(self, scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                log.info("stopping", signal=signal.Signals(number).name)
                scope.cancel()
                return

    def _metrics_server(self) -> GetServer:
        config = ServerConfig(self.config.prometheus_host, self.config.prometheus_port or 0)
        return self.metrics.server(config)

    async def _watch_upgrades(self) -> None:
        while True:
            self._warn_of_upgrade()
            await trio.sleep(UPGRADE_WARNING_S)

    def _warn_of_upgrade(self) -> None:
        """Say, from its authorisation on, that rules are coming which this node does not have."""
        chain = self.node.chain
        coming = chain.at(chain.best.hash).system.authorized_upgrade.get()
        if coming is not None and coming.spec_version > MAX_SPEC:
            needed = str(UpgradeNeeded(coming.spec_version, coming.height))
            log.warning("an upgrade is coming", reason=needed, blocks_left=coming.height - chain.best.number)
