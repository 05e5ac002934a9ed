"""Wallets: accounts of a person, one file each, in ~/.heddle/wallets (HEDDLE_HOME moves ~/.heddle).

A wallet is locked with a password, or in the open if its owner says so explicitly. Name, scheme and address are
readable without the password, so that listing asks for none.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.keys.files import SecretFileError, read_private, write_private
from node.keys.keystore import scheme_named
from node.keys.pair import Pair, from_secret
from node.keys.sealed import BadRecord, Cost, PasswordRequired, seal, unseal
from runtime import ss58
from runtime.crypto import Scheme

HOME_VARIABLE = "HEDDLE_HOME"
WALLETS_MAX = 1_024
RECORD_VERSION = 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


class BadWalletName(ValueError):
    """A name that is no file name: letters, digits, _ and -, at most 32."""


class UnknownWallet(KeyError):
    """There is no wallet of that name."""

    def __str__(self) -> str:
        return f"no wallet named {self.args[0]}"


@dataclass(frozen=True, slots=True)
class Wallet:
    """What is known of a wallet without its password."""

    name: str
    scheme: Scheme
    account: bytes
    locked: bool

    @property
    def address(self) -> str:
        """The account's address on this chain."""
        return ss58.encode(self.account)


def home(environment: Mapping[str, str] | None = None) -> Path:
    """The directory of all that belongs to the user: HEDDLE_HOME, or ~/.heddle."""
    variables = os.environ if environment is None else environment
    return Path(variables[HOME_VARIABLE]) if variables.get(HOME_VARIABLE) else Path.home() / ".heddle"


@dataclass(slots=True)
class WalletStore:
    """The wallets of one user, below `path` (by default `home()`)."""

    path: Path = field(default_factory=home)
    cost: Cost = field(default_factory=Cost)

    @property
    def directory(self) -> Path:
        """Where the files lie."""
        return self.path / "wallets"

    def create(self, name: str, pair: Pair, password: str | None, *, no_password: bool = False) -> Wallet:
        """Store a new wallet. An existing one of that name is never replaced (FileExists).

        PasswordRequired if there is no password and `no_password` does not say that this is meant.
        """
        if not password and not no_password:
            raise PasswordRequired("a wallet needs a password, or --no-password to leave its secret readable on disk")
        record = {
            "version": RECORD_VERSION,
            "name": name,
            "scheme": pair.scheme.name.lower(),
            "address": pair.address,
            "sealed": seal(pair.secret, None if no_password else password, cost=self.cost),
        }
        write_private(self._file(name), json.dumps(record, indent=1).encode(), replace=False)
        return self.find(name)

    def names(self) -> list[str]:
        """The names of all wallets, sorted."""
        if not self.directory.is_dir():
            return []
        names = sorted(path.stem for path in self.directory.glob("*.json") if _NAME.fullmatch(path.stem))
        return names[:WALLETS_MAX]

    def find(self, name: str) -> Wallet:
        """A wallet without its secret. UnknownWallet, or BadRecord naming what is wrong with the file."""
        record = self._record(name)
        try:
            account = ss58.decode(str(record.get("address")))
        except ss58.Ss58Error as error:
            raise BadRecord(f"wallet {name}: {error}") from None
        locked = record["sealed"].get("kind") != "open"
        return Wallet(name, scheme_named(record.get("scheme")), account, locked)

    def open(self, name: str, password: str | None = None) -> Pair:
        """The key pair. Raises UnknownWallet, PasswordRequired, WrongPassword or BadRecord."""
        wallet = self.find(name)
        pair = from_secret(wallet.scheme, unseal(self._record(name)["sealed"], password))
        if pair.public != wallet.account:
            raise BadRecord(f"wallet {name}: the secret is not that of its address")
        return pair

    def _record(self, name: str) -> dict[str, Any]:
        try:
            record = json.loads(read_private(self._file(name)))
        except FileNotFoundError:
            raise UnknownWallet(name) from None
        except (ValueError, RecursionError):
            raise BadRecord(f"wallet {name}: is no JSON") from None
        if not isinstance(record, dict) or record.get("version") != RECORD_VERSION:
            raise BadRecord(f"wallet {name}: version must be {RECORD_VERSION}")
        if not isinstance(record.get("sealed"), dict):
            raise BadRecord(f"wallet {name}: sealed is missing")
        return record

    def _file(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise BadWalletName("wallet name: letters, digits, _ and -, at most 32, the first a letter or digit")
        return self.directory / f"{name}.json"


__all__ = ["BadWalletName", "SecretFileError", "UnknownWallet", "Wallet", "WalletStore", "home"]
