"""What must hold of a burst of jobs once all have ended; each function gives the problems that it found, in words."""

from collections.abc import Mapping
from statistics import mean
from typing import Any

from cli.burst import Order, QueueSample, Story
from cli.chain_client import ChainClient
from pallets.jobs.queue import AGEING_SLOTS
from pallets.jobs.records import JobSucceeded
from pallets.jobs.report import InlineOutput

SHOWN_MAX = 5


def lost(orders: list[Order], story: Story) -> list[str]:
    """Every registration that was sent is a job, once, and every job ended with success."""
    problems = story.failures[:SHOWN_MAX]
    seen = [order.raw for order in story.orders.values()]
    if len(set(seen)) != len(seen) or set(seen) != {order.raw for order in orders}:
        problems.append(f"{len(orders)} registrations were sent, and {len(set(seen))} became {len(seen)} jobs")
    bad = {job: end for job, end in story.ends.items() if end != JobSucceeded()}
    problems += [f"job {job} ended as {end}" for job, end in list(bad.items())[:SHOWN_MAX]]
    if len(story.ends) != len(orders):
        problems.append(f"{len(story.ends)} of {len(orders)} jobs have ended")
    return problems


def wrong_results(chain: ChainClient, block: str, story: Story) -> list[str]:
    """Every job gave its own input back."""
    results = {key[0]: result.output for key, result in chain.at(block).jobs.results.items()}
    wrong = [job for job, order in story.orders.items() if results.get(job) != InlineOutput(order.input)]
    return [f"job {job} gave {results.get(job)}" for job in wrong[:SHOWN_MAX]]


def wrong_refunds(
    chain: ChainClient, block: str, story: Story, before: Mapping[bytes, int], after: Mapping[bytes, int]
) -> list[str]:
    """Each deposit became payment, fees and refund to the unit, and each owner paid that and its transactions only."""
    ledgers = {job: ledger for job, ledger in chain.at(block).escrow.ledgers.items() if job in story.orders}
    problems = [f"job {job} has no ledger" for job in story.orders.keys() - ledgers.keys()][:SHOWN_MAX]
    spent = dict.fromkeys({order.owner for order in story.orders.values()}, 0)
    for job, ledger in ledgers.items():
        spent[story.orders[job].owner] += ledger.paid + ledger.fees
        held = sum(getattr(ledger.pots, name) for name in ledger.pots.__slots__)
        if held or ledger.deposited != ledger.paid + ledger.fees + ledger.refunded or not ledger.paid:
            problems.append(f"job {job}: {ledger}")
    for owner, amount in spent.items():
        wanted = before[owner] - amount - story.paid_fees.get(owner, 0)
        if after[owner] != wanted:
            problems.append(f"owner 0x{owner.hex()[:8]} has {after[owner]}, by the ledgers {wanted}")
    return problems[:SHOWN_MAX]


def wrong_order(samples: list[QueueSample]) -> list[str]:
    """The chain's queue holds each waiting job once, by priority and age, then by how long it waits, then by number."""
    problems = []
    for sample in samples:
        wanted = [job for _, job in sorted((place_of(job, sample), job) for job in sample.places)]
        if list(sample.order) != wanted:
            problems.append(f"the queue after block {sample.block} is {sample.order[:8]}…, not {wanted[:8]}…")
    return problems


def place_of(job: int, sample: QueueSample) -> tuple[int, int, int]:
    """A job's place by the specification's words; lower is better."""
    priority, since = sample.places[job]
    return -(priority + (sample.clock - since) // AGEING_SLOTS), since, job


def waits(story: Story) -> tuple[float, float]:
    """How many blocks urgent jobs and others waited for their first offer, on average."""
    found: dict[bool, list[int]] = {True: [], False: []}
    for job, order in story.orders.items():
        if job in story.offered:
            found[order.priority > 0].append(story.offered[job] - story.registered[job])
    return mean(found[True] or [0]), mean(found[False] or [0])


def no_precedence(story: Story) -> list[str]:
    """Urgent jobs had their processors sooner than others."""
    urgent, others = waits(story)
    if urgent > others:
        return [f"urgent jobs waited {urgent:.1f} blocks on average, the others {others:.1f}"]
    return []


def all_checks(
    chain: ChainClient,
    block: str,
    orders: list[Order],
    story: Story,
    money: tuple[Mapping[bytes, int], Mapping[bytes, int]],
) -> dict[str, list[str]]:
    """Every check by its name, with its problems."""
    checks: dict[str, Any] = {
        "none_lost": lost(orders, story),
        "results_right": wrong_results(chain, block, story),
        "refunds_exact": wrong_refunds(chain, block, story, *money),
        "queue_in_order": wrong_order(story.queues),
        "urgent_first": no_precedence(story),
    }
    return checks
