"""What a job's verification mode asks of the rest of the chain (spec/job-layer.md §5).

In compared modes several executions of the same work are held against each other, so scripts see neither slot nor
attempt, may not sign, and get their processors by lottery. A job is deterministic if anyone who re-runs it must come to
the same digest: a metered runtime, without requests to the network and without secrets that a jury could not have.
"""

from pallets.jobs.failure import AppError, CapabilityDenied, Failure, OutOfResources, Resource, ScriptInvalid
from pallets.jobs.report import Failed, Outcome, Succeeded
from pallets.jobs.types import Adaptive, Credibility, JobSpec, OwnerAccept, Quorum, Reexecution, RuntimeKind

DETERMINISTIC_RUNTIMES = (RuntimeKind.WASM, RuntimeKind.JAVASCRIPT, RuntimeKind.PYTHON)
COMPARED = (Quorum, Credibility, Adaptive, Reexecution)
COMMITTING = (Quorum, Credibility, Adaptive)
RESULT_FAILURES = (AppError, ScriptInvalid, CapabilityDenied)
MACHINES_LIMITS = (Resource.WALL, Resource.STACK)
"""Budgets that run out differently from machine to machine; the others end a deterministic run the same way."""
LOW_BOND, REPLICA_BOND, SINGLE_BOND = 1, 12, 20
"""β: the bond of a lease in rewards. One replica alone has more to lose than several that watch each other."""


def is_compared(spec: JobSpec) -> bool:
    """Whether results are held against those of others before they are accepted."""
    return isinstance(spec.verification, COMPARED)


def commits(spec: JobSpec) -> bool:
    """Whether a processor binds itself to a result before it shows it."""
    return isinstance(spec.verification, COMMITTING)


def is_result(outcome: Outcome) -> bool:
    """Whether the script came to this end by itself, so that honest processors agree on it."""
    return isinstance(outcome, Succeeded) or (isinstance(outcome, Failed) and is_result_failure(outcome.failure))


def is_result_failure(failure: Failure) -> bool:
    """Whether a failure is the script's own result."""
    if isinstance(failure, OutOfResources):
        return failure.resource not in MACHINES_LIMITS
    return isinstance(failure, RESULT_FAILURES)


def is_deterministic(spec: JobSpec) -> bool:
    """Whether honest processors, and juries, always come to the same digest."""
    return spec.runtime in DETERMINISTIC_RUNTIMES and not spec.capabilities.fetch_hosts and spec.environment is None


def bond_multiple(spec: JobSpec) -> int:
    """β, raised to the specification's `stake_multiple` if that is higher."""
    mode = spec.verification
    if isinstance(mode, Adaptive | Reexecution):
        least = SINGLE_BOND
    elif isinstance(mode, Quorum | Credibility) or (isinstance(mode, OwnerAccept) and is_deterministic(spec)):
        least = REPLICA_BOND
    else:
        least = LOW_BOND
    return max(least, spec.stake_multiple)
