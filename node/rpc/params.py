"""Params: JSON values from clients into bytes, hashes, accounts and numbers, or InvalidParams naming the parameter."""

from typing import Any

from node.rpc.errors import InvalidParams
from runtime import ss58

HASH_BYTES = 32
ACCOUNT_BYTES = 32
U32_MAX = 2**32 - 1
U64_MAX = 2**64 - 1
LIST_MAX = 1_024


def hex_bytes(value: Any, name: str, bytes_max: int, bytes_min: int = 0) -> bytes:
    """The bytes of "0x…": an even number of digits, between `bytes_min` and `bytes_max` bytes."""
    if not isinstance(value, str) or value[:2] not in ("0x", "0X"):
        raise InvalidParams(name, "must be a hex string that starts with 0x")
    size, odd = divmod(len(value) - 2, 2)
    if odd:
        raise InvalidParams(name, "must have an even number of hex digits")
    if not bytes_min <= size <= bytes_max:
        raise InvalidParams(name, f"has {size} bytes, must have {_range(bytes_min, bytes_max)}")
    try:
        data = bytes.fromhex(value[2:])
    except ValueError:
        raise InvalidParams(name, "has a character that is no hex digit") from None
    if len(data) != size:  # fromhex skips white space
        raise InvalidParams(name, "has a character that is no hex digit")
    return data


def block_hash(value: Any, name: str = "hash") -> bytes:
    """A block hash: 32 bytes of hex."""
    return hex_bytes(value, name, HASH_BYTES, HASH_BYTES)


def optional_block_hash(value: Any, name: str = "hash") -> bytes | None:
    """A block hash, or None for the best block."""
    return None if value is None else block_hash(value, name)


def account(value: Any, name: str = "account") -> bytes:
    """An account, as an SS58 address of this chain or as 0x and 32 bytes."""
    if not isinstance(value, str):
        raise InvalidParams(name, "must be an SS58 address or 0x and 32 bytes of hex")
    if value[:2] in ("0x", "0X"):
        return hex_bytes(value, name, ACCOUNT_BYTES, ACCOUNT_BYTES)
    try:
        return ss58.decode(value)
    except ss58.Ss58Error as error:
        raise InvalidParams(name, str(error)) from None


def text(value: Any, name: str, chars_max: int) -> str:
    """A string of at most `chars_max` characters that UTF-8 can write."""
    if not isinstance(value, str):
        raise InvalidParams(name, "must be a string")
    if len(value) > chars_max:
        raise InvalidParams(name, f"has {len(value)} characters, at most {chars_max}")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidParams(name, "has half of a surrogate pair")
    return value


def integer(value: Any, name: str, maximum: int = U64_MAX, minimum: int = 0) -> int:
    """A whole number in minimum..maximum. A bool is none, nor is 1.0."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidParams(name, "must be a whole number")
    if not minimum <= value <= maximum:
        raise InvalidParams(name, f"must be {_range(minimum, maximum)}")
    return value


def block_number(value: Any, name: str = "number") -> int:
    """A height, as a number or as hex of at most 8 digits ("0x1a"), as clients send both."""
    if isinstance(value, str) and value[:2] in ("0x", "0X") and 3 <= len(value) <= 10:
        digits = value[2:]
        if all(digit in "0123456789abcdefABCDEF" for digit in digits):
            return int(digits, 16)
    return integer(value, name, U32_MAX)


def boolean(value: Any, name: str) -> bool:
    """True or false, nothing that only looks like it."""
    if not isinstance(value, bool):
        raise InvalidParams(name, "must be true or false")
    return value


def items(value: Any, name: str, count_max: int = LIST_MAX) -> list[Any]:
    """A list of at most `count_max` items, not looked into."""
    if not isinstance(value, list):
        raise InvalidParams(name, "must be a list")
    if len(value) > count_max:
        raise InvalidParams(name, f"has {len(value)} items, at most {count_max}")
    return value


def hex_list(value: Any, name: str, bytes_max: int, count_max: int = LIST_MAX) -> list[bytes]:
    """A list of hex strings, as storage keys come."""
    return [hex_bytes(item, f"{name}[{i}]", bytes_max) for i, item in enumerate(items(value, name, count_max))]


def _range(minimum: int, maximum: int) -> str:
    return str(minimum) if minimum == maximum else f"{minimum}..{maximum}"
