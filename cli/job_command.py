"""`heddle job`: make a job, send it, watch it run, and get its results."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.errors import CliError, Refused
from cli.job_options import JobArgument, SuriOption, WalletOption, the_signer, view_of
from cli.job_owner_command import app as owner_app
from cli.job_secrets_command import app as secrets_app
from cli.options import DEFAULT_URL, JsonOption, PasswordFileOption, UrlOption
from cli.output import emit, emit_line, fields, note, table

LIST_DEFAULT = 20
LIST_MAX = 1_000
JOB_FAILED = 1

app = typer.Typer(no_args_is_help=True, help="Make a job, send it, watch it run, and get its results.")

app.add_typer(owner_app)
app.add_typer(secrets_app)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The job's folder; it must not exist, or be empty.")] = Path("my-job"),
    *,
    template: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to begin with.", show_default="one-shot")
    ] = None,
    runtime: Annotated[str | None, typer.Option(help="The simplest of wasm, javascript or python instead.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the template; repeatable.")
    ] = None,
    list_templates: Annotated[bool, typer.Option("--list-templates", help="Name the templates; make nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a folder with a job that runs as it is: heddle.toml, a script and some input."""
    from cli.job_template import settings_of, template_of, templates, write_template

    if list_templates:
        known = [{"name": one.name, "summary": one.summary, "settings": dict(one.settings)} for one in templates()]
        rows = [[one["name"], one["summary"], ", ".join(one["settings"])] for one in known]
        heads = ("template", "what it does", "settings")
        emit({"templates": known}, as_json=as_json, human=table(heads, rows, empty="No templates."))
        return
    chosen = template_of(template, runtime)
    files = write_template(folder, chosen, settings_of(settings or ()))
    document = {"folder": str(folder), "template": chosen.name, "files": files}
    emit(document, as_json=as_json, human=fields({**document, "files": ", ".join(files)}))
    note(f"Run it with `heddle job submit {folder} --watch`.", as_json=as_json)


@app.command()
def submit(
    folder: Annotated[Path, typer.Argument(help="The job's folder, with heddle.toml.")],
    *,
    slots: Annotated[int | None, typer.Option(help="How many processors run it, instead of heddle.toml's.")] = None,
    reward: Annotated[
        str | None, typer.Option(help="For each slot and execution, 0.5 or 500units, instead of heddle.toml's.")
    ] = None,
    wallet: WalletOption = None,
    suri: SuriOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the job to its end; fail if it fails.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything; sign and send nothing.")] = False,
    password_file: PasswordFileOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Check a job, give its files to the node, register it, and say its number."""
    from cli.amounts import format_amount, parse_amount
    from cli.chain_client import ChainClient
    from cli.job_spec import read_job
    from cli.job_submission import registration, require_allowed, signer_for, upload_bar, with_sealing
    from cli.job_submission import submit as send

    draft = read_job(folder, slots=slots, reward=None if reward is None else parse_amount(reward, "reward"))
    with ChainClient.connect(url) as chain:
        signer = signer_for(chain, the_signer(wallet, suri), password_file)
        if dry_run:
            call, _ = registration(chain, with_sealing(chain, draft), folder, signer.public)
            checked = require_allowed(chain, call, signer.public, folder)
            document: dict[str, Any] = {"ok": True, "fee": checked.fee, "signer": signer.address}
            shown = {"allowed": "yes", "fee": format_amount(checked.fee), "signer": signer.address}
            emit(document, as_json=as_json, human=fields(shown))
            return
        with upload_bar(sum(len(blob.data) for blob in draft.blobs), shown=not as_json) as progress:
            done = send(
                chain, draft, signer, folder, progress=progress, watch=lambda step: note(f"  {step}", as_json=as_json)
            )
    document = {
        "job": done.job,
        "id_hash": done.id_hash,
        "name": draft.project.name,
        "owner": signer.address,
        "slots": draft.project.slots,
        "reward": draft.project.reward,
        "block": done.block,
        "block_hash": done.block_hash,
        "extrinsic_hash": done.extrinsic_hash,
        "fee": done.fee,
        "deposit": done.deposit,
        "blobs": done.blobs,
    }
    if as_json and watch:
        emit_line(document)
    else:
        shown = {**document, "blobs": ", ".join(f"{name} {cid}" for name, cid in done.blobs.items())}
        shown |= {name: format_amount(document[name]) for name in ("reward", "fee", "deposit")}
        emit(document, as_json=as_json, human=fields(shown))
    if done.sealing == "served":
        note(f"Its processors wait for their key: `heddle job serve-secrets {done.job} --follow`.", as_json=as_json)
    if watch:
        watch_to_end(url, done.job, draft.project.name, as_json=as_json)
    else:
        note(f"Follow it with `heddle job watch {done.job}`.", as_json=as_json)


@app.command("list")
def list_(
    *,
    owner: Annotated[str | None, typer.Option(help="Only jobs of this wallet, address or key.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LIST_MAX, help="How many, the latest first.")] = LIST_DEFAULT,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """List the latest jobs."""
    from cli.accounts import account_of
    from cli.amounts import format_amount
    from cli.job_timeline import end_text, short
    from cli.rpc_client import RpcClient
    from runtime import ss58

    only = None if owner is None else ss58.encode(account_of(owner, "owner"))
    with RpcClient(url) as rpc:
        jobs = rpc.call("jobs_list", only, limit)
    rows = [
        [
            job["id"],
            job["state"].upper(),
            end_text(job["end"]) if job["end"] else "",
            job["runtime"],
            f"{job['accepted']}/{job['executions'] * job['slots']}",
            job["slots"],
            format_amount(job["reward"]),
            short(job["owner_address"]),
        ]
        for job in jobs
    ]
    heads = ("id", "state", "end", "runtime", "accepted", "slots", "reward", "owner")
    empty = "No jobs yet: make one with `heddle job init FOLDER`."
    emit({"jobs": jobs}, as_json=as_json, human=table(heads, rows, empty=empty))


@app.command()
def show(job: JobArgument, *, url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Show all that the chain knows of a job: its terms, slots, executions and money."""
    from cli.job_report import draw_job
    from cli.rpc_client import RpcClient

    with RpcClient(url) as rpc:
        view = view_of(rpc, job)
        view["executions"] = rpc.call("jobs_executions", view["id"])
    emit(view, as_json=as_json, human=draw_job(view))


@app.command()
def watch(job: JobArgument, *, url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Follow a job until its end is final; the exit code is 0 only if it succeeded."""
    from cli.rpc_client import RpcClient

    with RpcClient(url) as rpc:
        number = view_of(rpc, job)["id"]
    watch_to_end(url, number, "", as_json=as_json)


@app.command()
def timeline(
    job: JobArgument,
    *,
    events: Annotated[
        bool, typer.Option("--events", help="Print every event as a line instead of the tables.")
    ] = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Tell a job's story so far: every attempt with its times and reason, and where every planck went."""
    from dataclasses import asdict

    from cli.job_story import attempts_of, draw_story, movements_of, skips_of, sums_of
    from cli.job_timeline import Timeline
    from cli.job_watch import past_events, print_lines, require_told
    from cli.rpc_client import RpcClient

    with RpcClient(url) as rpc:
        view = view_of(rpc, job)
        past = past_events(rpc, view["id"], view["job"]["registered_block"])
    require_told(past, view["id"])
    told = past.events
    if past.kept_from is not None:
        note(f"what happened before block {past.kept_from} is discarded on this node", as_json=as_json)
    if events and not as_json:
        line_by_line = Timeline(view["id"])
        for event in told:
            line_by_line.hear({"kind": "event", **event})
        print_lines(line_by_line, line_by_line.lines)
        return
    movements = movements_of(told)
    sums = sums_of(movements)
    document = {
        "job": view["id"],
        "state": view["job"]["state"],
        "end": view["job"]["end"],
        "attempts": [asdict(one) for one in attempts_of(told)],
        "skipped": [asdict(one) for one in skips_of(told)],
        "money": {**asdict(sums), "held": sums.held, "movements": [asdict(one) for one in movements]},
        "events": told,
        "kept_from": past.kept_from,
    }
    emit(document, as_json=as_json, human=draw_story(view, told))


@app.command()
def logs(
    job: JobArgument,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the script has ended.")] = False,
    execution: Annotated[int | None, typer.Option(min=0, help="Which execution.", show_default="the latest")] = None,
    slot: Annotated[int | None, typer.Option(min=0, help="On which slot.", show_default="the first")] = None,
    attempt: Annotated[int | None, typer.Option(min=1, help="Which attempt.", show_default="the latest")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Print what a job's script logged and printed, as the processor that runs it has it."""
    import sys

    from cli import job_logs
    from cli.rpc_client import RpcClient

    with RpcClient(url) as rpc:
        number = view_of(rpc, job)["id"]
        if follow:
            run = job_logs.wait_for_run(rpc, number, execution, slot, attempt, job_logs.SILENCE_MAX_S)
        else:
            found = job_logs.choose(rpc, number, execution, slot, attempt)
            if found is None:
                raise job_logs.nothing_begun(number, "wait for it with --follow")
            run = found
        about = {"job": number, "execution": run.execution, "slot": run.slot, "attempt": run.attempt}
        if not follow:
            text, over = job_logs.read(rpc, run)
            emit({**about, "over": over, "text": text}, as_json=as_json, human=lambda _: print_text(text))
            return
        for piece in job_logs.follow(rpc, run):
            if as_json:
                emit_line({**about, "text": piece})
            else:
                sys.stdout.write(piece)
                sys.stdout.flush()


def print_text(text: str) -> None:
    """Text as it is, ended by a line's end."""
    import sys

    sys.stdout.write(text if not text or text.endswith("\n") else text + "\n")
    sys.stdout.flush()


@app.command()
def result(
    job: JobArgument,
    *,
    slot: Annotated[int | None, typer.Option(min=0, help="Whose.", show_default="the first slot that has one")] = None,
    execution: Annotated[int, typer.Option(min=0, help="Which execution.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there instead of printing it.")
    ] = None,
    proof: Annotated[
        bool, typer.Option("--proof", help="Believe the node nothing: check it by a final header.")
    ] = False,
    finalised: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="With --proof: a block known to be final, not by the node's word."),
    ] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Get the result of an execution, checked against its name, and the digest that the processors agreed on."""
    from dataclasses import asdict

    from cli.job_result import fetch_result, show_result
    from cli.rpc_client import RpcClient

    if finalised is not None and not proof:
        raise Refused("finalised: it says which header to check by", "add --proof")
    proven = None
    with RpcClient(url) as rpc:
        if proof:
            from cli.blob_client import download
            from cli.job_proof import proven_result

            found, where = proven_result(rpc.call, lambda cid: download(rpc, cid), job, slot, execution, finalised)
            proven = asdict(where)
        else:
            found = fetch_result(rpc, view_of(rpc, job), slot, execution)
    if output is not None:
        try:
            output.write_bytes(found.data)
        except OSError as error:
            raise CliError(f"output: {error}", "choose another file") from error
    show_result(found, output, as_json=as_json, proven=proven)


@app.command()
def cancel(
    job: JobArgument,
    *,
    wallet: WalletOption = None,
    suri: SuriOption = None,
    password_file: PasswordFileOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """End a job of one's own; what it has not spent comes back in the same block."""
    from cli.amounts import format_amount
    from cli.chain_client import ChainClient
    from cli.job_submission import signer_for
    from pallets.escrow.events import Refunded

    with ChainClient.connect(url) as chain:
        number = view_of(chain.rpc, job)["id"]
        signer = signer_for(chain, the_signer(wallet, suri), password_file)
        call = chain.call("Jobs", "cancel", number)
        done = chain.send(call, signer, finalized=False, watch=lambda step: note(f"  {step}", as_json=as_json))
        state = view_of(chain.rpc, str(number))["job"]["state"]
    back = sum(event.amount for event in done.events if isinstance(event, Refunded))
    document = {"job": number, "state": state, "block": done.block_number, "fee": done.fee, "refunded": back}
    shown = {**document, "fee": format_amount(done.fee), "refunded": format_amount(back)}
    emit(document, as_json=as_json, human=fields(shown))


@app.command()
def why(job: JobArgument, *, url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Say why a job waits: which processors cannot take it, and for what reason."""
    from cli.job_reasons import draw_reasons, explained
    from cli.rpc_client import RpcClient

    with RpcClient(url) as rpc:
        view = view_of(rpc, job)
        document = {**rpc.call("jobs_explain", view["id"]), "state": view["job"]["state"]}
    document["reasons"] = explained(document)
    emit(document, as_json=as_json, human=draw_reasons(document))


def watch_to_end(url: str, job: int, name: str, *, as_json: bool) -> None:
    """Follow one job; the process ends with JOB_FAILED if the job did not succeed."""
    from cli.job_timeline import Timeline, end_text
    from cli.job_watch import watch as follow

    timeline = Timeline(job, name)
    follow(url, [timeline], as_json=as_json)
    if timeline.succeeded:
        note(f"job {job} is {timeline.state}; get its result with `heddle job result {job}`", as_json=as_json)
        return
    note(f"job {job} is {timeline.state}, {end_text(timeline.end)}; see `heddle job timeline {job}`", as_json=as_json)
    raise typer.Exit(JOB_FAILED)
