"""Preemption: who may be interrupted, by whom, and who pays."""

from typing import Any

from pallets.escrow.errors import DepositNotAvailable
from pallets.jobs import errors, types
from pallets.jobs.events import AttemptFailed, JobPreempted, SlotVacated
from pallets.jobs.failure import Preempted
from pallets.jobs.records import ExecutionState, JobState, JobSucceeded, SlotState
from pallets.matching.pallet import NamedProcessorUnfit
from pallets.processors.calendar import Capacity
from tests.helpers.job_world import ALICE, BOB, CAROL, HDL, PARAMETERS, PROCESSORS, World

ONE, TWO = PROCESSORS[:2]
QUIET = {**PARAMETERS, "matching": {**PARAMETERS["matching"], "fallbackAfterSlots": 100_000}}


def ready() -> World:
    """Two processors with one core each."""
    world = World(QUIET)
    for processor in (ONE, TWO):
        world.offer_capacity(processor, world.advert(capacity=Capacity(8 << 30, 8 << 30, 1)))
    return world


def submit(world: World, who: bytes, priority: int, *, preemptible: bool = False, **changes: Any) -> int:
    """A one-slot job that runs for 100 seconds at most."""
    start = world.system.now_ms + 10_000
    schedule = types.Schedule(start, start + 1, 200_000, 100_000, 100_000)
    queue = types.Queue(priority=priority, preemptible=preemptible)
    return world.register(who, world.spec(**{"slots": 1, "schedule": schedule, "queue": queue, **changes}))


def busy(world: World, *, preemptible: bool = True, priority: int = 0) -> int:
    """Alice's job, running on ONE for 25 seconds."""
    victim = submit(world, ALICE, priority, preemptible=preemptible)
    world.assign(victim, ONE)
    world.start(victim, 0, 0)
    world.slots(25)
    return victim


def test_an_urgent_job_takes_the_processor_and_pays_for_the_part_that_was_done() -> None:
    """A quarter of the run, from the urgent job's owner; the victim loses no money and no attempt."""
    world = ready()
    victim = busy(world)
    alices = world.escrow.ledgers.get(victim)
    urgent = submit(world, BOB, 10)
    world.slots(3)
    elapsed_ms = world.system.now_ms - world.execution(victim, 0, 0).started_ms
    world.call("Jobs", "preempt", BOB, urgent, 0, victim, 0)
    assert world.slot(urgent, 0).processor == ONE
    assert world.job(urgent).state is JobState.MATCHED
    due = HDL * elapsed_ms // 100_000
    assert world.events(JobPreempted) == [JobPreempted(urgent, victim, 0, ONE, due)]
    assert world.escrow.ledgers.get(urgent).paid == due
    assert world.balances.total(ONE) == 10_000 * HDL + due
    assert world.escrow.ledgers.get(victim) == alices
    assert world.events(SlotVacated)[-1].reason == Preempted()
    assert not world.events(AttemptFailed)[-1].final
    record = world.execution(victim, 0, 0)
    assert (record.state, record.attempt, record.attempts_left, record.lost_left) == (ExecutionState.SCHEDULED, 2, 3, 3)
    world.check()
    world.acknowledge(urgent, 0)
    world.slots(2)
    world.propose(victim, TWO)
    world.until_slot(victim, 0, SlotState.OFFERED)
    world.acknowledge(victim, 0)
    for job in (urgent, victim):
        world.run(job, 0, 0)
        assert world.job(job).end == JobSucceeded()
    world.check()


def test_no_blame_falls_on_the_processor_that_was_taken() -> None:
    """No fine, no debit, no mark; its bond for the victim's slot came back."""
    world = ready()
    victim = busy(world)
    urgent = submit(world, BOB, 10)
    world.slots(3)
    score = world.reputation.score(ONE, types.RuntimeKind.WASM)
    world.call("Jobs", "preempt", BOB, urgent, 0, victim, 0)
    assert world.reputation.score(ONE, types.RuntimeKind.WASM) == score
    assert not world.jobs.marks.get(victim)
    assert not [key for key, _ in world.escrow.bonds.items()]


def test_money_that_was_added_pays_first() -> None:
    """With enough in the spare pot the owner's free balance is not touched."""
    world = ready()
    victim = busy(world)
    urgent = submit(world, BOB, 31)
    world.call("Jobs", "top_up", BOB, urgent, HDL)
    world.slots(3)
    free = world.balances.free(BOB)
    world.call("Jobs", "preempt", BOB, urgent, 0, victim, 0)
    assert world.balances.free(BOB) == free
    assert 0 < world.escrow.ledgers.get(urgent).pots.spare < HDL
    world.check()


def test_who_may_not_interrupt_whom() -> None:
    """Without opt-in, with a gap of nine, one's own job, others' jobs, slots that are not there; nothing changes."""
    world = ready()
    victim = busy(world, priority=5)
    firm = submit(world, ALICE, 0)
    urgent, near = submit(world, BOB, 15), submit(world, BOB, 14)
    idle = submit(world, ALICE, 0, preemptible=True)
    world.slots(3)
    mark = world.state.mark()
    for who, job, slot, other, number, error in (
        (CAROL, urgent, 0, victim, 0, errors.NotOwner),
        (BOB, urgent, 1, victim, 0, errors.SlotNotFound),
        (BOB, urgent, 0, victim, 1, errors.SlotNotFound),
        (BOB, urgent, 0, 99, 0, errors.JobNotFound),
        (BOB, near, 0, victim, 0, errors.PreemptionNotAllowed),
        (BOB, urgent, 0, firm, 0, errors.PreemptionNotAllowed),
        (BOB, urgent, 0, urgent, 0, errors.PreemptionNotAllowed),
        (BOB, urgent, 0, idle, 0, errors.NotAcknowledged),
    ):
        assert world.refuses("Jobs", "preempt", who, job, slot, other, number) is error
    assert world.state.mark() == mark
    world.call("Jobs", "preempt", BOB, urgent, 0, victim, 0)


def test_a_processor_that_does_not_fit_is_not_taken() -> None:
    """The victim keeps it, and nobody has paid."""
    world = ready()
    victim = busy(world)
    urgent = submit(world, BOB, 10, requirements=types.Requirements(labels=("moon",)))
    world.slots(3)
    mark = world.state.mark()
    assert world.refuses("Jobs", "preempt", BOB, urgent, 0, victim, 0) is NamedProcessorUnfit
    assert world.state.mark() == mark
    assert world.slot(victim, 0).processor == ONE


def test_an_owner_who_cannot_pay_does_not_interrupt() -> None:
    """DepositNotAvailable, and the victim runs on."""
    world = ready()
    victim = busy(world)
    urgent = submit(world, BOB, 10)
    world.slots(3)
    spare = world.balances.free(BOB) - world.balances.existential_deposit
    world.balances.transfer(BOB, CAROL, spare, keep_alive=True)
    assert world.refuses("Jobs", "preempt", BOB, urgent, 0, victim, 0) is DepositNotAvailable
    assert world.execution(victim, 0, 0).state is ExecutionState.RUNNING


def test_an_offer_can_be_taken_before_anything_was_done() -> None:
    """Nothing is owed for it."""
    world = ready()
    victim = submit(world, ALICE, 0, preemptible=True)
    world.slots(3)
    world.propose(victim, ONE)
    world.until_slot(victim, 0, SlotState.OFFERED)
    urgent = submit(world, BOB, 10)
    world.slots(3)
    world.call("Jobs", "preempt", BOB, urgent, 0, victim, 0)
    assert world.escrow.ledgers.get(urgent).paid == 0
    assert world.slot(urgent, 0).processor == ONE
    world.check()
