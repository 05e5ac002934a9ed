"""What may be shown as a result, and its digest."""

from pallets.jobs.failure import TapeInconsistent
from pallets.jobs.modes import is_result
from pallets.jobs.pallet import check_output
from pallets.jobs.report import BlobOutput, Failed, Outcome, Succeeded
from pallets.jobs.types import JobSpec
from pallets.jobs.validate import is_blob
from pallets.verification.digests import result_digest
from pallets.verification.errors import DeliveredTooEarly, DigestMismatch, NotAResult


def shown_digest(spec: JobSpec, work: bytes, outcome: Outcome) -> bytes:
    """Of what a processor shows as its own result. Raises NotAResult, DeliveredTooEarly, else as `found_digest`."""
    if not is_result(outcome):
        raise NotAResult
    if isinstance(outcome, Succeeded) and outcome.deliveries:
        raise DeliveredTooEarly
    return found_digest(spec, work, outcome)


def found_digest(spec: JobSpec, work: bytes, outcome: Outcome) -> bytes:
    """Of what a challenger or a juror found, be it that the tape does not belong to the run.

    Raises NotAResult, OutputTooLarge, UnknownDestination, DigestMismatch.
    """
    if isinstance(outcome, Succeeded):
        check_output(spec, outcome)
    return opened_digest(work, outcome)


def opened_digest(work: bytes, outcome: Outcome) -> bytes:
    """Of any outcome, if nobody will use it. Raises NotAResult, DigestMismatch."""
    inconsistent = isinstance(outcome, Failed) and isinstance(outcome.failure, TapeInconsistent)
    if not is_result(outcome) and not inconsistent:
        raise NotAResult
    if isinstance(outcome, Succeeded) and isinstance(outcome.output, BlobOutput) and not is_blob(outcome.output.blob):
        raise NotAResult
    digest = result_digest(work, outcome)
    if isinstance(outcome, Succeeded) and outcome.digest != digest:
        raise DigestMismatch
    return digest
