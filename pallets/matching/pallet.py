"""Matching: proposals by anyone, windows in which they compete, and the chain's own choice when nobody proposes.

A proposal is checked in full when it arrives and again when its window closes; the best that still passes gets the
offer, so that neither speed nor copying wins. A slot that waits too long is filled by the chain itself, a bounded
number of candidates per block (spec/job-layer.md §4). Every rejection is counted with its reason.

Invariant (`check_state`): a window has at least one proposal and no processor twice, and lies in the agenda's future.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

from pallets.agenda import Agenda
from pallets.beacon import Beacon
from pallets.escrow.pallet import Escrow
from pallets.jobs import slots
from pallets.jobs.bounds import SLOTS_MAX
from pallets.jobs.records import SlotState
from pallets.jobs.store import REASONS_MAX, SLOT_BITS, WHOLE_JOB, JobStore
from pallets.jobs.types import Known, Personal
from pallets.matching.eligibility import Candidate, Eligibility, Seat
from pallets.matching.types import PROPOSALS_MAX, MatchingParameters, Placement, Proposal, Reason, Window
from pallets.parameters import parameters_from
from pallets.processors.pallet import Processors
from pallets.reputation import Reputation
from pallets.secrets.pallet import Secrets
from pallets.system import System
from runtime.errors import InvariantBroken, PalletError
from runtime.hashing import blake2b256
from runtime.pallet import Event, Pallet, Signed, call
from runtime.records import replace
from runtime.scale import U8, U32, U64, Bounded, Registry
from runtime.state import State
from runtime.storage import TWOX, Map, Value
from runtime.types import AccountId
from runtime.weight import cost_ps

WINDOW_KIND = 3
FALLBACK_JOBS_MAX = 4
FALLBACK_FIRST_MAX = 2
"""Of those, by their place in the queue; the others are found going round, so that each is looked at in time."""
FALLBACK_CANDIDATES_MAX = 16
FALLBACK_JUDGED_MAX = 64
"""Checks for one job in one block: several slots may look at the same candidates."""
CANDIDATE_PS = cost_ps(reads=10, writes=0, extra_us=30)
OFFER_PS = cost_ps(reads=8, writes=10)
CLOSE_PS = cost_ps(reads=SLOTS_MAX, writes=0) + PROPOSALS_MAX * CANDIDATE_PS + OFFER_PS
SEARCH_PS = (
    cost_ps(reads=2 * SLOTS_MAX, writes=0) + FALLBACK_JUDGED_MAX * CANDIDATE_PS + FALLBACK_CANDIDATES_MAX * OFFER_PS
)
COUNT_MAX = (1 << 32) - 1


def propose_weight(_job: int, placements: tuple[Placement, ...]) -> int:
    """In picoseconds: what is due may end the job; each placement is checked and may open a window."""
    return WHOLE_JOB.weight_ps + len(placements) * (CANDIDATE_PS + OFFER_PS)


@dataclass(slots=True)
class Proposed(Event):
    """A placement passed the checks and competes for its slot."""

    job: U64
    slot: U8
    processor: AccountId
    matcher: AccountId


@dataclass(slots=True)
class PlacementRejected(Event):
    """A proposed processor cannot have the slot."""

    job: U64
    slot: U8
    processor: AccountId
    reason: Reason


class NoPlacements(PalletError):
    """A proposal names at least one placement."""

    index = 0


class SlotNotFound(PalletError):
    """The job has no slot of this number."""

    index = 1


class NamedProcessorUnfit(PalletError):
    """A processor that the owner names cannot have the slot; the detail is the reason."""

    index = 2


class Matching(Pallet):
    """Who gets which slot."""

    name, index = "Matching", 23
    events = (Proposed, PlacementRejected)
    errors = (NoPlacements, SlotNotFound, NamedProcessorUnfit)

    def __init__(
        self,
        state: State,
        registry: Registry,
        system: System,
        agenda: Agenda,
        beacon: Beacon,
        processors: Processors,
        jobs: JobStore,
        escrow: Escrow,
        reputation: Reputation,
        secrets: Secrets,
    ) -> None:
        super().__init__(state, registry)
        self.system, self.agenda, self.processors, self.jobs = system, agenda, processors, jobs
        self.eligibility = Eligibility(system, agenda, beacon, processors, jobs, escrow, reputation, secrets)
        self.parameters: Value[MatchingParameters] = self.value(
            "Parameters", MatchingParameters, MatchingParameters(), "Set by the chain spec."
        )
        self.windows: Map[tuple[int, int], Window] = self.maps(
            "Windows", ((U64, TWOX), (U8, TWOX)), Window, None, "Proposals that compete for a slot."
        )
        self.cursor: Value[int] = self.value("Cursor", U32, 0, "Where the chain's own search goes on.")
        agenda.register(WINDOW_KIND, self._wake, CLOSE_PS)
        jobs.placer = self._place

    def genesis(self, config: Mapping[str, Any]) -> None:
        """The fields of MatchingParameters."""
        bounds = {"window_slots": (0, 300), "draw_delay_blocks": (0, 100), "draw_step_slots": (1, 1 << 16)}
        self.parameters.put(parameters_from("matching", MatchingParameters(), bounds, config))

    @call(index=0, weight=propose_weight, refundable=True)
    def propose(
        self, origin: Signed, job: U64, placements: Annotated[tuple[Placement, ...], Bounded(SLOTS_MAX)]
    ) -> None:
        """Propose processors for vacant slots of a job. A placement that fails a check is counted and left out."""
        if not placements:
            raise NoPlacements
        count = self.jobs.live_job(job).slots
        slots.advance_job(self.jobs, job)
        self.jobs.live_job(job)
        rejected: list[Reason] = []
        parameters, taken = self.parameters.get(), self.eligibility.taken(job)
        for placement in placements:
            if placement.slot >= count:
                raise SlotNotFound
            if not parameters.window_slots:
                taken = self.eligibility.taken(job)
            seat = self.eligibility.seat(job, placement.slot, taken)
            judged = self.eligibility.judge(parameters, seat, placement.processor, placement.start_delay_ms, origin.who)
            if isinstance(judged, Reason):
                rejected.append(judged)
                self.emit(PlacementRejected(job, placement.slot, placement.processor, judged))
            else:
                self._enter(job, placement.slot, judged, origin.who)
        self._count(job, rejected)

    def _enter(self, id: int, number: int, candidate: Candidate, matcher: bytes) -> None:
        """Let a candidate compete, or offer the slot at once if there are no windows."""
        match = candidate.match
        self.emit(Proposed(id, number, match.processor, matcher))
        wait = self.parameters.get().window_slots
        if not wait:
            slots.offer(self.jobs, id, number, match)
            return
        generation = self.jobs.slot(id, number).generation
        window = self.windows.find((id, number))
        if window is None or window.generation != generation:
            key = id << SLOT_BITS | number
            closes = self.agenda.arm(WINDOW_KIND, key, 0, self.system.slot + wait)
            window = Window(generation, closes, ())
        if any(proposal.processor == match.processor for proposal in window.proposals):
            return
        new = Proposal(match.processor, matcher, match.start_delay_ms, candidate.score, candidate.ticket)
        ranked = sorted((*window.proposals, new), key=rank)[:PROPOSALS_MAX]
        self.windows.put((id, number), replace(window, proposals=tuple(ranked)))

    def _place(self, id: int, number: int, who: bytes, start_delay_ms: int, named: bool) -> None:
        """Offer a slot at once to a processor that the owner names. Raises NamedProcessorUnfit with the reason."""
        seat = replace(self.eligibility.seat(id, number), named=named)
        judged = self.eligibility.judge(self.parameters.get(), seat, who, start_delay_ms, None)
        if isinstance(judged, Reason):
            raise NamedProcessorUnfit(judged.value)
        slots.offer(self.jobs, id, number, judged.match)

    # The end of a window.

    def _wake(self, key: int, at: int) -> None:
        """The agenda's handler: the best proposal that still passes gets the offer."""
        job, number = key >> SLOT_BITS, key & (1 << SLOT_BITS) - 1
        window = self.windows.find((job, number))
        if window is None or window.closes != at:
            return
        self.windows.remove((job, number))
        if not self.jobs.is_live(job) or self.jobs.slot(job, number).generation != window.generation:
            return
        rejected: list[Reason] = []
        parameters, seat = self.parameters.get(), self.eligibility.seat(job, number)
        for proposal in window.proposals:
            judged = self.eligibility.judge(
                parameters, seat, proposal.processor, proposal.start_delay_ms, proposal.matcher
            )
            if isinstance(judged, Candidate):
                slots.offer(self.jobs, job, number, judged.match)
                break
            rejected.append(judged)
        self._count(job, rejected)

    def _count(self, id: int, rejected: list[Reason]) -> None:
        if rejected and self.jobs.is_live(id):
            counts = list(self.jobs.rejections.get(id)) or [0] * len(Reason)
            for reason in rejected:
                counts[reason.value] = min(counts[reason.value] + 1, COUNT_MAX)
            self.jobs.rejections.put(id, tuple(counts))

    # The chain's own search.

    def on_idle(self, remaining_ps: int) -> int:
        """Look for processors for up to four jobs: two by their place in the queue, the rest going round all of it."""
        used, queue = 0, self.jobs.queue
        count = queue.count.get()
        if not count:
            return 0
        start = self.cursor.get() % count
        first = list(islice(queue.in_order(self.agenda.now()), FALLBACK_FIRST_MAX))
        others = list(islice(queue.going_round(start), FALLBACK_JOBS_MAX))
        chosen = list(dict.fromkeys((*first, *others)))[:FALLBACK_JOBS_MAX]
        for waiting in chosen:
            if used + SEARCH_PS > remaining_ps:
                break
            reads, writes = self.state.reads, self.state.writes
            self._search(waiting)
            used += min(SEARCH_PS, cost_ps(self.state.reads - reads, self.state.writes - writes))
        if count > FALLBACK_JOBS_MAX:
            self.cursor.put((start + FALLBACK_JOBS_MAX - FALLBACK_FIRST_MAX) % count)
        return used

    def _search(self, id: int) -> None:
        """Offer the vacant slots of one job that have waited long enough to the best of a few candidates.

        Not while proposals for any of its slots compete: they would lose their processors to the search.
        """
        parameters, clock = self.parameters.get(), self.agenda.now()
        if any(self.windows.contains((id, number)) for number in range(self.jobs.jobs.get(id).slots)):
            return
        candidates = self._sample(id)
        rejected: list[Reason] = []
        judged = 0
        for number, slot in self.jobs.slots_of(id):
            waits = slot.state is SlotState.VACANT and clock - slot.vacant_at >= parameters.fallback_after_slots
            if not waits:
                continue
            if not candidates or judged + len(candidates) > FALLBACK_JUDGED_MAX:
                break
            judged += len(candidates)
            seat = self.eligibility.seat(id, number)
            best, reasons = self._best(parameters, seat, candidates)
            rejected += reasons
            if best is not None:
                candidates.remove(best.match.processor)
                slots.offer(self.jobs, id, number, best.match)
        self._count(id, rejected)

    def _best(
        self, parameters: MatchingParameters, seat: Seat, candidates: list[bytes]
    ) -> tuple[Candidate | None, list[Reason]]:
        judged = [self.eligibility.judge(parameters, seat, who, 0, None) for who in candidates]
        passed = [one for one in judged if isinstance(one, Candidate)]
        best = min(passed, key=lambda one: (-one.score, one.ticket), default=None)
        return best, [one for one in judged if isinstance(one, Reason)]

    def _sample(self, id: int) -> list[bytes]:
        """At most 16 processors: of those the job lists, or of those that advertise its runtime, by the beacon.

        Each is drawn by itself: neighbours in the list may be one owner's empty adverts.
        """
        spec = self.jobs.specs.get(id)
        listed = spec.processors.processors if isinstance(spec.processors, Personal | Known) else ()
        total = len(listed) or self.processors.advertised(spec.runtime)
        if not total:
            return []
        seed = self.eligibility.beacon.current() + self.agenda.now().to_bytes(8, "little")
        drawn = (blake2b256(seed + bytes((n,))) for n in range(FALLBACK_CANDIDATES_MAX))
        places = list(dict.fromkeys(int.from_bytes(one[:8], "little") % total for one in drawn))
        if total <= FALLBACK_CANDIDATES_MAX:
            places = list(range(total))
        if listed:
            return [listed[place] for place in places]
        return [self.processors.advert_at.get((spec.runtime, place)) for place in places]

    def check_state(self) -> None:
        for (job, number), window in self.windows.items():
            named = [proposal.processor for proposal in window.proposals]
            if not named or len(set(named)) != len(named):
                raise InvariantBroken(f"matching: window of job {job}, slot {number}: {len(named)} proposals")
            if window.closes <= self.system.slot and not self.agenda.lag():
                raise InvariantBroken(f"matching: window of job {job}, slot {number} should have closed")
        for job, counts in self.jobs.rejections.items():
            if len(counts) > REASONS_MAX or self.jobs.jobs.find(job) is None:
                raise InvariantBroken(f"matching: rejections of job {job}")


def rank(proposal: Proposal) -> tuple[int, int]:
    """Lower is better: the higher score, then the lower ticket."""
    return -proposal.score, proposal.ticket
