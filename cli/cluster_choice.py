"""Which cluster a node is to use: --executor, --ray-address and the token, which is never on a command line."""

import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from cli.errors import NotFound, Refused

EXECUTORS = ("local", "ray")
TOKEN_VARIABLE = "RAY_AUTH_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_CHARACTERS_MAX = 4_096


@dataclass(frozen=True, slots=True)
class ClusterChoice:
    """A Ray cluster and its token."""

    address: str
    token: str = field(repr=False)


def cluster_of(executor: str, address: str | None, token_file: Path | None) -> ClusterChoice | None:
    """The cluster that the options name, None for worker processes of this machine; Refused for half of one."""
    from node.config import parse_address
    from node.processor.cluster.errors import RayMissing

    if executor not in EXECUTORS:
        raise Refused(f"executor: {executor!r}, one of {', '.join(EXECUTORS)}", "see `heddle node --help`")
    if executor == "local":
        if address is not None or token_file is not None:
            raise Refused("ray-address: nothing runs on a cluster", "add --executor ray")
        return None
    if address is None:
        raise Refused("ray-address: which cluster?", "--ray-address HOST:PORT of its head, see docs/cluster.md")
    parse_address("ray-address", address)
    if find_spec("ray") is None:
        raise Refused("executor: ray is not installed", RayMissing.HINT)
    return ClusterChoice(address, token_of(token_file))


def token_of(file: Path | None) -> str:
    """The token in a file, else in the environment."""
    try:
        text = os.environ.get(TOKEN_VARIABLE, "") if file is None else file.expanduser().read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"ray-token-file: {error}", "the file that the cluster's RAY_AUTH_TOKEN_PATH names") from error
    token = text.strip()
    if not 1 <= len(token) <= TOKEN_CHARACTERS_MAX or not token.isprintable():
        source = TOKEN_VARIABLE if file is None else "ray-token-file"
        raise Refused(
            f"{source}: a token has 1 to {TOKEN_CHARACTERS_MAX} printable characters",
            f"--ray-token-file, or the variable {TOKEN_VARIABLE}: the token that the cluster was started with",
        )
    return token
