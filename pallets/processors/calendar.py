"""The calendar: whether a new lease fits beside the ones that a processor already has.

A lease is a sequence of intervals: [offset + k·period, + length) for k < count. Two sequences may overlap only if their
ranges intersect and, with g = gcd of the periods and d = (o₂ − o₁) mod g, d < l₁ or g − d < l₂. The test never misses
an overlap; it may see one that is not there, which only turns a lease down (spec/job-layer.md §4 (11)).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import gcd

from pallets.jobs.bounds import LIVE_PER_SLOT_MAX
from runtime.scale import U8, U16, U32, U64


@dataclass(frozen=True, slots=True)
class Lease:
    """A promise to be ready for one slot of a job: when (milliseconds) and with what.

    `length_ms` covers the start delay and the run. `memory_bytes`, `storage_bytes` and `cores` are per execution.
    """

    job: U64
    slot: U8
    offset_ms: U64
    period_ms: U64
    length_ms: U64
    count: U32
    memory_bytes: U64
    storage_bytes: U64
    cores: U16


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a processor has for all its leases together."""

    memory_bytes: U64
    storage_bytes: U64
    cores: U16


def end_ms(lease: Lease) -> int:
    """The end of the lease's last interval."""
    return lease.offset_ms + (lease.count - 1) * lease.period_ms + lease.length_ms


def may_overlap(one: Lease, two: Lease) -> bool:
    """Whether an interval of `one` may intersect an interval of `two`. False is certain."""
    if end_ms(one) <= two.offset_ms or end_ms(two) <= one.offset_ms:
        return False
    divisor = gcd(one.period_ms if one.count > 1 else 0, two.period_ms if two.count > 1 else 0)
    if not divisor:
        return True
    distance = (two.offset_ms - one.offset_ms) % divisor
    return distance < one.length_ms or divisor - distance < two.length_ms


def at_once(lease: Lease) -> int:
    """How many executions of the lease itself may be open at the same time: at most four are live per slot."""
    open_max = min(lease.count, -(-lease.length_ms // lease.period_ms)) if lease.count > 1 else 1
    return min(open_max, LIVE_PER_SLOT_MAX)


def fits(capacity: Capacity, leases: Iterable[Lease], new: Lease) -> bool:
    """Whether the sum of `new` and of all leases that may overlap it stays within `capacity`."""
    together = [new, *(lease for lease in leases if may_overlap(lease, new))]
    return (
        sum(lease.memory_bytes * at_once(lease) for lease in together) <= capacity.memory_bytes
        and sum(lease.storage_bytes * at_once(lease) for lease in together) <= capacity.storage_bytes
        and sum(lease.cores * at_once(lease) for lease in together) <= capacity.cores
    )


def free_share_ppm(capacity: Capacity, leases: Iterable[Lease], new: Lease) -> int:
    """The mean share of memory, storage and cores that stays free beside `new`, once `fits` allowed it."""
    together = [new, *(lease for lease in leases if may_overlap(lease, new))]
    pairs = (
        (capacity.memory_bytes, sum(lease.memory_bytes * at_once(lease) for lease in together)),
        (capacity.storage_bytes, sum(lease.storage_bytes * at_once(lease) for lease in together)),
        (capacity.cores, sum(lease.cores * at_once(lease) for lease in together)),
    )
    shares = [max(0, total - used) * 1_000_000 // total for total, used in pairs if total]
    return sum(shares) // len(shares)
