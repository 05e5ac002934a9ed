"""The pool on a made-up ledger: chains of nonces, replacement, limits, bans, and what watchers are told.

A model test compares every step with a pool written in a few lines.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node import pool as pool_module
from node.pool import (
    BAN_MS,
    FUTURE_MAX,
    FUTURE_PER_SENDER_MAX,
    PER_SENDER_MAX,
    READY_BYTES_MAX,
    READY_MAX,
    U64_MAX,
    AlreadyImported,
    Checked,
    Entry,
    ImmediatelyDropped,
    Pool,
    PoolError,
    PriorityTooLow,
    Status,
    TemporarilyBanned,
    priority_of,
)
from runtime.errors import InvalidTransaction, Validity
from runtime.extrinsic import Extrinsic
from runtime.hashing import blake2b256

NOW_MS = 1_000_000


@dataclass
class Accounts:
    """The ledger: a nonce per account, and who cannot pay any more. A raw transaction is JSON."""

    nonces: dict[bytes, int] = field(default_factory=dict)
    broke: set[bytes] = field(default_factory=set)

    def check(self, raw: bytes) -> Checked:
        name, nonce, priority, valid_till, _salt = json.loads(raw.split(b"#")[0])
        sender = bytes.fromhex(name)
        expected = self.next_nonce(sender)
        if nonce < expected:
            raise InvalidTransaction(Validity.STALE, "stale")
        return Checked(made(raw, sender, nonce), expected, priority, valid_till)

    def next_nonce(self, account: bytes) -> int:
        return self.nonces.get(account, 0)

    def recheck(self, extrinsic: Extrinsic) -> None:
        if extrinsic.signer in self.broke:
            raise InvalidTransaction(Validity.PAYMENT, "broke")


def made(raw: bytes, sender: bytes, nonce: int) -> Extrinsic:
    """An extrinsic as the pool looks at it: the call is of no interest."""
    # The pool never looks at the call.
    return Extrinsic(raw, blake2b256(raw), None, sender, nonce=nonce)  # type: ignore[arg-type]


def raw_of(
    sender: bytes, nonce: int, priority: int = 1, valid_till: int = U64_MAX, size: int = 0, salt: int = 0
) -> bytes:
    """A transaction of about `size` bytes."""
    return json.dumps([sender.hex(), nonce, priority, valid_till, salt]).encode() + b"#" * size


class Bench:
    """A pool, its ledger and clock, and all that it told."""

    def __init__(self) -> None:
        self.ledger = Accounts()
        self.now_ms = NOW_MS
        self.told: list[tuple[bytes, Status, bytes | None]] = []
        self.pool = Pool(self.ledger, lambda *news: self.told.append(news), lambda: self.now_ms)

    def submit(self, sender: bytes, nonce: int, priority: int = 1, **rest: Any) -> Entry:
        """Submit; the entry."""
        raw = raw_of(sender, nonce, priority, **rest)
        return self.pool.submit(raw, blake2b256(raw), local=True)

    def statuses(self, entry: Entry) -> list[Status]:
        """What was told of a transaction, in order."""
        return [status for told, status, _ in self.told if told == entry.extrinsic.hash]

    def order(self) -> list[tuple[bytes, int]]:
        """What a block would take, in order."""
        return [(entry.extrinsic.signer or b"", entry.extrinsic.nonce) for entry in self.pool.best_first()]

    def include(self, number: int, *entries: Entry) -> None:
        """A best block with these."""
        for entry in entries:
            assert entry.extrinsic.signer is not None
            self.ledger.nonces[entry.extrinsic.signer] = entry.extrinsic.nonce + 1
        self.pool.on_best_block(number, bytes((number,)) * 32, [entry.extrinsic for entry in entries])

    def snapshot(self) -> Any:
        """All that the pool holds."""
        pool = self.pool
        shares = (pool.ready.count, pool.ready.bytes, pool.future.count, pool.future.bytes)
        return sorted((h, e.ready) for h, e in pool.entries.items()), shares, len(self.told)

    def refused(self, kind: type[PoolError], sender: bytes, nonce: int, **rest: Any) -> PoolError:
        """Submit what must be refused, with nothing changed."""
        before = self.snapshot()
        with pytest.raises(kind) as refusal:
            self.submit(sender, nonce, **rest)
        assert self.snapshot() == before
        return refusal.value


A, B, C = b"a", b"b", b"c"


def test_a_gap_makes_the_later_ones_wait() -> None:
    """Nonce 2 waits for 0 and 1; when the gap is filled all are ready, in the order of their nonces."""
    bench = Bench()
    late, first = bench.submit(A, 2, 9), bench.submit(A, 0)
    assert (late.ready, first.ready) == (False, True)
    assert bench.pool.next_nonce(A) == 1
    middle = bench.submit(A, 1)
    assert (middle.ready, late.ready) == (True, True)
    assert bench.order() == [(A, 0), (A, 1), (A, 2)]
    assert bench.statuses(late) == [Status.FUTURE, Status.READY]
    assert bench.pool.next_nonce(A) == 3


def test_the_best_paying_come_first() -> None:
    """Blocks are filled by priority among the senders' first ones, ties by arrival."""
    bench = Bench()
    for sender, priority in ((A, 1), (B, 5), (C, 5)):
        bench.submit(sender, 0, priority)
    bench.submit(A, 1, 100)
    assert bench.order() == [(B, 0), (C, 0), (A, 0), (A, 1)]


def test_a_replacement_needs_more_priority() -> None:
    """Another transaction with the same nonce is refused (1014) unless it has strictly more priority."""
    bench = Bench()
    first = bench.submit(A, 0, 5)
    for priority in (4, 5):
        assert bench.refused(PriorityTooLow, A, 0, priority=priority, salt=1).code == 1014
    second = bench.submit(A, 0, 6)
    assert list(bench.pool.entries.values()) == [second]
    assert bench.told[-2:] == [
        (first.extrinsic.hash, Status.USURPED, second.extrinsic.hash),
        (second.extrinsic.hash, Status.READY, None),
    ]


def test_the_same_transaction_is_taken_once() -> None:
    """A second submission is refused as already imported (1013)."""
    bench = Bench()
    bench.submit(A, 0)
    assert bench.refused(AlreadyImported, A, 0).code == 1013


def test_what_proved_invalid_is_banned_for_a_while() -> None:
    """A refused transaction leaves, its followers wait, and it may come back after 30 minutes (1012 before)."""
    bench = Bench()
    first, second = bench.submit(A, 0), bench.submit(A, 1)
    bench.pool.refuse(first.extrinsic.hash)
    assert bench.statuses(first)[-1] is Status.INVALID
    assert not second.ready
    assert bench.refused(TemporarilyBanned, A, 0).code == 1012
    bench.now_ms += BAN_MS - 1
    bench.refused(TemporarilyBanned, A, 0)
    bench.now_ms += 1
    assert bench.submit(A, 0).ready
    assert second.ready


def test_the_list_of_bans_is_bounded() -> None:
    """Bans that ended make room for new ones; beyond the bound nothing is remembered."""
    bench = Bench()
    for number in range(pool_module.BANNED_MAX):
        bench.pool.refuse(number.to_bytes(32, "little"))
    bench.pool.refuse(b"one more".ljust(32))
    assert len(bench.pool.banned) == pool_module.BANNED_MAX
    bench.now_ms += BAN_MS
    bench.pool.refuse(b"later".ljust(32))
    assert list(bench.pool.banned) == [b"later".ljust(32)]


def test_a_block_takes_its_transactions_out() -> None:
    """Included ones leave as inBlock, a rival with the same nonce as invalid, the next one stays ready."""
    bench = Bench()
    first, second = bench.submit(A, 0), bench.submit(A, 1)
    # The pool never looks at the call.
    rival = Extrinsic(b"rival", blake2b256(b"rival"), None, A, nonce=0)  # type: ignore[arg-type]
    bench.ledger.nonces[A] = 1
    bench.pool.on_best_block(1, b"1" * 32, [rival])
    assert (rival.hash, Status.IN_BLOCK, b"1" * 32) in bench.told
    assert bench.statuses(first)[-1] is Status.INVALID
    assert second.ready
    bench.include(2, second)
    assert bench.statuses(second) == [Status.READY, Status.IN_BLOCK]
    assert bench.pool.entries == {}
    assert bench.pool.ready.count == bench.pool.ready.bytes == 0


def test_who_cannot_pay_any_more_leaves() -> None:
    """After a block the senders in it are looked at again: what they cannot pay leaves as invalid."""
    bench = Bench()
    first, second, other = bench.submit(A, 0), bench.submit(A, 1), bench.submit(B, 0)
    bench.ledger.broke = {A, B}
    bench.include(1, first)
    assert bench.statuses(second)[-1] is Status.INVALID
    assert list(bench.pool.entries.values()) == [other], "only senders of the block are looked at"


def test_an_expired_era_leaves_with_the_last_block_it_may_be_in() -> None:
    """A transaction valid until block 7 leaves when block 7 comes without it, and its follower waits."""
    bench = Bench()
    mortal, follower = bench.submit(A, 0, valid_till=7), bench.submit(A, 1)
    bench.include(6)
    assert mortal.ready
    bench.include(7)
    assert bench.statuses(mortal)[-1] is Status.INVALID
    assert not follower.ready


def test_one_account_cannot_fill_the_future() -> None:
    """At most 64 transactions of an account wait, and 512 in all; the weakest of others gives way."""
    bench = Bench()
    for nonce in range(FUTURE_PER_SENDER_MAX):
        bench.submit(A, 1 + nonce)
    assert bench.refused(ImmediatelyDropped, A, 500, priority=99).code == 1016
    for number in range(FUTURE_MAX // FUTURE_PER_SENDER_MAX - 1):
        for nonce in range(FUTURE_PER_SENDER_MAX):
            bench.submit(bytes((65 + number,)) * 2, 1 + nonce, 2)
    assert bench.pool.future.count == FUTURE_MAX
    bench.refused(ImmediatelyDropped, B, 1, priority=1)
    bench.submit(B, 1, 2)
    assert bench.pool.future.count == FUTURE_MAX
    dropped = [told for told, status, _ in bench.told if status is Status.DROPPED]
    assert len(dropped) == 1


def test_a_full_pool_gives_the_place_to_who_pays_more() -> None:
    """Full of ready ones, the weakest is dropped for a stronger one; equal or weaker ones are refused (1016)."""
    bench = Bench()
    weakest = bench.submit(b"weakest", 0, 2)
    for number in range(READY_MAX - 1):
        bench.submit(number.to_bytes(3, "little"), 0, 3)
    assert bench.refused(ImmediatelyDropped, B, 0, priority=2).code == 1016
    bench.submit(B, 0, 3)
    assert bench.pool.ready.count == READY_MAX
    assert bench.statuses(weakest)[-1] is Status.DROPPED


def test_one_account_cannot_fill_the_pool() -> None:
    """At most 512 transactions of an account are here, ready or not; replacing one of them is still possible."""
    bench = Bench()
    for nonce in range(PER_SENDER_MAX):
        bench.submit(A, nonce)
    assert bench.refused(ImmediatelyDropped, A, PER_SENDER_MAX, priority=99).code == 1016
    bench.submit(A, 5, 2)
    bench.submit(B, 0)
    assert bench.pool.ready.count == PER_SENDER_MAX + 1


def test_followers_of_an_evicted_one_wait() -> None:
    """When the first of a chain gives way, what followed it is not ready any more."""
    bench = Bench()
    bench.submit(A, 0, 2)
    follower = bench.submit(A, 1, 50)
    for number in range(READY_MAX - 2):
        bench.submit(number.to_bytes(3, "little"), 0, 3)
    bench.submit(B, 0, 9)
    assert not follower.ready
    assert (A, 1) not in bench.order()


def test_a_refusal_for_lack_of_bytes_evicts_nobody() -> None:
    """A large one that would have to push out a stronger one is refused, and the weaker one stays too."""
    bench = Bench()
    quarter = READY_BYTES_MAX // 4
    for number, priority in enumerate((1, 5, 5, 5)):
        bench.submit(bytes((number + 65,)), 0, priority, size=quarter - 100)
    bench.refused(ImmediatelyDropped, B * 2, 0, priority=3, size=quarter + 1_000)
    bench.submit(B * 2, 0, 3, size=quarter - 100)
    assert bench.pool.ready.bytes <= READY_BYTES_MAX


def test_a_replacement_is_counted_by_its_bytes() -> None:
    """A small transaction cannot be replaced by one that does not fit."""
    bench = Bench()
    bench.submit(A, 0, 5)
    bench.submit(B, 0, 9, size=READY_BYTES_MAX - 10_000)
    bench.refused(ImmediatelyDropped, A, 0, priority=6, size=20_000)
    bench.submit(A, 0, 6, size=1_000)


@pytest.mark.parametrize(
    ("tip", "weight", "length", "expected"),
    [(0, 10, 100, 10), (4, 10, 100, 50), (0, 1, 100, 10), (0, 0, 0, 100), (1 << 127, 1, 1, U64_MAX)],
)
def test_the_priority_formula(tip: int, weight: int, length: int, expected: int) -> None:
    """(tip + 1) times how many such transactions a block of weight 100 and length 1,000 holds, at most u64."""
    assert priority_of(tip, weight, length, 100, 1_000) == expected


class PoolMachine(RuleBasedStateMachine):
    """Any sequence of submissions, refusals and blocks against a model: {sender: {nonce: (hash, priority)}}."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.model: dict[bytes, dict[int, tuple[bytes, int]]] = {A: {}, B: {}, C: {}}
        self.banned: set[bytes] = set()
        self.number = 0

    @rule(sender=st.sampled_from([A, B, C]), ahead=st.integers(0, 4), priority=st.integers(1, 3))
    def submit(self, sender: bytes, ahead: int, priority: int) -> None:
        nonce = self.bench.ledger.next_nonce(sender) + ahead
        raw = raw_of(sender, nonce, priority)
        digest, rival = blake2b256(raw), self.model[sender].get(nonce)
        refused = digest in self.banned or (rival is not None and rival[1] >= priority)
        try:
            self.bench.pool.submit(raw, digest, local=False)
        except PoolError:
            assert refused
        else:
            assert not refused
            self.model[sender][nonce] = (digest, priority)

    @rule(sender=st.sampled_from([A, B, C]), count=st.integers(1, 3))
    def include(self, sender: bytes, count: int) -> None:
        """A block takes the first `count` ready ones of a sender."""
        chain, first = self.model[sender], self.bench.ledger.next_nonce(sender)
        taken = [nonce for nonce in range(first, first + count) if all(n in chain for n in range(first, nonce + 1))]
        self.number += 1
        self.bench.include(self.number, *(self.bench.pool.chains[sender][nonce] for nonce in taken))
        for nonce in taken:
            del chain[nonce]

    @rule(sender=st.sampled_from([A, B, C]), which=st.integers(0, 4))
    def refuse(self, sender: bytes, which: int) -> None:
        nonces = sorted(self.model[sender])
        if which < len(nonces):
            digest, _ = self.model[sender].pop(nonces[which])
            self.bench.pool.refuse(digest)
            self.banned.add(digest)

    @invariant()
    def agrees(self) -> None:
        """Content, readiness, counts, the next nonce, and an order in which each sender's nonces rise."""
        pool, ledger = self.bench.pool, self.bench.ledger
        held = {
            sender: {n: (e.extrinsic.hash, e.priority) for n, e in chain.items()}
            for sender, chain in pool.chains.items()
        }
        assert held == {sender: chain for sender, chain in self.model.items() if chain}
        ready = set()
        for sender, chain in self.model.items():
            nonce = ledger.next_nonce(sender)
            while nonce in chain:
                ready.add((sender, nonce))
                nonce += 1
            assert pool.next_nonce(sender) == nonce
        order = self.bench.order()
        assert set(order) == ready
        for sender in self.model:
            mine = [nonce for who, nonce in order if who == sender]
            assert mine == sorted(mine)
        entries = pool.entries.values()
        assert {(e.extrinsic.signer, e.extrinsic.nonce) for e in entries if e.ready} == ready
        assert pool.ready.count == len(ready)
        assert pool.ready.count + pool.future.count == len(pool.entries)
        assert pool.ready.bytes + pool.future.bytes == sum(len(e.extrinsic.raw) for e in entries)


PoolMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=30)
TestPoolModel = PoolMachine.TestCase
TestPoolModel.__doc__ = "The pool holds, orders and readies exactly what the model does, after any sequence of steps."
