"""What a command can end with, other than success.

    CliError               1   it was tried and did not work
    ├── Unreachable        3   no node answers at that address
    ├── Refused            4   a value is wrong or the chain would refuse it; nothing was signed or sent
    ├── NotFound           5   no such account, job, block, network or file
    └── TimedOut           6   it was sent, and the end was not seen in time

Exit code 0 is success, 2 a mistake in the command line itself, 130 an interrupt. Every error says what to do next.
"""


class CliError(Exception):
    """`message` says what is wrong, `hint` the next thing to try; `exit_code` is what a script tests."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def kind(self) -> str:
        """The error's name in `--json` output."""
        return type(self).__name__


class Unreachable(CliError):
    """Nobody answers at the node's address."""

    exit_code = 3


class Refused(CliError):
    """A value is out of its range, or the chain would refuse the call; nothing was signed or sent."""

    exit_code = 4


class NotFound(CliError):
    """What was named does not exist."""

    exit_code = 5


class TimedOut(CliError):
    """The wait ended before the thing waited for was seen."""

    exit_code = 6
