"""Whether a processor may have a slot, and how good a choice it is: the checks of spec/job-layer.md §4 in order.

Score and ticket rank those who pass. For public jobs sortition by stake says who may be proposed at all, so that a
matcher cannot choose freely; where results are compared, it alone ranks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pallets.agenda import Agenda
from pallets.beacon import Beacon
from pallets.escrow.pallet import Escrow
from pallets.jobs import credibility
from pallets.jobs.modes import bond_multiple, is_compared
from pallets.jobs.records import Job, JobState, Slot, SlotState
from pallets.jobs.schedule import lease_of, opens_ms
from pallets.jobs.slots import Match
from pallets.jobs.store import JobStore
from pallets.jobs.types import Credibility, JobSpec, Known, Personal, Public
from pallets.matching import sortition
from pallets.matching.types import MatchingParameters, Reason
from pallets.processors import calendar
from pallets.processors.pallet import Processors
from pallets.processors.types import Advert
from pallets.reputation import Reputation
from pallets.secrets.pallet import Secrets
from pallets.system import System

PPM = 10**6
FIT_WEIGHT, REPUTATION_WEIGHT, PRICE_WEIGHT = 4, 3, 2
FAILURE_PENALTY, FAILURES_COUNTED_MAX = 250_000, 4
SCORE_BASE = FAILURE_PENALTY * FAILURES_COUNTED_MAX
"""Added so that no score is negative."""
FUEL_PERCENT = 80
"""Of what the benchmark allows in the duration: the rest is for compiling and waiting."""
REDRAW_BLOCKS = 512
"""A slot that waits so long is drawn anew, before the beacon forgets the first draw."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Who already holds a slot of a job."""

    managers: frozenset[bytes]
    processors: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Seat:
    """A slot to be filled, and what is known of its job. `named`: its owner names the processor, nobody is drawn."""

    id: int
    number: int
    job: Job
    spec: JobSpec
    slot: Slot
    taken: Taken
    named: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A processor that passed all checks: the higher score is better, then the lower ticket.

    Where a drawn job's results are compared, nobody may choose: every score is 0, and tickets are weighed by stake.
    """

    match: Match
    score: int
    ticket: int


class Eligibility:
    """The checks, over the state of the pallets."""

    def __init__(
        self,
        system: System,
        agenda: Agenda,
        beacon: Beacon,
        processors: Processors,
        jobs: JobStore,
        escrow: Escrow,
        reputation: Reputation,
        secrets: Secrets,
    ) -> None:
        self.system, self.agenda, self.beacon = system, agenda, beacon
        self.processors, self.jobs, self.escrow, self.reputation = processors, jobs, escrow, reputation
        self.secrets = secrets

    def taken(self, id: int) -> Taken:
        """Who holds slots of an existing job: reads them all."""
        held = [slot for _, slot in self.jobs.slots_of(id) if slot.state in (SlotState.OFFERED, SlotState.ACKNOWLEDGED)]
        return Taken(
            frozenset(slot.manager for slot in held if slot.manager is not None),
            frozenset(slot.processor for slot in held if slot.processor is not None),
        )

    def seat(self, id: int, number: int, taken: Taken | None = None) -> Seat:
        """A slot of an existing job; `taken` if the caller has it already."""
        jobs = self.jobs
        others = self.taken(id) if taken is None else taken
        return Seat(id, number, jobs.jobs.get(id), jobs.specs.get(id), jobs.slot(id, number), others)

    def judge(
        self, parameters: MatchingParameters, seat: Seat, who: bytes, start_delay_ms: int, matcher: bytes | None
    ) -> Candidate | Reason:
        """The candidate, or the first reason against it. Sortition decides with the others if the job is public."""
        if seat.job.state is JobState.WAITING:
            return Reason.WAITING
        if seat.slot.state is not SlotState.VACANT:
            return Reason.SLOT_TAKEN
        if seat.job.paused_at is not None:
            return Reason.PAUSED
        if opens_ms(seat.spec, min((*seat.slot.live, seat.slot.next))) > self.system.now_ms:
            return Reason.TOO_EARLY
        if self._has_enough(seat):
            return Reason.SLOT_TAKEN
        advert = self.processors.adverts.find(who)
        if advert is None:
            return Reason.NOT_ADVERTISED
        manager = self.processors.manager_of(who)
        ask = 0 if not seat.spec.reward else ask_of(advert, seat.spec)
        reasons = self._reasons(parameters, seat, who, manager, advert, ask, start_delay_ms)
        reason = next(reasons, None)
        if reason is not None:
            return reason
        drawn = _is_drawn(seat)
        match = Match(who, manager, matcher, ask, start_delay_ms, drawn)
        ticket = self._ticket(seat, who, (self._draw(parameters, seat) or b"") if drawn else b"")
        if drawn and is_compared(seat.spec):
            units = self.processors.settled_units(who, parameters.advert_age_slots_min)
            return Candidate(match, 0, sortition.weighed(ticket, units))
        return Candidate(match, self._score(seat, who, manager, advert, ask, start_delay_ms), ticket)

    def _has_enough(self, seat: Seat) -> bool:
        """Whether the processors of a job that is not assigned yet have the trust that it asks for."""
        if not isinstance(seat.spec.verification, Credibility) or seat.job.state is JobState.ASSIGNED:
            return False
        return credibility.suffices(self.jobs, seat.spec, seat.taken.processors)

    def _reasons(
        self,
        parameters: MatchingParameters,
        seat: Seat,
        who: bytes,
        manager: bytes,
        advert: Advert,
        ask: int,
        start_delay_ms: int,
    ) -> Iterator[Reason]:
        yield from self._liveness(parameters, who)
        yield from self._parties(seat, who, manager, advert)
        yield from self._equipment(seat.spec, advert, self.processors.record_of(who).version)
        yield from self._terms(seat, who, advert, ask, start_delay_ms)
        if _is_drawn(seat):
            yield from self._sortition(parameters, seat, who)
        lease = self._lease(seat, start_delay_ms)
        if not self.processors.capacity_left(who, lease):
            yield Reason.CALENDAR

    def _liveness(self, parameters: MatchingParameters, who: bytes) -> Iterator[Reason]:
        record, clock = self.processors.record_of(who), self.agenda.now()
        if record.suspended:
            yield Reason.SUSPENDED
        if clock - record.heartbeat_at > parameters.heartbeat_slots_max:
            yield Reason.SILENT
        if clock - record.advertised_at < parameters.advert_age_slots_min:
            yield Reason.TOO_NEW

    def _parties(self, seat: Seat, who: bytes, manager: bytes, advert: Advert) -> Iterator[Reason]:
        owner, choice = seat.job.owner, seat.spec.processors
        personal = isinstance(choice, Personal)
        if self.jobs.mark_of(seat.id, manager).excluded:
            yield Reason.EXCLUDED
        if who in seat.taken.processors or (manager in seat.taken.managers and not personal):
            yield Reason.MANAGER_HAS_SLOT
        if not personal and owner in (who, manager):
            yield Reason.PAYERS_OWN
        if isinstance(choice, Personal | Known) and who not in choice.processors:
            yield Reason.NOT_LISTED
        if personal and owner not in (who, manager, *advert.consumers):
            yield Reason.NOT_PERSONAL
        if advert.consumers and owner not in advert.consumers and owner not in (who, manager):
            yield Reason.CONSUMER_NOT_SERVED
        if seat.spec.environment is not None and not self.secrets.may_open(seat.id, who):
            yield Reason.NO_SEALED_SECRETS

    def _equipment(self, spec: JobSpec, advert: Advert, version: int) -> Iterator[Reason]:
        wanted, granted = spec.requirements, spec.capabilities
        if spec.runtime not in advert.runtimes:
            yield Reason.RUNTIME
        if version < wanted.version_min:
            yield Reason.VERSION
        if any(module not in advert.modules for module in wanted.modules):
            yield Reason.MODULES
        if any(label not in advert.labels for label in wanted.labels):
            yield Reason.LABELS
        if wanted.architecture not in (None, advert.architecture):
            yield Reason.ARCHITECTURE
        if wanted.accelerator is not None and wanted.accelerator not in advert.accelerators:
            yield Reason.ACCELERATOR
        missing = (granted.fetch_hosts and not advert.fetch, granted.storage and not advert.storage)
        if any(missing) or (granted.sign and not advert.sign):
            yield Reason.CAPABILITIES
        if advert.benchmark < wanted.benchmark_min:
            yield Reason.BENCHMARK

    def _terms(self, seat: Seat, who: bytes, advert: Advert, ask: int, start_delay_ms: int) -> Iterator[Reason]:
        spec, resources, schedule = seat.spec, seat.spec.resources, seat.spec.schedule
        choice = spec.processors
        if isinstance(choice, Public) and self.reputation.score(who, spec.runtime) < choice.reputation_min_ppm:
            yield Reason.REPUTATION
        asked = ask_of(advert, spec)
        if asked > spec.reward and not isinstance(choice, Personal):
            yield Reason.PRICE
        if not self.escrow.can_bond(who, bond_multiple(spec) * spec.reward):
            yield Reason.BOND
        if resources.network_requests > advert.requests_max:
            yield Reason.NETWORK_QUOTA
        if resources.fuel * 100 > FUEL_PERCENT * advert.benchmark * schedule.duration_ms:
            yield Reason.FUEL
        if start_delay_ms > schedule.start_delay_max_ms or advert.start_delay_min_ms > schedule.start_delay_max_ms:
            yield Reason.START_DELAY

    def _lease(self, seat: Seat, start_delay_ms: int) -> calendar.Lease:
        first = min((*seat.slot.live, seat.slot.next))
        return lease_of(seat.id, seat.number, seat.spec, start_delay_ms, first, seat.job.executions)

    # Rank.

    def _score(self, seat: Seat, who: bytes, manager: bytes, advert: Advert, ask: int, start_delay_ms: int) -> int:
        """4·fit + 3·reputation + 2·price − failures, each part within 0..10⁶."""
        lease, leases = self._lease(seat, start_delay_ms), self.processors.leases.get(who)
        fit = PPM - calendar.free_share_ppm(advert.capacity, leases, lease)
        reputation = min(self.reputation.score(who, seat.spec.runtime), PPM)
        reward = seat.spec.reward
        price = (reward - ask) * PPM // reward if reward else 0
        failures = min(self.jobs.mark_of(seat.id, manager).failures, FAILURES_COUNTED_MAX)
        weighted = FIT_WEIGHT * fit + REPUTATION_WEIGHT * reputation + PRICE_WEIGHT * price
        return SCORE_BASE + weighted - FAILURE_PENALTY * failures

    # Sortition.

    def _sortition(self, parameters: MatchingParameters, seat: Seat, who: bytes) -> Iterator[Reason]:
        units = self.processors.settled_units(who, parameters.advert_age_slots_min)
        if not units:
            yield Reason.NO_STAKE
        draw = self._draw(parameters, seat)
        age = max(0, self.agenda.now() - seat.slot.vacant_at - parameters.draw_delay_blocks)
        doublings = age // max(parameters.draw_step_slots, 1)
        total = self.processors.total_units(seat.spec.runtime)
        limit = sortition.limit_of(seat.job.slots, units, total, doublings)
        if draw is None or self._ticket(seat, who, draw) >= limit:
            yield Reason.NOT_DRAWN

    def _draw(self, parameters: MatchingParameters, seat: Seat) -> bytes | None:
        """The beacon that decides about the seat; None as long as it is not known."""
        first = seat.slot.vacant_block + parameters.draw_delay_blocks
        waited = self.system.number - first
        if waited < 0:
            return None
        return self.beacon.randomness_at(first + waited // REDRAW_BLOCKS * REDRAW_BLOCKS)

    @staticmethod
    def _ticket(seat: Seat, who: bytes, draw: bytes) -> int:
        """The processor's ticket for the seat; without a draw it only breaks ties."""
        seed = sortition.seed_of(draw, seat.job.id_hash, seat.number, seat.slot.generation)
        return sortition.ticket_of(seed, who)


def _is_drawn(seat: Seat) -> bool:
    """Whether sortition says who may have the seat."""
    return isinstance(seat.spec.processors, Public) and not seat.named


def ask_of(advert: Advert, spec: JobSpec) -> int:
    """a = base + per_ms·duration + per_storage_byte·storage + per_request·requests."""
    pricing, resources = advert.pricing, spec.resources
    return (
        pricing.base
        + pricing.per_ms * spec.schedule.duration_ms
        + pricing.per_storage_byte * resources.storage_bytes
        + pricing.per_request * resources.network_requests
    )
