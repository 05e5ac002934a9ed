"""Garbage collection as a node runs it: a block makes hundreds of thousands of objects, nearly all freed by count."""

import gc

ALLOCATIONS = 100_000
"""Objects made between collections of the youngest."""
GENERATION_RATIO = 50


def collect_seldom() -> None:
    """Take all that is there for lasting, and look for cycles seldom from now on."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, GENERATION_RATIO, GENERATION_RATIO)
