"""How every command prints: tables and colours for a person, one JSON document for a program.

Results go to standard output, progress and errors to standard error, so that `heddle ... --json | jq` works.
rich is imported on first use: with `--json` it is never loaded.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from cli.errors import CliError


PIPE_COLUMNS = 160
"""Width of a table that goes into a file or a pipe."""


def console(*, stderr: bool = False) -> "Console":
    """A rich console on standard output or standard error; colours and its width only where it is a terminal."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = PIPE_COLUMNS
    return made


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: bytes as 0x-hex, records as objects, ints beyond 2^53 as they are."""
    if isinstance(value, bytes | bytearray):
        return "0x" + bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return str(value)


def emit(document: Any, *, as_json: bool, human: Callable[["Console"], None]) -> None:
    """Print `document` as JSON, or let `human` draw it."""
    if as_json:
        sys.stdout.write(json.dumps(plain(document), indent=2, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    else:
        human(console())


def emit_line(document: Any) -> None:
    """Print `document` as one line of JSON: the form of a stream (`watch`, `logs`)."""
    sys.stdout.write(json.dumps(plain(document), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def fields(pairs: Mapping[str, object]) -> Callable[["Console"], None]:
    """Draw names and values in two columns, in the order given."""

    def draw(target: "Console") -> None:
        from rich.markup import escape

        width = max((len(name) for name in pairs), default=0)
        for name, value in pairs.items():
            target.print(f"[bold]{name:<{width}}[/bold]  {escape(str(value))}")

    return draw


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> Callable[["Console"], None]:
    """Draw rows under column heads; `empty` is said instead when there are none."""

    def draw(target: "Console") -> None:
        if not rows:
            target.print(empty)
            return
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            drawn.add_column(column, overflow="fold")
        for row in rows:
            drawn.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
        target.print(drawn)

    return draw


def note(message: str, *, as_json: bool = False) -> None:
    """Say what is going on, on standard error; silent with `--json`."""
    if not as_json:
        sys.stderr.write(message + "\n")
        sys.stderr.flush()


def show_error(error: "CliError", *, as_json: bool) -> None:
    """Print what is wrong and what to do next, on standard error."""
    if as_json:
        document = {"error": {"kind": error.kind, "message": error.message, "hint": error.hint}}
        sys.stderr.write(json.dumps(document, ensure_ascii=False) + "\n")
        return
    from rich.markup import escape

    target = console(stderr=True)
    target.print(f"[bold red]error:[/bold red] {escape(error.message)}")
    if error.hint:
        target.print(f"[bold]next:[/bold]  {escape(error.hint)}")
