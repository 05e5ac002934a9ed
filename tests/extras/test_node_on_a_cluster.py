"""A real node whose jobs run on a Ray cluster: from `heddle job submit` to `Done`, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.dev_node import HEDDLE, dev_node
from tests.helpers.heddle_command import Heddle
from tests.helpers.ray_cluster import MACHINE_CORES, ROOT, RayCluster
from tests.helpers.waiting import wait_for

DEADLINE_S = 120
WORDS = {"words": 14, "distinct": 11, "longest": "quick"}


@pytest.mark.deadline(3 * DEADLINE_S)
def test_a_job_runs_on_the_cluster_from_submission_to_done(ray_cluster: RayCluster, tmp_path: Path) -> None:
    """The node advertises the cluster's cores, runs a Python job there, and the job ends as Done with its answer."""
    token = tmp_path / "token"
    token.write_text(ray_cluster.token + "\n")
    token.chmod(0o600)
    cluster = ("--executor", "ray", "--ray-address", ray_cluster.address, "--ray-token-file", str(token))
    person = Heddle(tmp_path / "home")
    with dev_node(tmp_path, *cluster) as node:
        variables = {"HEDDLE_URL": node.http_url}

        def advert() -> Any:
            known = person.json("processor", "status", **variables)["processors"]
            return next((one["advert"] for one in known if one["advert"] and one["units"]), None)

        found = wait_for(advert, DEADLINE_S, "the advert")
        assert found["capacity"]["cores"] == 2 * MACHINE_CORES * 4
        assert person.run("job", "init", str(tmp_path / "job"), "--runtime", "python", **variables).code == 0
        done = person.run("job", "submit", str(tmp_path / "job"), "--watch", **variables)
        assert done.code == 0, done.stderr
        assert "DONE" in done.stdout
        job = str(person.json("job", "list", "--limit", "1", **variables)["jobs"][0]["id"])
        result = person.run("job", "result", job, **variables)
        assert json.loads(result.stdout) == WORDS
        assert ray_cluster.token not in node.log.read_text()


@pytest.mark.deadline(DEADLINE_S)
def test_a_node_says_why_it_cannot_use_the_cluster(ray_cluster: RayCluster, tmp_path: Path) -> None:
    """With a wrong token the node stops with one sentence and no traceback."""
    command = [str(HEDDLE), "node", "--dev", "--port", "0", "--rpc-port", "0", "--no-prometheus", "--executor", "ray"]
    done = subprocess.run(
        [*command, "--ray-address", ray_cluster.address],
        cwd=ROOT,
        env={**os.environ, "RAY_AUTH_TOKEN": "0" * 64},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 1, told
    assert "refuses the token" in told
    assert "Traceback" not in told
