"""Jurors: claim a seat on a panel when the lot allows it, run the execution again, commit, reveal.

Audits and juries are the same to a juror. Whoever sits must speak - an absent juror is fined - so a seat is claimed
only with script, input and tape at hand, and no more seats than there are workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import trio

from node.processor.duties import Duties
from node.processor.journal import CheckKey
from node.processor.rechecks import Rechecks
from node.processor.reports import digest_of
from node.processor.submitter import Submitter
from pallets.juries.types import Panel, Seat, Stage
from runtime.errors import DispatchError
from runtime.heddle import Heddle

PANELS_SEEN_MAX = 256
"""Panels looked at after each block, besides those on which we sit: others, if there are more, have their turn."""
LOOKS_MAX = 8
"""So often is a part of many panels looked at: long enough to fetch a script and a tape, and to claim."""
SEATS_MAX = 256
"""Own seats that are kept in mind."""


class Jurors:
    """The seats of one processor."""

    def __init__(self, duties: Duties, submitter: Submitter, rechecks: Rechecks) -> None:
        self.duties = duties
        self.submitter = submitter
        self.rechecks = rechecks
        self.account = submitter.account
        self._seats: dict[int, None] = {}
        self._first = 0
        self._looks = 0
        self.panels_seen_max, self.looks_max = PANELS_SEEN_MAX, LOOKS_MAX

    def step(self, runtime: Heddle, nursery: trio.Nursery) -> None:
        """The next step on each panel."""
        panels = list(self._panels(runtime))
        self._go_round([number for number, _, _, seat in panels if seat is not None], len(panels))
        sitting = sum(1 for _, _, _, seat in panels if seat is not None and seat.commitment is None)
        for number, panel, key, seat in panels:
            if panel.stage is Stage.CLAIMING and seat is None:
                if sitting < self.rechecks.executor.workers and self._may_claim(runtime, number, panel, key, nursery):
                    self.submitter.want(("claim", number, panel.rung), "Juries", "claim", number)
            elif seat is not None and panel.stage is Stage.COMMITTING and seat.commitment is None:
                self._commit(runtime, number, key, nursery)
            elif seat is not None and panel.stage is Stage.REVEALING and seat.digest is None:
                self._reveal(runtime, number, panel, key, seat, nursery)

    def wanted(self) -> set[CheckKey]:
        """What panels ask of us at the best and at the final head."""
        found = set()
        for runtime in (self.duties.final(), self.duties.best()):
            found |= {key for _, panel, key, seat in self._panels(runtime) if seat is not None or _is_open(panel)}
        return found

    def _panels(self, runtime: Heddle) -> Iterator[tuple[int, Panel, CheckKey, Seat | None]]:
        panels = dict(islice(runtime.juries.panels.items(), self._first, self._first + self.panels_seen_max))
        for number in self._seats:
            panel = runtime.juries.panels.find(number)
            if panel is not None:
                panels[number] = panel
        for number, panel in panels.items():
            bench = runtime.juries.benches.get((number, panel.rung))
            seat = next((one for one in bench if one.processor == self.account), None)
            yield number, panel, CheckKey(panel.dispute.subject, panel.dispute.execution, number), seat

    def _go_round(self, seats: list[int], seen: int) -> None:
        """Remember our seats; if there are more panels than one look takes, go on to the next of them now and then."""
        self._seats = dict.fromkeys(seats[:SEATS_MAX])
        self._looks += 1
        if self._looks % self.looks_max == 0:
            self._first = self._first + self.panels_seen_max if seen >= self.panels_seen_max else 0

    def _may_claim(self, runtime: Heddle, id: int, panel: Panel, key: CheckKey, nursery: trio.Nursery) -> bool:
        manager = runtime.processors.manager_of(self.account)
        seated = any(seat.manager == manager for seat in runtime.juries.seats_of(id, panel))
        if seated or manager in panel.dispute.excluded:
            return False
        try:
            rank = runtime.juries.rank(id, panel, self.account)
        except DispatchError:
            return False  # not drawn yet, or not for us
        bench = runtime.juries.benches.get((id, panel.rung))
        if len(bench) == panel.seats and (rank, self.account) > (bench[-1].rank, bench[-1].processor):
            return False
        spare = runtime.balances.free(self.account) - runtime.juries.lock_of(panel)
        return spare > runtime.balances.existential_deposit and self.rechecks.can_have(runtime, key, nursery)

    def _commit(self, runtime: Heddle, id: int, key: CheckKey, nursery: trio.Nursery) -> None:
        outcome = self.rechecks.outcome(runtime, key, nursery)
        if outcome is not None:
            spec = runtime.jobs.spec_for(runtime.juries.panel(id).dispute.job, key.execution)
            commitment = self.rechecks.commitment(spec, key, outcome)
            self.submitter.want(("juror_commit", key), "Juries", "commit", id, commitment)

    def _reveal(self, runtime: Heddle, id: int, panel: Panel, key: CheckKey, seat: Seat, nursery: trio.Nursery) -> None:
        """Once no reorganisation can open the commitments of this rung again."""
        if seat.commitment is None or runtime.agenda.now() < panel.opens:
            return
        final = self.duties.final().juries.panels.find(id)
        if final is None or (final.rung, final.stage, final.dispute) != (panel.rung, Stage.REVEALING, panel.dispute):
            return
        outcome = self.rechecks.outcome(runtime, key, nursery)
        if outcome is not None:
            spec = runtime.jobs.spec_for(panel.dispute.job, key.execution)
            salt = self.rechecks.salt(key, digest_of(spec, key.execution, outcome))
            self.submitter.want(("juror_reveal", key), "Juries", "reveal", id, outcome, salt)


def _is_open(panel: Panel) -> bool:
    return panel.stage is Stage.CLAIMING
