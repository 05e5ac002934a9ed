"""What an execution works on: scripts that an editor replaces, parts of an input, the state of an earlier attempt."""

from dataclasses import replace
from typing import Any

import pytest

from pallets.jobs import bounds, errors, types
from pallets.jobs.consumer import EDIT_NOTICE_MS
from pallets.jobs.events import CheckpointStored, EditorChanged, ScriptEdited
from pallets.jobs.failure import AppError
from pallets.jobs.records import JobSucceeded
from tests.helpers.job_world import ALICE, BOB, CAROL, HDL, PARAMETERS, PROCESSORS, SCRIPT, World, failure

ONE, TWO = PROCESSORS[:2]
QUIET = {**PARAMETERS, "matching": {**PARAMETERS["matching"], "fallbackAfterSlots": 100_000}}


def blob(number: int, size: int = 100) -> types.Blob:
    """A blob of its own name."""
    return types.Blob(SCRIPT.cid[:-1] + bytes((number,)), size)


def ready() -> World:
    """Two processors that advertise."""
    world = World(QUIET)
    for processor in (ONE, TWO):
        world.offer_capacity(processor)
    return world


def editable(
    world: World, count: int = 10, *, interval_ms: int = 200_000, wait_ms: int = 10_000, **changes: Any
) -> int:
    """A one-slot interval job of Alice's whose script Bob edits."""
    start = world.system.now_ms + wait_ms
    schedule = types.Schedule(start, start + (count - 1) * interval_ms + 1, interval_ms, 10_000, 20_000)
    terms = {"slots": 1, "schedule": schedule, "mutability": types.Editor(BOB), **changes}
    return world.register(spec=world.spec(**terms))


def scripts(world: World, job: int) -> list[types.Blob]:
    """The script of each execution."""
    return [world.jobs.spec_for(job, execution).script for execution in range(world.job(job).executions)]


# Edits.


def test_an_edit_applies_to_executions_that_start_ten_minutes_later() -> None:
    """Each execution has its script from then on, whatever is edited afterwards."""
    world = ready()
    job = editable(world)
    start = world.jobs.specs.get(job).schedule.start_ms
    world.call("Jobs", "edit_script", BOB, job, blob(1))
    first = -(-(world.system.now_ms + EDIT_NOTICE_MS - start) // 200_000)
    assert first == 3
    assert scripts(world, job) == [SCRIPT] * 3 + [blob(1)] * 7
    assert world.events(ScriptEdited) == [ScriptEdited(job, 3, blob(1))]
    world.assign(job, ONE)
    world.slots(395)
    world.call("Jobs", "edit_script", BOB, job, blob(2))
    assert scripts(world, job) == [SCRIPT] * 3 + [blob(1)] * 2 + [blob(2)] * 5
    world.check()


def test_an_edit_before_the_last_one_took_effect_replaces_it() -> None:
    """Nobody ever runs the script in between."""
    world = ready()
    job = editable(world, 6)
    world.call("Jobs", "edit_script", BOB, job, blob(1))
    world.call("Jobs", "edit_script", BOB, job, blob(2))
    assert scripts(world, job) == [SCRIPT] * 3 + [blob(2)] * 3
    assert len(world.jobs.scripts.get(job)) == 1


def test_a_job_that_starts_later_is_edited_whole() -> None:
    """All executions get the new script, and a start right at ten minutes is not too early."""
    world = ready()
    job = editable(world, 2, wait_ms=EDIT_NOTICE_MS)
    world.call("Jobs", "edit_script", BOB, job, blob(1))
    assert scripts(world, job) == [blob(1)] * 2


def test_who_may_not_edit_and_what() -> None:
    """NotEditable, NotEditor (the owner is not), the script's own rules, NothingToEdit; nothing has changed."""
    world = ready()
    fixed, job, brief = world.register(), editable(world), editable(world, 2)
    mark = world.state.mark()
    for who, which, script, error in (
        (ALICE, fixed, blob(1), errors.NotEditable),
        (ALICE, job, blob(1), errors.NotEditor),
        (CAROL, job, blob(1), errors.NotEditor),
        (BOB, job + 9, blob(1), errors.JobNotFound),
        (BOB, job, types.Blob(b"no", 1), errors.UnknownScript),
        (BOB, job, blob(1, 0), errors.ScriptSizeOutOfBounds),
        (BOB, job, blob(1, bounds.SCRIPT_BYTES_MAX + 1), errors.ScriptSizeOutOfBounds),
        (BOB, brief, blob(1), errors.NothingToEdit),
    ):
        assert world.refuses("Jobs", "edit_script", who, which, script) is error
    assert world.refuses("Jobs", "transfer_editor", ALICE, job, ALICE) is errors.NotEditor
    assert world.refuses("Jobs", "transfer_editor", ALICE, fixed, ALICE) is errors.NotEditable
    assert world.state.mark() == mark


def test_an_editor_hands_its_right_on() -> None:
    """The new one may edit, the old one may not."""
    world = ready()
    job = editable(world)
    world.call("Jobs", "transfer_editor", BOB, job, CAROL)
    assert world.events(EditorChanged) == [EditorChanged(job, CAROL)]
    assert world.refuses("Jobs", "edit_script", BOB, job, blob(1)) is errors.NotEditor
    world.call("Jobs", "edit_script", CAROL, job, blob(1))


def test_versions_are_bounded_and_old_ones_make_room() -> None:
    """Eight are kept for executions to come; one that every open execution is past is forgotten."""
    world = ready()
    job = editable(world, 200, interval_ms=20_000)
    world.assign(job, ONE)
    made = 0
    while world.refuses("Jobs", "edit_script", BOB, job, blob(made % 250)) is None:
        made += 1
        world.slots(20)
        assert made <= bounds.SCRIPT_VERSIONS_MAX
    assert world.refuses("Jobs", "edit_script", BOB, job, blob(9)) is errors.TooManyVersions
    world.check()
    second = world.jobs.scripts.get(job)[1].first
    world.until(lambda: min((*world.slot(job, 0).live, world.slot(job, 0).next)) >= second, slots_max=1_500)
    world.call("Jobs", "edit_script", BOB, job, blob(9))
    world.check()


def test_a_processor_may_leave_freely_until_an_edit_takes_effect() -> None:
    """It promised another script: no fine, and its bond comes back."""
    world = ready()
    job = editable(world, 10, wait_ms=200_000)
    world.assign(job, ONE)
    world.call("Jobs", "edit_script", BOB, job, blob(1))
    world.call("Jobs", "resign", ONE, job, 0, world.slot(job, 0).generation)
    assert world.balances.total(ONE) == 10_000 * HDL
    assert world.job(job).leave_until_ms > world.system.now_ms
    world.check()


# Parts.


def test_each_execution_gets_its_part_of_the_input() -> None:
    """Three blobs, three executions; all results are accepted."""
    world = ready()
    parts = tuple(blob(n) for n in range(3))
    job = editable(world, 3, input=types.PartsInput(parts))
    inputs = [world.jobs.spec_for(job, execution).input for execution in range(3)]
    assert inputs == [types.BlobInput(part) for part in parts]
    world.assign(job, ONE)
    for execution in range(3):
        world.run(job, execution, 0)
    assert world.job(job).end == JobSucceeded()


def test_a_job_of_parts_is_not_extended() -> None:
    """There is no input for further executions."""
    world = ready()
    job = editable(world, 2, input=types.PartsInput((blob(1), blob(2))))
    later = world.jobs.specs.get(job).schedule.end_ms + 10**6
    assert world.refuses("Jobs", "extend", ALICE, job, later) is errors.OutOfBounds


def test_the_bound_of_parts_is_part_of_their_type() -> None:
    """256 are registered, one more does not even encode."""
    world = World(QUIET, balance=10**20)
    job = editable(world, bounds.PARTS_MAX, input=types.PartsInput((blob(1),) * bounds.PARTS_MAX))
    assert world.job(job).executions == bounds.PARTS_MAX
    spec = replace(world.jobs.specs.get(job), input=types.PartsInput((blob(1),) * (bounds.PARTS_MAX + 1)))
    with pytest.raises(ValueError, match="256"):
        world.jobs.specs.codec.encode(spec)


# Checkpoints.


def running(world: World, **changes: Any) -> tuple[int, int]:
    """A job whose first execution runs on ONE, and its slot's generation."""
    job = editable(world, 2, **changes)
    world.assign(job, ONE)
    world.start(job, 0, 0)
    return job, world.slot(job, 0).generation


def test_the_latest_state_of_an_attempt_is_there_for_the_next_one_only() -> None:
    """It outlives a failed attempt and a change of processor, and is gone with the execution."""
    world = ready()
    job, generation = running(world)
    for number in (1, 2):
        world.call("Jobs", "checkpoint", ONE, job, 0, 0, generation, 1, blob(number))
    assert [event.state for event in world.events(CheckpointStored)] == [blob(1), blob(2)]
    world.report(job, 0, 0, failure(AppError(3)))
    assert world.jobs.checkpoints.get((job, 0, 0)) == blob(2)
    world.check()
    world.run(job, 0, 0)
    assert not list(world.jobs.checkpoints.items())
    world.check()


def test_a_state_goes_with_its_job() -> None:
    """A cancelled job leaves none behind."""
    world = ready()
    job, generation = running(world)
    world.call("Jobs", "checkpoint", ONE, job, 0, 0, generation, 1, blob(1))
    world.call("Jobs", "cancel", ALICE, job)
    assert not list(world.jobs.checkpoints.items())
    world.check()


def test_who_may_not_store_a_state() -> None:
    """Others, an old generation, another attempt, an execution that does not run, a malformed or huge blob."""
    world = ready()
    job, generation = running(world)
    mark = world.state.mark()
    for who, execution, gen, attempt, state, error in (
        (TWO, 0, generation, 1, blob(1), errors.NotTheProcessor),
        (ONE, 0, generation + 1, 1, blob(1), errors.StaleGeneration),
        (ONE, 0, generation, 2, blob(1), errors.StaleAttempt),
        (ONE, 1, generation, 1, blob(1), errors.ExecutionNotLive),
        (ONE, 0, generation, 1, types.Blob(b"", 1), errors.OutputTooLarge),
        (ONE, 0, generation, 1, blob(1, bounds.BLOB_BYTES_MAX + 1), errors.OutputTooLarge),
    ):
        assert world.refuses("Jobs", "checkpoint", who, job, execution, 0, gen, attempt, state) is error
    assert world.state.mark() == mark


def test_results_that_are_compared_do_not_go_on_from_foreign_states() -> None:
    """CheckpointNotAllowed in a quorum: one replica's state would carry its answer into the other."""
    world = ready()
    start = world.system.now_ms + 10_000
    schedule = types.Schedule(start, start + 1, 60_000, 10_000, 20_000)
    job = world.register(spec=world.spec(schedule=schedule, verification=types.Quorum(2)))
    world.assign(job, ONE, TWO)
    world.start(job, 0, 0)
    slot = world.slot(job, 0)
    arguments = (job, 0, 0, slot.generation, 1, blob(1))
    assert world.refuses("Jobs", "checkpoint", slot.processor or b"", *arguments) is errors.CheckpointNotAllowed
