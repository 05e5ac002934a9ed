"""Signed messages, commits and justifications as a stranger checks them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consensus.grandpa.chain import BlockRef
from consensus.grandpa.messages import (
    GOSSIP,
    CommitMessage,
    EquivocationProof,
    InvalidCommit,
    Justification,
    Neighbour,
    Prevote,
    Propose,
    ancestries,
    check_commit,
    check_equivocation,
    check_justification,
    signing_payload,
    vote_message,
)
from consensus.grandpa.vote_graph import Phase
from runtime.scale import ScaleError
from runtime.types import Header
from tests.helpers.block_tree import GENESIS, BlockTree, ref, run_of
from tests.helpers.keyed_hash import verify
from tests.helpers.votes import commit, gossip, vote, voter_set

TRUNK = run_of(GENESIS, 3)
LEFT = run_of(TRUNK[-1], 3, 10)
RIGHT = run_of(TRUNK[-1], 3, 20)
TARGET = ref(TRUNK[-1])


def tree() -> BlockTree:
    """A trunk of three blocks and two forks of three."""
    made = BlockTree()
    made.add(*TRUNK, *LEFT, *RIGHT)
    return made


def refused(votes: list[tuple[str, Header]], voters: int = 4, target: BlockRef = TARGET) -> str:
    """The reason for which a commit of these votes is refused; empty when it holds."""
    made = commit(target, [(name, ref(header)) for name, header in votes])
    try:
        check_commit(made, 1, 0, voter_set(voters), tree(), verify)
    except InvalidCommit as error:
        return str(error)
    return ""


def test_the_signed_payload_is_substrates() -> None:
    """Message variant, hash, number u32, round u64, set u64, all little-endian."""
    block = BlockRef(258, bytes(range(32)))
    payload = signing_payload(vote_message(Phase.PRECOMMIT, block), 7, 9)
    assert payload == b"\x01" + bytes(range(32)) + bytes((2, 1, 0, 0)) + bytes((7,)) + bytes(7) + bytes((9,)) + bytes(7)
    assert signing_payload(Prevote(block.hash, 1), 0, 0)[0] == 0
    assert signing_payload(Propose(block.hash, 1), 0, 0)[0] == 2


def test_commit_validation() -> None:
    """Three of four voters at or above the target suffice; two do not, nor does a target that is not the ghost."""
    trunk, left, right = TRUNK[-1], LEFT[0], RIGHT[0]
    assert refused([("alice", trunk), ("bob", left), ("charlie", right)]) == ""
    assert "threshold" in refused([("alice", trunk), ("bob", left)])
    assert "deepest" in refused([("alice", left), ("bob", left), ("charlie", left)])
    assert "descend" in refused([("alice", trunk), ("bob", trunk), ("charlie", TRUNK[1])])
    assert refused([("alice", trunk), ("bob", left), ("charlie", right), ("judy", TRUNK[0])]) == ""


def test_commit_validation_with_equivocation() -> None:
    """A pair of votes counts everywhere; a third vote of one voter, or a repeated one, is refused."""
    trunk, left, right = TRUNK[-1], LEFT[0], RIGHT[0]
    honest = [("alice", trunk), ("bob", trunk)]
    assert "threshold" in refused([*honest])
    assert refused([*honest, ("charlie", left), ("charlie", right)]) == ""
    assert refused([*honest, ("charlie", TRUNK[0]), ("charlie", right)]) == ""
    assert "more than one" in refused([*honest, ("charlie", left), ("charlie", right), ("charlie", trunk)])
    assert "repeated" in refused([*honest, ("charlie", trunk), ("charlie", trunk)])


def test_a_bad_signature_breaks_a_commit() -> None:
    """Signatures of another round, or cut from another vote, do not count."""
    votes = [(name, ref(TRUNK[-1])) for name in ("alice", "bob", "charlie")]
    made = commit(TARGET, votes, round_number=2)
    check_commit(made, 2, 0, voter_set(4), tree(), verify)
    for round_number, set_id in ((1, 0), (2, 1)):
        with pytest.raises(InvalidCommit, match="signature"):
            check_commit(made, round_number, set_id, voter_set(4), tree(), verify)


def justify() -> Justification:
    """A justification of the trunk's end, with votes on both forks."""
    votes = [("alice", ref(LEFT[1])), ("bob", ref(RIGHT[0])), ("charlie", ref(TRUNK[-1]))]
    made = commit(TARGET, votes)
    headers = ancestries(made, tree().header)
    assert headers is not None
    return Justification(1, made, headers)


def test_a_justification_needs_no_chain() -> None:
    """It carries exactly the headers between its votes and its target, and survives encoding."""
    made = justify()
    assert len(made.votes_ancestries) == 3
    assert Justification.decode(made.encode()) == made
    check_justification(made, 0, voter_set(4), verify)


def test_a_justification_with_other_headers_is_refused() -> None:
    """A missing, an unneeded and a repeated header are each refused."""
    made = justify()
    headers = made.votes_ancestries
    for wrong in (headers[1:], (*headers, TRUNK[0]), (*headers, headers[0])):
        with pytest.raises(InvalidCommit):
            check_justification(replace(made, votes_ancestries=wrong), 0, voter_set(4), verify)
    with pytest.raises(InvalidCommit):
        check_justification(made, 1, voter_set(4), verify)
    with pytest.raises(InvalidCommit):
        check_justification(made, 0, voter_set(7), verify)


def test_equivocation_proofs() -> None:
    """Two different votes of one kind, both signed, are a proof; anything else is not."""
    first = vote("dave", Phase.PREVOTE, ref(LEFT[0]))
    second = vote("dave", Phase.PREVOTE, ref(RIGHT[0]))
    proof = EquivocationProof(
        0,
        1,
        first.voter,
        vote_message(Phase.PREVOTE, ref(LEFT[0])),
        first.signature,
        vote_message(Phase.PREVOTE, ref(RIGHT[0])),
        second.signature,
    )
    assert check_equivocation(proof, verify)
    assert not check_equivocation(replace(proof, round=2), verify)
    assert not check_equivocation(replace(proof, second=proof.first, second_signature=first.signature), verify)
    assert not check_equivocation(replace(proof, second=vote_message(Phase.PRECOMMIT, ref(RIGHT[0]))), verify)


def test_gossip_survives_encoding_and_refuses_what_is_not_canonical() -> None:
    """Each kind decodes to itself; a cut, a tail or an unknown kind does not decode."""
    made = commit(TARGET, [("alice", ref(TRUNK[-1]))])
    for message in (gossip("alice", Phase.PREVOTE, TARGET), CommitMessage(1, 0, made), Neighbour(3, 1, 12)):
        data = GOSSIP.encode(message)
        assert GOSSIP.decode(data) == message
        for wrong in (data[:-1], data + b"\0", b"\x09" + data[1:]):
            with pytest.raises(ScaleError):
                GOSSIP.decode(wrong)
