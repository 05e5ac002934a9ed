"""Sponsoring: a manager pays the fees of its processors' duties, and of nothing else.

A call is sponsored if it is in the list below, bears no tip, and comes from a paired processor with a promise to keep;
the calls of the second list need none. Each processor has a bucket of such calls, which fills by 60 an hour and by
6 more for each lease, and a manager pays at most `era_max` within an era. What is not sponsored the processor pays
itself: there is no error, so that a drained sponsor never stops a processor with money (spec/job-layer.md §1).

Invariant (`check_sponsoring`): only paired processors have a bucket, and none holds more than an hour's calls.
"""

from dataclasses import replace

from pallets.processors.events import SponsoringChanged
from pallets.processors.stakes import Stakes
from pallets.processors.store import LEASES_MAX
from pallets.processors.types import Bucket, Sponsor
from runtime.errors import InvariantBroken
from runtime.pallet import CallDefinition, Cost, Signed, call
from runtime.scale import U128

SPONSORED_WITH_A_LEASE = frozenset(
    (pallet, name)
    for pallet, names in {
        "Jobs": ("acknowledge", "decline", "started", "progress", "checkpoint", "report", "resign"),
        "Verification": ("commit",),
    }.items()
    for name in names
)
"""Duties of whoever has been offered a slot."""
SPONSORED_ALWAYS = frozenset(
    {
        ("Processors", "heartbeat"),
        ("Secrets", "publish_prekeys"),
        ("Verification", "reveal"),
        ("Verification", "reveal_late"),
        ("Verification", "delivered"),
        ("Juries", "commit"),
        ("Juries", "reveal"),
    }
)
"""Duties that may be due when the lease is over, or before there is one."""
SPONSORED = SPONSORED_WITH_A_LEASE | SPONSORED_ALWAYS
CALLS_PER_HOUR = 60
CALLS_PER_HOUR_AND_LEASE = 6
CALLS_PER_HOUR_MAX = CALLS_PER_HOUR + CALLS_PER_HOUR_AND_LEASE * LEASES_MAX
HOUR_MS = 3_600_000


class Sponsoring(Stakes):
    """The call of sponsors, and what the executive asks."""

    @call(index=12, weight=Cost(reads=3, writes=1))
    def sponsor(self, origin: Signed, era_max: U128) -> None:
        """Pay the fees of all processors that are paired with the signer, up to `era_max` an era; 0 ends it."""
        before = self.sponsors.find(origin.who)
        if era_max:
            spent = Sponsor(era_max, self._era(), 0) if before is None else replace(before, era_max=era_max)
            self.sponsors.put(origin.who, spent)
        elif before is not None:
            self.sponsors.remove(origin.who)
        self.emit(SponsoringChanged(origin.who, era_max))

    # For the executive and the pool.

    def sponsor_of(self, who: bytes, definition: CallDefinition, fee: int) -> bytes | None:
        """The manager who would pay `fee` for a call of `who` without tip; None if `who` has to pay it."""
        wanted = (definition.pallet, definition.name)
        if wanted not in SPONSORED:
            return None
        record = self.records.find(who)
        if record is None or record.manager is None:
            return None
        if wanted in SPONSORED_WITH_A_LEASE and not self.leases.get(who):
            return None
        if fee > self.sponsor_budget(record.manager) or self._level(who) < self._hour_slots():
            return None
        return record.manager

    def sponsor_budget(self, manager: bytes) -> int:
        """Planck that a manager still pays for its processors now."""
        terms = self.sponsors.find(manager)
        if terms is None:
            return 0
        spent = terms.spent if terms.era == self._era() else 0
        spendable = self.balances.free(manager) - self.balances.existential_deposit
        return max(0, min(terms.era_max - spent, spendable))

    def note_sponsored(self, who: bytes, manager: bytes, fee: int) -> None:
        """A sponsored call of `who` was made: it is taken out of the bucket, and its fee out of the era's budget."""
        # The call may have ended a lease, which makes the bucket smaller than it was when the call was let in.
        self.buckets.put(who, Bucket(max(0, self._level(who) - self._hour_slots()), self.agenda.now()))
        terms, era = self.sponsors.find(manager), self._era()
        if terms is not None:
            spent = fee + (terms.spent if terms.era == era else 0)
            self.sponsors.put(manager, replace(terms, era=era, spent=spent))

    def _level(self, who: bytes) -> int:
        """What the bucket of `who` holds now. A call takes as many parts out as an hour has slots."""
        hourly = CALLS_PER_HOUR + CALLS_PER_HOUR_AND_LEASE * len(self.leases.get(who))
        full, bucket = hourly * self._hour_slots(), self.buckets.find(who)
        if bucket is None:
            return full
        return min(full, bucket.level + hourly * (self.agenda.now() - bucket.at))

    def _hour_slots(self) -> int:
        return self.agenda.slots_of(HOUR_MS)

    def _era(self) -> int:
        return self.agenda.now() // self.parameters.get().era_slots

    def check_sponsoring(self) -> None:
        """Raises InvariantBroken for a bucket without a pairing or over its bound."""
        for who, bucket in self.buckets.items():
            record = self.records.find(who)
            over = not 0 <= bucket.level <= CALLS_PER_HOUR_MAX * self._hour_slots()
            if over or record is None or record.manager is None:
                raise InvariantBroken(f"processors: 0x{who.hex()}: a bucket of {bucket.level}")
