"""What the store promises block by block: reads, refusals, finality, pruning, reverting."""

import sys
import threading

import pytest

from node.store import keys
from node.store.block_tree import LEAVES_MAX
from node.store.errors import (
    BlockKnown,
    HeaderMismatch,
    NotDescendant,
    StateDiscarded,
    TooManyLeaves,
    TooManyOfOneSlot,
    UnknownBlock,
)
from node.store.flush import FLUSH_BLOCKS_MAX, Pruning
from node.store.records import Head
from node.store.startup import open_store
from node.store.store import Store
from node.store.verify import verify_database
from runtime import proof
from tests.helpers.store_chain import Made, check_state, import_made, make_block, make_genesis, new_store
from tests.sim.disk import MemoryDatabase


def grow(store: Store, parent: Made, blocks: int, salt: bytes = b"main") -> list[Made]:
    """A chain of so many blocks on `parent`, each the new best; keys come, change and go."""
    made = []
    for i in range(blocks):
        number = parent.number + 1
        changes: dict[bytes, bytes | None] = {
            b"counter": b"%d" % number,
            b"slot %d" % (number % 7): salt + b"%d" % number,
            b"slot %d" % (number % 5): None,
        }
        parent = make_block(parent, changes, salt, events=None if number % 11 == 0 else b"events %d" % number)
        import_made(store, parent)
        made.append(parent)
        assert store.best == Head(parent.number, parent.hash), i
    return made


def start(pruning: Pruning | None = None) -> tuple[MemoryDatabase, Store, Made]:
    """A fresh store over a fresh database."""
    database = MemoryDatabase()
    genesis = make_genesis()
    return database, new_store(database, genesis, pruning), genesis


def test_genesis_is_best_finalised_and_readable() -> None:
    """A new store stands at its genesis block, whose state reads whole."""
    _, store, genesis = start()
    head = Head(0, genesis.hash)
    assert (store.best, store.finalised, store.flushed, store.leaves()) == (head, head, head, [head])
    assert store.genesis_hash == store.hash_at(0) == genesis.hash
    assert store.header(genesis.hash) == genesis.header
    assert store.body(genesis.hash) == []
    check_state(store, genesis)


def test_an_imported_block_reads_back() -> None:
    """Header, body, events, number, parent and state of a block are there right after its import."""
    _, store, genesis = start()
    made = grow(store, genesis, 1)[0]
    assert store.header(made.hash) == made.header
    assert store.body(made.hash) == made.body
    assert store.events(made.hash) == made.events
    assert (store.number(made.hash), store.parent(made.hash), store.hash_at(1)) == (1, genesis.hash, made.hash)
    assert store.unfinalised() == [Head(1, made.hash)]
    assert store.justification(made.hash) is None
    check_state(store, made)
    check_state(store, genesis)


def test_one_import_is_one_write() -> None:
    """A block enters with a single atomic write, and finality takes one more and one per flush batch."""
    database, store, genesis = start()
    before = database.writes
    made = grow(store, genesis, 3)
    assert database.writes == before + 3
    store.finalize(made[1].hash)
    assert database.writes == before + 5


def test_states_stay_readable_on_both_sides_of_the_flushed_head() -> None:
    """Whatever is finalised, every block's state within the window reads as it was: by key, listing and tree."""
    _, store, genesis = start()
    made = [genesis, *grow(store, genesis, 40)]
    for finalised in (1, 2, 17, 39, 40):
        store.finalize(made[finalised].hash)
        assert store.flushed == store.finalised == Head(finalised, made[finalised].hash)
        for each in made:
            check_state(store, each)


def test_a_reader_outlives_finality() -> None:
    """A reader taken above the flushed head reads the same state when its block is flushed and passed."""
    _, store, genesis = start()
    made = grow(store, genesis, 6)
    reader = store.state_at(made[2].hash)
    listing = reader.iterate(b"")
    first = next(listing)
    store.finalize(made[4].hash)
    grow(store, made[5], 2)
    assert [first, *listing] == list(reader.iterate(b"")) == sorted(made[2].state.items())
    assert reader.get(b"counter") == b"3"


def test_enumeration_merges_prefix_and_start() -> None:
    """Listing honours the prefix and the first key, with pending changes over the flushed state."""
    _, store, genesis = start()
    made = grow(store, genesis, 12)
    store.finalize(made[7].hash)
    for each in made:
        reader = store.state_at(each.hash)
        content = sorted(each.state.items())
        for prefix in (b"", b"s", b"slot ", b"counter", keys.EVENTS_KEY, b"zzz"):
            for first in (b"", b"slot 2", b"slot 2\x00", keys.EVENTS_KEY, b"\xff"):
                expected = [(key, value) for key, value in content if key.startswith(prefix) and key >= first]
                assert list(reader.iterate(prefix, first)) == expected


def test_pages_of_keys_cover_the_listing() -> None:
    """Pages chained by their last key give every key once."""
    _, store, genesis = start()
    made = grow(store, genesis, 12)[-1]
    reader = store.state_at(made.hash)
    found: list[bytes] = []
    while page := reader.keys_paged(b"", 3, found[-1] if found else None):
        assert len(page) <= 3
        found += page
    assert found == sorted(made.state)


def test_forks_read_their_own_states() -> None:
    """Two forks over one parent keep apart, whichever of them is best and whatever the other wrote."""
    _, store, genesis = start()
    trunk = grow(store, genesis, 3)
    left = grow(store, trunk[1], 3, b"left")
    right = grow(store, trunk[1], 4, b"right")
    for each in [*trunk, *left, *right]:
        check_state(store, each)
    store.set_best(left[-1].hash)
    assert [store.hash_at(n) for n in range(7)] == [
        genesis.hash, trunk[0].hash, trunk[1].hash, *(made.hash for made in left), None,
    ]  # fmt: skip
    for each in [*trunk, *left, *right]:
        check_state(store, each)
    assert {head.hash for head in store.leaves()} == {trunk[2].hash, left[-1].hash, right[-1].hash}


def test_ancestry() -> None:
    """Ancestors by height, descent and the common ancestor hold across forks and below the flushed head."""
    _, store, genesis = start()
    trunk = grow(store, genesis, 5)
    left = grow(store, trunk[3], 3, b"left")
    store.finalize(trunk[2].hash)
    assert store.ancestor(left[-1].hash, 5) == left[0].hash
    assert store.ancestor(left[-1].hash, 2) == trunk[1].hash
    assert store.is_descendant(left[-1].hash, trunk[0].hash)
    assert store.is_descendant(trunk[4].hash, trunk[4].hash)
    assert not store.is_descendant(left[-1].hash, trunk[4].hash)
    assert not store.is_descendant(trunk[0].hash, trunk[1].hash)
    assert store.common_ancestor(left[-1].hash, trunk[4].hash) == Head(4, trunk[3].hash)
    assert store.common_ancestor(trunk[0].hash, left[-1].hash) == Head(1, trunk[0].hash)
    with pytest.raises(ValueError, match="height 9"):
        store.ancestor(trunk[0].hash, 9)
    with pytest.raises(UnknownBlock):
        store.ancestor(bytes(32), 0)


def test_finality_prunes_losing_forks_and_moves_best() -> None:
    """Finalising a side fork deletes the others with all their records, and best moves to the highest survivor."""
    database, store, genesis = start()
    trunk = grow(store, genesis, 3)
    side = grow(store, trunk[0], 3, b"side")
    main = grow(store, trunk[2], 3)
    reader = store.state_at(main[-1].hash)
    result = store.finalize(side[1].hash, b"proof")
    assert result.finalised == (Head(1, trunk[0].hash), Head(2, side[0].hash), Head(3, side[1].hash))
    assert {head.hash for head in result.pruned} == {made.hash for made in [*trunk[1:], *main]}
    assert result.best == store.best == Head(4, side[2].hash)
    assert store.leaves() == [store.best]
    assert store.justification(side[1].hash) == b"proof"
    gone = {made.hash for made in [*trunk[1:], *main]}
    assert not [key for key in database.content() if any(block_hash in key for block_hash in gone)]
    assert store.hash_at(5) is None
    with pytest.raises(UnknownBlock):
        store.state_at(main[-1].hash)
    with pytest.raises(StateDiscarded):
        reader.get(b"counter")
    for each in [genesis, trunk[0], *side]:
        check_state(store, each)
    assert verify_database(database).problems == []


def test_finality_never_goes_back_or_aside() -> None:
    """A lower final block only gains its justification; a block on no known or a lost chain is refused."""
    _, store, genesis = start()
    trunk = grow(store, genesis, 4)
    side = grow(store, trunk[0], 1, b"side")
    store.finalize(trunk[2].hash)
    result = store.finalize(trunk[1].hash, b"late")
    assert (result.finalised, result.pruned) == ((), ())
    assert store.finalised == Head(3, trunk[2].hash)
    assert store.justification(trunk[1].hash) == b"late"
    for lost in (side[0].hash, bytes(32)):
        with pytest.raises(UnknownBlock):
            store.finalize(lost)
    assert store.finalised == Head(3, trunk[2].hash)


def test_deferred_flushing_refuses_what_finality_left_behind() -> None:
    """Between the two halves of finality the lost forks are still on disk and neither extended nor finalised."""
    _, store, genesis = start()
    trunk = grow(store, genesis, 4)
    side = grow(store, trunk[0], 1, b"side")[0]
    store.set_best(trunk[-1].hash)
    store.mark_finalised(trunk[2].hash)
    assert store.flushed.number == 0
    for parent in (side, trunk[0]):
        child = make_block(parent, {}, b"late")
        with pytest.raises(NotDescendant):
            store.check_import(child.hash, parent.hash, child.number)
    with pytest.raises(NotDescendant):
        store.finalize(side.hash)
    with pytest.raises(StateDiscarded):
        store.state_at(side.hash)
    for each in [genesis, *trunk]:
        check_state(store, each)
    while store.flush_some():
        pass
    assert store.flushed.number == 3
    assert not store.knows(side.hash)


def test_flushing_goes_by_batches() -> None:
    """A long finalised stretch is flushed in batches, and states are whole between any two of them."""
    database, store, genesis = start()
    made = grow(store, genesis, FLUSH_BLOCKS_MAX * 2 + 10)
    side = grow(store, made[99], 2, b"side")
    store.set_best(made[-1].hash)
    store.mark_finalised(made[-2].hash)
    flushed = []
    more = True
    while more:
        more = store.flush_some()
        flushed.append(store.flushed.number)
        for each in made[::13]:
            check_state(store, each)
        assert verify_database(database).problems == []
    assert flushed == [64, 128, 137]
    assert not store.knows(side[0].hash)
    assert not store.flush_some()


def test_refusals_change_nothing() -> None:
    """A known block, an unknown parent, a wrong number, header, root or parent are refused before any write."""
    database, store, genesis = start()
    first, second = grow(store, genesis, 2)
    before = database.content()
    child = make_block(second, {b"a": b"b"})
    root = store.state_at(second.hash).updated_root([(b"a", b"b"), (keys.EVENTS_KEY, child.events)])

    def attempt(**given: object) -> None:
        fields: dict[str, object] = {
            "block_hash": child.hash, "parent": second.hash, "number": 3, "header": child.header, "body": child.body,
            "events": child.events, "changes": child.changes.items(), "new_root": root, "is_new_best": True, **given,
        }  # fmt: skip
        store.import_block(**fields)  # type: ignore[arg-type]  # fields by name

    for given, error in (
        ({"block_hash": first.hash}, BlockKnown),
        ({"parent": bytes(32)}, UnknownBlock),
        ({"parent": first.hash}, HeaderMismatch),
        ({"parent": first.hash, "number": 2}, HeaderMismatch),
        ({"number": 4}, HeaderMismatch),
        ({"header": child.header + b"\x00"}, HeaderMismatch),
        ({"block_hash": b"\x01" * 32}, HeaderMismatch),
        ({"new_root": store.state_at(second.hash).root}, HeaderMismatch),
    ):
        with pytest.raises(error):
            attempt(**given)
    assert database.content() == before
    attempt()
    check_state(store, child)


def test_a_block_below_the_finalised_one_is_refused() -> None:
    """A child of a flushed ancestor cannot enter."""
    _, store, genesis = start()
    trunk = grow(store, genesis, 4)
    store.finalize(trunk[2].hash)
    for parent in (genesis, trunk[1]):
        child = make_block(parent, {}, b"late")
        with pytest.raises(NotDescendant):
            import_made(store, child, best=False)


def test_forks_are_bounded() -> None:
    """The store takes LEAVES_MAX forks and not one more; extending a fork goes on."""
    _, store, genesis = start()
    forks = [make_block(genesis, {}, b"%d" % i) for i in range(LEAVES_MAX + 1)]
    for fork in forks[:-1]:
        import_made(store, fork, best=False)
    with pytest.raises(TooManyLeaves):
        import_made(store, forks[-1], best=False)
    grow(store, forks[0], 2)
    assert len(store.leaves()) == LEAVES_MAX
    assert not store.knows(forks[-1].hash)


def test_a_third_block_of_one_author_and_slot_is_refused() -> None:
    """Two equivocating blocks are evidence enough, also after a restart; finality frees the count."""
    database, store, genesis = start()
    origin = (7, b"author")
    forks = [make_block(genesis, {}, b"%d" % i) for i in range(3)]
    for fork in forks[:2]:
        import_made(store, fork, best=True, origin=origin)
    for each in (store, open_store(database)):
        with pytest.raises(TooManyOfOneSlot):
            import_made(each, forks[2], best=False, origin=origin)
        import_made(each, make_block(genesis, {}, b"other" if each is store else b"another"), best=False)
    store = open_store(database)
    store.finalize(forks[0].hash)
    assert store.leaves() == [Head(1, forks[0].hash)]


def test_pruned_states_are_refused_by_name() -> None:
    """Behind the window states are discarded with their events and undo records; headers and bodies stay."""
    database, store, genesis = start(Pruning(state_blocks=5))
    made = [genesis, *grow(store, genesis, 20)]
    reader = store.state_at(made[3].hash)
    store.finalize(made[15].hash)
    for each in made[10:]:
        check_state(store, each)
    for each in made[:10]:
        with pytest.raises(StateDiscarded, match=f"State already discarded for block 0x{each.hash.hex()}"):
            store.state_at(each.hash)
        assert store.header(each.hash) == each.header
        assert store.body(each.hash) == each.body
        assert store.events(each.hash) is None
    for attempt in (lambda: reader.get(b"counter"), lambda: reader.root, lambda: list(reader.iterate(b""))):
        with pytest.raises(StateDiscarded):
            attempt()
    assert len([key for key in database.content() if key[:1] == keys.UNDO]) == 6
    assert verify_database(database).problems == []


def test_bodies_are_pruned_on_request() -> None:
    """With a window for bodies, older ones read as None while their headers stay."""
    _, store, genesis = start(Pruning(body_blocks=4))
    made = grow(store, genesis, 12)
    store.finalize(made[9].hash)
    assert [store.body(each.hash) is not None for each in made] == [each.number >= 6 for each in made]
    assert store.header(made[0].hash) == made[0].header


def test_an_archive_keeps_every_state() -> None:
    """Without pruning each state back to genesis reads by key, listing and tree, also after a restart."""
    database, store, genesis = start(Pruning(state_blocks=None))
    made = [genesis, *grow(store, genesis, 300)]
    store.finalize(made[290].hash)
    for each in made[::17]:
        check_state(store, each)
    again = open_store(database, genesis.hash, Pruning(state_blocks=None))
    for each in made[::29]:
        check_state(again, each)


def test_revert_stops_at_the_finalised_block() -> None:
    """Reverting takes blocks off every fork above the new best, at most down to the finalised head."""
    database, store, genesis = start()
    trunk = grow(store, genesis, 8)
    side = grow(store, trunk[4], 1, b"side")[0]
    store.set_best(trunk[-1].hash)
    store.finalize(trunk[2].hash)
    assert store.revert(2) == store.best == Head(6, trunk[5].hash)
    assert not store.knows(trunk[6].hash)
    assert store.knows(side.hash)
    assert store.hash_at(7) is None
    check_state(store, trunk[5])
    assert store.revert(100) == store.finalised == Head(3, trunk[2].hash)
    assert store.leaves() == [store.finalised]
    assert verify_database(database).problems == []
    grow(store, trunk[2], 2, b"anew")
    with pytest.raises(ValueError, match="negative"):
        store.revert(-1)


def test_proofs_come_from_any_kept_state() -> None:
    """A reader proves presence and absence against the block's header, above and below the flushed head."""
    _, store, genesis = start()
    made = grow(store, genesis, 10)
    store.finalize(made[6].hash)
    for each in made:
        reader = store.state_at(each.hash)
        for key in (b"counter", b"slot 1", b"slot 4", b"absent", keys.EVENTS_KEY):
            found = reader.prove(key)
            assert found.value == each.state.get(key)
            proof.verify_with_header(each.header, found, each.hash)


def test_small_records_of_other_parts() -> None:
    """A named record reads back, cannot shadow the store's own and has a bounded name."""
    database, store, _ = start()
    assert store.read_meta("grandpa") is None
    store.write_meta("grandpa", b"round 7")
    store.write_meta("best", b"nonsense")
    again = open_store(database)
    assert again.read_meta("grandpa") == b"round 7"
    assert again.best == store.best
    with pytest.raises(ValueError, match="at most"):
        store.write_meta("n" * 80, b"")


def test_headers_of_a_range() -> None:
    """A range of the best chain comes in order and ends where the chain does."""
    _, store, genesis = start()
    made = [genesis, *grow(store, genesis, 5)]
    assert list(store.headers_between(-3, 99)) == [(Head(m.number, m.hash), m.header) for m in made]
    assert list(store.headers_between(2, 3)) == [(Head(m.number, m.hash), m.header) for m in made[2:4]]


def test_memory_of_changes_ends_at_the_flushed_head() -> None:
    """The best leaf's dictionary holds what is newer than the flushed head and nothing else."""
    _, store, genesis = start()
    made = grow(store, genesis, 30)
    for target in (7, 20, 29):
        store.finalize(made[target].hash)
        newer = {key for each in made[target + 1 :] for key in each.changes}
        assert set(store._states._flat) == newer


def test_readers_in_threads_see_one_state() -> None:
    """While blocks are imported, finalised and flushed, threads that read fixed blocks see just their states."""
    _, store, genesis = start()
    made = grow(store, genesis, 10)
    problems: list[str] = []
    done = threading.Event()

    def read(target: Made) -> None:
        reader = store.state_at(target.hash)
        rounds = 0
        while not done.is_set() or rounds < 3:
            rounds += 1
            if any(reader.get(key) != value for key, value in target.state.items()):
                problems.append(f"a value of block {target.number}")
            if list(reader.iterate(b"")) != sorted(target.state.items()):
                problems.append(f"the listing of block {target.number}")

    threads = [threading.Thread(target=read, args=(made[i],)) for i in (2, 5, 9)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.00001)
    try:
        for thread in threads:
            thread.start()
        tip = made[-1]
        for number in range(11, 60):
            tip = grow(store, tip, 1)[0]
            store.finalize(store.ancestor(tip.hash, number - 5))
    finally:
        done.set()
        for thread in threads:
            thread.join(30)
        sys.setswitchinterval(before)
    assert problems == []
    assert not any(thread.is_alive() for thread in threads)
