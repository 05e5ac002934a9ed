"""Sortition: a lottery among staked processors, so that no matcher chooses freely who works on a public job.

A ticket is drawn for each processor from the beacon after the place became free. It wins a chance if it lies below a
limit that grows with the processor's units of stake and with the time that the place has waited: about four processors
a place at first, twice as many with each step. Splitting a stake among accounts gains nothing up to the cap of units.
Where results are compared, the lowest ticket per unit also decides who gets the place (spec/job-layer.md §4 (10)).
"""

from runtime.hashing import blake2b256

TICKET_BITS = 64
TICKET_MAX = (1 << TICKET_BITS) - 1
ELIGIBLE_PER_SLOT = 4
DOUBLINGS_MAX = TICKET_BITS
"""More can change nothing: the limit is full by then."""


def seed_of(draw: bytes, job_hash: bytes, slot: int, generation: int) -> bytes:
    """H("sort" ‖ draw ‖ job ‖ slot ‖ generation): what the tickets for one place are drawn from."""
    return blake2b256(b"sort" + draw + job_hash + bytes((slot,)) + generation.to_bytes(4, "little"))


def ticket_of(seed: bytes, processor: bytes) -> int:
    """u64(H(seed ‖ processor)): the lower, the better."""
    return int.from_bytes(blake2b256(seed + processor)[:8], "little")


def limit_of(slots: int, units: int, total_units: int, doublings: int) -> int:
    """The ticket of a processor with `units` must lie below this. `total_units` are those of all adverts."""
    share = (1 << TICKET_BITS) * ELIGIBLE_PER_SLOT * slots // max(total_units, 1)
    return min(TICKET_MAX, share * units << min(doublings, DOUBLINGS_MAX))


def weighed(ticket: int, units: int) -> int:
    """⌊ticket / units⌋: by this the lowest wins. `units` ≥ 1."""
    return ticket // units
