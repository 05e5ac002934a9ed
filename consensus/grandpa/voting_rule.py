"""How far to vote and when (spec/chain.md (h)).

T = clamp(slot / 10, 50, 333 ms): what a message needs to reach everyone. Prevote at 2 T, precommit at 4 T of a round.
"""

from __future__ import annotations

from dataclasses import dataclass

GOSSIP_MS_MIN = 50
GOSSIP_MS_MAX = 333
HOLD_SLOTS = 10
"""A prevote with nothing to finalise waits at most so long."""
ANCHOR_INTERVAL = 512
"""Heights divisible by this get a justification of their own: no vote passes the next one."""
REPEAT_GOSSIPS = 10
"""A round that is stuck repeats its votes after 10 T, then after twice as long each time."""
REPEAT_GOSSIPS_MAX = 80


@dataclass(frozen=True, slots=True)
class Timing:
    """The durations of a chain with this slot. A lone voter waits for nobody."""

    slot_ms: int
    gossip_ms: int

    @staticmethod
    def of(slot_ms: int, voters: int) -> Timing:
        """Return the durations for a slot length and a number of voters."""
        gossip = min(max(slot_ms // 10, GOSSIP_MS_MIN), GOSSIP_MS_MAX)
        return Timing(slot_ms, gossip if voters > 1 else 0)

    @property
    def prevote_ms(self) -> int:
        """From the start of a round to the prevote."""
        return 2 * self.gossip_ms

    @property
    def precommit_ms(self) -> int:
        """From the start of a round to the precommit."""
        return 4 * self.gossip_ms

    @property
    def commit_delay_ms(self) -> int:
        """Upper end of the random delay before a commit is sent."""
        return 2 * self.gossip_ms

    @property
    def hold_ms(self) -> int:
        """How long a prevote waits for something to finalise."""
        return HOLD_SLOTS * self.slot_ms

    def repeat_ms(self, repeats: int) -> int:
        """Return the wait before the next repetition of a stuck round's votes."""
        factor = min(REPEAT_GOSSIPS << min(repeats, 8), REPEAT_GOSSIPS_MAX)
        return factor * max(self.gossip_ms, GOSSIP_MS_MIN)


def next_anchor(finalised_number: int) -> int:
    """Return the first anchor above a finalised height."""
    return (finalised_number // ANCHOR_INTERVAL + 1) * ANCHOR_INTERVAL


def is_anchor(number: int) -> bool:
    """Whether a block at this height gets a justification of its own."""
    return number > 0 and number % ANCHOR_INTERVAL == 0


def target_number(best: int, finalised: int, limit: int | None) -> int:
    """Return the height to vote for on a chain with head `best`.

    best - (best - finalised) // 4: the head itself while finality keeps up, three quarters of the way when it lags;
    never past the first pending change (`limit`) or the next anchor.
    """
    target = best - max(0, best - finalised) // 4
    target = min(target, next_anchor(finalised))
    return target if limit is None else min(target, limit)
