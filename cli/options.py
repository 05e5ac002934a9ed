"""Options that mean the same in every command."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_URL = "http://127.0.0.1:9944"

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
UrlOption = Annotated[
    str, typer.Option("--url", "--rpc", envvar="HEDDLE_URL", metavar="URL", help="The node's JSON-RPC address.")
]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        envvar="HEDDLE_PASSWORD_FILE",
        metavar="FILE",
        help="A file whose first line is the password; otherwise it is asked for.",
    ),
]
SchemeOption = Annotated[str, typer.Option("--scheme", help="Signature scheme: ed25519 or sr25519.")]
