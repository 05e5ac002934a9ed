"""What replicas are compared by, and how a processor binds itself to it before it shows it (spec/job-layer.md §5).

The chain recomputes a digest from the outcome that is shown, so an output can never differ from its digest. That is
why contents are named by the SHA-256 inside their CID, and the runtime by its kind: the chain knows both. Every field
has a fixed width, integers are little-endian. Fuel, tape, slot and attempt are not part of a result.
"""

from hashlib import sha256

from pallets.jobs.bounds import CID_PREFIX
from pallets.jobs.failure import AppError, CapabilityDenied, Failure, OutOfResources, ScriptInvalid, TapeInconsistent
from pallets.jobs.report import BlobOutput, Failed, InlineOutput, Outcome, Succeeded
from pallets.jobs.types import BlobInput, InlineInput, JobSpec
from runtime.hashing import blake2b256

WORK_TAG, RESULT_TAG, COMMIT_TAG = b"heddle/work/1", b"heddle/result/1", b"heddle/commit/1"
OUTSIDER_SLOT, OUTSIDER_GENERATION, OUTSIDER_ATTEMPT = 255, 0, 0
"""What a challenger or a juror, who holds no slot, puts into its commitment."""
STATUSES: dict[type[Failure], int] = {
    AppError: 1,
    OutOfResources: 2,
    ScriptInvalid: 3,
    CapabilityDenied: 4,
    TapeInconsistent: 5,
}
"""The status byte of a failure; 0 is success."""


def work_hash(spec: JobSpec, execution: int) -> bytes:
    """What is to be computed: H(tag ‖ u8 runtime ‖ H(entry point) ‖ H(script) ‖ H(input) ‖ u32 execution)."""
    named = bytes((spec.runtime.value,)) + sha256(spec.entrypoint.encode()).digest()
    contents = _of_cid(spec.script.cid) + input_hash(spec)
    return blake2b256(WORK_TAG + named + contents + execution.to_bytes(4, "little"))


def input_hash(spec: JobSpec) -> bytes:
    """SHA-256 of the input; of nothing if there is none."""
    if isinstance(spec.input, BlobInput):
        return _of_cid(spec.input.blob.cid)
    return sha256(spec.input.data if isinstance(spec.input, InlineInput) else b"").digest()


def result_digest(work: bytes, outcome: Outcome) -> bytes:
    """H(tag ‖ work ‖ u8 status ‖ u32 code ‖ u32 size ‖ H(output)), of a success or of a failure that is a result."""
    status, code, size, output = 0, 0, 0, bytes(32)
    if isinstance(outcome, Failed):
        status, code = STATUSES[type(outcome.failure)], _code(outcome.failure)
    elif isinstance(outcome, Succeeded) and isinstance(outcome.output, InlineOutput):
        size, output = len(outcome.output.data), sha256(outcome.output.data).digest()
    elif isinstance(outcome, Succeeded) and isinstance(outcome.output, BlobOutput):
        size, output = outcome.output.blob.size, _of_cid(outcome.output.blob.cid)
    fields = bytes((status,)) + code.to_bytes(4, "little") + size.to_bytes(4, "little") + output
    return blake2b256(RESULT_TAG + work + fields)


def commitment(
    genesis_hash: bytes,
    job_hash: bytes,
    execution: int,
    slot: int,
    generation: int,
    attempt: int,
    processor: bytes,
    digest: bytes,
    salt: bytes,
) -> bytes:
    """H(tag ‖ genesis ‖ job ‖ u32 e ‖ u8 slot ‖ u32 generation ‖ u8 attempt ‖ processor ‖ digest ‖ salt of 32 bytes).

    It names chain, run and processor, so that nobody can use another's.
    """
    place = execution.to_bytes(4, "little") + bytes((slot,)) + generation.to_bytes(4, "little") + bytes((attempt,))
    return blake2b256(COMMIT_TAG + genesis_hash + job_hash + place + processor + digest + salt)


def outsiders_commitment(
    genesis_hash: bytes, job_hash: bytes, execution: int, who: bytes, digest: bytes, salt: bytes
) -> bytes:
    """The commitment of a challenger or a juror."""
    place = (OUTSIDER_SLOT, OUTSIDER_GENERATION, OUTSIDER_ATTEMPT)
    return commitment(genesis_hash, job_hash, execution, *place, who, digest, salt)


def _of_cid(cid: bytes) -> bytes:
    """The SHA-256 that a CID of the one form names."""
    assert cid.startswith(CID_PREFIX), "registration and report checked the CID"
    return cid[len(CID_PREFIX) :]


def _code(failure: Failure) -> int:
    if isinstance(failure, AppError):
        return failure.code
    if isinstance(failure, OutOfResources):
        return failure.resource.value
    if isinstance(failure, CapabilityDenied):
        return int.from_bytes(blake2b256(failure.name.encode())[:4], "little")
    return 0
