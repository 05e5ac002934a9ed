"""LevelDB behind the Database protocol: it agrees with the simulated database, and fails with typed errors."""

import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.store.database import Database, LevelDatabase, Snapshot, prefix_end, unusable
from node.store.errors import DatabaseDamaged, DatabaseError, DatabaseFull, DatabaseLocked, DatabaseUnsuitable
from node.store.flush import Pruning
from node.store.startup import create_store, is_initialised, open_store
from tests.helpers.store_chain import Made, check_state, import_made, make_block, make_genesis
from tests.sim.disk import MemoryDatabase

SHORT_KEYS = st.binary(max_size=3) | st.sampled_from([b"\xff", b"\xff\xff", b"a\xff", b"b", b"a"])


@settings(max_examples=40, deadline=None)
@given(
    batches=st.lists(st.tuples(st.dictionaries(SHORT_KEYS, st.binary(max_size=4)), st.lists(SHORT_KEYS)), max_size=6),
    questions=st.lists(
        st.tuples(SHORT_KEYS, st.none() | SHORT_KEYS, st.booleans(), st.none() | st.integers(0, 4)), max_size=10
    ),
)
def test_both_databases_answer_alike(
    batches: list[tuple[dict[bytes, bytes], list[bytes]]],
    questions: list[tuple[bytes, bytes | None, bool, int | None]],
) -> None:
    """The same writes give the same reads, listings in both directions and snapshots."""
    with tempfile.TemporaryDirectory() as folder:
        level, memory = LevelDatabase(Path(folder)), MemoryDatabase()
        snapshots: list[tuple[Snapshot, Snapshot]] = []
        for puts, deletes in batches:
            level.write(puts.items(), deletes)
            memory.write(puts.items(), deletes)
            snapshots.append((level.snapshot(), memory.snapshot()))
        moments: list[tuple[Snapshot | Database, Snapshot | Database]] = [(level, memory), *snapshots]
        for one, two in moments:
            for prefix, start, reverse, limit in questions:
                assert one.get(prefix) == two.get(prefix)
                assert list(one.iterate(prefix, start, reverse=reverse, limit=limit)) == list(
                    two.iterate(prefix, start, reverse=reverse, limit=limit)
                )
        for one, _ in snapshots:
            one.close()
        level.close()
        level.close()


def test_an_iterator_shows_the_moment_it_was_made(tmp_path: Path) -> None:
    """Writes after the call do not show, in either database."""
    for database in (LevelDatabase(tmp_path / "db"), MemoryDatabase()):
        database.write([(b"a", b"1"), (b"b", b"2")])
        iterator = database.iterate(b"")
        database.write([(b"c", b"3")], [b"a"])
        assert list(iterator) == [(b"a", b"1"), (b"b", b"2")]
        assert list(database.iterate(b"")) == [(b"b", b"2"), (b"c", b"3")]


def test_the_end_of_a_prefix() -> None:
    """The key after all keys with a prefix, which for 0xff… does not exist."""
    assert prefix_end(b"ab") == b"ac"
    assert prefix_end(b"a\xff\xff") == b"b"
    assert prefix_end(b"\xff") is prefix_end(b"") is None


def test_a_database_in_use_is_refused(tmp_path: Path) -> None:
    """Another process that opens the folder gets DatabaseLocked, and the holder is not disturbed."""
    database = LevelDatabase(tmp_path)
    database.write([(b"k", b"v")], sync=True)
    script = (
        "import sys; from pathlib import Path; from node.store.database import LevelDatabase\n"
        "from node.store.errors import DatabaseLocked\n"
        "try: LevelDatabase(Path(sys.argv[1]))\n"
        "except DatabaseLocked as error: print('locked:', error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"locked: {tmp_path} is in use by another process")
    with pytest.raises(DatabaseLocked):
        LevelDatabase(tmp_path)
    assert database.get(b"k") == b"v"


def fill(folder: Path) -> list[Made]:
    """A store with some flushed and some unfinalised blocks; returns all of them."""
    made = [make_genesis({b"key %d" % i: b"value %d" % i * 20 for i in range(500)})]
    database = LevelDatabase(folder)
    store = create_store(database, made[0].header, made[0].hash, made[0].state)
    for i in range(20):
        made.append(make_block(made[-1], {b"key %d" % i: None, b"new %d" % i: b"x" * 300}))
        import_made(store, made[-1])
    store.finalize(made[12].hash)
    store.close()
    return made


def test_a_store_comes_back_from_leveldb(tmp_path: Path) -> None:
    """Closed and opened again, heads and all states are the same; so they are when reopening compacts the log."""
    made = fill(tmp_path)
    for _ in range(2):
        database = LevelDatabase(tmp_path)
        assert is_initialised(database)
        store = open_store(database, made[0].hash)
        assert (store.best.hash, store.finalised.hash) == (made[20].hash, made[12].hash)
        for each in made[::4]:
            check_state(store, each)
        store.close()


def test_the_wrong_database_is_refused(tmp_path: Path) -> None:
    """An empty database, another genesis, another pruning mode and a second genesis are named, not opened."""
    made = fill(tmp_path)
    database = LevelDatabase(tmp_path)
    with pytest.raises(DatabaseUnsuitable, match="of chain"):
        open_store(database, bytes(32))
    with pytest.raises(DatabaseUnsuitable, match="pruning"):
        open_store(database, made[0].hash, Pruning(state_blocks=None))
    with pytest.raises(DatabaseUnsuitable, match="already"):
        create_store(database, made[0].header, made[0].hash, made[0].state)
    with pytest.raises(DatabaseUnsuitable, match="no chain"):
        open_store(MemoryDatabase())


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_is_never_taken_for_content(tmp_path: Path, seed: int) -> None:
    """One bit flipped in a file of the database: it is refused, or nothing that counts was hit; never another state."""
    made = fill(tmp_path)
    random = Random(seed)
    # Reopening turns the log into tables; half of the runs damage those.
    if seed % 2:
        LevelDatabase(tmp_path).close()
    files = sorted(p for p in tmp_path.iterdir() if p.name[0].isdigit() or p.name.startswith(("MANIFEST", "CURRENT")))
    sizes = [p.stat().st_size for p in files]
    victim = random.choices(files, weights=[size + 64 for size in sizes])[0]
    content = bytearray(victim.read_bytes())
    if not content:
        return
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    victim.write_bytes(content)
    try:
        database = LevelDatabase(tmp_path)
    except DatabaseDamaged:
        return
    try:
        store = open_store(database, made[0].hash)
        assert store.best.hash in {each.hash for each in made}
        for each in made:
            if store.knows(each.hash):
                assert store.header(each.hash) == each.header
                check_state(store, each)
    except DatabaseError:
        return
    finally:
        database.close()


def written(folder: Path, pattern: str, *, reopen: bool) -> tuple[dict[bytes, bytes], Path, bytearray]:
    """A database of 200 random values: the content, its one file of that pattern and the bytes of it."""
    content = {b"key %03d" % i: Random(i).randbytes(500) for i in range(200)}
    database = LevelDatabase(folder)
    database.write(content.items(), sync=True)
    database.close()
    if reopen:
        LevelDatabase(folder).close()
    file = max(folder.glob(pattern), key=lambda path: path.stat().st_size)
    return content, file, bytearray(file.read_bytes())


def test_a_flipped_bit_in_the_log_stops_the_opening(tmp_path: Path) -> None:
    """What was written last is in the log; damaged, the database does not open with a part of it."""
    for at in (20, 30_000, 90_000):
        folder = tmp_path / str(at)
        _, file, content = written(folder, "*.log", reopen=False)
        content[at] ^= 1
        file.write_bytes(content)
        with pytest.raises(DatabaseDamaged, match="heddle chain verify"):
            LevelDatabase(folder)


def test_a_flipped_bit_in_a_table_is_found_on_reading(tmp_path: Path) -> None:
    """A get, a listing and a snapshot give what was written or DatabaseDamaged, never the flipped value."""
    expected, file, content = written(tmp_path, "*.ldb", reopen=True)
    content[40_000] ^= 1
    file.write_bytes(content)
    database = LevelDatabase(tmp_path)
    snapshot = database.snapshot()
    for source in (database, snapshot):
        damaged = 0
        for key, value in expected.items():
            try:
                assert source.get(key) == value
            except DatabaseDamaged:
                damaged += 1
        assert 0 < damaged < len(expected)
        with pytest.raises(DatabaseDamaged):
            list(source.iterate(b"key"))
    snapshot.close()
    database.close()


def test_a_full_disk_is_no_damage() -> None:
    """LevelDB's text for a full disk becomes DatabaseFull, which tells nobody to remove the database."""
    full = unusable(OSError("IO error: /chains/dev/db/000003.log: No space left on device"))
    assert isinstance(full, DatabaseFull)
    assert "remov" not in str(full)
    assert isinstance(unusable(OSError("Corruption: bad block")), DatabaseDamaged)
