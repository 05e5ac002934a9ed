"""The vocabulary of declarations: annotations that give a Python type its SCALE form.

@dataclass(frozen=True, slots=True)
class Transfer:
target: AccountId
amount: U128
memo: Annotated[bytes, Bounded(32)]
tags: tuple[U32, ...]
expires: U64 | None
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

from runtime.scale.codec import Codec


@dataclass(frozen=True, slots=True)
class Uint:
    """Unsigned (or signed) integer of `bits`; `compact` chooses the compact form."""

    bits: int
    compact: bool = False
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Bounded:
    """At most `length_max` bytes (bytes, str) or elements (tuple[T, ...])."""

    length_max: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """Exactly `size` bytes; `path` names a newtype in the metadata."""

    size: int
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """A type with a codec made by hand. `make(registry)` is called once per registry."""

    make: Callable[[Any], Codec]
    name: str = ""


U8 = Annotated[int, Uint(8)]
U16 = Annotated[int, Uint(16)]
U32 = Annotated[int, Uint(32)]
U64 = Annotated[int, Uint(64)]
U128 = Annotated[int, Uint(128)]
I64 = Annotated[int, Uint(64, signed=True)]
CompactU32 = Annotated[int, Uint(32, compact=True)]
CompactU64 = Annotated[int, Uint(64, compact=True)]
CompactU128 = Annotated[int, Uint(128, compact=True)]

T = TypeVar("T", bound=type)


def scale_path(*path: str) -> Callable[[T], T]:
    """Give a dataclass, enum or sum type the metadata path that Substrate clients know it by."""

    def mark(cls: T) -> T:
        # A class takes any attribute, which its type does not say.
        cls.__scale_path__ = path  # type: ignore[attr-defined]
        return cls

    return mark


class SumType:
    """Base of a type with variants that carry fields.

    A direct subclass is the sum type; its own subclasses, marked with `@variant(index)`, are the variants:

        class Destination(SumType): ...
        @variant(0)
        @dataclass(frozen=True, slots=True)
        class Chain(Destination): ...
    """

    __slots__ = ()
    __variants__: ClassVar[dict[int, tuple[str, type]]]
    __tuple_like__: ClassVar[frozenset[int]]

    def __init_subclass__(cls) -> None:
        if SumType in cls.__bases__:
            cls.__variants__ = {}
            cls.__tuple_like__ = frozenset()


def variant(index: int, name: str = "", *, tuple_like: bool = False) -> Callable[[T], T]:
    """Register a dataclass as variant `index` of the sum type it derives from. `name` defaults to the class name.

    `tuple_like`: the metadata gives its fields no names, where Substrate's type has none and clients read by position.
    """

    def mark(cls: T) -> T:
        owner: Any = next(base for base in cls.__mro__ if SumType in base.__bases__)
        if index in owner.__variants__:
            raise TypeError(f"{owner.__name__} already has a variant {index}")
        owner.__variants__[index] = (name or cls.__name__, cls)
        if tuple_like:
            owner.__tuple_like__ = owner.__tuple_like__ | {index}
        return cls

    return mark


def enum_variant_name(member: enum.Enum) -> str:
    """`NOT_READY` is `NotReady` in the metadata; a CamelCase member keeps its name."""
    if "_" not in member.name and not member.name.isupper():
        return member.name
    return "".join(word.capitalize() for word in member.name.split("_"))
