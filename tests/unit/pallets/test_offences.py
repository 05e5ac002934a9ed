"""Offences: evidence is taken only when both signatures hold and contradict each other."""

from dataclasses import replace
from typing import Any

import pytest
from nacl.signing import SigningKey

from pallets.offences import (
    AlreadyReported,
    BadSignature,
    NotAMember,
    NotAnOffence,
    OffenceKind,
    OffenceProved,
    SignedVote,
    UnknownSet,
    VoteEvidence,
    VoteKind,
    dedupe_hash,
)
from runtime.errors import DispatchError
from runtime.hashing import blake2b256
from runtime.pallet import Inherent
from runtime.types import AURA_ENGINE, ZERO_HASH, Digest, Header, PreRuntime, Seal, slot_item
from tests.helpers.pallet_chain import FIRST_SLOT, SESSION_SLOTS, PalletChain, Validator

FOUR = [Validator(name) for name in "abcd"]
GUILTY = FOUR[2]


def votes(
    kind: VoteKind = VoteKind.PRECOMMIT, *, set_id: int = 0, round_number: int = 7, by: Validator = GUILTY
) -> VoteEvidence:
    """Two votes of `by` for blocks 5x and 5y."""
    empty = SignedVote(ZERO_HASH, 5, bytes(64))
    blank = VoteEvidence(set_id, round_number, kind, by.keys.grandpa, empty, empty)

    def signed(target: bytes) -> SignedVote:
        unsigned = SignedVote(blake2b256(target), 5, bytes(64))
        return replace(unsigned, signature=by.grandpa.sign(blank.payload(unsigned)).signature)

    return replace(blank, first=signed(b"x"), second=signed(b"y"))


def sealed(slot: int, content: bytes, key: SigningKey = GUILTY.aura) -> Header:
    """A header for `slot` sealed by `key`."""
    header = Header(blake2b256(content), 9, ZERO_HASH, ZERO_HASH, Digest((slot_item(slot),)))
    return header.with_item(Seal(AURA_ENGINE, key.sign(header.hash()).signature))


def report(chain: PalletChain, name: str, *arguments: Any) -> DispatchError | None:
    """Dispatch evidence as the block's author does."""
    return chain.dispatch(chain.call("Offences", name, *arguments), Inherent())


def opened() -> PalletChain:
    """A chain of four within block 3."""
    made = PalletChain(FOUR)
    made.block(FIRST_SLOT)
    made.block(FIRST_SLOT + 1)
    made.start(FIRST_SLOT + 3)
    return made


GUILTY_SLOT = FIRST_SLOT + 2
"""GUILTY's own slot: 1002 mod 4 = 2."""


@pytest.mark.parametrize("kind", list(VoteKind))
def test_a_double_vote_disables_the_voter(kind: VoteKind) -> None:
    """Two votes of one kind in a round are recorded once, and the voter may not author for the rest of the era."""
    made = opened()
    assert report(made, "report_votes", votes(kind)) is None
    offence = OffenceKind(kind.value)
    assert made.events(OffenceProved) == [OffenceProved(offence, GUILTY.account, 0, 7, disabled=True)]
    assert made.offences.offences.contains(dedupe_hash(offence, GUILTY.account, 0, 7))
    assert made.session.disabled.get() == (GUILTY.account,)
    made.offences.check_state()
    made.session.check_state()


def test_the_same_offence_counts_once() -> None:
    """Evidence for an offence that is recorded is refused, also with the votes the other way round."""
    made = opened()
    evidence = votes()
    assert report(made, "report_votes", evidence) is None
    turned = replace(evidence, first=evidence.second, second=evidence.first)
    for again in (evidence, turned):
        assert isinstance(report(made, "report_votes", again), AlreadyReported)
    assert report(made, "report_votes", votes(round_number=8)) is None
    assert [event.disabled for event in made.events(OffenceProved)] == [True, False]


def test_no_more_than_a_third_is_disabled() -> None:
    """A second offender of four is recorded and goes on authoring."""
    made = opened()
    assert report(made, "report_votes", votes()) is None
    assert report(made, "report_votes", votes(by=FOUR[0])) is None
    assert made.session.disabled.get() == (GUILTY.account,)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"second": votes().first}, NotAnOffence),
        ({"set_id": 1}, UnknownSet),
        ({"voter": Validator("stranger").keys.grandpa}, NotAMember),
        ({"voter": FOUR[1].keys.grandpa}, BadSignature),
        ({"round": 8}, BadSignature),
        ({"kind": VoteKind.PREVOTE}, BadSignature),
        ({"second": replace(votes().second, signature=bytes(64))}, BadSignature),
        ({"second": replace(votes().second, target_number=6)}, BadSignature),
    ],
)
def test_wrong_vote_evidence(change: dict[str, Any], error: type[DispatchError]) -> None:
    """Equal votes, unknown set, stranger, another's key, another round or kind, a forged vote change nothing."""
    made = opened()
    before = made.snapshot()
    assert isinstance(report(made, "report_votes", replace(votes(), **change)), error)
    assert made.snapshot() == before


def test_two_seals_on_one_slot_disable_the_author() -> None:
    """Two different headers sealed for one slot prove the offence of that slot's author."""
    made = opened()
    first, second = sealed(GUILTY_SLOT, b"x"), sealed(GUILTY_SLOT, b"y")
    assert report(made, "report_headers", first, second) is None
    assert made.events(OffenceProved) == [OffenceProved(OffenceKind.AUTHORING, GUILTY.account, 0, GUILTY_SLOT, True)]
    assert isinstance(report(made, "report_headers", second, first), AlreadyReported)


def resealed(header: Header) -> Header:
    """The same content with another seal."""
    return header.unsealed()[0].with_item(Seal(AURA_ENGINE, bytes(64)))


ONE = sealed(GUILTY_SLOT, b"x")


@pytest.mark.parametrize(
    ("first", "second", "error"),
    [
        (ONE, ONE, NotAnOffence),
        (ONE, resealed(ONE), NotAnOffence),
        (ONE, sealed(GUILTY_SLOT + 4, b"y"), NotAnOffence),
        (ONE, sealed(GUILTY_SLOT, b"y", FOUR[0].aura), BadSignature),
        (sealed(GUILTY_SLOT, b"y", FOUR[0].aura), ONE, BadSignature),
        (ONE, sealed(GUILTY_SLOT, b"y").unsealed()[0], BadSignature),
        (sealed(GUILTY_SLOT + 4, b"x"), sealed(GUILTY_SLOT + 4, b"y"), UnknownSet),
        (sealed(GUILTY_SLOT + 1, b"x"), sealed(GUILTY_SLOT + 1, b"y"), BadSignature),
        (replace(ONE, digest=Digest((PreRuntime(AURA_ENGINE, b"1"),))), ONE, NotAnOffence),
    ],
)
def test_wrong_header_evidence(first: Header, second: Header, error: type[DispatchError]) -> None:
    """One header twice, two seals on one content, two slots, another's seal, no seal, a future or foreign slot."""
    made = opened()
    before = made.snapshot()
    assert isinstance(report(made, "report_headers", first, second), error)
    assert made.snapshot() == before


def test_members_of_a_past_set_still_answer() -> None:
    """After the set changed, evidence of votes and headers in the old set names its old member."""
    made = PalletChain(FOUR)
    made.block(FIRST_SLOT)
    made.session.elected.put((FOUR[0].account, FOUR[1].account, FOUR[3].account))
    made.block(FIRST_SLOT + SESSION_SLOTS)
    boundary = FIRST_SLOT + 2 * SESSION_SLOTS
    made.block(boundary)
    made.start(boundary + 1)
    assert made.grandpa.current_set_id.get() == 1
    assert report(made, "report_votes", votes()) is None
    assert isinstance(report(made, "report_votes", votes(set_id=1)), NotAMember)
    slot = next(slot for slot in range(boundary, boundary - 4, -1) if slot % 4 == 2)
    assert report(made, "report_headers", sealed(slot, b"x"), sealed(slot, b"y")) is None
    assert [event.offender for event in made.events(OffenceProved)] == [GUILTY.account] * 2
    assert made.session.disabled.get() == ()
