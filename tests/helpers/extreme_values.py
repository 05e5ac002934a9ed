"""Every field of a declared type at the ends of what its type can say, generated from the declaration alone."""

import dataclasses
import types
import typing
from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from typing import Annotated, Any

from runtime.runtime import new_registry
from runtime.scale import Bounded, Codec, Fixed, SumType
from runtime.scale.hints import Uint
from tests.helpers.scale_samples import last, sample

REGISTRY = new_registry()


def extremes(value: Any, hint: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(name of the change, the value with one part of it at an extreme), for every part of it."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        yield from _annotated(value, hint, path)
    elif origin is types.UnionType or origin is typing.Union:
        inner = next(part for part in typing.get_args(hint) if part is not type(None))
        yield f"{path}=None", None
        yield from extremes(sample_of(inner) if value is None else value, inner, path)
    elif hint is bool:
        yield f"{path}={not value}", not value
    elif isinstance(hint, type) and issubclass(hint, Enum):
        yield from ((f"{path}={member.name}", member) for member in hint)
    elif isinstance(hint, type) and issubclass(hint, SumType):
        yield from _variants(value, hint, path)
    elif dataclasses.is_dataclass(hint):
        yield from _fields(value, hint, path)


def sample_of(hint: Any) -> Any:
    """Some value of a type."""
    codec: Codec = REGISTRY.codec(hint)
    value, _ = codec.decode_from(sample(codec, last), 0)
    return value


def too_much(hint: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(name, type, value just past what the type can say), for every part of a type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        for mark in arguments[1:]:
            if isinstance(mark, Uint):
                yield f"{path} past {mark.bits} bits", hint, 1 << mark.bits
                yield f"{path} below zero", hint, -1
            elif isinstance(mark, Fixed):
                yield f"{path} of {mark.size + 1} bytes", hint, bytes(mark.size + 1)
            elif isinstance(mark, Bounded):
                yield f"{path} of {mark.length_max + 1}", hint, filled(arguments[0], mark.length_max + 1)
        if typing.get_origin(arguments[0]) is tuple:
            yield from too_much(typing.get_args(arguments[0])[0], f"{path}[]")
    elif origin is types.UnionType or origin is typing.Union:
        for part in arguments:
            yield from too_much(part, path)
    elif isinstance(hint, type) and issubclass(hint, SumType) and SumType in hint.__bases__:
        for name, variant in hint.__variants__.values():
            yield from too_much(variant, f"{path}.{name}")
    elif dataclasses.is_dataclass(hint):
        for name, part in hints_of(hint).items():
            yield from too_much(part, f"{path}.{name}".lstrip("."))


def hints_of(kind: Any) -> dict[str, Any]:
    """The fields of a dataclass with their hints."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def filled(base: Any, length: int) -> Any:
    """A value of so many bytes or elements, the elements all different if their type allows it."""
    if base is bytes:
        return b"\x01" * length
    if base is str:
        return "a" * length
    item = typing.get_args(base)[0]
    return tuple(_numbered(sample_of(item), number) for number in range(length))


def _numbered(value: Any, number: int) -> Any:
    if isinstance(value, bytes):
        return number.to_bytes(2, "little") + value[2:] if len(value) > 2 else value
    return f"{value}{number}" if isinstance(value, str) else value


def _annotated(value: Any, hint: Any, path: str) -> Iterator[tuple[str, Any]]:
    base, *marks = typing.get_args(hint)
    for mark in marks:
        if isinstance(mark, Uint):
            for number in (0, 1, (1 << mark.bits - 1) - 1, 1 << mark.bits - 1, (1 << mark.bits) - 1):
                yield f"{path}={number}", number
        elif isinstance(mark, Fixed):
            yield f"{path}=ff..", b"\xff" * mark.size
        elif isinstance(mark, Bounded):
            for length in (0, 1, mark.length_max):
                yield f"{path}*{length}", filled(base, length)
            if value and typing.get_origin(base) is tuple:
                yield f"{path} twice", (value[0], value[0])


def _variants(value: Any, hint: type[SumType], path: str) -> Iterator[tuple[str, Any]]:
    for name, variant in hint.__variants__.values():
        start = value if isinstance(value, variant) else _sample_variant(variant)
        yield f"{path}={name}", start
        yield from _fields(start, variant, f"{path}.{name}")


def _sample_variant(variant: Any) -> Any:
    return variant(**{name: sample_of(hint) for name, hint in hints_of(variant).items()})


def _fields(value: Any, kind: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, hint in hints_of(kind).items():
        for label, changed in extremes(getattr(value, name), hint, f"{path}.{name}".lstrip(".")):
            yield label, replace(value, **{name: changed})
