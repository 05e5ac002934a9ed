"""Each call of Verification in each state of a round, by who may make it and by others: a table of what comes of it."""

from collections.abc import Callable
from typing import Any

import pytest

from pallets.jobs import errors as job_errors
from pallets.jobs import types
from pallets.verification import errors
from runtime.errors import DispatchError
from runtime.pallet import Signed
from tests.helpers.job_world import ALICE, BOB, CAROL, PROCESSORS, SALT, World, success

ONE, TWO, THREE = PROCESSORS[:3]
Error = type[DispatchError] | None
Life = Callable[[World], int]
WINDOW_MS = 200_000


def absent(world: World) -> int:
    """There is no such job."""
    return 99


def assigned(world: World) -> int:
    """Three replicas are promised."""
    world.assign(job := world.register(spec=world.spec(slots=3, verification=types.Quorum(2))), ONE, TWO, THREE)
    return job


def running(world: World) -> int:
    """The first one runs."""
    job = assigned(world)
    world.start(job, 0, 0)
    return job


def collecting(world: World) -> int:
    """The first one has committed."""
    job = running(world)
    world.commit_result(job, 0, 0)
    return job


def revealing(world: World) -> int:
    """All have committed, the gap is over."""
    job = collecting(world)
    for slot in (1, 2):
        world.compute(job, 0, slot)
    world.slots(4)
    return job


def revealed(world: World) -> int:
    """The first one has revealed."""
    job = revealing(world)
    world.reveal_result(job, 0, 0)
    return job


def frozen(world: World) -> int:
    """The first one has not revealed in time, the others have: its bond is frozen."""
    job = revealing(world)
    for slot in (1, 2):
        world.reveal_result(job, 0, slot)
    world.until(lambda: (job, 0, 0) in dict(world.verification.late.items()))
    return job


def settled(world: World) -> int:
    """All have revealed the same."""
    job = revealing(world)
    for slot in range(3):
        world.reveal_result(job, 0, slot)
    return job


def reported(world: World, verification: types.Verification) -> int:
    """A report that waits for judgment."""
    spec = world.spec(slots=1, verification=verification)
    world.assign(job := world.register(spec=spec), ONE)
    world.run(job, 0, 0, world.found(job))
    return job


def with_owner(world: World) -> int:
    """It waits for the owner."""
    return reported(world, types.OwnerAccept(WINDOW_MS))


def in_window(world: World) -> int:
    """It waits for challenges, the lottery of audits is over."""
    job = reported(world, types.Reexecution(WINDOW_MS))
    world.slots(5)
    return job


def challenged(world: World) -> int:
    """Bob doubts it."""
    job = in_window(world)
    other = world.found(job, output=b"43")
    world.call("Verification", "challenge", BOB, job, 0, world.outsiders_commitment(job, 0, other, BOB))
    return job


STATES: tuple[Life, ...] = (
    *(absent, assigned, running, collecting, revealing, revealed, frozen, settled),
    *(with_owner, in_window, challenged),
)


def known(world: World, job: int, output: bytes = b"42") -> Any:
    """A result of the job, or of none."""
    return world.found(job, output=output) if world.jobs.jobs.find(job) else success(output)


ARGUMENTS: dict[str, Callable[[World, int], tuple[Any, ...]]] = {
    "commit": lambda _world, job: (job, 0, 0, 0, 1, bytes(32)),
    "reveal": lambda world, job: (job, 0, 0, 0, 1, known(world, job), SALT),
    "accept": lambda _world, job: (job, 0, 0),
    "reject": lambda _world, job: (job, 0, 0),
    "challenge": lambda _world, job: (job, 0, bytes(32)),
    "reveal_challenge": lambda world, job: (job, 0, known(world, job, b"43"), SALT),
    "reveal_late": lambda world, job: (job, 0, 0, known(world, job), SALT),
    "poke": lambda _world, job: (job, 0),
    "delivered": lambda _world, job: (job, 0, 0, 0, b"receipt"),
}


def world_in(state: Life) -> tuple[World, int]:
    """A world whose job is in a state."""
    world = World()
    for processor in PROCESSORS:
        world.offer_capacity(processor)
    return world, state(world)


def refusal(world: World, call: str, who: bytes, job: int) -> Error:
    """How a call ends; refused, it has changed nothing."""
    mark = world.state.mark()
    definition = world.runtime.definition("Verification", call)
    try:
        world.runtime.dispatch_in_layer(definition(*ARGUMENTS[call](world, job)), Signed(who))
    except DispatchError as error:
        assert world.state.mark() == mark
        return type(error)
    return None


WHO = {
    "commit": ONE,
    "reveal": ONE,
    "accept": ALICE,
    "reject": ALICE,
    "challenge": BOB,
    "reveal_challenge": BOB,
    "reveal_late": ONE,
    "poke": CAROL,
    "delivered": ONE,
}
NOWHERE = job_errors.JobNotFound
COMMITTED = job_errors.NotAcknowledged
"""A slot whose only execution waits for judgment is closed."""
NOTHING, NO_CHALLENGE, CLOSED = errors.NothingToJudge, errors.NotChallengeable, errors.RevealNotOpen
TABLE: dict[str, tuple[Error, ...]] = {
    # absent, assigned, running, collecting, revealing, revealed, frozen, settled; with_owner, in_window, challenged
    "commit": (
        *(NOWHERE, job_errors.NotRunning, None, COMMITTED, COMMITTED, COMMITTED),
        *(job_errors.JobEnded, job_errors.JobEnded, COMMITTED, COMMITTED, COMMITTED),
    ),
    "reveal": (
        *(NOWHERE, errors.NotCommitted, errors.NotCommitted, CLOSED, None, errors.AlreadyRevealed),
        *(errors.NotCommitted, errors.NotCommitted, CLOSED, CLOSED, CLOSED),
    ),
    "accept": (NOWHERE, *[NOTHING] * 7, None, NOTHING, NOTHING),
    "reject": (NOWHERE, *[NOTHING] * 7, None, NOTHING, NOTHING),
    "challenge": (NOWHERE, *[NO_CHALLENGE] * 8, None, errors.AlreadyChallenged),
    "reveal_challenge": (NOWHERE, *[NO_CHALLENGE] * 8, NOTHING, None),
    "reveal_late": (*[errors.NothingLate] * 6, None, *[errors.NothingLate] * 4),
    "poke": (NOWHERE, *[None] * 10),
    "delivered": (*[errors.NothingToDeliver] * 7, None, *[errors.NothingToDeliver] * 3),
}
OTHERS: dict[str, tuple[tuple[bytes, ...], type[DispatchError]]] = {
    "accept": ((ONE, CAROL), job_errors.NotOwner),
    "reject": ((ONE, CAROL), job_errors.NotOwner),
    "reveal": ((TWO, CAROL, ALICE), errors.NotCommitted),
    "reveal_late": ((TWO, CAROL, ALICE), errors.NothingLate),
    "delivered": ((TWO, CAROL, ALICE), errors.NothingToDeliver),
}
CASES = [(call, place) for call in TABLE for place in range(len(STATES))]


def test_the_table_of_rounds_knows_every_call() -> None:
    """One that is added must be added here."""
    calls = World().runtime.calls.values()
    assert set(TABLE) == {definition.name for definition in calls if definition.pallet == "Verification"}
    assert all(len(row) == len(STATES) for row in TABLE.values())


@pytest.mark.parametrize(("call", "place"), CASES, ids=[f"{call}-{STATES[place].__name__}" for call, place in CASES])
def test_each_call_of_a_round_in_each_state(call: str, place: int) -> None:
    """What the one who may make it gets: its error, or none; every invariant holds after it."""
    world, job = world_in(STATES[place])
    assert refusal(world, call, WHO[call], job) is TABLE[call][place]
    world.check()


@pytest.mark.parametrize("state", STATES[1:], ids=lambda state: state.__name__)
def test_nobody_acts_in_anothers_place(state: Life) -> None:
    """Owner, processor and challenger each act for themselves only, whatever the state."""
    world, job = world_in(state)
    for call, (others, error) in OTHERS.items():
        for who in others:
            assert refusal(world, call, who, job) is error
    over = job_errors.JobEnded if state in (frozen, settled) else job_errors.NotTheProcessor
    for who in (TWO, CAROL, ALICE):
        assert refusal(world, "commit", who, job) is over
        assert refusal(world, "reveal_challenge", who, job) in (NO_CHALLENGE, NOTHING)
    world.check()


@pytest.mark.parametrize("who", [ONE, PROCESSORS[4]])
def test_nobody_challenges_a_result_of_its_own(who: bytes) -> None:
    """Neither the processor nor another one of its manager."""
    world, job = world_in(absent)
    for processor in (ONE, PROCESSORS[4]):
        world.pair(processor, "one manager")
    job = in_window(world)
    assert refusal(world, "challenge", who, job) is errors.OwnResult
    world.check()
