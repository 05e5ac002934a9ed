"""`heddle wallet`: a person's accounts - keep them, look at their balances, pay with them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import CliError, Refused
from cli.options import DEFAULT_URL, JsonOption, PasswordFileOption, SchemeOption, UrlOption
from cli.output import emit, fields, note, table

if TYPE_CHECKING:
    from node.keys.pair import Pair

app = typer.Typer(no_args_is_help=True, help="Keep accounts, look at their balances, pay with them.")

NameArgument = Annotated[str, typer.Argument(help="The wallet's name: letters, digits, _ and -, at most 32.")]
NoPasswordOption = Annotated[bool, typer.Option("--no-password", help="Leave the secret readable on disk.")]


@app.command()
def new(
    name: NameArgument,
    *,
    words: Annotated[int, typer.Option(help="Words of the phrase: 12, 15, 18, 21 or 24.")] = 12,
    scheme: SchemeOption = "ed25519",
    no_password: NoPasswordOption = False,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a wallet with a new key. Its phrase is shown once: whoever has it has the account."""
    from cli.accounts import pair_of, scheme_of
    from node.keys.pair import BadPhrase, generate_phrase

    try:
        phrase = generate_phrase(words)
    except BadPhrase as error:
        raise Refused(f"words: {error}", "leave it out for 12") from error
    store_wallet(name, pair_of(phrase, scheme_of(scheme)), password_file, no_password=no_password)
    show_wallet(name, as_json=as_json, phrase=phrase)


@app.command("import")
def import_(
    name: NameArgument,
    suri: Annotated[str, typer.Argument(help="A phrase or secret URI; - reads it from standard input.")] = "-",
    *,
    scheme: SchemeOption = "ed25519",
    no_password: NoPasswordOption = False,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a wallet of a key that exists."""
    from cli.accounts import pair_of, scheme_of, secret_argument

    pair = pair_of(secret_argument(suri), scheme_of(scheme))
    store_wallet(name, pair, password_file, no_password=no_password)
    show_wallet(name, as_json=as_json)


@app.command("list")
def list_(*, as_json: JsonOption = False) -> None:
    """List the wallets of this user; no password is needed."""
    from node.keys.files import SecretFileError
    from node.keys.sealed import SealError
    from node.keys.wallet import WalletStore

    store = WalletStore()
    documents: list[dict[str, Any]] = []
    for name in store.names():
        try:
            documents.append(wallet_document(name))
        except (SealError, SecretFileError) as error:
            documents.append({"name": name, "error": str(error)})
    rows = [[one["name"], one.get("scheme", "-"), one.get("address", one.get("error"))] for one in documents]
    empty = "No wallets yet: make one with `heddle wallet new NAME`."
    emit({"wallets": documents}, as_json=as_json, human=table(("name", "scheme", "address"), rows, empty=empty))


@app.command()
def balance(
    who: Annotated[str, typer.Argument(help="A wallet, an address, or a development key such as //Alice.")],
    *,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Show what an account has: free, held (escrow, bonds, deposits), and its nonce."""
    from cli.accounts import account_of
    from cli.amounts import format_amount
    from cli.chain_client import ChainClient
    from runtime import ss58

    account = account_of(who)
    with ChainClient.connect(url) as chain:
        runtime = chain.at()
        info = runtime.system.accounts.get(account)
        holds = runtime.balances.holds.get(account)
    held = {hold.id.name.lower(): hold.amount for hold in holds}
    document = {
        "address": ss58.encode(account),
        "free": info.data.free,
        "reserved": info.data.reserved,
        "holds": held,
        "nonce": info.nonce,
    }
    shown = {"address": document["address"], "free": format_amount(info.data.free)}
    shown |= {f"held ({reason})": format_amount(amount) for reason, amount in held.items()}
    emit(document, as_json=as_json, human=fields({**shown, "nonce": info.nonce}))


@app.command()
def transfer(
    to: Annotated[str, typer.Argument(help="Who gets it: a wallet, an address, or a development key.")],
    amount: Annotated[str, typer.Argument(help="How much: 1.5 is tokens, 500units is units.")],
    *,
    sender: Annotated[str, typer.Option("--from", help="Who pays: a wallet, or a development key such as //Alice.")],
    tip: Annotated[str, typer.Option(help="For the author, to be served earlier.")] = "0",
    all_of_it: Annotated[bool, typer.Option("--allow-death", help="The payer's account may end with it.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return at the first block, not at finality.")] = False,
    password_file: PasswordFileOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Pay: a dry run first, then sign, send, and wait until it is final."""
    from cli.accounts import account_of, signer_of
    from cli.amounts import format_amount, parse_amount
    from cli.chain_client import ChainClient

    target, units, tip_units = account_of(to, "to"), parse_amount(amount), parse_amount(tip, "tip")
    if not units:
        raise Refused("amount: 0 pays nobody", "say how much, for example 1.5")
    pair = signer_of(sender, password_file)
    with ChainClient.connect(url) as chain:
        name = "transfer_allow_death" if all_of_it else "transfer_keep_alive"
        call = chain.call("Balances", name, target, units)
        done = chain.send(
            call, pair, tip=tip_units, finalized=not no_wait, watch=lambda step: note(f"  {step}", as_json=as_json)
        )
    document = {
        "hash": done.extrinsic_hash,
        "block": done.block_number,
        "block_hash": done.block_hash,
        "finalized": done.finalized,
        "amount": units,
        "fee": done.fee,
    }
    shown = {**document, "amount": format_amount(units), "fee": format_amount(done.fee)}
    emit(document, as_json=as_json, human=fields(shown))


def store_wallet(name: str, pair: "Pair", password_file: Path | None, *, no_password: bool) -> None:
    """Keep a pair under a name; Refused if the name is bad or taken."""
    from cli.accounts import password
    from node.keys.files import FileExists, SecretFileError
    from node.keys.wallet import BadWalletName, WalletStore

    if no_password and password_file is not None:
        raise Refused("--no-password and --password-file contradict each other", "give one of them")
    store = WalletStore()
    if name in store.names():
        raise Refused(f"name: there is a wallet {name!r} already", "choose another name; wallets are never replaced")
    secret = None if no_password else password(f"Password for {name}", password_file, confirm=True)
    try:
        store.create(name, pair, secret, no_password=no_password)
    except BadWalletName as error:
        raise Refused(f"name: {error}", "for example: savings") from error
    except FileExists:
        raise Refused(f"name: there is a wallet {name!r} already", "choose another name") from None
    except SecretFileError as error:
        raise CliError(str(error), "look at the rights of that file") from error


def wallet_document(name: str) -> dict[str, Any]:
    """What is shown of a wallet without its password."""
    from node.keys.wallet import WalletStore

    wallet = WalletStore().find(name)
    scheme = wallet.scheme.name.lower()
    return {"name": name, "scheme": scheme, "address": wallet.address, "locked": wallet.locked}


def show_wallet(name: str, *, as_json: bool, **more: str) -> None:
    """Print one wallet."""
    document = {**wallet_document(name), **more}
    emit(document, as_json=as_json, human=fields(document))
