"""How a guest is stopped from inside a host function: an exception that wasmtime carries out of the sandbox."""

from __future__ import annotations

from node.processor.runtimes.outcome import Failure, OutOfResources, Resource


class RunEnded(Exception):
    """The run is over with `failure`; the script cannot catch it."""

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message


class GuestExit(Exception):
    """The script called proc_exit(code)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit {code}")
        self.code = code


def over(resource: Resource, message: str) -> RunEnded:
    """The end of a run that used up `resource`."""
    return RunEnded(OutOfResources(resource), message)
