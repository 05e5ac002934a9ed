"""What Secrets refuses. What it refuses of jobs and slots are errors of Jobs."""

from runtime.errors import PalletError


class NoPrekeys(PalletError):
    """No one-time key was given, or there is none to take back."""

    index = 0


class TooManyPrekeys(PalletError):
    """A processor has at most 16 one-time keys that are not used yet."""

    index = 1


class PrekeyListed(PalletError):
    """The one-time key is listed already, or given twice."""

    index = 2


class UnknownPrekey(PalletError):
    """The processor has no such one-time key, or it has been used."""

    index = 3


class NoSecrets(PalletError):
    """The job has no environment."""

    index = 4


class AlreadyProvided(PalletError):
    """The job's values are there already."""

    index = 5


class NotProvided(PalletError):
    """The job's values are not there yet."""

    index = 6


class WrongSealing(PalletError):
    """The job's key is not given away by one-time keys."""

    index = 7


class NoCopies(PalletError):
    """No copy was given."""

    index = 8


class TooManyCopies(PalletError):
    """A job's key goes to at most 16 one-time keys."""

    index = 9


class ExposuresUsedUp(PalletError):
    """The job's key has gone to as many acknowledgments as it may."""

    index = 10


ERRORS = (
    NoPrekeys,
    TooManyPrekeys,
    PrekeyListed,
    UnknownPrekey,
    NoSecrets,
    AlreadyProvided,
    NotProvided,
    WrongSealing,
    NoCopies,
    TooManyCopies,
    ExposuresUsedUp,
)
