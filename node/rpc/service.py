"""The node's RPC port: every API registered, and the plain routes beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from node.rpc.api.author_api import AuthorApi
from node.rpc.api.blobs_api import BlobsApi
from node.rpc.api.chain_api import ChainApi
from node.rpc.api.finality_api import FinalityApi
from node.rpc.api.jobs_api import JobsApi
from node.rpc.api.logs_api import LogsApi
from node.rpc.api.state_api import StateApi
from node.rpc.api.system_api import SystemApi
from node.rpc.http import HttpRequest, HttpResponse
from node.rpc.limits import Limits
from node.rpc.methods import Methods
from node.rpc.server import RpcServer, ServerConfig

if TYPE_CHECKING:
    from node.config import NodeConfig
    from node.metrics import Metrics
    from node.network.libp2p_network import Libp2pNetwork
    from node.node import Node
    from runtime.chain_spec import ChainSpec


def rpc_server(node: Node, network: Libp2pNetwork, spec: ChainSpec, config: NodeConfig, metrics: Metrics) -> RpcServer:
    """The server with all methods, not yet listening."""

    def health() -> dict[str, Any]:
        return {
            "peers": network.peers_count,
            "isSyncing": node.status().target is not None,
            "shouldHavePeers": bool(spec.boot_nodes or config.bootnodes),
        }

    def peers() -> list[dict[str, Any]]:
        return [
            {"peerId": peer, "bestHash": "0x" + state.best_hash.hex(), "bestNumber": state.best_number}
            for peer, state in node.sync.peers.items()
        ]

    async def health_route(_request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, json.dumps(health()).encode(), "application/json")

    methods = Methods()
    state = StateApi(node.chain)
    system = SystemApi(
        node.chain,
        node.transactions,
        state,
        node.keystore,
        spec.name,
        spec.chain_type,
        health=health,
        identity=lambda: (network.local_id, network.listen_addresses()),
        peers=peers,
    )
    apis = (
        ChainApi(node.chain),
        state,
        AuthorApi(node.chain, node.transactions, node.keystore),
        system,
        BlobsApi(node.blobs),
        JobsApi(node.chain),
        LogsApi(node.chain, node.logs),
        FinalityApi(node.finality),
    )
    for api in apis:
        api.register(methods)
    server = ServerConfig(
        config.rpc_host,
        config.rpc_port,
        config.rpc_methods,  # type: ignore[arg-type]  # NodeConfig checked that it is one of the three
        limits=Limits(connections_max=config.rpc_max_connections),
    )
    return RpcServer(methods, server, {"/health": health_route}, metrics)
