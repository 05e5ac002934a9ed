"""Each call of Jobs in each state of a job, by who may make it and by a stranger: a table of what comes of it."""

from collections.abc import Callable
from typing import Any

import pytest

from pallets.jobs import errors, types
from pallets.jobs.failure import Declined
from runtime.errors import DispatchError
from runtime.pallet import Signed
from tests.helpers.job_world import ALICE, HDL, PROCESSORS, SCRIPT, World, account, success

ONE, TWO = PROCESSORS[:2]
STRANGER = account("a stranger with money")


def absent(world: World) -> int:
    """There is no such job."""
    return 99


def open_(world: World) -> int:
    """Registered."""
    return world.register(spec=world.spec(slots=1, mutability=types.Editor(ALICE)))


def offered(world: World) -> int:
    """Its only slot is offered."""
    job = open_(world)
    world.slots(3)
    world.propose(job, ONE)
    world.until(lambda: not world.job(job).vacant)
    return job


def assigned(world: World) -> int:
    """Acknowledged, and its execution is due."""
    job = offered(world)
    world.acknowledge(job, 0)
    world.until(lambda: 0 in world.slot(job, 0).live)
    world.until(lambda: world.system.now_ms >= world.execution(job, 0, 0).due_ms)
    return job


def running(world: World) -> int:
    """Its execution has started."""
    job = assigned(world)
    world.start(job, 0, 0)
    return job


def paused(world: World) -> int:
    """Paused by its owner while an execution is due."""
    job = assigned(world)
    world.call("Jobs", "pause", ALICE, job)
    return job


def done(world: World) -> int:
    """Its result was accepted."""
    job = running(world)
    world.report(job, 0, 0)
    return job


def cancelled(world: World) -> int:
    """Its owner ended it."""
    job = running(world)
    world.call("Jobs", "cancel", ALICE, job)
    return job


STATES: tuple[Callable[[World], int], ...] = (absent, open_, offered, assigned, running, paused, done, cancelled)
Error = type[DispatchError] | None
ENDED: tuple[Error, Error] = (errors.JobEnded, errors.JobEnded)
OWNERS: dict[str, Callable[[World, int], tuple[Any, ...]]] = {
    "cancel": lambda _world, job: (job,),
    "pause": lambda _world, job: (job,),
    "resume": lambda _world, job: (job,),
    "top_up": lambda _world, job: (job, HDL),
    "extend": lambda world, job: (job, world.system.now_ms + 200_000),
    "preempt": lambda _world, job: (job, 0, 99, 0),
    "edit_script": lambda _world, job: (job, SCRIPT),
    "transfer_editor": lambda _world, job: (job, STRANGER),
}
PROCESSORS_OWN: dict[str, Callable[[World, int], tuple[Any, ...]]] = {
    "acknowledge": lambda _world, job: (job, 0, 0, None),
    "decline": lambda _world, job: (job, 0, 0, Declined()),
    "resign": lambda _world, job: (job, 0, 0),
    "started": lambda _world, job: (job, 0, 0, 0, 1),
    "progress": lambda _world, job: (job, 0, 0, 0, 1, 500),
    "checkpoint": lambda _world, job: (job, 0, 0, 0, 1, SCRIPT),
    "report": lambda _world, job: (job, 0, 0, 0, 1, success()),
}
ANYONES: dict[str, Callable[[World, int], tuple[Any, ...]]] = {"poke": lambda _world, job: (job,)}
ARGUMENTS = {**OWNERS, **PROCESSORS_OWN, **ANYONES}
NOT_HIS = errors.NotTheProcessor
TABLE: dict[str, tuple[Error, ...]] = {
    # absent, open, offered, assigned, running, paused, done, cancelled
    "cancel": (errors.JobNotFound, None, None, None, None, None, *ENDED),
    "pause": (errors.JobNotFound, None, None, None, None, errors.AlreadyPaused, *ENDED),
    "resume": (errors.JobNotFound, *[errors.NotPaused] * 4, None, *ENDED),
    "top_up": (errors.JobNotFound, None, None, None, None, None, *ENDED),
    "extend": (errors.JobNotFound, None, None, None, None, None, *ENDED),
    "preempt": (errors.JobNotFound, *[errors.JobNotFound] * 5, *ENDED),
    "edit_script": (errors.JobNotFound, *[errors.NothingToEdit] * 5, *ENDED),
    "transfer_editor": (errors.JobNotFound, *[None] * 5, *ENDED),
    "acknowledge": (errors.JobNotFound, NOT_HIS, None, *[errors.NotOffered] * 3, *ENDED),
    "decline": (errors.JobNotFound, NOT_HIS, None, *[errors.NotOffered] * 3, *ENDED),
    "resign": (errors.JobNotFound, NOT_HIS, errors.NotAcknowledged, None, None, None, *ENDED),
    "started": (errors.JobNotFound, NOT_HIS, errors.NotAcknowledged, None, errors.NotScheduled, None, *ENDED),
    "progress": (
        errors.JobNotFound,
        NOT_HIS,
        errors.NotAcknowledged,
        errors.NotRunning,
        None,
        errors.NotRunning,
        *ENDED,
    ),
    "checkpoint": (
        errors.JobNotFound,
        NOT_HIS,
        errors.NotAcknowledged,
        errors.NotRunning,
        None,
        errors.NotRunning,
        *ENDED,
    ),
    "report": (errors.JobNotFound, NOT_HIS, errors.NotAcknowledged, errors.NotRunning, None, errors.NotRunning, *ENDED),
    "poke": (errors.JobNotFound, None, None, None, None, None, *ENDED),
}
CASES = [(call, place) for call in TABLE for place in range(len(STATES))]


def world_in(place: int) -> tuple[World, int]:
    """A world whose job is in the state of a column."""
    world = World()
    for processor in (ONE, TWO):
        world.offer_capacity(processor)
    world.balances.issue(STRANGER, 100 * HDL)
    return world, STATES[place](world)


def refusal(world: World, call: str, who: bytes, job: int) -> Error:
    """How a call ends; refused, it has changed nothing."""
    mark = world.state.mark()
    definition = world.runtime.definition("Jobs", call)
    try:
        world.runtime.dispatch_in_layer(definition(*ARGUMENTS[call](world, job)), Signed(who))
    except DispatchError as error:
        assert world.state.mark() == mark
        return type(error)
    return None


def test_the_table_knows_every_call() -> None:
    """One that is added must be added here; what `register` refuses is in test_registration.py."""
    calls = World().runtime.calls.values()
    assert {"register", *TABLE} == {definition.name for definition in calls if definition.pallet == "Jobs"}
    assert all(len(row) == len(STATES) for row in TABLE.values())


@pytest.mark.parametrize(("call", "place"), CASES, ids=[f"{call}-{STATES[place].__name__}" for call, place in CASES])
def test_each_call_in_each_state(call: str, place: int) -> None:
    """What the one who may make it gets: its error, or none."""
    world, job = world_in(place)
    who = ALICE if call in OWNERS else ONE
    assert refusal(world, call, who, job) is TABLE[call][place]
    world.check()


@pytest.mark.parametrize("call", [*OWNERS, *PROCESSORS_OWN])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_stranger_gets_nowhere(call: str, state: Callable[[World], int]) -> None:
    """In no state of a job does anybody else's call do anything; nor the payer's in the place of the processor."""
    world, job = world_in(STATES.index(state))
    others = (STRANGER, TWO, ONE) if call in OWNERS else (STRANGER, TWO, ALICE)
    for who in others:
        wanted: Error = errors.NotOwner if call in OWNERS else errors.NotTheProcessor
        if call in ("edit_script", "transfer_editor"):
            wanted = errors.NotEditor
        if state in (absent, done, cancelled):
            wanted = errors.JobNotFound if state is absent else errors.JobEnded
        assert refusal(world, call, who, job) is wanted
    world.check()
