"""A real process that writes the store is killed with SIGKILL, again and again, and loses nothing it had reported."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from node.store.database import LevelDatabase
from node.store.startup import open_store
from node.store.verify import verify_database
from runtime import tree
from tests.helpers.store_chain import make_genesis
from tests.helpers.store_writer import block_after

KILLS = 6


def run_and_kill(folder: Path, lines: int) -> tuple[int, int]:
    """Starts the writer, kills it after so many reports; (best, final) as last reported."""
    command = [sys.executable, "-m", "tests.helpers.store_writer", str(folder)]
    best = final = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for count, line in enumerate(process.stdout, 1):
                kind, number = line.split()
                if kind == "best":
                    best = int(number)
                else:
                    final = int(number)
                if count == lines:
                    process.kill()
        finally:
            process.kill()
        assert process.wait() == -9
    return best, final


@pytest.mark.deadline(120)
def test_kill_9_loses_no_reported_block(tmp_path: Path) -> None:
    """After each kill the database opens, verifies, holds what was reported and has the states of an unbroken run."""
    random = Random(9)
    reported_best = reported_final = 0
    for _ in range(KILLS):
        best, final = run_and_kill(tmp_path / "db", random.randint(5, 60))
        reported_best, reported_final = max(best, reported_best), max(final, reported_final)
        database = LevelDatabase(tmp_path / "db")
        assert verify_database(database).problems == []
        store = open_store(database)
        assert store.best.number >= reported_best
        assert store.finalised.number >= reported_final
        made = make_genesis()
        while made.number < store.best.number:
            made = block_after(made)
        assert store.best.hash == made.hash
        reader = store.state_at(made.hash)
        assert tree.digest(reader.root) == tree.digest(tree.build_from_state(made.state.items()))
        assert list(reader.iterate(b"")) == sorted(made.state.items())
        store.close()
    assert reported_best > KILLS * 4
