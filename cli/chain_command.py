"""`heddle chain`: what a chain starts from, and what a node knows of it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import CliError, NotFound, Refused
from cli.options import DEFAULT_URL, JsonOption, UrlOption
from cli.output import emit, fields

if TYPE_CHECKING:
    from runtime.chain_spec import ChainSpec
    from runtime.dev_accounts import GenesisValidator

SLOT_MS = 2_000
PROBLEMS_FOUND = 1

app = typer.Typer(no_args_is_help=True, help="What a chain starts from, and what a node knows of it.")


@app.command("build-spec")
def build_spec(
    *,
    validators: Annotated[
        str, typer.Option(help="Development names, or ACCOUNT:AURA:GRAN:BEACON of `heddle key inspect`, by commas.")
    ] = "",
    slot_ms: Annotated[int | None, typer.Option(help="Length of a slot in milliseconds.", show_default="2000")] = None,
    endow: Annotated[list[str] | None, typer.Option(metavar="ACCOUNT", help="Funded too; may be repeated.")] = None,
    name: Annotated[str | None, typer.Option(help="The chain's name.", show_default="Local Testnet")] = None,
    chain_id: Annotated[
        str | None,
        typer.Option("--id", help="The chain's id: its folder in a base path.", show_default="local_testnet"),
    ] = None,
    chain: Annotated[Path | None, typer.Option(help="Take this spec instead, to check it or make it raw.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Write the state itself: what nodes of a live chain use.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a chain spec to standard output. Without options it is the one of `heddle node --dev`."""
    from runtime.chain_spec import ChainSpecError, development_spec, local_spec

    for option, value in (("slot-ms", slot_ms), ("endow", endow), ("name", name), ("id", chain_id)):
        if value is not None and not validators:
            raise Refused(f"{option}: only for a new chain", "add --validators alice,bob or their keys")
    try:
        if chain is not None:
            spec = read_spec(chain)
        elif validators:
            chosen = [validator_of(text.strip()) for text in validators.split(",")]
            spec = local_spec(
                chosen,
                SLOT_MS if slot_ms is None else slot_ms,
                endowed=accounts_of(endow or []),
                name="Local Testnet" if name is None else name,
                chain_id="local_testnet" if chain_id is None else chain_id,
            )
        else:
            spec = development_spec()
        genesis = spec.build()
        if raw:
            spec = spec.to_raw()
    except ChainSpecError as error:
        raise Refused(str(error), "correct that field") from error
    text = spec.to_json()
    sys.stdout.write(json.dumps(json.loads(text)) + "\n" if as_json else text)
    sys.stderr.write("" if as_json else f"genesis hash 0x{genesis.header.hash().hex()}\n")


@app.command()
def verify(
    base_path: Annotated[Path, typer.Argument(help="The node's --base-path; the node must not be running.")],
    *,
    chain_id: Annotated[
        str | None, typer.Option("--id", help="Which chain in it.", show_default="the only one")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read a node's whole database and say everything that does not add up; nothing is changed."""
    from dataclasses import asdict

    from node.store.database import LevelDatabase
    from node.store.errors import DatabaseError
    from node.store.verify import verify_database

    folder = database_of(base_path, chain_id)
    try:
        database = LevelDatabase(folder)
    except DatabaseError as error:
        raise CliError(str(error), f"is a node running on {base_path}?") from error
    try:
        report = verify_database(database)
    finally:
        database.close()
    document = {"database": str(folder), "sound": report.sound, **asdict(report)}
    problems = {"problems": "\n".join(report.problems)} if report.problems else {}
    shown = {**document, "sound": "yes" if report.sound else "no", **problems}
    emit(document, as_json=as_json, human=fields({name: value for name, value in shown.items() if value != []}))
    if not report.sound:
        raise typer.Exit(PROBLEMS_FOUND)


def database_of(base_path: Path, chain_id: str | None) -> Path:
    """The database of a chain in a base path; NotFound, or Refused where there are several."""
    chains = base_path / "chains"
    found = sorted(folder.parent.name for folder in chains.glob("*/db"))
    if chain_id is None and len(found) > 1:
        raise Refused(f"id: which one of {', '.join(found)}?", f"add --id {found[0]}")
    name = chain_id or (found[0] if found else "")
    if name not in found:
        raise NotFound(f"base-path: {base_path} holds no chain {name}".rstrip(), "give the --base-path of a node")
    return chains / name / "db"


@app.command()
def info(*, url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Show which chain a node is on, how far it is, and who authors and votes."""
    from cli.amounts import format_amount
    from cli.chain_client import ChainClient

    with ChainClient.connect(url) as chain:
        document = chain_document(chain.rpc.batch, chain.genesis_hash)
        runtime = chain.at(document["finalized_hash"])
        document |= {
            "spec_version": chain.spec,
            "slot_ms": runtime.system.slot_ms_value.get(),
            "authorities": len(runtime.aura.authorities.get()),
            "total_issuance": runtime.balances.total_issuance(),
        }
    shown = {**document, "total_issuance": format_amount(document["total_issuance"])}
    emit(document, as_json=as_json, human=fields(shown))


def chain_document(batch: Any, genesis_hash: str) -> dict[str, Any]:
    """Names, heads and peers of a node, each as its RPC says."""
    name, version, health, best, final_hash = batch(
        [
            ("system_chain", []),
            ("system_version", []),
            ("system_health", []),
            ("chain_getHeader", []),
            ("chain_getFinalizedHead", []),
        ]
    )
    (final,) = batch([("chain_getHeader", [final_hash])])
    return {
        "chain": name,
        "genesis_hash": genesis_hash,
        "node_version": version,
        "peers": health["peers"],
        "syncing": health["isSyncing"],
        "best": int(best["number"], 16),
        "finalized": int(final["number"], 16),
        "finalized_hash": final_hash,
    }


def read_spec(path: Path) -> "ChainSpec":
    """A chain spec from its file; NotFound or Refused."""
    from runtime.chain_spec import ChainSpecError, development_spec, load_chain_spec

    try:
        return development_spec() if str(path) == "dev" else load_chain_spec(path.read_bytes())
    except ChainSpecError as error:
        raise Refused(f"{path}: {error}", "correct that field") from error
    except OSError as error:
        raise NotFound(f"chain: {error}", "make one with `heddle chain build-spec`") from error


def validator_of(text: str) -> "GenesisValidator":
    """A validator of block 0: a development name, or four keys; Refused names the one that is wrong."""
    from cli.accounts import account_of
    from runtime.dev_accounts import DEV_NAMES, GenesisValidator, dev_validator

    if text.capitalize() in DEV_NAMES:
        return dev_validator(text.capitalize())
    keys = text.split(":")
    if len(keys) != len(GenesisValidator.__slots__):
        names = ", ".join(DEV_NAMES).lower()
        raise Refused(f"validators: {text!r} is neither one of {names} nor ACCOUNT:AURA:GRAN:BEACON", "see --help")
    try:
        account, aura, grandpa, beacon = (account_of(key, "validators") for key in keys)
    except CliError as error:
        raise Refused(error.message, "each is an address, or 0x and 64 hex digits") from error
    return GenesisValidator(account, aura, grandpa, beacon)


def accounts_of(texts: list[str]) -> list[bytes]:
    """The accounts that are to be funded."""
    from cli.accounts import account_of

    return [account_of(text, "endow") for text in texts]
