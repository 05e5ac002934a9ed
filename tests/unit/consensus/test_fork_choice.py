"""Fork choice against a model that looks at all blocks each time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.fork_choice import LEAVES_MAX, ForkChoice, ForkRefused

GENESIS = bytes(32)


def name(index: int) -> bytes:
    """The id of the block made as number `index`; 0 is genesis."""
    return index.to_bytes(32, "big")


class Model:
    """Blocks in the order seen; each answer is worked out anew."""

    def __init__(self) -> None:
        self.parent = {GENESIS: GENESIS}
        self.height = {GENESIS: 0}
        self.final = GENESIS

    def above(self, ancestor: bytes, block: bytes) -> bool:
        while block not in (ancestor, GENESIS):
            block = self.parent[block]
        return block == ancestor

    def best(self, containing: bytes) -> bytes:
        found = [b for b in self.height if self.above(self.final, b) and self.above(containing, b)]
        top = max(self.height[block] for block in found)
        return next(block for block in found if self.height[block] == top)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40))
def test_best_equals_the_model(steps: list[tuple[int, bool]]) -> None:
    """Height decides, then who was seen first, always above the last finalised block."""
    model, real = Model(), ForkChoice(GENESIS, 0)
    for index, (back, finalise) in enumerate(steps, 1):
        known = [block for block in model.height if model.above(model.final, block)]
        parent = known[-1 - back % len(known)]
        model.parent[name(index)], model.height[name(index)] = parent, model.height[parent] + 1
        before = real.best
        assert real.add(name(index), parent) == (model.best(GENESIS) != before)
        if finalise and index % 3 == 0:
            target = known[len(known) // 2]
            lost = [b for b in known if not model.above(target, b) and not model.above(b, target)]
            lost += [name(index)] if not model.above(target, name(index)) else []
            pruned = real.finalise(target)
            model.final = target
            assert sorted(pruned.lost) == sorted(lost)
        assert real.best == model.best(GENESIS)
        assert real.finalised == model.final
        for block in model.height:
            expected = model.best(block) if model.above(model.final, block) else None
            assert real.best_containing(block) == expected


def test_the_first_seen_of_equal_heights_stays_best() -> None:
    """A second block of the same height changes nothing; one more on top does."""
    choice = ForkChoice(GENESIS, 0)
    assert choice.add(name(1), GENESIS)
    assert not choice.add(name(2), GENESIS)
    assert choice.best == name(1)
    assert choice.add(name(3), name(2))
    assert choice.best == name(3)
    assert choice.leaves() == [name(3), name(1)]


def test_refusals() -> None:
    """An unknown parent, a block below the finalised one, and one leaf too many are refused."""
    choice = ForkChoice(GENESIS, 0)
    with pytest.raises(ForkRefused):
        choice.add(name(9), name(8))
    choice.add(name(1), GENESIS)
    choice.finalise(name(1))
    with pytest.raises(ForkRefused):
        choice.add(name(2), GENESIS)
    with pytest.raises(ForkRefused):
        choice.finalise(name(7))
    for index in range(LEAVES_MAX):
        choice.add(name(100 + index), name(1))
    with pytest.raises(ForkRefused):
        choice.add(name(999), name(1))
    assert choice.add(name(1000), name(100))
