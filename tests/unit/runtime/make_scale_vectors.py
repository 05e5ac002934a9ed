"""Writes scale_vectors.json: what the SCALE library of the Substrate Python clients makes of seeded values.

    .venv-clients/bin/python tests/unit/runtime/make_scale_vectors.py

scalecodec is an oracle only, in an environment of its own; the chain never imports it. Vectors change only with the
list of types below.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scalecodec.base import RuntimeConfigurationObject
from scalecodec.type_registry import load_type_registry_preset

CASES_PER_TYPE = 16
UINTS = {"u8": 8, "u16": 16, "u32": 32, "u64": 64, "u128": 128}
COMPACTS = {"Compact<u32>": 32, "Compact<u64>": 64, "Compact<u128>": 128}
WORDS = ["", "a", "Heddle", "loom and shuttle", "Webstuhl ü", "織機", "\u0000", "🧵" * 20]


def integer(chance: random.Random, bits: int) -> int:
    """Often near a power of two, where forms change length."""
    if chance.random() < 0.7:
        near = (1 << chance.randrange(bits + 1)) + chance.choice((-1, 0, 1))
        return min(max(near, 0), (1 << bits) - 1)
    return chance.randrange(1 << bits)


def raw(chance: random.Random, length: int) -> str:
    """Random bytes as 0x hex."""
    return "0x" + chance.randbytes(length).hex()


def value_of(chance: random.Random, kind: str) -> Any:
    """A value of the type in the oracle's JSON form."""
    if kind in UINTS or kind in COMPACTS:
        return integer(chance, UINTS.get(kind) or COMPACTS[kind])
    simple: dict[str, Callable[[], Any]] = {
        "i64": lambda: chance.choice((-1, 1)) * integer(chance, 62),
        "bool": lambda: chance.random() < 0.5,
        "str": lambda: chance.choice(WORDS),
        "Bytes": lambda: raw(chance, chance.choice((0, 1, 63, 64, 100))),
        "[u8; 32]": lambda: raw(chance, 32),
        "Option<u32>": lambda: chance.choice((None, integer(chance, 32))),
        "Option<bool>": lambda: chance.choice((None, True, False)),
        "Vec<u16>": lambda: [integer(chance, 16) for _ in range(chance.choice((0, 1, 5, 64)))],
        "(u8, u64, bool)": lambda: [integer(chance, 8), integer(chance, 64), chance.random() < 0.5],
    }
    if kind in simple:
        return simple[kind]()
    if kind == "Vec<Option<(u32, Bytes)>>":
        items = [[integer(chance, 32), raw(chance, chance.randrange(9))] for _ in range(chance.randrange(6))]
        return [item if chance.random() < 0.7 else None for item in items]
    assert kind == "Record", kind
    return {
        "number": integer(chance, 32),
        "wide": integer(chance, 128),
        "amount": integer(chance, 128),
        "memo": raw(chance, chance.randrange(40)),
        "flag": chance.random() < 0.5,
        "shape": chance.choice(({"Empty": None}, {"Circle": integer(chance, 16)}, {"Name": chance.choice(WORDS)})),
    }


KINDS = [
    *UINTS,
    *COMPACTS,
    *("i64", "bool", "str", "Bytes", "[u8; 32]", "Option<u32>", "Option<bool>", "Vec<u16>", "(u8, u64, bool)"),
    *("Vec<Option<(u32, Bytes)>>", "Record"),
]
TYPES = {
    "types": {
        "Shape": {"type": "enum", "type_mapping": [["Empty", "Null"], ["Circle", "u16"], ["Name", "str"]]},
        "Record": {
            "type": "struct",
            "type_mapping": [
                ["number", "u32"],
                ["wide", "u128"],
                ["amount", "Compact<u128>"],
                ["memo", "Bytes"],
                ["flag", "bool"],
                ["shape", "Shape"],
            ],
        },
    }
}


def main() -> None:
    """Encode the seeded values and write them with their bytes."""
    config = RuntimeConfigurationObject()
    config.update_type_registry(load_type_registry_preset("core"))
    config.update_type_registry(TYPES)
    chance = random.Random("heddle scale vectors")
    vectors = []
    for kind in KINDS:
        seen = set()
        for _ in range(CASES_PER_TYPE):
            value = value_of(chance, kind)
            data = config.create_scale_object(kind).encode(value)
            if data.to_hex() not in seen:
                seen.add(data.to_hex())
                vectors.append([kind, value, data.to_hex()])
    lines = ",\n".join(json.dumps(vector) for vector in vectors)
    Path(__file__).with_name("scale_vectors.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
