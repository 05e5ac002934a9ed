"""What voters sign and send, and how a stranger checks a justification.

Formats are Substrate's (reference/substrate.md §4): the signed payload is SCALE(Message) ‖ u64 round ‖ u64 set id; a
justification is {round, commit, headers that connect the votes to the commit's target}.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from consensus.grandpa.chain import BlockRef, HeaderMap, ParentLookup
from consensus.grandpa.vote_graph import NotDescendant, Phase, VoteGraph
from consensus.grandpa.voter_set import VOTERS_MAX, VoterSet
from runtime.scale import U32, U64, Bounded, Fixed, SumType, codec_of, variant
from runtime.types import Hash, Header

Signature = Annotated[bytes, Fixed(64)]
VoterKey = Annotated[bytes, Fixed(32)]

VOTES_MAX = 2 * VOTERS_MAX
"""Votes of one kind in a round: an equivocator counts with two."""
ANCESTRY_MAX = 4096
"""Headers in a justification; voters stop at the next anchor, 512 blocks above the last finalised one at most."""

Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> whether the signature is good."""


class InvalidCommit(ValueError):
    """The commit does not prove that its target is final; the message names the rule it breaks."""


class Message(SumType):
    """What a voter says about a block."""

    __slots__ = ()
    target_hash: Hash
    target_number: int


@variant(0)
@dataclass(frozen=True, slots=True)
class Prevote(Message):
    """The best chain as the voter sees it."""

    target_hash: Hash
    target_number: U32


@variant(1)
@dataclass(frozen=True, slots=True)
class Precommit(Message):
    """The block that a supermajority prevoted."""

    target_hash: Hash
    target_number: U32


@variant(2)
@dataclass(frozen=True, slots=True)
class Propose(Message):
    """The primary's reminder of the last round's estimate."""

    target_hash: Hash
    target_number: U32


@dataclass(frozen=True, slots=True)
class Target:
    """The block that a vote names."""

    hash: Hash
    number: U32

    @property
    def block(self) -> BlockRef:
        """The same block as the graph names it."""
        return BlockRef(self.number, self.hash)


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """A message with its voter's signature."""

    message: Message
    signature: Signature
    voter: VoterKey

    @property
    def block(self) -> BlockRef:
        """The block voted for."""
        return BlockRef(self.message.target_number, self.message.target_hash)


@dataclass(frozen=True, slots=True)
class SignedVote:
    """A prevote or precommit where the context says which."""

    target: Target
    signature: Signature
    voter: VoterKey


@dataclass(frozen=True, slots=True)
class Commit:
    """Precommits that together make `target` final."""

    target_hash: Hash
    target_number: U32
    precommits: Annotated[tuple[SignedVote, ...], Bounded(VOTES_MAX)]

    @property
    def target(self) -> BlockRef:
        """The block that becomes final."""
        return BlockRef(self.target_number, self.target_hash)


@dataclass(frozen=True, slots=True)
class Justification:
    """A commit that can be checked without any other block: the proof of finality that is stored and served."""

    round: U64
    commit: Commit
    votes_ancestries: Annotated[tuple[Header, ...], Bounded(ANCESTRY_MAX)]

    def encode(self) -> bytes:
        """The SCALE form, stored with engine id FRNK."""
        return JUSTIFICATION.encode(self)

    @staticmethod
    def decode(data: bytes) -> "Justification":
        """Raises ScaleError."""
        value: Justification = JUSTIFICATION.decode(data)
        return value


@dataclass(frozen=True, slots=True)
class CatchUp:
    """All votes of a completed round, from which a late voter can enter the next one."""

    set_id: U64
    round: U64
    prevotes: Annotated[tuple[SignedVote, ...], Bounded(VOTES_MAX)]
    precommits: Annotated[tuple[SignedVote, ...], Bounded(VOTES_MAX)]
    base_hash: Hash
    base_number: U32

    @property
    def base(self) -> BlockRef:
        """The block below all its votes."""
        return BlockRef(self.base_number, self.base_hash)


@dataclass(frozen=True, slots=True)
class StoredRound:
    """A completed round as it is kept for the next start: its votes, and what they amounted to."""

    votes: CatchUp
    ghost: Target
    estimate: Target
    finalised: Target | None


@dataclass(frozen=True, slots=True)
class EquivocationProof:
    """Two different votes of one voter in one round: who signed both may be slashed."""

    set_id: U64
    round: U64
    voter: VoterKey
    first: Message
    first_signature: Signature
    second: Message
    second_signature: Signature


class Gossip(SumType):
    """What travels between voters as notifications."""

    __slots__ = ()


@variant(0)
@dataclass(frozen=True, slots=True)
class VoteMessage(Gossip):
    """One vote."""

    round: U64
    set_id: U64
    signed: SignedMessage


@variant(1)
@dataclass(frozen=True, slots=True)
class CommitMessage(Gossip):
    """The votes that finalised a block."""

    round: U64
    set_id: U64
    commit: Commit


@variant(2)
@dataclass(frozen=True, slots=True)
class Neighbour(Gossip):
    """Where a voter stands; `commit_number` is the height it holds final."""

    round: U64
    set_id: U64
    commit_number: U32


@dataclass(frozen=True, slots=True)
class CatchUpRequest:
    """Asks for the votes of `round`, which the asked peer has completed."""

    round: U64
    set_id: U64


@dataclass(frozen=True, slots=True)
class RoundAndSet:
    """What is appended to a message before it is signed."""

    round: U64
    set_id: U64


MESSAGE = codec_of(Message)
GOSSIP = codec_of(Gossip)
CATCH_UP = codec_of(CatchUp)
STORED_ROUND = codec_of(StoredRound)
CATCH_UP_REQUEST = codec_of(CatchUpRequest)
JUSTIFICATION = codec_of(Justification)
EQUIVOCATION_PROOF = codec_of(EquivocationProof)
_ROUND_AND_SET = codec_of(RoundAndSet)


def signing_payload(message: Message, round_number: int, set_id: int) -> bytes:
    """Return the bytes a voter signs."""
    return MESSAGE.encode(message) + _ROUND_AND_SET.encode(RoundAndSet(round_number, set_id))


def vote_message(phase: Phase, block: BlockRef) -> Message:
    """Return the message of a vote for `block`."""
    kind = Prevote if phase is Phase.PREVOTE else Precommit
    return kind(block.hash, block.number)


def verify_vote(vote: SignedVote, phase: Phase, round_number: int, set_id: int, verify: Verify) -> bool:
    """Whether the vote's signature is good for this phase, round and set."""
    payload = signing_payload(vote_message(phase, vote.target.block), round_number, set_id)
    return verify(vote.voter, payload, vote.signature)


def check_equivocation(proof: EquivocationProof, verify: Verify) -> bool:
    """Whether the proof holds: same kind of vote, different targets, both signed by the offender."""
    if type(proof.first) is not type(proof.second) or proof.first == proof.second:
        return False
    if isinstance(proof.first, Propose):
        return False
    return all(
        verify(proof.voter, signing_payload(message, proof.round, proof.set_id), signature)
        for message, signature in (
            (proof.first, proof.first_signature),
            (proof.second, proof.second_signature),
        )
    )


def check_commit(
    commit: Commit, round_number: int, set_id: int, voters: VoterSet, chain: ParentLookup, verify: Verify
) -> None:
    """Raise InvalidCommit unless the commit proves its target final for this set.

    Unknown voters are ignored. A voter counts when it precommitted to the target or a descendant, or when two
    different precommits of it are given: that is an equivocation, which counts everywhere and of which one is
    allowed for each voter. The deepest block with the deciding weight must be the target itself.
    """
    precommits = [vote for vote in commit.precommits if vote.voter in voters]
    graph, equivocators = _count(commit, precommits, voters, chain)
    found = graph.ghost(lambda node: voters.weight(node.precommits | equivocators) >= voters.threshold)
    if found is None:
        raise InvalidCommit("precommits: below the threshold")
    if found != commit.target:
        raise InvalidCommit("target: is not the deepest block that the precommits decide")
    if not all(verify_vote(vote, Phase.PRECOMMIT, round_number, set_id, verify) for vote in precommits):
        raise InvalidCommit("precommits: a signature is bad")


def check_commit_signatures(commit: Commit, round_number: int, set_id: int, voters: VoterSet, verify: Verify) -> None:
    """Raise InvalidCommit unless voters with the deciding weight signed its precommits.

    What can be said of a commit whose blocks are not here: it is worth waiting for them.
    """
    precommits = [vote for vote in commit.precommits if vote.voter in voters]
    if len(precommits) > 2 * len(voters):
        raise InvalidCommit(f"precommits: {len(precommits)}, at most two for each of {len(voters)} voters")
    signers = 0
    for vote in precommits:
        if not verify_vote(vote, Phase.PRECOMMIT, round_number, set_id, verify):
            raise InvalidCommit("precommits: a signature is bad")
        position = voters.index(vote.voter)
        assert position is not None, "only members are looked at"
        signers |= 1 << position
    if voters.weight(signers) < voters.threshold:
        raise InvalidCommit("precommits: below the threshold")


def _count(
    commit: Commit, precommits: Sequence[SignedVote], voters: VoterSet, chain: ParentLookup
) -> tuple[VoteGraph, int]:
    """Return the graph of single votes above the target and the mask of equivocators."""
    by_voter: dict[int, list[SignedVote]] = {}
    for vote in precommits:
        position = voters.index(vote.voter)
        if position is not None:
            by_voter.setdefault(position, []).append(vote)
    graph = VoteGraph(commit.target)
    equivocators = 0
    for position, votes in by_voter.items():
        if len(votes) == 1:
            try:
                graph.insert(votes[0].target.block, Phase.PRECOMMIT, 1 << position, chain)
            except NotDescendant as error:
                raise InvalidCommit("precommits: one does not descend from the target") from error
        elif len(votes) == 2 and votes[0].target != votes[1].target:
            equivocators |= 1 << position
        else:
            raise InvalidCommit("precommits: more than one equivocation, or a repeated vote")
    return graph, equivocators


def check_justification(justification: Justification, set_id: int, voters: VoterSet, verify: Verify) -> None:
    """Raise InvalidCommit unless the justification proves its target final, using exactly the headers it carries."""
    headers = {header.hash(): header for header in justification.votes_ancestries}
    if len(headers) != len(justification.votes_ancestries):
        raise InvalidCommit("votes_ancestries: a header appears twice")
    lookup = HeaderMap(headers)
    check_commit(justification.commit, justification.round, set_id, voters, lookup, verify)
    if lookup.visited != headers.keys():
        raise InvalidCommit("votes_ancestries: a header is not needed")


def ancestries(commit: Commit, chain: Callable[[Hash], Header | None]) -> tuple[Header, ...] | None:
    """Return the headers that connect the commit's single votes to its target, or None when one is unknown."""
    counts: dict[bytes, int] = {}
    for vote in commit.precommits:
        counts[vote.voter] = counts.get(vote.voter, 0) + 1
    needed: dict[Hash, Header] = {}
    for vote in commit.precommits:
        cursor = vote.target.hash
        while counts[vote.voter] == 1 and cursor != commit.target_hash and cursor not in needed:
            header = chain(cursor)
            if header is None or header.number <= commit.target_number:
                return None
            needed[cursor] = header
            cursor = header.parent_hash
    return tuple(needed.values())
