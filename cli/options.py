"""Options that mean the same in every command."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_URL = "http://127.0.0.1:9944"

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
UrlOption = Annotated[
    str, typer.Option("--url", envvar="HEDDLE_URL", metavar="URL", help="The node's JSON-RPC address.")
]
WalletsOption = Annotated[
    Path | None,
    typer.Option("--wallets", envvar="HEDDLE_WALLETS", metavar="DIR", help="Where wallets are kept."),
]
