"""Parameters of a pallet that a chain spec may set: a dataclass of integers, stored at genesis.

Invariant: none of its own; each pallet says which bounds its fields have. A chain spec writes names in camelCase.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

P = TypeVar("P")


def parameters_from(section: str, default: P, bounds: Mapping[str, tuple[int, int]], config: Mapping[str, Any]) -> P:
    """`default` with the values that `config` gives, each within its bounds (0 .. 2⁶⁴−1 if it has none).

    Raises ValueError naming section, field and bounds.
    """
    names = {camel_case(field.name): field.name for field in fields(default)}  # type: ignore[arg-type]  # a dataclass
    changes: dict[str, int] = {}
    for written, value in config.items():
        if written not in names:
            raise ValueError(f"{section}.{written}: no such parameter; there are {', '.join(sorted(names))}")
        low, high = bounds.get(names[written], (0, (1 << 64) - 1))
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{section}.{written}: {value!r}, expected {low}..{high}")
        changes[names[written]] = value
    changed: P = replace(default, **changes)  # type: ignore[type-var]  # a dataclass
    return changed


def camel_case(name: str) -> str:
    """`window_slots` as `windowSlots`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
