"""The vote file's rules: records, damage, what a key may still sign, and asking others at boot."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.grandpa.voter_set import VoterSet
from consensus.listening import Answer, BootListening, Listen
from consensus.votes_gate import (
    LEARNED,
    RECORD_BYTES,
    DamagedRecord,
    Record,
    RecordKind,
    Refusal,
    VotesGate,
    scan,
)
from tests.helpers.keyed_hash import public_of
from tests.helpers.votes import NAMES, voter_set

ALICE = public_of("alice")
PREVOTE, PRECOMMIT = RecordKind.PREVOTE, RecordKind.PRECOMMIT

records = st.builds(
    Record,
    st.sampled_from(list(RecordKind)),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=64, max_size=64),
    st.booleans(),
)


def record(kind: RecordKind, round_number: int, set_id: int = 1, number: int = 10, mark: int = 1) -> Record:
    """A vote of alice for a block named by `mark`."""
    return Record(kind, set_id, round_number, number, bytes((mark,)) * 32, ALICE, bytes((mark,)) * 64)


@given(records)
def test_records_survive_encoding(made: Record) -> None:
    """160 bytes that decode to the same record."""
    data = made.encode()
    assert len(data) == RECORD_BYTES
    assert Record.decode(data) == made


def test_the_layout_is_the_specified_one() -> None:
    """Magic, kind with its learned bit, set, round, number, target, key and signature lie where the spec says."""
    data = replace(record(PRECOMMIT, 5, 3, 7), learned=True).encode()
    assert data[:8] == b"HV01" + bytes((LEARNED | 1, 0, 0, 0))
    assert (data[8], data[16], data[24]) == (3, 5, 7)
    assert data[28:60] == bytes((1,)) * 32
    assert data[60:92] == ALICE
    assert data[92:156] == bytes((1,)) * 64


@given(records, st.integers(0, RECORD_BYTES - 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed(made: Record, position: int, flip: int) -> None:
    """A record with one byte changed does not decode."""
    data = bytearray(made.encode())
    data[position] ^= flip
    with pytest.raises(DamagedRecord):
        Record.decode(bytes(data))


def test_a_torn_last_record_is_cut() -> None:
    """What a crash left of the last record, short or of full length, is cut: it was never followed by a send."""
    whole = record(PREVOTE, 1).encode() + record(PRECOMMIT, 1).encode()
    for cut in (1, 80, 159):
        found = scan(whole[: RECORD_BYTES + cut])
        assert (found.keep_bytes, found.damaged, len(found.records)) == (RECORD_BYTES, False, 1)
    torn = whole[:-40] + bytes(40)
    found = scan(torn)
    assert (found.keep_bytes, found.damaged, len(found.records)) == (RECORD_BYTES, False, 1)
    assert scan(whole).keep_bytes == len(whole)
    assert scan(b"").records == ()


def test_other_damage_forbids_voting() -> None:
    """A bad record before the last one is not mended: the node may only observe, and the file stays as it is."""
    data = record(PREVOTE, 1).encode() + record(PRECOMMIT, 1).encode() + record(PREVOTE, 2).encode()
    broken = data[:10] + b"\xff" + data[11:]
    found = scan(broken)
    assert found.damaged
    assert found.keep_bytes == len(broken)
    gate = VotesGate.of(found)
    assert gate.check(ALICE, 9, 9, PREVOTE) is Refusal.OBSERVER


def test_a_vote_in_the_file_is_sent_again_never_signed_again() -> None:
    """The gate answers with the record itself, whatever the block would be now."""
    gate = VotesGate()
    made = record(PREVOTE, 4)
    assert gate.check(ALICE, 1, 4, PREVOTE) is None
    gate.note(made)
    assert gate.check(ALICE, 1, 4, PREVOTE) == made
    assert gate.check(ALICE, 1, 4, PRECOMMIT) is None
    assert gate.check(public_of("bob"), 1, 4, PREVOTE) is None


def test_earlier_sets_and_rounds_are_refused() -> None:
    """Nothing is signed in a set below the highest, or a round below the highest minus one."""
    gate = VotesGate()
    gate.note(record(PREVOTE, 10, set_id=2))
    assert gate.check(ALICE, 1, 99, PREVOTE) is Refusal.OLD_SET
    assert gate.check(ALICE, 2, 8, PREVOTE) is Refusal.OLD_ROUND
    assert gate.check(ALICE, 2, 9, PREVOTE) is None
    assert gate.check(ALICE, 3, 1, PREVOTE) is None


def test_a_conflicting_foreign_vote_stops_the_set() -> None:
    """A vote by our key that the file contradicts ends voting in this set; an agreeing one changes nothing."""
    gate = VotesGate()
    mine = record(PREVOTE, 4, mark=1)
    gate.note(mine)
    assert gate.foreign(replace(mine, signature=bytes(64))) == mine
    assert gate.foreign(record(PREVOTE, 4, mark=2)) is Refusal.CONFLICT
    assert gate.check(ALICE, 1, 5, PREVOTE) is Refusal.STOPPED
    assert gate.check(ALICE, 2, 1, PREVOTE) is None


def test_rewriting_keeps_what_still_matters() -> None:
    """The latest set, rounds from the highest minus two, and the last slot of each key."""
    gate = VotesGate()
    for round_number in range(1, 10):
        gate.note(record(PREVOTE, round_number, set_id=1))
    for round_number in range(1, 6):
        gate.note(record(PREVOTE, round_number, set_id=2))
    for slot in (7, 9, 8):
        gate.note(Record(RecordKind.AUTHORED, 0, slot, 3, bytes(32), ALICE, bytes(64)))
    kept = gate.compacted()
    assert [(r.kind, r.set_id, r.round) for r in kept] == [
        (PREVOTE, 2, 3),
        (PREVOTE, 2, 4),
        (PREVOTE, 2, 5),
        (RecordKind.AUTHORED, 0, 9),
    ]
    again = VotesGate()
    for made in kept:
        again.note(made)
    assert (again.high_set, again.high_round, again.last_slot) == (2, 5, {ALICE: 9})
    gate.forget()
    assert len(gate.records) == 3


def listen(voters: int = 4) -> Listen:
    """LISTEN of alice in a set of equals."""
    return Listen(1, ALICE, voter_set(voters))


def answer(name: str, round_number: int, *votes: Record) -> Answer:
    """What another voter says it saw."""
    return Answer(public_of(name), 1, round_number, votes)


def test_listening_ends_when_enough_have_answered() -> None:
    """Of four voters two others must answer; our own answer and one of another set do not count."""
    gate, state = VotesGate(), listen()
    state.on_answer(answer("alice", 5), gate)
    state.on_answer(replace(answer("bob", 5), set_id=0), gate)
    assert state.waiting_for == 2
    state.on_answer(answer("bob", 5), gate)
    state.on_answer(answer("bob", 5), gate)
    assert state.waiting_for == 1
    state.on_answer(answer("charlie", 5), gate)
    assert state.done
    assert listen(1).done


def test_learned_votes_become_own_records() -> None:
    """A vote that others hold and the file lacks is taken over, marked as learned, and never signed differently."""
    gate, state = VotesGate(), listen()
    seen = record(PREVOTE, 6)
    learned = state.on_answer(answer("bob", 6, seen, record(RecordKind.AUTHORED, 6)), gate)
    assert learned == [replace(seen, learned=True)]
    assert gate.check(ALICE, 1, 6, PREVOTE) == replace(seen, learned=True)
    assert state.on_answer(answer("charlie", 6, seen), gate) == []


def test_one_liar_cannot_raise_the_round() -> None:
    """The round taken is one that more weight than is tolerated reports at least."""
    gate, state = VotesGate(), listen()
    state.on_answer(answer("bob", 1_000_000), gate)
    assert state.agreed_round() is None
    state.on_answer(answer("charlie", 8), gate)
    assert state.agreed_round() == 8
    assert gate.high_round == 7
    state.on_answer(answer("dave", 9), gate)
    assert state.agreed_round() == 9


@given(st.lists(st.integers(1, 50), min_size=2, max_size=9))
def test_the_agreed_round_is_backed_by_an_honest_voter(rounds: list[int]) -> None:
    """Whatever the tolerated number of voters reports, some honest voter is at least there."""
    voters = voter_set(len(rounds) + 1)
    gate = VotesGate()
    state = Listen(1, ALICE, voters)
    for name, round_number in zip(NAMES[1:], rounds, strict=False):
        state.on_answer(answer(name, round_number), gate)
    agreed = state.agreed_round()
    assert agreed is not None
    assert sum(1 for round_number in rounds if round_number >= agreed) > voters.tolerated


def test_one_answered_question_is_enough_for_this_process() -> None:
    """A set without our key or with ours alone needs no answers and proves nothing; the first answered one does."""
    gate, boot = VotesGate(), BootListening([ALICE])
    assert not boot.must_listen(1, VoterSet([(public_of("bob"), 1)]))
    assert not boot.must_listen(1, voter_set(1))
    assert boot.must_listen(1, voter_set(4))
    assert boot.on_answer(answer("bob", 5), gate) == ([], False)
    assert boot.on_answer(answer("charlie", 5), gate) == ([], True)
    assert not boot.must_listen(2, voter_set(7))
