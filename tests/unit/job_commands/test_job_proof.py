"""Results with proofs: true ones are read, and whatever a node changes in its answers is found."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
import trio

from cli.errors import CliError, NotFound, Refused
from cli.job_proof import Call, proven_result
from node.rpc.api.chain_api import ChainApi
from node.rpc.api.state_api import StateApi
from node.rpc.methods import Methods
from pallets.jobs.records import JobState
from tests.helpers.processor_lab import ProcessorLab


def at_once(answer: Awaitable[Any]) -> Any:
    """The result of an RPC method that waits for nothing."""
    try:
        next(answer.__await__())
    except StopIteration as end:
        return end.value
    raise AssertionError("the method waits for something")


class Answers:
    """A node that answers, and may change what it says before it does. `asked` are the methods, in order."""

    def __init__(self, lab: ProcessorLab) -> None:
        self.methods = Methods()
        for api in (ChainApi(lab.chain), StateApi(lab.chain)):
            api.register(self.methods)
        self.lies: dict[str, Any] = {}
        self.asked: list[str] = []

    def call(self, method: str, *parameters: Any) -> Any:
        self.asked.append(method)
        found = self.methods.find(method)
        assert found is not None
        answer = at_once(found.function(*parameters))
        lie = self.lies.get(method)
        return answer if lie is None else lie(answer)


def ended_job(folder: Path, test: Any) -> None:
    """Run `test(lab, answers)` once job 0 has ended and is final."""

    async def run() -> None:
        lab = ProcessorLab(folder)
        lab.runs.gate.set()
        async with lab.working() as nursery:
            await lab.look_around(nursery)
            await lab.blocks_until(nursery, lab.advertised)
            lab.register(lab.spec())
            await lab.blocks_until(nursery, lambda: lab.runs.started)
            await lab.blocks_until(nursery, lambda: lab.state() is JobState.DONE)
            await lab.block(nursery)
            test(lab, Answers(lab))

    trio.run(run)


def result(call: Call, job: str = "0", finalised: str | None = None, execution: int = 0) -> Any:
    """A proven result; its output lies in the state, so no blob is asked for."""

    def no_blob(_cid: str) -> bytes:
        raise AssertionError

    return proven_result(call, no_blob, job, None, execution, finalised)


def test_a_result_is_proven_by_number_and_by_hash(tmp_path: Path) -> None:
    """The output, its digest and its place come out of a final state; nothing is read that has no proof."""

    def test(lab: ProcessorLab, node: Answers) -> None:
        found, where = result(node.call)
        assert found.data == b"run 1"
        assert found.digest == "0x" + lab.execution().digest.hex()
        assert (where.block, where.finalised_by) == (lab.chain.finalised.number, "node")
        hash_ = "0x" + lab.chain.finalised.hash.hex()
        again, said = result(node.call, where.job_hash, hash_)
        assert again == found
        assert said.finalised_by == "user"
        assert set(node.asked) == {"chain_getFinalizedHead", "chain_getHeader", "state_getReadProof"}

    ended_job(tmp_path, test)


def test_what_is_not_there_is_proven_too(tmp_path: Path) -> None:
    """A job or an execution that the final state does not hold is NotFound, a hash that is none Refused."""

    def test(_lab: ProcessorLab, node: Answers) -> None:
        for job, execution in (("7", 0), ("0x" + "00" * 32, 0), ("0", 9)):
            with pytest.raises(NotFound, match="proven"):
                result(node.call, job, execution=execution)
        for job, finalised in (("first", None), ("0", "0x12")):
            with pytest.raises(Refused):
                result(node.call, job, finalised)

    ended_job(tmp_path, test)


def flipped(hexed: str, place: int) -> str:
    """Hex with one bit changed."""
    data = bytearray.fromhex(hexed[2:])
    data[place] ^= 1
    return "0x" + data.hex()


LIES: dict[str, tuple[str, Any]] = {
    "another value": ("state_getReadProof", lambda told: {**told, "proof": [flipped(told["proof"][0], 60)]}),
    "another page": ("state_getReadProof", lambda told: {**told, "proof": [flipped(told["proof"][0], -1)]}),
    "no proof": ("state_getReadProof", lambda told: {**told, "proof": ["0x00"]}),
    "no list": ("state_getReadProof", lambda _told: {"proof": None}),
    "another state root": ("chain_getHeader", lambda told: {**told, "stateRoot": flipped(told["stateRoot"], 5)}),
    "another number": ("chain_getHeader", lambda told: {**told, "number": "0x1"}),
    "no digest": ("chain_getHeader", lambda told: {**told, "digest": None}),
}


def test_whatever_a_node_changes_is_found(tmp_path: Path) -> None:
    """A changed value, page, root or header is an error that says so, never a result."""

    def test(_lab: ProcessorLab, node: Answers) -> None:
        for method, lie in LIES.values():
            node.lies = {method: lie}
            with pytest.raises(CliError, match="does not hold"):
                result(node.call)

    ended_job(tmp_path, test)
