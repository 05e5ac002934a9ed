"""What the chain keeps of processors: the storage, the look-ups, and the dense lists of adverts with their units.

The parts of the pallet (stakes, calls) stand on this one.
"""

from typing import Annotated

from pallets.agenda import Agenda
from pallets.balances import Balances
from pallets.jobs.types import RuntimeKind
from pallets.processors import calendar
from pallets.processors.calendar import Lease
from pallets.processors.errors import NotRegistered
from pallets.processors.types import Advert, Bucket, Processor, ProcessorParameters, Sponsor, Stake
from pallets.system import System
from runtime.errors import InvariantBroken
from runtime.pallet import Pallet
from runtime.scale import U8, U32, U64, Bounded, Registry
from runtime.state import State
from runtime.storage import BLAKE2, TWOX, Map, Value
from runtime.types import AccountId

LEASES_MAX = 64
UNITS_MAX = 64
"""Of one processor in sortition: more stake than this draws no better."""


class ProcessorStore(Pallet):
    """Storage of processors."""

    name, index = "Processors", 21

    def __init__(self, state: State, registry: Registry, system: System, balances: Balances, agenda: Agenda) -> None:
        super().__init__(state, registry)
        self.system, self.balances, self.agenda = system, balances, agenda
        self.records: Map[bytes, Processor] = self.map("Processors", AccountId, Processor, None, "Known processors.")
        self.adverts: Map[bytes, Advert] = self.map(
            "Adverts", AccountId, Advert, None, "What a processor offers.", remembered=True
        )
        runtime = (RuntimeKind, TWOX)
        self.advert_counts: Map[RuntimeKind, int] = self.map(
            "AdvertCounts", RuntimeKind, U32, 0, "Adverts of a runtime.", hasher=TWOX
        )
        self.advert_at: Map[tuple[RuntimeKind, int], bytes] = self.maps(
            "AdvertAt", (runtime, (U32, TWOX)), AccountId, None, "The adverts of a runtime, a dense list."
        )
        self.advert_places: Map[bytes, tuple[int, ...]] = self.map(
            "AdvertPlaces", AccountId, tuple[U32, ...], (), "A processor's place in the list of each of its runtimes."
        )
        self.leases: Map[bytes, tuple[Lease, ...]] = self.map(
            "Leases",
            AccountId,
            Annotated[tuple[Lease, ...], Bounded(LEASES_MAX)],
            (),
            "What a processor has promised.",
        )
        self.fleet: Map[tuple[bytes, bytes], bool] = self.maps(
            "Fleet", ((AccountId, BLAKE2), (AccountId, BLAKE2)), bool, None, "The processors of a manager."
        )
        self.stakes: Map[bytes, Stake] = self.map(
            "Stakes", AccountId, Stake, Stake(0, ()), "What a processor has at stake."
        )
        self.unit_totals: Map[RuntimeKind, int] = self.map(
            "UnitTotals", RuntimeKind, U64, 0, "Units of all adverts of a runtime.", hasher=TWOX
        )
        self.sponsors: Map[bytes, Sponsor] = self.map(
            "Sponsors", AccountId, Sponsor, None, "Managers who pay their processors' fees."
        )
        self.buckets: Map[bytes, Bucket] = self.map(
            "Buckets", AccountId, Bucket, None, "The sponsored calls that a processor has left."
        )
        self.parameters: Value[ProcessorParameters] = self.value(
            "Parameters", ProcessorParameters, ProcessorParameters(), "Set by the chain spec."
        )
        self.constant("LeasesMax", U8, LEASES_MAX, "Leases of one processor.")
        self.constant("UnitsMax", U8, UNITS_MAX, "Units of one processor in sortition.")

    # Look-ups, for other pallets too.

    def record_of(self, who: bytes) -> Processor:
        """Raises NotRegistered."""
        record = self.records.find(who)
        if record is None:
            raise NotRegistered
        return record

    def manager_of(self, who: bytes) -> bytes:
        """The manager; an unpaired processor is its own (spec/job-layer.md §9)."""
        record = self.records.find(who)
        return who if record is None or record.manager is None else record.manager

    def advertised(self, runtime: RuntimeKind) -> int:
        """How many adverts offer `runtime`."""
        return self.advert_counts.get(runtime)

    def stake_of(self, who: bytes) -> int:
        """Planck that `who` has bonded; what is unbonding does not count."""
        return self.stakes.get(who).bonded

    def units(self, who: bytes) -> int:
        """Whole units of the bonded stake of `who`, at most UNITS_MAX: its weight in draws once it is old enough."""
        return min(self.stake_of(who) // self.parameters.get().stake_unit, UNITS_MAX)

    def settled_units(self, who: bytes, age_slots: int) -> int:
        """The units of `who` in a draw: without what was bonded in the last `age_slots` of A."""
        stake = self.stakes.get(who)
        young = stake.fresh if self.agenda.now() - stake.fresh_at < age_slots else 0
        return min((stake.bonded - young) // self.parameters.get().stake_unit, UNITS_MAX)

    def total_units(self, runtime: RuntimeKind) -> int:
        """The units of all adverts that offer `runtime`."""
        return self.unit_totals.get(runtime)

    def capacity_left(self, who: bytes, lease: Lease) -> bool:
        """Whether `lease` fits into the calendar of `who`."""
        advert, leases = self.adverts.find(who), self.leases.get(who)
        return advert is not None and len(leases) < LEASES_MAX and calendar.fits(advert.capacity, leases, lease)

    # The dense lists of adverts.

    def _list(self, who: bytes, advert: Advert) -> None:
        places = []
        for runtime in advert.runtimes:
            place = self.advert_counts.get(runtime)
            self.advert_at.put((runtime, place), who)
            self.advert_counts.put(runtime, place + 1)
            places.append(place)
        self.advert_places.put(who, tuple(places))
        self._add_units(advert, self.units(who))

    def _unlist(self, who: bytes, advert: Advert) -> None:
        """Each list's last entry moves to the place that becomes free."""
        for runtime, place in zip(advert.runtimes, self.advert_places.get(who), strict=True):
            last = self.advert_counts.get(runtime) - 1
            moved = self.advert_at.get((runtime, last))
            if moved != who:
                self.advert_at.put((runtime, place), moved)
                runtimes = self.adverts.get(moved).runtimes
                places = list(self.advert_places.get(moved))
                places[runtimes.index(runtime)] = place
                self.advert_places.put(moved, tuple(places))
            self.advert_at.remove((runtime, last))
            self.advert_counts.put(runtime, last)
        self.advert_places.remove(who)
        self._add_units(advert, -self.units(who))

    def _add_units(self, advert: Advert, by: int) -> None:
        if by:
            for runtime in advert.runtimes:
                self.unit_totals.put(runtime, self.unit_totals.get(runtime) + by)

    def check_lists(self) -> None:
        """Raises InvariantBroken where a runtime's list or its units differ from the adverts."""
        for runtime in RuntimeKind:
            offering = {who for who, advert in self.adverts.items() if runtime in advert.runtimes}
            listed = {self.advert_at.find((runtime, place)) for place in range(self.advertised(runtime))}
            if listed != offering:
                raise InvariantBroken(f"processors: {runtime.name}: {len(listed)} listed, {len(offering)} offering")
            units = sum(self.units(who) for who in offering)
            if units != self.total_units(runtime):
                raise InvariantBroken(f"processors: {runtime.name}: {units} units, noted {self.total_units(runtime)}")
