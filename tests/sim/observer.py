"""The observer of a simulated network: it sees every block, vote and final head of every node, and knows the rules.

Each new block is executed a second time, with nothing cached; then every pallet's `check_state` runs on the state after
it. A rule that breaks raises BrokenRule at the moment it breaks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import trio

from consensus.grandpa.messages import GOSSIP, VoteMessage
from node.events import EventHub, Finalised, Imported
from node.network.port import Kind, Notification
from node.node import Node
from node.processor.runtimes.spec import JobContext
from pallets.escrow.events import BondPaid, Forfeited
from pallets.jobs.events import ExecutionAccepted, JobDone, JobRegistered
from pallets.jobs.report import Outcome, Succeeded
from pallets.juries.events import JurorSettled, RungEnded
from pallets.verification.events import BondFrozen, JuryCalled
from runtime.executive import Executive
from runtime.heddle import Heddle
from runtime.types import Block, Header
from tests.sim.determinism import Trace
from tests.sim.rules import JobStates, check_money, follow_jobs, require

VERDICTS = (BondFrozen, BondPaid, Forfeited, JurorSettled, JuryCalled, RungEnded)
"""Events of who was found wrong, and what it cost."""
EXCUSABLE = ("time-out", "neighbour packet: went backwards", "vote: far ahead")


@dataclass(slots=True)
class Seen:
    """A block that somebody imported: its body, and what it did to jobs."""

    header: Header
    extrinsics: tuple[bytes, ...]
    signed: tuple[bytes, ...]
    registered: list[tuple[int, bytes]]
    accepted: list[tuple[int, int, int]]
    done: list[int]
    jobs: JobStates
    verdicts: list[Any]


@dataclass(slots=True)
class Observer:
    """Everything seen so far."""

    slot_ms: int
    genesis_hash: bytes
    trace: Trace
    blocks: dict[bytes, Seen] = field(default_factory=dict)
    final: dict[int, bytes] = field(default_factory=dict)
    votes: dict[tuple[bytes, int, int, str], bytes] = field(default_factory=dict)
    authored: dict[tuple[bytes, int], bytes] = field(default_factory=dict)
    reports: dict[tuple[bytes, bytes, tuple[int, ...]], bytes] = field(default_factory=dict)
    identities: dict[tuple[str, int], str] = field(default_factory=dict)
    deliveries: int = 0
    runs: int = 0
    results: dict[tuple[str, int], bytes] = field(default_factory=dict)
    told_final: dict[bytes, bytes] = field(default_factory=dict)
    delivery_loss: float = 0.0
    _told: dict[bytes, None] = field(default_factory=dict)
    _final_signed: dict[bytes, None] = field(default_factory=dict)
    _waiting: dict[bytes, trio.Event] = field(default_factory=dict)
    _executive: Executive = field(init=False)

    def __post_init__(self) -> None:
        runtime = Heddle(self.slot_ms)
        runtime.system.genesis_hash = self.genesis_hash
        self._executive = Executive(runtime)

    # Blocks.

    def found(self, name: str, node: Node) -> None:
        """A node started: its disk may hold a block whose import it had no time to tell of."""
        store = node.chain.store
        for head in store.unfinalised():
            if head.hash not in self.blocks:
                self.blocks[head.hash] = self._execute(node, head.hash)
        known = self.final.setdefault(store.finalised.number, store.finalised.hash)
        require(known == store.finalised.hash, f"{name} started with another final block")

    def imported(self, name: str, node: Node, event: Imported) -> None:
        """A node stored a block."""
        self.trace.note("imported", name, event.head.number, event.head.hash, event.is_best)
        slot = event.header.slot()
        assert slot is not None
        if event.own:
            known = self.authored.setdefault((name.encode(), slot), event.head.hash)
            require(known == event.head.hash, f"{name} authored two blocks in slot {slot}")
        if event.head.hash not in self.blocks:
            self.blocks[event.head.hash] = self._execute(node, event.head.hash)

    def _execute(self, node: Node, block_hash: bytes) -> Seen:
        """Execute the block once more, check every invariant of the state after it."""
        block = node.chain.block(block_hash)
        assert block is not None
        executive = self._executive
        runtime = executive.runtime
        executive.execute_block(block, node.chain.store.state_at(block.header.parent_hash))
        events = [one for _, one in runtime.state.events]
        runtime.check_state()
        check_money(runtime)
        parent = self.blocks.get(block.header.parent_hash)
        return Seen(
            block.header,
            block.extrinsics,
            tuple(self._signed(runtime, block)),
            [(one.job, one.id_hash) for one in events if isinstance(one, JobRegistered)],
            [(one.job, one.slot, one.execution) for one in events if isinstance(one, ExecutionAccepted)],
            [one.job for one in events if isinstance(one, JobDone)],
            follow_jobs({} if parent is None else parent.jobs, runtime, events),
            [one for one in events if isinstance(one, VERDICTS)],
        )

    def _signed(self, runtime: Heddle, block: Block) -> list[bytes]:
        """Hashes of signed extrinsics; and each report must say what earlier ones of the same attempt said."""
        hashes = []
        for raw in block.extrinsics:
            extrinsic = self._executive.cache.decode(raw, runtime)
            if extrinsic.signer is None:
                continue
            hashes.append(extrinsic.hash)
            definition = extrinsic.call.definition
            if (definition.pallet, definition.name) == ("Jobs", "report"):
                job, *attempt, outcome = extrinsic.call.arguments
                record = runtime.jobs.jobs.find(job)
                if record is not None:
                    self.reported(extrinsic.signer, record.id_hash, tuple(attempt), outcome)
        return hashes

    # Finality.

    def finalised(self, name: str, event: Finalised) -> None:
        """Blocks became final on a node."""
        for head in event.heads:
            known = self.final.setdefault(head.number, head.hash)
            self.trace.note("final", name, head.number, head.hash)
            require(known == head.hash, f"two final blocks at height {head.number}; one on {name}")
            for signed in self.blocks[head.hash].signed:
                self._final_signed[signed] = None
                if signed in self._waiting:
                    self._waiting.pop(signed).set()

    def is_final(self, transaction: bytes) -> bool:
        """Whether an extrinsic is in a block that some node finalised."""
        return transaction in self._final_signed

    async def wait_final(self, transaction: bytes) -> None:
        """Return once it is."""
        if not self.is_final(transaction):
            await self._waiting.setdefault(transaction, trio.Event()).wait()

    def sent(self, source: str, event: Notification) -> None:
        """A node sent a message: if it is its vote, it must be its only one of its kind in its round."""
        if event.kind != Kind.VOTE or event.data in self._told:
            return
        self._told[event.data] = None
        message = GOSSIP.decode(event.data)
        if isinstance(message, VoteMessage):
            signed = message.signed
            kind = type(signed.message).__name__
            key = (signed.voter, message.set_id, message.round, kind)
            known = self.votes.setdefault(key, signed.block.hash)
            what = f"{kind} in round {message.round} of set {message.set_id}, seen from {source}"
            require(known == signed.block.hash, f"a key equivocated: {what}")

    def blamed(self, name: str, peer: str, reason: str) -> None:
        """A node lowered a peer's reputation. All are honest: only what late and lost messages explain is allowed."""
        require(reason.startswith(EXCUSABLE), f"{name} blames {peer}, which is honest: {reason}")

    # Processors.

    def ran(self, job: JobContext) -> int:
        """A run came to its end; its number."""
        self.runs += 1
        self.trace.note("ran", job.id, job.execution, job.slot, job.attempt)
        return self.runs

    def computed(self, job: JobContext, output: bytes) -> None:
        """What a deterministic run comes to, whoever makes it and whenever."""
        known = self.results.setdefault((job.id, job.execution), output)
        require(known == output, f"execution {job.execution} of job {job.id} was given other seeds to different runs")

    def reported(self, processor: bytes, job: bytes, attempt: tuple[int, ...], outcome: Outcome) -> None:
        """A processor is about to send a report, or a block holds one. `attempt`: execution, slot, generation, number.

        What was once reported as an attempt's output stays it, whatever crashes.
        """
        if isinstance(outcome, Succeeded):
            known = self.reports.setdefault((processor, job, attempt), outcome.digest)
            require(known == outcome.digest, f"attempt {attempt} of job 0x{job.hex()} was reported with two outputs")

    def delivered(self, job: str, execution: int, identity: str) -> None:
        """A destination took a result."""
        self.deliveries += 1
        self.trace.note("delivered", job, execution, identity)
        known = self.identities.setdefault((job, execution), identity)
        require(known == identity, f"execution {execution} of job {job} was delivered under two keys")

    # The end.

    def final_chain(self) -> list[Seen]:
        """The finalised blocks above genesis, ascending, as far as anybody finalised."""
        return [self.blocks[self.final[number]] for number in range(1, max(self.final, default=0) + 1)]

    def check_history(self) -> None:
        """What must hold of the finalised chain as a whole."""
        extrinsics: dict[bytes, int] = {}
        accepted: dict[tuple[int, int, int], None] = {}
        done: dict[int, None] = {}
        for number, block in enumerate(self.final_chain(), 1):
            require(block.header.number == number, f"the final chain has no block {number}")
            for signed in block.signed:
                require(signed not in extrinsics, f"extrinsic 0x{signed.hex()} ran twice")
                extrinsics[signed] = number
            for result in block.accepted:
                require(result not in accepted, f"(job, slot, execution) {result} was accepted twice")
                accepted[result] = None
            for job in block.done:
                require(job not in done, f"job {job} ended twice")
                done[job] = None
        for transaction, block_hash in self.told_final.items():
            held = self.blocks[block_hash]
            here = self.final.get(held.header.number) == block_hash and transaction in held.signed
            require(here, f"extrinsic 0x{transaction.hex()} was told final and is lost")


class ObservedHub(EventHub):
    """A node's event hub that tells the observer first."""

    def __init__(self, observer: Observer, name: str, node: Node) -> None:
        super().__init__()
        self._observer = observer
        self._name = name
        self._node = node

    def publish(self, event: Any) -> None:
        if isinstance(event, Imported):
            self._observer.imported(self._name, self._node, event)
        else:
            self._observer.finalised(self._name, event)
        super().publish(event)
