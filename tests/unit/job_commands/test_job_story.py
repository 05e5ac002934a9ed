"""The story of a job, told from the events of one that ran, and the words for each reason against a processor."""

from dataclasses import replace
from typing import Any

from cli.job_reasons import REASONS, explained
from cli.job_story import JOB_ENDED, TOO_LATE, attempts_of, movements_of, skips_of, sums_of
from node.rpc.api.job_json import address, event_of_job
from pallets.jobs import types
from pallets.jobs.failure import AppError
from pallets.jobs.records import JobState, SlotState
from pallets.matching.types import Reason
from pallets.verification.types import RoundState
from runtime.runtime import EventRecord
from tests.helpers.job_world import ALICE, PROCESSORS, World, failure
from tests.helpers.round_world import EVERYBODY_DRAWN_SLOTS


class ToldWorld(World):
    """A world that notes its events as a node tells them: one block a slot, one transaction a call."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.calls = 0
        super().__init__()

    def slots(self, count: int, *, gap: int = 1) -> None:
        """As in any world, and what the chain did by itself is told of each block."""
        for _ in range(count):
            super().slots(1, gap=gap)
            self.note(None)

    def call(self, pallet: str, name: str, who: bytes, *arguments: Any) -> None:
        self.note(None)
        super().call(pallet, name, who, *arguments)
        self.calls += 1
        self.note(self.calls)

    def note(self, extrinsic: int | None, job: int = 0) -> None:
        """Tell the events since the last time."""
        kinds = {event: pallet.name for pallet in self.pallets for event in pallet.events}
        place = {"block": self.system.number, "hash": hex(self.system.number), "time_ms": self.system.now_ms}
        for number, (_, event) in enumerate(self.state.events):
            told = event_of_job(number, EventRecord(extrinsic, event), job, kinds)
            if told is not None:
                self.told.append({**place, **told, "extrinsic": extrinsic})
        self.state.events.clear()


def finished_job() -> ToldWorld:
    """A job on one slot with two executions; the first fails once."""
    world = ToldWorld()
    world.offer_capacity(PROCESSORS[0])
    start = world.system.now_ms + 10_000
    schedule = types.Schedule(start, start + 20_001, 20_000, 5_000, 10_000)
    job = world.register(ALICE, world.spec(slots=1, schedule=schedule))
    world.assign(job, PROCESSORS[0])
    world.run(job, 0, 0, failure(AppError(7)))
    world.run(job, 0, 0)
    world.run(job, 1, 0)
    world.note(None)
    return world


def test_every_attempt_is_told_with_its_processor_times_and_reason() -> None:
    """A failed attempt and the one after it, then the next execution: in order, each with its end."""
    attempts = attempts_of(finished_job().told)
    assert [(one.execution, one.attempt, one.state) for one in attempts] == [
        (0, 1, "failed, tried again"),
        (0, 2, "accepted"),
        (1, 1, "accepted"),
    ]
    assert attempts[0].reason == "AppError(7): as told"
    for one in attempts:
        assert one.processor
        assert one.due_ms is not None
        assert one.started_ms is not None
        assert one.ended_ms is not None
        assert one.due_ms <= one.started_ms < one.ended_ms


def judged(*lies: int) -> ToldWorld:
    """A quorum of two of three whose results may differ, where the slots of `lies` show another result."""
    world = ToldWorld()
    for who in PROCESSORS[:3]:
        world.offer_capacity(who)
    granted = types.Capabilities(("example.com",), (), storage=False, sign=False)
    spec = world.spec(slots=3, verification=types.Quorum(2), capabilities=granted)
    world.assign(job := world.register(ALICE, spec), *PROCESSORS[:3])
    outcomes = [world.found(job, output=b"a lie") if slot in lies else world.found(job) for slot in range(3)]
    for slot, outcome in enumerate(outcomes):
        world.compute(job, 0, slot, outcome)
    world.slots(10)
    for slot, outcome in enumerate(outcomes):
        world.reveal_result(job, 0, slot, outcome)
    world.note(None)
    return world


def test_a_result_that_was_not_taken_is_told_with_its_reason() -> None:
    """Two agree and are paid; the third is rejected, for its mismatch."""
    attempts = attempts_of(judged(2).told)
    assert [(one.slot, one.state, one.reason) for one in attempts] == [
        (0, "accepted", ""),
        (1, "accepted", ""),
        (2, "rejected", "Mismatch"),
    ]


def test_what_ended_with_its_job_says_so() -> None:
    """The owner cancels while an execution runs: no attempt is without its reason."""
    world = ToldWorld()
    world.offer_capacity(PROCESSORS[0])
    world.assign(job := world.register(ALICE, world.spec(slots=1)), PROCESSORS[0])
    world.start(job, 0, 0)
    world.call("Jobs", "cancel", ALICE, job)
    world.note(None)
    assert [(one.state, one.reason) for one in attempts_of(world.told)] == [
        ("cancelled", f"{JOB_ENDED}: cancelled by its owner")
    ]


def test_who_let_an_execution_lapse_is_told_and_when_nobody_could_have_run_it() -> None:
    """The first attempt was its processor's to start, the next nobody's: the slot was vacant."""
    world = ToldWorld()
    world.offer_capacity(PROCESSORS[0])
    retry = replace(types.RETRY_DEFAULT, lost_max=1)
    schedule = types.Schedule(world.system.now_ms + 10_000, world.system.now_ms + 10_001, 20_000, 5_000, 5_000)
    job = world.register(ALICE, world.spec(slots=1, schedule=schedule, retry=retry))
    world.assign(job, PROCESSORS[0])
    world.call("Processors", "delete_advertisement", PROCESSORS[0])
    world.until(lambda: world.job(job).state is JobState.DONE)
    first, second = attempts_of(world.told)
    assert (first.state, first.reason, first.started_ms) == ("failed, tried again", "NodeLost", None)
    assert first.processor == address(PROCESSORS[0])
    assert (second.state, second.reason, second.processor) == ("failed", "NodeLost: nobody had the slot", "")


def test_executions_that_nobody_could_begin_are_told_together() -> None:
    """The chain stands still for three starts: one line says which, on which slot, and they have no attempts."""
    world = ToldWorld()
    world.offer_capacity(PROCESSORS[0])
    start = world.system.now_ms + 10_000
    schedule = types.Schedule(start, start + 4 * 100_000 + 1, 100_000, 5_000, 10_000)
    job = world.register(ALICE, world.spec(slots=1, schedule=schedule))
    world.assign(job, PROCESSORS[0])
    world.run(job, 0, 0)
    world.slots(1, gap=330)
    world.run(job, 4, 0)
    (skip,) = skips_of(world.told)
    assert (skip.slot, skip.first, skip.count) == (0, 1, 3)
    assert [one.execution for one in attempts_of(world.told)] == [0, 4]


def test_a_run_that_its_processor_lost_with_the_slot_is_told_with_the_cause() -> None:
    """One execution runs too long, and costs the slot; the other that ran beside it is lost for that reason."""
    world = ToldWorld()
    world.offer_capacity(PROCESSORS[0])
    start = world.system.now_ms + 10_000
    job = world.register(ALICE, world.spec(slots=1, schedule=types.Schedule(start, start + 4_001, 4_000, 3_000, 9_000)))
    world.assign(job, PROCESSORS[0])
    world.start(job, 0, 0)
    world.start(job, 1, 0)
    world.until(lambda: world.slot(job, 0).state is not SlotState.ACKNOWLEDGED)
    reasons = [one.reason for one in attempts_of(world.told) if one.attempt == 1]
    assert reasons == ["RunTimeout", "NodeLost: its processor lost the slot by RunTimeout"]


def test_an_execution_that_the_others_are_judged_without_is_told_with_the_reason() -> None:
    """Two of three slots have committed when collecting ends; the third, whose processor was lost, came too late."""
    world = ToldWorld()
    for processor in PROCESSORS[:3]:
        world.offer_capacity(processor)
    job = world.register(ALICE, world.spec(slots=3, verification=types.Quorum(2)))
    world.slots(EVERYBODY_DRAWN_SLOTS)
    world.assign(job, *PROCESSORS[:3])
    for number in (0, 1):
        world.compute(job, 0, number)
    world.until(lambda: world.verification.rounds.get((job, 0, 0)).state is not RoundState.COLLECTING)
    last = [one for one in attempts_of(world.told) if one.slot == 2][-1]
    assert (last.state, last.reason) == ("cancelled", TOO_LATE)


def test_the_movements_add_up_to_the_ledger() -> None:
    """Deposited, paid, burned and returned as told are the ledger's own sums, and nothing is held after the last."""
    world = finished_job()
    movements, ledger = movements_of(world.told), world.escrow.ledgers.get(0)
    sums = sums_of(movements)
    assert (sums.deposited, sums.paid, sums.fees, sums.refunded) == (
        ledger.deposited,
        ledger.paid,
        ledger.fees,
        ledger.refunded,
    )
    assert sums.held == movements[-1].held == 0
    assert min(one.held for one in movements) >= 0


def test_money_is_told_with_what_moved_it() -> None:
    """A pay-out names the execution and how it ended; the last refund names the job's end."""
    movements = movements_of(finished_job().told)
    paid = [one.what.partition(", ")[2] for one in movements if one.kind == "Paid"]
    assert "execution 0 on slot 0 failed" in paid
    assert "execution 1 on slot 0 accepted" in paid
    assert movements[-1].what == "back to the payer, the job succeeded"


def test_every_reason_of_the_chain_has_words() -> None:
    """What `heddle job why` can meet, it can explain, and it knows no reason that the chain has not."""
    assert set(REASONS) == {reason.name.lower() for reason in Reason}


def test_reasons_are_ordered_by_how_many_processors_they_keep_away_now() -> None:
    """Counts of now and so far come together in one row for each reason."""
    rows = explained({"now": {"price": 1, "labels": 5}, "so_far": {"price": 9, "bond": 2}})
    assert [(row["reason"], row["processors_now"], row["rejections_so_far"]) for row in rows] == [
        ("labels", 5, 0),
        ("price", 1, 9),
        ("bond", 0, 2),
    ]
