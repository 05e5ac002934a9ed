"""Beacon: randomness that no single author chooses (spec/chain.md (b)).

Every block reveals one link of its author's hash chain; the mix of all reveals is the beacon. The author's chain is
kept by the commitment in its session keys, so it survives leaving and coming back. Everything here looks at the
parent's state (author, session), so Beacon must run `on_initialize` before Session does.

Whoever holds the last k slots before a seed chooses among 2^k outcomes at the price of k blocks: bound what one draw
decides. With a single validator the beacon is predictable by that validator.

Invariant (`check_state`): one commitment per authority, no chain longer than L, exactly one mix per kept height.
"""

from dataclasses import dataclass
from typing import Annotated

from pallets.system import System
from runtime.beacon import (
    CHAIN_LENGTH,
    Chain,
    InvalidReveal,
    Reveal,
    apply_reveal,
    draw_delay,
    draw_seed,
    next_mix,
)
from runtime.errors import BlockFault, InvalidBlock, InvariantBroken
from runtime.pallet import Event, Pallet
from runtime.scale import U32, Bounded, Registry
from runtime.state import State
from runtime.storage import TWOX, Map, Value
from runtime.types import BEACON_ENGINE, ZERO_HASH, Hash, PreRuntime
from runtime.weight import cost_ps

MIX_HISTORY = 1_024
"""Mixes kept: the value at height h lies in slot h mod 1,024."""
AUTHORITIES_MAX = 64
INITIALIZE_WEIGHT_PS = cost_ps(reads=4, writes=2)


@dataclass(slots=True)
class CommitmentAnnounced(Event):
    """An author announced the commitment of its next hash chain."""

    commitment: Hash
    next_commitment: Hash


@dataclass(slots=True)
class ChainSwitched(Event):
    """An author went over to the hash chain it had announced."""

    commitment: Hash


class Beacon(Pallet):
    """Reveals, mixes and draws."""

    name, index = "Beacon", 7
    events = (CommitmentAnnounced, ChainSwitched)

    def __init__(self, state: State, registry: Registry, system: System) -> None:
        super().__init__(state, registry)
        self.system = system
        commitments_hint = Annotated[tuple[Hash, ...], Bounded(AUTHORITIES_MAX)]
        self.commitments: Value[tuple[bytes, ...]] = self.value(
            "Commitments", commitments_hint, (), "The commitment of each authority, in the order of Aura.Authorities."
        )
        self.session: Value[int] = self.value("Session", U32, 0, "The session that the next block's reveal counts in.")
        self.chains: Map[bytes, Chain] = self.map(
            "Chains", Hash, Chain, None, "The hash chain that began with a commitment; absent while unused."
        )
        self.mixes: Map[int, bytes] = self.map(
            "Mixes", U32, Hash, ZERO_HASH, "The mix at height h, under h mod 1024.", hasher=TWOX
        )
        self.seen = 0
        """The block whose reveal was taken last: Session insists that this is the present one."""
        self.constant("ChainLength", U32, CHAIN_LENGTH, "Reveals of one commitment.")
        self.constant("MixHistory", U32, MIX_HISTORY, "Heights whose mix is kept.")

    def on_initialize(self, number: int, slot: int) -> int:
        """Check the block's reveal and fold it into the mix. Raises InvalidBlock(REVEAL)."""
        self.seen = number
        commitment = self.author_commitment(slot)
        if commitment is None:
            raise InvalidBlock(BlockFault.REVEAL, "no authority has a commitment")
        chain = self.chain(commitment)
        try:
            reveal = self._reveal()
            after = apply_reveal(chain, reveal, self.session.get())
        except InvalidReveal as error:
            raise InvalidBlock(BlockFault.REVEAL, str(error)) from error
        self.chains.put(commitment, after)
        self.mixes.put(number % MIX_HISTORY, next_mix(self.mixes.get((number - 1) % MIX_HISTORY), reveal.value))
        if reveal.commitment is not None:
            self.emit(CommitmentAnnounced(commitment, reveal.commitment))
        if after.left > chain.left or chain.left == 0:
            self.emit(ChainSwitched(commitment))
        return INITIALIZE_WEIGHT_PS

    def _reveal(self) -> Reveal:
        items = [i for i in self.system.digest_value.get().logs if isinstance(i, PreRuntime)]
        data = [item.data for item in items if item.engine == BEACON_ENGINE]
        if len(data) != 1:
            raise InvalidReveal(f"BCN0: {len(data)} items in the digest, exactly one expected")
        return Reveal.decode(data[0])

    # For other pallets and for authors.

    def author_commitment(self, slot: int) -> bytes | None:
        """The commitment in the session keys of the author of `slot` in a child of this state."""
        commitments = self.commitments.get()
        return commitments[slot % len(commitments)] if commitments else None

    def chain(self, commitment: bytes) -> Chain:
        """The chain that began with `commitment`, whole if nothing of it was revealed yet."""
        return self.chains.find(commitment) or Chain(commitment, CHAIN_LENGTH)

    def current(self) -> bytes:
        """The mix of the parent block."""
        return self.mixes.get((self.system.number - 1) % MIX_HISTORY) if self.system.number else ZERO_HASH

    def randomness_at(self, height: int) -> bytes | None:
        """The mix at `height`: None above this block, or further back than the history."""
        if height < 0 or not self.system.number - MIX_HISTORY < height <= self.system.number:
            return None
        return self.mixes.get(height % MIX_HISTORY)

    def draw_height(self) -> int:
        """The height whose mix decides a draw that is committed now. Keep it with the subject: D may change later."""
        return self.system.number + draw_delay(len(self.commitments.get()))

    def draw(self, height: int, subject: bytes) -> bytes | None:
        """The seed of the draw about `subject` decided at `height` (from `draw_height`); None while it is not known.

        Also None once `height` has left the history: whoever commits to a draw collects it within 1,024 blocks.
        """
        mix = self.randomness_at(height)
        return None if mix is None else draw_seed(mix, subject)

    def rotate(self, session: int, commitments: tuple[bytes, ...]) -> None:
        """For Session: `session` begins, with the commitments of its authorities."""
        self.session.put(session)
        if commitments != self.commitments.get():
            self.commitments.put(commitments)

    def check_state(self) -> None:
        for commitment, chain in self.chains.items():
            if chain.left >= CHAIN_LENGTH:
                raise InvariantBroken(f"beacon: chain 0x{commitment.hex()} has {chain.left} reveals left")
        expected = min(self.system.number, MIX_HISTORY)
        kept = sum(1 for _ in self.mixes.items())
        if kept != expected:
            raise InvariantBroken(f"beacon: {kept} mixes kept at height {self.system.number}, expected {expected}")
