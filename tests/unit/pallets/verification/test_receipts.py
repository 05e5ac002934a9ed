"""Receipts of results that were delivered after their judgment."""

from pallets.jobs.destinations import Chain, Webhook
from pallets.jobs.errors import UnknownDestination
from pallets.jobs.records import ExecutionState
from pallets.jobs.report import Delivery
from pallets.jobs.types import Quorum, Trusted
from pallets.verification import errors
from pallets.verification.events import Delivered
from tests.helpers.job_world import PROCESSORS, World

ONE, TWO, THREE = PROCESSORS[:3]
HOOKS = (Chain(), Webhook("https://one.example"), Webhook("https://two.example"))


def accepted() -> tuple[World, int]:
    """A job on two processors whose results were accepted."""
    world = World()
    for processor in PROCESSORS[:3]:
        world.offer_capacity(processor)
    spec = world.spec(slots=2, verification=Quorum(2), destinations=HOOKS)
    world.assign(job := world.register(spec=spec), ONE, TWO)
    for slot in range(2):
        world.compute(job, 0, slot)
    world.slots(4)
    for slot in range(2):
        world.reveal_result(job, 0, slot)
    assert world.execution(job, 0, 0).state is ExecutionState.ACCEPTED
    return world, job


def test_a_receipt_stands_beside_the_result_that_was_delivered() -> None:
    """Each destination once for each result; it moves no money, and the job may have ended."""
    world, job = accepted()
    issuance, payer = world.balances.total_issuance(), world.balances.total(ONE)
    world.call("Verification", "delivered", ONE, job, 0, 0, 1, b"receipt")
    assert world.refuses("Verification", "delivered", ONE, job, 0, 0, 1, b"other") is errors.AlreadyDelivered
    world.call("Verification", "delivered", ONE, job, 0, 0, 2, b"")
    assert world.jobs.results.get((job, 0, 0)).deliveries == (Delivery(1, b"receipt"), Delivery(2, b""))
    assert world.events(Delivered) == [Delivered(job, 0, 0, 1), Delivered(job, 0, 0, 2)]
    assert (world.balances.total_issuance(), world.balances.total(ONE)) == (issuance, payer)
    world.check()


def test_only_who_made_an_accepted_result_gives_receipts_for_it() -> None:
    """Not another processor, not for a slot, execution or destination that is not there, not where a report did it."""
    world, job = accepted()
    for who, place, expected in (
        (TWO, (job, 0, 0, 1), errors.NothingToDeliver),
        (THREE, (job, 0, 0, 1), errors.NothingToDeliver),
        (ONE, (job, 1, 0, 1), errors.NothingToDeliver),
        (ONE, (job, 0, 2, 1), errors.NothingToDeliver),
        (ONE, (job + 1, 0, 0, 1), errors.NothingToDeliver),
        (ONE, (job, 0, 0, 3), UnknownDestination),
    ):
        assert world.refuses("Verification", "delivered", who, *place, b"") is expected
    trusted = world.register(spec=world.spec(slots=1, verification=Trusted()))
    world.assign(trusted, ONE)
    world.run(trusted, 0, 0)
    assert world.execution(trusted, 0, 0).state is ExecutionState.ACCEPTED
    assert world.refuses("Verification", "delivered", ONE, trusted, 0, 0, 0, b"") is errors.NothingToDeliver
    assert world.jobs.results.get((job, 0, 0)).deliveries == ()
    world.check()
