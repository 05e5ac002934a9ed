"""Which seeds a run takes: so many from 0 on, and always those that once failed (seeds.txt)."""

from __future__ import annotations

from pathlib import Path

KEPT = Path(__file__).with_name("seeds.txt")


def kept(tier: int) -> list[int]:
    """The seeds of a tier that once failed."""
    lines = [line.split() for line in KEPT.read_text().splitlines() if line and not line.startswith("#")]
    return [int(words[1]) for words in lines if int(words[0]) == tier]


def seeds(tier: int, count: int) -> list[int]:
    """0 .. count - 1 and the kept ones, ascending."""
    return sorted({*range(count), *kept(tier)})
