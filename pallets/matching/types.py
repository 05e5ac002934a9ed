"""Placements that are proposed, the windows in which they compete, and the reasons to turn one down."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from runtime.scale import U8, U32, U64, Bounded
from runtime.types import AccountId

PROPOSALS_MAX = 16
"""Kept per slot; the worst gives way."""


class Reason(Enum):
    """Why a processor gets no slot: checked in the order of spec/job-layer.md §4; the first that holds counts.

    NO_STAKE: a public job, and less than one unit of stake; it comes right before NOT_DRAWN.
    """

    SLOT_TAKEN = 0
    NOT_ADVERTISED = 1
    SUSPENDED = 2
    SILENT = 3
    TOO_NEW = 4
    EXCLUDED = 5
    MANAGER_HAS_SLOT = 6
    PAYERS_OWN = 7
    NOT_LISTED = 8
    NOT_PERSONAL = 9
    CONSUMER_NOT_SERVED = 10
    RUNTIME = 11
    VERSION = 12
    MODULES = 13
    LABELS = 14
    ARCHITECTURE = 15
    ACCELERATOR = 16
    CAPABILITIES = 17
    BENCHMARK = 18
    REPUTATION = 19
    PRICE = 20
    BOND = 21
    NETWORK_QUOTA = 22
    FUEL = 23
    START_DELAY = 24
    NOT_DRAWN = 25
    CALENDAR = 26
    NO_STAKE = 27
    PAUSED = 28
    NO_SEALED_SECRETS = 29
    WAITING = 30
    TOO_EARLY = 31


@dataclass(frozen=True, slots=True)
class Placement:
    """A processor for a slot, each of its starts so long after the scheduled one."""

    slot: U8
    processor: AccountId
    start_delay_ms: U64


@dataclass(frozen=True, slots=True)
class Proposal:
    """A placement that passed the checks, with its rank: higher score first, then lower ticket."""

    processor: AccountId
    matcher: AccountId
    start_delay_ms: U64
    score: U64
    ticket: U64


@dataclass(frozen=True, slots=True)
class Window:
    """The proposals for one generation of a slot; at chain slot `closes` the best one gets the offer."""

    generation: U32
    closes: U64
    proposals: Annotated[tuple[Proposal, ...], Bounded(PROPOSALS_MAX)]


@dataclass(frozen=True, slots=True)
class MatchingParameters:
    """Numbers of spec/job-layer.md §4; slots are of A, blocks are heights.

    `window_slots`: how long proposals for a slot compete; 0: the first valid one gets the offer at once.
    `draw_delay_blocks`: the beacon so long after a slot became vacant decides its sortition.
    `draw_step_slots`: twice as many are eligible each time so long has passed.
    `fallback_after_slots`: how long a slot waits until the chain itself looks for a processor.
    `heartbeat_slots_max`: how old a sign of life may be. `advert_age_slots_min`: how old an advert must be,
    and the stake that weighs in a draw.
    """

    window_slots: U64 = 5
    draw_delay_blocks: U64 = 2
    draw_step_slots: U64 = 5
    fallback_after_slots: U64 = 30
    heartbeat_slots_max: U64 = 1_800
    advert_age_slots_min: U64 = 43_200
