"""`heddle processor`: what a processor offers, how it is doing, and whom it belongs to."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import NotFound, Refused
from cli.option_group import with_options
from cli.options import DEFAULT_URL, JsonOption, UrlOption
from cli.output import emit, fields, note
from cli.processor_call import BasePathOption, OwnKey, send, show_done
from cli.processor_money import app as money_app

if TYPE_CHECKING:
    from cli.chain_client import ChainClient
    from pallets.processors.types import Advert

PAIRING_MINUTES_DEFAULT = 60
PAIRING_MINUTES_MAX = 239
"""The chain takes proofs of at most four hours; its clock may stand a little behind ours."""
NUMBER_MAX = (1 << 63) - 1

app = typer.Typer(no_args_is_help=True, help="What a processor offers, how it is doing, and whom it belongs to.")

app.add_typer(money_app)


@app.command()
@with_options(OwnKey)
def advertise(  # noqa: PLR0913 - one argument for each option, as typer wants it
    *,
    base: Annotated[str | None, typer.Option(help="Price of an execution: 0.01 is tokens, 500units units.")] = None,
    per_ms: Annotated[str | None, typer.Option(help="And for each millisecond it may take.")] = None,
    per_storage_byte: Annotated[str | None, typer.Option(help="And for each byte of storage.")] = None,
    per_request: Annotated[str | None, typer.Option(help="And for each network request.")] = None,
    memory_bytes: Annotated[int | None, typer.Option(min=1, max=NUMBER_MAX, help="For all jobs together.")] = None,
    storage_bytes: Annotated[int | None, typer.Option(min=0, max=NUMBER_MAX, help="For all jobs together.")] = None,
    cores: Annotated[int | None, typer.Option(min=1, max=65_535, help="Executions at a time.")] = None,
    requests_max: Annotated[int | None, typer.Option(min=0, max=1_000, help="Of one execution.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="A label such as eu-central; may be repeated.")] = None,
    consumer: Annotated[list[str] | None, typer.Option(help="Work only for this account; may be repeated.")] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="Work for all accounts again.")] = False,
    options: OwnKey,
) -> None:
    """Change what a processor offers; whatever is left out stays. This also ends a suspension."""
    from cli.accounts import account_of
    from cli.amounts import parse_amount
    from cli.chain_client import ChainClient
    from cli.processor_report import advert_fields
    from pallets.jobs.queries import plain

    if consumer and everybody:
        raise Refused("--consumer and --everybody contradict each other", "give one of them")
    check_lists(label or [], consumer or [])
    prices = {"base": base, "per_ms": per_ms, "per_storage_byte": per_storage_byte, "per_request": per_request}
    capacity = {"memory_bytes": memory_bytes, "storage_bytes": storage_bytes, "cores": cores}
    changes: dict[str, Any] = {"requests_max": requests_max, "labels": None if label is None else tuple(label)}
    if consumer or everybody:
        changes["consumers"] = tuple(account_of(one, "consumer") for one in consumer or ())
    with ChainClient.connect(options.url) as chain:
        pair = options.key(chain)
        before = advert_of(chain, pair.public)
        changed = {name: parse_amount(text, name) for name, text in prices.items() if text is not None}
        after = replace(
            before,
            pricing=replace(before.pricing, **changed),
            capacity=replace(before.capacity, **given(capacity)),
            **given(changes),
        )
        done = send(chain, pair, "advertise", after, as_json=options.as_json)
    document = {"processor": pair.address, "advert": plain(after)}
    show_done(done, document, advert_fields(document["advert"]), as_json=options.as_json)


@app.command()
def status(
    processor: Annotated[
        str | None, typer.Argument(help="A wallet, an address or a key.", show_default="all processors")
    ] = None,
    *,
    base_path: BasePathOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many, if no one is named.")] = 50,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Show processors: their adverts, reputation, money, and what they are promised to and running now."""
    from cli.accounts import account_of
    from cli.processor_account import keystore_key
    from cli.processor_report import draw_one, draw_several, with_work
    from cli.rpc_client import RpcClient, RpcError
    from runtime import ss58

    if processor is not None and base_path is not None:
        raise Refused("an account and --base-path contradict each other", "give one of them")
    who = None if processor is None else account_of(processor, "processor")
    if base_path is not None:
        who = keystore_key(base_path.expanduser(), None).public
    with RpcClient(url) as rpc:
        if who is None:
            found = [with_work(rpc, one) for one in rpc.call("processors_list", limit)]
            emit({"processors": found}, as_json=as_json, human=draw_several(found))
            return
        try:
            one = with_work(rpc, rpc.call("processors_get", ss58.encode(who)))
        except RpcError as error:
            hint = "a node with --processor registers itself once its account has money"
            raise NotFound(f"processor: {error.data or error.message}", hint) from error
    emit(one, as_json=as_json, human=draw_one(one))


@app.command()
@with_options(OwnKey)
def pair(
    *,
    manager: Annotated[
        str | None, typer.Option(help="Who manages it: a wallet or secret URI, which signs a proof.")
    ] = None,
    processor: Annotated[
        str | None, typer.Option(help="With --save: the processor's address, when its key is elsewhere.")
    ] = None,
    minutes: Annotated[
        int, typer.Option(min=1, max=PAIRING_MINUTES_MAX, help="How long the proof is valid.")
    ] = PAIRING_MINUTES_DEFAULT,
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Only write the manager's proof there.")] = None,
    proof: Annotated[Path | None, typer.Option(metavar="FILE", help="Use the proof that was written there.")] = None,
    end: Annotated[bool, typer.Option("--end", help="End the pairing instead.")] = False,
    options: OwnKey,
) -> None:
    """Put a processor under a manager: the manager signs a proof, the processor submits it.

    Where the two keys are on different machines: `--manager NAME --processor ADDRESS --save FILE` on the manager's,
    `--proof FILE --base-path DIR` on the processor's.
    """
    from cli import pairing
    from cli.accounts import account_of, signer_of
    from cli.chain_client import ChainClient

    if end:
        with ChainClient.connect(options.url) as chain:
            key = options.key(chain)
            done = send(chain, key, "unpair", key.public, as_json=options.as_json)
        show_done(done, {"processor": key.address, "manager": None}, as_json=options.as_json)
        return
    if (manager is None) == (proof is None):
        raise Refused("a manager or a proof is needed", "--manager with a wallet, or --proof with a file")
    with ChainClient.connect(options.url) as chain:
        if manager is not None and save is not None and processor is not None:
            who = account_of(processor, "processor")
        else:
            key = options.key(chain)
            who = key.public
        if proof is not None:
            signed = pairing.read_proof(proof)
        else:
            signed = pairing.sign_proof(chain, who, signer_of(manager or "", options.password_file, "manager"), minutes)
        if save is not None:
            pairing.write_proof(save, signed)
            document = {"proof": str(save), **pairing.proof_document(signed)}
            emit(document, as_json=options.as_json, human=fields(document))
            return
        done = send(chain, key, "pair", signed, as_json=options.as_json)
    show_done(done, {"processor": key.address, **pairing.proof_document(signed)}, as_json=options.as_json)


def advert_of(chain: "ChainClient", who: bytes) -> "Advert":
    """A processor's advert on chain; NotFound if it has none to change."""
    from runtime import ss58

    advert = chain.at().processors.adverts.find(who)
    if advert is None:
        hint = "its node advertises by itself: start it with `heddle node --processor` and fund its account"
        raise NotFound(f"{ss58.encode(who)} has no advert yet", hint)
    return advert


def check_lists(labels: list[str], consumers: list[str]) -> None:
    """Refused where a list or a label is longer than an advert takes."""
    from pallets.jobs.bounds import LABEL_BYTES_MAX, PROCESSORS_LISTED_MAX
    from pallets.processors.types import LABELS_MAX

    for name, count, most in (("label", len(labels), LABELS_MAX), ("consumer", len(consumers), PROCESSORS_LISTED_MAX)):
        if count > most:
            raise Refused(f"{name}: {count} of them, at most {most} are allowed", "name fewer")
    for text in labels:
        if not 0 < len(text.encode()) <= LABEL_BYTES_MAX:
            raise Refused(f"label: {text!r} has not 1..{LABEL_BYTES_MAX} bytes", "use a shorter one, such as eu")


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


@app.command("webhook-secret")
@with_options(OwnKey)
def webhook_secret_(
    host: Annotated[
        str, typer.Argument(metavar="HOST", help="The receiver's host, with :port if it has one; or a URL.")
    ],
    *,
    options: OwnKey,
) -> None:
    """Print the secret by which a processor signs what it sends to a host, for whoever receives it there."""
    from urllib.parse import urlsplit

    from cli.chain_client import ChainClient
    from node.processor.destinations.sender import webhook_secret

    target = host if "://" in host else f"https://{host}"
    place = urlsplit(target).netloc
    if not place or any(letter.isspace() for letter in host):
        raise Refused(f"host: {host!r} is no host", "write it as hooks.example.com or hooks.example.com:8443")
    with ChainClient.connect(options.url) as chain:
        pair = options.key(chain)
    document = {"host": place, "processor": pair.address, "secret": webhook_secret(pair, target)}
    emit(document, as_json=options.as_json, human=fields(document))
    note(
        "Whoever has it can sign as this processor towards this host: hand it to the receiver only.",
        as_json=options.as_json,
    )
