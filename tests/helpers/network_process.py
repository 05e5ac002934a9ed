"""A network in a process of its own: `python -m tests.helpers.network_process NUMBER SETTINGS-AS-JSON`.

Prints one JSON line for each thing that happens: its address first, then peers up, down and notifications. Serves
`echo`. Ends when its standard input does, or by a signal.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from node.network.libp2p_network import Libp2pNetwork
from node.network.port import Notification, PeerDown, PeerId, PeerUp
from tests.helpers.networks import config, status

ROOT = Path(__file__).resolve().parents[2]


def say(**fields: Any) -> None:
    """One line for the parent."""
    print(json.dumps(fields), flush=True)  # noqa: T201 - this line is the output


async def echo(_peer: PeerId, data: bytes) -> bytes:
    """Answer what came."""
    return data


async def serve(number: int, settings: dict[str, Any]) -> None:
    """Run a network and report until the standard input ends."""
    network = Libp2pNetwork(config(number, tuple(settings.pop("bootnodes", ())), **settings), status)
    network.serve("echo", echo)
    async with network.run(), trio.open_nursery() as nursery:
        say(address=network.listen_addresses()[0])
        nursery.start_soon(report, network)
        async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as commands:
            while await commands.receive_some():
                pass
        nursery.cancel_scope.cancel()


async def report(network: Libp2pNetwork) -> None:
    """Print the events."""
    async for event in network.events:
        match event:
            case PeerUp():
                say(up=event.peer)
            case PeerDown():
                say(down=event.peer)
            case Notification():
                say(kind=event.kind, size=len(event.data))


class NetworkProcess:
    """The parent's handle. Lines are read by a task and kept."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    async def read_lines(self) -> None:
        """Collect the lines until the process closes its output."""
        assert self.process.stdout is not None
        stream = trio.lowlevel.FdStream(os.dup(self.process.stdout.fileno()))
        buffer = b""
        async with stream:
            async for chunk in stream:
                *lines, buffer = (buffer + chunk).split(b"\n")
                self.lines += [json.loads(line) for line in lines if line.startswith(b"{")]

    def said(self, **fields: Any) -> int:
        """How many lines so far have these fields."""
        return sum(1 for line in self.lines if line.items() >= fields.items())

    @property
    def address(self) -> str:
        """Where it listens, once it has said so; empty before."""
        return str(self.lines[0]["address"]) if self.lines else ""

    @property
    def id(self) -> str:
        """Its peer id."""
        return self.address.rpartition("/")[2]


@contextmanager
def network_process(number: int, **settings: Any) -> Iterator[NetworkProcess]:
    """Start a network in a process of its own; it is killed at the end of the block, stopped or not."""
    command = [sys.executable, "-m", "tests.helpers.network_process", str(number), json.dumps(settings)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield NetworkProcess(process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


if __name__ == "__main__":
    trio.run(serve, int(sys.argv[1]), json.loads(sys.argv[2]))
