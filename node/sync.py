"""Sync: blocks from peers, announced one by one or fetched in ranges, and blocks of ours to them.

A node announces each new best block to every peer not known to have it, with the body if that is small. Whoever hears
of a block whose parent it lacks fetches the range from its own finalised head up to it: two chains that finalised
different blocks have nothing to give each other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from node.chain import BlockKnown, Chain, DeferredBlock, UnknownBlock
from node.events import Imported
from node.gossip import Gossip
from node.log import imported_line, logger
from node.network.peer_reputation import BAD_BLOCK, BAD_RESPONSE, TIMED_OUT, Penalty
from node.network.port import ChainStatus, Kind, MalformedMessage, Network, PeerId, RequestFailed, RequestRefused, Role
from node.store.errors import DatabaseError, StoreError
from node.wire import HASH, Bytes, ListOf, Maybe, pack, unpack
from runtime.errors import BlockFault, InvalidBlock
from runtime.types import Block, Header

log = logger("sync")

PROTOCOL = "sync/1"
BLOCKS_PER_REQUEST_MAX = 64
RESPONSE_BYTES_SOFT = 8 << 20
RESPONSE_BYTES_MAX = 16 << 20
HEADER_BYTES_MAX = 32 << 10
EXTRINSIC_BYTES_MAX = (256 << 10) + 8
EXTRINSICS_MAX = 8192
JUSTIFICATION_BYTES_MAX = 1 << 20
BODY_PUSH_BYTES_MAX = 64 << 10
KNOWN_PER_PEER_MAX = 512
BODY = ListOf(Bytes(EXTRINSIC_BYTES_MAX), EXTRINSICS_MAX)
ANNOUNCE = (Bytes(HEADER_BYTES_MAX), bool, Maybe(BODY))
REQUEST = (int, int, HASH)
RESPONSE = ListOf((Bytes(HEADER_BYTES_MAX), BODY, Maybe(Bytes(JUSTIFICATION_BYTES_MAX))), BLOCKS_PER_REQUEST_MAX)
IDLE_S = 5.0
REQUEST_TIMEOUT_MS = 20_000
WANTED_MAX = 64
WANTED_PEERS_MAX = 4
"""Peers asked for a block that a vote names."""


@dataclass(slots=True)
class PeerChain:
    """What we know of a peer's chain. `known` are blocks it has, bounded."""

    best_number: int
    best_hash: bytes
    known: OrderedDict[bytes, None] = field(default_factory=OrderedDict)

    def learn(self, block_hash: bytes) -> None:
        """The peer has this block."""
        self.known[block_hash] = None
        if len(self.known) > KNOWN_PER_PEER_MAX:
            self.known.popitem(last=False)


class Sync:
    """Keeps the chain level with the peers'. `on_justification(block hash, bytes)` gets proofs that came along."""

    def __init__(self, chain: Chain, network: Network, gossip: Gossip, role: Role = Role.FULL) -> None:
        self.chain = chain
        self.network = network
        self.role = role
        self.peers: dict[PeerId, PeerChain] = {}
        self.on_justification: Callable[[bytes, bytes], None] = lambda _hash, _data: None
        self.syncing = False
        self._wanted: dict[bytes, str] = {}
        self._fetched = 0
        self._wake = trio.Event()
        self._inbox_send, self._inbox = trio.open_memory_channel[tuple[PeerId, Block]](256)
        gossip.on_up.append(self._on_up)
        gossip.on_down.append(self._on_down)
        gossip.handlers[Kind.ANNOUNCE] = self._on_announce
        network.serve(PROTOCOL, self._serve)

    def status(self) -> ChainStatus:
        """What handshakes tell of our chain."""
        best = self.chain.best
        return ChainStatus(self.role, best.number, best.hash, self.chain.finalised.number)

    @property
    def queued(self) -> int:
        """Blocks that are here and wait for their import."""
        return self._fetched + self._inbox.statistics().current_buffer_used

    async def run(self) -> None:
        """Announce, import what is announced, and catch up, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._announce_new)
            nursery.start_soon(self._import_announced)
            nursery.start_soon(self._catch_up)

    # What peers say.

    def _on_up(self, peer: PeerId, status: ChainStatus) -> None:
        self.peers[peer] = PeerChain(status.best_number, status.best_hash)
        self._wake.set()

    def _on_down(self, peer: PeerId) -> None:
        self.peers.pop(peer, None)

    def _on_announce(self, peer: PeerId, data: bytes) -> None:
        raw, is_best, body = unpack(data, ANNOUNCE, 1 << 20, "announce")
        header = Header.decode(raw)
        state = self.peers.get(peer)
        if state is None:
            return
        block_hash = header.hash()
        state.learn(block_hash)
        if is_best and header.number >= state.best_number:  # announcements may overtake each other
            state.best_number, state.best_hash = header.number, block_hash
        if self.chain.store.knows(block_hash):
            return
        if body is not None and self.chain.store.knows(header.parent_hash):
            try:
                self._inbox_send.send_nowait((peer, Block(header, tuple(body))))
            except trio.WouldBlock:
                self._wake.set()
            return
        self._wake.set()

    # Bringing blocks in.

    def want_block(self, peer: str, _number: int, block_hash: bytes) -> None:
        """Fetch a block that a vote names, on whatever fork: from `peer`, or from whoever has it when that is ""."""
        if len(self._wanted) < WANTED_MAX:
            self._wanted[block_hash] = peer
            self._wake.set()

    async def _import_announced(self) -> None:
        async for peer, block in self._inbox:
            if not await self.take(peer, block):
                self._wake.set()

    async def take(self, peer: PeerId, block: Block) -> bool:
        """Import a block of a peer; whether it is stored afterwards. A bad one costs the peer its reputation."""
        while True:
            try:
                result = await self.chain.import_block(block)
            except BlockKnown:
                return True
            except DeferredBlock as early:
                await trio.sleep(early.wait_ms / 1000)
            except InvalidBlock as error:
                self._refuse(peer, block, error)
                return False
            except DatabaseError:
                raise  # our own disk: the node stops
            except StoreError as error:
                log.debug("block refused", number=block.header.number, peer=peer, reason=str(error))
                return False
            else:
                known = self.peers.get(peer)
                if known is not None:
                    known.learn(result.head.hash)
                log.info(imported_line(result.head.number, result.head.hash))
                return True

    def _refuse(self, peer: PeerId, block: Block, error: InvalidBlock) -> None:
        log.warning("invalid block", number=block.header.number, peer=peer, reason=str(error))
        if error.fault is BlockFault.INTERNAL:
            return
        self._penalise(peer, BAD_BLOCK, str(error))
        self.peers.pop(peer, None)

    def _penalise(self, peer: PeerId, penalty: Penalty, detail: str) -> None:
        self.network.report(peer, penalty.delta, f"{penalty.reason}: {detail}")

    async def _catch_up(self) -> None:
        """Fetch from whichever peer says it is ahead, whenever something happened or every few seconds."""
        while True:
            with trio.move_on_after(IDLE_S):
                await self._wake.wait()
            self._wake = trio.Event()
            for peer in self._ahead():
                await self._fetch_from(peer)
            wanted, self._wanted = self._wanted, {}
            for block_hash, named_by in wanted.items():
                await self._fetch_wanted(block_hash, named_by)
            self.syncing = False

    def _ahead(self) -> list[PeerId]:
        """Peers whose best block we lack, the highest first."""
        store = self.chain.store
        lacking = [
            (state.best_number, peer)
            for peer, state in self.peers.items()
            if state.best_number > self.chain.finalised.number and not store.knows(state.best_hash)
        ]
        return [peer for _, peer in sorted(lacking, reverse=True)]

    async def _fetch_from(self, peer: PeerId) -> None:
        """Ranges from our finalised head up to the peer's best block, as it stands now."""
        state = self.peers.get(peer)
        if state is None:
            return
        target, target_number = state.best_hash, state.best_number
        start = self.chain.finalised.number + 1
        while not self.chain.store.knows(target) and peer in self.peers:
            try:
                count = await self._fetch_range(peer, start, target)
            except RequestFailed as failed:
                log.debug("sync request failed", peer=peer, reason=str(failed))
                self._penalise(peer, TIMED_OUT, str(failed))
                state.best_number = 0
                return
            if count == 0:
                state.best_number = 0
                return
            start += count
            # Only blocks that proved valid say that we are behind: a claim alone must not keep us from authoring.
            self.syncing = target_number > self.chain.best.number + BLOCKS_PER_REQUEST_MAX

    async def _fetch_wanted(self, block_hash: bytes, named_by: str) -> None:
        """Ranges from our finalised head up to a wanted block, from the first peer that gives it."""
        asked = [PeerId(named_by)] if named_by in self.peers else list(self.peers)[:WANTED_PEERS_MAX]
        for peer in asked:
            start = self.chain.finalised.number + 1
            count = 1
            while count and not self.chain.store.knows(block_hash):
                try:
                    count = await self._fetch_range(peer, start, block_hash)
                except RequestFailed as failed:
                    log.debug("wanted block", peer=peer, reason=str(failed))
                    break
                start += count

    async def _fetch_range(self, peer: PeerId, start: int, target: bytes) -> int:
        """Import one range; how many blocks of it are now stored (0: give this peer up)."""
        request = pack([start, BLOCKS_PER_REQUEST_MAX, target])
        answer = await self.network.request(peer, PROTOCOL, request, REQUEST_TIMEOUT_MS)
        try:
            items = unpack(answer, RESPONSE, RESPONSE_BYTES_MAX, "sync answer")
            blocks = [(Block(Header.decode(raw), tuple(body)), proof) for raw, body, proof in items]
        except (MalformedMessage, ValueError) as error:
            self._penalise(peer, BAD_RESPONSE, str(error))
            return 0
        try:
            return await self._import_range(peer, start, blocks)
        finally:
            self._fetched = 0

    async def _import_range(self, peer: PeerId, start: int, blocks: list[tuple[Block, bytes | None]]) -> int:
        """How many blocks of a fetched range are now stored: all or 0."""
        for number, (block, proof) in enumerate(blocks):
            self._fetched = len(blocks) - number
            if block.header.number != start + number:
                self._penalise(peer, BAD_RESPONSE, f"block {block.header.number} where {start + number} was asked")
                return 0
            if not await self.take(peer, block):
                return 0
            if proof is not None:
                self.on_justification(block.header.hash(), proof)
        return len(blocks)

    # Giving blocks out.

    async def _serve(self, peer: PeerId, data: bytes) -> bytes:
        """A range of ancestors of a block, ascending: as many as were asked for and fit."""
        start, count, target = unpack(data, REQUEST, 256, "sync request")
        store = self.chain.store
        try:
            last = min(store.number(target), start + min(count, BLOCKS_PER_REQUEST_MAX) - 1)
        except UnknownBlock as unknown:
            raise RequestRefused(f"target: {unknown}") from unknown
        answer: list[list[object]] = []
        size = 0
        for number in range(start, last + 1):
            block_hash = store.ancestor(target, number)
            body = store.body(block_hash)
            if body is None or size > RESPONSE_BYTES_SOFT:
                break
            size += sum(len(raw) for raw in body)
            answer.append([store.header(block_hash), body, store.justification(block_hash)])
        return pack(answer)

    async def _announce_new(self) -> None:
        while True:
            with self.chain.events.listen() as events:
                async for event in events:
                    if isinstance(event, Imported) and event.is_best:
                        self.network.update_status(self.status())
                        self._announce(event)

    def _announce(self, event: Imported) -> None:
        raw = event.header.encode()
        try:
            body = self.chain.store.body(event.head.hash) or []
        except UnknownBlock:
            return  # another fork became final meanwhile
        small = sum(len(extrinsic) for extrinsic in body) <= BODY_PUSH_BYTES_MAX
        message = pack([raw, True, body if small else None])
        for peer, state in list(self.peers.items()):
            if event.head.hash not in state.known and self.network.notify(peer, Kind.ANNOUNCE, message):
                state.learn(event.head.hash)
