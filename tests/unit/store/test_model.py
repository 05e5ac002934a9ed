"""The store against a plain model: a dictionary of blocks, each with its whole state, and nothing clever."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from node.store import keys
from node.store.errors import StateDiscarded
from node.store.flush import Pruning
from node.store.records import Head
from node.store.startup import open_store
from node.store.verify import verify_database
from tests.helpers.store_chain import Made, check_state, import_made, make_block, make_genesis, new_store
from tests.sim.disk import MemoryDatabase

WINDOW = 4
KEYS = [b"a", b"ab", b"abc", b"b", b"c\x00", b"c\xff", b"d"]


class StoreMachine(RuleBasedStateMachine):
    """Blocks on any fork, finality anywhere, reverts and restarts, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.database = MemoryDatabase()
        self.pruning = Pruning(state_blocks=WINDOW)
        self.salt = 0
        self.turn = 0

    @initialize(archive=st.booleans())
    def begin(self, archive: bool) -> None:
        """Some runs prune states, some keep them all."""
        if archive:
            self.pruning = Pruning(state_blocks=None)
        genesis = make_genesis({b"a": b"1", b"c": b"2"})
        self.store = new_store(self.database, genesis, self.pruning)
        self.blocks: dict[bytes, Made] = {genesis.hash: genesis}
        self.best = self.finalised = genesis

    def chain(self, made: Made) -> list[Made]:
        """The block and its ancestors, down to genesis."""
        chain = [made]
        while chain[-1].number:
            chain.append(self.blocks[chain[-1].parent])
        return chain

    def living(self) -> list[Made]:
        """The finalised block and all that descends from it."""
        return [made for made in self.blocks.values() if self.finalised in self.chain(made)]

    @rule(data=st.data(), aside=st.booleans(), quiet=st.booleans())
    def grow(self, data: st.DataObject, aside: bool, quiet: bool) -> None:
        """A block on the best one or anywhere; higher ones become best."""
        parent = data.draw(st.sampled_from(self.living())) if aside else self.best
        changes = data.draw(st.dictionaries(st.sampled_from(KEYS), st.none() | st.binary(max_size=3), max_size=5))
        self.salt += 1
        made = make_block(parent, changes, b"%d" % self.salt, None if quiet else b"e%d" % self.salt)
        better = made.number > self.best.number
        import_made(self.store, made, best=better)
        self.blocks[made.hash] = made
        if better:
            self.best = made

    @rule(data=st.data(), deferred=st.booleans())
    def finalize(self, data: st.DataObject, deferred: bool) -> None:
        """Any living block becomes final; forks beside it die; best moves to the highest, first seen."""
        target = data.draw(st.sampled_from(self.living()))
        if deferred:
            self.store.mark_finalised(target.hash)
        else:
            self.store.finalize(target.hash)
        self.finalised = target
        on_chain = self.chain(target)
        self.blocks = {
            block_hash: made
            for block_hash, made in self.blocks.items()
            if made in on_chain or target in self.chain(made)
        }
        if self.best not in self.living():
            self.best = max(self.living(), key=lambda made: made.number)

    @rule(data=st.data())
    def choose(self, data: st.DataObject) -> None:
        """Fork choice may prefer any living block."""
        self.best = data.draw(st.sampled_from(self.living()))
        self.store.set_best(self.best.hash)

    @precondition(lambda self: self.best.number > self.finalised.number)
    @rule(blocks=st.integers(0, 4))
    def revert(self, blocks: int) -> None:
        """Blocks above the new best go, on all forks."""
        number = max(self.finalised.number, self.best.number - blocks)
        self.best = next(made for made in self.chain(self.best) if made.number == number)
        self.store.revert(blocks)
        self.blocks = {block_hash: made for block_hash, made in self.blocks.items() if made.number <= number}

    @rule()
    def restart(self) -> None:
        """What is on disk is all there is."""
        self.database = MemoryDatabase(self.database.content())
        self.store = open_store(self.database, None, self.pruning)

    @invariant()
    def heads_agree(self) -> None:
        """Best, finalised, the canonical chain and the leaves are the model's."""
        store = self.store
        assert store.best == Head(self.best.number, self.best.hash)
        assert store.finalised == Head(self.finalised.number, self.finalised.hash)
        chain = [made.hash for made in reversed(self.chain(self.best))]
        assert [store.hash_at(number) for number in range(len(chain) + 2)] == [*chain, None, None]
        parents = {made.parent for made in self.living()}
        assert {head.hash for head in store.leaves()} == {m.hash for m in self.living() if m.hash not in parents}

    @invariant()
    def states_agree(self) -> None:
        """States within the window read whole and older ones are refused: a third of them after each step, in turn."""
        flushed = self.store.flushed.number
        self.turn += 1
        for made in list(self.blocks.values())[self.turn % 3 :: 3]:
            if self.pruning.state_blocks is None or made.number >= flushed - WINDOW:
                check_state(self.store, made)
                continue
            try:
                self.store.state_at(made.hash)
            except StateDiscarded:
                continue
            raise AssertionError(f"the state of block {made.number} should be gone")

    @invariant()
    def database_is_sound(self) -> None:
        """Verification finds nothing, no height outlives its use, no dead block has a record once all is flushed."""
        assert verify_database(self.database).problems == []
        canonical = [int.from_bytes(key[1:], "big") for key, _ in self.database.iterate(keys.CANONICAL)]
        assert canonical == list(range(self.best.number + 1))
        flushed = self.store.flushed.number
        oldest = 0 if self.pruning.state_blocks is None else max(0, flushed - WINDOW)
        undone = [int.from_bytes(key[1:9], "big") for key, _ in self.database.iterate(keys.UNDO)]
        assert undone == list(range(oldest, flushed + 1))
        if self.store.flushed == self.store.finalised:
            indexed = {key[1:] for key, _ in self.database.iterate(keys.HEIGHT_OF)}
            assert indexed == set(self.blocks)
            for table in (keys.HEADER, keys.JOURNAL, keys.UNDO, b"b", b"e"):
                assert {key[9:] for key, _ in self.database.iterate(table)} <= set(self.blocks)


TestStoreModel = StoreMachine.TestCase
TestStoreModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
