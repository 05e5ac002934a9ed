"""What Juries refuses, one error per rule."""

from runtime.errors import PalletError


class PanelNotFound(PalletError):
    """There is no panel of this number, or it is settled."""

    index = 0


class WrongStage(PalletError):
    """The panel's stage does not take this call."""

    index = 1


class NotDrawnYet(PalletError):
    """The beacon that makes the tickets is not known yet."""

    index = 2


class NotEligible(PalletError):
    """The juror has no unit of stake, or no advert of the runtime that is old enough."""

    index = 3


class Excluded(PalletError):
    """The juror's manager is a party, or already had a seat."""

    index = 4


class SeatsTaken(PalletError):
    """Lower tickets hold all seats."""

    index = 5


class LockNotAvailable(PalletError):
    """The account cannot lock the bond and keep the existential deposit."""

    index = 6


class NotAJuror(PalletError):
    """The account has no seat on the panel's present rung."""

    index = 7


class AlreadyCommitted(PalletError):
    """A juror commits once."""

    index = 8


class NotCommitted(PalletError):
    """The juror did not commit, so it cannot reveal."""

    index = 9


class AlreadyRevealed(PalletError):
    """A juror reveals once."""

    index = 10


class CommitmentMismatch(PalletError):
    """Outcome and salt are not what the juror committed to."""

    index = 11


class TooEarly(PalletError):
    """Reveals are taken only after the gap."""

    index = 12


class NotAParty(PalletError):
    """Only a party of the dispute may appeal."""

    index = 13


ERRORS = (
    *(PanelNotFound, WrongStage, NotDrawnYet, NotEligible, Excluded, SeatsTaken, LockNotAvailable, NotAJuror),
    *(AlreadyCommitted, NotCommitted, AlreadyRevealed, CommitmentMismatch, TooEarly, NotAParty),
)
