"""From a type hint to its codec: one compiled function pair per declared type.

Dataclass codecs are compiled from generated source, as the standard library's dataclasses are: runs of
fixed-size integers become one `struct` call, which is what makes import fast enough (performance.md).
"""

from __future__ import annotations

import dataclasses
import enum
import struct
import types
import typing
from typing import Annotated, Any

from runtime.scale.codec import (
    ITEMS_MAX,
    Codec,
    Field,
    ScaleError,
    Shape,
    VariantShape,
    boolean,
    byte_string,
    compact,
    decode_compact,
    encode_compact,
    fixed_bytes,
    integer,
    text,
)
from runtime.scale.hints import Bounded, Fixed, Named, SumType, Uint, enum_variant_name


class Placeholder(TypeError):
    """The hint refers to a type that only a registry with its `forwards` can build."""


class Registry:
    """Builds codecs and remembers them, so that equal hints share one codec (and one metadata type id).

    `forwards` maps a placeholder class (such as the runtime's call type) to a codec that the owner of the
    registry supplies.
    """

    def __init__(self, parent: Registry | None = None) -> None:
        self._known: dict[Any, Codec] = {}
        self._parent = parent
        self.forwards: dict[Any, Codec] = {}

    def codec(self, hint: Any) -> Codec:
        """The codec of `hint`. Raises TypeError for a hint that has no SCALE form."""
        if hint in self.forwards:
            return self.forwards[hint]
        known = self._known.get(hint)
        if known is None:
            known = self._known[hint] = self._shared(hint) or self._build(hint)
        return known

    def _shared(self, hint: Any) -> Codec | None:
        """The parent's codec: for all types that do not refer to a placeholder, so that they are compiled once."""
        if self._parent is None:
            return None
        try:
            return self._parent.codec(hint)
        except Placeholder:
            return None

    def _build(self, hint: Any) -> Codec:
        origin = typing.get_origin(hint)
        if origin is Annotated:
            return self._annotated(*typing.get_args(hint))
        if origin is types.UnionType or origin is typing.Union:
            return self._option(hint)
        if origin is tuple:
            arguments = typing.get_args(hint)
            if len(arguments) == 2 and arguments[1] is Ellipsis:
                return self._sequence(arguments[0], ITEMS_MAX)
            return self._tuple(arguments)
        return self._class(hint)

    def _class(self, hint: Any) -> Codec:
        simple = {bool: boolean, bytes: byte_string, str: text, type(None): _unit}
        if hint in simple:
            return simple[hint]()
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return _plain_enum(hint)
        if isinstance(hint, type) and issubclass(hint, SumType) and SumType in hint.__bases__:
            return self._sum(hint)
        if dataclasses.is_dataclass(hint):
            return self._dataclass(hint)
        if hint in PLACEHOLDERS:
            raise Placeholder(f"{hint.__name__} is known to a composed runtime only")
        raise TypeError(f"{hint!r} has no SCALE form (plain int needs a width: U8..U128)")

    def _annotated(self, base: Any, *marks: Any) -> Codec:
        for mark in marks:
            if isinstance(mark, Uint):
                return compact(mark.bits) if mark.compact else integer(mark.bits, signed=mark.signed)
            if isinstance(mark, Fixed):
                return fixed_bytes(mark.size, mark.path)
            if isinstance(mark, Named):
                return mark.make(self)
            if isinstance(mark, Bounded):
                if base is bytes:
                    return byte_string(mark.length_max)
                if base is str:
                    return text(mark.length_max)
                return self._sequence(typing.get_args(base)[0], mark.length_max)
        return self.codec(base)

    def _option(self, hint: Any) -> Codec:
        inner_hints = [a for a in typing.get_args(hint) if a is not type(None)]
        if len(inner_hints) != 1:
            raise TypeError(f"{hint!r}: only T | None has a SCALE form")
        inner = self.codec(inner_hints[0])
        encode_inner, decode_inner = inner.encode, inner.decode_from

        def encode(value: Any) -> bytes:
            return b"\x00" if value is None else b"\x01" + encode_inner(value)

        def decode_from(data: bytes, position: int) -> tuple[Any, int]:
            mark = data[position]
            if mark == 0:
                return None, position + 1
            if mark != 1:
                raise ScaleError(f"option byte {mark}")
            return decode_inner(data, position + 1)

        some = VariantShape("Some", 1, (Field(None, inner),))
        shape = Shape("variant", ("Option",), variants=(VariantShape("None", 0, ()), some), params=(("T", inner),))
        return Codec(encode, decode_from, shape)

    def _sequence(self, item_hint: Any, length_max: int) -> Codec:
        item = self.codec(item_hint)
        encode_item, decode_item = item.encode, item.decode_from

        def encode(value: Any) -> bytes:
            if len(value) > length_max:
                raise ScaleError(f"{len(value)} elements, at most {length_max} allowed")
            return encode_compact(len(value)) + b"".join([encode_item(element) for element in value])

        def decode_from(data: bytes, position: int) -> tuple[tuple[Any, ...], int]:
            count, position = decode_compact(data, position)
            if count > length_max or count > len(data):
                raise ScaleError(f"{count} elements, at most {min(length_max, len(data))} allowed")
            elements = []
            for _ in range(count):
                element, position = decode_item(data, position)
                elements.append(element)
            return tuple(elements), position

        return Codec(encode, decode_from, Shape("sequence", of=(item,)))

    def _tuple(self, hints: tuple[Any, ...]) -> Codec:
        items = tuple(self.codec(hint) for hint in hints)

        def encode(value: Any) -> bytes:
            if len(value) != len(items):
                raise ScaleError(f"{len(value)} values for a tuple of {len(items)}")
            return b"".join([item.encode(element) for item, element in zip(items, value, strict=True)])

        def decode_from(data: bytes, position: int) -> tuple[tuple[Any, ...], int]:
            elements = []
            for item in items:
                element, position = item.decode_from(data, position)
                elements.append(element)
            return tuple(elements), position

        return Codec(encode, decode_from, Shape("tuple", of=items))

    def fields_of(self, cls: type) -> tuple[Field, ...]:
        """The fields of a dataclass in order, with their codecs."""
        hints = typing.get_type_hints(cls, include_extras=True)
        return tuple(
            Field(field.name, self.codec(hints[field.name]), _type_name(hints[field.name]))
            for field in dataclasses.fields(cls)
        )

    def _dataclass(self, cls: Any) -> Codec:
        fields = self.fields_of(cls)
        encode, decode_from = compile_record(cls, [(f.name or "", f.codec) for f in fields])
        return Codec(encode, decode_from, Shape("composite", path_of(cls), fields=fields))

    def _sum(self, cls: type[SumType]) -> Codec:
        encoders: dict[type, Any] = {}
        decoders: dict[int, Any] = {}
        variants = []
        for index, (name, variant_class) in sorted(cls.__variants__.items()):
            fields = self.fields_of(variant_class) if dataclasses.is_dataclass(variant_class) else ()
            pairs = [(f.name or "", f.codec) for f in fields]
            encode_one, decode_one = compile_record(variant_class, pairs, bytes((index,)))
            encoders[variant_class] = encode_one
            decoders[index] = decode_one
            if index in cls.__tuple_like__:
                fields = tuple(Field(None, field.codec, field.type_name) for field in fields)
            variants.append(VariantShape(name, index, fields, docs_of(variant_class)))

        def encode(value: Any) -> bytes:
            encoder = encoders.get(type(value))
            if encoder is None:
                raise ScaleError(f"{value!r} is not a {cls.__name__}")
            result: bytes = encoder(value)
            return result

        def decode_from(data: bytes, position: int) -> tuple[Any, int]:
            decoder = decoders.get(data[position])
            if decoder is None:
                raise ScaleError(f"{cls.__name__} has no variant {data[position]}")
            result: tuple[Any, int] = decoder(data, position + 1)
            return result

        return Codec(encode, decode_from, Shape("variant", path_of(cls), variants=tuple(variants)))


def _unit() -> Codec:
    return Codec(lambda _: b"", lambda _, position: (None, position), Shape("tuple"))


def _plain_enum(cls: type[enum.Enum]) -> Codec:
    encoded = {member: bytes((member.value,)) for member in cls}
    decoded = {member.value: member for member in cls}

    def encode(value: Any) -> bytes:
        try:
            return encoded[value]
        except (KeyError, TypeError) as error:
            raise ScaleError(f"{value!r} is not a {cls.__name__}") from error

    def decode_from(data: bytes, position: int) -> tuple[enum.Enum, int]:
        member = decoded.get(data[position])
        if member is None:
            raise ScaleError(f"{cls.__name__} has no variant {data[position]}")
        return member, position + 1

    variants = tuple(VariantShape(enum_variant_name(member), member.value, ()) for member in cls)
    return Codec(encode, decode_from, Shape("variant", path_of(cls), variants=variants))


def path_of(cls: type) -> tuple[str, ...]:
    """The metadata path: the one declared by `scale_path`, else module and class name."""
    declared: tuple[str, ...] | None = cls.__dict__.get("__scale_path__")
    return declared if declared is not None else (*cls.__module__.split("."), cls.__name__)


def docs_of(cls: type) -> tuple[str, ...]:
    """The first line of a class's own docstring; the one dataclasses generate does not count."""
    docs = (cls.__doc__ or "").strip()
    return () if not docs or docs.startswith(f"{cls.__name__}(") else (docs.splitlines()[0],)


def _type_name(hint: Any) -> str | None:
    return hint.__name__ if isinstance(hint, type) else None


def compile_record(cls: Any, fields: list[tuple[str, Codec]], prefix: bytes = b"") -> tuple[Any, Any]:
    """Encode and decode functions of a record whose attributes are `fields`, in order.

    The encoding starts with `prefix` (a variant's index); the decoder starts behind it.
    """
    scope: dict[str, Any] = {"cls": cls, "prefix": prefix, "ScaleError": ScaleError, "struct_error": struct.error}
    parts: list[str] = ["prefix"] if prefix else []
    reads: list[str] = []
    for number, run in enumerate(_runs(fields)):
        names = [name for name, _ in run]
        if run[0][1].pack:
            packer = struct.Struct("<" + "".join(codec.pack for _, codec in run))
            scope[f"pack{number}"], scope[f"unpack{number}"] = packer.pack, packer.unpack_from
            parts.append(f"pack{number}({', '.join(_packed(name, codec) for name, codec in run)})")
            targets = [t for name, codec in run for t in (f"f_{name}", f"high_{name}")[: len(codec.pack)]]
            reads.append(f"{', '.join(targets)}, = unpack{number}(data, position)")
            reads += [f"f_{name} |= high_{name} << 64" for name, codec in run if codec.pack == "QQ"]
            reads.append(f"position += {packer.size}")
        else:
            scope[f"encode{number}"], scope[f"decode{number}"] = run[0][1].encode, run[0][1].decode_from
            parts.append(f"encode{number}(value.{names[0]})")
            reads.append(f"f_{names[0]}, position = decode{number}(data, position)")
    joined = parts[0] if len(parts) == 1 else f"b''.join(({', '.join(parts)},))" if parts else "b''"
    reads += _makes(cls, [name for name, _ in fields], scope)
    source = (
        "def encode(value):\n"
        "    try:\n"
        f"        return {joined}\n"
        "    except (struct_error, AttributeError, TypeError) as error:\n"
        "        raise ScaleError(f'{cls.__name__}: {error}') from error\n"
        "def decode_from(data, position):\n"
        + "".join(f"    {line}\n" for line in reads)
        + "    return made, position\n"
    )
    exec(source, scope)  # noqa: S102 - the source is ours: names of declared fields, no input
    return scope["encode"], scope["decode_from"]


def _makes(cls: Any, names: list[str], scope: dict[str, Any]) -> list[str]:
    """The lines that make a record of what was read: slot by slot, past the slow `__init__` of a frozen dataclass."""
    parameters = getattr(cls, "__dataclass_params__", None)
    plain = parameters is not None and parameters.frozen and set(names) == set(cls.__dict__.get("__slots__", ()))
    if not plain or hasattr(cls, "__post_init__"):
        return [f"made = cls({', '.join('f_' + name for name in names)})"]
    scope["new"] = object.__new__
    scope.update({f"set_{name}": cls.__dict__[name].__set__ for name in names})
    return ["made = new(cls)", *(f"set_{name}(made, f_{name})" for name in names)]


def _packed(name: str, codec: Codec) -> str:
    """The arguments of `struct.pack` for one field: a u128 goes as two 64-bit halves."""
    return f"value.{name} & {(1 << 64) - 1}, value.{name} >> 64" if codec.pack == "QQ" else f"value.{name}"


def _runs(fields: list[tuple[str, Codec]]) -> list[list[tuple[str, Codec]]]:
    """Neighbouring fixed-size integers together, everything else alone."""
    runs: list[list[tuple[str, Codec]]] = []
    for field in fields:
        if field[1].pack and runs and runs[-1][0][1].pack:
            runs[-1].append(field)
        else:
            runs.append([field])
    return runs


PLACEHOLDERS: set[Any] = set()
"""Classes that stand for a type of the composed runtime; `runtime.runtime` names them."""
SHARED = Registry()


def codec_of(hint: Any) -> Codec:
    """The codec of a type that does not refer to the runtime's calls or events."""
    return SHARED.codec(hint)
