"""What the shell's completion offers beyond names of commands: the node's latest jobs, and this user's wallets.

Completion never waits long and never fails: without a node there is nothing to offer.
"""

import os
from contextlib import suppress

import typer

from cli.options import DEFAULT_URL

JOBS_OFFERED_MAX = 50
TIMEOUT_S = 1.0


def jobs(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Numbers of the latest jobs, with their states."""
    from cli.errors import CliError
    from cli.rpc_client import RpcClient

    url = ctx.params.get("url") or os.environ.get("HEDDLE_URL") or DEFAULT_URL
    with suppress(CliError), RpcClient(url, TIMEOUT_S) as rpc:
        found = [(str(one["id"]), one["state"]) for one in rpc.call("jobs_list", None, JOBS_OFFERED_MAX)]
        return [pair for pair in found if pair[0].startswith(incomplete)]
    return []


def wallets(incomplete: str) -> list[str]:
    """Names of wallets."""
    from node.keys.wallet import WalletStore

    with suppress(OSError):
        return [name for name in WalletStore().names() if name.startswith(incomplete)]
    return []
