"""What the chain keeps of a job's secrets: the sealed values once, and a copy of their key for each reader."""

from dataclasses import dataclass
from typing import Annotated

from pallets.jobs.bounds import SLOTS_MAX
from pallets.secrets.contexts import KEY_BYTES, SEALED_BYTES
from runtime.scale import U8, U16, U32, U128, Bounded, Fixed
from runtime.types import AccountId

VALUES_BYTES_MAX = 4_096
PREKEYS_MAX = 16
PREKEY_COPIES_MAX = 16
COPIES_MAX = SLOTS_MAX + PREKEY_COPIES_MAX

PublicKey = Annotated[bytes, Fixed(KEY_BYTES)]
Sealed = Annotated[bytes, Fixed(SEALED_BYTES)]
Values = Annotated[bytes, Bounded(VALUES_BYTES_MAX)]
PublicKeys = Annotated[tuple[PublicKey, ...], Bounded(PREKEYS_MAX)]


@dataclass(frozen=True, slots=True)
class PrekeyCopy:
    """A copy sealed to one of a processor's one-time keys."""

    processor: AccountId
    prekey: PublicKey
    sealed: Sealed


PrekeyCopies = Annotated[tuple[PrekeyCopy, ...], Bounded(PREKEY_COPIES_MAX)]


@dataclass(frozen=True, slots=True)
class Place:
    """The slot of a job, in one generation, for which a copy is."""

    slot: U8
    generation: U32


@dataclass(frozen=True, slots=True)
class Copy:
    """The job's secret key sealed to `key` of `processor`. `place` is None for one that waits for its offer."""

    processor: AccountId
    key: PublicKey
    sealed: Sealed
    place: Place | None


Copies = Annotated[tuple[Copy, ...], Bounded(COPIES_MAX)]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A job's account here: what its owner has on deposit, and to how many readers of each kind the key went."""

    owner: AccountId
    deposit: U128
    served: U16
    prekeyed: U8


@dataclass(frozen=True, slots=True)
class SecretsParameters:
    """`exposures_spare`: to how many acknowledgments the key may go beyond one per slot (spec/job-layer.md §8, 3)."""

    exposures_spare: U8 = 2
