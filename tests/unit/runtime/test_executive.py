"""The executive: what may be in a block, what a refusal leaves behind, and what an import compares."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from node.keys.pair import Pair, dev_pair
from pallets.balances import TREASURY
from pallets.transaction_payment import MULTIPLIER_MAX, MULTIPLIER_MIN, ONE, next_multiplier
from runtime.address import Era
from runtime.chain_spec import local_spec
from runtime.dev_accounts import dev_validator
from runtime.errors import BlockFault, InvalidBlock, InvalidTransaction, TokenErrorKind, TokenValue, Validity
from runtime.extrinsic import SigningContext, sign_extrinsic
from runtime.hashing import blake2b256
from runtime.heddle import Heddle
from runtime.pallet import RuntimeCall
from runtime.state import EmptyReader
from runtime.types import DIGEST_BYTES_MAX, Block, Consensus, Digest, Header, PreRuntime
from runtime.validity import check_era
from tests.helpers.dict_chain import DictChain, seal

ALICE, BOB, CHARLIE = (dev_pair(name) for name in ("Alice", "Bob", "Charlie"))
UNIT = 10**12
FIRST = 1_000
SLOT_MS = 1_000


def new_chain(slot_ms: int = SLOT_MS) -> DictChain:
    """A chain that //Alice authors."""
    return DictChain(local_spec([dev_validator("Alice")], slot_ms), [ALICE])


def transfer(made: DictChain, amount: int = UNIT, target: Pair = CHARLIE) -> RuntimeCall:
    """A transfer to Charlie."""
    return made.call("Balances", "transfer_keep_alive", target.public, amount)


def sign(made: DictChain, call: RuntimeCall, nonce: int = 0, **changes: object) -> bytes:
    """A transfer signed by Bob; `changes` are era, era_block_hash, tip, and spec or genesis of the context."""
    spec, genesis = changes.pop("spec", 1), changes.pop("genesis", made.genesis_hash)
    context = SigningContext(spec, 1, genesis)  # type: ignore[arg-type]  # named by the caller
    data = made.runtime.call_codec.encode(call)
    # Named by the caller.
    return sign_extrinsic(data, BOB.public, BOB.sign, context, nonce=nonce, **changes)  # type: ignore[arg-type]


def open_block(made: DictChain, slot: int) -> None:
    """Start a block upon the head, with its timestamp."""
    parent = made.headers[-1]
    made.authoring.start(parent.hash(), parent.number + 1, made.digest(slot), made.state)
    apply(made, made.bare(made.call("Timestamp", "set", slot * made.slot_ms)))


def apply(made: DictChain, raw: bytes) -> object:
    """Apply one extrinsic to the open block."""
    return made.authoring.apply(made.authoring.cache.decode(raw, made.runtime))


def difference(made: DictChain) -> tuple[bytes, int, int, int, tuple[int, ...]]:
    """What the open block has done so far: a digest of changed state, events, fees and room used."""
    state, payment = made.runtime.state, made.runtime.transaction_payment
    changed = [(key, value) for key, value in state.changes() if value != made.state.get(key)]
    digest = blake2b256(repr(changed).encode())
    return digest, len(state.events), payment.fees, payment.tips, made.authoring.budget.snapshot()


# Import compares.


def changed_header(block: Block, **fields: object) -> Block:
    """The block with other fields in its header, sealed again by its author."""
    unsealed, _ = block.header.unsealed()
    # Named by the caller.
    return Block(seal(replace(unsealed, **fields), ALICE), block.extrinsics)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "fault"),
    [("state_root", BlockFault.STATE_ROOT), ("extrinsics_root", BlockFault.EXTRINSICS_ROOT)],
)
def test_a_wrong_root_is_refused(field: str, fault: BlockFault) -> None:
    """A header whose root is not the one that execution gives makes the block invalid, naming the root."""
    made = new_chain()
    block, _ = made.make(FIRST, sign(made, transfer(made)))
    made.importing.execute_block(block, made.state)
    with pytest.raises(InvalidBlock) as refused:
        made.importing.execute_block(changed_header(block, **{field: bytes(32)}), made.state)
    assert refused.value.fault is fault


def test_a_digest_that_execution_does_not_give_is_refused() -> None:
    """An additional item between slot and seal makes the block invalid."""
    made = new_chain()
    block, _ = made.make(FIRST)
    logs = (*block.header.unsealed()[0].digest.logs, Consensus(b"XXXX", b"more"))
    with pytest.raises(InvalidBlock) as refused:
        made.importing.execute_block(changed_header(block, digest=Digest(logs)), made.state)
    assert refused.value.fault is BlockFault.DIGEST


@pytest.mark.parametrize(
    "logs", [(), (PreRuntime(b"aura", bytes(8)), PreRuntime(b"BCN0", bytes(DIGEST_BYTES_MAX)))], ids=["no slot", "long"]
)
def test_a_digest_without_slot_or_above_16_kib_is_refused(logs: tuple[PreRuntime, ...]) -> None:
    """The digest must hold the slot and fit into 16 KiB before anything is executed."""
    made = new_chain()
    header = Header(made.genesis_hash, 1, bytes(32), bytes(32), Digest(logs))
    with pytest.raises(InvalidBlock) as refused:
        made.importing.execute_block(Block(header, ()), made.state)
    assert refused.value.fault is BlockFault.DIGEST


def import_of(made: DictChain, *raws: bytes) -> InvalidBlock:
    """Import a block of these extrinsics, which must be refused; its header is of an empty block."""
    block, _ = made.make(FIRST)
    with pytest.raises(InvalidBlock) as refused:
        made.importing.execute_block(Block(block.header, raws), made.state)
    return refused.value


def timestamp(made: DictChain, time_ms: int = FIRST * SLOT_MS) -> bytes:
    """The inherent."""
    return made.bare(made.call("Timestamp", "set", time_ms))


def test_the_inherent_comes_first_and_once() -> None:
    """A block without timestamp, with two, or with one behind a signed extrinsic is refused."""
    made = new_chain()
    signed = sign(made, transfer(made))
    for raws in ((), (timestamp(made), timestamp(made)), (timestamp(made), signed, timestamp(made)), (signed,)):
        assert import_of(made, *raws).fault is BlockFault.INHERENT, raws


@pytest.mark.parametrize("difference_ms", [-1, 1, SLOT_MS])
def test_the_time_is_the_slots(difference_ms: int) -> None:
    """A timestamp other than the slot's beginning is refused."""
    made = new_chain()
    assert import_of(made, timestamp(made, FIRST * SLOT_MS + difference_ms)).fault is BlockFault.INHERENT


def test_only_inherents_may_be_bare() -> None:
    """An unsigned transfer, or an unsigned remark, is never part of a block."""
    made = new_chain()
    for call in (transfer(made), made.call("System", "remark", b"")):
        assert import_of(made, timestamp(made), made.bare(call)).fault is BlockFault.EXTRINSIC


def test_a_block_with_a_bad_extrinsic_is_refused() -> None:
    """An extrinsic that does not decode, or whose signature does not hold, makes the whole block invalid."""
    made = new_chain()
    good = sign(made, transfer(made))
    for bad in (good[:-1], b"", b"\x04", good[:40] + bytes((good[40] ^ 1,)) + good[41:]):
        assert import_of(made, timestamp(made), bad).fault is BlockFault.EXTRINSIC
    assert import_of(made, timestamp(made), good, good).fault is BlockFault.EXTRINSIC


# Refusals leave nothing behind.


REFUSALS: dict[str, tuple[Callable[[DictChain], bytes], Validity]] = {
    "wrong genesis": (lambda made: sign(made, transfer(made), 1, genesis=bytes(32)), Validity.BAD_PROOF),
    "wrong spec version": (lambda made: sign(made, transfer(made), 1, spec=2), Validity.BAD_PROOF),
    "stale nonce": (lambda made: sign(made, transfer(made), 0), Validity.STALE),
    "nonce too high": (lambda made: sign(made, transfer(made), 2), Validity.FUTURE),
    "more than it can pay": (lambda made: sign(made, transfer(made), 1, tip=10**30), Validity.PAYMENT),
    "wrong era hash": (
        lambda made: sign(made, transfer(made), 1, era=Era.mortal(64, 0), era_block_hash=bytes(32)),
        Validity.BAD_PROOF,
    ),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refused_extrinsic_changes_nothing(kind: str) -> None:
    """After each refusal state, events, fees and the room left are exactly as before, and the block goes on."""
    made = new_chain()
    make, code = REFUSALS[kind]
    open_block(made, FIRST)
    apply(made, sign(made, transfer(made)))
    before = difference(made)
    with pytest.raises(InvalidTransaction) as refused:
        apply(made, make(made))
    assert refused.value.code is code
    assert difference(made) == before
    assert apply(made, sign(made, transfer(made), 1)) is None
    assert len(made.authoring.finish().extrinsics) == 3


def test_a_signature_for_another_spec_version_is_explained() -> None:
    """Whoever signed for the wrong spec version is told both."""
    made = new_chain()
    open_block(made, FIRST)
    with pytest.raises(InvalidTransaction, match="signed for spec version 2, the chain is at 1"):
        apply(made, sign(made, transfer(made), 0, spec=2))


def test_an_expired_era_is_explained() -> None:
    """A mortal extrinsic holds for its period, then every later block refuses it and says that it has expired."""
    made = new_chain()
    made.block(FIRST)
    mortal = sign(made, transfer(made), 0, era=Era.mortal(4, 1), era_block_hash=made.headers[1].hash())
    for number in range(2, 8):
        open_block(made, FIRST + number)
        if number < 5:
            assert apply(made, mortal) is None, number
        else:
            with pytest.raises(InvalidTransaction, match=r"expired|ended before") as refused:
                apply(made, mortal)
            assert refused.value.code is Validity.ANCIENT_BIRTH_BLOCK
        made.authoring.finish()
        made.block(FIRST + number)


@pytest.mark.parametrize(("known_from", "code"), [(16, None), (17, Validity.ANCIENT_BIRTH_BLOCK)])
def test_an_era_may_not_begin_before_the_oldest_known_hash(known_from: int, code: Validity | None) -> None:
    """An era whose first block's hash was dropped after 4,096 blocks cannot be checked and is refused."""
    runtime, made = Heddle(SLOT_MS), new_chain()
    runtime.attach(EmptyReader(), 4_097)
    number = 4_097
    for height in range(known_from, number):
        runtime.system.block_hashes.put(height, blake2b256(height.to_bytes(4, "little")))
    raw = sign(made, transfer(made), 0, era=Era(1 << 16, 16), era_block_hash=bytes(32))
    extrinsic = made.authoring.cache.decode(raw, made.runtime)
    if code is None:
        assert check_era(runtime.system, extrinsic, number) == blake2b256((16).to_bytes(4, "little"))
        return
    with pytest.raises(InvalidTransaction) as refused:
        check_era(runtime.system, extrinsic, number)
    assert refused.value.code is code


def test_a_nonce_is_used_once() -> None:
    """The same extrinsic is refused in the same block and in every later one."""
    made = new_chain()
    raw = sign(made, transfer(made))
    open_block(made, FIRST)
    apply(made, raw)
    with pytest.raises(InvalidTransaction) as refused:
        apply(made, raw)
    assert refused.value.code is Validity.STALE
    made.authoring.finish()
    made.block(FIRST, raw)
    open_block(made, FIRST + 1)
    with pytest.raises(InvalidTransaction) as refused:
        apply(made, raw)
    assert refused.value.code is Validity.STALE


# Limits of a block.


def fill(made: DictChain, call: RuntimeCall, count_max: int) -> int:
    """Apply a call until the block is full, which changes nothing; how often it fitted."""
    before, fitted = difference(made), 0
    with pytest.raises(InvalidTransaction) as full:  # noqa: PT012 - the loop ends by what is expected
        while fitted < count_max:
            before = difference(made)
            apply(made, sign(made, call, fitted))
            fitted += 1
    assert full.value.code is Validity.EXHAUSTS_RESOURCES
    assert difference(made) == before
    return fitted


def test_the_weight_of_normal_calls_is_limited() -> None:
    """Normal calls fill three quarters of the weight of a block and no more."""
    made = new_chain(slot_ms=300)
    open_block(made, FIRST)
    weight = transfer(made).weight_ps + 100_000_000
    fitted = fill(made, transfer(made), 600)
    assert fitted == made.authoring.budget.normal_max_ps // weight


def test_the_length_of_a_block_is_limited() -> None:
    """Normal extrinsics fill three quarters of 2 MiB and no more."""
    made = new_chain()
    open_block(made, FIRST)
    remark = made.call("System", "remark", bytes(64 << 10))
    fitted = fill(made, remark, 100)
    assert fitted == (2 << 20) * 3 // 4 // len(sign(made, remark, 0))


# What a failure costs.


def test_a_failing_call_changes_nonce_and_fee_only() -> None:
    """A transfer of more than there is: the sender's nonce and fee, treasury and author, and nothing else change."""
    made = new_chain()
    runtime = made.look()
    before = {who: info.data.free for who, info in runtime.system.accounts.items()}
    raw = sign(made, transfer(made, 10**30))
    executed = made.block(FIRST, raw)
    assert executed.failures == {1: TokenValue(TokenErrorKind.FUNDS_UNAVAILABLE)}
    runtime = made.look()
    after = {who: info.data.free for who, info in runtime.system.accounts.items()}
    fee = 10**8 + 10**6 * len(raw) + transfer(made).weight_ps
    changed = {who: after[who] - before[who] for who in after if after[who] != before[who]}
    assert changed == {BOB.public: -fee, ALICE.public: fee // 5, TREASURY: fee - fee // 5}
    assert runtime.system.accounts.get(BOB.public).nonce == 1
    names = [type(record.event).__name__ for record in runtime.system.events_value.codec.decode(executed.events)]
    assert names == ["ExtrinsicSuccess", "TransactionFeePaid", "ExtrinsicFailed"]


def test_fees_go_to_treasury_and_author_and_tips_to_the_author() -> None:
    """Of a block's fees the author gets a fifth, rounded down once, and all tips; the treasury gets the rest."""
    made = new_chain()
    before = made.look()
    author, treasury = before.balances.free(ALICE.public), before.balances.free(TREASURY)
    issuance = before.balances.total_issuance()
    raws = [sign(made, transfer(made, UNIT + n), n, tip=n * UNIT) for n in range(3)]
    made.block(FIRST, *raws)
    fees = sum(10**8 + 10**6 * len(raw) + transfer(made).weight_ps for raw in raws)
    after = made.look()
    assert after.balances.free(ALICE.public) - author == fees // 5 + 3 * UNIT
    assert after.balances.free(TREASURY) - treasury == fees - fees // 5
    assert after.balances.total_issuance() == issuance


@pytest.mark.parametrize(
    ("multiplier", "fullness", "expected"),
    [
        (ONE, ONE // 4, ONE),
        (ONE, ONE, ONE + 18_750_175_781_250),
        (ONE, 0, ONE - 6_249_980_468_750),
        (2 * ONE, ONE // 2, 2 * ONE + 2 * (6_250_000_000_000 + 19_531_250)),
        (MULTIPLIER_MIN, 0, MULTIPLIER_MIN),
        (MULTIPLIER_MAX, ONE, MULTIPLIER_MAX),
    ],
)
def test_the_fee_multiplier_follows_the_formula(multiplier: int, fullness: int, expected: int) -> None:
    """Vectors worked out by hand from spec/chain.md (f): x = |s-t|V, y = x^2/2, m(1 + x + y) or m(1 - x + y)."""
    assert next_multiplier(multiplier, fullness) == expected


def test_an_empty_block_lowers_the_multiplier_and_the_fee_follows() -> None:
    """The next block's fee is by the multiplier that this block's fullness gave."""
    made = new_chain()
    assert made.look().transaction_payment.fee(100, ONE) == 10**8 + 10**8 + ONE
    made.block(FIRST)
    lowered = made.look().transaction_payment
    assert lowered.multiplier.get() == ONE - 6_249_980_468_750
    assert lowered.fee(100, ONE) == 10**8 + 10**8 + ONE - 6_249_980_468_750
