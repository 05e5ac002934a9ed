"""A power cut before any write of the store: the next start has every acknowledged block and reaches the same end."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from random import Random

import pytest

from node.store.errors import DatabaseDamaged
from node.store.records import decode_journal, encode_journal
from node.store.startup import create_store, open_store
from node.store.store import Store
from node.store.verify import verify_database
from tests.helpers.store_chain import Made, check_state, import_made, make_block, make_genesis, new_store
from tests.sim.disk import MemoryDatabase

CHAIN_BLOCKS = 140
"""More than two batches of flushing."""


class PowerCut(Exception):
    """The lights go out."""


def cut_at(write: int) -> Callable[[int], None]:
    """Stops the database before the given write."""

    def on_write(number: int) -> None:
        if number == write:
            raise PowerCut

    return on_write


@cache
def story() -> tuple[list[Made], list[Made], list[Made]]:
    """(trunk with genesis first, a fork that loses, what comes after finality)."""
    trunk = [make_genesis()]
    for i in range(CHAIN_BLOCKS):
        changes: dict[bytes, bytes | None] = {b"n": b"%d" % i, b"k%d" % (i % 9): b"v%d" % i, b"k%d" % (i % 5): None}
        trunk.append(make_block(trunk[-1], changes, b"trunk", b"e%d" % i))
    fork = [make_block(trunk[100], {b"fork": b"1"}, b"fork")]
    fork.append(make_block(fork[0], {b"fork": b"2"}, b"fork"))
    later = [make_block(trunk[-1], {b"later": b"1", b"n": None}, b"later")]
    later.append(make_block(later[0], {b"later": b"2"}, b"later", None))
    return trunk, fork, later


@cache
def before() -> dict[bytes, bytes]:
    """The database with the trunk and the fork, nothing finalised."""
    trunk, fork, _ = story()
    database = MemoryDatabase()
    store = new_store(database, trunk[0])
    for made in trunk[1:]:
        import_made(store, made)
    for made in fork:
        import_made(store, made, best=False)
    return database.content()


def play(store: Store, acknowledged: list[str]) -> None:
    """The rest of the story, leaving out what has been done; notes each step that returned."""
    trunk, _, later = story()
    store.finalize(trunk[3].hash, b"three")
    acknowledged.append("final 3")
    store.finalize(trunk[138].hash, b"proof")
    acknowledged.append("final 138")
    for made in later:
        if not store.knows(made.hash):
            import_made(store, made)
        acknowledged.append(f"block {made.number}")
    store.finalize(later[0].hash)
    acknowledged.append("final 141")


def check_promises(store: Store, acknowledged: list[str]) -> None:
    """Whatever returned before the cut is there after it."""
    trunk, _, later = story()
    for step in acknowledged:
        kind, number = step.split()
        if kind == "final":
            assert store.finalised.number >= int(number)
        else:
            assert store.knows({made.number: made.hash for made in later}[int(number)])
    assert store.flushed == store.finalised
    for made in (*trunk[::23], trunk[-1]):
        check_state(store, made)


def test_a_cut_before_any_write_reaches_the_same_end() -> None:
    """For each write of finality, flushing and import: cut, start, check, go on; the databases end up equal."""
    whole = MemoryDatabase(before())
    play(open_store(whole), [])
    assert whole.writes > 8
    for write in range(whole.writes):
        database = MemoryDatabase(before(), cut_at(write))
        acknowledged: list[str] = []
        with pytest.raises(PowerCut):
            play(open_store(database), acknowledged)
        again = database.crash(Random(write))
        assert verify_database(again).problems == []
        store = open_store(again)
        check_promises(store, acknowledged)
        play(store, [])
        assert again.content() == whole.content()


def test_cuts_during_the_recovery_itself() -> None:
    """A start that is cut while it finishes flushing is as harmless, however often it happens."""
    trunk, _, _ = story()
    whole = MemoryDatabase(before())
    open_store(whole).finalize(trunk[138].hash)
    database = MemoryDatabase(before(), cut_at(1))
    with pytest.raises(PowerCut):
        open_store(database).finalize(trunk[138].hash)
    for attempt in range(3):
        left = database.crash(Random(attempt)).content()
        database = MemoryDatabase(left, cut_at(1))
        if attempt < 2:
            with pytest.raises(PowerCut):
                open_store(database)
        else:
            assert open_store(database).flushed.number == 138
    assert database.content() == whole.content()


def test_marked_finality_survives_before_anything_is_flushed() -> None:
    """When the first half of finality has returned, a cut cannot take it back, whatever the disk keeps of the rest."""
    trunk, fork, _ = story()
    for seed in range(8):
        database = MemoryDatabase(before())
        open_store(database).mark_finalised(trunk[120].hash, b"proof")
        store = open_store(database.crash(Random(seed)))
        assert store.finalised.number == store.flushed.number == 120
        assert store.justification(trunk[120].hash) == b"proof"
        assert not store.knows(fork[0].hash)


def test_a_cut_while_creating_leaves_an_empty_database() -> None:
    """Genesis is one write: it is there or it is not."""
    genesis = story()[0][0]
    database = MemoryDatabase(on_write=cut_at(0))
    with pytest.raises(PowerCut):
        new_store(database, genesis)
    again = database.crash(Random(1))
    assert again.content() == {}
    check_state(create_store(again, genesis.header, genesis.hash, genesis.state), genesis)


class ForgetfulDatabase(MemoryDatabase):
    """A disk that says it has synced and has not."""

    def write(self, puts: object, deletes: object = (), *, sync: bool = False) -> None:
        super().write(puts, deletes, sync=False)  # type: ignore[arg-type]  # any iterables do


def test_the_power_cut_can_bite() -> None:
    """On a disk that ignores sync, acknowledged blocks are lost: the simulated cut is not harmless by itself."""
    trunk, _, later = story()
    lost = 0
    for seed in range(10):
        database = ForgetfulDatabase(before())
        store = open_store(database)
        for made in later:
            import_made(store, made)
        again = open_store(database.crash(Random(seed)))
        assert again.best.number in (len(trunk) - 1, len(trunk), len(trunk) + 1)
        lost += again.best.number <= len(trunk)
    assert lost


@pytest.mark.parametrize("table", [b"S", b"j", b"e", b"mb", b"mf", b"h"])
def test_a_lost_or_changed_record_is_refused(table: bytes) -> None:
    """A record that start relies on, missing or altered, stops it with an error that names the remedy."""
    trunk, _, _ = story()
    whole = MemoryDatabase(before())
    open_store(whole).finalize(trunk[130].hash)
    content = whole.content()
    flushed = open_store(whole).flushed
    victims = [key for key in content if key.startswith(table)]
    if table in (b"h", b"e"):
        victims = [key for key in victims if key[9:] == flushed.hash]
    assert victims
    for changed in (None, b"\x00" * 40):
        broken = {**content}
        if changed is None:
            del broken[victims[0]]
        else:
            broken[victims[0]] = changed
        if table == b"h" and changed is not None:
            assert not verify_database(MemoryDatabase(broken)).sound
            continue
        with pytest.raises(DatabaseDamaged, match="heddle chain verify"):
            open_store(MemoryDatabase(broken))
        assert not verify_database(MemoryDatabase(broken)).sound


def test_a_journal_that_leads_elsewhere_is_refused() -> None:
    """A well-formed journal with another value does not reach the root it names: start refuses it."""
    content = before()
    key = max(key for key in content if key.startswith(b"j"))
    journal = decode_journal(content[key])
    changed = replace(journal, changes=((journal.changes[0][0], b"another"), *journal.changes[1:]))
    with pytest.raises(DatabaseDamaged, match="leads to another root"):
        open_store(MemoryDatabase({**content, key: encode_journal(changed)}))
