"""Juries: panels of processors that repeat an execution, and whose word is final (spec/job-layer.md §5, ADR 0020).

Whoever opens a panel says what it is about; any processor with a stake may claim a seat, the lowest tickets sit. Jurors
lock twice the reward, commit to a digest, then reveal it. Two thirds on one digest are a verdict; parties may appeal
to the next, larger rung, with a bond that would pay it; a hung rung climbs by itself. After the last word the handler
that opened the panel settles it: only then does anyone win or lose money.

    Claiming -> Committing -> Revealing -> Decided          an audit, or a jury's last rung
        ^____________|____________v |
        |_______________ Appealable |                       hung, or appealed: the next rung

Invariant (`check_state`): the locks of seats are held as JUROR, the bonds of appeals as APPEAL; a manager has one seat
on a panel; a panel that is not decided is awaited by the agenda.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from pallets.agenda import Agenda
from pallets.balances import Balances, HoldReason
from pallets.beacon import Beacon
from pallets.jobs.report import Outcome
from pallets.juries import settlement, tally
from pallets.juries.checks import check_juries
from pallets.juries.errors import (
    AlreadyCommitted,
    AlreadyRevealed,
    CommitmentMismatch,
    Excluded,
    LockNotAvailable,
    NotAJuror,
    NotAParty,
    NotCommitted,
    NotDrawnYet,
    NotEligible,
    SeatsTaken,
    TooEarly,
    WrongStage,
)
from pallets.juries.events import (
    Appealed,
    JurorCommitted,
    JurorRevealed,
    PanelDecided,
    PanelOpened,
    RungEnded,
    SeatClaimed,
    SeatLost,
    StageBegan,
)
from pallets.juries.settlement import Fund, Purse, no_fund
from pallets.juries.store import JuryStore
from pallets.juries.types import (
    JURORS_MAX,
    SEATS_MAX,
    Appeal,
    Dispute,
    JuryParameters,
    Panel,
    PanelHandler,
    PanelKind,
    Seat,
    Stage,
    Verdict,
)
from pallets.parameters import parameters_from
from pallets.processors.pallet import Processors
from pallets.system import System
from runtime.errors import InvariantBroken
from runtime.hashing import blake2b256
from runtime.pallet import Cost, Signed, call
from runtime.scale import U64, Registry
from runtime.state import State
from runtime.types import Hash

PANEL_KIND = 27
"""The agenda's kind: as the pallet's index."""
PPM = 10**6
WHOLE_PANEL = Cost(reads=6 * JURORS_MAX, writes=4 * JURORS_MAX)
"""The worst case of every call: what is due may end the panel, and its handler settle it."""


class Juries(JuryStore):
    """Panels and their seats."""

    def __init__(
        self,
        state: State,
        registry: Registry,
        system: System,
        agenda: Agenda,
        beacon: Beacon,
        balances: Balances,
        processors: Processors,
    ) -> None:
        super().__init__(state, registry, system, agenda, beacon, balances, processors)
        self.handler: PanelHandler | None = None
        agenda.register(PANEL_KIND, self._wake, WHOLE_PANEL.weight_ps)

    def genesis(self, config: Mapping[str, Any]) -> None:
        """The fields of JuryParameters. The ladder must rise, to at most JURORS_MAX seats in all."""
        seats = (0, SEATS_MAX)
        bounds = {
            "seats_first": (3, SEATS_MAX),
            "seats_second": seats,
            "seats_third": seats,
            "draw_delay_blocks": (0, 100),
            "claim_slots": (1, 1_000),
            "commit_grace_slots": (1, 1_000),
            "gap_slots": (0, 100),
            "reveal_slots": (1, 1_000),
            "appeal_slots": (1, 1 << 20),
            "absence_ppm": (0, PPM),
            "era_slots": (1, 1 << 32),
            "treasury_per_era_max": (0, 10**24),
        }
        parameters = parameters_from("juries", JuryParameters(), bounds, config)
        ladder = parameters.ladder()
        if any(lower >= higher for lower, higher in pairwise(ladder)):
            raise ValueError(f"juries: the ladder {ladder} does not rise")
        if sum(ladder) > JURORS_MAX:
            raise ValueError(f"juries: the ladder {ladder} has more than {JURORS_MAX} seats")
        self.parameters.put(parameters)

    # For the pallet that opens panels.

    def register(self, handler: PanelHandler) -> None:
        """At construction: who acts upon verdicts."""
        if self.handler is not None:
            raise TypeError("juries: two handlers")
        self.handler = handler

    def open(self, kind: PanelKind, dispute: Dispute) -> int:
        """Call jurors for a dispute. The panel's id."""
        number = self.next_panel.get()
        self.next_panel.put(number + 1)
        self.emit(PanelOpened(number, kind, dispute.job, dispute.execution, dispute.runtime))
        self._begin_rung(number, Panel(kind, dispute, Stage.CLAIMING, 0, 0, 0, 0, 0, None, (), 0), 0)
        return number

    def settle(self, id: int, digest: bytes | None, fund: Fund = no_fund) -> None:
        """Give locks and appeal bonds back, less what was lost against the true `digest`, and pay who was right.

        For the handler, once per decided panel. `fund` pays from the losing side. With `digest` None nobody knows the
        truth and nobody loses; who did the work gets half from the treasury.
        """
        self.settle_sparing(id, digest, fund).burn()

    def settle_sparing(self, id: int, digest: bytes | None, fund: Fund = no_fund) -> Purse:
        """As `settle`, for an audit that a jury follows: what overruled jurors lost is left to pay that jury from.

        The caller must burn what it does not pay.
        """
        panel = self.panel(id)
        if panel.stage is not Stage.DECIDED:
            raise InvariantBroken(f"juries: panel {id} is settled before it is decided")
        return settlement.settle(self, id, panel, digest, fund)

    # Calls.

    @call(index=0, weight=WHOLE_PANEL, refundable=True)
    def claim(self, origin: Signed, panel: U64) -> None:
        """Ask for a seat; locks twice the reward while one of the lowest tickets is this processor's."""
        found = self._at(panel, Stage.CLAIMING)
        who = origin.who
        seat = Seat(who, self.processors.manager_of(who), self.rank(panel, found, who), None, None)
        bench = self._without_manager(panel, found, seat)
        ranked = sorted((*bench, seat), key=lambda one: (one.rank, one.processor))
        losers = ranked[found.seats :]
        if seat in losers:
            raise SeatsTaken
        lock = self.lock_of(found)
        if self.balances.free(who) - lock < self.balances.existential_deposit:
            raise LockNotAvailable
        self.balances.hold(who, HoldReason.JUROR, lock)
        for loser in losers:
            self._lose_seat(panel, found, loser)
        self.benches.put((panel, found.rung), tuple(ranked[: found.seats]))
        self.emit(SeatClaimed(panel, who))

    @call(index=1, weight=WHOLE_PANEL, refundable=True)
    def commit(self, origin: Signed, panel: U64, commitment: Hash) -> None:
        """Bind oneself to a digest that nobody can read yet."""
        found = self._at(panel, Stage.COMMITTING)
        place, seat = self._seat(panel, found, origin.who)
        if seat.commitment is not None:
            raise AlreadyCommitted
        bench = self._change_seat(panel, found, place, replace(seat, commitment=commitment))
        self.emit(JurorCommitted(panel, origin.who))
        if all(one.commitment is not None for one in bench):
            self._step(panel, found)

    @call(index=2, weight=WHOLE_PANEL, refundable=True)
    def reveal(self, origin: Signed, panel: U64, outcome: Outcome, salt: Hash) -> None:
        """Open the commitment."""
        found = self._at(panel, Stage.REVEALING)
        if self.agenda.now() < found.opens:
            raise TooEarly
        place, seat = self._seat(panel, found, origin.who)
        if seat.commitment is None:
            raise NotCommitted
        if seat.digest is not None:
            raise AlreadyRevealed
        assert self.handler is not None, "panels are opened by the handler"
        digest = self.handler.digest_of(found.dispute, outcome)
        if self.handler.commitment_of(found.dispute, origin.who, digest, salt) != seat.commitment:
            raise CommitmentMismatch
        bench = self._change_seat(panel, found, place, replace(seat, digest=digest))
        self.emit(JurorRevealed(panel, origin.who, digest))
        if all(one.digest is not None for one in bench if one.commitment is not None):
            self._step(panel, found)

    @call(index=3, weight=WHOLE_PANEL, refundable=True)
    def appeal(self, origin: Signed, panel: U64) -> None:
        """A party's objection to the verdict; holds what the next rung would cost."""
        found = self._at(panel, Stage.APPEALABLE)
        if origin.who not in found.dispute.parties:
            raise NotAParty
        assert found.verdict is not None, "there is a verdict to appeal against"
        amount = self.parameters.get().ladder()[found.rung + 1] * found.dispute.reward
        if self.balances.free(origin.who) - amount < self.balances.existential_deposit:
            raise LockNotAvailable
        self.balances.hold(origin.who, HoldReason.APPEAL, amount)
        self.emit(Appealed(panel, origin.who, amount))
        appeals = (*found.appeals, Appeal(origin.who, amount, found.verdict))
        self._begin_rung(panel, replace(found, appeals=appeals), found.rung + 1)

    @call(index=4, weight=WHOLE_PANEL, refundable=True)
    def poke(self, origin: Signed, panel: U64) -> None:
        """Apply what is due for a panel now, without waiting for the chain's own work."""
        self._advance(panel, self.panel(panel))

    # What the calls check.

    def _at(self, id: int, stage: Stage) -> Panel:
        """The panel, after what is due, in this stage: raises PanelNotFound, WrongStage."""
        self._advance(id, self.panel(id))
        found = self.panel(id)
        if found.stage is not stage:
            raise WrongStage
        return found

    def rank(self, id: int, panel: Panel, who: bytes) -> int:
        """⌊ticket / units⌋: raises NotDrawnYet, NotEligible."""
        mix = self.beacon.randomness_at(panel.draw_block)
        if mix is None:
            raise NotDrawnYet
        age = self.parameters.get().advert_age_slots_min
        advert, units = self.processors.adverts.find(who), self.processors.settled_units(who, age)
        if advert is None or not units or panel.dispute.runtime not in advert.runtimes:
            raise NotEligible
        record = self.processors.record_of(who)
        if record.suspended or self.agenda.now() - record.advertised_at < age:
            raise NotEligible
        return ticket(mix, id, panel.rung, who) // units

    def _without_manager(self, id: int, panel: Panel, seat: Seat) -> tuple[Seat, ...]:
        """The present bench without the seat that a better ticket of the same manager takes over: raises Excluded."""
        earlier = (one.manager for rung in range(panel.rung) for one in self.benches.get((id, rung)))
        if seat.manager in panel.dispute.excluded or seat.manager in earlier:
            raise Excluded
        bench = self.benches.get((id, panel.rung))
        same = next((one for one in bench if seat.manager == one.manager), None)
        if same is None:
            return bench
        if (same.rank, same.processor) <= (seat.rank, seat.processor):
            raise Excluded
        self._lose_seat(id, panel, same)
        return tuple(one for one in bench if one is not same)

    def _lose_seat(self, id: int, panel: Panel, seat: Seat) -> None:
        self.balances.release(seat.processor, HoldReason.JUROR, self.lock_of(panel))
        self.emit(SeatLost(id, seat.processor))

    def _seat(self, id: int, panel: Panel, who: bytes) -> tuple[int, Seat]:
        """Raises NotAJuror."""
        for place, seat in enumerate(self.benches.get((id, panel.rung))):
            if seat.processor == who:
                return place, seat
        raise NotAJuror

    def _change_seat(self, id: int, panel: Panel, place: int, seat: Seat) -> tuple[Seat, ...]:
        bench = self.benches.get((id, panel.rung))
        changed = (*bench[:place], seat, *bench[place + 1 :])
        self.benches.put((id, panel.rung), changed)
        return changed

    # Time.

    def _wake(self, id: int, at: int) -> None:
        """The agenda's handler."""
        found = self.panels.find(id)
        if found is None or found.wake != at:
            return
        if not self._advance(id, found):
            self.panels.put(id, replace(found, wake=self.agenda.arm_at(PANEL_KIND, id, 0, found.deadline)))

    def _advance(self, id: int, panel: Panel) -> bool:
        """Apply what is due; whether anything was."""
        due = panel.stage is not Stage.DECIDED and self.agenda.now() >= panel.deadline
        if due:
            self._step(id, panel)
        return due

    def _step(self, id: int, panel: Panel) -> None:
        """Go on to what follows the present stage."""
        parameters, bench = self.parameters.get(), self.benches.get((id, panel.rung))
        needed = tally.reveals_needed(panel.kind, panel.seats, len(bench), last=self._is_last(panel))
        if panel.stage is Stage.APPEALABLE:
            self._decide(id, panel)
        elif panel.stage is Stage.REVEALING:
            self._end_rung(id, panel, None if needed is None else tally.verdict_of(bench, needed))
        elif needed is None:
            self._end_rung(id, panel, None)
        elif panel.stage is Stage.CLAIMING:
            length = 2 * self.agenda.slots_of(panel.dispute.duration_ms) + parameters.commit_grace_slots
            self._begin(id, panel, Stage.COMMITTING, 0, length)
        else:
            self._begin(id, panel, Stage.REVEALING, parameters.gap_slots, parameters.reveal_slots)

    def _begin_rung(self, id: int, panel: Panel, rung: int) -> None:
        parameters = self.parameters.get()
        seats = 1 if panel.kind is PanelKind.AUDIT else parameters.ladder()[rung]
        draw = self.system.number + parameters.draw_delay_blocks
        panel = replace(panel, rung=rung, seats=seats, draw_block=draw, verdict=None)
        self._begin(id, panel, Stage.CLAIMING, 0, parameters.claim_slots)

    def _begin(self, id: int, panel: Panel, stage: Stage, gap: int, length: int) -> None:
        opens = self.agenda.now() + gap
        deadline = opens + length
        wake = self.agenda.arm_at(PANEL_KIND, id, panel.wake, deadline)
        self.panels.put(id, replace(panel, stage=stage, opens=opens, deadline=deadline, wake=wake))
        self.emit(StageBegan(id, stage, panel.rung, panel.seats, opens, deadline))

    def _is_last(self, panel: Panel) -> bool:
        return panel.kind is PanelKind.AUDIT or panel.rung + 1 >= len(self.parameters.get().ladder())

    def _end_rung(self, id: int, panel: Panel, verdict: bytes | None) -> None:
        self.emit(RungEnded(id, panel.rung, verdict))
        panel = replace(panel, verdict=verdict)
        if self._is_last(panel):
            self._decide(id, panel)
        elif verdict is None:
            self._begin_rung(id, panel, panel.rung + 1)
        else:
            self._begin(id, panel, Stage.APPEALABLE, 0, self.parameters.get().appeal_slots)

    def _decide(self, id: int, panel: Panel) -> None:
        """The last word: from here on the panel waits for its settlement."""
        decided = replace(panel, stage=Stage.DECIDED, wake=0)
        self.panels.put(id, decided)
        self.emit(PanelDecided(id, panel.verdict))
        opinions = tuple((seat.processor, tally.opinion_of(seat, panel.verdict)) for seat in self.seats_of(id, panel))
        assert self.handler is not None, "panels are opened by the handler"
        self.handler.decided(id, decided, Verdict(panel.verdict, opinions))

    def check_state(self) -> None:
        check_juries(self)


def ticket(mix: bytes, panel: int, rung: int, who: bytes) -> int:
    """u64(H("jury" ‖ mix ‖ u64 panel ‖ u8 rung ‖ processor))."""
    digest = blake2b256(b"jury" + mix + panel.to_bytes(8, "little") + bytes((rung,)) + who)
    return int.from_bytes(digest[:8], "little")
