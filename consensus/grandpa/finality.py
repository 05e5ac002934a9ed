"""Finality across set changes: the present voter, the sets to come, and justifications from elsewhere.

The set of number s decides up to and including the block that announces its successor; finalising that block begins
set s+1 at round 1 above it (spec/chain.md (c)). A node that is still in an old set asks a peer that is ahead for that
block's justification, because commits of later sets mean nothing to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consensus.authority_set import (
    AuthoritySet,
    ForcedDependency,
    InvalidChange,
    NewSet,
    UnfinalisedAncestor,
    announced_changes,
)
from consensus.grandpa.actions import (
    Action,
    ChangeRefused,
    Finalise,
    KeepJustification,
    Peer,
    RequestJustification,
    Send,
    SetChanged,
)
from consensus.grandpa.chain import BlockRef, ChainView, is_descendant
from consensus.grandpa.messages import (
    CatchUp,
    CatchUpRequest,
    Gossip,
    InvalidCommit,
    Justification,
    Neighbour,
    StoredRound,
    VoteMessage,
    check_justification,
)
from consensus.grandpa.report import RoundReport
from consensus.grandpa.voter import Voter
from consensus.grandpa.voter_set import VoterSet
from consensus.grandpa.voter_state import VoterConfig
from consensus.grandpa.voting_rule import ANCHOR_INTERVAL, is_anchor, next_anchor
from consensus.votes_gate import VotesGate

ASK_EVERY_MS = 2_000
ANCHORS_ASKED_MAX = 16
"""Anchors passed by one commit whose own justifications are asked for."""


class Finality:
    """All of the finality gadget that has no I/O. The methods take what happened and return what to do."""

    def __init__(
        self,
        config: VoterConfig,
        authorities: AuthoritySet,
        finalised: BlockRef,
        chain: ChainView,
        gate: VotesGate,
        stored: StoredRound | None = None,
        must_listen: Callable[[int, VoterSet], bool] | None = None,
    ) -> None:
        self.authorities = authorities
        self._config = config
        self._chain = chain
        self._gate = gate
        self._must_listen = must_listen
        self._asked_until_ms = 0
        self._settled = finalised
        self._voter = self._make_voter(finalised, stored)

    @property
    def set_id(self) -> int:
        """The set that decides now."""
        return self.authorities.set_id

    @property
    def finalised(self) -> BlockRef:
        """The last final block."""
        return self._voter.finalised

    @property
    def round_number(self) -> int:
        """The round being voted on."""
        return self._voter.round_number

    @property
    def voters(self) -> VoterSet:
        """The voters that decide now."""
        return self._voter.voters

    def start(self, now_ms: int) -> list[Action]:
        """Begin, or go on after a restart."""
        return self._settle(self._voter.start(now_ms), now_ms)

    def stop_listening(self, now_ms: int) -> list[Action]:
        """Begin to cast votes."""
        return self._settle(self._voter.stop_listening(now_ms), now_ms)

    def on_message(self, peer: Peer, message: Gossip, now_ms: int) -> list[Action]:
        """Take a notification of a peer."""
        actions = self._voter.on_message(peer, message, now_ms)
        if isinstance(message, Neighbour) and message.set_id > self.set_id:
            actions.extend(self._ask_hand_over(peer, now_ms))
        elif isinstance(message, Neighbour) and message.set_id < self.set_id:
            actions.append(Send(peer, Neighbour(self.round_number, self.set_id, self.finalised.number)))
        return self._settle(actions, now_ms)

    def on_timeout(self, now_ms: int) -> list[Action]:
        """Do what has become due."""
        return self._settle(self._voter.on_timeout(now_ms), now_ms)

    def on_new_block(self, block: BlockRef, now_ms: int) -> list[Action]:
        """A block was imported and is in the chain view."""
        return self.on_new_blocks([block], now_ms)

    def on_new_blocks(self, blocks: Sequence[BlockRef], now_ms: int) -> list[Action]:
        """Blocks were imported, parents first. All that is in the chain view must have been told before other inputs.

        Their changes of voters are noted before any of them is voted on: a vote must not pass a change that is here.
        """
        actions: list[Action] = []
        for block in blocks:
            actions.extend(self._take_changes(block, now_ms))
        for block in blocks:
            actions.extend(self._voter.on_new_block(block, now_ms))
        return self._settle(actions, now_ms)

    def remember(self, justification: Justification) -> None:
        """At start: the stored justification of the last final block is the commit that new peers are told."""
        self._voter.remember(justification)

    def on_justification(self, justification: Justification, now_ms: int) -> list[Action]:
        """Take a justification that came with a block or on request.

        Raises InvalidCommit, changing nothing, when it does not hold for the present set or contradicts what is
        final.
        """
        target = justification.commit.target
        if self._chain.number(target.hash) != target.number:
            raise InvalidCommit("target: is unknown or has another height")
        check_justification(justification, self.set_id, self._voter.voters, self._config.verify)
        if target.number <= self.finalised.number:
            if not is_descendant(self._chain, target, self.finalised):
                raise InvalidCommit("target: contradicts the finalised chain")
            return [KeepJustification(target, justification)]
        if not is_descendant(self._chain, self.finalised, target):
            raise InvalidCommit("target: contradicts the finalised chain")
        limit = self.limit(target)
        if limit is not None and target.number > limit:
            raise InvalidCommit(f"target: lies beyond the change of voters at {limit}")
        mandatory = self.enacts(target) or is_anchor(target.number)
        finalise = Finalise(target, justification, self.set_id, mandatory)
        return self._settle([finalise, *self._voter.on_finalised(target, now_ms)], now_ms)

    def on_catch_up(self, peer: Peer, catch_up: CatchUp | None, now_ms: int) -> list[Action]:
        """Take the answer to a RequestCatchUp; None when it failed."""
        return self._settle(self._voter.on_catch_up(peer, catch_up, now_ms), now_ms)

    def on_peer_up(self, peer: Peer) -> list[Action]:
        """Greet a new peer."""
        return self._voter.on_peer_up(peer)

    def on_peer_down(self, peer: Peer) -> None:
        """Forget a peer."""
        self._voter.on_peer_down(peer)

    def answer_catch_up(self, request: CatchUpRequest) -> CatchUp | None:
        """Return the votes of the last completed round, if they serve the request."""
        return self._voter.answer_catch_up(request)

    def votes_of(self, key: bytes) -> list[VoteMessage]:
        """Return the votes of a key that we hold."""
        return self._voter.votes_of(key)

    def report(self) -> RoundReport:
        """Return the state of the current round and who is missing."""
        return self._voter.report()

    def limit(self, head: BlockRef) -> int | None:
        """Return the height this set must not vote beyond on the chain of `head`."""
        return self.authorities.limit(head, self._is_descendant)

    def enacts(self, block: BlockRef) -> bool:
        """Whether finalising `block` ends this set."""
        return self.authorities.enacts(block, self._is_descendant)

    def _is_descendant(self, ancestor: BlockRef, block: BlockRef) -> bool:
        return is_descendant(self._chain, ancestor, block)

    def _make_voter(self, finalised: BlockRef, stored: StoredRound | None) -> Voter:
        voters = VoterSet(self.authorities.authorities)
        listening = self._must_listen is not None and self._must_listen(self.set_id, voters)
        return Voter(
            self._config,
            self.set_id,
            voters,
            finalised,
            self._chain,
            self,
            self._gate,
            stored,
            listening=listening,
        )

    def _take_changes(self, block: BlockRef, now_ms: int) -> list[Action]:
        """Take the changes that a block announces, and a forced one that its height brings in."""
        header = self._chain.header(block.hash)
        actions: list[Action] = []
        try:
            for change in [] if header is None else announced_changes(header):
                VoterSet(change.authorities)
                self.authorities.announce(change, self._is_descendant)
        except (InvalidChange, ValueError) as error:
            actions.append(ChangeRefused(block, str(error)))
        best = self._chain.best_containing(self.finalised.hash)
        try:
            new = None if best is None else self.authorities.apply_forced(best, self.finalised, self._is_descendant)
        except ForcedDependency as error:
            return [*actions, ChangeRefused(block, str(error))]
        return actions if new is None else actions + self._enter_set(new, now_ms, forced=True)

    def _settle(self, actions: list[Action], now_ms: int) -> list[Action]:
        """Follow the finalised blocks among the actions through the authority set."""
        settled: list[Action] = []
        for action in actions:
            settled.append(action)
            if not isinstance(action, Finalise):
                continue
            settled.extend(self._ask_anchors(self._settled, action.block))
            self._settled = action.block
            try:
                new = self.authorities.finalise(action.block, self._is_descendant)
            except UnfinalisedAncestor as error:
                raise InvalidCommit(f"target: {error}") from error
            if new is not None:
                settled.extend(self._enter_set(new, now_ms, forced=False))
        return settled

    def _enter_set(self, new: NewSet, now_ms: int, *, forced: bool) -> list[Action]:
        self._asked_until_ms = 0
        self._voter = self._make_voter(new.base, None)
        return [SetChanged(new, forced), *self._settle(self._voter.start(now_ms), now_ms)]

    def _ask_hand_over(self, peer: Peer, now_ms: int) -> list[Action]:
        """Ask a peer of a later set for the justification of the block that ends ours."""
        head = self._chain.best_containing(self.finalised.hash)
        limit = None if head is None else self.limit(head)
        if head is None or limit is None or head.number < limit or now_ms < self._asked_until_ms:
            return []
        block = self._chain.ancestor_at(head.hash, limit)
        if block is None:
            return []
        self._asked_until_ms = now_ms + ASK_EVERY_MS
        return [RequestJustification(peer, BlockRef(limit, block))]

    def _ask_anchors(self, before: BlockRef, after: BlockRef) -> list[Action]:
        """Ask for the justifications of the anchors that one step of finality passed over."""
        heights = range(next_anchor(before.number), after.number, ANCHOR_INTERVAL)[-ANCHORS_ASKED_MAX:]
        blocks = ((height, self._chain.ancestor_at(after.hash, height)) for height in heights)
        return [RequestJustification("", BlockRef(height, block)) for height, block in blocks if block is not None]
