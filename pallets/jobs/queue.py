"""The queue of jobs that wait for processors: by priority, which age makes up for, and oldest first.

A job's place is its priority plus one for every AGEING_SLOTS that it has waited; of equals the one that has waited
longest comes first (spec/job-layer.md §4). Each priority has its own line, a linked list in the order of arrival, so
that entering and leaving touch a few records however long the queue is; the order of all is a merge of the lines'
heads. A job stands in one line at most. Beside the lines the waiting jobs are a dense list, by which a search can go
round all of them, so that jobs which nobody can take do not keep the others from being looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pallets.jobs.bounds import PRIORITY_MAX
from runtime.pallet import Pallet
from runtime.records import replace
from runtime.scale import U8, U32, U64, Bounded
from runtime.storage import TWOX, Map, Value

AGEING_SLOTS = 300
"""So long a job has to wait to be worth one priority more (spec/job-layer.md §4)."""


@dataclass(frozen=True, slots=True)
class Line:
    """The jobs of one priority, in the order of their arrival."""

    priority: U8
    first: U64
    last: U64


Lines = Annotated[tuple[Line, ...], Bounded(PRIORITY_MAX + 1)]
"""One for each priority that somebody waits with, ascending."""


@dataclass(frozen=True, slots=True)
class Place:
    """A job's place in its line. `since`: from when on it waits, in A."""

    priority: U8
    since: U64
    before: U64 | None
    after: U64 | None


@dataclass(frozen=True, slots=True)
class LaneRecord:
    """How many jobs of a lane are live and not waiting, and those that wait."""

    under_way: U32 = 0
    waiting: Lines = ()


class JobQueue:
    """The lines and the dense list, stored with the pallet that owns the jobs."""

    def __init__(self, pallet: Pallet) -> None:
        self.places: Map[int, Place] = pallet.map("Places", U64, Place, None, "Where a job stands.", hasher=TWOX)
        self.lines: Value[tuple[Line, ...]] = pallet.value("OpenLines", Lines, (), "Jobs with a vacant slot, in line.")
        self.count: Value[int] = pallet.value("OpenCount", U32, 0, "Jobs with a vacant slot.")
        self.at: Map[int, int] = pallet.map("OpenAt", U32, U64, None, "Those jobs, a dense list.", hasher=TWOX)
        self.index: Map[int, int] = pallet.map("OpenIndex", U64, U32, None, "Their place in it.", hasher=TWOX)

    def __contains__(self, id: int) -> bool:
        return self.index.contains(id)

    def enter(self, id: int, priority: int, clock: int) -> None:
        """A job begins to wait."""
        count = self.count.get()
        self.at.put(count, id)
        self.index.put(id, count)
        self.count.put(count + 1)
        self.lines.put(self.join(self.lines.get(), id, priority, clock))

    def leave(self, id: int) -> None:
        """A job that waits does so no more. The dense list's last entry moves to the place that becomes free."""
        place, last = self.index.get(id), self.count.get() - 1
        moved = self.at.get(last)
        self.at.put(place, moved)
        self.index.put(moved, place)
        self.at.remove(last)
        self.index.remove(id)
        self.count.put(last)
        self.lines.put(self.quit(self.lines.get(), id))

    def in_order(self, clock: int) -> Iterator[int]:
        """The waiting jobs, best place first. Each step reads one place and compares the lines' heads."""
        return self.merged(self.lines.get(), clock)

    def going_round(self, start: int) -> Iterator[int]:
        """The waiting jobs once, from this place of the dense list on."""
        count = self.count.get()
        return (self.at.get((start + n) % count) for n in range(count))

    # Lines: also for the pallet's own, of jobs that wait for other reasons.

    def join(self, lines: tuple[Line, ...], id: int, priority: int, clock: int) -> tuple[Line, ...]:
        """The lines with a job at the end of its own."""
        line = next((line for line in lines if line.priority == priority), None)
        if line is None:
            self.places.put(id, Place(priority, clock, None, None))
            return tuple(sorted((*lines, Line(priority, id, id)), key=lambda one: one.priority))
        self.places.put(line.last, replace(self.places.get(line.last), after=id))
        self.places.put(id, Place(priority, clock, line.last, None))
        return tuple(replace(one, last=id) if one is line else one for one in lines)

    def quit(self, lines: tuple[Line, ...], id: int) -> tuple[Line, ...]:
        """The lines without a job that stands in one of them."""
        place = self.places.get(id)
        self.places.remove(id)
        if place.before is not None:
            self.places.put(place.before, replace(self.places.get(place.before), after=place.after))
        if place.after is not None:
            self.places.put(place.after, replace(self.places.get(place.after), before=place.before))
        line = next(line for line in lines if line.priority == place.priority)
        first = place.after if line.first == id else line.first
        last = place.before if line.last == id else line.last
        if first is None or last is None:
            return tuple(one for one in lines if one is not line)
        return tuple(Line(line.priority, first, last) if one is line else one for one in lines)

    def merged(self, lines: tuple[Line, ...], clock: int) -> Iterator[int]:
        """The jobs of some lines, best place first."""
        heads = {line.first: self.places.get(line.first) for line in lines}
        while heads:
            best = min(heads, key=lambda job: rank(heads[job], clock, job))
            yield best
            after = heads.pop(best).after
            if after is not None:
                heads[after] = self.places.get(after)


def rank(place: Place, clock: int, id: int) -> tuple[int, int, int]:
    """Lower is better: priority and age, then who waits longest. Of one line only the first is compared, so that jobs
    that entered it in one slot stand in the order in which they came.
    """
    return -(place.priority + max(0, clock - place.since) // AGEING_SLOTS), place.since, id
