"""The entry point of `heddle`: a list of command groups, each imported only when it is used.

`heddle --help` therefore reads no more than this file, and only `heddle node` ever loads libp2p.
"""

import importlib
import sys
from collections.abc import Sequence

import typer
from typer._click import Command, Context  # typer 0.29 carries its own click
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from cli.errors import CliError

# name -> what it is for; its commands are `app` in cli/<name>_command.py. A row is added when the command works.
COMMANDS: dict[str, str] = {
    "node": "Run a node: validator, processor, both or neither.",
    "key": "Make keys, look at them, and give them to a node.",
    "chain": "What a chain starts from, and what a node knows of it.",
    "wallet": "Keep accounts, look at their balances, pay with them.",
    "network": "Start, look at and stop a network of real nodes on this machine.",
    "job": "Make a job, send it, watch it run, and get its results.",
    "processor": "What a processor offers, how it is doing, and whom it belongs to.",
    "demo": "Watch real jobs go through a real chain: three processes, three jobs, two minutes.",
    "benchmark": "Measure what a node does, as ratios.",
}

EPILOG = "Exit codes: 0 done, 1 failed, 2 usage, 3 no node answers, 4 refused before signing, 5 not found, 6 timed out."


class LazyGroup(TyperGroup):
    """A group whose commands are modules, imported when one is run or completed, never to list them."""

    def list_commands(self, ctx: Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(name=cmd_name, help=COMMANDS[cmd_name])

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None:
            command = get_command(importlib.import_module(f"cli.{name}_command").app)
            command.name = name
        return name, command, rest


app = typer.Typer(
    cls=LazyGroup,
    help="Heddle: a chain that matches, runs, pays and verifies compute jobs.",
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"heddle {version('heddle')}")
        raise typer.Exit


@app.callback()
def heddle(
    *,
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_show_version, is_eager=True),
) -> None:
    """Heddle: a chain that matches, runs, pays and verifies compute jobs."""


def run(arguments: Sequence[str]) -> int:
    """Run one command; its error becomes a message, a next step and the exit code."""
    try:
        get_command(app).main(args=list(arguments), prog_name="heddle")
    except CliError as error:
        from cli.output import show_error

        show_error(error, as_json="--json" in arguments)
        return error.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def main() -> None:
    """The program."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
