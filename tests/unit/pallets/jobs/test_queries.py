"""What RPC and clients ask: views, lists, duties, and their JSON form."""

import json

from pallets.jobs.failure import CapabilityDenied, OutOfResources, Resource
from pallets.jobs.queries import (
    duties_of,
    executions_of,
    job_view,
    open_jobs,
    plain,
    processor_view,
    processors,
    recent_jobs,
)
from pallets.jobs.records import ExecutionState, JobFailed, SlotState
from pallets.jobs.types import Quorum
from tests.helpers.job_world import ALICE, BOB, HDL, PROCESSORS, World, success

ONE, TWO = PROCESSORS[:2]


def test_a_job_is_shown_whole_while_it_runs_and_after_its_end() -> None:
    """State, slots with bonds, ledger, executions with results."""
    world = World()
    for processor in (ONE, TWO):
        world.offer_capacity(processor)
    world.assign(job := world.register(), ONE, TWO)
    view = job_view(world.jobs, job)
    assert view is not None
    assert [(slot.number, slot.bond, slot.slot.state) for slot in view.slots] == [
        (0, 2 * HDL, SlotState.ACKNOWLEDGED),
        (1, 2 * HDL, SlotState.ACKNOWLEDGED),
    ]
    for slot in (0, 1):
        world.run(job, 0, slot, success(b"out"))
    found = executions_of(world.jobs, job)
    assert [(one.slot, one.execution, one.record.state) for one in found] == [
        (0, 0, ExecutionState.ACCEPTED),
        (1, 0, ExecutionState.ACCEPTED),
    ]
    assert found[0].record.digest == found[1].record.digest
    ended = job_view(world.jobs, job)
    assert ended is not None
    assert ended.ledger.pots.total() == 0
    assert json.loads(json.dumps(plain(ended)))["job"]["end"] == "JobSucceeded"
    assert plain(found)[0]["result"]["output"] == {"InlineOutput": {"data": "0x" + b"out".hex()}}
    assert job_view(world.jobs, 99) is None
    assert executions_of(world.jobs, 99) == []


def test_results_that_wait_for_a_judgment_are_shown_too() -> None:
    """A committed execution is in no list of its slot, and still among the job's executions."""
    world = World()
    for processor in (ONE, TWO):
        world.offer_capacity(processor)
    world.assign(job := world.register(spec=world.spec(verification=Quorum(2))), ONE, TWO)
    world.compute(job, 0, 0)
    states = {one.slot: one.record.state for one in executions_of(world.jobs, job)}
    assert states == {0: ExecutionState.COMMITTED, 1: ExecutionState.SCHEDULED}


def test_jobs_are_listed_open_recent_and_by_owner() -> None:
    """The open list loses a job when its slots are taken; recent jobs come newest first."""
    world = World()
    jobs = [world.register(who) for who in (ALICE, BOB, ALICE)]
    assert sorted(open_jobs(world.jobs)) == jobs
    assert recent_jobs(world.jobs, 10) == jobs[::-1]
    assert recent_jobs(world.jobs, 10, ALICE) == [jobs[2], jobs[0]]
    assert recent_jobs(world.jobs, 1, ALICE) == [jobs[2]]
    world.call("Jobs", "cancel", ALICE, jobs[0])
    assert sorted(open_jobs(world.jobs)) == jobs[1:]


def test_a_processors_duties_are_its_offers_and_leases() -> None:
    """What a watcher has to look after, gone when the job ends."""
    world = World()
    for processor in (ONE, TWO):
        world.offer_capacity(processor)
    job = world.register()
    world.slots(3)
    world.propose(job, ONE, TWO)
    world.until(lambda: not world.job(job).vacant)
    assert [(held, number, slot.state) for held, number, slot in duties_of(world.jobs, TWO)] == [
        (job, 1, SlotState.OFFERED)
    ]
    world.call("Jobs", "cancel", ALICE, job)
    assert duties_of(world.jobs, TWO) == []


def test_a_processor_is_shown_with_advert_leases_and_scores() -> None:
    """And is listed; an unknown one is None."""
    world = World()
    world.offer_capacity(ONE)
    view = processor_view(world.jobs, ONE)
    assert view is not None
    assert view.reputation_ppm == {"wasm": 509_803, "python": 509_803}
    assert processors(world.processors) == [ONE]
    assert processor_view(world.jobs, TWO) is None


def test_plain_names_variants_and_enums() -> None:
    """Sum types become their variant's name, with fields if there are any."""
    assert plain(JobFailed(OutOfResources(Resource.COMPUTE))) == {
        "JobFailed": {"reason": {"OutOfResources": {"resource": "compute"}}}
    }
    assert plain(CapabilityDenied("fetch")) == {"CapabilityDenied": {"name": "fetch"}}
    assert plain({"a": (b"\x01", None, True)}) == {"a": ["0x01", None, True]}
