"""What a rung's reveals come to, as pure functions of its seats (spec/job-layer.md §5)."""

from collections import Counter
from collections.abc import Sequence

from pallets.juries.types import JURORS_MIN, Opinion, PanelKind, Seat


def quorum(seats: int) -> int:
    """How many of so many jurors must reveal: ⌈2n/3⌉."""
    return -(-2 * seats // 3)


def reveals_needed(kind: PanelKind, seats: int, sitting: int, *, last: bool) -> int | None:
    """How many of those who took a seat must reveal; None if too few did, so that the rung says nothing.

    A rung below the last may count on the next one, so its own size is the measure. The last one takes those who came,
    three at least: on a small network there are no more.
    """
    if kind is PanelKind.AUDIT:
        return 1 if sitting else None
    needed = quorum(sitting if last else seats)
    return needed if sitting >= max(JURORS_MIN, needed) else None


def verdict_of(bench: Sequence[Seat], needed: int) -> bytes | None:
    """The digest that at least two thirds of the revealed ones name; None if there is none, or too few revealed."""
    revealed = [seat.digest for seat in bench if seat.digest is not None]
    if len(revealed) < needed:
        return None
    digest, count = Counter(revealed).most_common(1)[0]
    return digest if 3 * count >= 2 * len(revealed) else None


def opinion_of(seat: Seat, digest: bytes | None) -> Opinion:
    """How a seat stands to the final digest. One who committed and did not reveal is taken to have lied.

    While nobody knows the truth, who revealed anything did the work: agreed.
    """
    if seat.digest is None:
        return Opinion.SILENT if seat.commitment is None or digest is None else Opinion.DISSENTED
    return Opinion.AGREED if digest is None or seat.digest == digest else Opinion.DISSENTED
