"""`heddle demo` as a newcomer runs it: three processes, three jobs, checked results, sound accounts, no remains."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from cli.processes import session_members
from tests.helpers.dev_node import HEDDLE, ROOT
from tests.helpers.waiting import wait_for

DEMO_S = 120
NODES = ("alice", "processor-1", "processor-2")
JOBS = ("airports-js", "airports-python", "airports-wasm")


def environment(home: Path) -> dict[str, str]:
    """A home and a folder for temporary files of the test's own."""
    (home / "tmp").mkdir(parents=True)
    return {**os.environ, "HEDDLE_HOME": str(home), "TMPDIR": str(home / "tmp")}


def pids_in(text: str) -> list[int]:
    """The nodes' pids, as the demo tells them."""
    return [int(found) for found in re.findall(r"pid (\d+)", text)]


@pytest.mark.deadline(DEMO_S + 60)
def test_the_demo_shows_three_jobs_and_leaves_nothing(tmp_path: Path) -> None:
    """It exits 0 in time; replicas agree, results are right, every unit is accounted for, no process or file stays."""
    done = subprocess.run(
        [str(HEDDLE), "demo"],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=DEMO_S + 30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout
    for name in NODES:
        assert re.search(rf"^{name} +has 2 peers$", text, re.MULTILINE), text
    for name in JOBS:
        line = rf"^{name}: DONE, 2 replicas agree .* right by the independent check"
        assert re.search(line, text, re.MULTILINE), text
    assert re.search(r"unaccounted for +0 *$", text, re.MULTILINE)
    assert re.search(r"burnt +\+0\.\d+ *$", text, re.MULTILINE)
    assert session_members(pids_in(text)) == []
    assert len(pids_in(text)) == len(NODES)
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.deadline(DEMO_S)
def test_an_interrupted_demo_leaves_no_process(tmp_path: Path) -> None:
    """SIGTERM in the middle stops the three nodes and all that they started, and the exit code is not 0."""
    output = tmp_path / "output"
    with output.open("wb") as file:
        demo = subprocess.Popen(
            [str(HEDDLE), "demo"], cwd=ROOT, env=environment(tmp_path / "home"), stdout=file, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: len(pids_in(output.read_text())) == len(NODES) or None, DEMO_S / 2, "three nodes")
        pids = pids_in(output.read_text())
        assert {one.pid for one in session_members(pids)} >= set(pids)
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(DEMO_S / 2) != 0
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.wait()
    assert session_members(pids) == []
