"""Registration, adverts and pairing of processors."""

from dataclasses import replace
from typing import Any

import pytest
from nacl.signing import SigningKey

from pallets.balances import HoldReason
from pallets.jobs.types import RuntimeKind
from pallets.processors import errors
from pallets.processors.calendar import Capacity
from pallets.processors.errors import Field
from pallets.processors.events import FundsRecovered
from pallets.processors.pallet import PAIRING_MS_MAX, REGISTRATION_DEPOSIT
from pallets.processors.types import FREE, PRICE_MAX, PairingProof, pairing_message
from runtime.errors import TokenError
from tests.helpers.job_world import ADVERT, ALICE, BOB, HDL, PROCESSORS, World, account

ONE, TWO, THREE = PROCESSORS[:3]


def test_a_processor_registers_once_and_must_be_registered_to_advertise() -> None:
    """AlreadyRegistered, NotRegistered, NotAdvertised."""
    world = World()
    assert world.refuses("Processors", "advertise", ONE, ADVERT) is errors.NotRegistered
    assert world.refuses("Processors", "heartbeat", ONE, 1) is errors.NotRegistered
    world.call("Processors", "register", ONE, 1)
    assert world.refuses("Processors", "register", ONE, 1) is errors.AlreadyRegistered
    assert world.refuses("Processors", "delete_advertisement", ONE) is errors.NotAdvertised


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        (Field.RUNTIMES, {"runtimes": ()}),
        (Field.RUNTIMES, {"runtimes": (RuntimeKind.WASM, RuntimeKind.WASM)}),
        (Field.MEMORY, {"capacity": Capacity(0, 0, 1)}),
        (Field.MEMORY, {"capacity": Capacity((1 << 50) + 1, 0, 1)}),
        (Field.STORAGE, {"capacity": Capacity(1, (1 << 50) + 1, 1)}),
        (Field.CORES, {"capacity": Capacity(1, 0, 0)}),
        (Field.CORES, {"capacity": Capacity(1, 0, 4_097)}),
        (Field.BENCHMARK, {"benchmark": 0}),
        (Field.START_DELAY, {"start_delay_min_ms": 24 * 3_600_000 + 1}),
        (Field.PRICING, {"pricing": replace(FREE, per_request=PRICE_MAX + 1)}),
        (Field.CONSUMERS, {"consumers": (ALICE, ALICE)}),
    ],
)
def test_each_field_of_an_advert_has_bounds(field: Field, changes: dict[str, Any]) -> None:
    """AdvertOutOfBounds names the field; the advert in force stays."""
    world = World()
    world.offer_capacity(ONE)
    with pytest.raises(errors.AdvertOutOfBounds) as caught:
        world.call("Processors", "advertise", ONE, world.advert(**changes))
    assert caught.value.detail == field
    assert world.processors.adverts.get(ONE) == ADVERT
    world.check()


def test_the_deposit_follows_the_size_of_the_advert_and_comes_back() -> None:
    """Held on advertise, adjusted on change, released with the advert; without money there is no advert."""
    world = World()
    world.offer_capacity(ONE, stake=0)
    small = world.balances.held(ONE, HoldReason.STORAGE_DEPOSIT)
    assert small == REGISTRATION_DEPOSIT + 10**10 + 10**8 * len(world.processors.adverts.codec.encode(ADVERT))
    world.call("Processors", "advertise", ONE, world.advert(modules=("numpy",)))
    assert world.balances.held(ONE, HoldReason.STORAGE_DEPOSIT) == small + 6 * 10**8
    world.call("Processors", "delete_advertisement", ONE)
    assert world.balances.total(ONE) == world.balances.free(ONE) + REGISTRATION_DEPOSIT == 10_000 * HDL
    poor = account("poor")
    world.balances.issue(poor, 2 * 10**10 + REGISTRATION_DEPOSIT)
    world.call("Processors", "register", poor, 1)
    with pytest.raises(TokenError):
        world.call("Processors", "advertise", poor, ADVERT)
    world.check()


def test_adverts_stay_a_dense_list_per_runtime_whatever_goes() -> None:
    """Withdrawals and changes of runtimes in any order leave no gap."""
    world = World()
    for processor in PROCESSORS:
        world.offer_capacity(processor)
    world.call("Processors", "delete_advertisement", PROCESSORS[1])
    world.check()
    world.call("Processors", "advertise", PROCESSORS[4], world.advert(runtimes=(RuntimeKind.JAVASCRIPT,)))
    world.check()
    world.call("Processors", "advertise", PROCESSORS[1], world.advert(runtimes=(RuntimeKind.PYTHON, RuntimeKind.WASM)))
    world.call("Processors", "delete_advertisement", PROCESSORS[0])
    world.check()
    assert world.processors.advertised(RuntimeKind.WASM) == 3
    assert world.processors.advertised(RuntimeKind.JAVASCRIPT) == 1


def test_changing_an_advert_keeps_its_age_and_a_new_one_starts_anew() -> None:
    """Age counts from the first advertise after a withdrawal."""
    world = World()
    world.offer_capacity(ONE)
    since = world.processors.record_of(ONE).advertised_at
    world.slots(5)
    world.call("Processors", "advertise", ONE, world.advert(labels=()))
    assert world.processors.record_of(ONE).advertised_at == since
    world.call("Processors", "delete_advertisement", ONE)
    world.call("Processors", "advertise", ONE, ADVERT)
    assert world.processors.record_of(ONE).advertised_at == since + 5


def proof(world: World, key: SigningKey, processor: bytes, counter: int, hours_ms: int = 3_600_000) -> PairingProof:
    """A pairing signed by `key`."""
    manager, expires = bytes(key.verify_key), world.system.now_ms + hours_ms
    message = pairing_message(world.system.genesis_hash, processor, manager, counter, expires)
    return PairingProof(manager, counter, expires, 0, key.sign(message).signature)


def test_a_processor_is_paired_by_its_managers_signature() -> None:
    """Paired, seen in the fleet, paired anew with another manager, unpaired by that manager."""
    world = World()
    first, second = SigningKey(bytes([1] * 32)), SigningKey(bytes([2] * 32))
    world.call("Processors", "register", ONE, 1)
    assert world.processors.manager_of(ONE) == ONE
    world.call("Processors", "pair", ONE, proof(world, first, ONE, 1))
    assert world.processors.manager_of(ONE) == bytes(first.verify_key)
    world.call("Processors", "pair", ONE, proof(world, second, ONE, 2))
    assert [key for key, _ in world.processors.fleet.items()] == [(bytes(second.verify_key), ONE)]
    assert world.refuses("Processors", "unpair", BOB, ONE) is errors.NotPaired
    world.call("Processors", "unpair", bytes(second.verify_key), ONE)
    assert world.processors.manager_of(ONE) == ONE
    assert world.refuses("Processors", "unpair", ONE, ONE) is errors.NotPaired
    world.check()


def test_a_pairing_proof_holds_for_one_processor_one_time_and_four_hours() -> None:
    """Signature, counter and time each have their error."""
    world = World()
    key = SigningKey(bytes([1] * 32))
    for processor in (ONE, TWO):
        world.call("Processors", "register", processor, 1)
    good = proof(world, key, ONE, 5)
    refuses = world.refuses
    assert refuses("Processors", "pair", TWO, good) is errors.PairingSignature
    assert refuses("Processors", "pair", ONE, replace(good, counter=6)) is errors.PairingSignature
    assert refuses("Processors", "pair", ONE, replace(good, manager=BOB)) is errors.PairingSignature
    assert refuses("Processors", "pair", ONE, replace(good, scheme=3)) is errors.PairingSignature
    assert refuses("Processors", "pair", ONE, proof(world, key, ONE, 5, 4 * 3_600_000 + 1)) is errors.PairingExpired
    assert refuses("Processors", "pair", ONE, proof(world, key, ONE, 5, -1)) is errors.PairingExpired
    assert refuses("Processors", "pair", ONE, good) is None
    assert refuses("Processors", "pair", ONE, good) is errors.PairingCounter
    assert refuses("Processors", "pair", THREE, good) is errors.NotRegistered


def test_a_processor_is_registered_for_a_deposit_and_has_it_back_when_it_leaves() -> None:
    """Held on register, refused without the money; deregistered it owns what it had, and is a processor no more."""
    world = World()
    world.call("Processors", "register", ONE, 1)
    assert world.balances.held(ONE, HoldReason.STORAGE_DEPOSIT) == REGISTRATION_DEPOSIT
    assert world.refuses("Processors", "deregister", TWO) is errors.NotRegistered
    world.call("Processors", "deregister", ONE)
    assert world.balances.free(ONE) == 10_000 * HDL
    assert world.refuses("Processors", "heartbeat", ONE, 1) is errors.NotRegistered
    poor = account("poor")
    world.balances.issue(poor, REGISTRATION_DEPOSIT)
    with pytest.raises(TokenError):
        world.call("Processors", "register", poor, 1)
    world.check()


def test_a_processor_leaves_only_without_advert_leases_and_stake() -> None:
    """HasLeases, StillAdvertised, StillStaked while bonded and while unbonding; then it may go."""
    world = World()
    world.offer_capacity(ONE)
    refuses = world.refuses
    assert refuses("Processors", "deregister", ONE) is errors.StillAdvertised
    job = world.register(spec=world.spec(slots=1))
    world.slots(3)
    world.propose(job, ONE)
    world.until(lambda: bool(world.processors.leases.get(ONE)))
    world.call("Processors", "delete_advertisement", ONE)
    assert refuses("Processors", "deregister", ONE) is errors.HasLeases
    world.call("Jobs", "cancel", ALICE, job)
    assert refuses("Processors", "deregister", ONE) is errors.StillStaked
    world.call("Processors", "unstake", ONE, HDL)
    assert refuses("Processors", "deregister", ONE) is errors.StillStaked
    world.slots(60)
    world.call("Processors", "withdraw_unbonded", ONE)
    world.call("Processors", "deregister", ONE)
    assert not world.processors.records.contains(ONE)
    world.check()


def test_managers_do_not_change_while_work_is_promised() -> None:
    """Neither pair nor unpair, by whomever: jobs keep their slots apart by manager. Afterwards both."""
    world = World()
    world.offer_capacity(ONE)
    job = world.register(spec=world.spec(slots=1))
    world.slots(3)
    world.propose(job, ONE)
    world.until(lambda: bool(world.processors.leases.get(ONE)))
    key = SigningKey(bytes([1] * 32))
    assert world.refuses("Processors", "pair", ONE, proof(world, key, ONE, 1)) is errors.HasLeases
    world.call("Jobs", "cancel", ALICE, job)
    world.call("Processors", "pair", ONE, proof(world, key, ONE, 1))
    again = world.register(spec=world.spec(slots=1))
    world.slots(3)
    world.propose(again, ONE)
    world.until(lambda: bool(world.processors.leases.get(ONE)))
    for signer in (ONE, bytes(key.verify_key)):
        assert world.refuses("Processors", "unpair", signer, ONE) is errors.HasLeases
    assert world.processors.manager_of(ONE) == bytes(key.verify_key)
    world.check()


def test_a_used_proof_is_not_used_again_by_registering_anew() -> None:
    """PairedRecently for as long as a proof may last, also after the manager ended the pairing; then it has expired."""
    world = World()
    key = SigningKey(bytes([1] * 32))
    world.call("Processors", "register", ONE, 1)
    used = proof(world, key, ONE, 1, PAIRING_MS_MAX)
    world.call("Processors", "pair", ONE, used)
    world.call("Processors", "unpair", bytes(key.verify_key), ONE)
    assert world.refuses("Processors", "deregister", ONE) is errors.PairedRecently
    world.slots(1, gap=PAIRING_MS_MAX // 1_000)
    assert world.refuses("Processors", "deregister", ONE) is errors.PairedRecently
    world.slots(1)
    world.call("Processors", "deregister", ONE)
    world.call("Processors", "register", ONE, 1)
    assert world.refuses("Processors", "pair", ONE, used) is errors.PairingExpired
    world.check()


def test_a_deregistered_processor_leaves_its_managers_fleet() -> None:
    """The pairing ends with the processor."""
    world = World()
    key = SigningKey(bytes([1] * 32))
    world.call("Processors", "register", ONE, 1)
    world.call("Processors", "pair", ONE, proof(world, key, ONE, 1))
    world.slots(1, gap=PAIRING_MS_MAX // 1_000 + 1)
    world.call("Processors", "deregister", ONE)
    assert not list(world.processors.fleet.items())
    world.check()


def test_a_manager_recovers_what_its_processor_does_not_need() -> None:
    """All but the existential deposit when idle, all but a unit of stake with a lease; nobody else, and never more."""
    world = World()
    world.offer_capacity(ONE)
    key = SigningKey(bytes([1] * 32))
    manager = bytes(key.verify_key)
    assert world.refuses("Processors", "recover_funds", ONE, ONE, HDL) is errors.NotPaired
    world.call("Processors", "pair", ONE, proof(world, key, ONE, 1))
    for stranger in (ONE, BOB):
        assert world.refuses("Processors", "recover_funds", stranger, ONE, HDL) is errors.NotPaired
    assert world.refuses("Processors", "recover_funds", manager, TWO, HDL) is errors.NotRegistered
    assert world.refuses("Processors", "recover_funds", manager, ONE, 0) is errors.ZeroAmount
    job = world.register(spec=world.spec(slots=1))
    world.slots(3)
    world.propose(job, ONE)
    world.until(lambda: bool(world.processors.leases.get(ONE)))
    spare = world.balances.free(ONE) - HDL
    assert world.refuses("Processors", "recover_funds", manager, ONE, spare + 1) is errors.NeedsItsFunds
    world.call("Processors", "recover_funds", manager, ONE, spare)
    world.call("Jobs", "cancel", ALICE, job)
    minimum = world.balances.existential_deposit
    assert world.refuses("Processors", "recover_funds", manager, ONE, HDL - minimum + 1) is errors.NeedsItsFunds
    world.call("Processors", "recover_funds", manager, ONE, HDL - minimum)
    assert world.balances.free(manager) == spare + HDL - minimum
    assert [event.amount for event in world.events(FundsRecovered)] == [spare, HDL - minimum]
    world.check()
