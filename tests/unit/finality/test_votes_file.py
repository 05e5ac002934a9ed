"""The vote file on a real disk: lock, torn records, rewriting, the slots authored."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from consensus.votes_gate import RECORD_BYTES, REWRITE_BYTES, Record, RecordKind, Refusal
from node.finality.votes_file import FILE_NAME, SLOT_NEVER, VotesFile, VotesFileError
from tests.helpers.keyed_hash import public_of

KEY = public_of("alice")


def record(round_number: int, set_id: int = 1) -> Record:
    """A prevote of alice."""
    return Record(RecordKind.PREVOTE, set_id, round_number, round_number, bytes(32), KEY, bytes(64))


def add(votes: VotesFile, made: Record) -> None:
    """Note and write a record, as the voter does."""
    votes.gate.note(made)
    votes.append(made)


def test_records_are_there_at_the_next_start(tmp_path: Path) -> None:
    """What was written is read again, and the folder is made with access for its owner only."""
    votes = VotesFile.open(tmp_path / "votes")
    add(votes, record(1))
    votes.note_authored(KEY, 77, b"\x01" * 32)
    votes.close()
    again = VotesFile.open(tmp_path / "votes")
    assert again.gate.check(KEY, 1, 1, RecordKind.PREVOTE) == record(1)
    assert again.last_authored(KEY) == 77
    assert again.last_authored(public_of("bob")) is None
    again.close()
    assert (tmp_path / "votes").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "votes" / FILE_NAME).stat().st_size == 2 * RECORD_BYTES


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """Two nodes with one file would vote twice: the lock refuses the second, in this process and in another."""
    votes = VotesFile.open(tmp_path)
    with pytest.raises(VotesFileError, match="another process"):
        VotesFile.open(tmp_path)
    code = (
        "import sys; from pathlib import Path; from node.finality.votes_file import VotesFile, VotesFileError\n"
        "try: VotesFile.open(Path(sys.argv[1]))\n"
        "except VotesFileError: sys.exit(7)"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=50)
    assert found.returncode == 7
    votes.close()
    VotesFile.open(tmp_path).close()


def test_a_torn_record_is_cut_off(tmp_path: Path) -> None:
    """The tail that a crash left is removed, and the next record follows the last whole one."""
    path = tmp_path / FILE_NAME
    path.write_bytes(record(1).encode() + record(2).encode()[:70])
    votes = VotesFile.open(tmp_path)
    assert path.stat().st_size == RECORD_BYTES
    add(votes, record(3))
    votes.close()
    assert path.read_bytes() == record(1).encode() + record(3).encode()


def test_damage_is_left_alone_and_forbids_signing(tmp_path: Path) -> None:
    """A bad record that is not the last: no vote, no slot, and not a byte of the file changes."""
    data = record(1).encode()[:-1] + b"\xff" + record(2).encode()
    path = tmp_path / FILE_NAME
    path.write_bytes(data)
    votes = VotesFile.open(tmp_path)
    assert votes.gate.check(KEY, 9, 9, RecordKind.PREVOTE) is Refusal.OBSERVER
    assert votes.last_authored(KEY) == SLOT_NEVER
    votes.close()
    assert path.read_bytes() == data


def test_the_file_is_rewritten_before_it_grows_too_large(tmp_path: Path) -> None:
    """At 4 MiB only the latest set's last rounds and the last slots are kept, under the same lock."""
    path = tmp_path / FILE_NAME
    count = REWRITE_BYTES // RECORD_BYTES
    path.write_bytes(b"".join(record(number).encode() for number in range(1, count + 1)))
    votes = VotesFile.open(tmp_path)
    votes.note_authored(KEY, 5, bytes(32))
    assert path.stat().st_size == 4 * RECORD_BYTES
    add(votes, record(count + 1))
    with pytest.raises(VotesFileError):
        VotesFile.open(tmp_path)
    votes.close()
    again = VotesFile.open(tmp_path)
    assert (again.gate.high_round, again.last_authored(KEY)) == (count + 1, 5)
    assert again.gate.check(KEY, 1, count, RecordKind.PREVOTE) == record(count)
    assert again.gate.check(KEY, 1, 2, RecordKind.PREVOTE) is Refusal.OLD_ROUND
    again.close()


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """A file where the folder should be is an error that names the path."""
    blocker = tmp_path / "votes"
    blocker.write_bytes(b"")
    with pytest.raises(VotesFileError, match="votes"):
        VotesFile.open(blocker)
