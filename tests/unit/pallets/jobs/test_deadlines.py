"""What happens when nobody does anything: every time-out, its money and its blame, and who gets the next try."""

from dataclasses import replace

import pytest

from pallets.balances import HoldReason
from pallets.jobs import errors, types
from pallets.jobs.events import AttemptFailed, ExecutionsSkipped, ExecutionSuspected, JobForgotten, SlotVacated
from pallets.jobs.failure import AckTimeout, AppError, Declined, InputUnavailable, NodeLost, RunTimeout
from pallets.jobs.records import (
    ExecutionState,
    Expiry,
    JobCancelled,
    JobExpired,
    JobFailed,
    JobState,
    JobSucceeded,
    SlotState,
)
from tests.helpers.job_world import ALICE, HDL, PROCESSORS, World, failure

ONE, TWO, THREE = PROCESSORS[:3]
KIND = types.RuntimeKind.WASM


def ready(processors: int = 3) -> World:
    """Processors that advertise."""
    world = World()
    for processor in PROCESSORS[:processors]:
        world.offer_capacity(processor)
    return world


def long_spec(world: World, **changes: object) -> types.JobSpec:
    """A one-slot job whose runs are long enough to need signs of life."""
    start = world.system.now_ms + 5_000
    schedule = types.Schedule(start, start + 1, 400_000, 300_000, 60_000)
    return world.spec(slots=1, schedule=schedule, **changes)


def test_an_unanswered_offer_goes_to_another_processor_without_a_fine() -> None:
    """After acknowledge_slots the slot is vacant, its manager out of this job, the other slot untouched."""
    world = ready()
    job = world.register()
    world.slots(3)
    world.propose(job, ONE, TWO)
    world.until(lambda: world.job(job).state is JobState.MATCHED)
    world.acknowledge(job, 1)
    world.until(lambda: bool(world.events(SlotVacated)))
    assert world.events(SlotVacated)[0].reason == AckTimeout()
    assert world.job(job).state is JobState.OPEN
    assert world.slot(job, 1).state is SlotState.ACKNOWLEDGED
    world.until(lambda: world.slot(job, 0).processor == THREE)
    world.acknowledge(job, 0)
    assert world.job(job).state is JobState.ASSIGNED
    assert world.balances.total(ONE) == 10_000 * HDL
    assert world.reputation.score(ONE, KIND) == 509_803
    world.check()


def test_the_second_unanswered_offer_in_a_row_suspends_the_advert_and_costs_reputation() -> None:
    """Until the processor renews its advert; an answer in between starts the count anew."""
    world = ready(1)
    for missed in (1, 2):
        job = world.register(spec=world.spec(slots=1))
        world.until_slot(job, 0, SlotState.OFFERED)
        world.until_slot(job, 0, SlotState.VACANT)
        assert world.processors.record_of(ONE).suspended is (missed == 2)
    assert world.reputation.score(ONE, KIND) < 509_803
    world.call("Processors", "advertise", ONE, world.advert())
    assert not world.processors.record_of(ONE).suspended


def test_a_call_past_its_deadline_is_refused_even_before_the_agenda_ran() -> None:
    """Due transitions come first: an acknowledgment in the deadline's own slot is too late."""
    world = ready()
    job = world.register(spec=world.spec(slots=1))
    world.until(lambda: world.slot(job, 0).state is SlotState.OFFERED)
    deadline = world.slot(job, 0).deadline
    signer = world.slot(job, 0).processor
    assert signer is not None
    world.agenda.active_clock.put(deadline)
    assert world.refuses("Jobs", "acknowledge", signer, job, 0, 0, None) is errors.StaleGeneration
    world.agenda.active_clock.put(deadline - 1)
    assert world.refuses("Jobs", "acknowledge", signer, job, 0, 0, None) is None


def test_a_processor_that_does_not_start_pays_a_fine_and_another_finishes_the_job() -> None:
    """NoStart: 10 % of the ask is burned, the bond comes back, reputation falls, and the job still succeeds."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    issuance = world.balances.total_issuance()
    world.until(lambda: world.slot(job, 0).generation == 1)
    world.check()
    assert world.balances.total(ONE) == 10_000 * HDL - HDL // 10
    assert world.balances.total_issuance() == issuance - HDL // 10
    assert world.balances.held(ONE, HoldReason.BOND) == 0
    assert world.reputation.score(ONE, KIND) < 509_803
    assert world.execution(job, 0, 0).attempt == 2
    world.propose(job, TWO)
    world.until(lambda: world.slot(job, 0).processor == TWO)
    world.acknowledge(job, 0)
    world.run(job, 0, 0)
    assert world.job(job).end == JobSucceeded()
    assert world.balances.total(TWO) == 10_000 * HDL + HDL
    world.check()


def test_a_run_past_its_duration_times_out_for_half_the_fine() -> None:
    """RunTimeout uses up an attempt, not a loss."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    world.start(job, 0, 0)
    world.until(lambda: world.slot(job, 0).generation == 1)
    assert world.events(AttemptFailed)[-1].failure == RunTimeout()
    record = world.execution(job, 0, 0)
    assert (record.attempts_left, record.lost_left) == (2, 3)
    assert world.balances.total(ONE) == 10_000 * HDL - HDL // 20


def test_a_successor_gets_the_whole_start_delay_from_its_acknowledgment() -> None:
    """It is not fined for the time that the slot was vacant."""
    world = ready()
    start = world.system.now_ms + 10_000
    schedule = types.Schedule(start, start + 1, 60_000, 10_000, 20_000)
    world.assign(job := world.register(spec=world.spec(slots=1, schedule=schedule)), ONE)
    world.until(lambda: world.slot(job, 0).generation == 1)
    world.until(lambda: world.slot(job, 0).processor is not None)
    world.slots(15)
    world.acknowledge(job, 0)
    assert world.execution(job, 0, 0).deadline == world.agenda.now() + 20 + 8
    world.slots(20)
    world.run(job, 0, 0)
    assert world.job(job).end == JobSucceeded()


def test_what_else_a_lost_processor_was_running_is_lost_with_it() -> None:
    """One fine for the lease; the other run gets its next attempt, and the old one can report nothing more."""
    world = ready()
    start = world.system.now_ms + 10_000
    schedule = types.Schedule(start, start + 10_001, 10_000, 9_000, 5_000)
    world.assign(job := world.register(spec=world.spec(slots=1, schedule=schedule)), ONE)
    world.start(job, 0, 0)
    world.start(job, 1, 0)
    world.until(lambda: world.slot(job, 0).generation == 1)
    world.check()
    assert [event.failure for event in world.events(AttemptFailed)] == [RunTimeout(), NodeLost()]
    assert world.execution(job, 0, 1).attempt == 2
    assert world.execution(job, 0, 1).state is ExecutionState.SCHEDULED
    assert world.balances.total(ONE) == 10_000 * HDL - HDL // 20
    assert world.refuses("Jobs", "report", ONE, job, 1, 0, 0, 1, failure(AppError(1))) is errors.StaleGeneration


def test_a_long_run_without_a_sign_of_life_is_suspect_then_lost() -> None:
    """Suspect after 60 slots, recovers by progress, lost after 120."""
    world = ready()
    world.assign(job := world.register(spec=long_spec(world)), ONE)
    world.start(job, 0, 0)
    world.until(lambda: world.execution(job, 0, 0).state is ExecutionState.SUSPECT)
    assert len(world.events(ExecutionSuspected)) == 1
    world.call("Jobs", "progress", ONE, job, 0, 0, 0, 1, 250)
    assert world.execution(job, 0, 0).state is ExecutionState.RUNNING
    started = world.system.slot
    world.until(lambda: world.slot(job, 0).generation == 1)
    assert world.system.slot - started == 120
    assert world.events(AttemptFailed)[-1].failure == NodeLost()
    world.check()


def test_a_long_run_that_gives_signs_of_life_is_left_alone() -> None:
    """Until its duration is over it may report."""
    world = ready()
    world.assign(job := world.register(spec=long_spec(world)), ONE)
    world.start(job, 0, 0)
    for _ in range(5):
        world.slots(55)
        world.call("Jobs", "progress", ONE, job, 0, 0, 0, 1, 500)
    world.report(job, 0, 0)
    assert world.job(job).end == JobSucceeded()


def test_losses_are_bounded_and_the_job_ends_failed_with_its_money_back() -> None:
    """With lost_max 1 the second loss is final; nothing is held and nothing was paid."""
    world = ready()
    spec = world.spec(slots=1, retry=replace(types.RETRY_DEFAULT, lost_max=1))
    world.assign(job := world.register(spec=spec), ONE)
    world.until(lambda: world.job(job).state is JobState.DONE, slots_max=400)
    assert world.job(job).end == JobFailed(NodeLost())
    assert world.execution(job, 0, 0).state is ExecutionState.LOST
    ledger = world.escrow.ledgers.get(job)
    assert (ledger.paid, ledger.fees, ledger.pots.total()) == (0, 10**7, 0)
    world.check()


def test_an_execution_that_comes_due_in_a_vacant_slot_costs_a_loss_but_no_fine() -> None:
    """Nobody held the slot, so nobody pays; the budget of losses still bounds the wait."""
    world = ready(1)
    spec = world.spec(slots=1, retry=replace(types.RETRY_DEFAULT, lost_max=2))
    world.assign(job := world.register(spec=spec), ONE)
    world.call("Processors", "delete_advertisement", ONE)
    world.until(lambda: world.job(job).state is JobState.DONE, slots_max=600)
    assert len(world.events(AttemptFailed)) == 3
    assert world.balances.total(ONE) == 10_000 * HDL - HDL // 10


def test_a_job_that_finds_nobody_expires_and_is_refunded() -> None:
    """By its queue time-out, or when the first start is missed, whichever is first."""
    world = World()
    before = world.balances.total(ALICE)
    start = world.system.now_ms + 5_000
    far = types.Schedule(start, start + 1, 200_000, 10_000, 100_000)
    queued = world.register(spec=world.spec(timeouts=types.Timeouts(30, 60_000), schedule=far))
    missed = world.register()
    world.until(lambda: world.job(queued).state is JobState.EXPIRED)
    world.until(lambda: world.job(missed).state is JobState.EXPIRED)
    assert world.job(queued).end == JobExpired(Expiry.QUEUE)
    assert world.job(missed).end == JobExpired(Expiry.FIRST_START)
    assert world.balances.total(ALICE) == before
    assert world.balances.held(ALICE, HoldReason.JOB_ESCROW) == 0
    world.check()


def test_an_outage_of_the_chain_expires_no_lease() -> None:
    """The active clock advances by three over a gap of ten thousand slots."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    world.start(job, 0, 0)
    clock = world.agenda.now()
    world.slots(1, gap=10_000)
    assert world.agenda.now() == clock + 3
    assert world.execution(job, 0, 0).state is ExecutionState.RUNNING
    world.report(job, 0, 0)
    assert world.job(job).end == JobSucceeded()


def test_executions_that_an_outage_swallowed_are_skipped_and_not_required() -> None:
    """In bulk, unpaid and without blame; what remains still makes the job succeed."""
    world = ready()
    start = world.system.now_ms + 10_000
    schedule = types.Schedule(start, start + 999 * 100_000 + 1, 100_000, 5_000, 10_000)
    world.assign(job := world.register(spec=world.spec(slots=1, schedule=schedule)), ONE)
    world.run(job, 0, 0)
    world.slots(1, gap=99_000)
    world.slots(5)
    skipped = world.job(job).skipped
    assert 980 <= skipped <= 999
    assert world.events(ExecutionsSkipped) == [ExecutionsSkipped(job, 0, 1, skipped)]
    assert world.processors.leases.get(ONE)
    for execution in range(1 + skipped, 1_000):
        world.run(job, execution, 0)
        world.check()
    assert world.job(job).end == JobSucceeded()
    assert world.escrow.ledgers.get(job).paid == (1_000 - skipped) * (HDL + HDL // 50)


def test_a_decline_is_free_and_the_next_offer_goes_elsewhere() -> None:
    """The slot opens again with its next generation; bond, money and score of the decliner are untouched."""
    world = ready()
    job = world.register(spec=world.spec(slots=1))
    world.slots(3)
    world.propose(job, ONE)
    world.until(lambda: world.slot(job, 0).processor == ONE)
    world.call("Jobs", "decline", ONE, job, 0, 0, Declined())
    assert (world.slot(job, 0).state, world.slot(job, 0).generation) == (SlotState.VACANT, 1)
    assert world.job(job).state is JobState.OPEN
    world.until(lambda: world.slot(job, 0).state is SlotState.OFFERED)
    assert world.slot(job, 0).processor != ONE
    assert world.balances.total(ONE) == 10_000 * HDL
    assert not world.processors.leases.get(ONE)
    world.check()


def test_three_managers_without_the_input_end_the_job() -> None:
    """Each is paid 1 % of the reward for its effort, from the friction pot; the rest is refunded."""
    world = ready()
    job = world.register(spec=world.spec(slots=1))
    for _ in range(3):
        world.until(lambda: world.slot(job, 0).state is SlotState.OFFERED)
        held = world.slot(job, 0)
        assert held.processor is not None
        world.call("Jobs", "decline", held.processor, job, 0, held.generation, InputUnavailable())
    assert world.job(job).end == JobFailed(InputUnavailable())
    assert world.escrow.ledgers.get(job).paid == 3 * (2 * HDL // 100)
    world.check()


def test_a_decline_cannot_claim_what_only_the_chain_finds() -> None:
    """AckTimeout is no reason to decline."""
    world = ready()
    job = world.register(spec=world.spec(slots=1))
    world.until(lambda: world.slot(job, 0).state is SlotState.OFFERED)
    signer = world.slot(job, 0).processor
    assert signer is not None
    assert world.refuses("Jobs", "decline", signer, job, 0, 0, AckTimeout()) is errors.FailureNotReportable


def test_an_acknowledged_slot_may_be_left_freely_when_the_others_do_not_come() -> None:
    """Within assign_slots leaving costs the fine, after them nothing."""
    world = ready(1)
    start = world.system.now_ms + 200_000
    spec = world.spec(schedule=types.Schedule(start, start + 1, 60_000, 10_000, 60_000))
    for wait, fine in ((10, HDL // 10), (60, 0)):
        job = world.register(spec=spec)
        world.slots(3)
        world.propose(job, ONE)
        world.until_slot(job, 0, SlotState.OFFERED)
        world.acknowledge(job, 0)
        before = world.balances.total(ONE)
        world.slots(wait)
        world.call("Jobs", "resign", ONE, job, 0, 0)
        assert world.balances.total(ONE) == before - fine
        assert world.balances.held(ONE, HoldReason.BOND) == 0
        world.call("Jobs", "cancel", ALICE, job)
        world.check()


def test_resigning_with_notice_is_free_and_without_notice_a_lost_lease() -> None:
    """Notice is two intervals or 300 slots, whichever is longer."""
    for start_in, fine in ((400_000, 0), (200_000, HDL // 10)):
        world = ready()
        start = world.system.now_ms + start_in
        spec = world.spec(slots=1, schedule=types.Schedule(start, start + 1, 60_000, 10_000, 60_000))
        world.assign(job := world.register(spec=spec), ONE)
        world.call("Jobs", "resign", ONE, job, 0, 0)
        assert world.balances.total(ONE) == 10_000 * HDL - fine
        assert world.job(job).state is JobState.ASSIGNED
        assert world.slot(job, 0).state is SlotState.VACANT
        world.check()


def test_cancelling_before_assignment_returns_everything() -> None:
    """The payer has what it had; an offered processor owes nothing."""
    world = ready()
    before = world.balances.total(ALICE)
    job = world.register()
    world.until(lambda: world.job(job).state is JobState.MATCHED)
    world.acknowledge(job, 0)
    world.call("Jobs", "cancel", ALICE, job)
    assert world.job(job).end == JobCancelled()
    assert world.balances.total(ALICE) == before
    assert not list(world.processors.leases.items())
    assert not list(world.escrow.bonds.items())
    world.check()


@pytest.mark.parametrize(("after_slots", "share_ppm"), [(0, 100_000), (1, 100_000), (5, 500_000), (9, 900_000)])
def test_cancelling_a_run_pays_pro_rata_and_at_least_a_tenth(after_slots: int, share_ppm: int) -> None:
    """min(a, max(10 %, elapsed / duration)) of the ask."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    world.start(job, 0, 0)
    world.slots(after_slots)
    before = world.balances.total(ONE)
    world.call("Jobs", "cancel", ALICE, job)
    assert world.balances.total(ONE) == before + HDL * share_ppm // 10**6
    assert world.execution(job, 0, 0).state is ExecutionState.CANCELLED
    world.check()


def test_cancelling_late_pays_a_tenth_for_the_next_execution_only() -> None:
    """Two executions have come up on the slot; one tenth is due, not two."""
    world = ready()
    start = world.system.now_ms + 10_000
    spec = world.spec(slots=1, schedule=types.Schedule(start, start + 60_001, 20_000, 5_000, 10_000))
    world.assign(job := world.register(spec=spec), ONE)
    assert len(world.slot(job, 0).live) > 1
    world.call("Jobs", "cancel", ALICE, job)
    assert world.escrow.ledgers.get(job).paid == HDL // 10
    world.check()


def test_an_ended_job_refuses_every_call() -> None:
    """End states absorb."""
    world = ready()
    world.assign(job := world.register(spec=world.spec(slots=1)), ONE)
    world.call("Jobs", "cancel", ALICE, job)
    for who, name, arguments in (
        (ALICE, "cancel", (job,)),
        (ONE, "acknowledge", (job, 0, 0, None)),
        (ONE, "decline", (job, 0, 0, Declined())),
        (ONE, "started", (job, 0, 0, 0, 1)),
        (ONE, "progress", (job, 0, 0, 0, 1, 5)),
        (ONE, "report", (job, 0, 0, 0, 1, failure(AppError(1)))),
        (ONE, "resign", (job, 0, 0)),
        (ALICE, "poke", (job,)),
    ):
        assert world.refuses("Jobs", name, who, *arguments) is errors.JobEnded


def test_an_ended_job_is_forgotten_after_its_retention() -> None:
    """No record of it stays, in any map."""
    world = ready()
    world.assign(job := world.register(), ONE, TWO)
    world.run(job, 0, 0)
    world.run(job, 0, 1)
    world.until(lambda: bool(world.events(JobForgotten)), slots_max=1_100)
    jobs = world.jobs
    for item in (jobs.jobs, jobs.specs, jobs.slots, jobs.executions, jobs.results, jobs.marks, jobs.job_by_hash):
        assert not list(item.items())
    assert not list(world.escrow.ledgers.items())
    world.check()


def test_anyone_may_have_a_job_looked_at() -> None:
    """poke applies what is due without the agenda."""
    world = ready()
    job = world.register(spec=world.spec(slots=1))
    world.until(lambda: world.slot(job, 0).state is SlotState.OFFERED)
    world.agenda.active_clock.put(world.slot(job, 0).deadline)
    world.call("Jobs", "poke", PROCESSORS[4], job)
    assert world.slot(job, 0).generation == 1
