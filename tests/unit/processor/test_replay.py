"""Replays: a run again with the tape in the place of the world, for jurors and challengers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.processor.runtimes.outcome import Outcome, TapeInconsistent, result_digest
from node.processor.runtimes.spec import FetchFailed, FetchReply, FetchRequest, RunSpec
from node.processor.runtimes.tape import Tape, TapeEntry, decode_tape
from tests.helpers.runtime_runs import make_spec, outcomes

SCRIPTS = {
    "javascript": """
export async function main(heddle) {
  const first = await heddle.fetch("http://example.test/a");
  let second;
  try { second = (await heddle.fetch("http://example.test/b")).text() } catch (error) { second = error.message }
  if (first.text() === "throw") throw new Error("as asked");
  return [first.text(), second, heddle.sign("text").length, heddle.random(4).length];
}
""",
    "python": """
def main(heddle):
    first = heddle.fetch("http://example.test/a")
    try:
        second = heddle.fetch("http://example.test/b").text()
    except heddle.HostError as error:
        second = str(error)
    if first.text() == "throw":
        raise ValueError("as asked")
    return [first.text(), second, len(heddle.sign("text")), len(heddle.random(4))]
""",
}


def spec_of(runtime: str) -> RunSpec:
    """A script that asks the world three times."""
    return make_spec(runtime, SCRIPTS[runtime], fetch=("example.test",), sign=True)


def recorded(spec: RunSpec, body: bytes = b"reply") -> Outcome:
    """A run with a world that answers the first request and not the second."""

    async def fetch(request: FetchRequest) -> FetchReply:
        if request.url.endswith("/b"):
            raise FetchFailed("no route")
        return FetchReply(200, (), body)

    async def sign(content: bytes) -> bytes:
        return content.ljust(64, b".")

    (outcome,) = outcomes(spec, fetch=fetch, sign=sign)
    return outcome


def tape_of(entries: list[TapeEntry]) -> bytes:
    """The bytes of a tape."""
    tape = Tape()
    for entry in entries:
        tape.append(entry)
    return tape.encode()


@pytest.mark.parametrize("runtime", SCRIPTS)
@pytest.mark.parametrize("body", [b"reply", b"throw"], ids=["a result", "an error of the script"])
def test_a_replay_is_the_same_run(runtime: str, body: bytes) -> None:
    """Without a world, the tape alone gives the same outcome to the last field, fuel and tape included."""
    spec = spec_of(runtime)
    first = recorded(spec, body)
    assert (first.failure is None) is (body == b"reply")
    (again,) = outcomes(replace(spec, replay=first.tape))
    assert again == first
    assert result_digest(bytes(32), bytes(32), 2, again) == result_digest(bytes(32), bytes(32), 2, first)


def test_a_tape_of_another_run_is_inconsistent() -> None:
    """Another request, order or call, an entry too few or too many, or no tape at all: one failure, one digest.

    The script cannot catch it, and jurors who see any of these agree on what they saw.
    """
    spec = spec_of("javascript")
    entries = decode_tape(recorded(spec).tape)
    first, second, third = entries
    wrong = [
        tape_of([replace(first, request=first.request + b" "), second, third]),
        tape_of([second, first, third]),
        tape_of([first, replace(second, call="sign"), third]),
        tape_of([first, second]),
        tape_of([*entries, third]),
        b"",
        b"\xc1",
    ]
    found = outcomes(*(replace(spec, replay=tape) for tape in wrong))
    assert [outcome.failure for outcome in found] == [TapeInconsistent()] * len(wrong)
    assert len({result_digest(bytes(32), bytes(32), 2, outcome) for outcome in found}) == 1
    assert all(outcome.reproducible and outcome.output == b"" for outcome in found)


def test_what_a_tape_answers_is_what_the_script_gets() -> None:
    """A tape with another reply is consistent: its output follows from it, and differs."""
    spec = spec_of("javascript")
    honest = recorded(spec)
    first, *others = decode_tape(honest.tape)
    (forged,) = outcomes(replace(spec, replay=tape_of([replace(first, reply=b"200\n\n\nforged"), *others])))
    assert forged.failure is None
    assert forged.output != honest.output
    assert b"forged" in forged.output
