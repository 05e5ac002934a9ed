"""Tier 1: a network of voters in a plain heap loop, with loss, delay, partitions, crashes and restarts from one seed.

Blocks are headers; the slot's author builds upon its best block. Everything a node keeps over a crash is in `Disk`.
Invariants are checked at each action: one final block per height, no honest key votes twice, no finality undone.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TypeVar

from consensus.authority_set import Authorities, AuthoritySet, PendingChange, announced_changes, change_item
from consensus.grandpa import actions as act
from consensus.grandpa.ballot import record_of
from consensus.grandpa.chain import BlockRef, is_descendant
from consensus.grandpa.finality import Finality
from consensus.grandpa.messages import (
    GOSSIP,
    STORED_ROUND,
    CatchUp,
    Gossip,
    InvalidCommit,
    Justification,
    StoredRound,
    VoteMessage,
    check_justification,
)
from consensus.grandpa.voter_set import VoterSet
from consensus.grandpa.voter_state import VoterConfig
from consensus.listening import Answer, BootListening
from consensus.votes_gate import VotesGate, scan
from runtime.types import Hash, Header
from tests.helpers.block_tree import GENESIS, GENESIS_REF, BlockTree, child, ref
from tests.helpers.keyed_hash import own_key, public_of, verify
from tests.helpers.votes import NAMES

T = TypeVar("T")

BLOCKS_PER_ANSWER = 64
LISTEN_EVERY_MS = 1_000
REQUEST_TIMEOUT_MS = 3_000
LIVENESS_SLOTS = 60


class InvariantBroken(AssertionError):
    """The network did what must never happen; the message names the seed."""


@dataclass(slots=True)
class Faults:
    """How bad the network is while it is bad."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay_ms_max: int = 30
    groups: tuple[frozenset[int], ...] = ()
    """Nodes in different groups do not hear each other."""

    def parted(self, first: int, second: int) -> bool:
        """Whether a partition lies between two nodes."""
        return any((first in group) != (second in group) for group in self.groups)


@dataclass(slots=True)
class Disk:
    """What survives a crash: everything here was synced."""

    votes: bytes = b""
    stored: bytes | None = None
    finalised: BlockRef = GENESIS_REF
    set_id: int = 0
    authorities: Authorities = ()
    justifications: dict[Hash, Justification] = field(default_factory=dict)
    mandatory: set[int] = field(default_factory=set)


class Node:
    """One node: its chain, its disk and, while it is up, its voter."""

    def __init__(self, net: Network, index: int, name: str) -> None:
        self.net = net
        self.index = index
        self.name = name
        self.tree = BlockTree()
        self.disk = Disk(authorities=net.authorities)
        self.up = False
        self.epoch = 0
        self.finality: Finality | None = None
        self.listening = BootListening([])
        self.gate = VotesGate()
        self.timer_ms: int | None = None
        self.reports: list[act.ReportEquivocation] = []
        self.refused = 0
        self.chance = net.random(f"node {index}")

    def boot(self) -> None:
        """Start from the disk."""
        net = self.net
        self.up = True
        self.epoch += 1
        found = scan(self.disk.votes)
        self.disk.votes = self.disk.votes[: found.keep_bytes]
        self.gate = VotesGate.of(found)
        stored: StoredRound | None = None if self.disk.stored is None else STORED_ROUND.decode(self.disk.stored)
        authorities = AuthoritySet(self.disk.set_id, self.disk.authorities)
        for change in self._open_changes():
            authorities.announce(change, self._is_descendant)
        key = own_key(self.name)
        self.listening = BootListening([key.public])
        config = VoterConfig(net.slot_ms, (key,), verify, self.chance.randrange)
        self.finality = Finality(
            config,
            authorities,
            self.disk.finalised,
            self.tree,
            self.gate,
            stored,
            self.listening.must_listen,
        )
        self.perform(self.finality.start(net.now_ms))
        self._ask_what_was_seen(self.epoch)

    def crash(self) -> None:
        """Lose everything but the disk and the imported blocks."""
        self.up = False
        self.finality = None
        self.timer_ms = None

    def _is_descendant(self, ancestor: BlockRef, block: BlockRef) -> bool:
        return is_descendant(self.tree, ancestor, block)

    def _open_changes(self) -> list[PendingChange]:
        headers = [self.tree.header(block) for block in self.tree.choice.blocks()]
        above = [header for header in headers if header is not None and header.number > self.disk.finalised.number]
        return [change for header in above for change in announced_changes(header)]

    def _ask_what_was_seen(self, epoch: int) -> None:
        """LISTEN: ask everyone, again and again, until enough have answered."""
        if not self.up or epoch != self.epoch:
            return
        for peer in self.net.nodes:
            if peer is not self and self.listening.current is not None:
                self.net.call(self, peer, partial(peer.seen_of, public_of(self.name)), self._on_answer)
        self.net.after(LISTEN_EVERY_MS, lambda: self._ask_what_was_seen(epoch))

    def seen_of(self, key: bytes) -> Answer | None:
        """Answer /votes/1."""
        if self.finality is None or public_of(self.name) not in self.finality.voters:
            return None
        records = tuple(record_of(message, learned=True) for message in self.finality.votes_of(key))
        return Answer(public_of(self.name), self.finality.set_id, self.finality.round_number, records)

    def _on_answer(self, answer: Answer | None) -> None:
        if answer is None or self.finality is None:
            return
        learned, done = self.listening.on_answer(answer, self.gate)
        self.disk.votes += b"".join(record.encode() for record in learned)
        if done:
            self.perform(self.finality.stop_listening(self.net.now_ms))

    def author(self, slot: int) -> None:
        """Build a block upon the best one."""
        if not self.up or self.finality is None:
            return
        head = self.tree.header(self.tree.best().hash)
        assert head is not None
        new = self.net.changes.get(head.number + 1)
        block = BlockRef(head.number + 1, head.hash())
        items = [] if new is None else [change_item(PendingChange(block, new, 0))]
        header = child(head, slot, items)
        self.take_blocks(self.index, [header])
        for peer in self.net.nodes:
            if peer is not self:
                self.net.send(self.index, peer, partial(peer.take_blocks, self.index, [header]))

    def take_blocks(self, source: int, headers: Sequence[Header]) -> None:
        """Import headers; ask their sender for what lies between."""
        for header in headers:
            block = ref(header)
            if not self.up or self.finality is None or self.tree.knows(block.hash):
                continue
            if header.parent_hash not in self.tree.choice:
                if header.number > self.tree.choice.finalised_number:
                    self.fetch(source, ref(headers[-1]).hash)
                return
            self.tree.add(header)
            self.perform(self.finality.on_new_block(block, self.net.now_ms))

    def fetch(self, source: int, block: Hash) -> None:
        """Ask a node for the blocks up to `block` that we lack."""
        peer = self.net.nodes[source]
        known = self.tree.choice.finalised_number

        def answer() -> list[Header] | None:
            headers: list[Header] = []
            cursor = peer.tree.header(block)
            while cursor is not None and cursor.number > known:
                headers.append(cursor)
                cursor = peer.tree.header(cursor.parent_hash)
            return headers[::-1][: BLOCKS_PER_ANSWER * 8]

        self.net.call(self, peer, answer, lambda headers: self.take_blocks(source, headers or []))

    def receive(self, source: int, message: Gossip) -> None:
        """Take a notification."""
        if self.up and self.finality is not None:
            self.perform(self.finality.on_message(str(source), message, self.net.now_ms))

    def perform(self, actions: Sequence[act.Action]) -> None:
        """Do what the voter asks, in order; a crash may cut the list anywhere."""
        epoch = self.epoch
        for action in actions:
            if not self.up or epoch != self.epoch:
                return
            if self.net.crash_now(self):
                self.crash()
                return
            self._perform(action)

    def _perform(self, action: act.Action) -> None:
        net = self.net
        if isinstance(action, act.Persist):
            self.disk.votes += action.record.encode()
        elif isinstance(action, act.PersistRound):
            self.disk.stored = STORED_ROUND.encode(action.stored)
        elif isinstance(action, act.Broadcast):
            net.saw(self, action.message)
            for peer in net.nodes:
                if peer is not self and str(peer.index) != action.skip:
                    net.gossip(self, peer, action.message)
        elif isinstance(action, act.Send):
            net.gossip(self, net.nodes[int(action.peer)], action.message)
        elif isinstance(action, act.SetTimer):
            self._set_timer(action.at_ms)
        elif isinstance(action, act.Finalise):
            self._finalise(action)
        elif isinstance(action, act.SetChanged):
            self.disk.set_id, self.disk.authorities = action.new.set_id, action.new.authorities
        elif isinstance(action, act.ReportEquivocation):
            self.reports.append(action)
        elif isinstance(action, act.WantBlock):
            others = [peer.index for peer in net.nodes if peer is not self]
            if others:
                self.fetch(int(action.peer) if action.peer else self.chance.choice(others), action.block.hash)
        else:
            self._request(action)

    def _request(self, action: act.Action) -> None:
        net = self.net
        if isinstance(action, act.RequestCatchUp):
            peer = net.nodes[int(action.peer)]
            request = action.request

            def caught(answer: object) -> None:
                if self.finality is not None:
                    value = answer if isinstance(answer, CatchUp) else None
                    self.perform(self.finality.on_catch_up(str(peer.index), value, net.now_ms))

            net.call(self, peer, lambda: peer.finality.answer_catch_up(request) if peer.finality else None, caught)
        elif isinstance(action, act.RequestJustification):
            block = action.block
            asked = net.nodes[int(action.peer)] if action.peer else net.nodes[(self.index + 1) % len(net.nodes)]
            net.call(self, asked, lambda: asked.disk.justifications.get(block.hash), self._on_justification)
        elif isinstance(action, act.KeepJustification):
            self.disk.justifications[action.block.hash] = action.justification
        elif isinstance(action, act.Penalise):
            self.refused += 1
        elif isinstance(action, act.ConflictingFinality | act.KeyUsedElsewhere | act.ChangeRefused):
            net.fail(f"{self.name}: {type(action).__name__}")

    def _on_justification(self, justification: Justification | None) -> None:
        if justification is None or self.finality is None:
            return
        try:
            self.perform(self.finality.on_justification(justification, self.net.now_ms))
        except InvalidCommit:
            self.refused += 1

    def _set_timer(self, at_ms: int) -> None:
        self.timer_ms = at_ms
        epoch = self.epoch

        def fire() -> None:
            if self.up and self.epoch == epoch and self.timer_ms == at_ms and self.finality is not None:
                self.perform(self.finality.on_timeout(self.net.now_ms))

        self.net.at(at_ms, fire)

    def _finalise(self, action: act.Finalise) -> None:
        if action.block.number <= self.disk.finalised.number:
            self.net.fail(f"{self.name}: finality went back to {action.block.number}")
        voters = VoterSet(self.disk.authorities)
        check_justification(Justification.decode(action.justification.encode()), action.set_id, voters, verify)
        cursor: Hash | None = action.block.hash
        for number in range(action.block.number, self.disk.finalised.number, -1):
            assert cursor is not None
            self.net.final(number, cursor)
            cursor = self.tree.parent(cursor)
        if cursor != self.disk.finalised.hash:
            self.net.fail(f"{self.name}: finalised a block that does not descend from the last one")
        self.tree.finalise(action.block)
        self.disk.finalised = action.block
        self.disk.justifications[action.block.hash] = action.justification
        if action.mandatory:
            self.disk.mandatory.add(action.block.number)


class Network:
    """The heap loop, the wires and the invariants."""

    def __init__(
        self,
        seed: int,
        names: Sequence[str],
        slot_ms: int = 1_000,
        voters: Sequence[str] | None = None,
        changes: dict[int, Sequence[str]] | None = None,
    ) -> None:
        self.seed = seed
        self.slot_ms = slot_ms
        self.now_ms = 0
        self.faults = Faults()
        self.crash_chance = 0.0
        self.authorities: Authorities = tuple((public_of(name), 1) for name in (voters or names))
        self.changes: dict[int, Authorities] = {
            number: tuple((public_of(name), 1) for name in new) for number, new in (changes or {}).items()
        }
        self.crashed: list[int] = []
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._counter = 0
        self._wires = self.random("wires")
        self._crashes = self.random("crashes")
        self._final: dict[int, Hash] = {0: GENESIS.hash()}
        self._votes: dict[tuple[bytes, int, int, type], Hash] = {}
        self._trace = hashlib.blake2b(digest_size=16)
        self.messages = 0
        self.nodes = [Node(self, index, name) for index, name in enumerate(names)]
        for node in self.nodes:
            node.boot()
        self._next_slot(1)

    def random(self, name: str) -> Random:
        """One source of chance for each concern."""
        return Random(hashlib.blake2b(f"{self.seed} {name}".encode(), digest_size=8).digest())

    def at(self, at_ms: int, do: Callable[[], None]) -> None:
        """Do something at a time."""
        self._counter += 1
        heapq.heappush(self._heap, (max(at_ms, self.now_ms), self._counter, do))

    def after(self, delay_ms: int, do: Callable[[], None]) -> None:
        """Do something after a while."""
        self.at(self.now_ms + delay_ms, do)

    def run_until(self, at_ms: int) -> None:
        """Let the network live until a time."""
        while self._heap and self._heap[0][0] <= at_ms:
            self.now_ms, _, do = heapq.heappop(self._heap)
            do()
        self.now_ms = at_ms

    def send(self, source: int, peer: Node, deliver: Callable[[], None]) -> None:
        """Carry something over a wire that may lose, double or delay it."""
        if self.faults.parted(source, peer.index):
            return
        for _ in range(2 if self._wires.random() < self.faults.duplicate else 1):
            if self._wires.random() >= self.faults.loss:
                self.after(1 + self._wires.randrange(self.faults.delay_ms_max), deliver)

    def gossip(self, source: Node, peer: Node, message: Gossip) -> None:
        """Send a notification, encoded and decoded as on a real wire."""
        self.messages += 1
        data = GOSSIP.encode(message)
        self._trace.update(self.now_ms.to_bytes(8, "little") + bytes((source.index, peer.index)) + data)
        self.send(source.index, peer, lambda: peer.receive(source.index, GOSSIP.decode(data)))

    def call(self, source: Node, peer: Node, answer: Callable[[], T | None], then: Callable[[T | None], None]) -> None:
        """Ask a peer; `then` gets the answer, or None after a time-out. Answers to a crashed asker are dropped."""
        epoch = source.epoch
        done = False

        def finish(value: T | None) -> None:
            nonlocal done
            if not done and source.up and source.epoch == epoch:
                done = True
                then(value)

        def serve() -> None:
            if peer.up:
                value = answer()
                self.send(peer.index, source, lambda: finish(value))

        self.send(source.index, peer, serve)
        self.after(REQUEST_TIMEOUT_MS, lambda: finish(None))

    def crash_now(self, node: Node) -> bool:
        """Whether this node crashes before its next action."""
        if self._crashes.random() >= self.crash_chance or len([n for n in self.nodes if not n.up]) >= 1:
            return False
        self.crashed.append(node.index)
        self.after(self._crashes.randrange(500, 8_000), node.boot)
        return True

    def saw(self, node: Node, message: Gossip) -> None:
        """Check that nobody votes twice."""
        if not isinstance(message, VoteMessage):
            return
        key = (message.signed.voter, message.set_id, message.round, type(message.signed.message))
        target = self._votes.setdefault(key, message.signed.block.hash)
        if target != message.signed.block.hash:
            self.fail(f"a key voted twice in round {message.round} of set {message.set_id}")

    def final(self, number: int, block: Hash) -> None:
        """Check that a height has one final block."""
        if self._final.setdefault(number, block) != block:
            self.fail(f"two final blocks at height {number}")

    def fail(self, what: str) -> None:
        """Stop with the seed."""
        raise InvariantBroken(f"seed {self.seed} at {self.now_ms} ms: {what}")

    def trace(self) -> str:
        """A digest of every message sent so far."""
        return self._trace.hexdigest()

    def finalised(self) -> list[int]:
        """The final heights of the nodes, the lowest first."""
        return sorted(node.disk.finalised.number for node in self.nodes)

    def best(self) -> int:
        """The highest block anywhere."""
        return max(node.tree.best().number for node in self.nodes)

    def _next_slot(self, slot: int) -> None:
        def run() -> None:
            self.nodes[slot % len(self.nodes)].author(slot)
            self._next_slot(slot + 1)

        self.at(slot * self.slot_ms, run)


def drawn(seed: int) -> Network:
    """Run the network of a seed: a phase of faults drawn from it, then a healed network that must catch up.

    Raises InvariantBroken, naming the seed, when safety or liveness fails.
    """
    draw = Random(seed)
    count = draw.choice((1, 2, 3, 4, 4, 4, 5, 7))
    slot_ms = draw.choice((1_000, 2_000))
    names = NAMES[: count + 2]
    changes: dict[int, Sequence[str]] = {}
    if draw.random() < 0.4:
        first = draw.randrange(3, 20)
        changes = {first: names[1 : count + 1], first + draw.randrange(1, 15): names[2 : count + 2]}
    net = Network(seed, names if changes else names[:count], slot_ms, names[:count], changes)
    for _ in range(draw.randrange(1, 4)):
        faults = Faults(draw.choice((0.0, 0.05, 0.3)), draw.choice((0.0, 0.5)), draw.choice((20, 400, 3_000)))
        if draw.random() < 0.5:
            faults.groups = (frozenset(draw.sample(range(len(net.nodes)), draw.randrange(1, len(net.nodes) + 1))),)
        net.faults = faults
        net.crash_chance = draw.choice((0.0, 0.0, 0.001, 0.01))
        net.run_until(net.now_ms + draw.randrange(5_000, 40_000))
    net.faults = Faults()
    net.crash_chance = 0.0
    healed, goal = net.now_ms, net.best()
    deadline = healed + LIVENESS_SLOTS * slot_ms
    while net.finalised()[0] <= goal and net.now_ms < deadline:
        net.run_until(net.now_ms + slot_ms)
    if net.finalised()[0] <= goal:
        net.fail(f"not live {LIVENESS_SLOTS} slots after the faults ended: {net.finalised()}, wanted over {goal}")
    return net
