"""The defects that reference/acurast.md found in the closest system, one test each: here they are not.

What the reference calls a defect is the name of its test. Scores' vectors are in test_reputation.py.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pallets.balances import HoldReason
from pallets.escrow.types import PAYABLE_ACCOUNT
from pallets.jobs import types
from pallets.jobs.events import AttemptFailed, SlotVacated
from pallets.jobs.failure import AckTimeout, AppError, NodeLost
from pallets.jobs.queries import open_jobs
from pallets.jobs.records import ExecutionState, JobCancelled, JobFailed, JobState, JobSucceeded, SlotState
from pallets.jobs.report import Succeeded
from pallets.jobs.types import RuntimeKind
from pallets.juries.types import Stage
from pallets.matching.types import Reason
from pallets.processors.calendar import Capacity
from pallets.processors.types import FREE
from pallets.reputation import NEW, succeed, weight_of
from pallets.secrets import errors as secret_errors
from pallets.verification.events import JuryCalled
from tests.helpers.job_world import ALICE, HDL, MATCHER, PARAMETERS, PROCESSORS, SALT, World, account, failure
from tests.helpers.secret_jobs import KEY, copies_for, provided, publish, seal_to, secret_world

ONE, TWO, THREE = PROCESSORS[:3]
WASM = RuntimeKind.WASM
NEWCOMER_PPM = 509_803


def ready(processors: int = 3, **advert: Any) -> World:
    """Processors that advertise."""
    world = World()
    for processor in PROCESSORS[:processors]:
        world.offer_capacity(processor, world.advert(**advert))
    return world


def turned_down(world: World, job: int) -> Reason:
    """Why the chain's own search did not give the job away, in ten slots."""
    world.slots(10)
    assert world.slot(job, 0).state is SlotState.VACANT
    counts = world.jobs.rejections.get(job)
    (reason,) = [Reason(number) for number, count in enumerate(counts) if count and Reason(number) not in EARLY]
    return reason


EARLY = (Reason.NOT_DRAWN,)
"""Before its draw is known nobody is eligible."""


# Matching.


@pytest.mark.parametrize("capacity", [Capacity((1 << 28) - 1, 1 << 30, 4), Capacity(1 << 30, (1 << 20) - 1, 4)])
def test_memory_and_storage_are_not_enforced(capacity: Capacity) -> None:
    """A byte too little of either, and the processor does not get the job."""
    world = ready(1, capacity=capacity)
    assert turned_down(world, world.register(spec=world.spec(slots=1))) is Reason.CALENDAR


def test_memory_of_two_jobs_together_is_not_enforced() -> None:
    """Each fits alone; what the first has reserved, the second cannot have."""
    world = ready(1, capacity=Capacity(3 << 27, 1 << 30, 4))
    first, second = (world.register(spec=world.spec(slots=1)) for _ in range(2))
    world.slots(8)
    states = [world.slot(job, 0).state for job in (first, second)]
    assert sorted(states, key=lambda state: state.value) == [SlotState.VACANT, SlotState.OFFERED]
    assert world.jobs.rejections.get(second if states[1] is SlotState.VACANT else first)[Reason.CALENDAR.value]


def test_the_start_delay_is_not_enforced() -> None:
    """A start after the allowed delay is refused: the attempt is lost to it and has gone back to matching."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    late = world.system.now_ms + 5_000 + 60_000 + 9_000
    world.until(lambda: world.system.now_ms > late)
    assert world.refuses("Jobs", "started", ONE, job, 0, 0, 0, 1) is not None
    assert world.events(AttemptFailed)[0].failure == NodeLost()
    assert world.slot(job, 0).generation == 1


def test_the_freshness_of_heartbeats_is_not_enforced() -> None:
    """A processor that has been silent for too long gets nothing until it speaks again."""
    world = World({**PARAMETERS, "matching": {**PARAMETERS["matching"], "heartbeatSlotsMax": 5}})
    world.offer_capacity(ONE)
    world.slots(6)
    job = world.register(spec=world.spec(slots=1))
    assert turned_down(world, job) is Reason.SILENT
    world.call("Processors", "heartbeat", ONE, 1)
    world.slots(3)
    assert world.slot(job, 0).processor == ONE


def test_an_unacknowledged_slot_is_never_matched_again() -> None:
    """It goes to another processor by itself, and the job is done."""
    world = ready(2)
    job = world.register(spec=world.spec(slots=1))
    world.until_slot(job, 0, SlotState.OFFERED)
    silent = world.slot(job, 0).processor
    world.until(lambda: bool(world.events(SlotVacated)))
    assert world.events(SlotVacated)[0].reason == AckTimeout()
    world.until_slot(job, 0, SlotState.OFFERED)
    assert world.slot(job, 0).processor not in (silent, None)
    world.acknowledge(job, 0)
    world.run(job, 0, 0)
    assert world.job(job).end == JobSucceeded()
    world.check()


def test_a_device_runs_one_job_at_a_time() -> None:
    """Four cores run four jobs in the same seconds."""
    world = ready(1)
    jobs = [world.register(spec=world.spec(slots=1)) for _ in range(4)]
    world.until(lambda: all(world.slot(job, 0).processor == ONE for job in jobs))
    for job in jobs:
        world.acknowledge(job, 0)
    for job in jobs:
        world.start(job, 0, 0)
    assert [world.execution(job, 0, 0).state for job in jobs] == [ExecutionState.RUNNING] * 4
    for job in jobs:
        world.report(job, 0, 0)
    assert [world.job(job).end for job in jobs] == [JobSucceeded()] * 4
    world.check()


def test_competing_does_not_compete() -> None:
    """Each execution goes to the best proposal at its time: when somebody becomes cheaper, the next one is his."""
    world = World({**PARAMETERS, "matching": {**PARAMETERS["matching"], "fallbackAfterSlots": 100_000}})
    for processor in (ONE, TWO):
        world.offer_capacity(processor)
    start = world.system.now_ms + 400_000
    schedule = types.Schedule(start, start + 400_001, 400_000, 10_000, 20_000)
    job = world.register(spec=world.spec(slots=1, schedule=schedule, assignment=types.Competing()))
    winners = []
    for execution in range(2):
        world.until(lambda: open_jobs(world.jobs) == [job], 500)
        world.slots(3)
        for processor in (ONE, TWO):
            world.call("Processors", "heartbeat", processor, 1)
            world.propose(job, processor)
        world.until_slot(job, 0, SlotState.OFFERED)
        winners.append(world.slot(job, 0).processor)
        world.acknowledge(job, 0)
        world.until(lambda: bool(world.slot(job, 0).live), 400)
        world.run(job, execution, 0)
        other = TWO if winners[0] == ONE else ONE
        world.call("Processors", "advertise", other, world.advert(pricing=replace(FREE, base=HDL // 10)))
    assert winners == [winners[0], other]
    assert world.job(job).end == JobSucceeded()
    world.check()


# Reputation.


def test_report_k_credits_k_successes_again() -> None:
    """After five reports the record is that of five successes, not of fifteen."""
    world = ready(1, pricing=replace(FREE, base=HDL // 100))
    start = world.system.now_ms + 10_000
    schedule = types.Schedule(start, start + 40_001, 10_000, 2_000, 10_000)
    world.assign(job := world.register(spec=world.spec(slots=1, schedule=schedule)), ONE)
    expected = NEW
    for execution in range(5):
        expected = succeed(expected, weight_of(HDL // 100, world.reputation.average(WASM)))
        world.run(job, execution, 0)
        assert world.reputation.records.get((ONE, WASM)) == expected
    assert world.job(job).end == JobSucceeded()


def test_a_failure_counts_as_a_success_and_is_paid_in_full() -> None:
    """The script's own error earns the tenth of the ask that the effort is worth, and no reputation."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    before = world.balances.total(ONE)
    world.run(job, 0, 0, failure(AppError(1)))
    assert world.balances.total(ONE) == before + HDL // 10
    assert world.reputation.score(ONE, WASM) == NEWCOMER_PPM
    assert world.job(job).accepted == 0


def test_never_reporting_costs_nothing() -> None:
    """A tenth of the ask is burned, and the score falls."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    before, issuance = world.balances.total(ONE), world.balances.total_issuance()
    world.until(lambda: world.slot(job, 0).generation == 1)
    assert world.balances.total(ONE) == before - HDL // 10
    assert world.balances.total_issuance() == issuance - HDL // 10
    assert world.reputation.score(ONE, WASM) < NEWCOMER_PPM


def test_never_acknowledging_costs_nothing() -> None:
    """The second time in a row the advert is suspended, and the score falls."""
    world = ready(1)
    for _ in range(2):
        job = world.register(spec=world.spec(slots=1))
        world.until_slot(job, 0, SlotState.OFFERED)
        world.until_slot(job, 0, SlotState.VACANT)
    assert world.processors.record_of(ONE).suspended
    assert world.reputation.score(ONE, WASM) < NEWCOMER_PPM


def test_correctness_of_the_output_is_never_an_input() -> None:
    """One of three replicas lies: a jury finds it, its bond pays payer and jurors, and its record is forgotten."""
    world = ready()
    jurors = [account(f"juror {number}") for number in range(3)]
    for juror in jurors:
        world.balances.issue(juror, 1_000 * HDL)
        world.offer_capacity(juror)
    world.assign(job := world.register(spec=world.spec(slots=3, verification=types.Quorum(2))), ONE, TWO, THREE)
    truth, lie = world.found(job), world.found(job, output=b"43")
    for slot, outcome in enumerate((truth, truth, lie)):
        world.compute(job, 0, slot, outcome)
    world.slots(4)
    for slot, outcome in enumerate((truth, truth, lie)):
        world.reveal_result(job, 0, slot, outcome)
    judge(world, jurors, truth)
    records = [world.execution(job, slot, 0).state for slot in range(3)]
    assert records == [ExecutionState.ACCEPTED, ExecutionState.ACCEPTED, ExecutionState.REJECTED]
    assert world.balances.total(THREE) == 10_000 * HDL - 24 * HDL
    assert [world.balances.total(juror) for juror in jurors] == [1_002 * HDL] * 3
    assert world.reputation.score(THREE, WASM) < NEWCOMER_PPM < world.reputation.score(ONE, WASM)
    assert [world.reputation.cv(who, WASM) for who in (ONE, TWO, THREE)] == [1, 1, 0]
    world.check()


def judge(world: World, jurors: list[bytes], outcome: Succeeded) -> None:
    """The jury that was called says what the outcome is."""
    (called,) = world.events(JuryCalled)
    world.until(lambda: world.beacon.randomness_at(world.juries.panel(called.panel).draw_block) is not None)
    for juror in jurors:
        world.call("Juries", "claim", juror, called.panel)
    world.until(lambda: world.juries.panel(called.panel).stage is Stage.COMMITTING)
    for juror in jurors:
        commitment = world.outsiders_commitment(called.job, called.execution, outcome, juror)
        world.call("Juries", "commit", juror, called.panel, commitment)
    world.slots(4)
    for juror in jurors:
        world.call("Juries", "reveal", juror, called.panel, outcome, SALT)


# Secrets.


def test_the_consumer_must_be_online_after_the_acknowledgment() -> None:
    """It seals the job's key to one-time keys at registration and leaves; the job gets its processor and is done."""
    world = secret_world()
    publish(world, ONE)
    job = provided(world, types.Sealing.PREKEYS)
    seal_to(world, job, ONE)
    world.slots(3)
    world.propose(job, ONE)
    world.until(lambda: not world.job(job).vacant)
    world.acknowledge(job, 0, KEY)
    assert world.slot(job, 0).sealed
    world.run(job, 0, 0)
    assert world.job(job).end == JobSucceeded()
    world.check()


def test_the_consumers_key_is_reused() -> None:
    """No key serves twice: a one-time key is off its list once something is sealed to it."""
    world = secret_world()
    publish(world, ONE)
    first, second = (provided(world, types.Sealing.PREKEYS) for _ in range(2))
    seal_to(world, first, ONE)
    name = world.job(second).id_hash
    assert world.refuses("Secrets", "seal_to_prekeys", ALICE, name, copies_for(ONE)) is secret_errors.UnknownPrekey
    world.check()


# Escrow.


def test_the_matcher_is_paid_at_the_acknowledgment() -> None:
    """It earns its share with each accepted result, so that an acknowledgment without work pays nobody."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    world.start(job, 0, 0)
    before = world.balances.total(MATCHER)
    assert before == 10_000 * HDL
    world.report(job, 0, 0)
    assert world.balances.total(MATCHER) == before + HDL // 50


def succeeds(world: World, job: int) -> None:
    """The one execution is accepted."""
    world.run(job, 0, 0)


def never_runs(world: World, job: int) -> None:
    """Nobody ever starts it, however often it is matched again."""
    world.until(lambda: world.job(job).state not in (JobState.OPEN, JobState.MATCHED, JobState.ASSIGNED), 3_000)


def always_fails(world: World, job: int) -> None:
    """Three attempts end in the script's own error."""
    for _ in range(3):
        world.run(job, 0, 0, failure(AppError(1)))


def is_cancelled(world: World, job: int) -> None:
    """The owner ends it while it runs."""
    world.start(job, 0, 0)
    world.call("Jobs", "cancel", ALICE, job)


@pytest.mark.parametrize("life", [succeeds, never_runs, always_fails, is_cancelled])
def test_missed_executions_stay_locked_and_refunds_are_lost(life: Callable[[World, int], None]) -> None:
    """However a job ends, nothing stays held, and what was not spent is the payer's again in the same block."""
    world = ready()
    before = world.balances.total(ALICE)
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    life(world, job)
    assert world.job(job).state in (JobState.DONE, JobState.CANCELLED, JobState.EXPIRED)
    ledger = world.escrow.ledgers.get(job)
    assert world.balances.held(ALICE, HoldReason.JOB_ESCROW) == ledger.pots.total() == 0
    assert world.balances.total(ALICE) == before - ledger.paid - ledger.fees
    assert ledger.deposited == ledger.paid + ledger.fees + ledger.refunded
    assert not [bond for _, bond in world.escrow.bonds.items()]
    world.check()


def test_jobs_are_not_finalised_by_themselves() -> None:
    """The last report ends the job: nobody has to call anything, and its end is told."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    world.run(job, 0, 0)
    assert (world.job(job).state, world.job(job).end) == (JobState.DONE, JobSucceeded())
    never = world.register(spec=world.spec(slots=1, processors=types.Known((account("nobody"),))))
    world.until(lambda: world.job(never).state is JobState.EXPIRED, 3_700)


def test_refunds_to_a_payer_with_nothing_else_are_lost() -> None:
    """The deposit is held on the payer's own account, which therefore exists when it comes back."""
    world = ready()
    payer = account("poor payer")
    spec = world.spec(slots=1)
    deposit = world.escrow.ledgers.get(world.register(spec=spec)).deposited
    world.balances.issue(payer, deposit + world.balances.existential_deposit)
    job = world.register(payer, spec)
    assert world.balances.free(payer) == world.balances.existential_deposit
    world.call("Jobs", "cancel", payer, job)
    assert world.job(job).end == JobCancelled()
    assert world.balances.free(payer) == deposit + world.balances.existential_deposit
    world.check()


def test_pay_outs_below_the_minimum_are_lost() -> None:
    """What is too little to open the matcher's account waits for it, and comes with the next share."""
    world = ready(1, pricing=replace(FREE, base=HDL // 4))
    newcomer = account("matcher without an account")
    start = world.system.now_ms + 20_000
    spec = world.spec(slots=1, schedule=types.Schedule(start, start + 10_001, 10_000, 2_000, 8_000))
    job = world.register(spec=spec)
    world.slots(3)
    world.call("Matching", "propose", newcomer, job, (world.placement(0, ONE),))
    world.until_slot(job, 0, SlotState.OFFERED)
    world.acknowledge(job, 0)
    world.run(job, 0, 0)
    share = HDL // 200
    assert world.escrow.payable.get(newcomer) == share < world.balances.existential_deposit
    assert world.balances.free(PAYABLE_ACCOUNT) == share + world.balances.existential_deposit
    world.check()
    world.run(job, 1, 0)
    assert world.balances.free(newcomer) == 2 * share
    world.check()


# What users ask for: "acknowledged, 0 of 1 reports, expired with no reason".


def test_a_job_expires_without_a_reason() -> None:
    """Every failed attempt has its class, and so has the job's end."""
    world = ready()
    spec = world.spec(slots=1, retry=replace(types.RETRY_DEFAULT, lost_max=0))
    world.assign(job := world.register(spec=spec), ONE)
    world.until(lambda: world.job(job).state is JobState.DONE, 400)
    assert world.job(job).end == JobFailed(NodeLost())
    assert world.execution(job, 0, 0).failure == NodeLost()
    assert world.events(AttemptFailed)[-1].failure == NodeLost()


def test_nobody_says_why_a_job_is_not_placed() -> None:
    """Each rejection is counted with its reason."""
    world = ready(2, pricing=replace(FREE, base=3 * HDL))
    assert turned_down(world, world.register(spec=world.spec(slots=1))) is Reason.PRICE
