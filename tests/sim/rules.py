"""The rules of the runtime that the simulation checks after every block, in both tiers."""

from __future__ import annotations

from collections.abc import Iterable

from pallets.escrow.types import Ledger
from pallets.jobs.events import JobAssigned, JobDone, JobMatched, JobRegistered, JobReopened
from pallets.jobs.records import LIVE_STATES, JobCancelled, JobEnd, JobExpired, JobFailed, JobState, JobSucceeded
from pallets.secrets.pallet import PREKEY_DEPOSIT
from runtime.heddle import Heddle
from runtime.pallet import Event

JobStates = dict[int, tuple[JobState, Ledger]]
"""Job -> its state and its account, as they stand after a block."""

STEPS: dict[type[Event], tuple[set[JobState], JobState]] = {
    JobMatched: ({JobState.OPEN}, JobState.MATCHED),
    JobReopened: ({JobState.MATCHED}, JobState.OPEN),
    JobAssigned: ({JobState.MATCHED}, JobState.ASSIGNED),
}
"""The steps of a live job: from which states, to which."""
ENDS: dict[type[JobEnd], tuple[set[JobState], JobState]] = {
    JobSucceeded: ({JobState.ASSIGNED}, JobState.DONE),
    JobFailed: ({JobState.OPEN, JobState.MATCHED, JobState.ASSIGNED}, JobState.DONE),
    JobCancelled: (set(LIVE_STATES), JobState.CANCELLED),
    JobExpired: (set(LIVE_STATES), JobState.EXPIRED),
}


class BrokenRule(AssertionError):
    """Something happened that must never happen."""


def require(condition: bool, rule: str) -> None:
    """Raise BrokenRule unless a rule holds."""
    if not condition:
        raise BrokenRule(rule)


def check_money(runtime: Heddle) -> None:
    """Issuance is free + held, and what is held belongs to jobs, bonds, adverts, stakes, secrets and judges."""
    infos = [info.data for _, info in runtime.system.accounts.items()]
    money = sum(data.free + data.reserved for data in infos)
    require(runtime.balances.total_issuance() == money, "issuance is not free + held")
    escrowed = sum(ledger.pots.total() for _, ledger in runtime.escrow.ledgers.items())
    bonds = sum(bond.amount for _, bond in runtime.escrow.bonds.items())
    deposits = sum(record.deposit for _, record in runtime.processors.records.items())
    stakes = sum(s.bonded + sum(one.amount for one in s.unbonding) for _, s in runtime.processors.stakes.items())
    held = sum(data.reserved for data in infos)
    keys = sum(len(unused) for _, unused in runtime.secrets.prekeys.items())
    secrets = PREKEY_DEPOSIT * keys + sum(bundle.deposit for _, bundle in runtime.secrets.bundles.items())
    accounted = escrowed + bonds + deposits + stakes + secrets + _judging(runtime)
    require(held == accounted, f"{held} planck are held, not what jobs and processors hold")


def _judging(runtime: Heddle) -> int:
    """What jurors, appellants and challengers have locked."""
    held = 0
    for number, panel in runtime.juries.panels.items():
        held += len(runtime.juries.seats_of(number, panel)) * runtime.juries.lock_of(panel)
        held += sum(appeal.amount for appeal in panel.appeals)
    challenges = (one.challenge for _, one in runtime.verification.rounds.items())
    return held + sum(challenge.bond for challenge in challenges if challenge is not None)


def follow_jobs(before: JobStates, runtime: Heddle, events: Iterable[Event]) -> JobStates:
    """All jobs after a block. Every step from their states before it must be legal, every account add up."""
    states = {number: state for number, (state, _) in before.items()}
    _replay(states, events)
    after: JobStates = {}
    for number, job in runtime.jobs.jobs.items():
        ledger = runtime.escrow.ledgers.get(number)
        after[number] = (job.state, ledger)
        parts = ledger.paid + ledger.fees + ledger.refunded + ledger.pots.total()
        require(ledger.deposited == parts, f"the account of job {number} does not add up")
        require(states.get(number) is job.state, f"job {number} is {job.state}, its events say {states.get(number)}")
        if job.state not in LIVE_STATES:
            require(ledger.pots.total() == 0, f"job {number} is {job.state} and holds money")
            known = before.get(number)
            again = known is not None and known[0] is job.state and known[1] != ledger
            require(not again, f"job {number} was settled again")
    return after


def _replay(states: dict[int, JobState], events: Iterable[Event]) -> None:
    """Follow each job through a block by its events; every step must be legal."""
    for event in events:
        if isinstance(event, JobRegistered):
            require(event.job not in states, f"job {event.job} was registered twice")
            states[event.job] = JobState.OPEN
            continue
        step = ENDS[type(event.outcome)] if isinstance(event, JobDone) else STEPS.get(type(event))
        if step is not None:
            job: int = event.job  # type: ignore[attr-defined]  # every event in STEPS has it
            legal, target = step
            require(states.get(job) in legal, f"job {job}: {event} in state {states.get(job)}")
            states[job] = target
