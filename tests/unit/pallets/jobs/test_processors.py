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
    assert small == 10**10 + 10**8 * len(world.processors.adverts.codec.encode(ADVERT))
    world.call("Processors", "advertise", ONE, world.advert(modules=("numpy",)))
    assert world.balances.held(ONE, HoldReason.STORAGE_DEPOSIT) == small + 6 * 10**8
    world.call("Processors", "delete_advertisement", ONE)
    assert world.balances.total(ONE) == world.balances.free(ONE) == 10_000 * HDL
    poor = account("poor")
    world.balances.issue(poor, 10**10)
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
