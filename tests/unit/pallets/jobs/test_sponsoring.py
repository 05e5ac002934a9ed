"""Sponsoring: a manager pays for the duties of its processors, within bounds; every other way to its money is shut."""

import pytest
from nacl.signing import SigningKey

from node.keys.pair import dev_pair
from pallets.balances import UNIT
from pallets.jobs import types
from pallets.processors.sponsoring import (
    CALLS_PER_HOUR,
    CALLS_PER_HOUR_AND_LEASE,
    HOUR_MS,
    SPONSORED,
)
from pallets.processors.types import PairingProof, pairing_message
from runtime.chain_spec import local_spec
from runtime.dev_accounts import dev_validator
from runtime.errors import InvalidTransaction, InvariantBroken, Validity
from runtime.extrinsic import SigningContext, sign_extrinsic
from runtime.hashing import blake2b256
from runtime.heddle import Heddle
from runtime.pallet import CallDefinition, RuntimeCall
from tests.helpers.dict_chain import DictChain
from tests.helpers.job_world import ALICE, BOB, HDL, PROCESSORS, SLOT_MS, World

ONE, TWO = PROCESSORS[:2]
FEE = 10**9
HOUR_SLOTS = HOUR_MS // SLOT_MS
ERA_SLOTS = 43_200


def sponsored_world() -> tuple[World, bytes]:
    """A processor with an advert, paired with a manager who pays up to one HDL an era."""
    world = World()
    world.offer_capacity(ONE)
    world.pair(ONE, "sponsor")
    manager = world.manager("sponsor")
    world.call("Processors", "sponsor", manager, HDL)
    return world, manager


def sponsor_of(world: World, pallet: str, name: str, who: bytes = ONE, fee: int = FEE) -> bytes | None:
    """Who would pay for a call, None for the processor itself."""
    return world.processors.sponsor_of(who, world.runtime.definition(pallet, name), fee)


def with_a_lease(world: World) -> int:
    """A job that has offered its slot to the processor."""
    job = world.register(spec=world.spec(slots=1))
    world.slots(3)
    world.propose(job, ONE)
    world.until(lambda: bool(world.processors.leases.get(ONE)))
    return job


def test_only_the_listed_calls_are_sponsored_whatever_else_the_chain_offers() -> None:
    """Of all calls of the chain, with a lease: exactly those of the list; none of them is a batch or moves money."""
    world, manager = sponsored_world()
    with_a_lease(world)

    def is_sponsored(definition: CallDefinition) -> bool:
        return world.processors.sponsor_of(ONE, definition, FEE) == manager

    every = {(one.pallet, one.name): one for one in Heddle().calls.values()}
    assert {name for name, definition in every.items() if is_sponsored(definition)} == SPONSORED
    assert not {pallet for pallet, _ in SPONSORED} & {"Balances", "Utility", "Sudo", "Session", "Matching", "Escrow"}


def test_duties_need_a_lease_and_signs_of_life_do_not() -> None:
    """Without a lease a heartbeat is paid, an acknowledgment not; with one both; after the job's end as before."""
    world, manager = sponsored_world()
    assert sponsor_of(world, "Processors", "heartbeat") == manager
    assert sponsor_of(world, "Jobs", "acknowledge") is None
    job = with_a_lease(world)
    assert sponsor_of(world, "Jobs", "acknowledge") == manager
    world.call("Jobs", "cancel", ALICE, job)
    assert sponsor_of(world, "Jobs", "acknowledge") is None
    assert sponsor_of(world, "Processors", "heartbeat") == manager


def test_nobody_pays_for_strangers() -> None:
    """An unpaired processor, an account that is none, a manager who does not sponsor, one who has ended it."""
    world, manager = sponsored_world()
    world.offer_capacity(TWO)
    assert sponsor_of(world, "Processors", "heartbeat", TWO) is None
    assert sponsor_of(world, "Processors", "heartbeat", BOB) is None
    world.pair(TWO, "another")
    assert sponsor_of(world, "Processors", "heartbeat", TWO) is None
    world.call("Processors", "sponsor", manager, 0)
    assert sponsor_of(world, "Processors", "heartbeat") is None
    world.call("Processors", "sponsor", manager, HDL)
    world.call("Processors", "unpair", ONE, ONE)
    assert sponsor_of(world, "Processors", "heartbeat") is None
    world.check()


def drain(world: World, manager: bytes, calls_max: int = 1_000) -> int:
    """Sponsored heartbeats until there is no more; how many there were."""
    for count in range(calls_max):
        if sponsor_of(world, "Processors", "heartbeat") != manager:
            return count
        world.processors.note_sponsored(ONE, manager, 1)
    raise AssertionError("the bucket has no bottom")


def test_the_bucket_empties_and_fills_by_the_hour() -> None:
    """60 at once, then one a minute, never more than an hour's; a lease adds six an hour."""
    world, manager = sponsored_world()
    assert drain(world, manager) == CALLS_PER_HOUR
    world.slots(HOUR_SLOTS // CALLS_PER_HOUR - 1)
    assert drain(world, manager) == 0
    world.slots(1)
    assert drain(world, manager) == 1
    for _ in range(4):
        world.agenda.active_clock.put(world.agenda.now() + HOUR_SLOTS)
    assert drain(world, manager) == CALLS_PER_HOUR
    world.call("Processors", "heartbeat", ONE, 1)
    with_a_lease(world)
    world.agenda.active_clock.put(world.agenda.now() + 2 * HOUR_SLOTS)
    assert drain(world, manager) == CALLS_PER_HOUR + CALLS_PER_HOUR_AND_LEASE


def test_an_era_has_a_budget_and_the_next_one_a_new_one() -> None:
    """Fees up to the cap and not a planck more; the sponsor's own minimum is never touched."""
    world, manager = sponsored_world()
    assert sponsor_of(world, "Processors", "heartbeat", fee=HDL) == manager
    assert sponsor_of(world, "Processors", "heartbeat", fee=HDL + 1) is None
    world.processors.note_sponsored(ONE, manager, HDL - FEE)
    assert sponsor_of(world, "Processors", "heartbeat", fee=FEE) == manager
    assert sponsor_of(world, "Processors", "heartbeat", fee=FEE + 1) is None
    world.agenda.active_clock.put((world.agenda.now() // ERA_SLOTS + 1) * ERA_SLOTS)
    assert sponsor_of(world, "Processors", "heartbeat", fee=HDL) == manager
    world.balances.burn(manager, world.balances.free(manager) - FEE - world.balances.existential_deposit)
    assert sponsor_of(world, "Processors", "heartbeat", fee=FEE) == manager
    assert sponsor_of(world, "Processors", "heartbeat", fee=FEE + 1) is None
    world.check()


def test_check_state_sees_a_bucket_without_a_pairing() -> None:
    """And leaving a fleet takes the bucket along."""
    world, manager = sponsored_world()
    world.processors.note_sponsored(ONE, manager, FEE)
    bucket = world.processors.buckets.get(ONE)
    world.check()
    world.call("Processors", "unpair", manager, ONE)
    assert world.processors.buckets.find(ONE) is None
    world.processors.buckets.put(ONE, bucket)
    with pytest.raises(InvariantBroken):
        world.processors.check_state()


PROCESSOR, OWNER, AUTHOR = (dev_pair(name) for name in ("Charlie", "Dave", "Alice"))
SPONSOR = SigningKey(blake2b256(b"sponsor of a fleet"))
SPONSOR_ACCOUNT = bytes(SPONSOR.verify_key)


class Blocks:
    """Whole blocks: //Charlie is a processor, and a manager of the test's pays for it."""

    def __init__(self) -> None:
        self.chain = DictChain(local_spec([dev_validator("Alice")], SLOT_MS, endowed=[SPONSOR_ACCOUNT]), [AUTHOR])
        self.slot, self.nonce = 1_700_000_000, 0
        self.block(self.signed(self.call("Processors", "register", 1)))
        expires = (self.slot + 100) * SLOT_MS
        message = pairing_message(self.chain.genesis_hash, PROCESSOR.public, SPONSOR_ACCOUNT, 1, expires)
        proof = PairingProof(SPONSOR_ACCOUNT, 1, expires, 0, SPONSOR.sign(message).signature)
        self.block(self.signed(self.call("Processors", "pair", proof)))
        sponsor = self.call("Processors", "sponsor", 100 * UNIT)
        context = SigningContext(1, 1, self.chain.genesis_hash)
        encoded = self.chain.runtime.call_codec.encode(sponsor)
        sign = SPONSOR.sign
        raw = sign_extrinsic(encoded, SPONSOR_ACCOUNT, lambda data: sign(data).signature, context, nonce=0)
        self.block(raw)

    def call(self, pallet: str, name: str, *arguments: object) -> RuntimeCall:
        """A call by its names."""
        return self.chain.call(pallet, name, *arguments)

    def signed(self, call: RuntimeCall, tip: int = 0) -> bytes:
        """By the processor, with its next nonce."""
        context = SigningContext(1, 1, self.chain.genesis_hash)
        data = self.chain.runtime.call_codec.encode(call)
        self.nonce += 1
        return sign_extrinsic(data, PROCESSOR.public, PROCESSOR.sign, context, nonce=self.nonce - 1, tip=tip)

    def block(self, *raws: bytes) -> dict[int, object]:
        """One block, authored and imported; the failures by position."""
        self.slot += 1
        return dict(self.chain.block(self.slot, *raws).failures)

    def free(self) -> tuple[int, int]:
        """What the processor and its sponsor have."""
        balances = self.chain.look().balances
        return balances.free(PROCESSOR.public), balances.free(SPONSOR_ACCOUNT)

    def heartbeat(self, tip: int = 0) -> bytes:
        """A signed heartbeat."""
        return self.signed(self.call("Processors", "heartbeat", 1), tip)


def test_the_sponsor_is_charged_in_the_block_and_nobody_else() -> None:
    """The processor's balance stays as it is, its nonce rises; the sponsor pays each fee, and its account says so."""
    blocks = Blocks()
    own, sponsor = blocks.free()
    assert not blocks.block(blocks.heartbeat(), blocks.heartbeat())
    own_after, sponsor_after = blocks.free()
    fee = (sponsor - sponsor_after) // 2
    assert own_after == own
    assert fee > 10**8
    assert blocks.chain.look().system.accounts.get(PROCESSOR.public).nonce == blocks.nonce
    assert blocks.chain.look().processors.sponsors.get(SPONSOR_ACCOUNT).spent == 2 * fee


@pytest.mark.parametrize("attempt", ["tip", "transfer", "batch", "acknowledge without a lease"])
def test_a_processor_cannot_spend_its_sponsors_money_otherwise(attempt: str) -> None:
    """Each attempt to drain the sponsor is paid by the processor itself."""
    blocks = Blocks()
    beat = blocks.call("Processors", "heartbeat", 1)
    calls: dict[str, RuntimeCall] = {
        "tip": beat,
        "transfer": blocks.call("Balances", "transfer_keep_alive", OWNER.public, UNIT),
        "batch": blocks.call("Utility", "batch", (beat, beat)),
        "acknowledge without a lease": blocks.call("Jobs", "acknowledge", 0, 0, 0, None),
    }
    own, sponsor = blocks.free()
    blocks.block(blocks.signed(calls[attempt], tip=5 if attempt == "tip" else 0))
    own_after, sponsor_after = blocks.free()
    assert own_after < own
    assert sponsor_after == sponsor


def test_an_hours_calls_at_once_and_then_the_processor_pays_itself() -> None:
    """Of 62 heartbeats in one block the sponsor pays 60."""
    blocks = Blocks()
    own, sponsor = blocks.free()
    blocks.block(*(blocks.heartbeat() for _ in range(CALLS_PER_HOUR)))
    paid = sponsor - blocks.free()[1]
    assert blocks.free()[0] == own
    blocks.block(blocks.heartbeat(), blocks.heartbeat())
    assert blocks.free()[1] == sponsor - paid
    assert blocks.free()[0] < own


def test_a_processor_without_money_works_on_its_sponsors() -> None:
    """It has given away all but the minimum: sponsored calls pass, others may not be in a block."""
    blocks = Blocks()
    minimum = blocks.chain.look().balances.existential_deposit
    weight = blocks.chain.runtime.definition("Balances", "transfer_keep_alive").weight_ps
    assert isinstance(weight, int)
    size = len(blocks.signed(blocks.call("Balances", "transfer_keep_alive", OWNER.public, blocks.free()[0])))
    blocks.nonce -= 1
    rest = blocks.free()[0] - minimum - blocks.chain.look().transaction_payment.fee(size, weight)
    assert not blocks.block(blocks.signed(blocks.call("Balances", "transfer_keep_alive", OWNER.public, rest)))
    assert blocks.free()[0] <= minimum + 10**9
    assert not blocks.block(blocks.heartbeat())
    with pytest.raises(InvalidTransaction) as refused:
        blocks.block(blocks.signed(blocks.call("Balances", "transfer_keep_alive", OWNER.public, UNIT)))
    assert refused.value.code is Validity.PAYMENT


def test_a_call_that_ends_a_lease_leaves_a_bucket_that_is_one() -> None:
    """A sponsored call may make the bucket smaller than what it takes out: what is left is nothing, never less."""
    world, manager = sponsored_world()
    start = world.system.now_ms + 1_000_000
    job = world.register(spec=world.spec(slots=1, schedule=types.Schedule(start, start + 1, 60_000, 10_000, 60_000)))
    world.assign(job, ONE)
    while sponsor_of(world, "Processors", "heartbeat") is not None:
        world.call("Processors", "heartbeat", ONE, 1)
        world.processors.note_sponsored(ONE, manager, FEE)
    world.until(lambda: sponsor_of(world, "Jobs", "resign") is not None)
    world.call("Jobs", "resign", ONE, job, 0, world.slot(job, 0).generation)
    world.processors.note_sponsored(ONE, manager, FEE)
    assert world.processors.buckets.get(ONE).level == 0
    world.check()
