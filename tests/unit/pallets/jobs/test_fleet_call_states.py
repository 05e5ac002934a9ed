"""Each call of Processors in each state of a processor, of Matching and of Secrets in each state of a job: tables."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from nacl.signing import SigningKey

from pallets.jobs import errors as job_errors
from pallets.jobs import types
from pallets.matching import pallet as matching
from pallets.processors import errors
from pallets.processors.types import PairingProof, pairing_message
from pallets.secrets import errors as secret_errors
from runtime.errors import DispatchError, TokenError
from runtime.hashing import blake2b256
from tests.helpers.job_world import ADVERT, ALICE, BOB, HDL, PROCESSORS, World, account
from tests.helpers.secret_jobs import KEY, SEALED, VALUES, copies_for, prekey, provided, publish, secret_spec

ONE, TWO = PROCESSORS[:2]
MANAGER = World.manager("the manager")
STRANGER = account("a stranger with money")
Error = type[DispatchError] | None


def tried(world: World, pallet: str, call: str, who: bytes, *arguments: Any) -> Error:
    """How a call ends; refused, it has changed nothing."""
    mark = world.state.mark()
    error = world.refuses(pallet, call, who, *arguments)
    assert error is None or world.state.mark() == mark
    world.check()
    return error


# Processors.


def unknown(world: World) -> None:
    """An account with money."""


def registered(world: World) -> None:
    """Nothing but registered."""
    world.call("Processors", "register", ONE, 1)


def staked(world: World) -> None:
    """Registered, with a stake of one unit."""
    registered(world)
    world.call("Processors", "stake", ONE, HDL)


def advertised(world: World) -> None:
    """With a stake and an advert."""
    world.offer_capacity(ONE)


def paired(world: World) -> None:
    """Advertised, of a manager's."""
    advertised(world)
    world.pair(ONE, "the manager")


def promised(world: World) -> None:
    """Paired, and a job's slot is offered to it."""
    paired(world)
    job = world.register(spec=world.spec(slots=1))
    world.slots(3)
    world.propose(job, ONE)
    world.until(lambda: not world.job(job).vacant)


def suspended(world: World) -> None:
    """Paired; two offers in a row went without an answer."""
    paired(world)
    record = world.processors.record_of(ONE)
    world.processors.records.put(ONE, replace(record, suspended=True, unacknowledged=2))


def unbonding(world: World) -> None:
    """All its stake is on its way out, and its time has come."""
    advertised(world)
    world.call("Processors", "unstake", ONE, HDL)
    world.slots(60)


STATES: tuple[Callable[[World], None], ...] = (
    *(unknown, registered, staked, advertised, paired, promised, suspended, unbonding),
)


def proof(world: World) -> PairingProof:
    """The manager's signature, with the next counter."""
    key = SigningKey(blake2b256(b"the manager"))
    record = world.processors.records.find(ONE)
    counter, expires = 1 if record is None else record.pairing_counter + 1, world.system.now_ms + 1_000
    message = pairing_message(world.system.genesis_hash, ONE, MANAGER, counter, expires)
    return PairingProof(MANAGER, counter, expires, 0, key.sign(message).signature)


ARGUMENTS: dict[str, Callable[[World], tuple[Any, ...]]] = {
    "register": lambda _world: (1,),
    "advertise": lambda _world: (ADVERT,),
    "delete_advertisement": lambda _world: (),
    "heartbeat": lambda _world: (2,),
    "pair": lambda world: (proof(world),),
    "unpair": lambda _world: (ONE,),
    "stake": lambda _world: (HDL,),
    "unstake": lambda _world: (HDL,),
    "withdraw_unbonded": lambda _world: (),
    "deregister": lambda _world: (),
    "recover_funds": lambda _world: (ONE, HDL),
    "sponsor": lambda _world: (HDL,),
}
NOT_REGISTERED, NOT_ADVERTISED, NOT_PAIRED = errors.NotRegistered, errors.NotAdvertised, errors.NotPaired
ADVERTISES, NOTHING_FREE = errors.StillAdvertised, errors.NothingToWithdraw
TABLE: dict[str, tuple[Error, ...]] = {
    # unknown, registered, staked, advertised, paired, promised, suspended, unbonding
    "register": (None, *[errors.AlreadyRegistered] * 7),
    "advertise": (NOT_REGISTERED, *[None] * 7),
    "delete_advertisement": (NOT_REGISTERED, NOT_ADVERTISED, NOT_ADVERTISED, *[None] * 5),
    "heartbeat": (NOT_REGISTERED, *[None] * 7),
    "pair": (NOT_REGISTERED, None, None, None, None, errors.HasLeases, None, None),
    "unpair": (NOT_REGISTERED, *[NOT_PAIRED] * 3, None, errors.HasLeases, None, NOT_PAIRED),
    "stake": (NOT_REGISTERED, *[None] * 7),
    "unstake": (*[errors.InsufficientStake] * 2, *[None] * 5, errors.InsufficientStake),
    "withdraw_unbonded": (*[NOTHING_FREE] * 7, None),
    "deregister": (
        *(NOT_REGISTERED, None, errors.StillStaked, ADVERTISES),
        *(ADVERTISES, errors.HasLeases, ADVERTISES, ADVERTISES),
    ),
    "recover_funds": (NOT_REGISTERED, *[NOT_PAIRED] * 3, None, None, None, NOT_PAIRED),
    "sponsor": (*[None] * 8,),
}
CASES = [(call, place) for call in TABLE for place in range(len(STATES))]


def test_the_table_of_processors_knows_every_call() -> None:
    """One that is added must be added here."""
    calls = World().runtime.calls.values()
    assert set(TABLE) == {definition.name for definition in calls if definition.pallet == "Processors"}
    assert all(len(row) == len(STATES) for row in TABLE.values())


@pytest.mark.parametrize(("call", "place"), CASES, ids=[f"{call}-{STATES[place].__name__}" for call, place in CASES])
def test_each_call_of_a_processor_in_each_state(call: str, place: int) -> None:
    """What the one who may make it gets: its error, or none."""
    world = World()
    STATES[place](world)
    who = MANAGER if call == "recover_funds" else ONE
    assert tried(world, "Processors", call, who, *ARGUMENTS[call](world)) is TABLE[call][place]


@pytest.mark.parametrize("state", STATES[1:], ids=lambda state: state.__name__)
def test_nobody_else_manages_a_processor(state: Callable[[World], None]) -> None:
    """Neither a stranger, nor another processor with its proof, nor the processor itself in its manager's place."""
    world = World()
    state(world)
    world.balances.issue(STRANGER, 100 * HDL)
    world.call("Processors", "register", TWO, 1)
    for who in (STRANGER, TWO, ONE):
        assert tried(world, "Processors", "recover_funds", who, ONE, HDL) is NOT_PAIRED
    for who in (STRANGER, TWO):
        assert tried(world, "Processors", "unpair", who, ONE) is NOT_PAIRED
    assert tried(world, "Processors", "pair", TWO, proof(world)) is errors.PairingSignature


# Matching and Secrets, by the states of a job.


def absent(world: World) -> int:
    """There is no such job."""
    return 99


def plain(world: World) -> int:
    """It has no secrets."""
    return world.register(spec=world.spec(slots=1))


def empty(world: World) -> int:
    """Its owner has not provided the values."""
    return world.register(spec=secret_spec(world, types.Sealing.SERVED))


def served(world: World) -> int:
    """They are there."""
    return provided(world)


def prekeyed(world: World) -> int:
    """They are there, for processors with one-time keys."""
    publish(world, ONE)
    return provided(world, types.Sealing.PREKEYS)


def offered(world: World) -> int:
    """Its slot is offered."""
    job = served(world)
    world.slots(3)
    world.propose(job, ONE)
    world.until(lambda: not world.job(job).vacant)
    return job


def assigned(world: World) -> int:
    """Acknowledged, with a key."""
    job = offered(world)
    world.acknowledge(job, 0, KEY)
    return job


def ended(world: World) -> int:
    """Cancelled."""
    job = served(world)
    world.call("Jobs", "cancel", ALICE, job)
    return job


JOB_STATES: tuple[Callable[[World], int], ...] = (*(absent, plain, empty, served, prekeyed, offered, assigned, ended),)


def name_of(world: World, job: int) -> bytes:
    """The job's hash, or one that no job has."""
    return bytes(32) if job == 99 else world.job(job).id_hash


JOB_ARGUMENTS: dict[str, Callable[[World, int], tuple[Any, ...]]] = {
    "Matching.propose": lambda world, job: (job, (world.placement(0, TWO),)),
    "Secrets.provide": lambda world, job: (name_of(world, job), VALUES),
    "Secrets.seal_to_prekeys": lambda world, job: (name_of(world, job), copies_for(ONE)),
    "Secrets.seal": lambda _world, job: (job, 0, 0, SEALED),
    "Secrets.publish_prekeys": lambda _world, _job: ((prekey(ONE, 9),),),
    "Secrets.withdraw_prekeys": lambda _world, _job: (),
}
NO_JOB, ENDED, NO_SECRETS = job_errors.JobNotFound, job_errors.JobEnded, secret_errors.NoSecrets
TWICE, OTHERWISE = secret_errors.AlreadyProvided, secret_errors.WrongSealing
NOT_YET, NO_KEYS = job_errors.NotAcknowledged, secret_errors.NoPrekeys
JOB_TABLE: dict[str, tuple[Error, ...]] = {
    # absent, plain, empty, served, prekeyed, offered, assigned, ended
    "Matching.propose": (NO_JOB, *[None] * 6, ENDED),
    "Secrets.provide": (NO_JOB, NO_SECRETS, None, *[TWICE] * 4, ENDED),
    "Secrets.seal_to_prekeys": (NO_JOB, NO_SECRETS, OTHERWISE, OTHERWISE, None, OTHERWISE, OTHERWISE, ENDED),
    "Secrets.seal": (NO_JOB, NO_SECRETS, secret_errors.NotProvided, *[NOT_YET] * 3, None, ENDED),
    "Secrets.publish_prekeys": (*[None] * 8,),
    "Secrets.withdraw_prekeys": (*[NO_KEYS] * 4, None, *[NO_KEYS] * 3),
}
JOB_CASES = [(call, place) for call in JOB_TABLE for place in range(len(JOB_STATES))]


def world_in(place: int) -> tuple[World, int]:
    """A world whose job is in the state of a column."""
    world = World()
    for processor in (ONE, TWO):
        world.offer_capacity(processor)
    world.balances.issue(STRANGER, 100 * HDL)
    return world, JOB_STATES[place](world)


def test_the_table_of_jobs_with_secrets_knows_every_call() -> None:
    """One that is added must be added here."""
    calls = World().runtime.calls.values()
    names = {f"{one.pallet}.{one.name}" for one in calls if one.pallet in ("Matching", "Secrets")}
    assert set(JOB_TABLE) == names
    assert all(len(row) == len(JOB_STATES) for row in JOB_TABLE.values())


@pytest.mark.parametrize(
    ("call", "place"), JOB_CASES, ids=[f"{call}-{JOB_STATES[place].__name__}" for call, place in JOB_CASES]
)
def test_each_call_of_matching_and_secrets_in_each_state(call: str, place: int) -> None:
    """What the one who may make it gets: its error, or none."""
    world, job = world_in(place)
    who = ONE if call.endswith("prekeys") and "seal" not in call else ALICE
    pallet, name = call.split(".")
    assert tried(world, pallet, name, who, *JOB_ARGUMENTS[call](world, job)) is JOB_TABLE[call][place]


@pytest.mark.parametrize("state", JOB_STATES, ids=lambda state: state.__name__)
def test_nobody_else_has_to_do_with_an_owners_secrets(state: Callable[[World], int]) -> None:
    """Neither a stranger, nor another owner, nor the processor."""
    world, job = world_in(JOB_STATES.index(state))
    error = {"absent": NO_JOB, "ended": ENDED}.get(state.__name__, job_errors.NotOwner)
    for call in ("provide", "seal_to_prekeys", "seal"):
        for who in (STRANGER, BOB, ONE):
            assert tried(world, "Secrets", call, who, *JOB_ARGUMENTS[f"Secrets.{call}"](world, job)) is error
    assert tried(world, "Secrets", "publish_prekeys", STRANGER, (KEY,)) is errors.NotRegistered


def test_what_no_slot_has_is_refused() -> None:
    """A slot past the last, no placement at all, a stake or a recovery of nothing, more than there is."""
    world, job = world_in(JOB_STATES.index(assigned))
    cases: tuple[tuple[bytes, str, tuple[Any, ...], Error], ...] = (
        (BOB, "Matching.propose", (job, ()), matching.NoPlacements),
        (BOB, "Matching.propose", (job, (world.placement(1, TWO),)), matching.SlotNotFound),
        (ALICE, "Secrets.seal", (job, 1, 0, SEALED), job_errors.SlotNotFound),
        (ALICE, "Secrets.seal", (job, 0, 1, SEALED), job_errors.StaleGeneration),
        (ONE, "Processors.stake", (0,), errors.ZeroAmount),
        (ONE, "Processors.stake", ((1 << 128) - 1,), TokenError),
        (ONE, "Processors.unstake", (0,), errors.ZeroAmount),
        (ONE, "Processors.unstake", ((1 << 128) - 1,), errors.InsufficientStake),
    )
    for who, call, arguments, error in cases:
        pallet, name = call.split(".")
        assert tried(world, pallet, name, who, *arguments) is error
    world.pair(TWO, "the manager")
    assert tried(world, "Processors", "recover_funds", MANAGER, TWO, 0) is errors.ZeroAmount
    assert tried(world, "Processors", "recover_funds", MANAGER, TWO, (1 << 128) - 1) is errors.NeedsItsFunds
