"""What a test needs of the machine that the set-up cannot give on every one: without it the test says NOT RUN."""

import pytest

from node.processor.runtimes.native.bubblewrap import why_not

INSTALL = {
    "native-python": "it needs user namespaces, bubblewrap and /usr/bin/python3: `make setup` installs the last two",
    "native-node": "it needs user namespaces, bubblewrap and Node.js: `apt-get install nodejs`",
}


def need_native(runtime: str) -> None:
    """End the test as not run where this native runtime cannot be offered."""
    reason = why_not(runtime)
    if reason:
        pytest.skip(f"NOT RUN: {runtime} ({reason}; {INSTALL[runtime]})")
