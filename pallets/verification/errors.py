"""What Verification refuses, one error per rule."""

from runtime.errors import PalletError


class NotCommitted(PalletError):
    """There is no commitment of this slot to this execution."""

    index = 0


class CommitNotExpected(PalletError):
    """In this mode results are reported, not committed."""

    index = 1


class CollectClosed(PalletError):
    """The round takes no more commitments."""

    index = 2


class RevealNotOpen(PalletError):
    """The round does not take reveals: it still collects, or is past them."""

    index = 3


class AlreadyRevealed(PalletError):
    """The result was revealed already."""

    index = 4


class CommitmentMismatch(PalletError):
    """What is revealed is not what was committed to."""

    index = 5


class DigestMismatch(PalletError):
    """The outcome does not have the digest that it names."""

    index = 6


class NotAResult(PalletError):
    """A failure of this class is not a result: it is reported, not revealed."""

    index = 7


class DeliveredTooEarly(PalletError):
    """No output leaves before it is accepted."""

    index = 8


class NothingToJudge(PalletError):
    """No result of this execution waits for this."""

    index = 9


class NotChallengeable(PalletError):
    """Results of this mode are not open to challenges, or this one is not any more."""

    index = 10


class AlreadyChallenged(PalletError):
    """Another challenge comes first."""

    index = 11


class BondNotAvailable(PalletError):
    """The challenger cannot lock its bond and keep the existential deposit."""

    index = 12


class OwnResult(PalletError):
    """Nobody challenges a result of its own."""

    index = 13


class NothingLate(PalletError):
    """No bond is frozen for this slot and execution."""

    index = 14


class NotTheAcceptedResult(PalletError):
    """A late reveal recovers a bond only if it is the accepted result."""

    index = 15


class TapeMissing(PalletError):
    """Whoever may fetch must publish the tape of its requests, so that others can run it again."""

    index = 16


class NothingToDeliver(PalletError):
    """The signer has no accepted result of this slot and execution that waits for deliveries."""

    index = 17


class AlreadyDelivered(PalletError):
    """The result has a receipt from this destination."""

    index = 18


ERRORS = (
    NotCommitted,
    CommitNotExpected,
    CollectClosed,
    RevealNotOpen,
    AlreadyRevealed,
    CommitmentMismatch,
    DigestMismatch,
    NotAResult,
    DeliveredTooEarly,
    NothingToJudge,
    NotChallengeable,
    AlreadyChallenged,
    BondNotAvailable,
    OwnResult,
    NothingLate,
    NotTheAcceptedResult,
    TapeMissing,
    NothingToDeliver,
    AlreadyDelivered,
)
