"""The options of `heddle node`, in the groups its help shows them in. Names and meanings are Substrate's."""

from pathlib import Path
from typing import Annotated

import typer

NETWORK, RPC, JOBS, KEYS = "Network", "RPC and metrics", "Jobs", "Keys and data"

Dev = Annotated[bool, typer.Option("--dev", help="A chain of its own: //Alice authors, one processor, temporary.")]
Chain = Annotated[str | None, typer.Option("--chain", metavar="SPEC", help="The chain spec file, or dev.")]
BasePath = Annotated[
    Path | None,
    typer.Option("--base-path", "-d", metavar="DIR", help="Where chain and keys lie.", show_default="~/.heddle/node"),
]
Temporary = Annotated[bool, typer.Option("--tmp", help="A temporary folder, deleted at the end.")]
Name = Annotated[str | None, typer.Option("--name", help="How the node is called in its log.")]
Validator = Annotated[bool, typer.Option("--validator", help="Author and vote with the keys in the keystore.")]
ForceAuthoring = Annotated[bool, typer.Option("--force-authoring", help="Author even without a peer.")]
Log = Annotated[str, typer.Option("--log", "-l", help="Level, or levels by target: info,sync=debug,rpc=warn.")]
LogJson = Annotated[bool, typer.Option("--json", "--log-json", help="Log lines as JSON.")]

Alice = Annotated[bool, typer.Option("--alice", help="Author with //Alice's keys.", rich_help_panel=KEYS)]
Bob = Annotated[bool, typer.Option("--bob", help="The same for //Bob.", rich_help_panel=KEYS)]
Charlie = Annotated[bool, typer.Option("--charlie", help="The same for //Charlie.", rich_help_panel=KEYS)]
Dave = Annotated[bool, typer.Option("--dave", help="The same for //Dave.", rich_help_panel=KEYS)]
Eve = Annotated[bool, typer.Option("--eve", help="The same for //Eve.", rich_help_panel=KEYS)]
Ferdie = Annotated[bool, typer.Option("--ferdie", help="The same for //Ferdie.", rich_help_panel=KEYS)]
KeystorePath = Annotated[
    Path | None,
    typer.Option("--keystore-path", metavar="DIR", help="Keys elsewhere than in the base path.", rich_help_panel=KEYS),
]
StatePruning = Annotated[
    str,
    typer.Option("--state-pruning", help="How many blocks' states are kept, or archive.", rich_help_panel=KEYS),
]

Port = Annotated[
    int, typer.Option("--port", help="Where peers connect; 0 lets the system choose.", rich_help_panel=NETWORK)
]
ListenHost = Annotated[str, typer.Option("--listen-host", help="Address peers connect to.", rich_help_panel=NETWORK)]
Bootnodes = Annotated[
    list[str] | None,
    typer.Option(
        "--bootnodes", metavar="ADDRESS", help="A peer to begin with; may be repeated.", rich_help_panel=NETWORK
    ),
]
NodeKey = Annotated[
    str | None,
    typer.Option(
        "--node-key", metavar="HEX", help="Network key; a list of processes shows it.", rich_help_panel=NETWORK
    ),
]
NodeKeyFile = Annotated[
    Path | None,
    typer.Option("--node-key-file", metavar="FILE", help="File with the network key.", rich_help_panel=NETWORK),
]
NoMdns = Annotated[
    bool, typer.Option("--no-mdns", help="Accepted for older scripts: there is no mDNS.", rich_help_panel=NETWORK)
]
InPeers = Annotated[int, typer.Option("--in-peers", help="Most peers that came to us.", rich_help_panel=NETWORK)]
OutPeers = Annotated[int, typer.Option("--out-peers", help="Most peers we went to.", rich_help_panel=NETWORK)]

RpcPort = Annotated[
    int, typer.Option("--rpc-port", help="JSON-RPC by HTTP and WebSocket; 0: the system's.", rich_help_panel=RPC)
]
RpcExternal = Annotated[
    bool, typer.Option("--rpc-external", help="Serve other machines too, safe methods only.", rich_help_panel=RPC)
]
RpcMethods = Annotated[str, typer.Option("--rpc-methods", help="auto, safe or unsafe.", rich_help_panel=RPC)]
RpcCors = Annotated[
    list[str] | None,
    typer.Option("--rpc-cors", metavar="ORIGIN", help="A web origin that is let in.", rich_help_panel=RPC),
]
RpcMaxConnections = Annotated[
    int, typer.Option("--rpc-max-connections", help="Most clients at once.", rich_help_panel=RPC)
]
PrometheusPort = Annotated[int, typer.Option("--prometheus-port", help="Port of /metrics.", rich_help_panel=RPC)]
PrometheusExternal = Annotated[
    bool, typer.Option("--prometheus-external", help="Serve metrics to other machines.", rich_help_panel=RPC)
]
NoPrometheus = Annotated[bool, typer.Option("--no-prometheus", help="No metrics.", rich_help_panel=RPC)]

Processor = Annotated[bool, typer.Option("--processor", help="Run jobs.", rich_help_panel=JOBS)]
NoProcessor = Annotated[bool, typer.Option("--no-processor", help="Run none, with --dev.", rich_help_panel=JOBS)]
Stake = Annotated[
    str | None,
    typer.Option(
        "--stake", metavar="HDL", help="What to put at stake by itself.", show_default="one unit", rich_help_panel=JOBS
    ),
]
OfferNative = Annotated[
    bool,
    typer.Option(
        "--offer-native",
        help="Run jobs in this machine's Python and Node.js too, in bubblewrap.",
        rich_help_panel=JOBS,
    ),
]
ExecutorKind = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="local|ray",
        help="Where jobs run: worker processes here, or a Ray cluster (docs/cluster.md).",
        rich_help_panel=JOBS,
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray-address", metavar="HOST:PORT", help="The cluster's head.", rich_help_panel=JOBS),
]
RayTokenFile = Annotated[
    Path | None,
    typer.Option(
        "--ray-token-file",
        metavar="FILE",
        help="File with the cluster's token.",
        show_default="the variable RAY_AUTH_TOKEN",
        rich_help_panel=JOBS,
    ),
]
ChallengeRate = Annotated[
    int,
    typer.Option(
        "--challenge-rate",
        metavar="PPM",
        min=0,
        max=1_000_000,
        help="How many of a million results of others to run again, to challenge what is wrong.",
        rich_help_panel=JOBS,
    ),
]
AllowDestination = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-destination",
        metavar="HOST:PORT",
        help="A private address that jobs may reach after all; may be repeated.",
        rich_help_panel=JOBS,
    ),
]
