"""What the commands of `heddle job` share: how a job and its signer are named."""

from typing import Annotated, Any

import typer

from cli import completion
from cli.errors import NotFound, Refused

JobArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The job's number, or its hash (0x and 64 digits).", autocompletion=completion.jobs
    ),
]
WalletOption = Annotated[
    str | None,
    typer.Option(
        "--wallet",
        metavar="NAME",
        help="Who signs: a wallet.",
        show_default="the only one, or //Alice on --dev",
        autocompletion=completion.wallets,
    ),
]
SuriOption = Annotated[
    str | None, typer.Option("--suri", metavar="URI", help="Who signs: a secret URI such as //Alice, not a wallet.")
]


def the_signer(wallet: str | None, suri: str | None) -> str | None:
    """The one of --wallet and --suri that is given; Refused if both are."""
    if wallet is not None and suri is not None:
        raise Refused("--wallet and --suri contradict each other", "give one of them")
    if suri is not None:
        from cli.accounts import is_secret_uri

        if not is_secret_uri(suri):
            raise Refused("suri: this is no secret URI", "write it as //Alice, or use --wallet NAME")
    return suri or wallet


def view_of(rpc: Any, job: str) -> dict[str, Any]:
    """A job by number or hash; NotFound if there is none."""
    from cli.rpc_client import RpcError

    try:
        view: dict[str, Any] = rpc.call("jobs_get", job if job.startswith("0x") else int(job))
    except ValueError as error:
        raise Refused(f"job: {job!r} is neither a number nor a hash", "see `heddle job list`") from error
    except RpcError as error:
        if error.code == -32602:
            raise Refused(f"job: {error.message}", "see `heddle job list`") from error
        raise NotFound(f"job: {error.data or error.message}", "see `heddle job list`") from error
    return view
