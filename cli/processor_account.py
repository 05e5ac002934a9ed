"""Which processor is meant, and its key: from a node's keystore, from a secret URI, or that of the development node."""

from pathlib import Path
from typing import TYPE_CHECKING

from cli.accounts import pair_of
from cli.chain_client import ChainClient
from cli.errors import CliError, NotFound, Refused

if TYPE_CHECKING:
    from node.keys.pair import Pair

DEVELOPMENT_PROCESSOR = "//Alice//processor"
CHAINS_MAX = 16


def processor_key(chain: ChainClient, base_path: Path | None, suri: str | None, password: str | None) -> "Pair":
    """The processor's key pair; Refused or NotFound say where else to look."""
    if base_path is not None and suri is not None:
        raise Refused("--base-path and --suri contradict each other", "give one of them")
    if suri is not None:
        return pair_of(suri)
    if base_path is not None:
        return keystore_key(base_path.expanduser(), password)
    if chain.rpc.call("system_chainType") != "Development":
        raise Refused("which processor?", "--base-path with the folder of its node, or --suri with its secret")
    return pair_of(DEVELOPMENT_PROCESSOR)


def keystore_key(base_path: Path, password: str | None) -> "Pair":
    """The account key that a node in `base_path` uses as its processor's."""
    from node.keys.files import SecretFileError
    from node.keys.keystore import ACCO, Keystore
    from node.keys.sealed import SealError

    folders = sorted(base_path.glob("chains/*/keystore"))[:CHAINS_MAX]
    if not folders and (base_path / "keystore").is_dir():
        folders = [base_path / "keystore"]
    if not folders:
        raise NotFound(f"base-path: {base_path} holds no node's data", "it is the --base-path of `heddle node`")
    try:
        for folder in folders:
            keystore = Keystore(folder, password)
            known = keystore.publics(ACCO)
            if known:
                return keystore.pair(ACCO, known[0])
            if keystore.problems:
                why = next(iter(keystore.problems.values()))
                raise CliError(f"{folder}: {why}", "is it the right --password-file?")
    except (SealError, SecretFileError) as error:
        raise CliError(f"base-path: {error}", "is it the right --password-file?") from error
    raise NotFound(f"base-path: no processor's key in {base_path}", "has its node run with --processor?")
