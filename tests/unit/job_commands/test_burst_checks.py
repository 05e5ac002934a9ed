"""The burst's own checks can fail: a lost job, a failed one, a queue out of order and late urgent jobs are found."""

from dataclasses import replace

from cli.burst import JOBS_PER_OWNER, URGENT_PRIORITY, Order, QueueSample, Story, owners_of
from cli.burst_checks import lost, no_precedence, waits, wrong_order
from pallets.jobs.bounds import OPEN_JOBS_PER_OWNER_MAX
from pallets.jobs.queue import AGEING_SLOTS
from pallets.jobs.records import Expiry, JobExpired, JobSucceeded

OWNER = bytes(32)
PLAIN = Order(OWNER, 0, b"plain", b"first transaction")
URGENT = Order(OWNER, URGENT_PRIORITY, b"urgent", b"second transaction")


def story() -> Story:
    """Both jobs were registered in block 1, the urgent one had its processor first, both succeeded."""
    return Story(
        orders={0: PLAIN, 1: URGENT},
        registered={0: 1, 1: 1},
        offered={0: 9, 1: 3},
        ended={0: 12, 1: 6},
        ends={0: JobSucceeded(), 1: JobSucceeded()},
    )


def test_a_lost_job_is_found() -> None:
    """A registration that became no job or two, that failed, and a job without an end or without success are named."""
    good = story()
    assert lost([PLAIN, URGENT], good) == []
    assert "became 2 jobs" in lost([PLAIN, URGENT, replace(PLAIN, raw=b"third")], good)[0]
    assert "became 3 jobs" in lost([PLAIN, URGENT], replace(good, orders={**good.orders, 2: PLAIN}))[0]
    assert lost([PLAIN, URGENT], replace(good, ends={0: JobSucceeded()})) == ["1 of 2 jobs have ended"]
    expired = replace(good, ends={**good.ends, 1: JobExpired(Expiry.QUEUE)})
    assert [text[:14] for text in lost([PLAIN, URGENT], expired)] == ["job 1 ended as"]
    assert lost([PLAIN, URGENT], replace(good, failures=["refused"])) == ["refused"]


def test_a_queue_out_of_order_is_found() -> None:
    """Priority and age, then the time of arrival, then the number decide; a job that is missing shows."""
    places = {0: (0, 10), 1: (URGENT_PRIORITY, 12), 2: (0, 10), 3: (0, 8)}
    sample = QueueSample(5, 20, (1, 3, 0, 2), places)
    assert wrong_order([sample]) == []
    assert len(wrong_order([sample, replace(sample, order=(3, 1, 0, 2))])) == 1
    assert len(wrong_order([replace(sample, order=(1, 3, 0))])) == 1
    aged = replace(sample, clock=12 + URGENT_PRIORITY * AGEING_SLOTS, places={0: (0, 12), 1: (URGENT_PRIORITY, 13)})
    assert wrong_order([replace(aged, order=(1, 0))]) == []
    older = {0: (0, 12), 1: (URGENT_PRIORITY, aged.clock)}
    assert wrong_order([replace(aged, places=older, order=(0, 1))]) == []


def test_late_urgent_jobs_are_found() -> None:
    """The mean waits are those from registration to the first offer, and urgent jobs must not wait longer."""
    assert waits(story()) == (2, 8)
    assert no_precedence(story()) == []
    assert len(no_precedence(replace(story(), offered={0: 3, 1: 9}))) == 1


def test_no_owner_has_more_jobs_than_the_chain_lets_live() -> None:
    """The burst is shared by so many owners that none comes near the bound of live jobs."""
    assert [len(owners_of(jobs)) for jobs in (1, 1_200, 1_201, 2_000)] == [3, 3, 4, 5]
    assert JOBS_PER_OWNER < OPEN_JOBS_PER_OWNER_MAX
