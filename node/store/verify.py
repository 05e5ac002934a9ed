"""`heddle chain verify`: reads the whole database and says everything that does not add up, without changing it.

Checked are the headers of the best chain (hash, parent, height index), the flushed state against the root in its
header, the K table against the S table, each undo record by walking the state back, and each journal by replaying it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.store import keys
from node.store.block_tree import BlockNode, BlockTree
from node.store.database import Database
from node.store.errors import DatabaseDamaged, StateDiscarded
from node.store.records import Head, decode_head
from node.store.startup import read_meta, rebuild_base, replay_journals
from node.store.states import States, read_undo
from runtime import tree
from runtime.hashing import blake2b256
from runtime.proof import ProofError, state_root_of

PROBLEMS_MAX = 100
"""So many are listed; the rest are only counted."""


@dataclass(slots=True)
class VerifyReport:
    """What was read, and what is wrong with it."""

    headers: int = 0
    state_keys: int = 0
    undo_records: int = 0
    unfinalised_blocks: int = 0
    problem_count: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Nothing is wrong."""
        return not self.problem_count

    def add(self, problem: str) -> None:
        """Note one problem."""
        self.problem_count += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)


def verify_database(database: Database) -> VerifyReport:
    """Reads everything; problems are reported, not raised."""
    report = VerifyReport()
    try:
        best = decode_head(read_meta(database, keys.META_BEST), "m best")
        finalised = decode_head(read_meta(database, keys.META_FINALISED), "m finalised")
        flushed = decode_head(read_meta(database, keys.META_FLUSHED)[:40], "m flushed")
        if not flushed.number <= finalised.number <= best.number:
            report.add(f"heads are out of order: {flushed.number}, {finalised.number}, {best.number}")
        _verify_headers(database, report, best)
        _verify_index(database, report)
        base = rebuild_base(database)
        _verify_undos(database, report, base)
        _verify_journals(database, report, base)
    except DatabaseDamaged as damaged:
        report.add(damaged.problem)
    return report


def _verify_headers(database: Database, report: VerifyReport, best: Head) -> None:
    """The best chain from its head down to genesis."""
    block_hash = best.hash
    for number in range(best.number, -1, -1):
        name = f"block {number} 0x{block_hash.hex()}"
        if database.get(keys.canonical_key(number)) != block_hash:
            report.add(f"{name}: the c table names another hash")
        if database.get(keys.height_key(block_hash)) != number.to_bytes(8, "big"):
            report.add(f"{name}: the n table has another height")
        header = database.get(keys.header_key(number, block_hash))
        if header is None:
            report.add(f"{name}: the header is missing, and nothing below can be followed")
            return
        if blake2b256(header) != block_hash:
            report.add(f"{name}: the header has another hash")
        report.headers += 1
        block_hash = header[:32]


def _verify_index(database: Database, report: VerifyReport) -> None:
    """S and K hold the same keys."""
    for key, _ in database.iterate(keys.STATE):
        report.state_keys += 1
        if database.get(keys.KEY_OF + tree.key_hash(key[1:])) != key[1:]:
            report.add(f"storage key 0x{key[1:].hex()} is missing in the K table")
    indexed = sum(1 for _ in database.iterate(keys.KEY_OF))
    if indexed != report.state_keys:
        report.add(f"the K table has {indexed} entries, the S table {report.state_keys}")


def _verify_undos(database: Database, report: VerifyReport, base: BlockNode) -> None:
    """Walks the state back from the flushed block as far as undo records go, comparing every root."""
    root: tree.Node = base.root
    head = base.head
    while True:
        try:
            undo = read_undo(database, head)
        except StateDiscarded:
            return
        header = database.get(keys.header_key(*head)) or b""
        try:
            expected = state_root_of(header)
        except ProofError as error:
            report.add(f"block {head.number}: {error}")
            return
        if not tree.digest(root) == undo.root == expected:
            report.add(f"the undo records do not lead back to the state of block {head.number}")
            return
        report.undo_records += 1
        if head.number == 0:
            return
        head = Head(head.number - 1, header[:32])
        changes = [*undo.previous, (keys.EVENTS_KEY, database.get(keys.events_key(*head)))]
        root = tree.update(root, tree.hashed(changes))


def _verify_journals(database: Database, report: VerifyReport, base: BlockNode) -> None:
    """Replays every unflushed block."""
    blocks = BlockTree(base)
    try:
        replay_journals(database, blocks, States(database, blocks, None))
    finally:
        report.unfinalised_blocks = len(blocks) - 1
