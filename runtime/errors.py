"""The families of errors of the runtime.

    DispatchError       a call failed: rolled back, the fee is kept, reported in ExtrinsicFailed
      BadOrigin, TokenError, ArithmeticError, Exhausted, RootNotAllowed, OtherError
      PalletError       a rule of a pallet: ModuleError {pallet index, [error index, detail, 0, 0]}
    InvalidTransaction  the transaction never enters a block
    InvalidBlock        the block is refused and its sender penalised
    InvariantBroken     the state contradicts itself: what led there is not applied

Codes: spec/chain.md (g), sp_runtime::DispatchError, sp_runtime::transaction_validity.
"""

import struct
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Annotated, ClassVar

from runtime.scale import U8, Fixed, SumType, scale_path, variant


class DispatchError(Exception):
    """A call failed. Its effects are undone, nonce and fee stay."""


class OtherError(DispatchError):
    """Reserved by the format; no rule of ours raises it."""


class BadOrigin(DispatchError):
    """The call's origin type does not permit it."""


class Exhausted(DispatchError):
    """A bounded resource of the chain (storage layers, block weight) is used up."""


class RootNotAllowed(DispatchError):
    """The call may not be dispatched with the root origin."""


@scale_path("sp_runtime", "TokenError")
class TokenErrorKind(Enum):
    """Why a balance operation failed."""

    FUNDS_UNAVAILABLE = 0
    ONLY_PROVIDER = 1
    BELOW_MINIMUM = 2
    CANNOT_CREATE = 3
    UNKNOWN_ASSET = 4
    FROZEN = 5
    UNSUPPORTED = 6
    CANNOT_CREATE_HOLD = 7
    NOT_EXPENDABLE = 8
    BLOCKED = 9


class TokenError(DispatchError):
    """A balance operation failed for a reason that every pallet shares."""

    def __init__(self, kind: TokenErrorKind) -> None:
        super().__init__(kind.name)
        self.kind = kind


@scale_path("sp_arithmetic", "ArithmeticError")
class ArithmeticKind(Enum):
    """Why an integer operation failed."""

    UNDERFLOW = 0
    OVERFLOW = 1
    DIVISION_BY_ZERO = 2


class ArithmeticFailed(DispatchError):
    """An amount left the bounds of its type."""

    def __init__(self, kind: ArithmeticKind) -> None:
        super().__init__(kind.name)
        self.kind = kind


class PalletError(DispatchError):
    """A rule of a pallet was broken. Subclasses set `index`, unique in their pallet, and have a docstring.

    `detail` (0..255) goes into the second byte of the module error: which field, which limit.
    """

    index: ClassVar[int]

    def __init__(self, detail: int = 0) -> None:
        super().__init__(detail)
        self.detail = detail


@scale_path("sp_runtime", "ModuleError")
@dataclass(frozen=True, slots=True)
class ModuleErrorValue:
    """A pallet's error as events carry it."""

    index: U8
    error: Annotated[bytes, Fixed(4)]


@scale_path("sp_runtime", "TransactionalError")
class TransactionalKind(Enum):
    """Storage layer errors."""

    LIMIT_REACHED = 0
    NO_LAYER = 1


@scale_path("sp_runtime", "proving_trie", "TrieError")
class TrieKind(Enum):
    """Reserved by the format."""

    INVALID_STATE_ROOT = 0


@scale_path("sp_runtime", "DispatchError")
class DispatchErrorValue(SumType):
    """A dispatch error as events carry it."""

    __slots__ = ()


def _plain(index: int, name: str) -> type[DispatchErrorValue]:
    cls = type(name + "Value", (DispatchErrorValue,), {"__slots__": (), "__doc__": "", "__eq__": _same_type})
    # A class made by type() has no declared __hash__ to assign to.
    cls.__hash__ = object.__hash__  # type: ignore[assignment]
    return variant(index, name)(cls)


def _same_type(self: object, other: object) -> bool:
    return type(self) is type(other)


OtherValue = _plain(0, "Other")
CannotLookupValue = _plain(1, "CannotLookup")
BadOriginValue = _plain(2, "BadOrigin")


@variant(3, "Module", tuple_like=True)
@dataclass(frozen=True, slots=True)
class ModuleValue(DispatchErrorValue):
    """A pallet's error."""

    module: ModuleErrorValue


ConsumerRemainingValue = _plain(4, "ConsumerRemaining")
NoProvidersValue = _plain(5, "NoProviders")
TooManyConsumersValue = _plain(6, "TooManyConsumers")


@variant(7, "Token", tuple_like=True)
@dataclass(frozen=True, slots=True)
class TokenValue(DispatchErrorValue):
    """A balance operation failed."""

    kind: TokenErrorKind


@variant(8, "Arithmetic", tuple_like=True)
@dataclass(frozen=True, slots=True)
class ArithmeticValue(DispatchErrorValue):
    """An amount left its bounds."""

    kind: ArithmeticKind


@variant(9, "Transactional", tuple_like=True)
@dataclass(frozen=True, slots=True)
class TransactionalValue(DispatchErrorValue):
    """A storage layer could not be opened."""

    kind: TransactionalKind


ExhaustedValue = _plain(10, "Exhausted")
CorruptionValue = _plain(11, "Corruption")
UnavailableValue = _plain(12, "Unavailable")
RootNotAllowedValue = _plain(13, "RootNotAllowed")


@variant(14, "Trie", tuple_like=True)
@dataclass(frozen=True, slots=True)
class TrieValue(DispatchErrorValue):
    """Reserved by the format."""

    kind: TrieKind


class Validity(IntEnum):
    """InvalidTransaction codes (sp_runtime::transaction_validity::InvalidTransaction)."""

    CALL = 0
    PAYMENT = 1
    FUTURE = 2
    STALE = 3
    BAD_PROOF = 4
    ANCIENT_BIRTH_BLOCK = 5
    EXHAUSTS_RESOURCES = 6
    CUSTOM = 7
    BAD_MANDATORY = 8
    MANDATORY_VALIDATION = 9
    BAD_SIGNER = 10


class InvalidTransaction(Exception):
    """The transaction may not enter a block. `explanation` says which part is wrong and what was expected."""

    def __init__(self, code: Validity, explanation: str) -> None:
        super().__init__(f"{code.name}: {explanation}")
        self.code = code
        self.explanation = explanation


class BlockFault(IntEnum):
    """InvalidBlock codes of spec/chain.md (g)."""

    UNDECODABLE = 1
    DIGEST = 2
    SEAL = 3
    AUTHOR = 4
    SLOT = 5
    NUMBER = 6
    EXTRINSICS_ROOT = 7
    STATE_ROOT = 8
    INHERENT = 9
    EXTRINSIC = 10
    WEIGHT = 11
    LENGTH = 12
    REVEAL = 13
    SPEC = 14
    FINALITY = 15
    INTERNAL = 16


class InvalidBlock(Exception):
    """The block breaks a rule; whoever made it is at fault."""

    def __init__(self, fault: BlockFault, explanation: str) -> None:
        super().__init__(f"{fault.name}: {explanation}")
        self.fault = fault
        self.explanation = explanation


class InvariantBroken(Exception):
    """The state contradicts a pallet's invariant: our own fault. Whatever led there is not applied."""


OWN_FAULTS = (
    *(ArithmeticError, LookupError, TypeError, ValueError, AssertionError, RecursionError),
    *(struct.error, InvariantBroken, DispatchError),
)
"""What a fault of our own code looks like while a block executes. An author drops the extrinsic that met it, an
importer refuses the block without blaming its sender; neither stops (spec/chain.md §1.6)."""
