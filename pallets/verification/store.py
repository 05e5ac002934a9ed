"""What Verification keeps, how rounds are found and their deadlines kept. The rules are in the modules beside it."""

from collections.abc import Iterator
from dataclasses import replace

from pallets.agenda import Agenda
from pallets.balances import Balances
from pallets.beacon import Beacon
from pallets.escrow.pallet import Escrow
from pallets.jobs.records import Execution, ExecutionState
from pallets.jobs.store import JobStore
from pallets.jobs.types import JobSpec, OwnerAccept
from pallets.juries.pallet import Juries
from pallets.reputation import Reputation
from pallets.system import System
from pallets.verification import digests
from pallets.verification.errors import ERRORS
from pallets.verification.events import EVENTS
from pallets.verification.types import Entry, EntryKey, Late, Round, RoundKey, VerificationParameters
from runtime.pallet import Pallet
from runtime.scale import U8, U32, U64, Registry
from runtime.state import State
from runtime.storage import TWOX, Map, Value

ROUND_KIND = 8
LATE_KIND = 9
EXECUTION_BITS, SLOT_BITS = 17, 6
"""The agenda's id of a round or a frozen bond is job · 2²³ + execution · 64 + slot."""


class VerificationStore(Pallet):
    """Storage of Verification and the pallets it uses."""

    name, index = "Verification", 26
    events = EVENTS
    errors = ERRORS

    def __init__(
        self,
        state: State,
        registry: Registry,
        system: System,
        agenda: Agenda,
        beacon: Beacon,
        balances: Balances,
        jobs: JobStore,
        juries: Juries,
        escrow: Escrow,
        reputation: Reputation,
    ) -> None:
        super().__init__(state, registry)
        self.system, self.agenda, self.beacon, self.balances = system, agenda, beacon, balances
        self.jobs, self.juries, self.escrow, self.reputation = jobs, juries, escrow, reputation
        keys = ((U64, TWOX), (U32, TWOX), (U8, TWOX))
        self.parameters: Value[VerificationParameters] = self.value(
            "Parameters", VerificationParameters, VerificationParameters(), "Set by the chain spec."
        )
        self.rounds: Map[RoundKey, Round] = self.maps(
            "Rounds",
            keys,
            Round,
            None,
            "By job, execution and slot (0 where slots are judged together); unsettled ones.",
        )
        self.entries: Map[EntryKey, Entry] = self.maps(
            "Entries", keys, Entry, None, "By job, execution and slot: what a processor put into an unsettled round."
        )
        self.late: Map[EntryKey, Late] = self.maps(
            "Late", keys, Late, None, "By job, execution and slot: commitments not opened in time."
        )

        self.panels: Map[int, RoundKey] = self.map(
            "Panels", U64, tuple[U64, U32, U8], None, "The round that waits for a panel.", hasher=TWOX
        )

    # Finding.

    def entries_of(self, key: RoundKey) -> Iterator[tuple[int, Entry]]:
        """The entries of a round, by slot."""
        job, execution, place = key
        alone = isinstance(self.jobs.specs.get(job).verification, OwnerAccept)
        for number in (place,) if alone else range(self.jobs.jobs.get(job).slots):
            entry = self.entries.find((job, execution, number))
            if entry is not None:
                yield number, entry

    def key_of(self, job: int, execution: int, slot: int) -> RoundKey:
        """The round that judges a slot's result. Raises JobNotFound."""
        self.jobs.job(job)
        alone = isinstance(self.jobs.specs.get(job).verification, OwnerAccept)
        return job, execution, slot if alone else 0

    def spec_of(self, key: RoundKey) -> JobSpec:
        """The specification of a round's job, as it holds for the execution."""
        return self.jobs.spec_for(key[0], key[1])

    def record_of(self, key: EntryKey) -> Execution:
        """The execution that an entry belongs to."""
        job, execution, number = key
        return self.jobs.executions.get((job, number, execution))

    def work_of(self, key: RoundKey) -> bytes:
        """What the round's processors compute."""
        return digests.work_hash(self.jobs.spec_for(key[0], key[1]), key[1])

    # Changing.

    def put(self, key: RoundKey, current: Round) -> Round:
        """Put a round, and have the agenda look at it when its state is over."""
        wake = self.agenda.arm_at(ROUND_KIND, agenda_id(key), current.wake, current.deadline)
        armed = replace(current, wake=wake)
        self.rounds.put(key, armed)
        return armed

    def soon(self, key: RoundKey) -> None:
        """Have the agenda look at a round in the next slot."""
        current = self.rounds.get(key)
        wake = self.agenda.arm(ROUND_KIND, agenda_id(key), current.wake, self.system.slot + 1)
        self.rounds.put(key, replace(current, wake=wake))

    def is_in(self, key: EntryKey, state: ExecutionState) -> bool:
        """Whether an execution is in a state."""
        return self.record_of(key).state is state


def agenda_id(key: tuple[int, int, int]) -> int:
    """The agenda's id of a round or a frozen bond."""
    job, execution, number = key
    return job << EXECUTION_BITS + SLOT_BITS | execution << SLOT_BITS | number


def key_from(agenda_id: int) -> tuple[int, int, int]:
    """The inverse of `agenda_id`."""
    number, rest = agenda_id & (1 << SLOT_BITS) - 1, agenda_id >> SLOT_BITS
    return rest >> EXECUTION_BITS, rest & (1 << EXECUTION_BITS) - 1, number
