"""A real `heddle node --dev` in a process of its own, on ports that the system chose."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
HEDDLE = Path(sys.executable).with_name("heddle")
START_DEADLINE_S = 60
STOP_DEADLINE_S = 20
_LISTENING = re.compile(r"Running JSON-RPC server address=(\S+:\d+)")


class DevNode:
    """The running node: where its RPC is, and what it has logged."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        self.address = ""

    @property
    def http_url(self) -> str:
        """For single requests."""
        return f"http://{self.address}"

    @property
    def websocket_url(self) -> str:
        """For clients that subscribe."""
        return f"ws://{self.address}"

    def call(self, method: str, *params: Any) -> Any:
        """The whole response, {result} or {error}, to one request."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        # The address is the node's own.
        request = urllib.request.Request(self.http_url, body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=START_DEADLINE_S) as response:  # noqa: S310 - our own node
            return json.loads(response.read())

    def result(self, method: str, *params: Any) -> Any:
        """The result of a request that must succeed."""
        response = self.call(method, *params)
        assert "result" in response, response
        return response["result"]

    def wait_until_ready(self) -> None:
        """Until the log says where the RPC is; AssertionError with the log if the process ends before."""
        self.address = wait_for(self._find_address, START_DEADLINE_S, "the node's RPC port")

    def _find_address(self) -> str | None:
        text = self.log.read_text()
        assert self.process.poll() is None, text
        found = _LISTENING.search(text)
        return found.group(1) if found else None


@contextmanager
def dev_node(folder: Path, *options: str) -> Iterator[DevNode]:
    """Start a temporary development chain; the node is stopped with the block, and must stop when asked to."""
    log = folder / "node.log"
    command = [str(HEDDLE), "node", "--dev", "--port", "0", "--rpc-port", "0", "--no-prometheus", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        node = DevNode(process, log)
        try:
            node.wait_until_ready()
            yield node
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_DEADLINE_S) == 0, log.read_text()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
