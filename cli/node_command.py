"""`heddle node`: run a node - validator, processor, both or neither."""

from pathlib import Path

import typer

from cli import node_options as options
from cli.amounts import parse_amount
from cli.cluster_choice import cluster_of
from cli.errors import NotFound, Refused
from cli.options import PasswordFileOption

KEY_FILE_BYTES_MAX = 128

app = typer.Typer(help="Run a node: validator, processor, both or neither.")


@app.command()
def node(  # noqa: PLR0913 - one argument for each option, as typer wants it
    *,
    dev: options.Dev = False,
    chain: options.Chain = None,
    base_path: options.BasePath = None,
    tmp: options.Temporary = False,
    name: options.Name = None,
    validator: options.Validator = False,
    force_authoring: options.ForceAuthoring = False,
    log: options.Log = "info",
    log_json: options.LogJson = False,
    alice: options.Alice = False,
    bob: options.Bob = False,
    charlie: options.Charlie = False,
    dave: options.Dave = False,
    eve: options.Eve = False,
    ferdie: options.Ferdie = False,
    keystore_path: options.KeystorePath = None,
    password_file: PasswordFileOption = None,
    state_pruning: options.StatePruning = "256",
    port: options.Port = 30333,
    listen_host: options.ListenHost = "127.0.0.1",
    bootnodes: options.Bootnodes = None,
    node_key: options.NodeKey = None,
    node_key_file: options.NodeKeyFile = None,
    no_mdns: options.NoMdns = False,
    in_peers: options.InPeers = 32,
    out_peers: options.OutPeers = 8,
    rpc_port: options.RpcPort = 9944,
    rpc_external: options.RpcExternal = False,
    rpc_methods: options.RpcMethods = "auto",
    rpc_cors: options.RpcCors = None,
    rpc_max_connections: options.RpcMaxConnections = 100,
    prometheus_port: options.PrometheusPort = 9615,
    prometheus_external: options.PrometheusExternal = False,
    no_prometheus: options.NoPrometheus = False,
    processor: options.Processor = False,
    no_processor: options.NoProcessor = False,
    stake: options.Stake = None,
    offer_native: options.OfferNative = False,
    executor: options.ExecutorKind = "local",
    ray_address: options.RayAddress = None,
    ray_token_file: options.RayTokenFile = None,
    challenge_rate: options.ChallengeRate = 0,
    allow_destination: options.AllowDestination = None,
) -> None:
    """Run a node until it is stopped with Ctrl-C or SIGTERM.

    --dev is a chain of its own, temporary unless --base-path is given.
    """
    from node.config import BadConfig, NodeConfig, parse_destination
    from node.log import BadLogFilter, parse_filter
    from node.service import run_node

    flags = {"alice": alice, "bob": bob, "charlie": charlie, "dave": dave, "eve": eve, "ferdie": ferdie}
    account = the_one(flags) or ("alice" if dev else None)
    temporary = tmp or (dev and base_path is None)
    try:
        parse_filter(log)
        cluster = cluster_of(executor, ray_address, ray_token_file)
        config = NodeConfig(
            chain=chain_of(chain, dev=dev),
            base_path=None if temporary else (base_path or default_base_path()).expanduser().resolve(),
            temporary=temporary,
            name=name or account or "heddle",
            validator=validator or dev,
            force_authoring=force_authoring or dev,
            dev_account=account,
            processor=(processor or dev) and not no_processor,
            allow_destinations=tuple(map(parse_destination, allow_destination or ())),
            stake=None if stake is None else parse_amount(stake, "stake"),
            offer_native=offer_native,
            challenge_ppm=challenge_rate,
            ray_address=None if cluster is None else cluster.address,
            ray_token=None if cluster is None else cluster.token,
            listen_host=listen_host,
            port=port,
            bootnodes=tuple(bootnodes or ()),
            node_key=node_key_of(node_key, node_key_file),
            in_peers=in_peers,
            out_peers=out_peers,
            rpc_host="0.0.0.0" if rpc_external else "127.0.0.1",  # noqa: S104 - what --rpc-external asks for
            rpc_port=rpc_port,
            rpc_methods=rpc_methods,
            rpc_origins=tuple(rpc_cors or ()),
            rpc_max_connections=rpc_max_connections,
            prometheus_host="0.0.0.0" if prometheus_external else "127.0.0.1",  # noqa: S104 - as asked for
            prometheus_port=None if no_prometheus else prometheus_port,
            keystore_path=keystore_path,
            password=password_of(password_file),
            state_pruning=pruning_of(state_pruning),
            log=log,
            log_json=log_json,
        )
    except (BadConfig, BadLogFilter) as error:
        raise Refused(str(error), "see `heddle node --help`") from error
    code = run_node(config)
    if code:
        raise typer.Exit(code)


def the_one(flags: dict[str, bool]) -> str | None:
    """The one account whose flag is set; Refused if there are two."""
    chosen = [name for name, is_set in flags.items() if is_set]
    if len(chosen) > 1:
        raise Refused(f"--{chosen[0]} and --{chosen[1]} contradict each other", "a node has one account")
    return chosen[0] if chosen else None


def chain_of(chain: str | None, *, dev: bool) -> str:
    """The chain spec: `dev`, or a file that exists."""
    if chain is None:
        if not dev:
            raise Refused("chain: which one?", "--dev for a chain of your own, or --chain with a chain spec file")
        return "dev"
    if chain == "dev":
        return chain
    path = Path(chain).expanduser()
    if not path.is_file():
        raise NotFound(f"chain: there is no file {chain}", "make one with `heddle chain build-spec`")
    return str(path.resolve())


def default_base_path() -> Path:
    """Where a node lives when no --base-path is given."""
    from node.keys.wallet import home

    return home() / "node"


def node_key_of(text: str | None, file: Path | None) -> bytes | None:
    """The network key of --node-key or --node-key-file, 32 bytes; None if neither is given."""
    from node.keys.node_key import BadNodeKey, parse_node_key

    if text is not None and file is not None:
        raise Refused("--node-key and --node-key-file contradict each other", "give one of them")
    try:
        if text is not None:
            return parse_node_key(text.encode())
        if file is not None:
            with file.expanduser().open("rb") as opened:
                return parse_node_key(opened.read(KEY_FILE_BYTES_MAX))
    except BadNodeKey as error:
        raise Refused(str(error), "it is 64 hex digits") from error
    except OSError as error:
        raise NotFound(f"node-key-file: {error}", "leave it out: the node makes a key and keeps it") from error
    return None


def password_of(file: Path | None) -> str | None:
    """The keystore's password, None if it has none."""
    if file is None:
        return None
    from cli.accounts import password

    return password("Password of the keystore", file)


def pruning_of(text: str) -> int | None:
    """The number of blocks whose state is kept; None for archive."""
    if text == "archive":
        return None
    if not text.isascii() or not text.isdigit():
        raise Refused(f"state-pruning: {text!r} is neither a number nor archive", "256 is the default")
    return int(text)
