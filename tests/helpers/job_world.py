"""A small chain of the job layer's pallets, driven slot by slot without blocks: what the job tests run on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from nacl.signing import SigningKey

from pallets.agenda import Agenda
from pallets.balances import Balances
from pallets.beacon import MIX_HISTORY, Beacon
from pallets.escrow.pallet import Escrow
from pallets.jobs import destinations, types
from pallets.jobs.pallet import Jobs
from pallets.jobs.records import Execution, Job, Slot, SlotState
from pallets.jobs.report import Failed, InlineOutput, Outcome, Succeeded
from pallets.juries.pallet import Juries
from pallets.matching.pallet import Matching
from pallets.matching.types import Placement
from pallets.processors.calendar import Capacity
from pallets.processors.pallet import Processors
from pallets.processors.types import FREE, Advert, PairingProof, pairing_message
from pallets.reputation import Reputation
from pallets.secrets.pallet import Secrets
from pallets.system import System
from pallets.verification import digests
from pallets.verification.pallet import Verification
from runtime.errors import DispatchError
from runtime.hashing import blake2b256
from runtime.pallet import Event, Pallet, Signed
from runtime.runtime import Runtime, new_registry
from runtime.state import State

HDL = 10**12
SLOT_MS = 1_000
FIRST_SLOT = 1_700_000_000
"""Seconds since 1970, as the slots of a chain with slots of one second are."""

E = TypeVar("E", bound=Event)


def account(name: str) -> bytes:
    """An account of 32 bytes."""
    return blake2b256(name.encode())


SALT = bytes(range(32))
ALICE, BOB, CAROL = account("alice"), account("bob"), account("carol")
PROCESSORS = tuple(account(f"processor {n}") for n in range(5))
MATCHER = account("matcher")

SCRIPT = types.Blob(b"\x01\x55\x12\x20" + bytes(32), 1_000)
ADVERT = Advert(
    runtimes=(types.RuntimeKind.WASM, types.RuntimeKind.PYTHON),
    capacity=Capacity(memory_bytes=8 << 30, storage_bytes=64 << 30, cores=4),
    requests_max=100,
    modules=(),
    labels=("eu",),
    architecture=types.Architecture.X86_64,
    accelerators=(),
    fetch=True,
    storage=True,
    sign=True,
    benchmark=10**6,
    pricing=replace(FREE, base=HDL),
    consumers=(),
    start_delay_min_ms=0,
)
PROCESSOR_PARAMETERS = {"stakeUnit": HDL, "unbondSlots": 60}
PARAMETERS: dict[str, dict[str, int]] = {
    "matching": {"windowSlots": 2, "fallbackAfterSlots": 4, "advertAgeSlotsMin": 0},
    "jobs": {"retentionSlots": 1_000},
    "juries": {"seatsFirst": 3, "seatsSecond": 0, "seatsThird": 0, "advertAgeSlotsMin": 0},
    "processors": dict(PROCESSOR_PARAMETERS),
}


class World:
    """The pallets over one state. Each method that acts runs one call in a storage layer, as a block would."""

    def __init__(self, parameters: dict[str, dict[str, int]] | None = None, balance: int = 10_000 * HDL) -> None:
        state, registry = State(), new_registry()
        self.state = state
        self.system = System(state, registry, SLOT_MS)
        self.balances = Balances(state, registry, self.system)
        self.beacon = Beacon(state, registry, self.system)
        self.agenda = Agenda(state, registry, self.system)
        self.processors = Processors(state, registry, self.system, self.balances, self.agenda)
        self.escrow = Escrow(state, registry, self.balances)
        self.reputation = Reputation(state, registry, self.system)
        self.jobs = Jobs(
            state, registry, self.system, self.agenda, self.beacon, self.processors, self.escrow, self.reputation
        )
        self.secrets = Secrets(state, registry, self.balances, self.processors, self.jobs)
        self.matching = Matching(
            state,
            registry,
            self.system,
            self.agenda,
            self.beacon,
            self.processors,
            self.jobs,
            self.escrow,
            self.reputation,
            self.secrets,
        )
        self.juries = Juries(state, registry, self.system, self.agenda, self.beacon, self.balances, self.processors)
        self.verification = Verification(
            *(state, registry, self.system, self.agenda, self.beacon, self.balances),
            *(self.jobs, self.juries, self.escrow, self.reputation),
        )
        pallets: list[Pallet] = [self.system, self.balances, self.agenda, self.processors]
        pallets += [self.escrow, self.reputation, self.jobs, self.matching, self.juries]
        pallets += [self.verification, self.secrets]
        self.pallets = pallets
        self.runtime = Runtime(state, registry, [*self.pallets, self.beacon])
        accounts = (ALICE, BOB, CAROL, MATCHER, *PROCESSORS)
        self.balances.genesis({"balances": [(who, balance) for who in accounts]})
        chosen = PARAMETERS if parameters is None else {"processors": PROCESSOR_PARAMETERS, **parameters}
        configured = (self.escrow, self.reputation, self.jobs, self.matching, self.juries, self.secrets)
        for pallet in (self.processors, *configured, self.verification):
            pallet.genesis(chosen.get(pallet.name.lower(), {}))
        self.system.slot = FIRST_SLOT
        self.slots(1)

    # Time.

    def slots(self, count: int, *, gap: int = 1) -> None:
        """`count` blocks, each `gap` slots after the one before."""
        for _ in range(count):
            self.matching.on_idle(10**12)
            self.agenda.on_idle(10**12)
            system = self.system
            system.number += 1
            system.parent_slot, system.slot = system.slot, system.slot + gap
            system.now_ms = system.slot * SLOT_MS
            mix = blake2b256(b"mix" + system.number.to_bytes(4, "little"))
            self.beacon.mixes.put(system.number % MIX_HISTORY, mix)
            self.agenda.on_initialize(system.number, system.slot)

    def until(self, condition: Callable[[], bool], slots_max: int = 200) -> None:
        """Blocks until `condition` holds. AssertionError after `slots_max`."""
        for _ in range(slots_max):
            if condition():
                return
            self.slots(1)
        raise AssertionError(f"not within {slots_max} slots")

    def until_slot(self, job: int, number: int, state: SlotState) -> None:
        """Blocks until a job's slot is in a state."""
        self.until(lambda: self.jobs.slot(job, number).state is state)

    def check(self) -> None:
        """Every pallet's invariant."""
        for pallet in self.pallets:
            pallet.check_state()

    # Events.

    def events(self, kind: type[E]) -> list[E]:
        """All events of a kind since the start, oldest first."""
        return [event for _, event in self.state.events if isinstance(event, kind)]

    # Calls. Each raises the call's DispatchError, with nothing changed.

    def call(self, pallet: str, name: str, who: bytes, *arguments: Any) -> None:
        """Dispatch a signed call."""
        self.runtime.dispatch_in_layer(self.runtime.definition(pallet, name)(*arguments), Signed(who))

    def refuses(self, pallet: str, name: str, who: bytes, *arguments: Any) -> type[DispatchError] | None:
        """The class of error that a call ends with, None if it succeeds."""
        try:
            self.call(pallet, name, who, *arguments)
        except DispatchError as error:
            return type(error)
        return None

    def offer_capacity(self, who: bytes, advert: Advert = ADVERT, stake: int = HDL) -> None:
        """Register a processor, stake and advertise."""
        self.call("Processors", "register", who, 1)
        if stake:
            self.call("Processors", "stake", who, stake)
        self.call("Processors", "advertise", who, advert)

    @staticmethod
    def manager(name: str) -> bytes:
        """The account of a manager that `pair` signs for."""
        return bytes(SigningKey(blake2b256(name.encode())).verify_key)

    def pair(self, processor: bytes, name: str) -> None:
        """Pair a registered processor with the manager of this name, who has money."""
        key = SigningKey(blake2b256(name.encode()))
        manager = bytes(key.verify_key)
        if not self.balances.total(manager):
            self.balances.issue(manager, 1_000 * HDL)
        counter, expires = self.processors.record_of(processor).pairing_counter + 1, self.system.now_ms + 1_000
        message = pairing_message(self.system.genesis_hash, processor, manager, counter, expires)
        proof = PairingProof(manager, counter, expires, 0, key.sign(message).signature)
        self.call("Processors", "pair", processor, proof)

    @staticmethod
    def advert(**changes: Any) -> Advert:
        """The advert of all processors, with some fields changed."""
        return replace(ADVERT, **changes)

    def spec(self, **changes: Any) -> types.JobSpec:
        """A one-shot job on two public processors that starts in five seconds; `changes` replace its fields."""
        return replace(job_spec(self.system.now_ms + 5_000), **changes)

    def register(self, who: bytes = ALICE, spec: types.JobSpec | None = None) -> int:
        """Register a job; its id."""
        self.call("Jobs", "register", who, spec or self.spec())
        return self.jobs.next_job.get() - 1

    @staticmethod
    def placement(slot: int, processor: bytes, start_delay_ms: int = 0) -> Placement:
        """A processor for a slot."""
        return Placement(slot, processor, start_delay_ms)

    def propose(self, job: int, *processors: bytes) -> None:
        """Propose processors for the slots from 0 on."""
        placements = tuple(self.placement(number, who) for number, who in enumerate(processors))
        self.call("Matching", "propose", MATCHER, job, placements)

    def acknowledge(self, job: int, slot: int, key: bytes | None = None) -> None:
        """The slot's processor acknowledges."""
        held = self.jobs.slot(job, slot)
        assert held.processor is not None
        self.call("Jobs", "acknowledge", held.processor, job, slot, held.generation, key)

    def assign(self, job: int, *processors: bytes) -> None:
        """Propose, wait for the offers, acknowledge all."""
        self.slots(3)
        self.propose(job, *processors)
        self.until(lambda: not self.jobs.jobs.get(job).vacant)
        for number in range(len(processors)):
            self.acknowledge(job, number)

    def start(self, job: int, execution: int, slot: int) -> None:
        """Wait until an execution may start, and start it."""
        self.until(lambda: execution in self.jobs.slot(job, slot).live)
        record = self.jobs.executions.get((job, slot, execution))
        self.until(lambda: self.system.now_ms >= record.due_ms)
        held = self.jobs.slot(job, slot)
        assert held.processor is not None
        self.call("Jobs", "started", held.processor, job, execution, slot, held.generation, record.attempt)

    def report(self, job: int, execution: int, slot: int, outcome: Outcome | None = None) -> None:
        """Report a running execution, by default with a success."""
        held = self.jobs.slot(job, slot)
        assert held.processor is not None
        attempt = self.jobs.executions.get((job, slot, execution)).attempt
        arguments = (job, execution, slot, held.generation, attempt, outcome or success())
        self.call("Jobs", "report", held.processor, *arguments)

    def run(self, job: int, execution: int, slot: int, outcome: Outcome | None = None) -> None:
        """Start and report."""
        self.start(job, execution, slot)
        self.slots(1)
        self.report(job, execution, slot, outcome)

    # Rounds.

    def found(self, job: int, execution: int = 0, output: bytes = b"42") -> Succeeded:
        """A result with the digest that the chain computes for it."""
        work = digests.work_hash(self.jobs.spec_for(job, execution), execution)
        without = Succeeded(bytes(32), InlineOutput(output), 1_000, ())
        return replace(without, digest=digests.result_digest(work, without))

    def digest(self, job: int, execution: int, outcome: Outcome) -> bytes:
        """The digest of an outcome of an execution."""
        return digests.result_digest(digests.work_hash(self.jobs.spec_for(job, execution), execution), outcome)

    def commitment(self, job: int, execution: int, slot: int, outcome: Outcome, who: bytes | None = None) -> bytes:
        """What the slot's processor, or somebody else in its place, commits to; the salt is SALT."""
        held = self.jobs.slot(job, slot)
        attempt = self.execution(job, slot, execution).attempt
        place = (self.job(job).id_hash, execution, slot, held.generation, attempt)
        digest, processor = self.digest(job, execution, outcome), who or held.processor or b""
        return digests.commitment(self.system.genesis_hash, *place, processor, digest, SALT)

    def outsiders_commitment(self, job: int, execution: int, outcome: Outcome, who: bytes) -> bytes:
        """What a challenger or a juror commits to."""
        genesis, job_hash = self.system.genesis_hash, self.job(job).id_hash
        return digests.outsiders_commitment(
            genesis, job_hash, execution, who, self.digest(job, execution, outcome), SALT
        )

    def commit_result(self, job: int, execution: int, slot: int, outcome: Outcome | None = None) -> None:
        """Commit a running execution, by default to the result `found`."""
        held = self.jobs.slot(job, slot)
        assert held.processor is not None
        attempt = self.execution(job, slot, execution).attempt
        commitment = self.commitment(job, execution, slot, outcome or self.found(job, execution))
        arguments = (job, execution, slot, held.generation, attempt, commitment)
        self.call("Verification", "commit", held.processor, *arguments)

    def compute(self, job: int, execution: int, slot: int, outcome: Outcome | None = None) -> None:
        """Start and commit."""
        self.start(job, execution, slot)
        self.slots(1)
        self.commit_result(job, execution, slot, outcome)

    def reveal_result(self, job: int, execution: int, slot: int, outcome: Outcome | None = None) -> None:
        """Reveal what was committed."""
        terms = self.verification.entries.get((job, execution, slot)).terms
        arguments = (job, execution, slot, terms.generation, terms.attempt, outcome or self.found(job, execution), SALT)
        self.call("Verification", "reveal", terms.processor, *arguments)

    def reveal_late(self, job: int, execution: int, slot: int, outcome: Outcome | None = None) -> None:
        """Open a commitment whose bond is frozen."""
        who = self.verification.late.get((job, execution, slot)).terms.processor
        what = outcome or self.found(job, execution)
        self.call("Verification", "reveal_late", who, job, execution, slot, what, SALT)

    # Looking.

    def job(self, id: int) -> Job:
        """A job's record."""
        return self.jobs.jobs.get(id)

    def slot(self, id: int, number: int) -> Slot:
        """A slot's record."""
        return self.jobs.slot(id, number)

    def execution(self, id: int, number: int, execution: int) -> Execution:
        """An execution's record."""
        return self.jobs.executions.get((id, number, execution))


def job_spec(start_ms: int) -> types.JobSpec:
    """A one-shot WASM job on two public processors."""
    return types.JobSpec(
        script=SCRIPT,
        runtime=types.RuntimeKind.WASM,
        entrypoint="main",
        input=types.NoInput(),
        processors=types.Public(0, attested_only=False),
        assignment=types.Single(),
        schedule=types.Schedule(start_ms, start_ms + 1, 60_000, 10_000, 60_000),
        resources=types.Resources(1 << 28, 1 << 20, 0, 10**9, 4_096),
        requirements=types.Requirements(),
        slots=2,
        reward=2 * HDL,
        destinations=(destinations.Chain(),),
        gas_per_delivery=0,
        verification=types.Trusted(),
        stake_multiple=0,
        accepted_min=None,
        retry=types.RETRY_DEFAULT,
        timeouts=types.TIMEOUTS_DEFAULT,
        queue=types.Queue(),
        environment=None,
        capabilities=types.NO_CAPABILITIES,
        mutability=types.Immutable(),
        fallback=None,
    )


def success(output: bytes = b"42") -> Succeeded:
    """A result."""
    return Succeeded(blake2b256(output), InlineOutput(output), 1_000, ())


def failure(what: Any) -> Failed:
    """A failed attempt."""
    return Failed(what, "as told", 500)
