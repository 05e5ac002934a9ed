"""One voter among scripted others: messages in, actions out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from consensus.authority_set import Authorities, AuthoritySet
from consensus.grandpa.actions import Action, Broadcast, Finalise
from consensus.grandpa.chain import BlockRef, is_descendant
from consensus.grandpa.finality import Finality
from consensus.grandpa.messages import Gossip, Precommit, Prevote, StoredRound, VoteMessage
from consensus.grandpa.vote_graph import Phase
from consensus.grandpa.voter_state import VoterConfig
from consensus.votes_gate import VotesGate
from runtime.types import Header
from tests.helpers.block_tree import GENESIS_REF, BlockTree
from tests.helpers.keyed_hash import own_key, public_of, verify
from tests.helpers.votes import NAMES, gossip

SLOT_MS = 1_000
T_MS = 100
A = TypeVar("A", bound=Action)


def authorities(count: int) -> Authorities:
    """The first names, each of weight one."""
    return tuple((public_of(name), 1) for name in NAMES[:count])


class VoterScene:
    """Alice's finality among `count` voters; the others say what the test tells them to."""

    def __init__(
        self,
        headers: Sequence[Header] = (),
        count: int = 4,
        *,
        name: str = "alice",
        gate: VotesGate | None = None,
        stored: StoredRound | None = None,
        finalised: BlockRef = GENESIS_REF,
        now_ms: int = 0,
        listening: bool = False,
    ) -> None:
        self.tree = BlockTree()
        self.tree.add(*headers)
        self.set = AuthoritySet(0, authorities(count))
        if finalised != GENESIS_REF:
            self.tree.finalise(finalised)
        self.gate = gate or VotesGate()
        config = VoterConfig(SLOT_MS, (own_key(name),), verify, _never_wait)
        self.finality = Finality(config, self.set, finalised, self.tree, self.gate, stored, lambda *_: listening)
        self.now_ms = now_ms
        self.log: list[Action] = []
        self.keep(self.finality.start(now_ms))

    def below(self, ancestor: BlockRef, block: BlockRef) -> bool:
        """Descent, as the authority set asks it."""
        return is_descendant(self.tree, ancestor, block)

    def keep(self, actions: list[Action]) -> list[Action]:
        """Note actions, and let the chain follow what they finalise."""
        self.log.extend(actions)
        for action in actions:
            if isinstance(action, Finalise):
                self.tree.finalise(action.block)
        return actions

    def wait(self, duration_ms: int) -> list[Action]:
        """Let time pass; the timer fires once at the end."""
        self.now_ms += duration_ms
        return self.keep(self.finality.on_timeout(self.now_ms))

    def hear(self, message: Gossip, peer: str = "peer") -> list[Action]:
        """A peer sends something."""
        return self.keep(self.finality.on_message(peer, message, self.now_ms))

    def others(self, phase: Phase, block: BlockRef, names: Sequence[str] = NAMES[1:4], round_number: int = 1) -> None:
        """Others vote."""
        for name in names:
            self.hear(gossip(name, phase, block, round_number, self.finality.set_id))

    def block(self, *headers: Header) -> list[Action]:
        """Blocks are imported."""
        actions: list[Action] = []
        for header in headers:
            block = self.tree.add(header)
            actions.extend(self.keep(self.finality.on_new_block(block, self.now_ms)))
        return actions

    def did(self, kind: type[A]) -> list[A]:
        """The actions of one kind so far."""
        return [action for action in self.log if isinstance(action, kind)]

    def votes(self, kind: type[Prevote | Precommit]) -> list[tuple[int, int]]:
        """(round, height) of the own votes sent so far."""
        sent = [action.message for action in self.did(Broadcast) if action.skip is None]
        own = [message for message in sent if isinstance(message, VoteMessage)]
        return [(vote.round, vote.signed.block.number) for vote in own if isinstance(vote.signed.message, kind)]


def _never_wait(_limit: int) -> int:
    """Chance that always takes the first choice."""
    return 0
