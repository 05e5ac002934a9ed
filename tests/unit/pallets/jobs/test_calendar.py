"""The calendar's overlap test against every interval written out."""

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pallets.processors.calendar import Capacity, Lease, at_once, fits, free_share_ppm, may_overlap, needed_at_once

leases = st.builds(
    Lease,
    job=st.just(0),
    slot=st.just(0),
    offset_ms=st.integers(0, 60),
    period_ms=st.integers(1, 24),
    length_ms=st.integers(1, 20),
    count=st.integers(1, 8),
    memory_bytes=st.integers(0, 4),
    storage_bytes=st.integers(0, 4),
    cores=st.just(1),
)


def intervals(lease: Lease) -> list[tuple[int, int]]:
    """Start and end of each execution."""
    starts = [lease.offset_ms + n * lease.period_ms for n in range(lease.count)]
    return [(start, start + lease.length_ms) for start in starts]


def overlap(one: Lease, two: Lease) -> bool:
    """Whether any two intervals intersect."""
    return any(a < d and c < b for a, b in intervals(one) for c, d in intervals(two))


@settings(max_examples=1_500)
@given(leases, leases)
def test_no_overlap_is_missed(one: Lease, two: Lease) -> None:
    """Where intervals intersect, may_overlap says so, in both directions."""
    if overlap(one, two):
        assert may_overlap(one, two)
        assert may_overlap(two, one)


@settings(max_examples=500)
@given(leases, leases, st.integers(1, 6))
def test_equal_periods_that_interleave_do_not_overlap(one: Lease, two: Lease, gap: int) -> None:
    """Two regular leases that fill each other's pauses fit beside each other."""
    period = one.length_ms + two.length_ms + gap
    first = Lease(0, 0, one.offset_ms, period, one.length_ms, 8, 0, 0, 1)
    second = Lease(0, 1, one.offset_ms + one.length_ms, period, two.length_ms, 8, 0, 0, 1)
    assert not may_overlap(first, second)


@settings(max_examples=300)
@given(st.lists(leases, max_size=6))
def test_what_fits_never_exceeds_the_capacity_at_any_instant(wanted: list[Lease]) -> None:
    """Leases are taken as long as `fits` allows; then memory, storage and cores are summed at every start."""
    capacity = Capacity(6, 6, 3)
    taken: list[Lease] = []
    for lease in wanted:
        if fits(capacity, taken, lease) and at_once(lease) * lease.period_ms >= lease.length_ms:
            taken.append(lease)
    for moment in {start for lease in taken for start, _ in intervals(lease)}:
        running = [lease for lease in taken for start, end in intervals(lease) if start <= moment < end]
        assert len(running) <= capacity.cores
        assert sum(lease.memory_bytes for lease in running) <= capacity.memory_bytes
        assert sum(lease.storage_bytes for lease in running) <= capacity.storage_bytes


@given(leases)
def test_a_lease_that_overlaps_itself_needs_room_for_each(lease: Lease) -> None:
    """As many as intervals are open at once, at most the four that can be live."""
    assume(lease.count > 1)
    open_at = [sum(start <= moment < end for start, end in intervals(lease)) for moment, _ in intervals(lease)]
    assert at_once(lease) >= min(max(open_at), 4)


def test_the_free_share_is_the_mean_over_the_resources_there_are() -> None:
    """Half the memory, no storage at all, three of four cores left: the mean of two."""
    lease = Lease(0, 0, 0, 10, 5, 1, 50, 0, 1)
    assert free_share_ppm(Capacity(100, 0, 4), (), lease) == (500_000 + 750_000) // 2


@settings(max_examples=1_000)
@given(st.lists(leases, max_size=8), leases)
def test_what_is_needed_at_once_is_the_sum_of_all_that_may_overlap(taken: list[Lease], new: Lease) -> None:
    """The pass over a calendar comes to what the pairwise test says of each lease."""
    together = [new, *(lease for lease in taken if may_overlap(lease, new))]
    assert needed_at_once(taken, new) == (
        sum(lease.memory_bytes * at_once(lease) for lease in together),
        sum(lease.storage_bytes * at_once(lease) for lease in together),
        sum(lease.cores * at_once(lease) for lease in together),
    )
