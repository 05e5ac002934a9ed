"""`heddle job`: what an owner may do with a job that is registered. Each is one call: checked, signed, seen in a block.

All take the same options and the same steps: find the job, make the call, dry-run it, sign it, show what came of it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import CliError, NotFound, Refused
from cli.job_options import JobArgument, SuriOption, WalletOption, the_signer, view_of
from cli.option_group import with_options
from cli.options import DEFAULT_URL, JsonOption, PasswordFileOption, UrlOption
from cli.output import emit, fields, note

if TYPE_CHECKING:
    from cli.chain_client import ChainClient

app = typer.Typer()

ExecutionOption = Annotated[int, typer.Option(min=0, help="Which execution.")]
SlotOption = Annotated[int, typer.Option(min=0, help="On which slot.")]


Arguments = Callable[["ChainClient", dict[str, Any]], tuple[Any, ...]]
"""What a call takes after the job's number, from the job as the node shows it."""


@dataclass(frozen=True)
class Signing:
    """Who signs, where to, and how it is shown: the options that every command here has."""

    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say whether the chain allows it; send nothing.")] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether this is meant.")] = False
    wallet: WalletOption = None
    suri: SuriOption = None
    password_file: PasswordFileOption = None
    url: UrlOption = DEFAULT_URL
    as_json: JsonOption = False


@dataclass(frozen=True)
class Steps:
    """What is particular to one call: its arguments, a question before it is signed, what must be done before."""

    arguments: Arguments
    prepare: Callable[["ChainClient"], object] = lambda _chain: None
    question: str = ""


@app.command()
@with_options(Signing)
def pause(job: JobArgument, options: Signing) -> None:
    """Begin nothing more of a job until it is resumed; what runs goes on. After an hour its processors are let go."""
    perform(job, options, "Jobs", "pause")


@app.command()
@with_options(Signing)
def resume(job: JobArgument, options: Signing) -> None:
    """Go on with a paused job. Executions whose time went by are left out; their money comes back at the end."""
    perform(job, options, "Jobs", "resume")


@app.command("top-up")
@with_options(Signing)
def top_up(
    job: JobArgument, amount: Annotated[str, typer.Argument(help="How much: 1.5 or 500units.")], options: Signing
) -> None:
    """Add money that an extension, a fallback or a preemption may use; what is left comes back at the end."""
    from cli.amounts import parse_amount

    units = parse_amount(amount)
    perform(job, options, "Jobs", "top_up", Steps(lambda _chain, _view: (units,)))


@app.command()
@with_options(Signing)
def extend(
    job: JobArgument,
    executions: Annotated[int | None, typer.Option(min=1, help="So many executions more, on each slot.")] = None,
    until_ms: Annotated[int | None, typer.Option(min=1, help="Up to this time, ms since 1970, instead.")] = None,
    *,
    options: Signing,
) -> None:
    """Let a job go on for longer, on the same terms; its deposit grows by what the further executions may cost."""
    if (executions is None) == (until_ms is None):
        raise Refused("extend: by how much?", "give --executions or --until-ms, one of them")

    def end(_chain: "ChainClient", view: dict[str, Any]) -> tuple[int]:
        if until_ms is not None:
            return (until_ms,)
        return (end_after(view["spec"]["schedule"], view["job"]["executions"] + (executions or 0)),)

    perform(job, options, "Jobs", "extend", Steps(end))


@app.command("edit-script")
@with_options(Signing)
def edit_script(
    job: JobArgument, script: Annotated[Path, typer.Argument(metavar="FILE", help="The new script.")], options: Signing
) -> None:
    """Replace the script of all executions that start in ten minutes or later; only the job's editor may."""
    from cli.blob_client import LocalBlob, upload
    from cli.job_spec import as_binary
    from pallets.jobs.types import Blob

    try:
        written = script.read_bytes()
    except OSError as error:
        raise NotFound(f"file: {error}", "give the path of the new script") from error
    content = LocalBlob(script.name, as_binary(script, written))
    blob = Blob(content.cid, len(content.data))
    steps = Steps(lambda _chain, _view: (blob,), lambda chain: upload(chain.rpc, content))
    perform(job, options, "Jobs", "edit_script", steps)


@app.command("transfer-editor")
@with_options(Signing)
def transfer_editor(
    job: JobArgument,
    editor: Annotated[str, typer.Argument(help="Who edits from now on: a wallet, address or key.")],
    options: Signing,
) -> None:
    """Have somebody else edit the job's script from now on; only its present editor may, and cannot take it back."""
    from cli.accounts import account_of

    account = account_of(editor, "editor")
    steps = Steps(lambda _chain, _view: (account,), question=f"Give the script's editing away to {editor} for good?")
    perform(job, options, "Jobs", "transfer_editor", steps)


@app.command()
@with_options(Signing)
def preempt(
    job: JobArgument,
    victim: Annotated[str, typer.Option("--from", metavar="ID", help="The job whose processor is taken.")],
    slot: SlotOption = 0,
    victim_slot: Annotated[int, typer.Option("--from-slot", min=0, help="On which slot of that job.")] = 0,
    *,
    options: Signing,
) -> None:
    """Take the processor of a preemptible job of much lower priority, and pay for what it has done there."""

    def arguments(chain: "ChainClient", _view: dict[str, Any]) -> tuple[int, int, int]:
        return slot, view_of(chain.rpc, victim)["id"], victim_slot

    perform(job, options, "Jobs", "preempt", Steps(arguments, question=f"Take a processor from job {victim}?"))


@app.command()
@with_options(Signing)
def accept(job: JobArgument, execution: ExecutionOption = 0, slot: SlotOption = 0, *, options: Signing) -> None:
    """Take a reported result at once, without waiting for the end of its window."""
    perform(job, options, "Verification", "accept", Steps(lambda _chain, _view: (execution, slot)))


@app.command()
@with_options(Signing)
def reject(job: JobArgument, execution: ExecutionOption = 0, slot: SlotOption = 0, *, options: Signing) -> None:
    """Do not take a reported result. If the job is deterministic, a jury decides, for which you bond."""
    question = f"Reject the result of execution {execution} on slot {slot}?"
    perform(job, options, "Verification", "reject", Steps(lambda _chain, _view: (execution, slot), question=question))


def end_after(schedule: dict[str, int], executions: int) -> int:
    """The earliest end of a schedule with so many starts: they lie before it."""
    return schedule["start_ms"] + (executions - 1) * schedule["interval_ms"] + 1


def require_confirmed(question: str, job: int, options: Signing) -> None:
    """Ask on the terminal whether it is meant; Refused if nobody is there to answer, CliError if it is not."""
    if not question or options.yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"{question} Nobody is here to answer", "add --yes")
    if not typer.confirm(f"{question} (job {job})", err=True):
        raise CliError("not done: it was not confirmed", "repeat it with --yes to answer beforehand")


def perform(
    job: str,
    options: Signing,
    pallet: str,
    name: str,
    steps: Steps | None = None,
) -> None:
    """One call about a job, from the dry run to the block that has it."""
    from cli.amounts import format_amount
    from cli.chain_client import ChainClient
    from cli.job_submission import signer_for
    from pallets.escrow.events import Deposited, Refunded

    with ChainClient.connect(options.url) as chain:
        view = view_of(chain.rpc, job)
        number = view["id"]
        signer = signer_for(chain, the_signer(options.wallet, options.suri), options.password_file)
        steps = steps or Steps(lambda _chain, _view: ())
        call = chain.call(pallet, name, number, *steps.arguments(chain, view))
        checked = chain.require(call, signer.public)
        if options.dry_run:
            document: dict[str, Any] = {"job": number, "ok": True, "fee": checked.fee, "signer": signer.address}
            shown = {"job": number, "allowed": "yes", "fee": format_amount(checked.fee), "signer": signer.address}
            emit(document, as_json=options.as_json, human=fields(shown))
            return
        require_confirmed(steps.question, number, options)
        steps.prepare(chain)
        heard = lambda step: note(f"  {step}", as_json=options.as_json)  # noqa: E731 - the step's name, said once
        done = chain.send(call, signer, finalized=False, watch=heard)
        after = view_of(chain.rpc, str(number))["job"]
    held = sum(event.amount for event in done.events if isinstance(event, Deposited))
    back = sum(event.amount for event in done.events if isinstance(event, Refunded))
    document = {
        "job": number,
        "did": name,
        "state": after["state"],
        "paused": after.get("paused_at") is not None,
        "executions": after["executions"],
        "block": done.block_number,
        "extrinsic_hash": done.extrinsic_hash,
        "fee": done.fee,
        "deposited": held,
        "refunded": back,
    }
    shown = {**document, **{key: format_amount(document[key]) for key in ("fee", "deposited", "refunded")}}
    emit(document, as_json=options.as_json, human=fields(shown))
