"""The requests between voters besides gossip: what was seen of a key, a round's votes, a block's justification.

votes/1          SCALE VotesQuestion -> SCALE VotesAnswer, signed by the answering voter
catchup/1        SCALE CatchUpRequest -> SCALE CatchUp
justification/1  block hash -> SCALE Justification
"""

from dataclasses import dataclass
from typing import Annotated

from consensus.grandpa.ballot import record_of
from consensus.grandpa.messages import Signature, Verify, VoteMessage, VoterKey, signing_payload
from consensus.listening import Answer
from runtime.scale import U64, Bounded, Fixed, codec_of
from runtime.types import Hash

VOTES = "votes/1"
CATCH_UP = "catchup/1"
JUSTIFICATION = "justification/1"
VOTES_PER_ANSWER_MAX = 64
NONCE_BYTES = 32
DOMAIN = b"heddle/votes/1"


@dataclass(frozen=True, slots=True)
class VotesQuestion:
    """What did you see of my key? The nonce keeps old answers from being replayed."""

    set_id: U64
    key: VoterKey
    nonce: Annotated[bytes, Fixed(NONCE_BYTES)]


@dataclass(frozen=True, slots=True)
class VotesContent:
    """What an answer says: the answering voter, its round, and the asking key's votes from the round before on."""

    question: VotesQuestion
    voter: VoterKey
    round: U64
    votes: Annotated[tuple[VoteMessage, ...], Bounded(VOTES_PER_ANSWER_MAX)]


@dataclass(frozen=True, slots=True)
class VotesAnswer:
    """The content and its voter's signature."""

    content: VotesContent
    signature: Signature


VOTES_QUESTION = codec_of(VotesQuestion)
VOTES_ANSWER = codec_of(VotesAnswer)
_CONTENT = codec_of(VotesContent)


def answer_payload(genesis: Hash, content: VotesContent) -> bytes:
    """What the answering voter signs."""
    return DOMAIN + genesis + _CONTENT.encode(content)


def check_answer(answer: VotesAnswer, question: VotesQuestion, genesis: Hash, verify: Verify) -> Answer | None:
    """The answer in the listening state's words, or None unless it answers this question and all signatures hold."""
    content = answer.content
    if content.question != question or not verify(content.voter, answer_payload(genesis, content), answer.signature):
        return None
    for vote in content.votes:
        signed = vote.signed
        payload = signing_payload(signed.message, vote.round, vote.set_id)
        if signed.voter != question.key or not verify(signed.voter, payload, signed.signature):
            return None
    records = tuple(record_of(vote, learned=True) for vote in content.votes)
    return Answer(content.voter, question.set_id, content.round, records)
