"""Chain spec: the JSON file that says which chain this is, as Substrate's tools write it (camelCase).

    {"name": "Development", "id": "dev", "chainType": "Development", "bootNodes": [], "protocolId": "hdl",
     "properties": {"ss58Format": 42, "tokenDecimals": 12, "tokenSymbol": "HDL"},
     "genesis": {"runtime": {"system": {"slotMs": 1000}, "balances": {"balances": [["5FA9…", "1000000000000"]]}, …}}}

`genesis` holds either `runtime`, one section per pallet (its fields are in the pallet's docstring), or `raw`, the state
itself as {"top": {"0x key": "0x value"}}. Both give the same genesis block. Loading is strict: an unknown field, a
repeated one, or a value of the wrong kind is a ChainSpecError that names the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runtime import ss58, tree
from runtime.dev_accounts import DEV_ACCOUNTS, DEV_PROCESSORS, GenesisValidator, dev_validator
from runtime.extrinsics_root import extrinsics_root
from runtime.hashing import twox128
from runtime.heddle import build_genesis, slot_ms_of
from runtime.types import ZERO_HASH, Digest, Header

BYTES_MAX = 256 << 20
BOOT_NODES_MAX = 256
NAME_CHARS_MAX = 128
PLANCK_PER_HDL = 10**12
DEV_ENDOWMENT = 1_000_000 * PLANCK_PER_HDL
DEV_SLOT_MS = 1_000
LOCAL_SLOT_MS = 2_000
JSON_SAFE_MAX = (1 << 53) - 1
"""Larger integers are written as decimal strings: readers in other languages would round them."""
PROTOCOL_ID = "hdl"
PROPERTIES = {"ss58Format": ss58.SS58_PREFIX, "tokenDecimals": 12, "tokenSymbol": "HDL"}
CHAIN_TYPES = ("Development", "Local", "Live")
SLOT_MS_KEY = twox128(b"System") + twox128(b"SlotDuration")
_FIELDS = ("name", "id", "chainType", "bootNodes", "protocolId", "properties", "genesis")
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PROTOCOL = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_DECIMAL = re.compile(r"[0-9]{1,39}")
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*")
_MULTIADDRESS = re.compile(r"(?:/[^/\s]+)+/p2p/[1-9A-HJ-NP-Za-km-z]{32,128}")

Sections = Mapping[str, Mapping[str, Any]]


class ChainSpecError(ValueError):
    """The chain spec is wrong. `field` is the path of the wrong field, empty for the document as a whole."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Genesis:
    """Block 0: its header, the state as raw pairs, and the slot's length, which no block can change."""

    header: Header
    state: dict[bytes, bytes]
    slot_ms: int


@dataclass(frozen=True, slots=True)
class ChainSpec:
    """A chain. Exactly one of `sections` (accounts and keys as bytes, amounts as int) and `raw` is set."""

    name: str
    id: str
    chain_type: str
    boot_nodes: tuple[str, ...] = ()
    protocol_id: str = PROTOCOL_ID
    sections: Sections | None = None
    raw: Mapping[bytes, bytes] | None = None

    def build(self) -> Genesis:
        """Make block 0. Raises ChainSpecError naming the genesis field that a pallet refuses."""
        if self.raw is not None:
            return _from_raw(dict(self.raw))
        assert self.sections is not None, "a spec holds sections or raw state"
        try:
            header, state = build_genesis(self.sections)
            return Genesis(header, state, slot_ms_of(self.sections))
        except ValueError as error:
            field, _, reason = str(error).partition(": ")
            raise ChainSpecError(field, reason) from error

    def to_raw(self) -> ChainSpec:
        """The same chain with its genesis as raw state: what every node of a live network should start from."""
        return self if self.raw is not None else replace(self, sections=None, raw=self.build().state)

    def to_json(self) -> str:
        """The file's text. `load_chain_spec` gives the same spec back."""
        if self.raw is not None:
            genesis: Any = {"raw": {"top": {_hex(key): _hex(self.raw[key]) for key in sorted(self.raw)}}}
        else:
            genesis = {"runtime": _plain(self.sections or {})}
        document = {
            "name": self.name,
            "id": self.id,
            "chainType": self.chain_type,
            "bootNodes": list(self.boot_nodes),
            "protocolId": self.protocol_id,
            "properties": PROPERTIES,
            "genesis": genesis,
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


DEV_MATCHING = {"windowSlots": 1, "drawDelayBlocks": 0, "fallbackAfterSlots": 2, "advertAgeSlotsMin": 0}
"""On a small network a processor that has just joined gets work within a few slots."""

DEV_PROCESSORS_PARAMETERS = {"stakeUnit": PLANCK_PER_HDL, "unbondSlots": 60, "eraSlots": 3_600}
"""Stakes that a tester can afford and has back within a minute."""

DEV_JURIES = {
    "seatsFirst": 3,
    "seatsSecond": 0,
    "seatsThird": 0,
    "drawDelayBlocks": 1,
    "advertAgeSlotsMin": 0,
    "claimSlots": 10,
    "commitGraceSlots": 15,
    "revealSlots": 20,
}
"""Three jurors have the last word where there are only a handful of processors."""


def development_spec() -> ChainSpec:
    """`--dev`: //Alice authors and holds the sudo key; //Alice to //Ferdie are funded; slots of 1 s."""
    return ChainSpec("Development", "dev", "Development", sections=_sections([dev_validator("Alice")], DEV_SLOT_MS))


def local_spec(
    validators: Sequence[GenesisValidator],
    slot_ms: int = LOCAL_SLOT_MS,
    *,
    endowed: Iterable[bytes] = (),
    name: str = "Local Testnet",
    chain_id: str = "local_testnet",
) -> ChainSpec:
    """A test network of these validators; they, //Alice to //Ferdie and `endowed` are funded; sudo is //Alice's."""
    return ChainSpec(name, chain_id, "Local", sections=_sections(validators, slot_ms, endowed))


def _sections(validators: Sequence[GenesisValidator], slot_ms: int, endowed: Iterable[bytes] = ()) -> Sections:
    own = [validator.account for validator in validators]
    accounts = dict.fromkeys([*DEV_ACCOUNTS.values(), *DEV_PROCESSORS.values(), *own, *endowed])
    return {
        "system": {"slotMs": slot_ms},
        "balances": {"balances": [[account, DEV_ENDOWMENT] for account in accounts]},
        "session": {
            "validators": [
                {"account": one.account, "aura": one.aura, "grandpa": one.grandpa, "beacon": one.beacon}
                for one in validators
            ]
        },
        "sudo": {"key": DEV_ACCOUNTS["Alice"]},
        "matching": dict(DEV_MATCHING),
        "processors": dict(DEV_PROCESSORS_PARAMETERS),
        "juries": dict(DEV_JURIES),
    }


def load_chain_spec(text: str | bytes) -> ChainSpec:
    """Read a chain spec. Raises ChainSpecError. The genesis is checked by `build`."""
    if len(text) > BYTES_MAX:
        raise ChainSpecError("", f"the chain spec has {len(text)} bytes, at most {BYTES_MAX} are read")
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_float=_no_float, parse_constant=_no_float)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ChainSpecError("", f"the chain spec is no JSON: {error}") from error
    document = _object(document, "", _FIELDS)
    genesis = _object(document["genesis"], "genesis", ("runtime", "raw"), optional=("runtime", "raw"))
    if len(genesis) != 1:
        raise ChainSpecError("genesis", "expected either runtime or raw")
    if document["properties"] != PROPERTIES:
        raise ChainSpecError("properties", f"expected {json.dumps(PROPERTIES)}")
    if document["chainType"] not in CHAIN_TYPES:
        raise ChainSpecError("chainType", f"expected one of {', '.join(CHAIN_TYPES)}")
    name = _text(document["name"], "name")
    if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable():
        raise ChainSpecError("name", f"expected 1..{NAME_CHARS_MAX} printable characters")
    return ChainSpec(
        name,
        _matching(document["id"], "id", _ID),
        document["chainType"],
        tuple(
            _matching(address, f"bootNodes[{number}]", _MULTIADDRESS)
            for number, address in enumerate(_list(document["bootNodes"], "bootNodes", BOOT_NODES_MAX))
        ),
        _matching(document["protocolId"], "protocolId", _PROTOCOL),
        _runtime_sections(genesis["runtime"]) if "runtime" in genesis else None,
        _raw_state(genesis["raw"]) if "raw" in genesis else None,
    )


# The genesis sections: what JSON cannot say (accounts, keys, large amounts) is read by field, the rest passes through
# to the pallet, which checks it.


def _runtime_sections(value: Any) -> Sections:
    sections = {}
    for name, fields in _object(value, "genesis.runtime").items():
        path = f"genesis.{name}"
        readers = _READERS.get(name)
        fields = _object(fields, path, readers or (), optional=readers or (), strict=readers is not None)
        sections[name] = {key: (readers or {}).get(key, _number)(one, f"{path}.{key}") for key, one in fields.items()}
    return sections


def _pass(value: Any, path: str) -> Any:
    return value


def _number(value: Any, path: str) -> Any:
    """A parameter of a pallet: a decimal string is the large number it stands for."""
    return int(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else value


def _balances(value: Any, path: str) -> list[list[Any]]:
    pairs = []
    for number, pair in enumerate(_list(value, path)):
        if not isinstance(pair, list) or len(pair) != 2:
            raise ChainSpecError(f"{path}[{number}]", "expected [account, planck]")
        pairs.append([_key(pair[0], f"{path}[{number}][0]"), _amount(pair[1], f"{path}[{number}][1]")])
    return pairs


def _validators(value: Any, path: str) -> list[dict[str, bytes]]:
    columns = ("account", "aura", "grandpa", "beacon")
    return [
        {key: _key(one, f"{path}[{number}].{key}") for key, one in _object(item, f"{path}[{number}]", columns).items()}
        for number, item in enumerate(_list(value, path))
    ]


def _key(value: Any, path: str) -> bytes:
    """An account or key: an address of this chain, or 0x and 64 hex digits."""
    text = _text(value, path)
    if text.startswith("0x"):
        data = _bytes(text, path)
        if len(data) != ss58.ACCOUNT_BYTES:
            raise ChainSpecError(path, f"{len(data)} bytes, expected {ss58.ACCOUNT_BYTES}")
        return data
    try:
        return ss58.decode(text)
    except ss58.Ss58Error as error:
        raise ChainSpecError(path, str(error)) from error


def _optional_key(value: Any, path: str) -> bytes | None:
    return None if value is None else _key(value, path)


def _amount(value: Any, path: str) -> int:
    """Planck: a number, or a decimal string for large ones."""
    number = _number(value, path)
    if type(number) is int and number >= 0:
        return number
    raise ChainSpecError(path, f"expected planck as a number or a decimal string, not {value!r}")


_READERS: dict[str, dict[str, Callable[[Any, str], Any]]] = {
    "system": {"slotMs": _pass},
    "balances": {"balances": _balances},
    "transactionPayment": {"treasury": _amount},
    "session": {"slots": _pass, "validators": _validators},
    "sudo": {"key": _optional_key},
}


def _plain(value: Any) -> Any:
    """The JSON form of sections: bytes as 0x hex, large integers as strings."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return _hex(value)
    if type(value) is int and value > JSON_SAFE_MAX:
        return str(value)
    return value


# Raw state.


def _raw_state(value: Any) -> dict[bytes, bytes]:
    top = _object(_object(value, "genesis.raw", ("top",))["top"], "genesis.raw.top")
    return {_bytes(key, f"genesis.raw.top.{key}"): _bytes(one, f"genesis.raw.top.{key}") for key, one in top.items()}


def _from_raw(state: dict[bytes, bytes]) -> Genesis:
    slot_ms = int.from_bytes(state.get(SLOT_MS_KEY, b""), "little")
    if not slot_ms:
        raise ChainSpecError(f"genesis.raw.top.{_hex(SLOT_MS_KEY)}", "System.SlotDuration is missing")
    root = tree.build_from_state(state.items())
    return Genesis(Header(ZERO_HASH, 0, tree.digest(root), extrinsics_root([]), Digest()), state, slot_ms)


# JSON values of a kind.


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ChainSpecError(next(name for name in names if names.count(name) > 1), "the field appears twice")
    return found


def _no_float(text: str) -> Any:
    raise ChainSpecError("", f"{text}: the chain spec holds integers only")


def _object(
    value: Any,
    path: str,
    fields: Iterable[str] = (),
    *,
    optional: Iterable[str] = (),
    strict: bool = True,
) -> dict[str, Any]:
    """A JSON object. With `fields` it may have no others, and must have those that are not `optional`."""
    if not isinstance(value, dict):
        raise ChainSpecError(path, "expected an object")
    allowed, may_miss = tuple(fields), tuple(optional)
    if not allowed or not strict:
        return value
    for name in value:
        if name not in allowed:
            raise ChainSpecError(_join(path, name), f"unknown field, expected {', '.join(allowed)}")
    for name in allowed:
        if name not in value and name not in may_miss:
            raise ChainSpecError(_join(path, name), "missing")
    return value


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _list(value: Any, path: str, length_max: int = 1 << 20) -> list[Any]:
    if not isinstance(value, list) or len(value) > length_max:
        raise ChainSpecError(path, f"expected a list of at most {length_max}")
    return value


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise ChainSpecError(path, f"expected a string, not {value!r}")
    return value


def _matching(value: Any, path: str, pattern: re.Pattern[str]) -> str:
    text = _text(value, path)
    if not pattern.fullmatch(text):
        raise ChainSpecError(path, f"{text[:64]!r} does not look like {pattern.pattern}")
    return text


def _bytes(value: Any, path: str) -> bytes:
    text = _text(value, path)
    if not _HEX.fullmatch(text):
        raise ChainSpecError(path, "expected 0x and an even number of lower-case hex digits")
    return bytes.fromhex(text[2:])


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
