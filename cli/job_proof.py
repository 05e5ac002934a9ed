"""A result with its proof: read out of a final block's state, each value checked against the block's header alone.

The node is trusted with nothing but to answer: a header must have the hash that was asked for, and what a storage key
holds must fold to the header's state root (runtime/proof.py). Which block is final is either said by the user, who has
it from a source of their own, or taken from the node, and then the answer says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cli.chain_client import bytes_of
from cli.errors import CliError, NotFound, Refused
from cli.job_result import JobResult
from cli.job_timeline import failure_text
from runtime import ss58
from runtime.heddle import MAX_SPEC, Heddle
from runtime.proof import ProofError, decode_proofs, verify_with_header
from runtime.scale import ScaleError, codec_of
from runtime.types import Digest, DigestItem, Header

DIGEST_ITEM = codec_of(DigestItem)
Call = Callable[..., Any]
"""call(method, *parameters) asks the node."""


@dataclass(frozen=True)
class Proven:
    """Where a result was proven. `finalised_by`: "user", or "node" if its word was taken for what is final."""

    block: int
    hash: str
    finalised_by: str
    job_hash: str


class ProvenState:
    """The state after one block, in the form that the runtime reads: every value comes with a proof that holds."""

    def __init__(self, call: Call, header: Header) -> None:
        self.call = call
        self.encoded, self.block_hash = header.encode(), header.hash()

    def get(self, key: bytes) -> bytes | None:
        """What a raw storage key holds, proven. CliError if the node's proof does not hold."""
        answer = self.call("state_getReadProof", ["0x" + key.hex()], "0x" + self.block_hash.hex())
        try:
            (proof,) = decode_proofs(bytes_of(answer["proof"][0]))
            if proof.key != key:
                raise dishonest("it proves another key")
            verify_with_header(self.encoded, proof, self.block_hash)
        except (ProofError, ValueError, KeyError, IndexError, TypeError) as error:
            raise dishonest(str(error)) from error
        return proof.value

    def iterate(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Not offered: that a list is whole cannot be proven key by key."""
        raise TypeError("a proof answers one key, not a list of them")


def dishonest(why: str) -> CliError:
    """The node's proof does not hold."""
    return CliError(f"the node's proof does not hold: {why}", "do not trust this node; ask another one")


def header_at(call: Call, block_hash: str) -> Header:
    """The header with this hash, which is computed here. NotFound, CliError."""
    shown = call("chain_getHeader", block_hash)
    if shown is None:
        raise NotFound(f"the node has no block {block_hash}", "is it on this chain, and not pruned?")
    try:
        header = Header(
            bytes_of(shown["parentHash"]),
            int(shown["number"], 16),
            bytes_of(shown["stateRoot"]),
            bytes_of(shown["extrinsicsRoot"]),
            Digest(tuple(DIGEST_ITEM.decode(bytes_of(item)) for item in shown["digest"]["logs"])),
        )
        found = "0x" + header.hash().hex()
    except (ScaleError, KeyError, TypeError, ValueError) as error:
        raise dishonest(f"the header is malformed: {error}") from error
    if found != block_hash:
        raise dishonest(f"the header for {block_hash} has the hash {found}")
    return header


def proven_result(
    call: Call,
    fetch_blob: Callable[[str], bytes],
    job: str,
    slot: int | None,
    execution: int,
    finalised: str | None,
) -> tuple[JobResult, Proven]:
    """An accepted result out of a final block's state. `job` is a number or a hash; `fetch_blob` checks content."""
    from node.blobs import cid_text
    from pallets.jobs.report import BlobOutput, InlineOutput

    header = header_at(call, checked_hash(finalised) if finalised else str(call("chain_getFinalizedHead")))
    runtime = Heddle()
    runtime.state.attach(ProvenState(call, header), MAX_SPEC)
    number = _number_of(runtime, job, header.number)
    record = runtime.jobs.jobs.get(number)
    places = range(record.slots) if slot is None else (slot,)
    place = next((one for one in places if runtime.jobs.results.contains((number, one, execution))), None)
    if place is None:
        raise _no_result(runtime, number, places[0], execution, header.number)
    run = runtime.jobs.executions.get((number, place, execution))
    result = runtime.jobs.results.get((number, place, execution))
    if isinstance(result.output, BlobOutput):
        data = fetch_blob(cid_text(result.output.blob.cid))
    else:
        assert isinstance(result.output, InlineOutput), "an output is inline or a blob"
        data = result.output.data
    found = JobResult(
        number,
        execution,
        place,
        "0x" + (run.digest or b"").hex(),
        run.fuel,
        run.paid,
        "" if run.processor is None else ss58.encode(run.processor),
        data,
        isinstance(result.output, BlobOutput),
    )
    said_by = "user" if finalised else "node"
    return found, Proven(header.number, "0x" + header.hash().hex(), said_by, "0x" + record.id_hash.hex())


def checked_hash(value: str) -> str:
    """A block's hash as the user gives it."""
    text = value.lower() if value.startswith("0x") else f"0x{value.lower()}"
    if len(text) != 66 or any(digit not in "0123456789abcdef" for digit in text[2:]):
        raise Refused(f"finalised: {value!r} is no block's hash", "it is 0x and 64 digits")
    return text


def _number_of(runtime: Heddle, job: str, block: int) -> int:
    """A job's number, given as such or as its hash; NotFound proves that the state holds no such job."""
    if job.startswith("0x"):
        found = runtime.jobs.job_by_hash.find(bytes_of(checked_hash(job)))
    elif job.isdecimal():
        found = int(job) if runtime.jobs.jobs.contains(int(job)) else None
    else:
        raise Refused(f"job: {job!r} is neither a number nor a hash", "see `heddle job list`")
    if found is None:
        raise NotFound(
            f"the final block {block} holds no job {job}: it is proven", "wait until it is final, or see `list`"
        )
    return found


def _no_result(runtime: Heddle, job: int, slot: int, execution: int, block: int) -> NotFound:
    """Why there is no result, as far as the state shows it."""
    run = runtime.jobs.executions.find((job, slot, execution))
    state = "has not come up" if run is None else f"is {run.state.name.lower()}"
    if run is not None and run.failure is not None:
        from pallets.jobs.queries import plain

        state += f", {failure_text(plain(run.failure))}"
    where = f"execution {execution} of job {job} on slot {slot} {state} in the final block {block}: it is proven"
    return NotFound(where, f"see `heddle job timeline {job}`")
