"""The chain's part in secrets: one-time keys, copies bound to slots and generations, deposits, blame, and their end."""

from dataclasses import replace

import pytest

from pallets.balances import HoldReason
from pallets.jobs import errors as job_errors
from pallets.jobs import types
from pallets.jobs.events import AttemptFailed
from pallets.jobs.failure import AppError, Declined, ScriptInvalid, SecretsUnavailable
from pallets.jobs.records import ExecutionState, JobFailed, SlotState
from pallets.jobs.types import Sealing
from pallets.matching.types import Reason
from pallets.secrets import errors
from pallets.secrets.events import SecretsRemoved
from pallets.secrets.pallet import COPY_DEPOSIT, DEPOSIT_PER_BYTE, PREKEY_DEPOSIT
from pallets.secrets.types import PREKEYS_MAX, Place
from tests.helpers.job_world import ALICE, BOB, HDL, PROCESSORS, SCRIPT, World, failure
from tests.helpers.secret_jobs import (
    KEY,
    SEALED,
    TAG,
    VALUES,
    copies_for,
    prekey,
    provided,
    publish,
    seal_to,
    secret_spec,
    secret_world,
)

ONE, TWO, THREE = PROCESSORS[:3]


def acknowledged(world: World, job: int, *processors: bytes) -> None:
    """Every slot offered and acknowledged with a key."""
    world.slots(3)
    world.propose(job, *processors)
    world.until(lambda: not world.job(job).vacant)
    for number in range(len(processors)):
        world.acknowledge(job, number, KEY)


# One-time keys.


def test_one_time_keys_are_kept_against_a_deposit_and_given_back() -> None:
    """At most sixteen, none twice, only of processors; withdrawing releases the deposit."""
    world = secret_world(1)
    publish(world, ONE, count=PREKEYS_MAX - 1)
    assert world.balances.held(ONE, HoldReason.SECRETS) == PREKEY_DEPOSIT * (PREKEYS_MAX - 1)
    new = prekey(ONE, PREKEYS_MAX)
    assert world.refuses("Secrets", "publish_prekeys", ONE, (new, prekey(ONE, 99))) is errors.TooManyPrekeys
    assert world.refuses("Secrets", "publish_prekeys", ONE, (prekey(ONE),)) is errors.PrekeyListed
    assert world.refuses("Secrets", "publish_prekeys", ONE, ()) is errors.NoPrekeys
    assert world.refuses("Secrets", "publish_prekeys", BOB, (new,)) is not None
    world.call("Secrets", "publish_prekeys", ONE, (new,))
    world.check()
    world.call("Secrets", "withdraw_prekeys", ONE)
    assert world.balances.held(ONE, HoldReason.SECRETS) == 0
    assert world.refuses("Secrets", "withdraw_prekeys", ONE) is errors.NoPrekeys
    world.check()


def test_a_one_time_key_is_used_once() -> None:
    """Sealing takes it off the list and frees its deposit; sealing to it again is refused."""
    world = secret_world()
    publish(world, ONE, TWO)
    job = provided(world, Sealing.PREKEYS)
    seal_to(world, job, ONE)
    assert world.secrets.prekeys.get(ONE) == ()
    assert world.balances.held(ONE, HoldReason.SECRETS) == 0
    name = world.job(job).id_hash
    assert world.refuses("Secrets", "seal_to_prekeys", ALICE, name, copies_for(ONE)) is errors.UnknownPrekey
    twice = copies_for(TWO, TWO)
    assert world.refuses("Secrets", "seal_to_prekeys", ALICE, name, twice) is errors.UnknownPrekey
    assert world.secrets.prekeys.get(TWO) == (prekey(TWO),)
    world.check()


def test_a_jobs_key_goes_to_at_most_sixteen_one_time_keys() -> None:
    """The seventeenth is refused, also in a second call."""
    world = secret_world(2)
    publish(world, ONE, count=PREKEYS_MAX)
    publish(world, TWO)
    job = provided(world, Sealing.PREKEYS)
    name = world.job(job).id_hash
    many = tuple(copies_for(ONE, number=number)[0] for number in range(PREKEYS_MAX))
    world.call("Secrets", "seal_to_prekeys", ALICE, name, many)
    assert world.refuses("Secrets", "seal_to_prekeys", ALICE, name, copies_for(TWO)) is errors.TooManyCopies
    world.check()


# Who gets the slot.


def test_only_processors_with_a_copy_get_a_slot_and_a_migration_uses_the_next_copy() -> None:
    """The others are turned down with NO_SEALED_SECRETS; a processor that lost its lease has no copy left."""
    world = secret_world()
    publish(world, ONE, TWO)
    job = provided(world, Sealing.PREKEYS)
    seal_to(world, job, ONE, TWO)
    world.slots(3)
    world.propose(job, THREE)
    assert world.jobs.rejections.get(job)[Reason.NO_SEALED_SECRETS.value] == 1
    acknowledged(world, job, ONE)
    copy = world.secrets.copy_at(job, 0, 0)
    assert copy is not None
    assert (copy.processor, copy.key) == (ONE, prekey(ONE))
    world.until(lambda: world.slot(job, 0).generation == 1)
    assert not world.secrets.may_open(job, ONE)
    world.until(lambda: world.slot(job, 0).state is SlotState.OFFERED)
    assert world.slot(job, 0).processor == TWO
    assert world.slot(job, 0).sealed
    copy = world.secrets.copy_at(job, 0, 1)
    assert copy is not None
    assert copy.key == prekey(TWO)
    world.acknowledge(job, 0, prekey(TWO))
    world.run(job, 0, 0)
    assert world.execution(job, 0, 0).state is ExecutionState.ACCEPTED
    world.check()


def test_copies_for_named_processors_follow_their_offers() -> None:
    """Offered in the call that registers, sealed to in the next one: the copy counts for that generation."""
    world = secret_world(2)
    publish(world, ONE, TWO, count=2)
    named = types.Single((types.InstantMatch(ONE, 0),))
    job = world.register(spec=secret_spec(world, Sealing.PREKEYS, assignment=named))
    assert (world.slot(job, 0).processor, world.slot(job, 0).sealed) == (ONE, False)
    world.call("Secrets", "provide", ALICE, world.job(job).id_hash, VALUES)
    seal_to(world, job, TWO, ONE)
    assert world.slot(job, 0).sealed
    more = copies_for(ONE, number=1)
    world.call("Secrets", "seal_to_prekeys", ALICE, world.job(job).id_hash, more)
    assert [copy.place for copy in world.secrets.copies.get(job)] == [None, Place(0, 0), None]
    world.check()


# Serving.


def test_the_owner_seals_to_the_key_of_the_acknowledgment() -> None:
    """Only the owner, only to the present generation of an acknowledged slot; the copy names processor and key."""
    world = secret_world(2)
    job = provided(world)
    assert world.refuses("Secrets", "seal", ALICE, job, 0, 0, SEALED) is job_errors.NotAcknowledged
    acknowledged(world, job, ONE)
    assert world.slot(job, 0).key == KEY
    assert world.refuses("Secrets", "seal", BOB, job, 0, 0, SEALED) is job_errors.NotOwner
    assert world.refuses("Secrets", "seal", ALICE, job, 1, 0, SEALED) is job_errors.SlotNotFound
    assert world.refuses("Secrets", "seal", ALICE, job, 0, 1, SEALED) is job_errors.StaleGeneration
    assert world.refuses("Secrets", "seal", ALICE, 99, 0, 0, SEALED) is job_errors.JobNotFound
    world.call("Secrets", "seal", ALICE, job, 0, 0, SEALED)
    copy = world.secrets.copy_at(job, 0, 0)
    assert copy is not None
    assert (copy.processor, copy.key, copy.sealed, copy.place) == (ONE, KEY, SEALED, Place(0, 0))
    assert world.slot(job, 0).sealed
    world.check()


def test_a_job_with_secrets_is_acknowledged_with_a_key_and_forgets_it_with_the_slot() -> None:
    """Without a key KeyMismatch; after a loss the next generation has neither key nor copy."""
    world = secret_world(2)
    job = provided(world)
    world.slots(3)
    world.propose(job, ONE)
    world.until_slot(job, 0, SlotState.OFFERED)
    assert world.refuses("Jobs", "acknowledge", ONE, job, 0, 0, None) is job_errors.KeyMismatch
    world.acknowledge(job, 0, KEY)
    world.call("Secrets", "seal", ALICE, job, 0, 0, SEALED)
    world.until(lambda: world.slot(job, 0).generation == 1)
    assert world.slot(job, 0).key is None
    assert not world.slot(job, 0).sealed
    assert world.secrets.copy_at(job, 0, 1) is None
    world.check()


def test_the_key_goes_to_a_bounded_number_of_acknowledgments() -> None:
    """One per slot and two to spare; sealing the same one anew is not counted again."""
    world = secret_world(5)
    retry = replace(types.RETRY_DEFAULT, lost_max=5, initial_ms=1_000, max_ms=1_000)
    job = provided(world, retry=retry)
    for generation in range(4):
        world.until_slot(job, 0, SlotState.OFFERED)
        world.acknowledge(job, 0, KEY)
        outcome = world.refuses("Secrets", "seal", ALICE, job, 0, generation, SEALED)
        assert outcome is (errors.ExposuresUsedUp if generation == 3 else None)
        if generation < 3:
            assert world.refuses("Secrets", "seal", ALICE, job, 0, generation, SEALED) is None
            world.until_slot(job, 0, SlotState.VACANT)
        world.check()


def test_an_execution_whose_secrets_never_come_is_nobodys_fault_but_the_owners() -> None:
    """SecretsUnavailable at the start's deadline: no fine, no debit, the slot stays; the job fails with that reason."""
    world = secret_world(1)
    retry = replace(types.RETRY_DEFAULT, attempts_max=2, initial_ms=1_000)
    job = provided(world, retry=retry, processors=types.Public(0, attested_only=False))
    acknowledged(world, job, ONE)
    score = world.reputation.score(ONE, types.RuntimeKind.WASM)
    world.until(lambda: world.job(job).end is not None)
    assert world.job(job).end == JobFailed(SecretsUnavailable())
    assert [event.failure for event in world.events(AttemptFailed)] == [SecretsUnavailable()] * 2
    assert world.slot(job, 0).generation == 0
    assert world.balances.total(ONE) == 10_000 * HDL
    assert world.reputation.score(ONE, types.RuntimeKind.WASM) == score
    world.check()


def test_secrets_that_come_late_leave_time_to_start() -> None:
    """The deadline of what waits counts anew from the copy, once; who then does not start has lost the lease."""
    world = secret_world(1)
    job = provided(world)
    acknowledged(world, job, ONE)
    world.until(lambda: 0 in world.slot(job, 0).live)
    deadline = world.execution(job, 0, 0).deadline
    world.until(lambda: world.agenda.now() == deadline - 1)
    world.call("Secrets", "seal", ALICE, job, 0, 0, SEALED)
    later = world.execution(job, 0, 0).deadline
    assert later > deadline + 50
    world.slots(10)
    world.call("Secrets", "seal", ALICE, job, 0, 0, SEALED)
    assert world.execution(job, 0, 0).deadline == later
    world.until(lambda: world.slot(job, 0).generation == 1)
    assert world.balances.total(ONE) < 10_000 * HDL
    world.check()


def test_a_copy_that_does_not_open_may_be_reported_without_blame_or_pay() -> None:
    """SecretsUnavailable is reportable and earns no error share, unlike the script's own failure."""
    for what, paid in ((SecretsUnavailable(), False), (AppError(1), True)):
        world = secret_world(1)
        job = provided(world, retry=replace(types.RETRY_DEFAULT, attempts_max=1))
        acknowledged(world, job, ONE)
        world.call("Secrets", "seal", ALICE, job, 0, 0, SEALED)
        world.run(job, 0, 0, failure(what))
        assert world.job(job).end == JobFailed(what)
        assert (world.balances.total(ONE) > 10_000 * HDL) is paid
        world.check()


# Values and deposits.


def test_values_are_given_once_by_the_owner_of_a_live_job_with_an_environment() -> None:
    """Each other case has its error, and nothing is stored."""
    world = secret_world()
    plain = world.register()
    job = world.register(spec=secret_spec(world, Sealing.SERVED))
    name = world.job(job).id_hash
    assert world.refuses("Secrets", "provide", ALICE, bytes(32), VALUES) is job_errors.JobNotFound
    assert world.refuses("Secrets", "provide", ALICE, world.job(plain).id_hash, VALUES) is errors.NoSecrets
    assert world.refuses("Secrets", "provide", BOB, name, VALUES) is job_errors.NotOwner
    assert world.refuses("Secrets", "seal", ALICE, job, 0, 0, SEALED) is errors.NotProvided
    assert world.refuses("Secrets", "seal_to_prekeys", ALICE, name, copies_for(ONE)) is errors.WrongSealing
    world.call("Secrets", "provide", ALICE, name, VALUES)
    assert world.refuses("Secrets", "provide", ALICE, name, VALUES) is errors.AlreadyProvided
    world.call("Jobs", "cancel", ALICE, job)
    assert world.refuses("Secrets", "provide", ALICE, name, VALUES) is job_errors.JobEnded
    waiting = world.register(spec=secret_spec(world, Sealing.PREKEYS))
    name = world.job(waiting).id_hash
    assert world.refuses("Secrets", "seal_to_prekeys", ALICE, name, copies_for(ONE)) is errors.NotProvided
    world.call("Secrets", "provide", ALICE, name, VALUES)
    assert world.refuses("Secrets", "seal_to_prekeys", ALICE, name, ()) is errors.NoCopies
    assert world.refuses("Secrets", "seal_to_prekeys", BOB, name, copies_for(ONE)) is job_errors.NotOwner
    world.check()


@pytest.mark.parametrize("end", ["cancelled", "done"])
def test_nothing_of_the_secrets_outlives_the_job(end: str) -> None:
    """Values, copies and the deposit are gone in the block in which the job ends; one-time keys stay used."""
    world = secret_world()
    publish(world, ONE, TWO)
    before = world.balances.total(ALICE), world.balances.held(ALICE, HoldReason.SECRETS)
    job = provided(world, Sealing.PREKEYS)
    seal_to(world, job, ONE, TWO)
    held = world.balances.held(ALICE, HoldReason.SECRETS)
    assert held == DEPOSIT_PER_BYTE * len(VALUES) + 2 * COPY_DEPOSIT
    world.slots(3)
    world.propose(job, ONE)
    world.until_slot(job, 0, SlotState.OFFERED)
    world.acknowledge(job, 0, prekey(ONE))
    if end == "done":
        world.run(job, 0, 0)
    else:
        world.call("Jobs", "cancel", ALICE, job)
    assert world.balances.held(ALICE, HoldReason.SECRETS) == 0
    assert [event.job for event in world.events(SecretsRemoved)] == [job]
    for item in (world.secrets.bundles, world.secrets.values, world.secrets.copies):
        assert list(item.items()) == []
    assert world.secrets.prekeys.get(ONE) == world.secrets.prekeys.get(TWO) == ()
    assert before[0] >= world.balances.total(ALICE)
    world.check()


def test_a_declined_offer_uses_its_copy_up() -> None:
    """A copy is for one offer: the processor, out of this job, is asked no more, the other one is."""
    world = secret_world(2)
    publish(world, ONE, TWO)
    job = provided(world, Sealing.PREKEYS)
    seal_to(world, job, ONE, TWO)
    world.slots(3)
    world.propose(job, ONE)
    world.until_slot(job, 0, SlotState.OFFERED)
    world.call("Jobs", "decline", ONE, job, 0, 0, Declined())
    assert [copy.place for copy in world.secrets.copies.get(job)] == [Place(0, 0), None]
    world.until_slot(job, 0, SlotState.OFFERED)
    assert world.slot(job, 0).processor == TWO
    world.check()


@pytest.mark.parametrize("mode", [types.Adaptive(), types.Reexecution(600_000)])
def test_where_others_repeat_runs_there_are_no_secrets(mode: types.Verification) -> None:
    """Audits, challengers and juries would have to read them: refused at registration."""
    world = secret_world(1)
    spec = secret_spec(world, Sealing.SERVED, verification=mode)
    assert world.refuses("Jobs", "register", ALICE, spec) is job_errors.SecretsNotAllowed
    known = replace(spec, processors=types.Known((ONE,)), environment=types.Environment((TAG,), Sealing.SERVED))
    assert world.refuses("Jobs", "register", ALICE, known) is job_errors.SecretsNotAllowed


def test_a_fallback_needs_secrets_of_its_own() -> None:
    """The copy for a failed job's processor is none for that of its fallback, who is not fined for having none."""
    world = secret_world()
    job = provided(world, Sealing.SERVED, slots=1, fallback=types.Fallback(SCRIPT, types.RuntimeKind.PYTHON, "second"))
    world.slots(3)
    world.propose(job, ONE)
    world.until(lambda: not world.job(job).vacant)
    world.acknowledge(job, 0, KEY)
    world.call("Secrets", "seal", ALICE, job, 0, world.slot(job, 0).generation, SEALED)
    world.run(job, 0, 0, failure(ScriptInvalid()))
    assert world.job(job).fell_back
    assert not world.slot(job, 0).sealed
    world.slots(3)
    world.propose(job, TWO)
    world.until(lambda: not world.job(job).vacant)
    before = world.balances.total(TWO)
    world.acknowledge(job, 0, KEY)
    world.slots(120)
    assert world.balances.total(TWO) == before
