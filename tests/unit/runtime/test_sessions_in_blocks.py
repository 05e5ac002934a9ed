"""Sessions, evidence and nested calls in real blocks: authored, sealed and executed again from their bytes."""

from dataclasses import replace

import pytest

from consensus.authority_set import announced_changes
from node.beacon_chain import genesis_commitment
from node.keys.pair import dev_pair
from pallets.offences import OffenceKind, OffenceProved
from pallets.session_keys import SessionKeys, possession_message
from runtime.beacon import CHAIN_LENGTH, link
from runtime.chain_spec import ChainSpec, local_spec
from runtime.dev_accounts import dev_validator
from runtime.errors import BlockFault, InvalidBlock, InvalidTransaction
from runtime.runtime import EventRecord
from runtime.types import Block, Digest, Header, PreRuntime
from tests.helpers.dict_chain import DictChain, seal

ALICE, BOB, CHARLIE, DAVE = (dev_pair(name) for name in ("Alice", "Bob", "Charlie", "Dave"))
SESSION_SLOTS = 5
FIRST = 1_000


def spec(*names: str) -> ChainSpec:
    """A local chain of these validators with short sessions."""
    made = local_spec([dev_validator(name) for name in names], 1_000)
    assert made.sections is not None
    return replace(made, sections={**made.sections, "session": {**made.sections["session"], "slots": SESSION_SLOTS}})


def chain(*names: str) -> DictChain:
    """The chain with all its authors' keys at hand."""
    return DictChain(spec(*names), [ALICE, BOB, CHARLIE, DAVE])


def test_a_set_change_in_blocks() -> None:
    """Sudo removes Bob: the boundary after next is still authored by the old set, announces the new one, and its
    children are Alice's.
    """
    made = chain("Alice", "Bob")
    order = made.call("Sudo", "sudo", made.call("Session", "set_validators", (ALICE.public,)))
    assert made.block(FIRST, made.signed(ALICE, 0, order)).failures == {}
    made.block(FIRST + SESSION_SLOTS)
    boundary = FIRST + 2 * SESSION_SLOTS + 1
    assert made.author(boundary) == BOB
    executed = made.block(boundary)
    (change,) = announced_changes(executed.header)
    assert (change.authorities, change.delay, change.median) == (((ALICE.public, 1),), 0, None)
    for slot in range(boundary + 1, boundary + 4):
        assert made.author(slot) == ALICE
        made.block(slot)
    assert made.look().grandpa.current_set_id.get() == 1


def test_new_keys_in_blocks() -> None:
    """Bob moves to new session keys by a signed set_keys; two sessions later the new ones author and reveal."""
    made = chain("Alice", "Bob")
    keys = SessionKeys(CHARLIE.public, DAVE.public, genesis_commitment(CHARLIE.secret))
    message = possession_message(made.genesis_hash, BOB.public, keys)
    call = made.call("Session", "set_keys", keys, CHARLIE.sign(message) + DAVE.sign(message))
    assert made.block(FIRST, made.signed(BOB, 0, call)).failures == {}
    made.block(FIRST + SESSION_SLOTS)
    made.block(FIRST + 2 * SESSION_SLOTS)
    slot = FIRST + 2 * SESSION_SLOTS + 1
    assert made.author(slot) == CHARLIE
    made.block(slot)
    assert made.look().beacon.chain(keys.beacon).left == CHAIN_LENGTH - 1
    assert made.runtime.session.author_of_slot(slot + 2) == BOB.public


def double(made: DictChain, slot: int) -> tuple[Header, Header]:
    """Two blocks that the author of `slot` seals upon the head."""
    empty, _ = made.make(slot)
    full, _ = made.make(slot, made.signed(DAVE, 0, made.call("System", "remark", b"other")))
    return empty.header, full.header


def test_evidence_in_a_block() -> None:
    """Two sealed blocks of one slot, reported bare after the timestamp, disable their author until the era ends."""
    made = chain("Alice", "Bob", "Charlie", "Dave")
    slot = next(slot for slot in range(FIRST, FIRST + 4) if made.author(slot) == BOB)
    first, second = double(made, slot)
    made.block(slot + 1, made.bare(made.call("Offences", "report_headers", first, second)))
    events = [record.event for record in stored_events(made)]
    assert OffenceProved(OffenceKind.AUTHORING, BOB.public, 0, slot, disabled=True) in events
    with pytest.raises(InvalidBlock) as caught:
        made.make(slot + 4)
    assert caught.value.fault is BlockFault.AUTHOR
    made.block(slot + 5)


def stored_events(made: DictChain) -> tuple[EventRecord, ...]:
    """System.Events after the last block."""
    item = made.look().system.events_value
    return tuple(item.codec.decode(made.state.values[item.prefix]))


def test_evidence_that_proves_nothing_makes_no_block() -> None:
    """A bare report that fails may not be included, and neither may any other bare call."""
    made = chain("Alice", "Bob", "Charlie", "Dave")
    first, _ = double(made, FIRST)
    for call in (
        made.call("Offences", "report_headers", first, first),
        made.call("System", "remark", b""),
        made.call("Session", "set_validators", (BOB.public,)),
        made.call("Timestamp", "set", FIRST * made.slot_ms),
    ):
        with pytest.raises(InvalidTransaction):
            made.make(FIRST, made.bare(call))
    made.block(FIRST)


def test_a_reveal_out_of_turn_makes_the_block_invalid() -> None:
    """A sealed block whose reveal is another link of the same chain is InvalidBlock(Reveal) on import."""
    made = chain("Alice", "Bob")
    made.block(FIRST)
    block, _ = made.make(FIRST + 2)
    unsealed, _ = block.header.unsealed()
    slot_note, reveal = unsealed.digest.logs[:2]
    assert isinstance(reveal, PreRuntime)
    wrong = PreRuntime(reveal.engine, link(reveal.data[:32]) + b"\x00")
    header = replace(unsealed, digest=Digest((slot_note, wrong, *unsealed.digest.logs[2:])))
    with pytest.raises(InvalidBlock) as caught:
        made.importing.execute_block(Block(seal(header, ALICE), block.extrinsics), made.state)
    assert caught.value.fault is BlockFault.REVEAL
    made.block(FIRST + 2)


def test_batches_in_blocks() -> None:
    """A batch that stops half way succeeds with its event; a batch_all that fails is a failed extrinsic; both pay."""
    made = chain("Alice")
    good = made.call("Balances", "transfer_keep_alive", BOB.public, 10**12)
    bad = made.call("Balances", "transfer_keep_alive", BOB.public, 10**30)
    before = made.look().balances.free(BOB.public)
    executed = made.block(
        FIRST,
        made.signed(DAVE, 0, made.call("Utility", "batch", (good, bad, good))),
        made.signed(DAVE, 1, made.call("Utility", "batch_all", (good, bad))),
    )
    assert list(executed.failures) == [2]
    assert made.look().balances.free(BOB.public) == before + 10**12
    names = [type(record.event).__name__ for record in stored_events(made)]
    assert names.count("TransactionFeePaid") == 2
    assert names.count("BatchInterrupted") == 1
