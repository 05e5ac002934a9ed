"""`heddle key`: make keys, look at them, and give them to a node."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import NotFound, Refused
from cli.options import JsonOption, PasswordFileOption, SchemeOption
from cli.output import emit, fields

if TYPE_CHECKING:
    from node.keys.pair import Pair

KEY_TYPES = ("aura", "gran", "acco")

app = typer.Typer(no_args_is_help=True, help="Make keys, look at them, and give them to a node.")


def described(pair: "Pair", **more: Any) -> dict[str, Any]:
    """What is shown of a pair; never its secret. `beacon` is what a validator of block 0 commits to with this key."""
    from node.beacon_chain import genesis_commitment
    from runtime.crypto import Scheme

    document = {**more, "scheme": pair.scheme.name.lower()}
    document |= {"public_key": "0x" + pair.public.hex(), "address": pair.address}
    if pair.scheme is Scheme.ED25519:
        document["beacon"] = "0x" + genesis_commitment(pair.secret).hex()
    return document


@app.command()
def generate(
    *,
    words: Annotated[int, typer.Option(help="Words of the phrase: 12, 15, 18, 21 or 24.")] = 12,
    scheme: SchemeOption = "ed25519",
    as_json: JsonOption = False,
) -> None:
    """Make a new phrase and show the key it leads to. Write the phrase down: it is shown once and kept nowhere."""
    from cli.accounts import pair_of, scheme_of
    from node.keys.pair import BadPhrase, generate_phrase

    try:
        phrase = generate_phrase(words)
    except BadPhrase as error:
        raise Refused(f"words: {error}", "leave it out for 12") from error
    document = described(pair_of(phrase, scheme_of(scheme)), phrase=phrase)
    emit(document, as_json=as_json, human=fields(document))


@app.command()
def inspect(
    key: Annotated[str, typer.Argument(help="A secret URI, an address, a public key or a wallet; - reads a secret.")],
    *,
    scheme: SchemeOption = "ed25519",
    as_json: JsonOption = False,
) -> None:
    """Show public key and address of a secret URI, or the one of the other. Secrets are not repeated."""
    from cli.accounts import account_of, is_secret_uri, pair_of, scheme_of, secret_argument
    from runtime import ss58

    text = secret_argument(key)
    if key == "-" or is_secret_uri(text):
        document = described(pair_of(text, scheme_of(scheme)))
    else:
        account = account_of(text, "key")
        document = {"public_key": "0x" + account.hex(), "address": ss58.encode(account)}
    emit(document, as_json=as_json, human=fields(document))


@app.command()
def insert(
    suri: Annotated[str, typer.Argument(help="The secret URI; - reads it from standard input.")],
    *,
    key_type: Annotated[str, typer.Option(help="What the node signs with it: aura, gran or acco.")],
    base_path: Annotated[Path, typer.Option("--base-path", "-d", help="The node's folder.")],
    chain: Annotated[Path, typer.Option(help="The chain spec file the node was started with.")],
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a key into a node's keystore. A running node finds it within seconds; no restart is needed."""
    from cli.accounts import pair_of, secret_argument
    from cli.accounts import password as ask
    from node.keys.keystore import Keystore

    if key_type not in KEY_TYPES:
        known = ", ".join(KEY_TYPES)
        raise Refused(f"key-type: {key_type!r} is not one of {known}", "aura authors, gran votes, acco pays")
    pair = pair_of(secret_argument(suri))
    locked = None if password_file is None else ask("Password of the keystore", password_file)
    keystore = Keystore(base_path / "chains" / chain_id(chain) / "keystore", locked)
    path = keystore.insert(key_type.encode(), pair)
    document = described(pair, key_type=key_type, file=str(path))
    emit(document, as_json=as_json, human=fields(document))


def chain_id(spec: Path) -> str:
    """The `id` in a chain spec file, which names the chain's folder in a base path."""
    try:
        return str(json.loads(spec.read_text())["id"])
    except FileNotFoundError:
        raise NotFound(f"chain: there is no file {spec}", "make one with `heddle chain build-spec`") from None
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"chain: {spec} is no chain spec ({error})", "make one with `heddle chain build-spec`") from error
