"""Processors: registration, adverts, signs of life, managers, and the ledger of leases.

Invariant (`check_state`): the adverts of a runtime are a dense list; each processor has at most LEASES_MAX leases; the
deposits of processors are held; every paired processor is in its manager's fleet; stakes are held, and the units of
each runtime are those of its adverts.
"""

from collections.abc import Mapping
from typing import Any

from pallets.balances import HoldReason
from pallets.parameters import parameters_from
from pallets.processors import calendar
from pallets.processors.calendar import Lease
from pallets.processors.errors import (
    ERRORS,
    AdvertOutOfBounds,
    AlreadyRegistered,
    Field,
    HasLeases,
    NeedsItsFunds,
    NoRoomInCalendar,
    NotAdvertised,
    NotPaired,
    PairedRecently,
    PairingCounter,
    PairingExpired,
    PairingSignature,
    StillAdvertised,
    StillStaked,
    ZeroAmount,
)
from pallets.processors.events import (
    EVENTS,
    Advertised,
    AdvertRemoved,
    AdvertSuspended,
    Deregistered,
    FundsRecovered,
    Heartbeat,
    Paired,
    ProcessorRegistered,
    Unpaired,
)
from pallets.processors.sponsoring import Sponsoring
from pallets.processors.types import (
    PRICE_MAX,
    Advert,
    PairingProof,
    Processor,
    ProcessorParameters,
    pairing_message,
)
from runtime.crypto import verify
from runtime.errors import InvariantBroken
from runtime.pallet import Cost, Signed, call
from runtime.records import replace
from runtime.scale import U32, CompactU128
from runtime.types import AccountId

UNACKNOWLEDGED_MAX = 2
PAIRING_MS_MAX = 4 * 3_600_000
REGISTRATION_DEPOSIT = 10**11
DEPOSIT_BASE = 10**10
DEPOSIT_PER_BYTE = 10**8
START_DELAY_MS_MAX = 24 * 3_600_000
CAPACITY_BYTES_MAX = 1 << 50
CORES_MAX = 4_096
STAKE_UNIT_MAX = 10**18
PARAMETER_SLOTS_MAX = 1 << 32


class Processors(Sponsoring):
    """Who executes jobs."""

    events = EVENTS
    errors = ERRORS

    def genesis(self, config: Mapping[str, Any]) -> None:
        """The fields of ProcessorParameters."""
        slots = (1, PARAMETER_SLOTS_MAX)
        bounds = {"stake_unit": (1, STAKE_UNIT_MAX), "unbond_slots": slots, "era_slots": slots}
        self.parameters.put(parameters_from("processors", ProcessorParameters(), bounds, config))

    # Calls.

    @call(index=0, weight=Cost(reads=6, writes=4))
    def register(self, origin: Signed, version: U32) -> None:
        """Become a processor that runs this version of the node. Holds a deposit."""
        if self.records.contains(origin.who):
            raise AlreadyRegistered
        self.balances.hold(origin.who, HoldReason.STORAGE_DEPOSIT, REGISTRATION_DEPOSIT)
        clock = self.agenda.now()
        record = Processor(self.system.slot, version, clock, None, 0, 0, 0, False, 0, REGISTRATION_DEPOSIT)
        self.records.put(origin.who, record)
        self.emit(ProcessorRegistered(origin.who, version))

    @call(index=1, weight=Cost(reads=48, writes=34))
    def advertise(self, origin: Signed, advert: Advert) -> None:
        """Offer capacity, or change the offer. Holds a deposit for the advert's bytes; ends a suspension."""
        record = self.record_of(origin.who)
        check_advert(advert)
        before = self.adverts.find(origin.who)
        if before is not None:
            self._unlist(origin.who, before)
        deposit = REGISTRATION_DEPOSIT + DEPOSIT_BASE + DEPOSIT_PER_BYTE * len(self.adverts.codec.encode(advert))
        self.balances.release(origin.who, HoldReason.STORAGE_DEPOSIT, record.deposit)
        self.balances.hold(origin.who, HoldReason.STORAGE_DEPOSIT, deposit)
        self.adverts.put(origin.who, advert)
        self._list(origin.who, advert)
        since = record.advertised_at if before is not None else self.agenda.now()
        record = replace(record, advertised_at=since, suspended=False, unacknowledged=0, deposit=deposit)
        self.records.put(origin.who, replace(record, heartbeat_at=self.agenda.now()))
        self.emit(Advertised(origin.who))

    @call(index=2, weight=Cost(reads=30, writes=22))
    def delete_advertisement(self, origin: Signed) -> None:
        """Offer nothing more. Leases that are already promised stay."""
        record = self.record_of(origin.who)
        advert = self.adverts.find(origin.who)
        if advert is None:
            raise NotAdvertised
        self._unlist(origin.who, advert)
        self.adverts.remove(origin.who)
        self.balances.release(origin.who, HoldReason.STORAGE_DEPOSIT, record.deposit - REGISTRATION_DEPOSIT)
        self.records.put(origin.who, replace(record, deposit=REGISTRATION_DEPOSIT))
        self.emit(AdvertRemoved(origin.who))

    @call(index=3, weight=Cost(reads=2, writes=1))
    def heartbeat(self, origin: Signed, version: U32) -> None:
        """Say: I am alive and run this version."""
        record = self.record_of(origin.who)
        self.records.put(origin.who, replace(record, version=version, heartbeat_at=self.agenda.now()))
        self.emit(Heartbeat(origin.who, version))

    @call(index=4, weight=Cost(reads=5, writes=5, extra_us=120))
    def pair(self, origin: Signed, proof: PairingProof) -> None:
        """Belong to the manager who signed `proof`. Not while anything is promised: jobs tell managers apart."""
        record = self.record_of(origin.who)
        self._require_no_leases(origin.who)
        self._check_pairing(origin.who, record, proof)
        if record.manager is not None:
            self._leave_fleet(record.manager, origin.who)
        paired = replace(record, manager=proof.manager, pairing_counter=proof.counter, paired_ms=self.system.now_ms)
        self.records.put(origin.who, paired)
        self.fleet.put((proof.manager, origin.who), True)
        self.emit(Paired(origin.who, proof.manager))

    @call(index=5, weight=Cost(reads=4, writes=3))
    def unpair(self, origin: Signed, processor: AccountId) -> None:
        """End a pairing: the processor or its manager may, while nothing is promised."""
        record = self.record_of(processor)
        if record.manager is None or origin.who not in (processor, record.manager):
            raise NotPaired
        self._require_no_leases(processor)
        self._leave_fleet(record.manager, processor)
        self.records.put(processor, replace(record, manager=None))
        self.emit(Unpaired(processor, record.manager))

    @call(index=10, weight=Cost(reads=10, writes=7))
    def deregister(self, origin: Signed) -> None:
        """Be a processor no more, and have the deposit back: without advert, leases and stake.

        A pairing proof must not outlive its counter: not within the time for which the last one may be valid.
        """
        record = self.record_of(origin.who)
        self._require_no_leases(origin.who)
        if self.adverts.contains(origin.who):
            raise StillAdvertised
        if self.stakes.contains(origin.who):
            raise StillStaked
        if record.paired_ms and self.system.now_ms <= record.paired_ms + PAIRING_MS_MAX:
            raise PairedRecently
        if record.manager is not None:
            self._leave_fleet(record.manager, origin.who)
        self.records.remove(origin.who)
        self.balances.release(origin.who, HoldReason.STORAGE_DEPOSIT, record.deposit)
        self.emit(Deregistered(origin.who))

    @call(index=11, weight=Cost(reads=6, writes=3))
    def recover_funds(self, origin: Signed, processor: AccountId, amount: CompactU128) -> None:
        """The manager takes free balance of a processor. While anything is promised, a unit of stake stays with it."""
        if self.record_of(processor).manager != origin.who:
            raise NotPaired
        if not amount:
            raise ZeroAmount
        stays = self.parameters.get().stake_unit if self.leases.get(processor) else self.balances.existential_deposit
        if self.balances.free(processor) - amount < stays:
            raise NeedsItsFunds
        self.balances.transfer(processor, origin.who, amount, keep_alive=True)
        self.emit(FundsRecovered(processor, origin.who, amount))

    def _leave_fleet(self, manager: bytes, processor: bytes) -> None:
        self.fleet.remove((manager, processor))
        self.buckets.remove(processor)

    def _require_no_leases(self, who: bytes) -> None:
        if self.leases.get(who):
            raise HasLeases

    def _check_pairing(self, processor: bytes, record: Processor, proof: PairingProof) -> None:
        if not self.system.now_ms <= proof.expires_ms <= self.system.now_ms + PAIRING_MS_MAX:
            raise PairingExpired
        if proof.counter <= record.pairing_counter:
            raise PairingCounter
        genesis = self.system.genesis_hash
        message = pairing_message(genesis, processor, proof.manager, proof.counter, proof.expires_ms)
        if not verify(proof.scheme, proof.manager, message, proof.signature):
            raise PairingSignature

    # For other pallets.

    def reserve(self, who: bytes, lease: Lease) -> None:
        """Enter a lease that `capacity_left` allowed."""
        self.leases.put(who, (*self.leases.get(who), lease))

    def lengthen(self, who: bytes, job: int, slot: int, count: int) -> None:
        """Add intervals to the lease for a job's slot. Raises NoRoomInCalendar."""
        leases, advert = self.leases.get(who), self.adverts.find(who)
        others = tuple(lease for lease in leases if lease.slot != slot or lease.job != job)
        longer = [
            replace(lease, count=lease.count + count) for lease in leases if lease.slot == slot and lease.job == job
        ]
        if advert is None or not all(calendar.fits(advert.capacity, others, lease) for lease in longer):
            raise NoRoomInCalendar
        self.leases.put(who, (*others, *longer))

    def free(self, who: bytes, job: int, slot: int) -> None:
        """Take the lease for a job's slot out of the calendar."""
        left = tuple(lease for lease in self.leases.get(who) if (lease.job, lease.slot) != (job, slot))
        if left:
            self.leases.put(who, left)
        else:
            self.leases.remove(who)

    def note_acknowledged(self, who: bytes) -> None:
        """An offer was answered."""
        record = self.record_of(who)
        if record.unacknowledged:
            self.records.put(who, replace(record, unacknowledged=0))

    def note_unacknowledged(self, who: bytes) -> int:
        """An offer was left without an answer; the second in a row suspends the advert. How many in a row it is."""
        record = self.record_of(who)
        missed = min(record.unacknowledged + 1, UNACKNOWLEDGED_MAX)
        suspended = missed >= UNACKNOWLEDGED_MAX
        if suspended and not record.suspended:
            self.emit(AdvertSuspended(who))
        self.records.put(who, replace(record, unacknowledged=missed, suspended=suspended))
        return missed

    def check_state(self) -> None:
        self.check_lists()
        self.check_stakes()
        self.check_sponsoring()
        for who, record in self.records.items():
            held = self.balances.held(who, HoldReason.STORAGE_DEPOSIT)
            if held < record.deposit or (self.adverts.contains(who) != (record.deposit > REGISTRATION_DEPOSIT)):
                raise InvariantBroken(f"processors: 0x{who.hex()}: deposit {record.deposit}, held {held}")
            if record.manager is not None and not self.fleet.contains((record.manager, who)):
                raise InvariantBroken(f"processors: 0x{who.hex()} is not in its manager's fleet")


def check_advert(advert: Advert) -> None:
    """Raises AdvertOutOfBounds naming the field."""
    capacity, pricing = advert.capacity, advert.pricing
    checks = (
        (Field.RUNTIMES, 0 < len(set(advert.runtimes)) == len(advert.runtimes)),
        (Field.MEMORY, 0 < capacity.memory_bytes <= CAPACITY_BYTES_MAX),
        (Field.STORAGE, capacity.storage_bytes <= CAPACITY_BYTES_MAX),
        (Field.CORES, 0 < capacity.cores <= CORES_MAX),
        (Field.BENCHMARK, advert.benchmark > 0),
        (Field.START_DELAY, advert.start_delay_min_ms <= START_DELAY_MS_MAX),
        (Field.PRICING, max(pricing.base, pricing.per_ms, pricing.per_storage_byte, pricing.per_request) <= PRICE_MAX),
        (Field.CONSUMERS, len(set(advert.consumers)) == len(advert.consumers)),
    )
    for field, good in checks:
        if not good:
            raise AdvertOutOfBounds(field)
