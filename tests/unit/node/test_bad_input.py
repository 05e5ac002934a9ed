"""Bad input through the pool and through blocks: what is refused changes nothing, what fails costs the fee only.

The error codes are those that a client of the RPC gets.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from node.pool import PoolError
from node.rpc.api.author_api import submission_error
from runtime.address import Era
from runtime.errors import InvalidTransaction, Validity
from runtime.extrinsic import EXTRINSIC_BYTES_MAX
from runtime.scale import ScaleError
from runtime.scale.codec import encode_compact
from tests.helpers.chain_lab import BOB, UNIT, Lab

Make = Callable[[Lab], bytes]


def flipped(raw: bytes, position: int) -> bytes:
    """`raw` with one bit changed."""
    changed = bytearray(raw)
    changed[position] ^= 1
    return bytes(changed)


def with_length(body: bytes) -> bytes:
    """A length prefix and a body."""
    return encode_compact(len(body)) + body


INVALID: dict[str, tuple[Make, Validity, str]] = {
    "wrong signature": (lambda lab: flipped(lab.sign(lab.transfer(), 1), 60), Validity.BAD_PROOF, "does not cover"),
    "other call": (lambda lab: flipped(lab.sign(lab.transfer(), 1), -1), Validity.BAD_PROOF, "does not cover"),
    "wrong genesis": (
        lambda lab: lab.sign(lab.transfer(), 1, genesis=bytes(31) + b"\x01"),
        Validity.BAD_PROOF,
        "genesis 0x",
    ),
    "wrong spec version": (lambda lab: lab.sign(lab.transfer(), 1, spec=2), Validity.BAD_PROOF, "spec version 2"),
    "stale nonce": (lambda lab: lab.sign(lab.transfer(), 0), Validity.STALE, "next is 1"),
    "expired era": (
        lambda lab: lab.sign(
            lab.transfer(), 1, era=Era.mortal(4, 1), era_block_hash=lab.chain.store.hash_at(1) or bytes(32)
        ),
        Validity.ANCIENT_BIRTH_BLOCK,
        "block 1",
    ),
    "unsigned": (
        lambda lab: with_length(b"\x04" + lab.call("System", "remark", b"")),
        Validity.CALL,
        "block authors only",
    ),
    "a signed inherent": (
        lambda lab: lab.sign(lab.call("Timestamp", "set", lab.clock.now_ms()), 1),
        Validity.CALL,
        "block authors only",
    ),
    "more than it can pay": (lambda lab: lab.sign(lab.transfer(), 1, tip=10**30), Validity.PAYMENT, "the account has"),
}
MALFORMED: dict[str, Make] = {
    "empty": lambda _: b"",
    "one byte": lambda _: b"\x84",
    "cut off": lambda lab: lab.sign(lab.transfer(), 1)[:-1],
    "one byte more": lambda lab: lab.sign(lab.transfer(), 1) + b"\0",
    "bytes after the call": lambda lab: with_length(lab.sign(lab.transfer(), 1)[2:] + b"\0"),
    "another version": lambda lab: with_length(b"\x85" + lab.sign(lab.transfer(), 1)[3:]),
    "an unknown pallet": lambda lab: lab.sign(b"\xfe\x00", 1),
    "an unknown call": lambda lab: lab.sign(b"\x04\xfe", 1),
    "an address that is no account": lambda lab: with_length(b"\x84\x01" + lab.sign(lab.transfer(), 1)[4:]),
    "an unknown signature scheme": lambda lab: with_length(
        lab.sign(lab.transfer(), 1)[2:36] + b"\x03" + lab.sign(lab.transfer(), 1)[37:]
    ),
    "a compact that is not minimal": lambda lab: lab.sign(lab.transfer()[:-6] + b"\x01\x00", 1),
    "oversized": lambda _: with_length(b"\x84" + bytes(EXTRINSIC_BYTES_MAX)),
    "oversized, well formed": lambda lab: lab.sign(
        lab.call("Utility", "batch", tuple(lab_remark(lab) for _ in range(5))), 1
    ),
}


def lab_remark(lab: Lab) -> object:
    """A call of 64 KiB."""
    return lab.runtime.definition("System", "remark")(bytes(64 << 10))


async def used_lab(folder: Path) -> Lab:
    """A lab in which Bob has used nonce 0 and several blocks have passed."""
    lab = Lab(folder)
    lab.submit(lab.sign(lab.transfer()))
    for _ in range(6):
        await lab.author_block()
    return lab


def assert_refused(lab: Lab, raw: bytes) -> InvalidTransaction | ScaleError | PoolError:
    """Submit; nothing in pool and state may change. The refusal."""
    lab.submit(lab.sign(lab.transfer(), 1, tip=5))
    content, root, told = lab.pool_content(), lab.state_root(), len(lab.transactions._watchers)
    with pytest.raises((InvalidTransaction, ScaleError, PoolError)) as refused:
        lab.submit(raw)
    assert (lab.pool_content(), lab.state_root(), len(lab.transactions._watchers)) == (content, root, told)
    return refused.value  # type: ignore[return-value]  # one of the three errors


@pytest.mark.parametrize("kind", INVALID)
def test_the_pool_refuses_invalid_transactions_with_nothing_changed(kind: str, tmp_path: Path) -> None:
    """Each is refused by its code and with words that say what was expected; pool and state stay as they were."""
    make, code, words = INVALID[kind]

    async def run() -> None:
        lab = await used_lab(tmp_path)
        error = assert_refused(lab, make(lab))
        assert isinstance(error, InvalidTransaction)
        assert error.code is code
        assert words in error.explanation
        shown = submission_error(error)
        assert (shown.code, words in shown.data) == (1010, True)
        await lab.author_block()
        assert lab.look().system.accounts.get(BOB.public).nonce == 2

    trio.run(run)


@pytest.mark.parametrize("kind", MALFORMED)
def test_the_pool_refuses_what_does_not_decode_with_nothing_changed(kind: str, tmp_path: Path) -> None:
    """Malformed and oversized extrinsics are refused as undecodable, by a message that names the part."""

    async def run() -> None:
        lab = await used_lab(tmp_path)
        error = assert_refused(lab, MALFORMED[kind](lab))
        assert isinstance(error, ScaleError)
        assert str(error)
        assert submission_error(error).code == 1001

    trio.run(run)


def test_too_high_a_nonce_waits_as_future(tmp_path: Path) -> None:
    """A transaction two nonces ahead waits, and is ready once the one before it is there; both are then included."""

    async def run() -> None:
        lab = await used_lab(tmp_path)
        later = lab.submit(lab.sign(lab.transfer(), 2))
        assert not lab.pool.entries[later].ready
        await lab.author_block()
        assert lab.look().system.accounts.get(BOB.public).nonce == 1
        lab.submit(lab.sign(lab.transfer(), 1))
        assert lab.pool.entries[later].ready
        await lab.author_block()
        assert lab.look().system.accounts.get(BOB.public).nonce == 3
        assert lab.pool.entries == {}

    trio.run(run)


def test_a_refused_transaction_may_be_corrected(tmp_path: Path) -> None:
    """A refusal bans nothing but the very bytes that proved invalid in a block: the corrected one is taken."""

    async def run() -> None:
        lab = await used_lab(tmp_path)
        with pytest.raises(InvalidTransaction):
            lab.submit(lab.sign(lab.transfer(UNIT), 1, spec=2))
        lab.submit(lab.sign(lab.transfer(UNIT), 1))
        await lab.author_block()
        assert lab.look().system.accounts.get(BOB.public).nonce == 2

    trio.run(run)
