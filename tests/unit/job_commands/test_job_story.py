"""The story of a job, told from the events of one that ran, and the words for each reason against a processor."""

from typing import Any

from cli.job_reasons import REASONS, explained
from cli.job_story import JOB_ENDED, attempts_of, movements_of, sums_of
from node.rpc.api.job_json import event_of_job
from pallets.jobs import types
from pallets.jobs.failure import AppError
from pallets.matching.types import Reason
from runtime.runtime import EventRecord
from tests.helpers.job_world import ALICE, PROCESSORS, World, failure


class ToldWorld(World):
    """A world that notes its events as a node tells them: one block a slot, one transaction a call."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, Any]] = []
        self.calls = 0
        self._kinds = {event: pallet.name for pallet in self.pallets for event in pallet.events}

    def call(self, pallet: str, name: str, who: bytes, *arguments: Any) -> None:
        self.note(None)
        super().call(pallet, name, who, *arguments)
        self.calls += 1
        self.note(self.calls)

    def note(self, extrinsic: int | None, job: int = 0) -> None:
        """Tell the events since the last time."""
        place = {"block": self.system.number, "hash": hex(self.system.number), "time_ms": self.system.now_ms}
        for number, (_, event) in enumerate(self.state.events):
            told = event_of_job(number, EventRecord(extrinsic, event), job, self._kinds)
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
    assert [(one.state, one.reason) for one in attempts_of(world.told)] == [("cancelled", JOB_ENDED)]


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
