"""What the voter wants done. The caller performs the actions of one list in order, each before the next.

Order matters for Persist and PersistRound: they come before the messages that depend on them, and when writing fails
nothing after them may be done.
"""

from __future__ import annotations

from dataclasses import dataclass

from consensus.authority_set import NewSet
from consensus.grandpa.chain import BlockRef
from consensus.grandpa.messages import (
    CatchUpRequest,
    CommitMessage,
    EquivocationProof,
    Gossip,
    Justification,
    StoredRound,
)
from consensus.votes_gate import Record

Peer = str


class Action:
    """Base of everything a voter asks for."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Persist(Action):
    """Append to the vote file and sync it, before anything that follows."""

    record: Record


@dataclass(frozen=True, slots=True)
class PersistRound(Action):
    """Store the completed round, synced, before anything that follows."""

    stored: StoredRound


@dataclass(frozen=True, slots=True)
class Broadcast(Action):
    """Send to all peers but `skip`, from which it came."""

    message: Gossip
    skip: Peer | None = None


@dataclass(frozen=True, slots=True)
class Send(Action):
    """Send to one peer."""

    peer: Peer
    message: Gossip


@dataclass(frozen=True, slots=True)
class SetTimer(Action):
    """Call `on_timeout` at this time. It replaces the timer set before."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Finalise(Action):
    """The block and all below it are final. A mandatory justification is kept for ever, others may be replaced."""

    block: BlockRef
    justification: Justification
    set_id: int
    mandatory: bool


@dataclass(frozen=True, slots=True)
class KeepJustification(Action):
    """A justification of a block that is final already, and that had none."""

    block: BlockRef
    justification: Justification


@dataclass(frozen=True, slots=True)
class SetChanged(Action):
    """A new set of voters took over."""

    new: NewSet
    forced: bool


@dataclass(frozen=True, slots=True)
class ReportEquivocation(Action):
    """A voter voted twice: put the proof on chain."""

    proof: EquivocationProof


@dataclass(frozen=True, slots=True)
class RequestCatchUp(Action):
    """Ask a peer for the votes of a round it has completed; answer with `on_catch_up`."""

    peer: Peer
    request: CatchUpRequest
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class RequestJustification(Action):
    """Ask a peer, or any when it is "", for the justification of a block; answer with `on_justification`."""

    peer: Peer
    block: BlockRef


@dataclass(frozen=True, slots=True)
class WantBlock(Action):
    """A vote or commit names a block that is not here.

    `peer` sent it and should have it; it is "" when asking that one did not help.
    """

    peer: Peer
    block: BlockRef


@dataclass(frozen=True, slots=True)
class Penalise(Action):
    """Lower a peer's reputation."""

    peer: Peer
    amount: int
    reason: str


@dataclass(frozen=True, slots=True)
class KeyUsedElsewhere(Action):
    """Someone else signs with our key: voting has stopped in this set."""

    record: Record


@dataclass(frozen=True, slots=True)
class ConflictingFinality(Action):
    """A valid commit contradicts what is final here: more than a third of the voters are dishonest."""

    commit: CommitMessage


@dataclass(frozen=True, slots=True)
class ChangeRefused(Action):
    """An imported block announces a change of voters that cannot be taken."""

    block: BlockRef
    reason: str
