"""Rounds: what is left to do for an attempt after its report or commitment - reveal it, and deliver what was accepted.

A round is looked after from the journal, not from our slots: a lease may be over long before its results are judged.

A result is shown only once the block that closed the commitments is final. Before that a reorganisation could open
them again, and others could commit to what they have read (spec/job-layer.md §1). No output leaves before it is
accepted, and then one processor delivers it: that of the lowest slot, and the next if a turn passes without a receipt.
"""

from __future__ import annotations

import trio

from node.log import logger
from node.processor.delivery import Deliveries
from node.processor.destinations.sender import DestinationFailed
from node.processor.duties import Duties, Judged
from node.processor.journal import AttemptKey, Journal
from node.processor.reports import digest_of, salt_of
from node.processor.submitter import Submitter
from pallets.jobs.report import Outcome, Succeeded
from pallets.verification.types import RoundState
from runtime.heddle import Heddle
from runtime.scale import codec_of

log = logger("processor")

OUTCOME = codec_of(Outcome)
UNREAD_STATES = (RoundState.COLLECTING, RoundState.DRAWING, RoundState.AUDITING)
"""Nothing has been shown yet, or commitments may still come."""
DELIVERY_TRIES_MAX = 3
"""Each of them is several requests (destinations/webhook.py)."""


class Rounds:
    """The attempts that others judge."""

    def __init__(self, duties: Duties, submitter: Submitter, journal: Journal, deliveries: Deliveries) -> None:
        self.duties = duties
        self.submitter = submitter
        self.journal = journal
        self.deliveries = deliveries
        self._delivering: dict[AttemptKey, None] = {}
        self._tries: dict[AttemptKey, int] = {}

    def is_busy(self, key: AttemptKey) -> bool:
        """Whether the attempt's output is on its way out: the journal must keep it."""
        return key in self._delivering

    def step(self, runtime: Heddle, nursery: trio.Nursery) -> None:
        """The next step of each attempt that is out of our hands."""
        keys = list(self.journal.keys())
        self._tries = {key: tries for key, tries in self._tries.items() if key in keys}
        for key in keys:
            outcome = self._outcome(key)
            job_id = runtime.jobs.job_by_hash.find(key.job_hash)
            if outcome is None or job_id is None:
                continue
            self._reveal(runtime, job_id, key, outcome)
            self._reveal_late(runtime, job_id, key, outcome)
            judged = self.duties.judged(key)
            if judged is not None and isinstance(outcome, Succeeded):
                self._deliver(judged, key, outcome, nursery)

    def _outcome(self, key: AttemptKey) -> Outcome | None:
        known = self.journal.get(key)
        if known is None or known.outcome is None:
            return None
        outcome: Outcome = OUTCOME.decode(known.outcome)
        return outcome

    def _reveal(self, runtime: Heddle, job_id: int, key: AttemptKey, outcome: Outcome) -> None:
        wish = ("reveal", key)
        entry = self.duties.entry_of(runtime, job_id, key)
        if entry is None or entry.commitment is None or entry.outcome is not None:
            self.submitter.done(wish)
            return
        found = runtime.verification.rounds.find(runtime.verification.key_of(job_id, key.execution, key.slot))
        if found is None or found.state is not RoundState.REVEALING or runtime.agenda.now() < found.open_at:
            return
        if not self._close_is_final(key, entry.commitment):
            return
        place = (job_id, key.execution, key.slot, key.generation, key.attempt)
        self.submitter.want(wish, "Verification", "reveal", *place, outcome, self._salt(runtime, job_id, key, outcome))

    def _close_is_final(self, key: AttemptKey, commitment: bytes) -> bool:
        """Whether the final chain has our commitment in a round that takes no more."""
        final = self.duties.final()
        job_id = final.jobs.job_by_hash.find(key.job_hash)
        entry = None if job_id is None else self.duties.entry_of(final, job_id, key)
        if job_id is None or entry is None or entry.commitment != commitment:
            return False
        found = final.verification.rounds.find(final.verification.key_of(job_id, key.execution, key.slot))
        return found is not None and found.state not in UNREAD_STATES

    def _reveal_late(self, runtime: Heddle, job_id: int, key: AttemptKey, outcome: Outcome) -> None:
        """After downtime: the bond is frozen, and what was accepted frees it."""
        wish = ("reveal_late", key)
        late = self.duties.late_of(runtime, job_id, key)
        if late is None:
            self.submitter.done(wish)
            return
        if late.digest in (None, digest_of(runtime.jobs.spec_for(job_id, key.execution), key.execution, outcome)):
            arguments = (job_id, key.execution, key.slot, outcome, self._salt(runtime, job_id, key, outcome))
            self.submitter.want(wish, "Verification", "reveal_late", *arguments)

    def _salt(self, runtime: Heddle, job_id: int, key: AttemptKey, outcome: Outcome) -> bytes:
        spec = runtime.jobs.spec_for(job_id, key.execution)
        return salt_of(self.submitter, key, digest_of(spec, key.execution, outcome))

    def _deliver(self, judged: Judged, key: AttemptKey, outcome: Succeeded, nursery: trio.Nursery) -> None:
        """Begin a delivery when it is our turn; tell the chain of each that is done, so that nobody repeats it."""
        known = self.journal.get(key)
        receipts = {} if known is None else dict(known.deliveries)
        for number in judged.pending:
            if number in receipts:
                arguments = (judged.id, key.execution, key.slot, number, receipts[number])
                self.submitter.want(("delivered", key, number), "Verification", "delivered", *arguments)
        tries = self._tries.get(key, 0)
        left = any(number not in receipts for number in judged.pending)
        if left and judged.our_turn and key not in self._delivering and tries < DELIVERY_TRIES_MAX:
            self._tries[key] = tries + 1
            self._delivering[key] = None
            nursery.start_soon(self._attend, judged, key, outcome)

    async def _attend(self, judged: Judged, key: AttemptKey, outcome: Succeeded) -> None:
        try:
            await self.deliveries.deliver_accepted(judged, key, outcome)
        except DestinationFailed as error:
            log.warning("an accepted result was not delivered", job=judged.id, reason=str(error))
        except Exception:  # the supervisor of one delivery: the others and the node must live
            log.exception("a delivery was interrupted", job="0x" + key.job_hash.hex(), execution=key.execution)
        finally:
            del self._delivering[key]
