"""A real `heddle node` that a test kills and starts again: its folder, its log, its peer-to-peer address, its RPC."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from node.keys.keystore import ACCO, Keystore
from node.keys.pair import Pair
from runtime.chain_spec import load_chain_spec
from tests.helpers.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
HEDDLE = Path(sys.executable).with_name("heddle")
START_DEADLINE_S = 90
STOP_DEADLINE_S = 30
REQUEST_TIMEOUT_S = 60
_LISTENING = re.compile(r"Running JSON-RPC server address=(\S+:\d+)")


class NodeProcess:
    """One node with a base path of its own. It keeps port and address through all its restarts."""

    def __init__(self, folder: Path, name: str, chain: Path, options: Sequence[str]) -> None:
        self.name, self.chain, self.options = name, chain, list(options)
        self.base_path, self.log = folder / name, folder / f"{name}.log"
        self.environment: dict[str, str] = {}
        self.program = [str(HEDDLE)]
        """What takes the options of `heddle node`; a test may put another in its place."""
        self.port = 0
        self.address = ""
        self._rpc = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until the RPC answers. AssertionError with the log if the node ends before."""
        assert self._process is None, f"{self.name} runs already"
        command = [*self.program, "node", "--chain", str(self.chain), "--base-path", str(self.base_path)]
        command += ["--name", self.name, "--port", str(self.port), "--rpc-port", "0", "--no-prometheus"]
        read_from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, *self.options],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
            )
        self._rpc = wait_for(lambda: self._listening(read_from), START_DEADLINE_S, f"the RPC port of {self.name}")
        if not self.address:
            self.address = str(self.result("system_localListenAddresses")[0])
            self.port = int(self.address.split("/")[4])

    def _listening(self, read_from: int) -> str | None:
        text = self.log.read_bytes()[read_from:].decode()
        assert self._process is not None
        assert self._process.poll() is None, text
        found = _LISTENING.search(text)
        return found.group(1) if found else None

    def kill(self) -> None:
        """kill -9: nothing is flushed, nobody is told."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None, f"{self.name} does not run"
        self._process.send_signal(number)
        try:
            return self._process.wait(STOP_DEADLINE_S)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None

    @property
    def http_url(self) -> str:
        """Where commands find its RPC."""
        return f"http://{self._rpc}"

    @property
    def running(self) -> bool:
        """Whether it was started and not ended since."""
        return self._process is not None

    def result(self, method: str, *params: Any) -> Any:
        """The result of a request that must succeed."""
        response = self.call(method, *params)
        assert "result" in response, response
        return response["result"]

    def call(self, method: str, *params: Any) -> Any:
        """The whole response, {result} or {error}, to one request."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        # The address is the node's own.
        request = urllib.request.Request(self.http_url, body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as response:  # noqa: S310 - our own node
            return json.loads(response.read())

    def give_account(self, pair: Pair) -> None:
        """Put a processor's key where the node will look for it."""
        chain_id = load_chain_spec(self.chain.read_bytes()).id
        Keystore(self.base_path / "chains" / chain_id / "keystore").insert(ACCO, pair)


@contextmanager
def ended_with_the_block(nodes: list[NodeProcess]) -> Iterator[None]:
    """Kill whatever of `nodes` still runs at the end of the block."""
    try:
        yield
    finally:
        for node in nodes:
            if node.running:
                node.kill()
