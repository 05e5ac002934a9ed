"""Authoring: in each slot that is ours, a block from the pool's best transactions upon the best head.

A block takes at most two thirds of its slot. A transaction that fails with an exception of ours is dropped and banned:
one extrinsic must never stop an author (spec/chain.md §1.6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import trio

from consensus import aura
from node.beacon_chain import BeaconAuthor, UnknownCommitment
from node.chain import Chain, UpgradeNeeded
from node.keys.keystore import Keystore
from node.log import logger, prepared_line
from node.pool import Pool
from node.store.errors import DatabaseError, StoreError
from node.store.records import Head
from runtime.errors import OWN_FAULTS, BlockFault, InvalidBlock, InvalidTransaction, Validity
from runtime.executive import Executed, Executive
from runtime.extrinsic import Extrinsic, bare_extrinsic, decode_extrinsic
from runtime.heddle import MAX_SPEC
from runtime.types import Digest, slot_item

log = logger("authoring")

PROPOSE_NUMERATOR, PROPOSE_DENOMINATOR = 2, 3
AURA_KEY = b"aura"
FULL_TRIES_MAX = 64
"""Transactions that did not fit before a block counts as full."""
CAREFUL_BLOCKS = 64
"""Blocks in which, after one that could not be finished, each transaction's writes are encoded at once, to find it."""


class SlotJournal(Protocol):
    """The durable note of slots that this node's keys have authored in (the vote file)."""

    def last_authored(self, key: bytes) -> int | None:
        """The highest slot noted for a key."""

    def note_authored(self, key: bytes, slot: int, block_hash: bytes) -> None:
        """On stable storage when it returns."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A block body about to be made: what `propose` needs off the event loop."""

    parent: Head
    slot: int
    digest: Digest
    candidates: Sequence[Extrinsic]
    deadline_ms: int


class Author:
    """Authors with the aura keys in the keystore."""

    def __init__(self, chain: Chain, pool: Pool, keystore: Keystore, journal: SlotJournal) -> None:
        self.chain = chain
        self.pool = pool
        self.keystore = keystore
        self.journal = journal
        self.executive = Executive(chain.new_runtime(), chain.cache)
        self.ready: Callable[[], bool] = lambda: True
        self.evidence: Callable[[], list[Extrinsic]] = list
        self.on_block: Callable[[float, int], None] = lambda _seconds, _transactions: None
        self._beacons: dict[bytes, BeaconAuthor] = {}
        self._boot_slot = chain.current_slot()
        self._careful_blocks = 0

    async def run(self) -> None:
        """Author for ever."""
        chain = self.chain
        while True:
            now_ms = chain.clock.now_ms()
            next_ms = (now_ms // chain.slot_ms + 1) * chain.slot_ms
            await trio.sleep((next_ms - now_ms) / 1000)
            slot = chain.current_slot()
            if self.ready():
                await self.try_slot(slot)

    async def try_slot(self, slot: int) -> bool:
        """Author in `slot` if it is ours and nothing forbids it; whether a block was made."""
        chain = self.chain
        best = chain.best
        runtime = chain.at(best.hash)
        parent_slot = runtime.aura.current_slot.get()
        if best.number and slot <= parent_slot:
            return False
        key = aura.claim_slot(slot, runtime.aura.authorities_for_child(), self.keystore.publics(AURA_KEY))
        if key is None or aura.back_off(slot, parent_slot, best.number, chain.finalised.number):
            return False
        if runtime.state.spec > MAX_SPEC:
            raise UpgradeNeeded(runtime.state.spec, best.number + 1)
        if not aura.may_author(slot, self._boot_slot, self.journal.last_authored(key)):
            return False
        if runtime.session.author_of_slot(slot) in runtime.session.disabled.get():
            log.warning("our validator is disabled until the era ends", slot=slot)
            return False
        try:
            digest = self._digest(slot, key)
        except UnknownCommitment as error:
            log.warning("cannot author", reason=str(error))
            return False
        deadline_ms = aura.slot_start_ms(slot, chain.slot_ms) + chain.slot_ms * PROPOSE_NUMERATOR // PROPOSE_DENOMINATOR
        candidates = [*self.evidence(), *(entry.extrinsic for entry in self.pool.best_first())]
        proposal = Proposal(best, slot, digest, candidates, deadline_ms)
        try:
            executed, refused = await self._executed(proposal)
            for transaction_hash in refused:
                self.pool.refuse(transaction_hash)
            await self._seal(slot, key, executed)
        except DatabaseError:
            raise  # our own disk: the node stops
        except (InvalidBlock, StoreError) as error:
            # Finality may have taken another fork while the block was made.
            log.warning("could not make a block", slot=slot, reason=str(error))
            return False
        return True

    async def _executed(self, proposal: Proposal) -> tuple[Executed, list[bytes]]:
        """The block, even if a fault of ours shows only at its end.

        It is then made again with each transaction's writes encoded at once, which finds and bans the one that left a
        value without an encoding. If no transaction is to blame, it is made empty.
        """
        run = self.chain.compute.run
        self.executive.checks_encoding = self._careful_blocks > 0
        self._careful_blocks = max(0, self._careful_blocks - 1)
        for attempt in (proposal, proposal, replace(proposal, candidates=())):
            try:
                return await run(self.propose, attempt)
            except OWN_FAULTS as error:
                log.exception("a block could not be finished", slot=proposal.slot, error=repr(error))
                self.executive.checks_encoding = True
                self._careful_blocks = CAREFUL_BLOCKS
        raise InvalidBlock(BlockFault.INTERNAL, "not even an empty block could be finished")

    def _digest(self, slot: int, key: bytes) -> Digest:
        """Slot and beacon reveal. The asking runtime still looks at the parent."""
        chain = self.chain
        runtime = chain.at(chain.best.hash)
        commitment = runtime.beacon.author_commitment(slot)
        if commitment is None:
            raise UnknownCommitment("the state holds no beacon commitment for this author")
        beacon = self._beacons.get(key)
        if beacon is None:
            secret = self.keystore.pair(AURA_KEY, key).secret
            beacon = self._beacons[key] = BeaconAuthor(secret, chain.genesis_hash)
        return Digest((slot_item(slot), beacon.reveal(commitment, runtime.beacon.chain(commitment)).item()))

    def propose(self, proposal: Proposal) -> tuple[Executed, list[bytes]]:
        """Execute a new block; also the hashes of transactions that proved invalid. Runs on the Compute port."""
        chain, executive = self.chain, self.executive
        runtime = executive.runtime
        executive.start(
            proposal.parent.hash,
            proposal.parent.number + 1,
            proposal.digest,
            chain.store.state_at(proposal.parent.hash),
        )
        timestamp = runtime.definition("Timestamp", "set")(proposal.slot * chain.slot_ms)
        executive.apply(decode_extrinsic(bare_extrinsic(runtime.call_codec.encode(timestamp)), runtime.call_codec))
        refused: list[bytes] = []
        misfits = 0
        for extrinsic in proposal.candidates:
            if misfits >= FULL_TRIES_MAX or chain.clock.now_ms() >= proposal.deadline_ms:
                break
            try:
                executive.apply(extrinsic)
            except InvalidTransaction as error:
                if error.code is Validity.EXHAUSTS_RESOURCES:
                    misfits += 1
                elif error.code is not Validity.FUTURE:
                    refused.append(extrinsic.hash)
            except OWN_FAULTS as error:
                # A fault of ours in one call must not cost the author its slot: roll back, drop, ban, tell.
                log.exception("a transaction broke the runtime", hash=extrinsic.hash.hex(), error=repr(error))
                refused.append(extrinsic.hash)
        return executive.finish(), refused

    async def _seal(self, slot: int, key: bytes, executed: Executed) -> None:
        unsealed = executed.header
        header = aura.seal(unsealed, self.keystore.sign(AURA_KEY, key, unsealed.hash()))
        self.journal.note_authored(key, slot, header.hash())
        duration_ms = self.chain.clock.now_ms() - aura.slot_start_ms(slot, self.chain.slot_ms)
        log.info(prepared_line(header.number, header.hash(), len(executed.extrinsics), duration_ms))
        self.on_block(duration_ms / 1000, len(executed.extrinsics))
        await self.chain.insert_own(header, executed, (slot, key))
