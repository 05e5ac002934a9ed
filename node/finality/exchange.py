"""What voters ask of each other besides gossip: both sides of the requests of `wire.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from consensus.grandpa.chain import BlockRef
from consensus.grandpa.finality import Finality
from consensus.grandpa.messages import CATCH_UP, CATCH_UP_REQUEST, CatchUp, CatchUpRequest, Justification
from consensus.listening import Answer, Listen
from node.chain import Chain
from node.finality import wire
from node.keys.keystore import GRAN, Keystore
from node.log import logger
from node.network.peer_reputation import BAD_RESPONSE, MALFORMED_MESSAGE
from node.network.port import Network, PeerId, RequestFailed, RequestRefused
from node.ports import Entropy
from node.store.errors import UnknownBlock
from runtime.crypto import Scheme, verify
from runtime.scale import ScaleError
from runtime.types import Hash

T = TypeVar("T")

log = logger("grandpa")

SEEN_TIMEOUT_MS = 5_000
JUSTIFICATION_TIMEOUT_MS = 10_000
JUSTIFICATION_PEERS_MAX = 4
HASH_BYTES = 32


def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """The signature check of voters' keys."""
    return verify(Scheme.ED25519, public, message, signature)


class Exchange:
    """Asks peers, and answers them.

    `keys` gives the gran keys that can sign, `finality` the present state, `latest` the last justification made.
    """

    def __init__(
        self,
        chain: Chain,
        network: Network,
        keystore: Keystore,
        entropy: Entropy,
        keys: Callable[[], tuple[bytes, ...]],
        finality: Callable[[], Finality],
        latest: Callable[[], Justification | None],
    ) -> None:
        self._chain = chain
        self._network = network
        self._keystore = keystore
        self._entropy = entropy
        self._keys = keys
        self._finality = finality
        self._latest = latest
        network.serve(wire.VOTES, self._serve_votes)
        network.serve(wire.CATCH_UP, self._serve_catch_up)
        network.serve(wire.JUSTIFICATION, self._serve_justification)

    async def ask_seen(self, peer: PeerId, listen: Listen) -> Answer | None:
        """What a peer's voter saw of our key; None when it does not say, or says something malformed."""
        question = wire.VotesQuestion(listen.set_id, listen.own_key, self._entropy.token(wire.NONCE_BYTES))
        data = wire.VOTES_QUESTION.encode(question)
        answer = await self._ask(peer, wire.VOTES, data, SEEN_TIMEOUT_MS, wire.VOTES_ANSWER.decode)
        if not isinstance(answer, wire.VotesAnswer):
            return None
        checked = wire.check_answer(answer, question, self._chain.genesis_hash, verify_ed25519)
        if checked is None:
            self._network.report(peer, BAD_RESPONSE.delta, f"{BAD_RESPONSE.reason}: {wire.VOTES}")
        return checked

    async def ask_catch_up(self, peer: PeerId, request: CatchUpRequest, timeout_ms: int) -> CatchUp | None:
        """The votes of a round that the peer has completed."""
        data = CATCH_UP_REQUEST.encode(request)
        answer = await self._ask(peer, wire.CATCH_UP, data, timeout_ms, CATCH_UP.decode)
        return answer if isinstance(answer, CatchUp) else None

    async def ask_justification(self, peers: Sequence[PeerId], block: BlockRef) -> Justification | None:
        """The proof that a block is final, from the first of these peers that has it."""
        for peer in peers[:JUSTIFICATION_PEERS_MAX]:
            timeout_ms = JUSTIFICATION_TIMEOUT_MS
            answer = await self._ask(peer, wire.JUSTIFICATION, block.hash, timeout_ms, Justification.decode)
            if isinstance(answer, Justification):
                if answer.commit.target == block:
                    return answer
                self._network.report(peer, BAD_RESPONSE.delta, f"{BAD_RESPONSE.reason}: another block's justification")
        return None

    async def _ask(
        self, peer: PeerId, protocol: str, data: bytes, timeout_ms: int, decode: Callable[[bytes], object]
    ) -> object:
        """The decoded answer, or None."""
        try:
            return decode(await self._network.request(peer, protocol, data, timeout_ms))
        except RequestFailed as error:
            log.debug("request failed", peer=peer, protocol=protocol, reason=str(error))
        except ScaleError as error:
            self._network.report(peer, MALFORMED_MESSAGE.delta, f"{MALFORMED_MESSAGE.reason}: {protocol}: {error}")
        return None

    async def _serve_votes(self, peer: PeerId, data: bytes) -> bytes:
        question: wire.VotesQuestion = _decoded(wire.VOTES_QUESTION.decode, data)
        finality = self._finality()
        key = next((key for key in self._keys() if key in finality.voters), None)
        if key is None or question.set_id != finality.set_id:
            raise RequestRefused("no voter of this set")
        votes = tuple(finality.votes_of(question.key)[: wire.VOTES_PER_ANSWER_MAX])
        content = wire.VotesContent(question, key, finality.round_number, votes)
        signature = self._keystore.sign(GRAN, key, wire.answer_payload(self._chain.genesis_hash, content))
        return wire.VOTES_ANSWER.encode(wire.VotesAnswer(content, signature))

    async def _serve_catch_up(self, peer: PeerId, data: bytes) -> bytes:
        answer = self._finality().answer_catch_up(_decoded(CATCH_UP_REQUEST.decode, data))
        if answer is None:
            raise RequestRefused("no such completed round")
        return CATCH_UP.encode(answer)

    async def _serve_justification(self, peer: PeerId, data: bytes) -> bytes:
        if len(data) != HASH_BYTES:
            raise RequestRefused("a block hash has 32 bytes")
        found = self._justification(data)
        if found is None:
            raise RequestRefused("no justification of this block")
        return found

    def _justification(self, block: Hash) -> bytes | None:
        latest = self._latest()
        if latest is not None and latest.commit.target_hash == block:
            return latest.encode()
        try:
            return self._chain.store.justification(block)
        except UnknownBlock:
            return None


def _decoded(decode: Callable[[bytes], T], data: bytes) -> T:
    try:
        return decode(data)
    except ScaleError as error:
        raise RequestRefused(f"malformed: {error}") from error
