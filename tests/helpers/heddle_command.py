"""The `heddle` command, run inside the test's process, for a user with a home folder of his own."""

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.main import run


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


@contextmanager
def surroundings(stdin: str, variables: dict[str, str]) -> Iterator[None]:
    """Standard input and environment variables, put back afterwards."""
    before, real_stdin = dict(os.environ), sys.stdin
    os.environ.update(variables)
    sys.stdin = io.StringIO(stdin)
    try:
        yield
    finally:
        sys.stdin = real_stdin
        os.environ.clear()
        os.environ.update(before)


@dataclass(frozen=True)
class Heddle:
    """Runs commands for one user, whose wallets and networks lie in `home`."""

    home: Path

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> Done:
        """Run one command to its end."""
        stdout, stderr = io.StringIO(), io.StringIO()
        with (
            surroundings(stdin, {"HEDDLE_HOME": str(self.home), **variables}),
            redirect_stdout(stdout),
            redirect_stderr(stderr),
        ):
            code = run(arguments)
        return Done(code, stdout.getvalue(), stderr.getvalue())

    def json(self, *arguments: str, stdin: str = "", **variables: str) -> Any:
        """The document of a command that must succeed."""
        done = self.run(*arguments, "--json", stdin=stdin, **variables)
        assert done.code == 0, done.stderr
        return json.loads(done.stdout)

    def error(self, *arguments: str, stdin: str = "", **variables: str) -> tuple[int, dict[str, str]]:
        """Exit code and error of a command that must fail, and print nothing else."""
        done = self.run(*arguments, "--json", stdin=stdin, **variables)
        assert done.code != 0
        assert not done.stdout
        error: dict[str, str] = json.loads(done.stderr)["error"]
        return done.code, error
