"""The state tree: microseconds and hash-equivalents per changed key.

A hash-equivalent is one blake2b of 128 bytes from a preset object, measured between the batches of the same run, so
that the ratio holds on any machine. Key hashes are cached in the node and value hashes are the executive's, so both
are left out. Targets (spec/chain.md §2): 25 at 100,000 keys and 45 at 1,000,000, in batches of 4,000.

    python -m benchmarks.state_tree [--json] [--keys 100000 1000000] [--batch 4000] [--rounds 21]
"""

import argparse
import gc
import json
import statistics
import time
from hashlib import blake2b
from random import Random

from runtime import tree

HASHES = 20_000
"""Hashes timed for one sample of the unit."""


def unit_us() -> float:
    """CPU microseconds of one preset blake2b of 128 bytes."""
    copy = blake2b(digest_size=32, person=b"node").copy
    data = bytes(128)
    start = time.process_time_ns()
    for _ in range(HASHES):
        hasher = copy()
        hasher.update(data)
        hasher.digest()
    return (time.process_time_ns() - start) / 1000 / HASHES


def measure(keys: int, batch: int, rounds: int) -> dict[str, float]:
    """Medians over `rounds` batches of changed values among `keys` keys."""
    random = Random(keys)
    hashes = [random.randbytes(32) for _ in range(keys)]
    entries = [(kh, random.randbytes(32)) for kh in hashes]
    start = time.process_time_ns()
    root = tree.build(entries)
    build_ms = (time.process_time_ns() - start) / 1e6
    gc.collect()
    gc.freeze()
    each_us, units_us = [], []
    for _ in range(rounds):
        changes = sorted((kh, random.randbytes(32)) for kh in random.sample(hashes, batch))
        before = unit_us()
        start = time.process_time_ns()
        root = tree.update(root, changes)
        each_us.append((time.process_time_ns() - start) / 1000 / batch)
        units_us.append((before + unit_us()) / 2)
    gc.unfreeze()
    ratios = [each / unit for each, unit in zip(each_us, units_us, strict=True)]
    return {
        "keys": keys,
        "batch": batch,
        "build_ms": round(build_ms, 1),
        "hash_us": round(statistics.median(units_us), 3),
        "us_per_key": round(statistics.median(each_us), 3),
        "hashes_per_key": round(statistics.median(ratios), 2),
    }


def main() -> None:
    """Measures each size asked for and prints a line, or a JSON list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keys", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--batch", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=21)
    arguments = parser.parse_args()
    results = [measure(keys, arguments.batch, arguments.rounds) for keys in arguments.keys]
    if arguments.json:
        print(json.dumps(results))
        return
    for result in results:
        print(
            f"state tree, {result['keys']:,} keys, batches of {result['batch']:,}: "
            f"{result['us_per_key']} us a changed key = {result['hashes_per_key']} hashes of 128 B "
            f"({result['hash_us']} us each); built in {result['build_ms']} ms"
        )


if __name__ == "__main__":
    main()
