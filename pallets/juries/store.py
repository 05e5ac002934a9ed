"""What Juries keeps, and how its records are found."""

from typing import Annotated

from pallets.agenda import Agenda
from pallets.balances import Balances
from pallets.beacon import Beacon
from pallets.juries.errors import ERRORS, PanelNotFound
from pallets.juries.events import EVENTS
from pallets.juries.types import SEATS_MAX, JuryParameters, Panel, Seat
from pallets.processors.pallet import Processors
from pallets.system import System
from runtime.pallet import Pallet
from runtime.scale import U8, U64, U128, Bounded, Registry
from runtime.state import State
from runtime.storage import TWOX, Map, Value

LOCK_REWARDS = 2
"""A juror locks so many rewards."""


class JuryStore(Pallet):
    """Storage of Juries and the pallets it uses."""

    name, index = "Juries", 27
    events = EVENTS
    errors = ERRORS

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
        super().__init__(state, registry)
        self.system, self.agenda, self.beacon = system, agenda, beacon
        self.balances, self.processors = balances, processors
        self.parameters: Value[JuryParameters] = self.value(
            "Parameters", JuryParameters, JuryParameters(), "Set by the chain spec."
        )
        self.next_panel: Value[int] = self.value("NextPanel", U64, 0, "The id of the next panel.")
        self.panels: Map[int, Panel] = self.map("Panels", U64, Panel, None, "Panels not settled yet.", hasher=TWOX)
        self.benches: Map[tuple[int, int], tuple[Seat, ...]] = self.maps(
            "Benches",
            ((U64, TWOX), (U8, TWOX)),
            Annotated[tuple[Seat, ...], Bounded(SEATS_MAX)],
            (),
            "The seats of a panel's rung, by rank.",
        )
        self.treasury_spent: Value[tuple[int, int]] = self.value(
            "TreasurySpent", tuple[U64, U128], (0, 0), "An era, and what the treasury paid jurors in it."
        )

    def panel(self, id: int) -> Panel:
        """Raises PanelNotFound."""
        found = self.panels.find(id)
        if found is None:
            raise PanelNotFound
        return found

    def lock_of(self, panel: Panel) -> int:
        """What each juror of a panel has at stake."""
        return LOCK_REWARDS * panel.dispute.reward

    def seats_of(self, id: int, panel: Panel) -> list[Seat]:
        """The seats of all rungs so far."""
        return [seat for rung in range(panel.rung + 1) for seat in self.benches.get((id, rung))]
