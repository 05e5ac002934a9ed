"""Verification: how a result becomes accepted where a report alone does not suffice (spec/job-layer.md §5, ADR 0018).

    Quorum, Credibility   replicas commit, then reveal; equal results are accepted, a dissent goes to a jury
    Adaptive              one processor commits; audits, rarer the longer its record, compare it with another
    Reexecution           a reported result with its tape waits in a window for audits and challenges
    OwnerAccept           a reported result waits for the owner, whose silence accepts

    Collecting -> (Drawing -> Auditing ->) Revealing -> settled, or Jury -> settled
    (Drawing -> Auditing ->) Window <-> Challenged; Window -> settled, Challenged -> Jury -> settled

Each round ends by itself: every state has a deadline, or a panel that has. Every call first applies what is due.

Invariants (`check_state`): each waiting execution has its entry in a round, and each entry a waiting execution; the
bonds of challenges are held as CHALLENGE; each panel is awaited by a round; a bond counts what waits for it.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pallets.agenda import Agenda
from pallets.balances import Balances
from pallets.beacon import Beacon
from pallets.escrow.pallet import Escrow
from pallets.jobs.bounds import REFERENCE_BYTES_MAX, REPLICAS_MAX
from pallets.jobs.errors import NotOwner
from pallets.jobs.modes import commits
from pallets.jobs.pallet import Jobs
from pallets.jobs.report import Outcome
from pallets.jobs.store import WHOLE_JOB
from pallets.jobs.types import OwnerAccept
from pallets.juries.pallet import Juries
from pallets.juries.types import Dispute, Panel, PanelKind, Verdict
from pallets.parameters import parameters_from
from pallets.reputation import Reputation
from pallets.system import System
from pallets.verification import audits, digests, late, receipts, rounds, verdicts, windows
from pallets.verification.checks import check_verification
from pallets.verification.errors import CommitNotExpected, NothingToJudge
from pallets.verification.outcomes import found_digest
from pallets.verification.store import LATE_KIND, ROUND_KIND, VerificationStore, key_from
from pallets.verification.types import RoundKey, RoundState, VerificationParameters
from runtime.pallet import Cost, Signed, call
from runtime.scale import U8, U32, U64, Bounded, Registry
from runtime.state import State
from runtime.types import Hash

KEYS_PER_REPLICA = 8
WHOLE_ROUND = Cost(
    reads=WHOLE_JOB.reads + KEYS_PER_REPLICA * REPLICAS_MAX, writes=WHOLE_JOB.writes + KEYS_PER_REPLICA * REPLICAS_MAX
)
"""The worst case of every call: what is due may settle the round, and with it the job."""
LATE = Cost(reads=8, writes=8)
COLLECTING_STATES = (RoundState.COLLECTING, RoundState.REVEALING)


class Verification(VerificationStore):
    """The calls of rounds."""

    def __init__(
        self,
        state: State,
        registry: Registry,
        system: System,
        agenda: Agenda,
        beacon: Beacon,
        balances: Balances,
        jobs: Jobs,
        juries: Juries,
        escrow: Escrow,
        reputation: Reputation,
    ) -> None:
        super().__init__(state, registry, system, agenda, beacon, balances, jobs, juries, escrow, reputation)
        self.running = jobs.running
        jobs.on_over.append(self._note_over)
        jobs.on_report.append(lambda *what: windows.reported(self, *what))
        juries.register(self)
        agenda.register(ROUND_KIND, self._wake_round, WHOLE_ROUND.weight_ps)
        agenda.register(LATE_KIND, lambda late_id, _at: late.advance(self, key_from(late_id)), LATE.weight_ps)

    def genesis(self, config: Mapping[str, Any]) -> None:
        """The fields of VerificationParameters."""
        limits = {
            "collect_grace": (1, 10_000),
            "gap": (0, 100),
            "reveal": (1, 10_000),
            "late": (1, 1 << 32),
            "challenge_reveal": (1, 10_000),
            "draw_delay_blocks": (1, 100),
            "audit_one_in": (1, 16),
            "trusted_after": (0, 1_000),
            "challenge_rewards": (1, 1_000),
            "challenge_own_ppm": (0, 10**6),
        }
        self.parameters.put(parameters_from("verification", VerificationParameters(), limits, config))

    # Processors.

    @call(index=0, weight=WHOLE_ROUND, refundable=True)
    def commit(
        self, origin: Signed, job: U64, execution: U32, slot: U8, generation: U32, attempt: U8, commitment: Hash
    ) -> None:
        """Bind a running attempt to its result without showing it."""
        self._apply_due(job, execution, slot)
        self.running(origin.who, job, execution, slot, generation, attempt)
        if not commits(self.jobs.specs.get(job)):
            raise CommitNotExpected
        rounds.commit(self, (job, execution, slot), attempt, commitment)

    @call(index=1, weight=WHOLE_ROUND, refundable=True)
    def reveal(
        self,
        origin: Signed,
        job: U64,
        execution: U32,
        slot: U8,
        generation: U32,
        attempt: U8,
        outcome: Outcome,
        salt: Hash,
    ) -> None:
        """Show the committed result."""
        self._apply_due(job, execution, slot)
        rounds.reveal(self, origin.who, (job, execution, slot), generation, attempt, outcome, salt)

    # The owner.

    @call(index=2, weight=WHOLE_ROUND, refundable=True)
    def accept(self, origin: Signed, job: U64, execution: U32, slot: U8) -> None:
        """Take a reported result without waiting for the end of its window."""
        windows.accept(self, self._of_owner(origin.who, job, execution, slot))

    @call(index=3, weight=WHOLE_ROUND, refundable=True)
    def reject(self, origin: Signed, job: U64, execution: U32, slot: U8) -> None:
        """Do not take a reported result. If the job is deterministic a jury decides, for which the owner bonds."""
        windows.reject(self, self._of_owner(origin.who, job, execution, slot), origin.who)

    def _of_owner(self, who: bytes, job: int, execution: int, slot: int) -> RoundKey:
        """Raises JobNotFound, NotOwner, NothingToJudge."""
        self._apply_due(job, execution, slot)
        if self.jobs.job(job).owner != who:
            raise NotOwner
        if not isinstance(self.jobs.specs.get(job).verification, OwnerAccept):
            raise NothingToJudge
        return job, execution, slot

    # Challengers.

    @call(index=4, weight=WHOLE_ROUND, refundable=True)
    def challenge(self, origin: Signed, job: U64, execution: U32, commitment: Hash) -> None:
        """Bond on a reported result being wrong, bound to another."""
        self._apply_due(job, execution, 0)
        windows.challenge(self, self.key_of(job, execution, 0), origin.who, commitment)

    @call(index=5, weight=WHOLE_ROUND, refundable=True)
    def reveal_challenge(self, origin: Signed, job: U64, execution: U32, outcome: Outcome, salt: Hash) -> None:
        """Show the other result; a jury decides."""
        self._apply_due(job, execution, 0)
        windows.reveal_challenge(self, self.key_of(job, execution, 0), origin.who, outcome, salt)

    # Afterwards.

    @call(index=6, weight=WHOLE_ROUND, refundable=True)
    def reveal_late(self, origin: Signed, job: U64, execution: U32, slot: U8, outcome: Outcome, salt: Hash) -> None:
        """Recover a frozen bond by showing, after all, the result that was accepted."""
        late.advance(self, (job, execution, slot))
        late.reveal(self, (job, execution, slot), origin.who, outcome, salt)

    @call(index=7, weight=WHOLE_ROUND, refundable=True)
    def poke(self, origin: Signed, job: U64, execution: U32) -> None:
        """Apply what is due for an execution's rounds now, at most 15, without waiting for the chain's own work."""
        looked_at = 0
        for slot in range(self.jobs.job(job).slots):
            keys = {self.key_of(job, execution, slot), (job, execution, slot)}
            looked_at += any(self.rounds.contains(key) or self.late.contains(key) for key in keys)
            if looked_at > REPLICAS_MAX:
                break
            self._apply_due(job, execution, slot)
            late.advance(self, (job, execution, slot))

    @call(index=8, weight=Cost(reads=4, writes=2))
    def delivered(
        self,
        origin: Signed,
        job: U64,
        execution: U32,
        slot: U8,
        destination: U8,
        reference: Annotated[bytes, Bounded(REFERENCE_BYTES_MAX)],
    ) -> None:
        """Note that a destination took an accepted result, so that nobody delivers it again."""
        receipts.note(self, origin.who, (job, execution, slot), destination, reference)

    # What is due.

    def _apply_due(self, job: int, execution: int, slot: int) -> None:
        """Raises JobNotFound."""
        key = self.key_of(job, execution, slot)
        if self.rounds.contains(key):
            self._advance(key)

    def _advance(self, key: RoundKey) -> None:
        if self.rounds.get(key).state in COLLECTING_STATES:
            rounds.advance(self, key)
        else:
            windows.advance(self, key)

    def _wake_round(self, id: int, at: int) -> None:
        """The agenda's handler of rounds."""
        key = key_from(id)
        current = self.rounds.find(key)
        if current is None or current.wake != at:
            return
        self._advance(key)
        after = self.rounds.find(key)
        if after is not None and after.panel is None and after.wake == at:
            self.put(key, after)

    def _note_over(self, job: int, execution: int) -> None:
        """An execution of some slot is over without a result: the round may have all that it will get."""
        key = (job, execution, 0)
        current = self.rounds.find(key)
        if current is not None and current.state is RoundState.COLLECTING:
            self.soon(key)

    # For Juries.

    def digest_of(self, dispute: Dispute, outcome: Outcome) -> bytes:
        """Of what a juror found. Raises what `found_digest` does."""
        spec = self.jobs.spec_for(dispute.job, dispute.execution)
        return found_digest(spec, digests.work_hash(spec, dispute.execution), outcome)

    def commitment_of(self, dispute: Dispute, juror: bytes, digest: bytes, salt: bytes) -> bytes:
        """What a juror must have committed to."""
        genesis = self.system.genesis_hash
        return digests.outsiders_commitment(genesis, dispute.subject, dispute.execution, juror, digest, salt)

    def decided(self, id: int, panel: Panel, verdict: Verdict) -> None:
        """The last word of a panel."""
        key = self.panels.get(id)
        if panel.kind is PanelKind.AUDIT:
            audits.decided(self, key, id, verdict.digest)
        else:
            verdicts.decided(self, key, id, verdict.digest)

    def check_state(self) -> None:
        check_verification(self)
