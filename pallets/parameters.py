"""Parameters of a pallet that a chain spec may set: a dataclass of integers, stored at genesis.

Invariant: none of its own; each pallet's dataclass says which bounds its fields have.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

P = TypeVar("P")


def parameters_from(section: str, default: P, bounds: Mapping[str, tuple[int, int]], config: Mapping[str, Any]) -> P:
    """`default` with the values that `config` gives, each within its bounds (0 .. 2⁶⁴−1 if it has none).

    Raises ValueError naming section, field and bounds.
    """
    names = {field.name for field in fields(default)}  # type: ignore[arg-type]  # P is a dataclass
    for name, value in config.items():
        if name not in names:
            raise ValueError(f"{section}.{name}: no such parameter; there are {', '.join(sorted(names))}")
        low, high = bounds.get(name, (0, (1 << 64) - 1))
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{section}.{name}: {value!r}, expected {low}..{high}")
    changed: P = replace(default, **config)  # type: ignore[type-var]
    return changed
