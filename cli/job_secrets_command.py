"""`heddle job serve-secrets` and `heddle job secrets`: give a job's key to its processors, and see who has it."""

import time
from typing import Any

import typer

from cli.errors import Refused
from cli.job_options import JobArgument, SuriOption, WalletOption, the_signer, view_of
from cli.options import DEFAULT_URL, JsonOption, PasswordFileOption, UrlOption
from cli.output import emit, fields, note, table

POLL_SLOTS = 1
ANY_HOLDER = "whoever holds the key can read all values of the job, and keep them after its end"

app = typer.Typer()


@app.command("serve-secrets")
def serve_secrets(
    job: JobArgument,
    *,
    follow: bool = typer.Option(False, "--follow", help="Go on until the job has ended."),
    wallet: WalletOption = None,
    suri: SuriOption = None,
    password_file: PasswordFileOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Seal the job's key to each processor that has acknowledged and waits for it."""
    from cli.chain_client import ChainClient
    from cli.job_secrets import kept_key, served, waiting_slots
    from cli.job_submission import signer_for
    from pallets.jobs.records import LIVE_STATES

    sent: list[dict[str, Any]] = []
    with ChainClient.connect(url) as chain:
        number = view_of(chain.rpc, job)["id"]
        signer = signer_for(chain, the_signer(wallet, suri), password_file)
        record = chain.at().jobs.job(number)
        if record.owner != signer.public:
            raise Refused("job: it belongs to another account", "sign as its owner, with --wallet or --suri")
        secret_key = kept_key(signer, record.id_hash)
        genesis, slot_s = bytes.fromhex(chain.genesis_hash[2:]), chain.at().system.slot_ms / 1000
        while True:
            runtime = chain.at()
            found = runtime.jobs.jobs.find(number)
            if found is None or found.state not in LIVE_STATES:
                break
            for place in waiting_slots(runtime, number):
                call = runtime.call_codec.encode(served(runtime, genesis, number, place, secret_key))
                done = chain.send(call, signer, finalized=False)
                sent.append({"slot": place, "block": done.block_number, "fee": done.fee})
                note(f"  slot {place}: sealed in block {done.block_number}", as_json=as_json)
                runtime = chain.at()
            if not follow:
                break
            time.sleep(POLL_SLOTS * slot_s)
    document = {"job": number, "sealed": sent}
    emit(document, as_json=as_json, human=fields({"job": number, "sealed": f"to {len(sent)} processors"}))


@app.command()
def secrets(job: JobArgument, *, url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Show who has a copy of the job's key: any of them can read all its values."""
    from cli.amounts import format_amount
    from cli.chain_client import ChainClient
    from cli.job_secrets import readers_document
    from runtime import ss58

    with ChainClient.connect(url) as chain:
        number = view_of(chain.rpc, job)["id"]
        runtime = chain.at()
        environment = runtime.jobs.specs.get(number).environment
        bundle = runtime.secrets.bundles.find(number)
        readers = readers_document(runtime, number)
    for reader in readers:
        reader["processor"] = ss58.encode(reader["processor"])
    document = {
        "job": number,
        "names": 0 if environment is None else len(environment.names),
        "sealing": None if environment is None else environment.sealing.name.lower(),
        "public": environment is not None and environment.public,
        "deposit": 0 if bundle is None else bundle.deposit,
        "readers": readers,
    }
    if as_json:
        emit(document, as_json=True, human=fields({}))
        return
    rows = [
        [
            one["processor"],
            "not used yet" if one["slot"] is None else f"slot {one['slot']}, generation {one['generation']}",
        ]
        for one in readers
    ]
    shown = {**document, "deposit": format_amount(document["deposit"])}
    shown.pop("readers")
    emit(shown, as_json=False, human=fields(shown))
    emit(document, as_json=False, human=table(("processor", "its copy"), rows, empty="Nobody has a copy of the key."))
    note(ANY_HOLDER, as_json=False)
