"""The store: restart, import, finality and reads with a state of 100,000 accounts on LevelDB, in wall milliseconds.

Target: at most 1,000 ms from opening the database to a usable head (DESIGN.md §11).

    python -m benchmarks.store [--json] [--keys 100000] [--changes 4000] [--blocks 8]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from random import Random

from node.store import keys
from node.store.database import LevelDatabase
from node.store.startup import create_store, open_store
from runtime import tree
from runtime.hashing import blake2b256

READS = 20_000


def header_of(parent: bytes, number: int, root: bytes) -> bytes:
    """A SCALE header below 64 with an empty digest."""
    return parent + bytes((number << 2,)) + root + bytes(32) + b"\x00"


def measure(key_count: int, change_count: int, blocks: int) -> dict[str, float]:
    """One run in a temporary folder."""
    random = Random(key_count)
    names = [b"System.Account: " + random.randbytes(64) for _ in range(key_count)]
    state = {name: random.randbytes(80) for name in names}
    header = header_of(bytes(32), 0, tree.digest(tree.build_from_state(state.items())))
    result: dict[str, float] = {"keys": key_count, "changes": change_count, "blocks": blocks}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()

        def lap(name: str, divide: float = 1) -> None:
            nonlocal start
            result[name] = round((time.perf_counter() - start) * 1000 / divide, 3)
            start = time.perf_counter()

        tip = blake2b256(header)
        store = create_store(LevelDatabase(Path(folder)), header, tip, state)
        lap("create_ms")
        tree_ms = 0.0
        for number in range(1, blocks + 1):
            changes = [(name, random.randbytes(80)) for name in random.sample(names, change_count)]
            changes.append((keys.EVENTS_KEY, random.randbytes(40 * change_count)))
            body = [random.randbytes(150) for _ in range(change_count // 2)]
            reader = store.state_at(tip)
            before = time.perf_counter()
            root = reader.updated_root(changes)
            tree_ms += (time.perf_counter() - before) * 1000
            header = header_of(tip, number, tree.digest(root))
            parent, tip = tip, blake2b256(header)
            start = time.perf_counter()
            store.import_block(tip, parent, number, header, body, changes[-1][1], changes, root, is_new_best=True)
            result["import_ms"] = result.get("import_ms", 0) + (time.perf_counter() - start) * 1000 / blocks
        result["tree_ms"] = tree_ms / blocks
        reader = store.state_at(tip)
        start = time.perf_counter()
        for name in random.sample(names, min(READS, key_count)):
            reader.get(name)
        lap("read_us", min(READS, key_count) / 1000)
        store.finalize(store.ancestor(tip, blocks // 2))
        lap("finalize_ms_a_block", blocks // 2)
        store.close()
        start = time.perf_counter()
        store = open_store(LevelDatabase(Path(folder)))
        lap("restart_ms")
        assert store.best.hash == tip
        store.close()
    return {name: round(value, 2) for name, value in result.items()}


def main() -> None:
    """Prints one line a figure, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--changes", type=int, default=4_000)
    parser.add_argument("--blocks", type=int, default=8)
    arguments = parser.parse_args()
    result = measure(arguments.keys, arguments.changes, arguments.blocks)
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:22} {value:>12,}")


if __name__ == "__main__":
    main()
