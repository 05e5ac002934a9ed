"""The finality driver: feeds the voter with gossip, blocks and time, and does what it asks for.

The voter (`consensus/grandpa`) has no I/O. Here its actions become writes to the vote file and the database,
notifications, requests and finalised blocks, in the order in which it gave them. A write that fails stops the node:
nothing that depends on it has been sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Any

import trio

from consensus.grandpa import actions as act
from consensus.grandpa.ballot import OwnKey
from consensus.grandpa.chain import BlockRef
from consensus.grandpa.finality import Finality
from consensus.grandpa.messages import (
    GOSSIP,
    STORED_ROUND,
    CommitMessage,
    EquivocationProof,
    InvalidCommit,
    Justification,
    Neighbour,
    StoredRound,
)
from consensus.grandpa.messages import Gossip as VoterMessage
from consensus.grandpa.voter_state import VoterConfig
from consensus.listening import BootListening
from consensus.votes_gate import RecordKind
from node.chain import Chain
from node.events import ChainEvent, Imported
from node.finality.chain_view import StoreView, ref
from node.finality.exchange import Exchange, verify_ed25519
from node.finality.round_state import round_state
from node.finality.votes_file import VotesFile
from node.gossip import Gossip
from node.keys.keystore import GRAN, Keystore
from node.log import logger
from node.network.port import ChainStatus, Kind, MalformedMessage, Network, PeerId
from node.ports import Clock, Entropy
from runtime import ss58
from runtime.crypto import Scheme
from runtime.scale import ScaleError

log = logger("grandpa")

STORED_NAME = "grandpa"
KEY_CHECK_S = 2.0
LISTEN_EVERY_S = 0.5
ASK_PEERS_MAX = 64
REQUESTS_MAX = 16
"""Catch-up and justification requests under way at once."""
SMALL_SET = 8
"""Sets up to this size keep every justification, about 1 KiB a block; larger ones the mandatory ones and the last."""


def kind_of(message: VoterMessage) -> Kind:
    """The notification kind under which a message travels."""
    if isinstance(message, Neighbour):
        return Kind.NEIGHBOUR
    return Kind.JUSTIFICATION if isinstance(message, CommitMessage) else Kind.VOTE


class FinalityDriver:
    """Finality of one node. With `voting` it votes by whichever gran key of the keystore is in the set.

    `on_equivocation` gets proofs against other voters, to be put on chain; `want_block` gets blocks that votes name
    and that are not here: the peer that named it or "", height, hash.
    """

    def __init__(
        self,
        chain: Chain,
        network: Network,
        gossip: Gossip,
        keystore: Keystore,
        votes: VotesFile,
        clock: Clock,
        entropy: Entropy,
        *,
        voting: bool,
    ) -> None:
        self.on_equivocation: Callable[[EquivocationProof], None] = _ignore_equivocation
        self.want_block: Callable[[str, int, bytes], None] = _ignore_block
        self.prevotes_cast = 0
        self.precommits_cast = 0
        self._chain = chain
        self._network = network
        self._keystore = keystore
        self._votes = votes
        self._entropy = entropy
        self._voting = voting
        self._view = StoreView(chain)
        self._blocks: trio.MemoryReceiveChannel[ChainEvent] | None = None
        self._untold: list[BlockRef] = []
        self._due_s = inf
        self._timer_changed = trio.Event()
        self._requests = 0
        self._latest = self._stored_justification()
        self._nursery: trio.Nursery | None = None
        self._keys: tuple[bytes, ...] = ()
        self._listening = BootListening(())
        self._finality = self._make()
        self._exchange = Exchange(
            chain, network, keystore, entropy, self._usable_keys, lambda: self._finality, lambda: self._latest
        )
        gossip.on_up.append(self._on_up)
        gossip.on_down.append(self._on_down)
        for kind in (Kind.VOTE, Kind.NEIGHBOUR, Kind.JUSTIFICATION):
            gossip.handlers[kind] = partial(self._on_gossip, kind)

    # What others ask.

    @property
    def round_number(self) -> int:
        """The round being voted on."""
        return self._finality.round_number

    def round_state(self) -> dict[str, Any]:
        """Set, round, thresholds, votes seen, and the voters that are missing."""
        return round_state(self._finality.report(), self._listening.current, self._keys)

    def on_justification(self, block_hash: bytes, data: bytes) -> None:
        """A justification came along with a block that has just been imported."""
        if self._nursery is None:
            return
        self._drain()
        try:
            justification = Justification.decode(data)
            if justification.commit.target_hash != block_hash:
                raise InvalidCommit("target: is another block")
            if justification.commit.target_number > self._finality.finalised.number:
                self._do(self._finality.on_justification(justification, _now_ms()))
        except (ScaleError, InvalidCommit) as error:
            log.warning("justification refused", block=f"0x{block_hash.hex()}", reason=str(error))

    # Tasks.

    async def run(self) -> None:
        """Vote and finalise for ever. Raises VotesFileError or a store's error when a write fails."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._hear_chain()
            try:
                self._do(self._finality.start(_now_ms()))
                self._drain()
                for peer in self._network.peers():
                    self._do(self._finality.on_peer_up(peer))
                nursery.start_soon(self._run_timer)
                nursery.start_soon(self._listen)
                nursery.start_soon(self._watch_keys)
                await self._follow_chain()
            finally:
                self._nursery = None
                if self._blocks is not None:
                    self._blocks.close()
                    self._blocks = None

    async def _follow_chain(self) -> None:
        """Each event of the chain means that there may be blocks to tell the voter of."""
        while True:
            with self._chain.events.listen() as events:
                self._drain()
                async for _ in events:
                    self._drain()

    async def _run_timer(self) -> None:
        while True:
            self._timer_changed = trio.Event()
            with trio.move_on_at(self._due_s):
                await self._timer_changed.wait()
            if trio.current_time() >= self._due_s:
                self._due_s = inf
                self._drain()
                self._do(self._finality.on_timeout(_now_ms()))

    async def _listen(self) -> None:
        """LISTEN: while no vote may be cast yet, ask all peers what they saw of our key."""
        while True:
            if self._listening.current is not None:
                async with trio.open_nursery() as nursery:
                    for peer in self._network.peers()[:ASK_PEERS_MAX]:
                        nursery.start_soon(self._ask_seen, peer)
            await trio.sleep(LISTEN_EVERY_S)

    async def _ask_seen(self, peer: PeerId) -> None:
        listen = self._listening.current
        answer = None if listen is None else await self._exchange.ask_seen(peer, listen)
        if answer is None or self._listening.current is not listen:
            return
        learned, done = self._listening.on_answer(answer, self._votes.gate)
        self._votes.append(*learned)
        if learned:
            log.warning("learned own votes that the vote file lacked", votes=len(learned), peer=peer)
        if done:
            log.info("Voting", set=answer.set_id, round=self._finality.round_number)
            self._drain()
            self._do(self._finality.stop_listening(_now_ms()))

    async def _watch_keys(self) -> None:
        """A gran key that comes or goes takes effect without a restart of the node."""
        while True:
            await trio.sleep(KEY_CHECK_S)
            if self._voting and self._usable_keys() != self._keys:
                self._drain()
                self._finality = self._make()
                self._do(self._finality.start(_now_ms()))
                log.info("Voting keys changed", keys=[ss58.encode(key) for key in self._keys])

    # Inputs.

    def _drain(self) -> None:
        """Tell the voter of all blocks imported so far, before any other input: a vote must not pass what is here."""
        blocks, self._untold = self._untold, []
        while self._blocks is not None:
            try:
                event = self._blocks.receive_nowait()
            except trio.WouldBlock:
                break
            except trio.EndOfChannel:
                self._hear_chain()
                blocks, self._untold = self._untold, []
                continue
            if isinstance(event, Imported):
                blocks.append(ref(event.head))
        if blocks:
            self._do(self._finality.on_new_blocks(blocks, _now_ms()))

    def _hear_chain(self) -> None:
        """Listen to the chain from now on; what is there already is told as well, and telling twice does no harm."""
        if self._blocks is not None:
            self._blocks.close()
        self._blocks = self._chain.events.listen()
        self._untold = [ref(head) for head in self._chain.store.unfinalised()]

    def _on_gossip(self, kind: Kind, peer: PeerId, data: bytes) -> None:
        message: VoterMessage = GOSSIP.decode(data)
        if kind_of(message) is not kind:
            raise MalformedMessage("kind", f"{kind.name} carries a {type(message).__name__}")
        if self._nursery is not None:
            self._drain()
            self._do(self._finality.on_message(peer, message, _now_ms()))

    def _on_up(self, peer: PeerId, _status: ChainStatus) -> None:
        if self._nursery is not None:
            self._do(self._finality.on_peer_up(peer))

    def _on_down(self, peer: PeerId) -> None:
        self._finality.on_peer_down(peer)

    # Actions.

    def _do(self, actions: Sequence[act.Action]) -> None:
        """Do what the voter asks for, in order."""
        for action in actions:
            if isinstance(action, act.Broadcast):
                self._send(action.message, [peer for peer in self._network.peers() if peer != action.skip])
            elif isinstance(action, act.Send):
                self._send(action.message, [PeerId(action.peer)])
            elif isinstance(action, act.Persist):
                self._votes.append(action.record)
                self.prevotes_cast += action.record.kind is RecordKind.PREVOTE
                self.precommits_cast += action.record.kind is RecordKind.PRECOMMIT
            elif isinstance(action, act.PersistRound):
                self._chain.store.write_meta(STORED_NAME, STORED_ROUND.encode(action.stored))
            elif isinstance(action, act.Finalise):
                self._latest = action.justification
                keep = action.mandatory or len(self._finality.voters) <= SMALL_SET
                self._chain.finalise(action.block.hash, action.justification.encode() if keep else None)
            elif isinstance(action, act.SetTimer):
                self._due_s = action.at_ms / 1000
                self._timer_changed.set()
            else:
                self._do_rarely(action)

    def _do_rarely(self, action: act.Action) -> None:
        if isinstance(action, act.Penalise):
            self._network.report(PeerId(action.peer), action.amount, action.reason)
        elif isinstance(action, act.WantBlock):
            self.want_block(action.peer, action.block.number, action.block.hash)
        elif isinstance(action, act.RequestCatchUp):
            self._request(self._ask_catch_up, action)
        elif isinstance(action, act.RequestJustification):
            self._request(self._ask_justification, action)
        elif isinstance(action, act.KeepJustification):
            self._chain.finalise(action.block.hash, action.justification.encode())
        elif isinstance(action, act.SetChanged):
            log.info("Applied authority set change", set=action.new.set_id, voters=len(action.new.authorities))
        elif isinstance(action, act.ReportEquivocation):
            proof = action.proof
            log.warning("a voter voted twice", voter=ss58.encode(proof.voter), round=proof.round, set=proof.set_id)
            self.on_equivocation(proof)
        else:
            self._alarm(action)

    def _alarm(self, action: act.Action) -> None:
        """What an operator must look at."""
        if isinstance(action, act.KeyUsedElsewhere):
            record = action.record
            key = ss58.encode(record.key)
            log.error("key used elsewhere: no more votes in this set", key=key, set=record.set_id, round=record.round)
        elif isinstance(action, act.ConflictingFinality):
            commit = action.commit.commit
            log.error("a valid commit contradicts finality", number=commit.target_number, hash=commit.target_hash.hex())
        elif isinstance(action, act.ChangeRefused):
            log.error("a change of voters is refused", number=action.block.number, reason=action.reason)

    def _send(self, message: VoterMessage, peers: Sequence[PeerId]) -> None:
        """Notify peers. What a full queue drops is repaired when the peer says that it is stuck."""
        data = GOSSIP.encode(message)
        kind = kind_of(message)
        for peer in peers:
            self._network.notify(peer, kind, data)

    def _request(self, ask: Callable[..., Any], action: act.Action) -> None:
        """Ask in the background; above REQUESTS_MAX at once the voter asks again later."""
        if self._nursery is not None and self._requests < REQUESTS_MAX:
            self._requests += 1
            self._nursery.start_soon(ask, action)

    async def _ask_catch_up(self, action: act.RequestCatchUp) -> None:
        try:
            answer = await self._exchange.ask_catch_up(PeerId(action.peer), action.request, action.timeout_ms)
        finally:
            self._requests -= 1
        self._drain()
        self._do(self._finality.on_catch_up(action.peer, answer, _now_ms()))

    async def _ask_justification(self, action: act.RequestJustification) -> None:
        peers = [PeerId(action.peer)] if action.peer else self._network.peers()
        try:
            answer = await self._exchange.ask_justification(peers, action.block)
        finally:
            self._requests -= 1
        if answer is None:
            return
        self._drain()
        try:
            self._do(self._finality.on_justification(answer, _now_ms()))
        except InvalidCommit as error:
            log.debug("justification refused", number=action.block.number, reason=str(error))

    # Making the voter.

    def _make(self) -> Finality:
        """The voter, from what the database and the vote file hold."""
        chain = self._chain
        self._keys = self._usable_keys() if self._voting else ()
        self._listening = BootListening(self._keys)
        keys = tuple(OwnKey(key, partial(self._keystore.sign, GRAN, key)) for key in self._keys)
        config = VoterConfig(chain.slot_ms, keys, verify_ed25519, self._random_below)
        finality = Finality(
            config,
            self._view.authorities(),
            ref(chain.finalised),
            self._view,
            self._votes.gate,
            self._stored_round(),
            self._listening.must_listen,
        )
        if self._latest is not None:
            finality.remember(self._latest)
        return finality

    def _usable_keys(self) -> tuple[bytes, ...]:
        keystore = self._keystore
        return tuple(key for key in keystore.publics(GRAN) if keystore.pair(GRAN, key).scheme is Scheme.ED25519)

    def _stored_round(self) -> StoredRound | None:
        data = self._chain.store.read_meta(STORED_NAME)
        try:
            stored: StoredRound | None = None if data is None else STORED_ROUND.decode(data)
        except ScaleError as error:
            # Listening and the vote file protect what was signed; the round itself comes back by catch-up.
            log.error("the stored round is unreadable", reason=str(error))  # noqa: TRY400 - no traceback
            return None
        return stored

    def _stored_justification(self) -> Justification | None:
        data = self._chain.store.justification(self._chain.finalised.hash)
        return None if data is None else Justification.decode(data)

    def _random_below(self, limit: int) -> int:
        return int.from_bytes(self._entropy.token(8), "little") % limit


def _now_ms() -> int:
    """Time for timers: it never runs backwards, and the simulator's clock drives it."""
    return int(trio.current_time() * 1000 + 0.5)


def _ignore_equivocation(_proof: EquivocationProof) -> None:
    """Until the node says where evidence goes, it is only logged."""


def _ignore_block(_peer: str, _number: int, _block: bytes) -> None:
    """Until the node says who fetches blocks, the voter waits for them to come by themselves."""
