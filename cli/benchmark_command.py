"""`heddle benchmark`: how fast this machine does what a node does, as ratios that hold on any machine."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.burst_command import burst
from cli.errors import Refused
from cli.options import JsonOption
from cli.output import emit, fields, note

TRANSFERS_MAX = 5_000
ACCOUNTS_MAX = 2_000_000
BLOCKS_MAX = 1_000
JOBS_MAX = 400
"""A block has room for so many registrations."""
JOBS_PER_PROCESSOR_MAX = 16
PROCESSORS_MAX = 1_000

app = typer.Typer(no_args_is_help=True, help="Measure what a node does, as ratios.")


app.command("burst")(burst)


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

    _check(
        ("transfers", transfers, 1, TRANSFERS_MAX),
        ("accounts", accounts, 100, ACCOUNTS_MAX),
        ("blocks", blocks, 1, BLOCKS_MAX),
    )
    figures = measure_import(blocks, transfers, accounts, lambda step: note(f"  {step}", as_json=as_json))
    _show(
        {
            **asdict(figures),
            "import_per_raw_verify": figures.import_per_raw_verify,
            "cached_per_raw_verify": figures.cached_per_raw_verify,
        },
        as_json=as_json,
    )


@app.command("jobs")
def jobs_(
    *,
    jobs: Annotated[int, typer.Option(help="Jobs in a batch, each from registration to settlement.")] = 200,
    processors: Annotated[int, typer.Option(help="Processors that share them.")] = 100,
    accounts: Annotated[int, typer.Option(help="Accounts in the state.")] = 100_000,
    batches: Annotated[int, typer.Option(help="Batches measured; the median counts.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Import whole lives of jobs (register, match, acknowledge, start, report, settle), against raw verification."""
    from node.jobs_benchmark import measure_jobs

    _check(
        ("jobs", jobs, 1, JOBS_MAX),
        ("processors", processors, -(-jobs // JOBS_PER_PROCESSOR_MAX), PROCESSORS_MAX),
        ("accounts", accounts, 100, ACCOUNTS_MAX),
        ("batches", batches, 1, BLOCKS_MAX),
    )
    figures = measure_jobs(batches, jobs, accounts, processors, lambda step: note(f"  {step}", as_json=as_json))
    _show({**asdict(figures), "lifecycles_per_raw_verify": figures.lifecycles_per_raw_verify}, as_json=as_json)


def _check(*limits: tuple[str, int, int, int]) -> None:
    for name, value, low, high in limits:
        if not low <= value <= high:
            raise Refused(f"{name}: {value} is not in {low}..{high}", "leave it out for the usual measurement")


def _show(document: dict[str, float], *, as_json: bool) -> None:
    shown = {name: f"{value:,.3f}" if isinstance(value, float) else f"{value:,}" for name, value in document.items()}
    emit(document, as_json=as_json, human=fields(shown))
