"""What Verification stores: rounds, what each processor put into one, and bonds that outlive theirs."""

from dataclasses import dataclass
from enum import Enum

from pallets.jobs.records import Terms
from pallets.jobs.report import Outcome
from pallets.jobs.types import RuntimeKind
from runtime.scale import U8, U32, U64, U128
from runtime.types import AccountId, Hash

RoundKey = tuple[int, int, int]
"""Job, execution, and the slot if each slot's result is judged alone (OwnerAccept), else 0."""
EntryKey = tuple[int, int, int]
"""Job, execution, slot."""


@dataclass(frozen=True, slots=True)
class VerificationParameters:
    """Slots unless named otherwise (spec/job-layer.md §5). `late`: how long a commitment may still be opened.

    `audit_one_in`: the rarest audit. `trusted_after`: verified results in a row, before which every result is audited.
    `challenge_own_ppm`: a challenger's bond, beside one reward per juror of the first panel.
    """

    collect_grace: U64 = 30
    gap: U64 = 4
    reveal: U64 = 150
    late: U64 = 43_200
    challenge_reveal: U64 = 30
    draw_delay_blocks: U64 = 2
    audit_one_in: U64 = 16
    trusted_after: U64 = 10
    challenge_rewards: U64 = 9
    challenge_own_ppm: U64 = 250_000


class RoundState(Enum):
    """COLLECTING commitments, then REVEALING; a reported result waits in its WINDOW. A settled round is removed.

    DRAWING waits for the beacon to say whether there is an audit, AUDITING for the auditor, CHALLENGED for a
    challenger's own result, JURY for a verdict.
    """

    COLLECTING = 0
    REVEALING = 1
    JURY = 2
    AUDITING = 3
    WINDOW = 4
    DRAWING = 5
    CHALLENGED = 6


@dataclass(frozen=True, slots=True)
class Challenge:
    """A doubt about a result, with a bond. The owner's, in OwnerAccept, comes without a result of its own."""

    challenger: AccountId
    bond: U128
    commitment: Hash | None
    digest: Hash | None


@dataclass(frozen=True, slots=True)
class Round:
    """The judgment of one execution. `deadline` (A) ends its state; reveals are taken from `open_at` (A) on.

    `block` is the height at which commits closed or the result was reported: the lottery is drawn after it. `audits`
    and `challenges` count those there were; `audit` is the auditor's result, whose panel is not
    settled yet; `window_until` (A) is the end of a window
    that a challenge interrupts.
    """

    state: RoundState
    deadline: U64
    open_at: U64
    block: U32
    window_until: U64
    panel: U64 | None
    audits: U8
    challenges: U8
    audit: Hash | None
    audit_panel: U64 | None
    challenge: Challenge | None
    wake: U64


@dataclass(frozen=True, slots=True)
class Entry:
    """What a processor put into a round: its commitment, then the outcome, whose digest the chain computed."""

    terms: Terms
    commitment: Hash | None
    outcome: Outcome | None
    digest: Hash | None


@dataclass(frozen=True, slots=True)
class Late:
    """A commitment that was not opened in time, whose bond stays frozen. It may outlive its job.

    `digest` is the accepted result, None if the round came to none.
    """

    terms: Terms
    commitment: Hash
    work: Hash
    job_hash: Hash
    digest: Hash | None
    runtime: RuntimeKind
    payer: AccountId
    reward: U128
    deadline: U64
