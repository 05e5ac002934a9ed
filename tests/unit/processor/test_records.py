"""Outcomes, digests, tapes and frames: the plain records of a run."""

from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.processor.runtimes.frames import FRAME_BYTES_MAX, FrameInvalid, decode_body, encode_frame, frame_length
from node.processor.runtimes.outcome import (
    AppError,
    CapabilityDenied,
    Failure,
    InputUnavailable,
    Outcome,
    OutOfResources,
    Resource,
    RuntimeUnsupported,
    ScriptInvalid,
    Status,
    clip_message,
    failure_code,
    failure_fields,
    failure_from,
    failure_text,
    result_digest,
)
from node.processor.runtimes.spec import TAPE_BYTES_MAX, pack_spec, unpack_spec
from node.processor.runtimes.tape import Tape, TapeEntry, TapeFull, TapeInvalid, decode_tape
from tests.helpers.runtime_runs import make_spec

FAILURES: list[Failure] = [
    AppError(1),
    AppError(2),
    ScriptInvalid(),
    CapabilityDenied("fetch"),
    CapabilityDenied("sign"),
    *(OutOfResources(resource) for resource in Resource),
    InputUnavailable(),
    RuntimeUnsupported(),
]
OUTCOME = Outcome("id", Status.SUCCEEDED, b"out", None, "", 5, 6, 0, b"\x90", bytes(32), "", reproducible=True)


def test_failures_have_a_text_a_code_and_a_plain_form() -> None:
    """Each failure has its own text and u32, and comes back from its plain values."""
    assert len({failure_text(failure) for failure in FAILURES}) == len(FAILURES)
    assert len({failure_code(failure) for failure in [*FAILURES, None]}) == len(FAILURES) + 1
    assert failure_text(OutOfResources(Resource.COMPUTE)) == "OutOfResources(compute)"
    for failure in FAILURES:
        kind, detail = failure_fields(failure)
        assert kind is not None
        assert failure_from(kind, detail) == failure
        assert failure_code(failure) < 1 << 32


def test_digest_depends_on_what_it_names_only() -> None:
    """Output, status, code, runtime, script, input and execution change a digest; fuel, memory and messages do not."""

    def digest(
        outcome: Outcome = OUTCOME, script: bytes = bytes(32), data: bytes = bytes(32), execution: int = 0
    ) -> bytes:
        return result_digest(script, data, execution, outcome)

    same = replace(OUTCOME, fuel_used=9, memory_peak=9, message="other", logs="other", tape=b"")
    assert digest(same) == digest()
    failed = replace(OUTCOME, status=Status.FAILED, output=b"")
    changed = [
        digest(replace(OUTCOME, output=b"other")),
        digest(replace(OUTCOME, runtime_id="other")),
        digest(replace(failed, failure=AppError(1))),
        digest(replace(failed, failure=AppError(2))),
        digest(script=b"\1" * 32),
        digest(data=b"\1" * 32),
        digest(execution=1),
    ]
    assert len({digest(), *changed}) == len(changed) + 1
    with pytest.raises(ValueError):
        result_digest(b"short", bytes(32), 0, OUTCOME)


def test_messages_are_cut_to_a_line() -> None:
    """A message is one line of at most 128 bytes, cut between characters."""
    assert clip_message(" a\n\tb ") == "a b"
    assert len(clip_message("ö" * 200).encode()) == 128


def test_specs_survive_the_channel() -> None:
    """A spec packed for a worker comes back equal."""
    spec = make_spec("python", b"x", fetch=("a", "b:1"), environment={"A": "b"}, checkpoint=b"c")
    assert unpack_spec(msgpack.unpackb(msgpack.packb(pack_spec(spec)))) == spec


ENTRIES = st.lists(
    st.builds(TapeEntry, st.text(max_size=8), st.binary(max_size=40), st.booleans(), st.binary(max_size=40))
)


@given(ENTRIES)
def test_tapes_come_back(entries: list[TapeEntry]) -> None:
    """What was recorded is what is read."""
    tape = Tape()
    for entry in entries:
        tape.append(entry)
    assert decode_tape(tape.encode()) == entries


@given(st.binary(max_size=60))
def test_bytes_that_are_no_tape_are_typed(data: bytes) -> None:
    """Any bytes are a tape in its one form, or TapeInvalid."""
    try:
        entries = decode_tape(data)
    except TapeInvalid:
        return
    tape = Tape()
    for entry in entries:
        tape.append(entry)
    assert tape.encode() == data


def test_tapes_are_bounded() -> None:
    """An entry past the cap is refused and leaves the tape as it was."""
    tape = Tape()
    tape.append(TapeEntry("fetch", b"", ok=True, reply=bytes(TAPE_BYTES_MAX - 100)))
    with pytest.raises(TapeFull):
        tape.append(TapeEntry("fetch", b"", ok=True, reply=bytes(100)))
    assert len(tape.entries) == 1
    with pytest.raises(TapeInvalid):
        decode_tape(bytes(TAPE_BYTES_MAX + 1))


@given(st.binary(max_size=60))
def test_bytes_that_are_no_frame_are_typed(data: bytes) -> None:
    """Any bytes are a list that starts with its kind, or FrameInvalid."""
    try:
        items = decode_body(data)
    except FrameInvalid:
        return
    assert isinstance(items[0], str)


def test_frames_are_capped() -> None:
    """A length over the cap is refused before the body is read, and no such frame is written."""
    with pytest.raises(FrameInvalid):
        frame_length((FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
    with pytest.raises(FrameInvalid):
        encode_frame("kind", bytes(FRAME_BYTES_MAX))
    frame = encode_frame("kind", 1, b"x")
    assert frame_length(frame[:4]) == len(frame) - 4
    assert decode_body(frame[4:]) == ["kind", 1, b"x"]
