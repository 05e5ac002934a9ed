"""Why a job is not placed: the rejections so far, and every processor's reason now."""

from dataclasses import dataclass
from itertools import islice

from pallets.jobs.records import LIVE_STATES, SlotState
from pallets.matching.pallet import Matching
from pallets.matching.types import Reason

PROCESSORS_ASKED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Explanation:
    """`so_far`: rejections counted on chain, by reason. `now`: processors by their present reason, for one slot.

    `eligible`: how many would be taken now. `slot` is the vacant one that was asked for, None if there is none.
    """

    slot: int | None
    eligible: int
    now: dict[str, int]
    so_far: dict[str, int]


def explain(matching: Matching, job: int) -> Explanation | None:
    """None if there is no such job. Reads at most 1,000 adverts."""
    jobs = matching.jobs
    record = jobs.jobs.find(job)
    if record is None:
        return None
    counts = jobs.rejections.get(job)
    so_far = {Reason(n).name.lower(): count for n, count in enumerate(counts) if count}
    vacant = [number for number, slot in jobs.slots_of(job) if slot.state is SlotState.VACANT]
    if record.state not in LIVE_STATES or not vacant:
        return Explanation(None, 0, {}, so_far)
    seat, parameters = matching.eligibility.seat(job, vacant[0]), matching.parameters.get()
    now: dict[str, int] = {}
    eligible = 0
    for who, _advert in islice(matching.processors.adverts.items(), PROCESSORS_ASKED_MAX):
        judged = matching.eligibility.judge(parameters, seat, who, 0, None)
        if isinstance(judged, Reason):
            name = judged.name.lower()
            now[name] = now.get(name, 0) + 1
        else:
            eligible += 1
    return Explanation(vacant[0], eligible, now, so_far)
