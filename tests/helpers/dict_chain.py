"""The whole runtime over a dictionary: every block is authored by one executive and re-executed by another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from node.beacon_chain import BeaconAuthor
from node.keys.pair import Pair
from runtime import tree
from runtime.chain_spec import ChainSpec
from runtime.executive import Executed, Executive
from runtime.extrinsic import SigningContext, bare_extrinsic, sign_extrinsic
from runtime.heddle import TRANSACTION_VERSION, Heddle
from runtime.pallet import RuntimeCall
from runtime.types import AURA_ENGINE, Block, Digest, Header, Seal, slot_item


class DictState:
    """A state in memory, with its tree: what the executive reads a block's parent from."""

    def __init__(self, values: dict[bytes, bytes]) -> None:
        self.values = values
        self.root = tree.build_from_state(values.items())

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def iterate(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key in sorted(self.values):
            if key.startswith(prefix) and key >= start:
                yield key, self.values[key]

    def updated_root(self, changes: Sequence[tuple[bytes, bytes | None]]) -> tree.Node:
        return DictState(self.with_changes(changes)).root

    def with_changes(self, changes: Sequence[tuple[bytes, bytes | None]]) -> dict[bytes, bytes]:
        """The values after a block."""
        result = dict(self.values)
        for key, value in changes:
            if value is None:
                result.pop(key, None)
            else:
                result[key] = value
        return result


class DictChain:
    """One chain without forks. `authors` are the pairs whose aura keys may have to seal."""

    def __init__(self, spec: ChainSpec, authors: Sequence[Pair]) -> None:
        genesis = spec.build()
        self.slot_ms = genesis.slot_ms
        self.genesis_hash = genesis.header.hash()
        self.headers = [genesis.header]
        self.state = DictState(genesis.state)
        self.authors = {pair.public: pair for pair in authors}
        self.beacons = {pair.public: BeaconAuthor(pair.secret, self.genesis_hash) for pair in authors}
        self.authoring, self.importing = Executive(self._runtime()), Executive(self._runtime())
        self.runtime = self.authoring.runtime

    def _runtime(self) -> Heddle:
        runtime = Heddle(self.slot_ms)
        runtime.system.genesis_hash = self.genesis_hash
        return runtime

    def call(self, pallet: str, name: str, *arguments: Any) -> RuntimeCall:
        """A call by its names."""
        return self.runtime.definition(pallet, name)(*arguments)

    def bare(self, call: RuntimeCall) -> bytes:
        """An unsigned extrinsic."""
        return bare_extrinsic(self.runtime.call_codec.encode(call))

    def signed(self, pair: Pair, nonce: int, call: RuntimeCall) -> bytes:
        """An immortal extrinsic signed by `pair`."""
        context = SigningContext(self.runtime.state.spec, TRANSACTION_VERSION, self.genesis_hash)
        return sign_extrinsic(self.runtime.call_codec.encode(call), pair.public, pair.sign, context, nonce=nonce)

    def look(self) -> Heddle:
        """The runtime over the present state, its invariants checked."""
        head = self.headers[-1]
        self.runtime.attach(self.state, head.number + 1)
        self.runtime.look_from(head)
        self.runtime.check_state()
        return self.runtime

    def author(self, slot: int) -> Pair:
        """Whose slot it is in a child of the head."""
        key = self.look().aura.author_key(slot)
        assert key is not None
        return self.authors[key]

    def digest(self, slot: int) -> Digest:
        """Slot and reveal of a child of the head."""
        author, runtime = self.author(slot), self.runtime
        commitment = runtime.beacon.author_commitment(slot)
        assert commitment is not None
        reveal = self.beacons[author.public].reveal(commitment, runtime.beacon.chain(commitment))
        return Digest((slot_item(slot), reveal.item()))

    def make(self, slot: int, *extrinsics: bytes) -> tuple[Block, Executed]:
        """A sealed block upon the head, not yet part of the chain."""
        author, digest, parent = self.author(slot), self.digest(slot), self.headers[-1]
        self.authoring.start(parent.hash(), parent.number + 1, digest, self.state)
        time = self.bare(self.call("Timestamp", "set", slot * self.slot_ms))
        for raw in (time, *extrinsics):
            self.authoring.apply(self.authoring.cache.decode(raw, self.runtime))
        executed = self.authoring.finish()
        return Block(seal(executed.header, author), executed.extrinsics), executed

    def block(self, slot: int, *extrinsics: bytes) -> Executed:
        """Author a block, execute it again as an importer would, and make it the head."""
        block, made = self.make(slot, *extrinsics)
        executed = self.importing.execute_block(block, self.state)
        assert executed.changes == made.changes
        self.state = DictState(self.state.with_changes(executed.changes))
        assert tree.digest(self.state.root) == block.header.state_root
        self.headers.append(block.header)
        self.look()
        return executed


def seal(header: Header, author: Pair) -> Header:
    """The header with its author's seal."""
    return header.with_item(Seal(AURA_ENGINE, author.sign(header.hash())))
