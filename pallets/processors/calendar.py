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


Amounts = tuple[int, int, int]
"""Memory, storage, cores."""


def needed_at_once(leases: Iterable[Lease], new: Lease) -> Amounts:
    """What `new` and all leases that may overlap it need together.

    A busy processor has 64 leases and is looked at for every job that it is proposed for: what `may_overlap` and
    `at_once` say is written out here, not called.
    """
    begin, end, open_max = new.offset_ms, end_ms(new), at_once(new)
    period, length = new.period_ms if new.count > 1 else 0, new.length_ms
    memory, storage, cores = new.memory_bytes * open_max, new.storage_bytes * open_max, new.cores * open_max
    for lease in leases:
        offset, count = lease.offset_ms, lease.count
        if offset >= end or offset + (count - 1) * lease.period_ms + lease.length_ms <= begin:
            continue
        divisor = gcd(lease.period_ms if count > 1 else 0, period)
        if divisor:
            distance = (offset - begin) % divisor
            if distance >= length and divisor - distance >= lease.length_ms:
                continue
        open_max = at_once(lease) if lease.length_ms > lease.period_ms else 1
        memory += lease.memory_bytes * open_max
        storage += lease.storage_bytes * open_max
        cores += lease.cores * open_max
    return memory, storage, cores


def fits(capacity: Capacity, leases: Iterable[Lease], new: Lease) -> bool:
    """Whether the sum of `new` and of all leases that may overlap it stays within `capacity`."""
    memory, storage, cores = needed_at_once(leases, new)
    return memory <= capacity.memory_bytes and storage <= capacity.storage_bytes and cores <= capacity.cores


def free_share_ppm(capacity: Capacity, leases: Iterable[Lease], new: Lease) -> int:
    """The mean share of memory, storage and cores that stays free beside `new`, once `fits` allowed it."""
    totals = (capacity.memory_bytes, capacity.storage_bytes, capacity.cores)
    pairs = zip(totals, needed_at_once(leases, new), strict=True)
    shares = [max(0, total - used) * 1_000_000 // total for total, used in pairs if total]
    return sum(shares) // len(shares)
