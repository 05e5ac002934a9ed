"""A panel of jurors, what its seats say, and what it came to."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Protocol

from pallets.jobs.bounds import SLOTS_MAX
from pallets.jobs.report import Outcome
from pallets.jobs.types import RuntimeKind
from runtime.scale import U8, U32, U64, U128, Bounded
from runtime.types import AccountId, Hash

SEATS_MAX = 63
RUNGS_MAX = 3
JURORS_MAX = 128
"""On all rungs of a ladder together."""
PARTIES_MAX = SLOTS_MAX + 8
"""A dispute has at most one party per slot, the payer, an auditor and a challenger."""
EXCLUDED_MAX = 2 * PARTIES_MAX
"""Each party's manager now, and the one that it had when it promised the work."""
JURORS_MIN = 3
"""Fewer say nothing: a dispute is never decided by whoever happens to be there."""


class PanelKind(Enum):
    """An audit is one processor's word, a jury that of many; only a jury climbs the ladder."""

    AUDIT = 0
    JURY = 1


class Stage(Enum):
    """Where a panel stands. Decided: the verdict is final, and whoever opened the panel has still to settle it."""

    CLAIMING = 0
    COMMITTING = 1
    REVEALING = 2
    APPEALABLE = 3
    DECIDED = 4


class Opinion(Enum):
    """What a juror's word was worth in the end."""

    AGREED = 0
    DISSENTED = 1
    SILENT = 2


@dataclass(frozen=True, slots=True)
class Dispute:
    """What a panel is about. Juries knows jobs by this alone.

    `subject` is the job's hash, part of every commitment. `duration_ms` bounds a run. `excluded` are the managers who
    may not judge, `parties` the accounts that may appeal.
    """

    job: U64
    execution: U32
    subject: Hash
    runtime: RuntimeKind
    reward: U128
    duration_ms: U64
    excluded: Annotated[tuple[AccountId, ...], Bounded(EXCLUDED_MAX)]
    parties: Annotated[tuple[AccountId, ...], Bounded(PARTIES_MAX)]


@dataclass(frozen=True, slots=True)
class Appeal:
    """A bond against the verdict `against` of one rung."""

    who: AccountId
    amount: U128
    against: Hash


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel's changing part.

    `rung` is its place on the ladder, `seats` how many this rung has. The mix of block `draw_block` makes the tickets.
    Between `opens` and `deadline` (A) the stage's calls are taken. `verdict` is that of the present rung.
    """

    kind: PanelKind
    dispute: Dispute
    stage: Stage
    rung: U8
    seats: U8
    draw_block: U32
    opens: U64
    deadline: U64
    verdict: Hash | None
    appeals: Annotated[tuple[Appeal, ...], Bounded(RUNGS_MAX)]
    wake: U64


@dataclass(frozen=True, slots=True)
class Seat:
    """A juror's place on a rung. `rank` is ⌊ticket / units⌋: the lowest ones sit."""

    processor: AccountId
    manager: AccountId
    rank: U64
    commitment: Hash | None
    digest: Hash | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a panel came to: `digest` is None if it hung. `opinions` are those of all rungs, in the order of seats."""

    digest: bytes | None
    opinions: tuple[tuple[bytes, Opinion], ...]


class PanelHandler(Protocol):
    """Who opens panels and acts upon their verdicts."""

    def digest_of(self, dispute: Dispute, outcome: Outcome) -> bytes:
        """The result digest of an outcome that a juror reveals. Raises DispatchError if it cannot be one."""

    def commitment_of(self, dispute: Dispute, juror: bytes, digest: bytes, salt: bytes) -> bytes:
        """What the juror must have committed to."""

    def decided(self, id: int, panel: Panel, verdict: Verdict) -> None:
        """The verdict is final. Sooner or later the handler calls `settle`, which gives the locks back."""


@dataclass(frozen=True, slots=True)
class JuryParameters:
    """Numbers of spec/job-layer.md §5; slots are of A, blocks are heights.

    `seats_*`: the ladder; a rung of 0 seats does not exist. `draw_delay_blocks`: the beacon so long after a rung opened
    makes its tickets. `gap_slots` lie between the last commitment and the first reveal, so that no reorganisation
    shows a reveal while commitments are open. `advert_age_slots_min`: how old a juror's advert and stake must be.
    `absence_ppm`: the fine of a juror who never committed. `treasury_per_era_max`: planck for jurors of hung panels.
    """

    seats_first: U8 = 9
    seats_second: U8 = 31
    seats_third: U8 = 63
    draw_delay_blocks: U32 = 2
    claim_slots: U64 = 15
    commit_grace_slots: U64 = 30
    gap_slots: U64 = 4
    reveal_slots: U64 = 30
    appeal_slots: U64 = 150
    advert_age_slots_min: U64 = 43_200
    absence_ppm: U32 = 100_000
    era_slots: U64 = 43_200
    treasury_per_era_max: U128 = 100 * 10**12

    def ladder(self) -> tuple[int, ...]:
        """How many seats each rung has, from the first to the last."""
        return tuple(seats for seats in (self.seats_first, self.seats_second, self.seats_third) if seats)
