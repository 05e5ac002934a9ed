"""finality_* and grandpa_*: how finality stands, and which voters are missing."""

from __future__ import annotations

from typing import Any, Protocol

from node.rpc.methods import Methods


class RoundStateSource(Protocol):
    """What the finality driver tells of itself."""

    def round_state(self) -> dict[str, Any]:
        """Set, round, thresholds, votes seen, and the voters that are missing."""


class FinalityApi:
    """Answers about finality."""

    def __init__(self, finality: RoundStateSource) -> None:
        self.finality = finality

    def register(self, methods: Methods) -> None:
        """Add the methods to the table."""
        methods.register("finality_roundState", self.round_state, aliases=("grandpa_roundState",))

    async def round_state(self) -> dict[str, Any]:
        """The current round: who voted, who is missing, what is lacking."""
        return self.finality.round_state()
