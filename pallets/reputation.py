"""Reputation: how reliable a processor has been, per class of runtime.

A beta score with forgetting: each success adds its weight w to r and fades both sums by λ = 49/50, each failure adds to
s. The weight grows with the reward, w = x / (average + x) with x at most four averages. Credit is given once per
accepted execution that sortition placed, so that it cannot be bought from oneself for nothing; what Personal and Known
jobs do counts in neither direction. Sums are fixed point with ONE = 10¹² (spec/job-layer.md §6, ADR 0021).

Beside the score stands CV, the count of consecutive verified results: how many executions of a processor were compared
with somebody else's and agreed, since it last differed. It decides how much a word of its own is worth.

Invariant (`check_state`): both sums stay below 50 weights of ONE, which is where fading bounds them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pallets.jobs.types import RuntimeKind
from pallets.parameters import parameters_from
from pallets.system import System
from runtime.errors import InvariantBroken
from runtime.pallet import Event, Pallet
from runtime.scale import U32, U64, U128, Registry
from runtime.state import State
from runtime.storage import BLAKE2, TWOX, Map, Value
from runtime.types import AccountId

ONE = 10**12
FADE_NUMERATOR, FADE_DENOMINATOR = 49, 50
PPM = 10**6
SUM_MAX = 50 * ONE
REWARD_MIN = 10**10
"""Settlements below 0.01 HDL do not move the average."""
REWARD_RATIO_MAX = 4
AVERAGE_STEP = 256
CREDIT_PER_PAYER_AND_ERA_MAX = 2 * ONE
DEBIT_MIN = ONE // 4
NARROWED_DIVISOR = 4
"""Jobs that pick their processors by label or module earn a quarter: they are easily written for one processor."""
CONVICTION_WEIGHT = 10 * ONE
CV_MAX = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Record:
    """Faded sums of the weights of successes and of failures."""

    successes: U64
    failures: U64


@dataclass(frozen=True, slots=True)
class Credit:
    """How much a processor was credited for one payer's jobs in an era."""

    era: U64
    weight: U64


@dataclass(slots=True)
class Convicted(Event):
    """A final verdict went against a processor: its successes in a class of runtime are forgotten."""

    processor: AccountId
    runtime: RuntimeKind


@dataclass(frozen=True, slots=True)
class ReputationParameters:
    """`era_slots`: length of the era that caps credit from one payer. `average`: the first average reward (planck)."""

    era_slots: U64 = 43_200
    average: U64 = 10**12


@dataclass(slots=True)
class ReputationChanged(Event):
    """A processor's score in a class of runtime changed, in parts per million."""

    processor: AccountId
    runtime: RuntimeKind
    score_ppm: U32


NEW = Record(0, 0)


def succeed(record: Record, weight: int) -> Record:
    """After a success of `weight`."""
    return Record(_fade(record.successes) + weight, _fade(record.failures))


def fail(record: Record, weight: int) -> Record:
    """After a failure of `weight`."""
    return Record(_fade(record.successes), _fade(record.failures) + weight)


def convict(record: Record) -> Record:
    """After a final verdict against the processor: nothing good is left. The sum stays where fading bounds it."""
    return Record(0, min(record.failures + CONVICTION_WEIGHT, SUM_MAX))


def score_ppm(record: Record) -> int:
    """⌊(r + 1) · 52 · 10⁶ / ((r + s + 2) · 51)⌋: 509,803 for a newcomer."""
    return (record.successes + ONE) * 52 * PPM // ((record.successes + record.failures + 2 * ONE) * 51)


def weight_of(reward: int, average: int) -> int:
    """w = x · ONE / (average + x), x = the reward, at most four averages."""
    bounded = min(reward, REWARD_RATIO_MAX * average)
    return bounded * ONE // (average + bounded)


def next_average(average: int, reward: int) -> int:
    """The average moves by a 256th towards a reward, which counts as at most four times more or less than it."""
    difference = min(max(reward, average // REWARD_RATIO_MAX), REWARD_RATIO_MAX * average) - average
    step = abs(difference) // AVERAGE_STEP
    return average + (step if difference > 0 else -step)


def _fade(value: int) -> int:
    return value * FADE_NUMERATOR // FADE_DENOMINATOR


class Reputation(Pallet):
    """Scores of processors."""

    name, index = "Reputation", 25
    events = (ReputationChanged, Convicted)

    def __init__(self, state: State, registry: Registry, system: System) -> None:
        super().__init__(state, registry)
        self.system = system
        self.parameters: Value[ReputationParameters] = self.value(
            "Parameters", ReputationParameters, ReputationParameters(), "Set by the chain spec."
        )
        self.records: Map[tuple[bytes, RuntimeKind], Record] = self.maps(
            "Records", ((AccountId, BLAKE2), (RuntimeKind, TWOX)), Record, NEW, "A processor's record in a class."
        )
        self.averages: Map[RuntimeKind, int] = self.map(
            "Averages", RuntimeKind, U128, None, "The average reward settled in a class.", hasher=TWOX
        )
        self.credits: Map[tuple[bytes, bytes], Credit] = self.maps(
            "Credits", ((AccountId, BLAKE2), (AccountId, BLAKE2)), Credit, Credit(0, 0), "By processor and payer."
        )

        self.verified_counts: Map[tuple[bytes, RuntimeKind], int] = self.maps(
            "Verified",
            ((AccountId, BLAKE2), (RuntimeKind, TWOX)),
            U32,
            0,
            "CV: verified results since the last wrong one.",
        )

    def genesis(self, config: Mapping[str, Any]) -> None:
        """The fields of ReputationParameters."""
        bounds = {"era_slots": (1, 1 << 32), "average": (REWARD_MIN, 10**24)}
        self.parameters.put(parameters_from("reputation", ReputationParameters(), bounds, config))

    # For other pallets.

    def score(self, processor: bytes, runtime: RuntimeKind) -> int:
        """Parts per million."""
        return score_ppm(self.records.get((processor, runtime)))

    def average(self, runtime: RuntimeKind) -> int:
        """The average reward settled in a class."""
        average = self.averages.find(runtime)
        return self.parameters.get().average if average is None else average

    def credit(
        self, processor: bytes, payer: bytes, runtime: RuntimeKind, reward: int, *, narrowed: bool = False
    ) -> None:
        """One accepted execution that sortition placed, settled at `reward` planck by `payer`.

        `narrowed`: the job asked for labels or modules.
        """
        average = self.average(runtime)
        full = weight_of(reward, average)
        weight = self._capped(processor, payer, full // NARROWED_DIVISOR if narrowed else full)
        if reward >= REWARD_MIN:
            self.averages.put(runtime, next_average(average, reward))
        if weight:
            self._put(processor, runtime, succeed(self.records.get((processor, runtime)), weight))

    def debit(self, processor: bytes, runtime: RuntimeKind, reward: int, quarters: int) -> None:
        """A fault of the processor: lost or not started 4 quarters, run time-out 2, second unanswered offer 1."""
        weight = max(weight_of(reward, self.average(runtime)), DEBIT_MIN) * quarters // 4
        self._put(processor, runtime, fail(self.records.get((processor, runtime)), weight))

    def cv(self, processor: bytes, runtime: RuntimeKind) -> int:
        """How many results in a row were compared with another processor's and agreed."""
        return self.verified_counts.get((processor, runtime))

    def verified(self, processor: bytes, runtime: RuntimeKind) -> None:
        """A result of a drawn processor agreed with somebody else's."""
        self.verified_counts.put((processor, runtime), min(self.cv(processor, runtime) + 1, CV_MAX))

    def mismatched(self, processor: bytes, runtime: RuntimeKind) -> None:
        """A result differed where honest ones may: a third of the count is lost."""
        self.verified_counts.put((processor, runtime), 2 * self.cv(processor, runtime) // 3)

    def convicted(self, processor: bytes, runtime: RuntimeKind) -> None:
        """A final verdict found the processor's result wrong: score and count start below a newcomer's."""
        self.verified_counts.remove((processor, runtime))
        self.emit(Convicted(processor, runtime))
        self._put(processor, runtime, convict(self.records.get((processor, runtime))))

    def _capped(self, processor: bytes, payer: bytes, weight: int) -> int:
        """What may still be credited from this payer in this era; takes note of it."""
        era = self.system.slot // self.parameters.get().era_slots
        before = self.credits.get((processor, payer))
        used = before.weight if before.era == era else 0
        weight = min(weight, CREDIT_PER_PAYER_AND_ERA_MAX - used)
        self.credits.put((processor, payer), Credit(era, used + weight))
        return weight

    def _put(self, processor: bytes, runtime: RuntimeKind, record: Record) -> None:
        self.records.put((processor, runtime), record)
        self.emit(ReputationChanged(processor, runtime, score_ppm(record)))

    def check_state(self) -> None:
        for (processor, runtime), record in self.records.items():
            if max(record.successes, record.failures) > SUM_MAX:
                raise InvariantBroken(f"reputation: {runtime.name} of 0x{processor.hex()} is {record}")
