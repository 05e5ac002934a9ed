"""What Processors refuses."""

from enum import IntEnum

from runtime.errors import PalletError


class Field(IntEnum):
    """The field of an advert that is out of bounds: the error's detail byte."""

    RUNTIMES = 0
    MEMORY = 1
    STORAGE = 2
    CORES = 3
    BENCHMARK = 4
    START_DELAY = 5
    PRICING = 6
    CONSUMERS = 7


class NotRegistered(PalletError):
    """The account is not a registered processor."""

    index = 0


class AlreadyRegistered(PalletError):
    """The account is a processor already."""

    index = 1


class NotAdvertised(PalletError):
    """The processor has no advert."""

    index = 2


class AdvertOutOfBounds(PalletError):
    """A field of the advert is empty, doubled or past its bound; the detail names the field."""

    index = 3


class PairingExpired(PalletError):
    """The pairing proof is past its time, or valid for longer than four hours."""

    index = 4


class PairingCounter(PalletError):
    """The pairing proof's counter is not above the processor's last one."""

    index = 5


class PairingSignature(PalletError):
    """The manager did not sign this pairing."""

    index = 6


class NotPaired(PalletError):
    """The processor has no manager, or the signer is neither it nor its manager."""

    index = 7


class ZeroAmount(PalletError):
    """An amount of nothing."""

    index = 8


class InsufficientStake(PalletError):
    """Less is bonded than is asked back."""

    index = 9


class TooManyUnbonding(PalletError):
    """Too many parts of the stake are unbonding; withdraw those that are free first."""

    index = 10


class NothingToWithdraw(PalletError):
    """No part of the stake has unbonded yet."""

    index = 11


class NoRoomInCalendar(PalletError):
    """A processor has no room in its calendar for a longer lease, or offers nothing any more."""

    index = 12


class HasLeases(PalletError):
    """The processor has promised work to a job."""

    index = 13


class StillAdvertised(PalletError):
    """The processor has an advert."""

    index = 14


class StillStaked(PalletError):
    """The processor has a stake, or one that unbonds."""

    index = 15


class PairedRecently(PalletError):
    """A proof of the last pairing may still be valid: a processor that registers anew could use it again."""

    index = 16


class NeedsItsFunds(PalletError):
    """The processor has less free balance than the amount and what it has to keep."""

    index = 17


ERRORS = (
    NotRegistered,
    AlreadyRegistered,
    NotAdvertised,
    AdvertOutOfBounds,
    PairingExpired,
    PairingCounter,
    PairingSignature,
    NotPaired,
    ZeroAmount,
    InsufficientStake,
    TooManyUnbonding,
    NothingToWithdraw,
    NoRoomInCalendar,
    HasLeases,
    StillAdvertised,
    StillStaked,
    PairedRecently,
    NeedsItsFunds,
)
