"""The transaction pool: signed extrinsics that wait for a block.

Only chains of (sender, nonce) exist. An entry is *ready* when every nonce from the account's next one up to its own is
here, else *future*. The pool looks at one best block; on a new one it looks again at the senders concerned only
(spec/chain.md §1.15). It knows nothing of state: `Ledger` answers for accounts at the best block.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from runtime.errors import InvalidTransaction, Validity
from runtime.extrinsic import Extrinsic

READY_MAX = 8_192
READY_BYTES_MAX = 20 << 20
FUTURE_MAX = 512
FUTURE_BYTES_MAX = 1 << 20
FUTURE_PER_SENDER_MAX = 64
PER_SENDER_MAX = 512
BANNED_MAX = 16_384
BAN_MS = 30 * 60 * 1000
U64_MAX = (1 << 64) - 1


class PoolError(Exception):
    """A transaction that the pool does not take. `code` is the JSON-RPC code (Substrate's author errors)."""

    code = 1010


class TemporarilyBanned(PoolError):
    """It was found invalid less than 30 minutes ago."""

    code = 1012


class AlreadyImported(PoolError):
    """The pool has it already."""

    code = 1013


class PriorityTooLow(PoolError):
    """Another transaction of the same account and nonce is here, with at least the same priority."""

    code = 1014


class ImmediatelyDropped(PoolError):
    """The pool is full of transactions with at least the same priority."""

    code = 1016


class Status(Enum):
    """What a watcher is told, in Substrate's words."""

    FUTURE = "future"
    READY = "ready"
    BROADCAST = "broadcast"
    IN_BLOCK = "inBlock"
    RETRACTED = "retracted"
    FINALITY_TIMEOUT = "finalityTimeout"
    FINALIZED = "finalized"
    USURPED = "usurped"
    DROPPED = "dropped"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Checked:
    """A transaction that passed its checks at the best block.

    `next_nonce` is the sender's; `valid_till` the last height it may be in; `priority` orders transactions. `cost` is
    its fee and tip, `spendable` what its sender has for fees.
    """

    extrinsic: Extrinsic
    next_nonce: int
    priority: int
    valid_till: int
    cost: int = 0
    spendable: int = (1 << 128) - 1


class Ledger(Protocol):
    """The best block's state, as the pool needs it."""

    def check(self, raw: bytes) -> Checked:
        """Decode and check a transaction for the block after the best one. Raises ScaleError, InvalidTransaction."""

    def next_nonce(self, account: bytes) -> int:
        """The account's next nonce at the best block."""

    def recheck(self, extrinsic: Extrinsic) -> None:
        """Check again that an entry can pay and that its era holds. Raises InvalidTransaction."""


@dataclass(slots=True)
class Entry:
    """One transaction in the pool. `order` breaks ties by arrival."""

    extrinsic: Extrinsic
    priority: int
    valid_till: int
    order: int
    local: bool
    ready: bool = False
    cost: int = 0


@dataclass(slots=True)
class Share:
    """How many entries and bytes a part of the pool holds."""

    count: int = 0
    bytes: int = 0

    def add(self, entry: Entry, sign: int = 1) -> None:
        """Count an entry in, or out with sign -1."""
        self.count += sign
        self.bytes += sign * len(entry.extrinsic.raw)


@dataclass(slots=True)
class Pool:
    """The pool. `tell(hash, status, detail)` is called at every change of an entry's status."""

    ledger: Ledger
    tell: Callable[[bytes, Status, bytes | None], None]
    now_ms: Callable[[], int]
    entries: dict[bytes, Entry] = field(default_factory=dict)
    chains: dict[bytes, dict[int, Entry]] = field(default_factory=dict)
    banned: dict[bytes, int] = field(default_factory=dict)
    ready: Share = field(default_factory=Share)
    future: Share = field(default_factory=Share)
    submitted: int = 0
    """Transactions offered so far; of these `validated` were good, and `pruned` left because a block had them."""
    validated: int = 0
    pruned: int = 0
    _arrivals: int = 0

    def submit(self, raw: bytes, transaction_hash: bytes, *, local: bool) -> Entry:
        """Take a transaction in. Raises PoolError, ScaleError or InvalidTransaction; then nothing has changed."""
        self.submitted += 1
        if transaction_hash in self.entries:
            raise AlreadyImported("the transaction is already in the pool")
        if self.banned.get(transaction_hash, 0) > self.now_ms():
            raise TemporarilyBanned("the transaction was found invalid less than 30 minutes ago")
        checked = self.ledger.check(raw)
        self.validated += 1
        extrinsic = checked.extrinsic
        if extrinsic.signer is None:
            raise InvalidTransaction(Validity.CALL, "unsigned transactions are made by block authors only")
        entry = Entry(extrinsic, checked.priority, checked.valid_till, self._arrivals, local, cost=checked.cost)
        chain = self.chains.get(extrinsic.signer, {})
        rival = chain.get(extrinsic.nonce)
        if rival is not None and rival.priority >= entry.priority:
            raise PriorityTooLow(
                f"nonce {extrinsic.nonce} is taken by a transaction of priority {rival.priority}, "
                f"this one has {entry.priority}: raise the tip to replace it"
            )
        self._check_chain(checked, chain, rival)
        entry.ready = all(n in chain for n in range(checked.next_nonce, extrinsic.nonce))
        evicted = self._room_for(entry, chain, rival)
        self._arrivals += 1
        if rival is not None:
            self._drop(rival, Status.USURPED, extrinsic.hash)
        for other in evicted:
            self._drop(other, Status.DROPPED, None)
        self._insert(entry)
        self._promote(extrinsic.signer, checked.next_nonce)
        for sender in {other.extrinsic.signer: None for other in evicted if other.extrinsic.signer != extrinsic.signer}:
            assert sender is not None
            self._promote(sender, self.ledger.next_nonce(sender))
        return entry

    @staticmethod
    def _check_chain(checked: Checked, chain: dict[int, Entry], rival: Entry | None) -> None:
        """A sender may have so many transactions here, and must be able to pay for all of them together."""
        others = [entry for entry in chain.values() if entry is not rival]
        if len(others) >= PER_SENDER_MAX:
            raise ImmediatelyDropped(f"the account has {len(others)} transactions here, at most {PER_SENDER_MAX}")
        total = checked.cost + sum(entry.cost for entry in others)
        if total > checked.spendable:
            raise InvalidTransaction(
                Validity.PAYMENT,
                f"fees and tips of the account's {len(others) + 1} transactions are {total} planck, "
                f"it can spend {checked.spendable}",
            )

    def _room_for(self, entry: Entry, chain: dict[int, Entry], rival: Entry | None) -> list[Entry]:
        """The weakest entries, which have to go for the new one. Raises ImmediatelyDropped if it is the weakest."""
        share, count_max, bytes_max = (
            (self.ready, READY_MAX, READY_BYTES_MAX) if entry.ready else (self.future, FUTURE_MAX, FUTURE_BYTES_MAX)
        )
        waiting = sum(1 for other in chain.values() if not other.ready and other is not rival)
        if not entry.ready and waiting >= FUTURE_PER_SENDER_MAX:
            raise ImmediatelyDropped(f"the account has {waiting} future transactions, at most {FUTURE_PER_SENDER_MAX}")
        count, size = share.count + 1, share.bytes + len(entry.extrinsic.raw)
        if rival is not None and rival.ready == entry.ready:
            count, size = count - 1, size - len(rival.extrinsic.raw)
        if count <= count_max and size <= bytes_max:
            return []
        # What the new one builds on stays: without it the new one would only wait.
        weaker = [
            (other.priority, -other.order, other)
            for other in self.entries.values()
            if other.ready == entry.ready
            and other is not rival
            and other.priority < entry.priority
            and other.extrinsic.signer != entry.extrinsic.signer
        ]
        heapq.heapify(weaker)
        evicted: list[Entry] = []
        while weaker:
            other = heapq.heappop(weaker)[2]
            evicted.append(other)
            count, size = count - 1, size - len(other.extrinsic.raw)
            if count <= count_max and size <= bytes_max:
                return evicted
        raise ImmediatelyDropped("the pool is full; a higher tip gets a place")

    def _insert(self, entry: Entry) -> None:
        extrinsic = entry.extrinsic
        assert extrinsic.signer is not None
        self.entries[extrinsic.hash] = entry
        self.chains.setdefault(extrinsic.signer, {})[extrinsic.nonce] = entry
        (self.ready if entry.ready else self.future).add(entry)
        self.tell(extrinsic.hash, Status.READY if entry.ready else Status.FUTURE, None)

    def _drop(self, entry: Entry, status: Status | None, detail: bytes | None) -> None:
        """Take an entry out. What followed it in its chain becomes future at the next promotion."""
        extrinsic = entry.extrinsic
        assert extrinsic.signer is not None
        del self.entries[extrinsic.hash]
        chain = self.chains[extrinsic.signer]
        del chain[extrinsic.nonce]
        if not chain:
            del self.chains[extrinsic.signer]
        (self.ready if entry.ready else self.future).add(entry, -1)
        if status is not None:
            self.tell(extrinsic.hash, status, detail)

    def _promote(self, sender: bytes, next_nonce: int) -> None:
        """Set each entry of a sender ready or future, as its predecessors are here or not."""
        connected = next_nonce
        for nonce in sorted(self.chains.get(sender, {})):
            entry = self.chains[sender][nonce]
            ready = nonce == connected
            if ready:
                connected += 1
            if ready != entry.ready:
                (self.ready if entry.ready else self.future).add(entry, -1)
                (self.ready if ready else self.future).add(entry)
                entry.ready = ready
                self.tell(entry.extrinsic.hash, Status.READY if ready else Status.FUTURE, None)

    def next_nonce(self, account: bytes) -> int:
        """The nonce after the account's last ready transaction here."""
        nonce = self.ledger.next_nonce(account)
        chain = self.chains.get(account, {})
        while nonce in chain:
            nonce += 1
        return nonce

    def best_first(self) -> Iterator[Entry]:
        """Ready entries by priority, each sender's in the order of nonces."""
        heap: list[tuple[int, int, bytes, int]] = []
        for sender, chain in self.chains.items():
            first = min((nonce for nonce, entry in chain.items() if entry.ready), default=None)
            if first is not None:
                heap.append((-chain[first].priority, chain[first].order, sender, first))
        heapq.heapify(heap)
        while heap:
            _, _, sender, nonce = heapq.heappop(heap)
            chain = self.chains.get(sender, {})
            entry = chain.get(nonce)
            if entry is None or not entry.ready:
                continue
            yield entry
            following = chain.get(nonce + 1)
            if following is not None and following.ready:
                heapq.heappush(heap, (-following.priority, following.order, sender, nonce + 1))

    def on_best_block(self, number: int, block_hash: bytes, included: Iterable[Extrinsic]) -> None:
        """A new best block: its transactions leave, their senders' chains are looked at again."""
        senders: dict[bytes, None] = {}
        for extrinsic in included:
            if extrinsic.signer is None:
                continue
            senders[extrinsic.signer] = None
            self.tell(extrinsic.hash, Status.IN_BLOCK, block_hash)
            entry = self.entries.get(extrinsic.hash)
            if entry is not None:
                self.pruned += 1
                self._drop(entry, None, None)
        for entry in [e for e in self.entries.values() if e.valid_till < number + 1]:
            self.refuse(entry.extrinsic.hash)
        for sender in senders:
            self.recheck_sender(sender)

    def recheck_sender(self, sender: bytes) -> None:
        """Look again at all of an account's transactions: the best block changed what it has or where it stands."""
        next_nonce = self.ledger.next_nonce(sender)
        for nonce in sorted(self.chains.get(sender, {})):
            entry = self.chains[sender][nonce]
            if nonce < next_nonce:
                self._drop(entry, Status.INVALID, None)
                continue
            try:
                self.ledger.recheck(entry.extrinsic)
            except InvalidTransaction:
                self._drop(entry, Status.INVALID, None)
        self._promote(sender, next_nonce)

    def refuse(self, transaction_hash: bytes) -> None:
        """A transaction proved invalid while a block was made: it leaves and stays banned for 30 minutes."""
        now = self.now_ms()
        if len(self.banned) >= BANNED_MAX:
            self.banned = {known: until for known, until in self.banned.items() if until > now}
        if len(self.banned) < BANNED_MAX:
            self.banned[transaction_hash] = now + BAN_MS
        entry = self.entries.get(transaction_hash)
        if entry is not None:
            sender = entry.extrinsic.signer
            assert sender is not None
            self._drop(entry, Status.INVALID, None)
            self._promote(sender, self.ledger.next_nonce(sender))


def priority_of(tip: int, weight_ps: int, length: int, weight_max_ps: int, length_max: int) -> int:
    """(tip + 1) x how many such transactions a block holds, at most u64 (spec/chain.md (f))."""
    fit = min(weight_max_ps // max(weight_ps, 1), length_max // max(length, 1))
    return min((tip + 1) * fit, U64_MAX)
