"""Secrets from the command line to the script, on a real node: served, or sealed by an owner who goes away."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.dev_node import HEDDLE, DevNode, dev_node
from tests.helpers.heddle_command import Heddle
from tests.helpers.job_folders import job_folder
from tests.helpers.waiting import wait_for

DEADLINE_S = 60
VALUE = "a-value-that-stays-hidden-7f3a"
HIDDEN = "another-value-9c41"
SCRIPT = """
def main(heddle):
    heddle.log("the token is " + heddle.env["TOKEN"])
    return {"length": len(heddle.env["TOKEN"]), "names": sorted(heddle.env)}
"""
EXTRA = """
[environment]
TOKEN = {{ from = "env" }}
KEY = {{ from = "file", path = "../key", hidden = true }}
[secrets]
sealing = "{sealing}"
[processors]
choice = "known"
accounts = ["//Alice//processor"]
"""


class Owner:
    """A person with a job that has secrets."""

    def __init__(self, folder: Path, node: DevNode) -> None:
        self.heddle, self.node, self.folder = Heddle(folder / "home"), node, folder

    def json(self, *arguments: str, **variables: str) -> Any:
        return self.heddle.json(*arguments, HEDDLE_URL=self.node.http_url, **variables)

    def job(self, sealing: str) -> Path:
        """The folder of a job whose value comes from the shell's environment."""
        folder = job_folder(self.folder / sealing, "python", extra=EXTRA.format(sealing=sealing))
        (folder / "main.py").write_text(SCRIPT)
        return folder

    def submit(self, folder: Path) -> Any:
        """Submit it, where the value is set; again while the processor has no one-time keys on the chain yet."""
        sent: list[Any] = []

        def accepted() -> bool:
            done = self.heddle.run("job", "submit", str(folder), "--json", HEDDLE_URL=self.node.http_url, TOKEN=VALUE)
            sent.extend([json.loads(done.stdout)] if done.code == 0 else [])
            return bool(sent)

        wait_for(accepted, DEADLINE_S, "one-time keys of the processor")
        return sent[0]

    def done(self, job: int) -> bool:
        """Whether the job has ended."""
        state: str = self.json("job", "show", str(job))["job"]["state"]
        return state == "done"

    def output(self, job: int) -> Any:
        """The result, as JSON."""
        done = self.heddle.run("job", "result", str(job), HEDDLE_URL=self.node.http_url)
        return json.loads(done.stdout)


def found_in(folder: Path, value: str) -> list[Path]:
    """The files below a folder that hold the value."""
    return [path for path in folder.rglob("*") if path.is_file() and value.encode() in path.read_bytes()]


@pytest.mark.deadline(4 * DEADLINE_S)
def test_values_reach_the_script_and_nothing_else(tmp_path: Path) -> None:
    """Once with the owner away after `submit`, once served; no file of the node or of its owner holds the value."""
    base = tmp_path / "node"
    base.mkdir()
    with dev_node(base, "--base-path", str(base / "data")) as node:
        owner = Owner(tmp_path / "owner", node)
        (tmp_path / "owner").mkdir()
        (tmp_path / "owner" / "key").write_text(HIDDEN)
        away = owner.submit(owner.job("prekeys"))
        wait_for(lambda: owner.done(away["job"]), DEADLINE_S, "the job of an owner who went away")
        assert owner.output(away["job"]) == {"length": len(VALUE), "names": ["TOKEN"]}

        served = owner.submit(owner.job("served"))
        job = str(served["job"])
        command = [str(HEDDLE), "job", "serve-secrets", job, "--follow", "--json", "--url", node.http_url]
        environment = {"HEDDLE_HOME": str(owner.heddle.home), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["sealed"]) == 1
        assert owner.done(served["job"])
        assert owner.output(served["job"]) == {"length": len(VALUE), "names": ["TOKEN"]}
        shown = owner.heddle.run("job", "logs", job, HEDDLE_URL=node.http_url).stdout
        assert "the token is {{secret:TOKEN}}" in shown
    assert found_in(tmp_path, VALUE) == []
    assert found_in(tmp_path, HIDDEN) == [tmp_path / "owner" / "key"]
