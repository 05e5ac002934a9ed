"""Who is meant: the words a user writes for an account, and the key behind them.

    //Alice, a phrase, 0x-seed//path    a secret URI: can sign
    5FA9n...                            an address
    0x + 64 hex digits                  a public key
    my-wallet                           a wallet of this user: can sign, once its password is known

A secret is never repeated in a message.
"""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.errors import CliError, NotFound, Refused
from node.keys.pair import Pair, SecretError, from_uri
from runtime import ss58
from runtime.crypto import Scheme

if TYPE_CHECKING:
    from node.keys.wallet import Wallet

PASSWORD_VARIABLE = "HEDDLE_PASSWORD"  # noqa: S105 - the name of a variable, not a password
PASSWORD_BYTES_MAX = 1_024
_PUBLIC = re.compile(r"0x[0-9a-fA-F]{64}")


def scheme_of(text: str) -> Scheme:
    """The scheme of its name; Refused if no key of it can be made here."""
    try:
        return {"ed25519": Scheme.ED25519, "sr25519": Scheme.SR25519}[text.lower()]
    except KeyError:
        raise Refused(f"scheme: {text!r} is neither ed25519 nor sr25519", "leave it out for ed25519") from None


def is_secret_uri(text: str) -> bool:
    """Whether these words are a secret: a derivation path, or a phrase."""
    return "//" in text or " " in text.strip()


def pair_of(uri: str, scheme: Scheme = Scheme.ED25519) -> Pair:
    """The key pair of a secret URI; Refused says what is wrong without repeating it."""
    try:
        return from_uri(uri, scheme)
    except SecretError as error:
        raise Refused(str(error), "make one with `heddle key generate`; //Alice is a development key") from error


def account_of(text: str, name: str = "account") -> bytes:
    """The account that is meant, 32 bytes; Refused or NotFound names the field."""
    if is_secret_uri(text):
        return pair_of(text).public
    if _PUBLIC.fullmatch(text):
        return bytes.fromhex(text[2:])
    try:
        return ss58.decode(text)
    except ss58.Ss58Error as error:
        wallet = wallet_named(text)
        if wallet is None:
            hint = "see `heddle wallet list`"
            raise NotFound(f"{name}: {text!r} is neither a wallet nor an address ({error})", hint) from None
        return wallet.account


def signer_of(text: str, password_file: Path | None = None, name: str = "from") -> Pair:
    """The key pair that is meant: a secret URI, or a wallet, whose password is looked for or asked for."""
    if is_secret_uri(text):
        return pair_of(text)
    from node.keys.files import SecretFileError
    from node.keys.sealed import SealError
    from node.keys.wallet import WalletStore

    wallet = wallet_named(text)
    if wallet is None:
        hint = "see `heddle wallet list`, or use a development key such as //Alice"
        raise NotFound(f"{name}: there is no wallet {text!r}", hint)
    secret = password(f"Password of {text}", password_file) if wallet.locked else None
    try:
        return WalletStore().open(text, secret)
    except (SealError, SecretFileError) as error:
        raise Refused(f"{name}: {error}", "is it the right password?") from error


def wallet_named(name: str) -> "Wallet | None":
    """A wallet of this user without its secret, None if there is no such; CliError if its file is damaged."""
    from node.keys.files import SecretFileError
    from node.keys.sealed import SealError
    from node.keys.wallet import WalletStore

    store = WalletStore()
    if name not in store.names():
        return None
    try:
        return store.find(name)
    except (SealError, SecretFileError) as error:
        raise CliError(f"wallet {name}: {error}", f"look at {store.directory}") from error


def password(question: str, file: Path | None, *, confirm: bool = False) -> str:
    """A password from the file, from HEDDLE_PASSWORD, or from the terminal; Refused when there is none of them."""
    if file is not None:
        try:
            lines = file.read_bytes()[:PASSWORD_BYTES_MAX].decode().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"password-file: {error}", "its first line must be the password") from error
        if not lines or not lines[0]:
            raise Refused(f"password-file: {file} is empty", "its first line must be the password")
        return lines[0]
    known = os.environ.get(PASSWORD_VARIABLE)
    if known:
        return known
    if not sys.stdin.isatty():
        hint = f"give --password-file, or set {PASSWORD_VARIABLE}"
        raise Refused("a password is needed and nobody can be asked", hint)
    return str(typer.prompt(question, hide_input=True, confirmation_prompt=confirm, err=True))


def secret_argument(text: str) -> str:
    """The secret itself, or, for `-`, the first line of standard input: arguments show up in lists of processes."""
    if text != "-":
        return text
    line = sys.stdin.readline().strip()
    if not line:
        raise Refused("nothing was read from standard input", "write the phrase or secret URI there")
    return line
