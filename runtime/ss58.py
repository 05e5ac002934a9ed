"""SS58: the text form of an account, with a checksum so that a typing error is not a lost payment.

    base58( prefix ‖ account (32 bytes) ‖ first 2 bytes of blake2b512("SS58PRE" ‖ prefix ‖ account) )

Heddle uses prefix 42 (the generic one, one byte). An address of another network is refused, by name of its prefix.

    Ss58Error
    ├── Ss58Alphabet     a character outside base58
    ├── Ss58Length       not 32 bytes of account, or a text too long to be one
    ├── Ss58Checksum     the last two bytes do not fit
    └── Ss58Prefix       a valid address of another network
"""

import hashlib

import base58

SS58_PREFIX = 42
PREFIX_ONE_BYTE_MAX = 63
PREFIX_MAX = 16_383
ACCOUNT_BYTES = 32
CHECKSUM_BYTES = 2
TEXT_MAX = 64
"""Longest text looked at: 36 bytes make 50 characters; base58 decoding is quadratic."""

_ALPHABET = frozenset(base58.BITCOIN_ALPHABET.decode())
_CONTEXT = b"SS58PRE"


class Ss58Error(ValueError):
    """The text is no address of this chain."""


class Ss58Alphabet(Ss58Error):
    """The text has a character that base58 does not have."""


class Ss58Length(Ss58Error):
    """The text does not hold a prefix, an account of 32 bytes and a checksum."""


class Ss58Checksum(Ss58Error):
    """The checksum does not fit: most likely a typing error."""


class Ss58Prefix(Ss58Error):
    """The address belongs to another network."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"address has network prefix {found}, this chain uses {expected}")
        self.found = found
        self.expected = expected


def encode(account: bytes, prefix: int = SS58_PREFIX) -> str:
    """The address of `account` (32 bytes). ValueError on another length or a prefix outside 0..16383."""
    if len(account) != ACCOUNT_BYTES:
        raise ValueError(f"account: {len(account)} bytes, must be {ACCOUNT_BYTES}")
    body = _prefix_bytes(prefix) + account
    return base58.b58encode(body + _checksum(body)).decode()


def decode(text: str, prefix: int = SS58_PREFIX) -> bytes:
    """The account (32 bytes) of an address with network prefix `prefix`. Raises an Ss58Error."""
    if len(text) > TEXT_MAX:
        raise Ss58Length(f"address: {len(text)} characters, at most {TEXT_MAX}")
    if not _ALPHABET.issuperset(text):
        raise Ss58Alphabet("address: has a character outside base58")
    raw = base58.b58decode(text)
    if not raw:
        raise Ss58Length("address: empty")
    head = 1 if raw[0] <= PREFIX_ONE_BYTE_MAX else 2
    if len(raw) != head + ACCOUNT_BYTES + CHECKSUM_BYTES:
        raise Ss58Length(f"address: {len(raw)} bytes, must be {head + ACCOUNT_BYTES + CHECKSUM_BYTES}")
    body, checksum = raw[:-CHECKSUM_BYTES], raw[-CHECKSUM_BYTES:]
    if _checksum(body) != checksum:
        raise Ss58Checksum("address: checksum does not fit")
    found = _prefix_number(raw)
    if found != prefix:
        raise Ss58Prefix(found, prefix)
    return body[head:]


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(_CONTEXT + body).digest()[:CHECKSUM_BYTES]


def _prefix_bytes(prefix: int) -> bytes:
    """One byte up to 63; above, 14 bits in two bytes, the first of them in 64..127."""
    if not 0 <= prefix <= PREFIX_MAX:
        raise ValueError(f"prefix: {prefix}, must be 0..{PREFIX_MAX}")
    if prefix <= PREFIX_ONE_BYTE_MAX:
        return bytes((prefix,))
    return bytes((((prefix & 0xFC) >> 2) | 0x40, (prefix >> 8) | ((prefix & 0x03) << 6)))


def _prefix_number(raw: bytes) -> int:
    if raw[0] <= PREFIX_ONE_BYTE_MAX:
        return raw[0]
    return ((raw[0] & 0x3F) << 2) | (raw[1] >> 6) | ((raw[1] & 0x3F) << 8)
