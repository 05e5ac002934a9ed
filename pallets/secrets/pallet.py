"""Secrets: a job's environment, encrypted once, and its key sealed to each processor that may read it.

The values lie on the chain under a key K of the job's own. K goes to a processor in one of two ways: the owner's wallet
seals it to the key that came with an acknowledgment (`seal`), or at registration to one-time keys that processors
published (`seal_to_prekeys`), so that the owner may go away. The chain cannot open any of it. It sees to it that a
one-time key is used once, that a copy belongs to one generation of one slot, and that K does not go to ever more
readers. When the job ends all of it is removed, and the deposit is back in the same block.

Calls that belong to the registration name the job by its hash, which its owner knows before the chain has seen it: all
of them fit into one batch.

Invariant (`check_state`): only live jobs have secrets; deposits equal the holds; no one-time key is listed twice.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pallets.balances import Balances, HoldReason
from pallets.jobs import slots
from pallets.jobs.bounds import SLOTS_MAX
from pallets.jobs.errors import JobNotFound, NotAcknowledged, NotOwner, SlotNotFound, StaleGeneration
from pallets.jobs.records import Slot, SlotState
from pallets.jobs.store import WHOLE_JOB, JobStore
from pallets.jobs.types import Environment, Sealing, Single
from pallets.parameters import parameters_from
from pallets.processors.pallet import Processors
from pallets.secrets.errors import (
    ERRORS,
    AlreadyProvided,
    ExposuresUsedUp,
    NoCopies,
    NoPrekeys,
    NoSecrets,
    NotProvided,
    PrekeyListed,
    TooManyCopies,
    TooManyPrekeys,
    UnknownPrekey,
    WrongSealing,
)
from pallets.secrets.events import (
    EVENTS,
    PrekeysPublished,
    PrekeysWithdrawn,
    SecretsProvided,
    SecretsRemoved,
    SecretsSealed,
)
from pallets.secrets.types import (
    PREKEY_COPIES_MAX,
    PREKEYS_MAX,
    Bundle,
    Copies,
    Copy,
    Place,
    PrekeyCopies,
    PublicKeys,
    Sealed,
    SecretsParameters,
    Values,
)
from runtime.errors import InvariantBroken
from runtime.pallet import Cost, Pallet, Signed, call
from runtime.scale import U8, U32, U64, Registry
from runtime.state import State
from runtime.storage import TWOX, Map, Value
from runtime.types import AccountId, Hash

DEPOSIT_PER_BYTE = 10**8
PREKEY_DEPOSIT = 32 * DEPOSIT_PER_BYTE
SEAL_ALL = Cost(reads=16 * SLOTS_MAX, writes=10 * SLOTS_MAX)
"""Each copy uses up a key and may find its slot, whose executions get new deadlines."""
COPY_BYTES = 256
"""What a copy takes in storage at most; for the deposit."""
COPY_DEPOSIT = COPY_BYTES * DEPOSIT_PER_BYTE


class Secrets(Pallet):
    """Sealed environments of jobs, and processors' one-time keys."""

    name, index = "Secrets", 28
    events = EVENTS
    errors = ERRORS

    def __init__(
        self, state: State, registry: Registry, balances: Balances, processors: Processors, jobs: JobStore
    ) -> None:
        super().__init__(state, registry)
        self.balances, self.processors, self.jobs = balances, processors, jobs
        self.parameters: Value[SecretsParameters] = self.value(
            "Parameters", SecretsParameters, SecretsParameters(), "Set by the chain spec."
        )
        self.prekeys: Map[bytes, tuple[bytes, ...]] = self.map(
            "Prekeys", AccountId, PublicKeys, (), "One-time keys of a processor that are not used yet, oldest first."
        )
        self.bundles: Map[int, Bundle] = self.map(
            "Bundles", U64, Bundle, None, "Live jobs with sealed values: deposit and readers.", hasher=TWOX
        )
        self.values: Map[int, bytes] = self.map(
            "Values", U64, Values, None, "A live job's environment: nonce and ciphertext.", hasher=TWOX
        )
        self.copies: Map[int, tuple[Copy, ...]] = self.map(
            "Copies", U64, Copies, (), "The key of a live job's environment, for each reader.", hasher=TWOX
        )
        self.constant("PrekeysMax", U8, PREKEYS_MAX, "One-time keys of one processor.")
        jobs.on_offer.append(self._offered)
        jobs.on_end.append(self._ended)

    def genesis(self, config: Mapping[str, Any]) -> None:
        """The fields of SecretsParameters."""
        limits = {"exposures_spare": (0, SLOTS_MAX)}
        self.parameters.put(parameters_from("secrets", SecretsParameters(), limits, config))

    # Processors.

    @call(index=0, weight=Cost(reads=4, writes=3))
    def publish_prekeys(self, origin: Signed, keys: PublicKeys) -> None:
        """Add one-time keys, at most 16 unused ones in all. Holds a deposit until a key is used."""
        self.processors.record_of(origin.who)
        known = self.prekeys.get(origin.who)
        after = (*known, *keys)
        if not keys:
            raise NoPrekeys
        if len(after) > PREKEYS_MAX:
            raise TooManyPrekeys
        if len(set(after)) != len(after):
            raise PrekeyListed
        self.balances.hold(origin.who, HoldReason.SECRETS, PREKEY_DEPOSIT * len(keys))
        self.prekeys.put(origin.who, after)
        self.emit(PrekeysPublished(origin.who, len(keys)))

    @call(index=1, weight=Cost(reads=4, writes=3))
    def withdraw_prekeys(self, origin: Signed) -> None:
        """Take back all keys that are not used yet: their private halves are lost, say."""
        keys = self.prekeys.get(origin.who)
        if not keys:
            raise NoPrekeys
        self.prekeys.remove(origin.who)
        self.balances.release(origin.who, HoldReason.SECRETS, PREKEY_DEPOSIT * len(keys))
        self.emit(PrekeysWithdrawn(origin.who, len(keys)))

    # Owners.

    @call(index=2, weight=Cost(reads=8, writes=5))
    def provide(self, origin: Signed, job: Hash, values: Values) -> None:
        """Give the encrypted environment of a job of one's own, once. Holds a deposit for its bytes."""
        job_id, _ = self._owned(origin.who, self.jobs.job_by_hash.find(job))
        if self.bundles.contains(job_id):
            raise AlreadyProvided
        deposit = DEPOSIT_PER_BYTE * len(values)
        self.balances.hold(origin.who, HoldReason.SECRETS, deposit)
        self.bundles.put(job_id, Bundle(origin.who, deposit, 0, 0))
        self.values.put(job_id, values)
        self.emit(SecretsProvided(job_id, len(values)))

    @call(index=3, weight=SEAL_ALL, refundable=True)
    def seal_to_prekeys(self, origin: Signed, job: Hash, copies: PrekeyCopies) -> None:
        """Give the key to processors by their one-time keys, which are used up. At most 16 copies for one job."""
        job_id, environment = self._owned(origin.who, self.jobs.job_by_hash.find(job))
        if environment.sealing is not Sealing.PREKEYS:
            raise WrongSealing
        bundle = self._bundle(job_id)
        if not copies:
            raise NoCopies
        if bundle.prekeyed + len(copies) > PREKEY_COPIES_MAX:
            raise TooManyCopies
        for copy in copies:
            self._use_prekey(copy.processor, copy.prekey)
        new = tuple(Copy(copy.processor, copy.prekey, copy.sealed, None) for copy in copies)
        self._put(job_id, replace(bundle, prekeyed=bundle.prekeyed + len(copies)), (*self.copies.get(job_id), *new))
        # Whoever holds a slot already takes its copy now.
        for number, slot in self.jobs.slots_of(job_id):
            if slot.state in (SlotState.OFFERED, SlotState.ACKNOWLEDGED) and not slot.sealed:
                self._offered(job_id, number, slot)

    @call(index=4, weight=WHOLE_JOB, refundable=True)
    def seal(self, origin: Signed, job: U64, slot: U8, generation: U32, sealed: Sealed) -> None:
        """Give the key to the processor of an acknowledged slot, sealed to the key that it acknowledged with."""
        self._owned(origin.who, job)
        if slot >= self.jobs.jobs.get(job).slots:
            raise SlotNotFound
        slots.advance_job(self.jobs, job)
        if self.jobs.is_live(job):
            slots.advance(self.jobs, job, slot)
        self._owned(origin.who, job)
        bundle, held = self._bundle(job), self.jobs.slot(job, slot)
        if held.generation != generation:
            raise StaleGeneration
        if held.state is not SlotState.ACKNOWLEDGED or held.processor is None or held.key is None:
            raise NotAcknowledged
        again = self.copy_at(job, slot, generation) is not None
        if not again and bundle.served >= self.jobs.jobs.get(job).slots + self.parameters.get().exposures_spare:
            raise ExposuresUsedUp
        copy = Copy(held.processor, held.key, sealed, Place(slot, generation))
        others = tuple(one for one in self.copies.get(job) if one.place is None or one.place.slot != slot)
        self._put(job, replace(bundle, served=bundle.served + (not again)), (*others, copy))
        slots.note_sealed(self.jobs, job, slot)
        self.emit(SecretsSealed(job, slot, generation, held.processor))

    def _owned(self, who: bytes, id: int | None) -> tuple[int, Environment]:
        """A live job of `who` that has an environment. Raises JobNotFound, JobEnded, NotOwner, NoSecrets."""
        if id is None:
            raise JobNotFound
        if self.jobs.live_job(id).owner != who:
            raise NotOwner
        environment = self.jobs.specs.get(id).environment
        if environment is None:
            raise NoSecrets
        return id, environment

    def _bundle(self, id: int) -> Bundle:
        bundle = self.bundles.find(id)
        if bundle is None:
            raise NotProvided
        return bundle

    def _use_prekey(self, processor: bytes, prekey: bytes) -> None:
        """A one-time key is used up; its deposit goes back."""
        keys = self.prekeys.get(processor)
        if prekey not in keys:
            raise UnknownPrekey
        left = tuple(key for key in keys if key != prekey)
        if left:
            self.prekeys.put(processor, left)
        else:
            self.prekeys.remove(processor)
        self.balances.release(processor, HoldReason.SECRETS, PREKEY_DEPOSIT)

    def _put(self, id: int, bundle: Bundle, copies: tuple[Copy, ...]) -> None:
        """Store a job's copies; the deposit follows their number."""
        more = COPY_DEPOSIT * (len(copies) - len(self.copies.get(id)))
        if more >= 0:
            self.balances.hold(bundle.owner, HoldReason.SECRETS, more)
        else:
            self.balances.release(bundle.owner, HoldReason.SECRETS, -more)
        self.bundles.put(id, replace(bundle, deposit=bundle.deposit + more))
        self.copies.put(id, copies)

    # For other pallets.

    def copy_at(self, id: int, number: int, generation: int) -> Copy | None:
        """The copy that the processor of a slot opens in this generation."""
        place = Place(number, generation)
        return next((copy for copy in self.copies.get(id) if copy.place == place), None)

    def may_open(self, id: int, who: bytes) -> bool:
        """Whether `who` could read a job's secrets if it got a slot: it has an unused copy, or the owner serves."""
        spec = self.jobs.specs.get(id)
        if spec.environment is None or spec.environment.sealing is Sealing.SERVED:
            return True
        if not self.bundles.contains(id) and isinstance(spec.assignment, Single):
            # Named processors are offered their slots while the job is registered: their copies follow in the batch.
            return any(named.processor == who for named in spec.assignment.instant)
        return any(copy.processor == who and copy.place is None for copy in self.copies.get(id))

    def _offered(self, id: int, number: int, slot: Slot) -> None:
        """A slot was offered: its processor's next unused copy is for this generation."""
        copies = self.copies.get(id)
        for position, copy in enumerate(copies):
            if copy.place is None and copy.processor == slot.processor:
                taken = replace(copy, place=Place(number, slot.generation))
                self.copies.put(id, (*copies[:position], taken, *copies[position + 1 :]))
                slots.note_sealed(self.jobs, id, number)
                self.emit(SecretsSealed(id, number, slot.generation, copy.processor))
                return

    def _ended(self, id: int) -> None:
        """A job has ended: nothing of its secrets stays."""
        bundle = self.bundles.find(id)
        if bundle is None:
            return
        self.balances.release(bundle.owner, HoldReason.SECRETS, bundle.deposit)
        self.bundles.remove(id)
        self.values.remove(id)
        if self.copies.contains(id):
            self.copies.remove(id)
        self.emit(SecretsRemoved(id))

    def check_state(self) -> None:
        deposits: dict[bytes, int] = {}
        for job_id, bundle in self.bundles.items():
            copies = self.copies.get(job_id)
            if not self.jobs.is_live(job_id) or not self.values.contains(job_id):
                raise InvariantBroken(f"secrets: job {job_id} has ended, or has no values")
            if bundle.prekeyed > PREKEY_COPIES_MAX or len(copies) > bundle.prekeyed + bundle.served:
                raise InvariantBroken(f"secrets: job {job_id} has {len(copies)} copies")
            places = [copy.place for copy in copies if copy.place is not None]
            if len(set(places)) != len(places):
                raise InvariantBroken(f"secrets: job {job_id} has two copies for one place")
            expected = DEPOSIT_PER_BYTE * len(self.values.get(job_id)) + COPY_DEPOSIT * len(copies)
            if bundle.deposit != expected:
                raise InvariantBroken(f"secrets: job {job_id} has {bundle.deposit} on deposit, expected {expected}")
            deposits[bundle.owner] = deposits.get(bundle.owner, 0) + bundle.deposit
        for who, keys in self.prekeys.items():
            if len(set(keys)) != len(keys) or len(keys) > PREKEYS_MAX:
                raise InvariantBroken(f"secrets: one-time keys of 0x{who.hex()}")
            deposits[who] = deposits.get(who, 0) + PREKEY_DEPOSIT * len(keys)
        for who, deposit in deposits.items():
            held = self.balances.held(who, HoldReason.SECRETS)
            if held != deposit:
                raise InvariantBroken(f"secrets: 0x{who.hex()} has {held} held, {deposit} on deposit")
