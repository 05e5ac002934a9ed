"""`heddle benchmark`: how fast this machine does what a node does, as ratios that hold on any machine."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.errors import Refused
from cli.options import JsonOption
from cli.output import emit, fields, note

TRANSFERS_MAX = 5_000
ACCOUNTS_MAX = 2_000_000
BLOCKS_MAX = 1_000

app = typer.Typer(no_args_is_help=True, help="Measure what a node does, as ratios.")


@app.callback()
def benchmark() -> None:
    """Measure what a node does, as ratios."""


@app.command("import")
def import_(
    *,
    transfers: Annotated[int, typer.Option(help="Signed transfers in a block.")] = 2_000,
    accounts: Annotated[int, typer.Option(help="Accounts in the state.")] = 100_000,
    blocks: Annotated[int, typer.Option(help="Blocks measured; the median counts.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Import blocks of signed transfers with the full runtime on one core, against raw libsodium verification."""
    from node.import_benchmark import measure_import

    limits = (
        ("transfers", transfers, 1, TRANSFERS_MAX),
        ("accounts", accounts, 100, ACCOUNTS_MAX),
        ("blocks", blocks, 1, BLOCKS_MAX),
    )
    for name, value, low, high in limits:
        if not low <= value <= high:
            raise Refused(f"{name}: {value} is not in {low}..{high}", "leave it out for the usual measurement")
    figures = measure_import(blocks, transfers, accounts, lambda step: note(f"  {step}", as_json=as_json))
    document = {
        **asdict(figures),
        "import_per_raw_verify": figures.import_per_raw_verify,
        "cached_per_raw_verify": figures.cached_per_raw_verify,
    }
    shown = {name: f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" for name, value in document.items()}
    emit(document, as_json=as_json, human=fields(shown))
