"""`heddle benchmark burst` with few jobs: real processes, every job to its end, all checks, no remains."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from cli.processes import session_members
from tests.helpers.dev_node import HEDDLE, ROOT

BURST_S = 120
JOBS = 30


@pytest.mark.deadline(BURST_S + 60)
def test_a_burst_of_jobs_loses_none(tmp_path: Path) -> None:
    """Thirty jobs at once succeed, results and refunds are exact, urgent ones go first, no process or file stays."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    command = [str(HEDDLE), "benchmark", "burst", "--jobs", str(JOBS), "--promises", "4", "--timeout", str(BURST_S)]
    environment = {**os.environ, "HEDDLE_HOME": str(tmp_path), "TMPDIR": str(folder)}
    done = subprocess.run(
        [*command, "--json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=BURST_S + 30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["jobs"] == JOBS
    assert document["jobs_per_second"] > 0
    assert document["unaccounted_for"] == 0
    assert document["queues_looked_at"], "jobs waited, and the queue was looked at"
    assert set(document["checks"]) == {"none_lost", "results_right", "refunds_exact", "queue_in_order", "urgent_first"}
    assert not any(document["checks"].values())
    assert session_members(document["pids"]) == []
    assert list(folder.iterdir()) == []
