"""Blobs: scripts, inputs and results, by content. A blob's name is its CIDv1 (raw, sha2-256); 32 MiB at most.

They lie in files of their own, written whole and renamed, and are fetched from peers in parts by `blobs/1`. What does
not hash to its name is never stored.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from node.log import logger
from node.network.peer_reputation import BAD_RESPONSE
from node.network.port import MalformedMessage, Network, PeerId, RequestFailed, RequestRefused
from node.wire import Bytes, pack, unpack

log = logger("blobs")

BLOB_BYTES_MAX = 32 << 20
PART_BYTES = 4 << 20
STORE_BYTES_MAX = 4 << 30
CID_PREFIX = bytes((0x01, 0x55, 0x12, 0x20))
CID_BYTES = 36
TEMPORARY_SUFFIX = ".tmp"
PROTOCOL = "blobs/1"
REQUEST = (Bytes(CID_BYTES, CID_BYTES), int)
RESPONSE = (int, Bytes(PART_BYTES))


class BlobError(Exception):
    """A blob that cannot be stored or found; the message names the limit."""


class BlobTooLarge(BlobError):
    """Above 32 MiB, or the store is full."""


class BlobNotWritten(BlobError):
    """The disk did not take it; the message is the system's."""


class BlobUnavailable(BlobError):
    """Neither here nor with any peer."""


class BadCid(BlobError):
    """Not a CIDv1 of raw bytes with sha2-256."""


def cid_of(data: bytes) -> bytes:
    """The binary CID: version 1, codec raw, sha2-256 of 32 bytes."""
    return CID_PREFIX + hashlib.sha256(data).digest()


def cid_text(cid: bytes) -> str:
    """The usual form: `b` and base32 in lower case."""
    import base64

    return "b" + base64.b32encode(cid).decode().lower().rstrip("=")


def parse_cid(text: str) -> bytes:
    """The binary CID of its text form. Raises BadCid."""
    import base64

    try:
        raw = base64.b32decode(text[1:].upper() + "=" * (-(len(text) - 1) % 8)) if text[:1] == "b" else b""
    except ValueError:
        raw = b""
    return check_cid(raw)


def check_cid(cid: bytes) -> bytes:
    """`cid` itself. Raises BadCid."""
    if len(cid) != CID_BYTES or not cid.startswith(CID_PREFIX):
        raise BadCid("cid: expected a CIDv1 of raw bytes with sha2-256 (bafkrei…)")
    return cid


class BlobStore:
    """The blobs that this node holds, in `folder`, at most `bytes_max` in all."""

    def __init__(self, folder: Path, bytes_max: int = STORE_BYTES_MAX) -> None:
        self.folder = folder
        self.bytes_max = bytes_max
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob(f"*{TEMPORARY_SUFFIX}"):
            unfinished.unlink(missing_ok=True)
        self._size = sum(entry.stat().st_size for entry in folder.iterdir())

    @property
    def total_bytes(self) -> int:
        """What all blobs here take together."""
        return self._size

    def path(self, cid: bytes) -> Path:
        """Where a blob lies."""
        return self.folder / cid_text(check_cid(cid))

    def has(self, cid: bytes) -> bool:
        """Whether the blob is here."""
        return self.path(cid).is_file()

    def get(self, cid: bytes) -> bytes | None:
        """The blob, or None. A damaged file is removed and counts as absent."""
        try:
            data = self.path(cid).read_bytes()
        except FileNotFoundError:
            return None
        if cid_of(data) != cid:
            log.error("damaged blob removed", cid=cid_text(cid))
            self.path(cid).unlink(missing_ok=True)
            self._size -= len(data)
            return None
        return data

    def size(self, cid: bytes) -> int | None:
        """The blob's length in bytes, or None."""
        try:
            return self.path(cid).stat().st_size
        except FileNotFoundError:
            return None

    def part(self, cid: bytes, offset: int, length: int) -> tuple[int, bytes]:
        """The blob's whole length, and a part of it as it lies on disk. FileNotFoundError if it is not here."""
        with self.path(cid).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(offset)
            return size, file.read(length)

    def put(self, data: bytes) -> bytes:
        """Store a blob; its CID. Raises BlobTooLarge, BlobNotWritten."""
        if len(data) > BLOB_BYTES_MAX:
            raise BlobTooLarge(f"blob: {len(data)} bytes, at most {BLOB_BYTES_MAX}")
        cid = cid_of(data)
        path = self.path(cid)
        if path.is_file():
            return cid
        if self._size + len(data) > self.bytes_max:
            raise BlobTooLarge(f"blob store: full, it holds {self._size} of {self.bytes_max} bytes")
        temporary = path.with_suffix(f".{os.getpid()}{TEMPORARY_SUFFIX}")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise BlobNotWritten(f"blob store: {error.strerror}") from error
        self._size += len(data)
        return cid


class Blobs:
    """The store and the peers together."""

    def __init__(self, store: BlobStore, network: Network) -> None:
        self.store = store
        self.network = network
        network.serve(PROTOCOL, self._serve)

    async def _serve(self, _peer: PeerId, data: bytes) -> bytes:
        cid, offset = unpack(data, REQUEST, 128, "blob request")
        if not cid.startswith(CID_PREFIX):
            raise RequestRefused("cid: not a raw sha2-256 CID")
        if offset > BLOB_BYTES_MAX:
            raise RequestRefused(f"offset: {offset}, at most {BLOB_BYTES_MAX}")
        try:
            size, part = self.store.part(cid, offset, PART_BYTES)
        except FileNotFoundError as error:
            raise RequestRefused("no such blob here") from error
        if offset > size:
            raise RequestRefused(f"offset: {offset}, the blob has {size} bytes")
        return pack([size, part])

    async def fetch(self, cid: bytes, peers: Iterable[PeerId] | None = None) -> bytes:
        """The blob, from here or from a peer, stored here afterwards. Raises BlobUnavailable, BadCid, BlobTooLarge."""
        found = self.store.get(check_cid(cid))
        if found is not None:
            return found
        for peer in list(self.network.peers() if peers is None else peers):
            data = await self._fetch_from(peer, cid)
            if data is not None:
                self.store.put(data)
                return data
        raise BlobUnavailable(f"{cid_text(cid)}: not here and no peer of {len(self.network.peers())} has it")

    async def _fetch_from(self, peer: PeerId, cid: bytes) -> bytes | None:
        """A peer's copy if it has one and it is right."""
        data = bytearray()
        try:
            while True:
                answer = await self.network.request(peer, PROTOCOL, pack([cid, len(data)]))
                size, part = unpack(answer, RESPONSE, PART_BYTES + 64, "blob answer")
                # Whole parts only: a byte at a time would be a request for each.
                if size > BLOB_BYTES_MAX or len(part) != min(PART_BYTES, size - len(data)):
                    raise MalformedMessage("size", f"{size} bytes announced, {len(part)} sent at {len(data)}")
                data += part
                if len(data) >= size:
                    break
        except RequestFailed:
            return None
        except MalformedMessage as error:
            self.network.report(peer, BAD_RESPONSE.delta, str(error))
            return None
        if cid_of(bytes(data)) != cid:
            self.network.report(peer, BAD_RESPONSE.delta, "blob does not hash to its name")
            return None
        return bytes(data)
