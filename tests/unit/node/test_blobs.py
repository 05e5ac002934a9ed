"""Blobs: names that are hashes, limits, damaged files, and peers that send something else than was asked for."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from node.blobs import (
    BLOB_BYTES_MAX,
    PART_BYTES,
    PROTOCOL,
    BadCid,
    BlobNotWritten,
    Blobs,
    BlobStore,
    BlobTooLarge,
    BlobUnavailable,
    cid_of,
    cid_text,
    parse_cid,
)
from node.network.port import PeerId, RequestFailed, RequestFailure
from node.wire import pack, unpack
from tests.sim.network import Switchboard

DATA = b"a script"
Answer = Callable[[PeerId, bytes], Awaitable[bytes]]


def test_the_text_form_of_a_cid() -> None:
    """CIDv1, raw, sha2-256, base32: the name that other tools give the same bytes, and back."""
    assert cid_text(cid_of(b"")) == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    assert parse_cid(cid_text(cid_of(DATA))) == cid_of(DATA)
    assert cid_of(DATA)[4:] == hashlib.sha256(DATA).digest()


@pytest.mark.parametrize(
    "text",
    ["", "b", "bafk", "Qm" + "a" * 44, "b" + "a" * 58, "z" + cid_text(cid_of(DATA))[1:], "../../etc/passwd", "b!!!!"],
)
def test_a_bad_cid_is_refused(text: str) -> None:
    """Another version, codec or hash, or no CID at all, is BadCid and never a path."""
    with pytest.raises(BadCid):
        parse_cid(text)


def test_a_blob_is_stored_once_and_read_back(tmp_path: Path) -> None:
    """Storing twice gives the same name and one file; no temporary file stays."""
    store = BlobStore(tmp_path / "blobs")
    cid = store.put(DATA)
    assert store.put(DATA) == cid
    assert (store.get(cid), store.size(cid), store.has(cid)) == (DATA, len(DATA), True)
    assert [path.name for path in store.folder.iterdir()] == [cid_text(cid)]
    assert (store.get(cid_of(b"other")), store.size(cid_of(b"other"))) == (None, None)


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    """33,554,432 bytes are stored, one more is not, and leaves nothing."""
    store = BlobStore(tmp_path)
    assert store.has(store.put(bytes(BLOB_BYTES_MAX)))
    with pytest.raises(BlobTooLarge, match=str(BLOB_BYTES_MAX)):
        store.put(bytes(BLOB_BYTES_MAX + 1))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_store_refuses(tmp_path: Path) -> None:
    """Above its total size the store takes nothing new, and what it has stays readable."""
    store = BlobStore(tmp_path, bytes_max=20)
    cid = store.put(DATA)
    with pytest.raises(BlobTooLarge, match="full"):
        store.put(b"13 bytes more")
    assert store.get(cid) == DATA
    assert BlobStore(tmp_path, bytes_max=20).get(cid) == DATA


def test_a_damaged_file_counts_as_absent(tmp_path: Path) -> None:
    """A flipped bit is found on reading, the file goes, its room is free, and the blob may be stored anew."""
    store = BlobStore(tmp_path, bytes_max=len(DATA))
    cid = store.put(DATA)
    store.path(cid).write_bytes(b"A script")
    assert store.get(cid) is None
    assert not store.has(cid)
    assert store.put(DATA) == cid


def test_a_file_that_was_not_finished_is_removed(tmp_path: Path) -> None:
    """What a crash left half written does not stay on the disk."""
    (tmp_path / "bafkreileftover.77.tmp").write_bytes(b"half")
    BlobStore(tmp_path).put(DATA)
    assert [path.name for path in tmp_path.iterdir()] == [cid_text(cid_of(DATA))]


# Between nodes.


class Two:
    """A node that asks, and a peer that answers."""

    def __init__(self, folder: Path) -> None:
        self.board = Switchboard(1)
        self.one, self.two = self.board.join("one"), self.board.join("two")
        self.asking = Blobs(BlobStore(folder / "one"), self.one)

    def reported(self) -> list[str]:
        """Why the asking node complained of its peer."""
        return [reason for _peer, _delta, reason in self.one.reports]


def with_two(test: Callable[[Two], Awaitable[None]], folder: Path) -> None:
    """Run a test between two nodes."""

    async def run() -> None:
        with trio.fail_after(30):
            await test(Two(folder))

    trio.run(run)


def test_a_large_blob_is_fetched_in_parts(tmp_path: Path) -> None:
    """Nine megabytes come in three parts, are checked as a whole, and are here afterwards."""

    async def test(two: Two) -> None:
        data = bytes(range(256)) * (9 << 12)
        cid = Blobs(BlobStore(tmp_path / "two"), two.two).store.put(data)
        assert await two.asking.fetch(cid) == data
        assert two.asking.store.has(cid)
        assert two.reported() == []

    with_two(test, tmp_path)


async def lie(two: Two, answer: Answer) -> None:
    """Fetch from a peer that answers so; nothing may be stored."""
    two.two.serve(PROTOCOL, answer)
    with pytest.raises(BlobUnavailable):
        await two.asking.fetch(cid_of(DATA))
    assert list(two.asking.store.folder.iterdir()) == []


LIES: dict[str, Any] = {
    "other bytes": [len(DATA), b"a scripT"],
    "more than announced": [len(DATA), DATA + b"!"],
    "no bytes": [len(DATA), b""],
    "too large": [BLOB_BYTES_MAX + 1, DATA],
    "a negative size": [-1, DATA],
    "no list": 7,
    "a part above its limit": [BLOB_BYTES_MAX, bytes(PART_BYTES + 1)],
    "a part of a byte": [BLOB_BYTES_MAX, b"x"],
}


@pytest.mark.parametrize("kind", LIES)
def test_a_peer_that_lies_is_reported(kind: str, tmp_path: Path) -> None:
    """Whatever the peer sends that is not the blob costs it its reputation, and is not stored."""

    async def test(two: Two) -> None:
        async def answer(_peer: PeerId, _data: bytes) -> bytes:
            return pack(LIES[kind])

        await lie(two, answer)
        assert len(two.reported()) == 1

    with_two(test, tmp_path)


def test_a_peer_without_the_blob_is_not_blamed(tmp_path: Path) -> None:
    """A refusal is no fault; the next peer is asked."""

    async def test(two: Two) -> None:
        Blobs(BlobStore(tmp_path / "two"), two.two)
        three = two.board.join("three")
        cid = Blobs(BlobStore(tmp_path / "three"), three).store.put(DATA)
        assert await two.asking.fetch(cid) == DATA
        assert two.reported() == []

    with_two(test, tmp_path)


def test_what_nobody_has_is_unavailable(tmp_path: Path) -> None:
    """Without peers that have it the fetch fails by name."""

    async def test(two: Two) -> None:
        Blobs(BlobStore(tmp_path / "two"), two.two)
        with pytest.raises(BlobUnavailable, match="no peer of 1 has it"):
            await two.asking.fetch(cid_of(DATA))
        with pytest.raises(BadCid):
            await two.asking.fetch(b"no cid")

    with_two(test, tmp_path)


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ([cid_of(b"unknown"), 0], "no such blob"),
        ([cid_of(DATA), len(DATA) + 1], "offset"),
        ([bytes(36), 0], "cid"),
    ],
)
def test_a_bad_request_is_refused(request_: list[Any], why: str, tmp_path: Path) -> None:
    """An unknown blob, a bad CID or an offset past the end is refused with a reason."""

    async def test(two: Two) -> None:
        two.asking.store.put(DATA)
        with pytest.raises(RequestFailed) as failed:
            await two.two.request(two.one.local_id, PROTOCOL, pack(request_))
        assert failed.value.failure is RequestFailure.REFUSED
        assert why in failed.value.detail

    with_two(test, tmp_path)


def test_a_part_is_served_from_its_offset(tmp_path: Path) -> None:
    """The answer is the whole size and the bytes from the offset on."""

    async def test(two: Two) -> None:
        cid = two.asking.store.put(DATA)
        answer = await two.two.request(two.one.local_id, PROTOCOL, pack([cid, 2]))
        assert unpack(answer, (int, bytes), 100) == [len(DATA), DATA[2:]]

    with_two(test, tmp_path)


def test_a_disk_that_takes_no_more_is_a_blob_error(tmp_path: Path) -> None:
    """What the system refuses to write is a blob that is not stored, told like one for which there is no room."""
    store = BlobStore(tmp_path / "blobs")
    shutil.rmtree(store.folder)
    with pytest.raises(BlobNotWritten, match="No such file or directory"):
        store.put(DATA)
    store.folder.mkdir()
    assert store.get(store.put(DATA)) == DATA
    assert store.total_bytes == len(DATA)


def test_a_request_past_every_blob_is_refused(tmp_path: Path) -> None:
    """An offset that no file can have is refused in words, not by a failure of the handler."""

    async def test(two: Two) -> None:
        cid = two.asking.store.put(DATA)
        with pytest.raises(RequestFailed) as failed:
            await two.two.request(PeerId("one"), PROTOCOL, pack([cid, (1 << 64) - 1]))
        assert failed.value.failure is RequestFailure.REFUSED

    with_two(test, tmp_path)
