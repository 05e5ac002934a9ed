"""Node key: the ed25519 secret that is a node's identity in the network, in <base>/chains/<id>/network."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from nacl import utils

from node.keys.files import FileExists, SecretFileError, read_private, write_private
from node.keys.pair import SEED_BYTES

FILE_NAME = "secret_ed25519"


class BadNodeKey(SecretFileError):
    """The file or text is neither 32 bytes nor their hex."""


def parse_node_key(data: bytes) -> bytes:
    """The seed in a --node-key or in a file: 32 raw bytes, or 64 hex digits with or without 0x. BadNodeKey."""
    if len(data) == SEED_BYTES:
        return data
    try:
        seed = bytes.fromhex(data.decode("ascii").strip().removeprefix("0x"))
    except ValueError:
        raise BadNodeKey("node key: is neither 32 bytes nor hex") from None
    if len(seed) != SEED_BYTES:
        raise BadNodeKey(f"node key: {len(seed)} bytes, must be {SEED_BYTES}")
    return seed


def load_or_create(path: Path, random: Callable[[int], bytes] = utils.random) -> bytes:
    """The seed in the file; if there is none, a new one is made and stored. Two nodes starting at once agree."""
    try:
        return parse_node_key(read_private(path))
    except FileNotFoundError:
        pass
    with contextlib.suppress(FileExists):
        write_private(path, random(SEED_BYTES), replace=False)
    return parse_node_key(read_private(path))
