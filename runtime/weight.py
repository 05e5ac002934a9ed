"""Weight: what a call costs the chain in picoseconds of execution on the reference machine.

Units of spec/chain.md (f): base extrinsic 100 us, cold read 4 us, changed key 14 us, 1 us a KiB, times 1.5.
`proof_size` is always 0 (postponed, spec/chain.md §4) and kept because Substrate clients expect the pair.
"""

from dataclasses import dataclass
from enum import Enum

from runtime.scale import CompactU64, scale_path

PICOSECONDS_PER_MICROSECOND = 1_000_000
READ_US = 4
CHANGED_KEY_US = 14
CALL_US = 20
"""Decoding, dispatch and events of one call, apart from its storage."""


@scale_path("sp_weights", "weight_v2", "Weight")
@dataclass(frozen=True, slots=True)
class Weight:
    """Execution time in picoseconds, and the size of a state proof, always 0."""

    ref_time: CompactU64
    proof_size: CompactU64 = 0


@scale_path("frame_support", "dispatch", "DispatchClass")
class DispatchClass(Enum):
    """Who may use which share of a block: Normal 75 %, Operational 100 %, Mandatory always."""

    NORMAL = 0
    OPERATIONAL = 1
    MANDATORY = 2


@scale_path("frame_support", "dispatch", "Pays")
class Pays(Enum):
    """Whether the sender pays a fee."""

    YES = 0
    NO = 1


def cost_ps(reads: int, writes: int, extra_us: int = 0) -> int:
    """The weight of a call that reads `reads` and changes `writes` keys, in picoseconds, 1.5 x the measured units."""
    micros = CALL_US + reads * READ_US + writes * CHANGED_KEY_US + extra_us
    return micros * 3 // 2 * PICOSECONDS_PER_MICROSECOND


BASE_BLOCK_PS = 5_000 * PICOSECONDS_PER_MICROSECOND
BASE_EXTRINSIC_PS = 100 * PICOSECONDS_PER_MICROSECOND
BLOCK_PERCENT_OF_SLOT = 25
NORMAL_PERCENT = 75
BLOCK_BYTES_MAX = 2 << 20
ONE = 10**18


class BlockBudget:
    """The weight and length that a block of `slot_ms` has, and how much of it is used (spec/chain.md (f))."""

    def __init__(self, slot_ms: int) -> None:
        self.total_ps = slot_ms * BLOCK_PERCENT_OF_SLOT * 10 * PICOSECONDS_PER_MICROSECOND
        self.normal_max_ps = self.total_ps * NORMAL_PERCENT // 100
        self.normal_max_bytes = BLOCK_BYTES_MAX * NORMAL_PERCENT // 100
        self.used_ps = 0
        self.normal_ps = 0
        self.bytes = 0
        self.normal_bytes = 0

    def take(self, dispatch_class: DispatchClass, weight_ps: int, length: int) -> bool:
        """Reserve room for one extrinsic; False, with nothing changed, if there is none."""
        if dispatch_class is DispatchClass.NORMAL:
            if self.normal_ps + weight_ps > self.normal_max_ps or self.normal_bytes + length > self.normal_max_bytes:
                return False
            self.normal_ps += weight_ps
            self.normal_bytes += length
        elif dispatch_class is DispatchClass.OPERATIONAL and (
            self.used_ps + weight_ps > self.total_ps or self.bytes + length > BLOCK_BYTES_MAX
        ):
            return False
        self.used_ps += weight_ps
        self.bytes += length
        return True

    def give_back(self, dispatch_class: DispatchClass, weight_ps: int) -> None:
        """Return what a call reserved and did not use."""
        self.used_ps -= weight_ps
        if dispatch_class is DispatchClass.NORMAL:
            self.normal_ps -= weight_ps

    def snapshot(self) -> tuple[int, int, int, int]:
        """The used amounts, for `restore`."""
        return self.used_ps, self.normal_ps, self.bytes, self.normal_bytes

    def restore(self, saved: tuple[int, int, int, int]) -> None:
        """Forget what was taken since `snapshot`."""
        self.used_ps, self.normal_ps, self.bytes, self.normal_bytes = saved

    def fullness(self) -> int:
        """Share of the normal room in use, 10^18 = all: the larger of weight and length."""
        weight = self.normal_ps * ONE // self.normal_max_ps
        return max(weight, self.normal_bytes * ONE // self.normal_max_bytes)
