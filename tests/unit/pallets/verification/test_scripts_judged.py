"""What a result is compared by follows the execution: its script version and its part of the input."""

from dataclasses import replace

from pallets.jobs import types
from pallets.jobs.records import ExecutionState
from pallets.verification import digests
from tests.helpers.job_world import BOB, PROCESSORS, SCRIPT, World

ONE, TWO = PROCESSORS[:2]


def blob(number: int) -> types.Blob:
    """A blob of this number."""
    return replace(SCRIPT, cid=SCRIPT.cid[:-1] + bytes((number,)))


def test_an_edited_script_has_digests_of_its_own_and_is_judged_by_them() -> None:
    """The executions before an edit and after it are accepted under the script that each of them ran."""
    world = World()
    for processor in (ONE, TWO):
        world.offer_capacity(processor)
    start = world.system.now_ms + 20_000
    schedule = types.Schedule(start, start + 4 * 200_000 + 1, 200_000, 10_000, 20_000)
    spec = world.spec(verification=types.Quorum(2), schedule=schedule, mutability=types.Editor(BOB))
    world.assign(job := world.register(spec=spec), ONE, TWO)
    world.call("Jobs", "edit_script", BOB, job, blob(1))
    before = digests.work_hash(world.jobs.specs.get(job), 4)
    assert digests.work_hash(world.jobs.spec_for(job, 4), 4) != before
    for execution in range(5):
        for slot in (0, 1):
            world.compute(job, execution, slot)
        world.slots(4)
        for slot in (0, 1):
            world.reveal_result(job, execution, slot)
        assert world.execution(job, 0, execution).state is ExecutionState.ACCEPTED
    world.check()


def test_no_script_is_forgotten_while_a_result_of_it_waits() -> None:
    """The owner's window is open when further edits come: the waiting result keeps the script it was made with."""
    world = World()
    for processor in (ONE, TWO):
        world.offer_capacity(processor)
    start = world.system.now_ms + 20_000
    schedule = types.Schedule(start, start + 19 * 100_000 + 1, 100_000, 10_000, 20_000)
    mode = types.OwnerAccept(1_200_000)
    spec = world.spec(slots=1, verification=mode, schedule=schedule, mutability=types.Editor(BOB))
    world.assign(job := world.register(spec=spec), ONE)
    world.call("Jobs", "edit_script", BOB, job, blob(1))
    world.run(job, 0, 0, world.found(job, 0))
    world.call("Jobs", "edit_script", BOB, job, blob(2))
    world.slots(650)
    world.call("Jobs", "edit_script", BOB, job, blob(3))
    assert world.jobs.spec_for(job, 0).script == SCRIPT
    assert world.jobs.scripts.get(job)[0].script == blob(1)
    world.check()


def test_each_execution_is_compared_by_its_own_part_of_the_input() -> None:
    """Two parts make two pieces of work, even of the same script."""
    world = World()
    start = world.system.now_ms + 20_000
    schedule = types.Schedule(start, start + 60_001, 60_000, 10_000, 20_000)
    spec = world.spec(schedule=schedule, input=types.PartsInput((blob(1), blob(2))), verification=types.Quorum(2))
    job = world.register(spec=spec)
    hashes = [digests.input_hash(world.jobs.spec_for(job, execution)) for execution in (0, 1)]
    assert hashes == [blob(1).cid[4:], blob(2).cid[4:]]
