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
