"""What `register` refuses: each field at its bounds and past them, one error per rule, nothing changed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pallets.escrow.errors import DepositNotAvailable
from pallets.jobs import bounds, destinations, errors, types
from pallets.jobs.errors import Field, NotYetSupported, OutOfBounds
from pallets.jobs.records import JobState
from runtime.errors import PalletError
from runtime.pallet import Signed
from tests.helpers.job_world import ALICE, BOB, HDL, PROCESSORS, SCRIPT, World, account

Change = Callable[[types.JobSpec], types.JobSpec]
TAG = b"sixteen bytes  !"
BLOB = types.Blob(SCRIPT.cid, 100)
FALLBACK = types.Fallback(SCRIPT, types.RuntimeKind.WASM, "")


def field(**changes: Any) -> Change:
    """Replace fields of the specification."""
    return lambda spec: replace(spec, **changes)


def part(name: str, **changes: Any) -> Change:
    """Replace fields of a part of the specification."""
    return lambda spec: replace(spec, **{name: replace(getattr(spec, name), **changes)})


def sealed(names: tuple[bytes, ...], hidden: tuple[bytes, ...] = (), *, public: bool = True) -> Change:
    """Give the job an environment; `hidden` are the names that the script never sees."""
    environment = types.Environment(names, types.Sealing.SERVED, public)
    capabilities = replace(types.NO_CAPABILITIES, secrets=hidden)
    return field(environment=environment, capabilities=capabilities)


def later(name: str, milliseconds: int) -> Change:
    """Set a time of the schedule relative to its start."""
    return lambda spec: replace(spec, schedule=replace(spec.schedule, **{name: spec.schedule.start_ms + milliseconds}))


def many(count: int, slots: int) -> Change:
    """A schedule of `count` executions, 2 ms apart."""
    return lambda spec: replace(
        spec,
        slots=slots,
        schedule=types.Schedule(spec.schedule.start_ms, spec.schedule.start_ms + (count - 1) * 2 + 1, 2, 1, 60_000),
    )


def fetching(**changes: Any) -> Change:
    """A job that may fetch, so that honest processors may differ."""
    return lambda spec: replace(spec, capabilities=replace(spec.capabilities, fetch_hosts=("example.org",)), **changes)


def signing(verification: types.Verification) -> Change:
    """A job that may sign, in a mode."""
    return lambda spec: replace(spec, capabilities=replace(spec.capabilities, sign=True), verification=verification)


def twice(verification: types.Verification) -> Change:
    """A job of two executions, a minute apart."""
    return lambda spec: replace(
        spec, schedule=replace(spec.schedule, end_ms=spec.schedule.start_ms + 60_001), verification=verification
    )


NOT_YET: list[tuple[Field, Change]] = [
    (Field.RUNTIME, field(runtime=types.RuntimeKind.CONTAINER)),
    (Field.INPUT, field(input=types.UpstreamInput(3))),
    (Field.ATTESTATION, field(processors=types.Public(0, attested_only=True))),
    (Field.DESTINATIONS, field(destinations=(destinations.Ethereum(1, bytes(20), 100_000),))),
    (Field.DESTINATIONS, field(destinations=(destinations.Chain(), destinations.Ipfs("http://127.0.0.1:5001")))),
    (Field.GAS, field(gas_per_delivery=1)),
    (Field.VERIFICATION, field(verification=types.Attested())),
    (Field.VERIFICATION, field(verification=types.Proof(b"key"))),
]

PAST: list[tuple[Field, Change]] = [
    (Field.INTERVAL, part("schedule", interval_ms=0)),
    (Field.INTERVAL, part("schedule", interval_ms=bounds.HORIZON_MS + 1)),
    (Field.DURATION, part("schedule", duration_ms=0)),
    (Field.DURATION, part("schedule", duration_ms=bounds.DURATION_MS_MAX + 1)),
    (Field.START_DELAY, part("schedule", start_delay_max_ms=bounds.START_DELAY_MS_MAX + 1)),
    (Field.MEMORY, part("resources", memory_bytes=bounds.MEMORY_BYTES_MIN - 1)),
    (Field.MEMORY, part("resources", memory_bytes=bounds.MEMORY_BYTES_MAX + 1)),
    (Field.STORAGE, part("resources", storage_bytes=bounds.STORAGE_BYTES_MAX + 1)),
    (Field.NETWORK_REQUESTS, part("resources", network_requests=bounds.NETWORK_REQUESTS_MAX + 1)),
    (Field.FUEL, part("resources", fuel=0)),
    (Field.FUEL, part("resources", fuel=bounds.FUEL_MAX + 1)),
    (Field.OUTPUT, part("resources", output_bytes=bounds.OUTPUT_BYTES_MAX + 1)),
    (Field.REWARD, field(reward=bounds.REWARD_MAX + 1)),
    (Field.ACCEPTED_MIN, field(accepted_min=0)),
    (Field.ACCEPTED_MIN, field(accepted_min=3)),
    (Field.ATTEMPTS, part("retry", attempts_max=0)),
    (Field.ATTEMPTS, part("retry", attempts_max=bounds.ATTEMPTS_MAX + 1)),
    (Field.LOST, part("retry", lost_max=bounds.LOST_MAX + 1)),
    (Field.BACKOFF, part("retry", initial_ms=bounds.BACKOFF_MS_MAX + 1)),
    (Field.BACKOFF, part("retry", max_ms=bounds.BACKOFF_MS_MAX + 1)),
    (Field.BACKOFF, part("retry", denominator=0)),
    (Field.BACKOFF, part("retry", numerator=1, denominator=2)),
    (Field.BACKOFF, part("retry", numerator=bounds.BACKOFF_TERM_MAX + 1)),
    (Field.ACKNOWLEDGE, part("timeouts", acknowledge_slots=bounds.ACKNOWLEDGE_SLOTS_MIN - 1)),
    (Field.ACKNOWLEDGE, part("timeouts", acknowledge_slots=bounds.ACKNOWLEDGE_SLOTS_MAX + 1)),
    (Field.QUEUE_TIME, part("timeouts", queue_ms=bounds.QUEUE_MS_MIN - 1)),
    (Field.QUEUE_TIME, part("timeouts", queue_ms=bounds.QUEUE_MS_MAX + 1)),
    (Field.INPUT, field(input=types.PartsInput((BLOB, BLOB)))),
    (Field.INPUT, field(input=types.PartsInput(()))),
    (Field.PREEMPTION, field(queue=types.Queue(preemptible=True), verification=types.Quorum(2))),
    (Field.FALLBACK, field(fallback=types.Fallback(SCRIPT, types.RuntimeKind.CONTAINER, ""))),
    (Field.FALLBACK, field(fallback=types.Fallback(SCRIPT, types.RuntimeKind.WASM, "m" * 64 + "n"))),
    (Field.FALLBACK, field(fallback=FALLBACK, input=types.PartsInput((BLOB,)))),
    (Field.ASSIGNMENT, field(assignment=types.Competing(), verification=types.Quorum(2))),
    (Field.ASSIGNMENT, field(assignment=types.Competing(), queue=types.Queue(lane=types.Lane("builds", 1)))),
    (Field.LANE, field(queue=types.Queue(lane=types.Lane("builds", 0)))),
    (Field.LANE, field(queue=types.Queue(lane=types.Lane("builds", bounds.LANE_CONCURRENCY_MAX + 1)))),
    (Field.LANE, field(queue=types.Queue(lane=types.Lane("", 1)))),
    (Field.INSTANT_MATCH, field(assignment=types.Single((types.InstantMatch(PROCESSORS[0], 0),)))),
    (Field.INSTANT_MATCH, field(assignment=types.Single((types.InstantMatch(PROCESSORS[0], 0),) * 2))),
    (Field.INSTANT_MATCH, field(slots=1, assignment=types.Single((types.InstantMatch(PROCESSORS[0], 60_001),)))),
    (Field.PRIORITY, field(queue=types.Queue(priority=bounds.PRIORITY_MAX + 1))),
    (Field.REPUTATION, field(processors=types.Public(1_000_001, attested_only=False))),
    (Field.DESTINATIONS, field(destinations=(destinations.Webhook("ftp://example.org"),))),
    (Field.ENVIRONMENT, sealed(())),
    (Field.ENVIRONMENT, sealed((TAG, TAG))),
    (Field.SECRETS, part("capabilities", secrets=(TAG,))),
    (Field.SECRETS, sealed((TAG,), (bytes(16),))),
    (Field.SECRETS, sealed((TAG,), (TAG, TAG))),
    (Field.STAKE_MULTIPLE, field(stake_multiple=bounds.STAKE_MULTIPLE_MIN - 1)),
    (Field.STAKE_MULTIPLE, field(stake_multiple=bounds.STAKE_MULTIPLE_MAX + 1)),
    (Field.VERIFICATION, field(verification=types.Quorum(1))),
    (Field.VERIFICATION, field(verification=types.Quorum(3))),
    (Field.VERIFICATION, field(slots=16, verification=types.Quorum(9))),
    (Field.VERIFICATION, signing(types.Quorum(2))),
    (Field.VERIFICATION, field(slots=8, verification=types.Credibility(1))),
    (Field.VERIFICATION, field(slots=8, verification=types.Credibility(bounds.TRUST_MAX + 1))),
    (Field.VERIFICATION, fetching(slots=1, verification=types.Adaptive())),
    (Field.VERIFICATION, field(slots=1, verification=types.Reexecution(2 * 10_000 + bounds.REEXECUTION_MS_MIN - 1))),
    (Field.VERIFICATION, field(verification=types.OwnerAccept(bounds.WINDOW_MS_MIN - 1))),
    (Field.VERIFICATION, field(verification=types.OwnerAccept(bounds.WINDOW_MS_MAX + 1))),
    (Field.VERIFICATION, fetching(verification=types.OwnerAccept(60_000))),
    (Field.VERIFICATION, twice(types.OwnerAccept(bounds.WINDOW_INTERVALS_MAX * 60_000 + 1))),
]

RULES: list[tuple[type[PalletError], Change]] = [
    (errors.EndBeforeStart, later("end_ms", 0)),
    (errors.EndBeforeStart, later("end_ms", -1)),
    (errors.DurationPastInterval, part("schedule", interval_ms=10_000)),
    (errors.DurationPastInterval, part("schedule", interval_ms=9_999)),
    (errors.SecretsNotAllowed, sealed((TAG,), public=False)),
    (errors.SecretsNotAllowed, lambda spec: sealed((TAG,))(field(assignment=types.Competing())(spec))),
    (errors.SlotsOutOfBounds, field(slots=0)),
    (errors.SlotsOutOfBounds, field(slots=65)),
    (errors.SlotsOutOfBounds, field(slots=7, verification=types.Credibility(2))),
    (errors.SlotsOutOfBounds, field(verification=types.Adaptive())),
    (errors.SlotsOutOfBounds, field(verification=types.Reexecution(200_000))),
    (errors.UnknownScript, field(script=types.Blob(b"", 10))),
    (errors.UnknownScript, field(script=types.Blob(SCRIPT.cid[:-1], 10))),
    (errors.UnknownScript, field(script=types.Blob(b"\x01\x70\x12\x20" + bytes(32), 10))),
    (errors.ScriptSizeOutOfBounds, field(script=replace(SCRIPT, size=0))),
    (errors.ScriptSizeOutOfBounds, field(script=replace(SCRIPT, size=bounds.SCRIPT_BYTES_MAX + 1))),
    (errors.InputNotFound, field(input=types.BlobInput(types.Blob(b"\x12\x20" + bytes(32), 10)))),
    (errors.InputNotFound, field(input=types.BlobInput(replace(BLOB, size=bounds.BLOB_BYTES_MAX + 1)))),
    (errors.InputNotFound, field(input=types.PartsInput((types.Blob(b"", 10),)))),
    (errors.StartMissed, part("schedule", start_ms=0, end_ms=1)),
    (errors.EndPastHorizon, later("end_ms", bounds.HORIZON_MS)),
    (errors.TooManyExecutions, many(bounds.EXECUTIONS_MAX + 1, 1)),
    (errors.TooManyExecutions, many(50_001, 20)),
    (errors.RewardMissing, field(reward=0)),
    (errors.RewardNotAllowed, field(processors=types.Personal(PROCESSORS))),
    (errors.ProcessorsListed, field(processors=types.Known(()))),
    (errors.ProcessorsListed, field(processors=types.Known(PROCESSORS[:1]))),
    (errors.ProcessorsListed, field(processors=types.Known((*PROCESSORS, PROCESSORS[0])))),
]

ALLOWED: list[Change] = [
    field(runtime=types.RuntimeKind.PYTHON),
    field(input=types.InlineInput(bytes(bounds.INLINE_BYTES_MAX))),
    field(input=types.BlobInput(replace(BLOB, size=bounds.BLOB_BYTES_MAX))),
    field(input=types.PartsInput((BLOB,))),
    field(mutability=types.Editor(BOB)),
    field(queue=types.Queue(preemptible=True)),
    field(assignment=types.Competing()),
    field(fallback=types.Fallback(SCRIPT, types.RuntimeKind.PYTHON, "m" * 64)),
    field(script=replace(SCRIPT, size=bounds.SCRIPT_BYTES_MAX)),
    field(slots=1),
    field(slots=64),
    field(processors=types.Known(PROCESSORS[:2]), reward=0),
    field(processors=types.Personal(PROCESSORS), reward=0),
    field(processors=types.Public(1_000_000, attested_only=False)),
    part("schedule", interval_ms=10_001),
    part("schedule", interval_ms=bounds.HORIZON_MS),
    part("schedule", duration_ms=bounds.DURATION_MS_MAX, interval_ms=bounds.DURATION_MS_MAX + 1),
    part("schedule", start_delay_max_ms=bounds.START_DELAY_MS_MAX),
    many(1_000, 2),
    field(accepted_min=1),
    field(accepted_min=2),
    part("retry", attempts_max=1, lost_max=0),
    part("retry", attempts_max=bounds.ATTEMPTS_MAX, lost_max=bounds.LOST_MAX),
    part("retry", numerator=1, denominator=1),
    field(queue=types.Queue(priority=bounds.PRIORITY_MAX)),
    field(queue=types.Queue(lane=types.Lane("b" * bounds.LABEL_BYTES_MAX, bounds.LANE_CONCURRENCY_MAX))),
    part("timeouts", acknowledge_slots=bounds.ACKNOWLEDGE_SLOTS_MIN, queue_ms=bounds.QUEUE_MS_MIN),
    part("timeouts", acknowledge_slots=bounds.ACKNOWLEDGE_SLOTS_MAX, queue_ms=bounds.QUEUE_MS_MAX),
    part("resources", memory_bytes=bounds.MEMORY_BYTES_MAX, fuel=bounds.FUEL_MAX, storage_bytes=0),
    field(destinations=(destinations.Chain(), destinations.Webhook("https://example.org/hook"))),
    field(destinations=()),
    field(stake_multiple=bounds.STAKE_MULTIPLE_MIN),
    field(stake_multiple=bounds.STAKE_MULTIPLE_MAX),
    field(verification=types.Quorum(2)),
    field(slots=15, verification=types.Quorum(8)),
    field(slots=8, verification=types.Credibility(bounds.TRUST_MAX)),
    field(slots=1, verification=types.Adaptive()),
    fetching(slots=1, verification=types.Reexecution(2 * 10_000 + bounds.REEXECUTION_MS_MIN)),
    field(verification=types.OwnerAccept(bounds.WINDOW_MS_MAX)),
    fetching(processors=types.Known(PROCESSORS), verification=types.OwnerAccept(60_000)),
    twice(types.OwnerAccept(bounds.WINDOW_INTERVALS_MAX * 60_000)),
]


def refusal(world: World, spec: types.JobSpec, who: bytes = ALICE) -> PalletError:
    """The error that registration ends with; nothing has changed by it."""
    mark = world.state.mark()
    with pytest.raises(PalletError) as caught:
        world.runtime.dispatch_in_layer(world.runtime.definition("Jobs", "register")(spec), Signed(who))
    assert world.state.mark() == mark
    world.check()
    return caught.value


@pytest.mark.parametrize(("name", "change"), NOT_YET)
def test_values_of_later_rules_are_refused_by_name(name: Field, change: Change) -> None:
    """NotYetSupported carries the field in its detail byte."""
    world = World()
    error = refusal(world, change(world.spec()))
    assert isinstance(error, NotYetSupported)
    assert error.detail == name


@pytest.mark.parametrize(("name", "change"), PAST)
def test_each_field_past_its_bound_is_refused_by_name(name: Field, change: Change) -> None:
    """OutOfBounds carries the field in its detail byte."""
    world = World()
    error = refusal(world, change(world.spec()))
    assert isinstance(error, OutOfBounds)
    assert error.detail == name


@pytest.mark.parametrize(("kind", "change"), RULES)
def test_each_rule_has_its_own_error(kind: type[PalletError], change: Change) -> None:
    """The error is the rule's own."""
    world = World()
    assert type(refusal(world, change(world.spec()))) is kind


@pytest.mark.parametrize("change", ALLOWED)
def test_each_field_at_its_bound_is_accepted(change: Change) -> None:
    """A job with the extreme value is open and its deposit held."""
    world = World(balance=10**24)
    job = world.register(ALICE, change(world.spec()))
    assert world.job(job).state is JobState.OPEN
    world.check()


def test_a_deposit_that_cannot_be_locked_is_refused() -> None:
    """The payer keeps the existential deposit; one planck less free and the job is refused."""
    world = World()
    poor = account("poor")
    spec = world.spec()
    probe = world.register(ALICE, spec)
    needed = world.escrow.ledgers.get(probe).deposited + world.balances.existential_deposit
    world.balances.issue(poor, needed - 1)
    assert isinstance(refusal(world, spec, poor), DepositNotAvailable)
    world.balances.issue(ALICE, HDL)
    world.balances.transfer(ALICE, poor, 1, keep_alive=True)
    world.register(poor, spec)
    assert world.balances.free(poor) == world.balances.existential_deposit


def test_the_deposit_is_the_sum_of_its_pots() -> None:
    """H = U·S·N + error share·attempts·S·N + friction + storage, with shares rounded up for U."""
    world = World()
    job = world.register(ALICE, many(5, 3)(world.spec(reward=1_000_000_000_007)))
    pots = world.escrow.ledgers.get(job).pots
    unit = 1_000_000_000_007 + 2 * 20_000_000_001
    assert pots.reward == unit * 15
    assert pots.error == 100_000_000_000 * 3 * 15
    assert pots.friction == HDL + 10**7 * 15
    assert pots.total() == world.escrow.ledgers.get(job).deposited


def test_a_jobs_hash_depends_on_owner_sequence_and_specification() -> None:
    """The same specification twice gives two hashes, each found again by `JobByHash`."""
    world = World()
    spec = world.spec()
    ids = [world.register(ALICE, spec), world.register(ALICE, spec), world.register(BOB, spec)]
    hashes = [world.job(job).id_hash for job in ids]
    assert len(set(hashes)) == 3
    assert [world.jobs.job_by_hash.get(one) for one in hashes] == ids


def test_an_owner_has_a_bounded_number_of_live_jobs() -> None:
    """The next one is refused until one of them ends."""
    world = World()
    job = world.register(ALICE, world.spec())
    world.jobs.owner_live.put(ALICE, bounds.OPEN_JOBS_PER_OWNER_MAX)
    with pytest.raises(errors.TooManyOpenJobs):
        world.register(ALICE, world.spec())
    world.call("Jobs", "cancel", ALICE, job)
    world.register(ALICE, world.spec())


def test_a_start_that_just_passed_is_accepted_while_its_delay_lasts() -> None:
    """A transaction may take a few slots to be included."""
    world = World()
    now = world.system.now_ms
    soon = types.Schedule(now - 30_000, now - 29_999, 60_000, 10_000, 30_001)
    world.register(ALICE, world.spec(schedule=soon))
    with pytest.raises(errors.StartMissed):
        world.register(ALICE, world.spec(schedule=replace(soon, start_delay_max_ms=30_000)))
