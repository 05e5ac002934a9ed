"""Blobs over RPC: scripts and inputs to a node, results back, in parts, checked by content."""

from collections.abc import Callable
from dataclasses import dataclass

from cli.chain_client import bytes_of
from cli.errors import CliError
from cli.rpc_client import RpcClient
from node.blobs import BLOB_BYTES_MAX, BadCid, cid_of, cid_text, parse_cid

PART_BYTES = 1 << 20

Progress = Callable[[int], None]
"""Hears how many more bytes have gone over."""


def ignore_progress(_bytes: int) -> None:
    """For whoever does not want to know."""


@dataclass(frozen=True)
class LocalBlob:
    """Content that a node shall have, with a name for people."""

    label: str
    data: bytes

    @property
    def cid(self) -> bytes:
        """Its name for the chain."""
        return cid_of(self.data)


def upload(rpc: RpcClient, blob: LocalBlob, progress: Progress = ignore_progress) -> bool:
    """Give a blob to the node, in parts; False if the node had it. CliError if it arrived as something else."""
    name = cid_text(blob.cid)
    if rpc.call("blobs_has", name):
        progress(len(blob.data))
        return False
    upload_id = rpc.call("blobs_begin")
    for start in range(0, len(blob.data), PART_BYTES):
        part = blob.data[start : start + PART_BYTES]
        rpc.call("blobs_append", upload_id, "0x" + part.hex())
        progress(len(part))
    stored = rpc.call("blobs_finish", upload_id)
    if stored["cid"] != name:
        raise CliError(f"{blob.label}: the node stored {stored['cid']}, sent was {name}", "try again")
    return True


def download(rpc: RpcClient, cid: str, progress: Progress = ignore_progress) -> bytes:
    """A blob from the node, which asks its peers; CliError if the content does not hash to its name."""
    try:
        wanted = parse_cid(cid)
    except BadCid as error:
        raise CliError(f"{cid} is no blob's name: {error}", "is this address a Heddle node's?") from error
    data = bytearray()
    while True:
        answer = rpc.call("blobs_get", cid, len(data), PART_BYTES)
        part = bytes_of(answer["data"])
        data += part
        progress(len(part))
        if len(data) >= answer["bytes"] or not part or len(data) > BLOB_BYTES_MAX:
            break
    if cid_of(bytes(data)) != wanted:
        raise CliError(f"what the node gives for {cid} does not hash to that name", "ask another node")
    return bytes(data)
