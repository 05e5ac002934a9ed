"""A process to kill: imports and finalises blocks in a LevelDB folder and says on stdout what has returned."""

import sys
from pathlib import Path

from node.store.database import LevelDatabase
from node.store.startup import create_store, is_initialised, open_store
from tests.helpers.store_chain import Made, import_made, make_block, make_genesis

BLOCKS_MAX = 5_000


def block_after(parent: Made) -> Made:
    """The one block that follows in every run."""
    n = parent.number + 1
    changes: dict[bytes, bytes | None] = {b"n": b"%d" % n, b"k%d" % (n % 9): b"v%d" % n, b"k%d" % (n % 5): None}
    return make_block(parent, changes, b"writer", b"e%d" % n)


def report(kind: str, number: int) -> None:
    """One line that the parent process can rely on."""
    sys.stdout.write(f"{kind} {number}\n")
    sys.stdout.flush()


def main() -> None:
    """Goes on from whatever the folder holds, three blocks of finality behind."""
    database = LevelDatabase(Path(sys.argv[1]))
    tip = make_genesis()
    store = (
        open_store(database, tip.hash)
        if is_initialised(database)
        else create_store(database, tip.header, tip.hash, tip.state)
    )
    for _ in range(BLOCKS_MAX):
        made = block_after(tip)
        if made.number > store.best.number:
            import_made(store, made)
            report("best", made.number)
        if made.number % 7 == 0 and made.number - 3 > store.finalised.number:
            finalised = store.ancestor(made.hash, made.number - 3)
            store.finalize(finalised)
            report("final", made.number - 3)
        tip = made


if __name__ == "__main__":
    main()
