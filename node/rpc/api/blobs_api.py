"""blobs_*: putting and getting scripts, inputs and results. Large ones travel in parts."""

from __future__ import annotations

import secrets
from typing import Any

from node.blobs import BLOB_BYTES_MAX, BadCid, BlobError, Blobs, cid_text, parse_cid
from node.rpc.api.chain_api import hexed
from node.rpc.errors import InvalidParams, RpcError
from node.rpc.methods import Methods
from node.rpc.params import hex_bytes, integer, text

PART_BYTES_MAX = 4 << 20
UPLOADS_MAX = 16
BLOB_UNAVAILABLE = 5001
BLOB_TOO_LARGE = 5002
TOO_MANY_UPLOADS = 5003


class BlobsApi:
    """Answers about blobs. Uploads in progress live in memory, the oldest goes when there are too many."""

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs
        self._uploads: dict[str, bytearray] = {}

    def register(self, methods: Methods) -> None:
        """Add the methods to the table."""
        methods.register("blobs_put", self.put)
        methods.register("blobs_begin", self.begin)
        methods.register("blobs_append", self.append)
        methods.register("blobs_finish", self.finish)
        methods.register("blobs_get", self.get)
        methods.register("blobs_has", self.has)

    async def put(self, data: Any) -> dict[str, Any]:
        """Store a blob of at most 4 MiB; {cid, bytes}."""
        return self._store(hex_bytes(data, "data", PART_BYTES_MAX))

    def _store(self, data: bytes) -> dict[str, Any]:
        try:
            cid = self.blobs.store.put(data)
        except BlobError as error:
            raise RpcError(BLOB_TOO_LARGE, str(error)) from error
        return {"cid": cid_text(cid), "bytes": len(data)}

    async def begin(self) -> str:
        """Begin an upload in parts; its id."""
        while len(self._uploads) >= UPLOADS_MAX:
            del self._uploads[next(iter(self._uploads))]
        upload = secrets.token_hex(16)
        self._uploads[upload] = bytearray()
        return upload

    async def append(self, upload: Any, data: Any) -> int:
        """Add a part of at most 4 MiB; the bytes so far."""
        content = self._upload(upload)
        part = hex_bytes(data, "data", PART_BYTES_MAX)
        if len(content) + len(part) > BLOB_BYTES_MAX:
            raise RpcError(BLOB_TOO_LARGE, f"blob: more than {BLOB_BYTES_MAX} bytes")
        content += part
        return len(content)

    async def finish(self, upload: Any) -> dict[str, Any]:
        """Store what was uploaded; {cid, bytes}."""
        content = bytes(self._upload(upload))
        del self._uploads[upload]
        return self._store(content)

    def _upload(self, upload: Any) -> bytearray:
        found = self._uploads.get(text(upload, "upload", 64))
        if found is None:
            raise InvalidParams("upload", "unknown, or given up for newer ones: begin again")
        return found

    async def get(self, cid: Any, offset: Any = 0, length: Any = PART_BYTES_MAX) -> dict[str, Any]:
        """A part of a blob, fetched from peers if it is not here: {bytes: total, data}."""
        start = integer(offset, "offset", BLOB_BYTES_MAX)
        size = integer(length, "length", PART_BYTES_MAX)
        wanted = self._cid(cid)
        try:
            if not self.blobs.store.has(wanted):
                await self.blobs.fetch(wanted)
            total, data = self.blobs.store.part(wanted, start, size)
        except (BlobError, FileNotFoundError) as error:
            raise RpcError(BLOB_UNAVAILABLE, str(error)) from error
        return {"bytes": total, "data": hexed(data)}

    async def has(self, cid: Any) -> bool:
        """Whether the blob is on this node."""
        return self.blobs.store.has(self._cid(cid))

    @staticmethod
    def _cid(value: Any) -> bytes:
        try:
            return parse_cid(text(value, "cid", 128))
        except BadCid as error:
            raise InvalidParams("cid", str(error)) from error
