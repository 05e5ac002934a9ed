"""Keystore: the session keys of a node, one file each, in <base>/chains/<id>/keystore.

A file is named hex(key type) + hex(public key), as Substrate names it, and holds a JSON record with the scheme and the
sealed secret. Keys that are put there while the node runs are found by `reload`, which `run_watch` calls: no restart
is needed after `heddle key insert`. A file that cannot be used is left alone and named in `problems`.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from node.keys.files import SecretFileError, make_directory, read_private, write_private
from node.keys.pair import Pair, SecretError, from_secret
from node.keys.sealed import BadRecord, Cost, SealError, seal, unseal
from node.log import Logger
from runtime.crypto import Scheme

AURA = b"aura"
GRAN = b"gran"
ACCO = b"acco"
KEY_TYPES = (AURA, GRAN, ACCO)
KEYS_MAX = 256
WATCH_INTERVAL_MS = 2_000
RECORD_VERSION = 1

_FILE_NAME = re.compile(r"[0-9a-f]{8}[0-9a-f]{64}")


class UnknownKeyType(ValueError):
    """A key type other than aura, gran and acco."""


class UnknownKey(KeyError):
    """The keystore has no such key."""


@dataclass(slots=True)
class Keystore:
    """The keys of one directory. `password` opens the sealed ones and seals new ones; None leaves new ones open."""

    path: Path
    password: str | None = None
    cost: Cost = field(default_factory=Cost)
    problems: dict[str, str] = field(init=False, default_factory=dict)
    _pairs: dict[tuple[bytes, bytes], Pair] = field(init=False, default_factory=dict)
    _seen: dict[str, tuple[int, int, int]] = field(init=False, default_factory=dict)
    """File name -> inode, size and time of change (of content or mode), when it was last read."""

    def __post_init__(self) -> None:
        make_directory(self.path)
        self.reload()

    def insert(self, key_type: bytes, pair: Pair) -> Path:
        """Store a pair under a key type. Storing it again changes nothing but the seal."""
        _check_type(key_type)
        if (key_type, pair.public) not in self._pairs and len(self._pairs) >= KEYS_MAX:
            raise SecretFileError(f"{self.path}: {KEYS_MAX} keys, no more fit")
        record = {
            "version": RECORD_VERSION,
            "scheme": pair.scheme.name.lower(),
            "sealed": seal(pair.secret, self.password, cost=self.cost),
        }
        path = self.path / file_name(key_type, pair.public)
        write_private(path, json.dumps(record, indent=1).encode())
        self.reload()
        return path

    def publics(self, key_type: bytes) -> list[bytes]:
        """The public keys of a type, sorted."""
        _check_type(key_type)
        return sorted(public for kind, public in self._pairs if kind == key_type)

    def pair(self, key_type: bytes, public: bytes) -> Pair:
        """The pair of a public key. UnknownKey if it is not here."""
        found = self._pairs.get((key_type, public))
        if found is None:
            raise UnknownKey(f"no {key_type.decode('ascii', 'replace')} key 0x{public.hex()}")
        return found

    def has(self, key_type: bytes, public: bytes) -> bool:
        """Whether this node holds that key."""
        return (key_type, public) in self._pairs

    def sign(self, key_type: bytes, public: bytes, message: bytes) -> bytes:
        """A signature with one of the keys. UnknownKey if it is not here."""
        return self.pair(key_type, public).sign(message)

    def reload(self) -> bool:
        """Look at the directory again, reading only files that changed; True if the set of usable keys changed."""
        before = set(self._pairs)
        names = sorted(path.name for path in self.path.iterdir() if _FILE_NAME.fullmatch(path.name))
        for gone in [name for name in {**self._seen, **self.problems} if name not in names]:
            self._forget(gone)
        for name in names[:KEYS_MAX]:
            self._load(name)
        for name in names[KEYS_MAX:]:
            self.problems[name] = f"one of more than {KEYS_MAX} keys"
        return set(self._pairs) != before

    async def run_watch(self, on_change: Callable[[], None], log: Logger, interval_ms: int = WATCH_INTERVAL_MS) -> None:
        """Call `on_change` whenever keys came or went. Runs for ever."""
        complained: dict[str, str] = {}
        while True:
            if self.reload():
                log.info("Keystore changed", keys=len(self._pairs))
                on_change()
            if self.problems != complained:
                complained = dict(self.problems)
                for name, why in complained.items():
                    log.warning("Key file cannot be used", file=name, reason=why)
            await trio.sleep(interval_ms / 1000)

    def _load(self, name: str) -> None:
        path = self.path / name
        try:
            facts = path.stat()
            seen = (facts.st_ino, facts.st_size, facts.st_ctime_ns)
            if self._seen.get(name) == seen:
                return
            self._forget(name)
            self._seen[name] = seen
            self._pairs[split_name(name)] = self._read(path)
        except FileNotFoundError:
            self._forget(name)
        except (SecretFileError, SecretError, SealError, OSError) as error:
            self.problems[name] = str(error)

    def _read(self, path: Path) -> Pair:
        try:
            record = json.loads(read_private(path))
        except (ValueError, RecursionError):
            raise BadRecord("is no JSON") from None
        if not isinstance(record, dict) or record.get("version") != RECORD_VERSION:
            raise BadRecord(f"version: must be {RECORD_VERSION}")
        if not isinstance(record.get("sealed"), dict):
            raise BadRecord("sealed: is missing")
        pair = from_secret(scheme_named(record.get("scheme")), unseal(record["sealed"], self.password))
        if pair.public != split_name(path.name)[1]:
            raise BadRecord("the secret is not that of the public key in the file's name")
        return pair

    def _forget(self, name: str) -> None:
        self._seen.pop(name, None)
        self.problems.pop(name, None)
        self._pairs.pop(split_name(name), None)


def file_name(key_type: bytes, public: bytes) -> str:
    """The name of a key's file: hex(key type) + hex(public key)."""
    return key_type.hex() + public.hex()


def split_name(name: str) -> tuple[bytes, bytes]:
    """Key type and public key of a file name."""
    return bytes.fromhex(name[:8]), bytes.fromhex(name[8:])


def scheme_named(name: object) -> Scheme:
    """The scheme of its lower-case name. BadRecord if there is none."""
    for scheme in Scheme:
        if name == scheme.name.lower():
            return scheme
    raise BadRecord("scheme: unknown")


def _check_type(key_type: bytes) -> None:
    if key_type not in KEY_TYPES:
        raise UnknownKeyType(f"key type: must be one of {', '.join(kind.decode() for kind in KEY_TYPES)}")
