"""The Python of the unmodified Substrate clients, in an environment apart from Heddle's."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAKING_TIMEOUT_S = 300


@cache
def client_python() -> str:
    """The interpreter of .venv-clients, made on first use; AssertionError with the log's end if it cannot be made."""
    done = subprocess.run(
        [ROOT / "scripts" / "client_environment.sh"],
        capture_output=True,
        text=True,
        check=False,
        timeout=MAKING_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
