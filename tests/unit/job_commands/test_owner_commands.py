"""The owner's commands: each is a call that the chain has, takes the common options, and asks where it is final."""

import inspect
import re
from pathlib import Path

import pytest

import cli.job_owner_command as owner
from cli.errors import Refused
from cli.job_owner_command import Signing, end_after, require_confirmed
from pallets.jobs.schedule import executions_of
from pallets.jobs.types import Schedule
from runtime.heddle import Heddle


def test_every_command_makes_a_call_that_exists() -> None:
    """The pallet and call that each command names are in the composed runtime, with the job as first argument."""
    source = Path(owner.__file__).read_text()
    named = re.findall(r'perform\(job, options, "(\w+)", "(\w+)"', source)
    runtime = Heddle()
    assert len(named) == len(owner.app.registered_commands)
    for pallet, name in named:
        assert runtime.definition(pallet, name).fields[0][0] == "job"


def test_every_command_takes_the_common_options() -> None:
    """A dry run, who signs, where to and the form of output, after what is the command's own."""
    common = list(inspect.signature(Signing).parameters)
    for command in owner.app.registered_commands:
        assert command.callback is not None
        parameters = list(inspect.signature(command.callback).parameters)
        assert parameters[-len(common) :] == common
        assert "signing" not in parameters


@pytest.mark.parametrize("count", [1, 2, 7, 1_000])
@pytest.mark.parametrize("interval_ms", [1, 999, 60_000])
def test_an_extension_gives_just_as_many_executions(count: int, interval_ms: int) -> None:
    """The end for so many starts is the least one that has them."""
    start = 1_700_000_000_000
    end = end_after({"start_ms": start, "interval_ms": interval_ms}, count)
    assert executions_of(Schedule(start, end, interval_ms, 0, 0)) == count
    assert count == 1 or executions_of(Schedule(start, end - 1, interval_ms, 0, 0)) == count - 1


def test_what_cannot_be_undone_needs_an_answer() -> None:
    """Without a terminal a question is refused unless --yes answers it beforehand; no question needs no answer."""
    require_confirmed("", 7, Signing())
    require_confirmed("Sure?", 7, Signing(yes=True))
    with pytest.raises(Refused, match="Sure"):
        require_confirmed("Sure?", 7, Signing())
