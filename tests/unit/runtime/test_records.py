"""Changed copies of records: what `dataclasses.replace` gives, for every class that pallets store."""

import dataclasses

import pytest

from pallets.escrow.types import Pots
from runtime import records
from runtime.records import replace


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """A record with a default."""

    x: int
    y: int
    name: str = "origin"


def test_a_changed_copy_is_what_the_standard_library_gives() -> None:
    """The given fields are new, the others the same objects, and the first record stays as it was."""
    first = Point(1, 2, "a" * 3)
    for changes in ({}, {"x": 5}, {"x": 5, "y": 6, "name": "b"}):
        copy = replace(first, **changes)
        assert copy == dataclasses.replace(first, **changes)
        assert type(copy) is Point
        assert hash(copy) == hash(dataclasses.replace(first, **changes))
    assert first == Point(1, 2, "aaa")
    assert replace(first, x=9).name is first.name
    with pytest.raises(dataclasses.FrozenInstanceError):
        replace(first, x=9).x = 3  # type: ignore[misc]  # that it is frozen is what is shown


def test_a_field_that_there_is_not_is_refused() -> None:
    """As is a class whose instances hold more than their slots."""
    with pytest.raises(TypeError, match="depth"):
        replace(Pots(), depth=1)  # type: ignore[call-arg]  # so is that it is refused
    with pytest.raises(TypeError, match="plain record"):
        records.replace(dataclasses.make_dataclass("Loose", ["a"])(1), a=2)
