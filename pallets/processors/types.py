"""What a processor says of itself, and what the chain keeps of it."""

from dataclasses import dataclass
from typing import Annotated

from pallets.jobs.fields import Accounts, Label
from pallets.jobs.types import Architecture, RuntimeKind
from pallets.processors.calendar import Capacity
from runtime.scale import U8, U32, U64, U128, Bounded
from runtime.types import AccountId

MODULES_MAX = 32
LABELS_MAX = 16
ACCELERATORS_MAX = 8
RUNTIMES_MAX = 5
UNBONDING_MAX = 8
"""Parts of one stake that unbond at the same time."""
SIGNATURE_BYTES_MAX = 65
PRICE_MAX = 10**24
"""Of each part of a price, in planck."""


@dataclass(frozen=True, slots=True)
class Pricing:
    """The ask of one execution: base + per_ms·duration + per_storage_byte·storage + per_request·requests."""

    base: U128
    per_ms: U128
    per_storage_byte: U128
    per_request: U128


FREE = Pricing(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Advert:
    """What a processor offers.

    `requests_max` is per execution. `benchmark` is fuel per millisecond. `consumers`: whom it works for, empty for all.
    `start_delay_min_ms`: jobs must allow at least this start delay.
    """

    runtimes: Annotated[tuple[RuntimeKind, ...], Bounded(RUNTIMES_MAX)]
    capacity: Capacity
    requests_max: U32
    modules: Annotated[tuple[Label, ...], Bounded(MODULES_MAX)]
    labels: Annotated[tuple[Label, ...], Bounded(LABELS_MAX)]
    architecture: Architecture | None
    accelerators: Annotated[tuple[Label, ...], Bounded(ACCELERATORS_MAX)]
    fetch: bool
    storage: bool
    sign: bool
    benchmark: U64
    pricing: Pricing
    consumers: Accounts
    start_delay_min_ms: U64


@dataclass(frozen=True, slots=True)
class Processor:
    """A registered processor. `advertised_at` and `heartbeat_at` are in A.

    `paired_ms` is when it was last paired, 0 for never. `unacknowledged` counts offers in a row that it left without an
    answer; at two its advert is suspended until it is renewed. `deposit` is what it holds for itself and its advert.
    """

    registered_slot: U64
    version: U32
    heartbeat_at: U64
    manager: AccountId | None
    pairing_counter: U64
    paired_ms: U64
    advertised_at: U64
    suspended: bool
    unacknowledged: U8
    deposit: U128


@dataclass(frozen=True, slots=True)
class Unbonding:
    """Stake that was taken back: it may be withdrawn from A = `free_at` on, and slashed until then and after."""

    amount: U128
    free_at: U64


@dataclass(frozen=True, slots=True)
class Stake:
    """What a processor has at stake: `bonded` counts in sortition, `unbonding` is on its way out, oldest first.

    `fresh` is the part of the bonded stake that was added last, at A = `fresh_at`: it is too young for draws that ask
    for an age. What was added before it and was not old enough then begins anew with it.
    """

    bonded: U128
    unbonding: Annotated[tuple[Unbonding, ...], Bounded(UNBONDING_MAX)]
    fresh: U128 = 0
    fresh_at: U64 = 0


@dataclass(frozen=True, slots=True)
class ProcessorParameters:
    """`stake_unit`: planck of stake that make one unit in sortition. `unbond_slots`: how long stake unbonds, in A.

    `era_slots`: slots of A for which the budget of a sponsor holds.
    """

    stake_unit: U64 = 10 * 10**12
    unbond_slots: U64 = 302_400
    era_slots: U64 = 43_200


@dataclass(frozen=True, slots=True)
class Sponsor:
    """A manager who pays its processors' fees: at most `era_max` planck an era; `spent` of it in era number `era`."""

    era_max: U128
    era: U64
    spent: U128


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many sponsored calls a processor had left at A = `at`, in parts: an hour's slots make one call."""

    level: U64
    at: U64


@dataclass(frozen=True, slots=True)
class PairingProof:
    """A manager's signature over `pairing_message`: this processor is mine.

    `counter` must exceed the processor's last one; the proof is valid for at most four hours.
    """

    manager: AccountId
    counter: U64
    expires_ms: U64
    scheme: U8
    signature: Annotated[bytes, Bounded(SIGNATURE_BYTES_MAX)]


def pairing_message(genesis_hash: bytes, processor: bytes, manager: bytes, counter: int, expires_ms: int) -> bytes:
    """The bytes that a manager signs: "HDL pairing" ‖ genesis ‖ processor ‖ manager ‖ u64 counter ‖ u64 expiry."""
    numbers = counter.to_bytes(8, "little") + expires_ms.to_bytes(8, "little")
    return b"HDL pairing" + genesis_hash + processor + manager + numbers
