"""Pair: a secret and its public key, from a secret URI, that signs.

    secret URI = [phrase | 0x seed] { "//" hard junction | "/" soft junction } [ "///" password ]

Without a phrase it is the development phrase, so "//Alice" is a whole URI. A junction that is a number below 2^64 is
encoded as a little-endian u64, any other as a SCALE string; more than 32 bytes are hashed. These are Substrate's rules,
so keys come out as in other wallets (reference/substrate.md §2).

    SecretError
    ├── BadSecretUri     no URI at all, or out of bounds
    ├── BadPhrase        the words are no BIP-39 mnemonic
    ├── SoftJunction     ed25519 has no soft derivation
    └── BadSecret        bytes of a wrong length
"""

import re
from dataclasses import dataclass, field

import bip39
import nacl.bindings
import sr25519

from runtime import ss58
from runtime.crypto import Scheme
from runtime.hashing import blake2b256

DEV_PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
DEV_NAMES = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie")
SEED_BYTES = 32
SR25519_SECRET_BYTES = 64
URI_CHARS_MAX = 1_024
JUNCTIONS_MAX = 32
PHRASE_WORDS = (12, 15, 18, 21, 24)

_URI = re.compile(r"(?P<phrase>[a-zA-Z0-9 ]*)(?P<path>(?://?[^/]+)*)(?:///(?P<password>.*))?", re.DOTALL)
_JUNCTION = re.compile(r"(//?)([^/]+)")
_HARD_ED25519 = b"\x2cEd25519HDKD"
"""The SCALE string "Ed25519HDKD": its length 11 as a compact, then its bytes."""


class SecretError(ValueError):
    """No key can be made of what was given. The message never repeats the secret."""


class BadSecretUri(SecretError):
    """The text is no secret URI."""


class BadPhrase(SecretError):
    """The words are no mnemonic, or their checksum does not fit."""


class SoftJunction(SecretError):
    """Ed25519 keys have hard junctions (//) only."""


class BadSecret(SecretError):
    """The secret has not the length of its scheme."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A key pair. `secret` is the seed (32 bytes) for ed25519, the expanded key (64 bytes) for sr25519."""

    scheme: Scheme
    public: bytes
    secret: bytes = field(repr=False)

    @property
    def address(self) -> str:
        """The account's address on this chain."""
        return ss58.encode(self.public)

    def sign(self, message: bytes) -> bytes:
        """A signature of 64 bytes. ed25519 gives the same one each time, sr25519 a new one."""
        if self.scheme is Scheme.SR25519:
            return bytes(sr25519.sign((self.public, self.secret), message))
        signed = nacl.bindings.crypto_sign(message, self.secret + self.public)
        return signed[: nacl.bindings.crypto_sign_BYTES]


def from_secret(scheme: Scheme, secret: bytes) -> Pair:
    """The pair of a stored secret. BadSecret if its length is wrong, or the scheme has no pairs here (ecdsa)."""
    if scheme is Scheme.ED25519 and len(secret) == SEED_BYTES:
        public, _ = nacl.bindings.crypto_sign_seed_keypair(secret)
        return Pair(scheme, public, secret)
    if scheme is Scheme.SR25519 and len(secret) == SR25519_SECRET_BYTES:
        try:
            return Pair(scheme, bytes(sr25519.public_from_secret_key(secret)), secret)
        except ValueError:
            raise BadSecret("secret: is no sr25519 key") from None
    raise BadSecret(f"secret: {len(secret)} bytes do not make a key of {scheme.name.lower()}")


def from_seed(scheme: Scheme, seed: bytes) -> Pair:
    """The pair of a seed of 32 bytes, without derivation."""
    if len(seed) != SEED_BYTES:
        raise BadSecret(f"seed: {len(seed)} bytes, must be {SEED_BYTES}")
    if scheme is Scheme.SR25519:
        public, secret = sr25519.pair_from_seed(seed)
        return Pair(scheme, bytes(public), bytes(secret))
    return from_secret(scheme, seed)


def from_uri(uri: str, scheme: Scheme = Scheme.ED25519) -> Pair:
    """The pair of a secret URI. Raises a SecretError."""
    if len(uri) > URI_CHARS_MAX:
        raise BadSecretUri(f"secret URI: {len(uri)} characters, at most {URI_CHARS_MAX}")
    match = _URI.fullmatch(uri.strip())
    if match is None or not uri.strip():
        raise BadSecretUri("secret URI: must be words or a 0x seed, then //hard and /soft junctions, then ///password")
    seed = _seed(match["phrase"], match["password"] or "")
    path = _JUNCTION.findall(match["path"])
    if len(path) > JUNCTIONS_MAX:
        raise BadSecretUri(f"secret URI: {len(path)} junctions, at most {JUNCTIONS_MAX}")
    if scheme is Scheme.ED25519:
        return _derive_ed25519(seed, path)
    if scheme is Scheme.SR25519:
        return _derive_sr25519(seed, path)
    raise BadSecret("ecdsa keys are verified, but not made here")


def dev_pair(name: str, scheme: Scheme = Scheme.ED25519) -> Pair:
    """The well-known pair of //`name`, for development chains only."""
    return from_uri(f"//{name}", scheme)


def generate_phrase(words: int = 12) -> str:
    """A new mnemonic, from the system's randomness. BadPhrase on an unusual count of words."""
    if words not in PHRASE_WORDS:
        raise BadPhrase(f"phrase: {words} words, must be one of {PHRASE_WORDS}")
    return str(bip39.bip39_generate(words))


def phrase_valid(phrase: str) -> bool:
    """Whether the words are an English mnemonic with a good checksum."""
    return bool(bip39.bip39_validate(phrase))


def _seed(phrase: str, password: str) -> bytes:
    """The mini secret of the words, or the seed after 0x."""
    phrase = " ".join(phrase.split())
    if phrase.startswith("0x"):
        try:
            seed = bytes.fromhex(phrase[2:])
        except ValueError:
            raise BadSecretUri("secret URI: the seed is no hex") from None
        if len(seed) != SEED_BYTES:
            raise BadSecretUri(f"secret URI: the seed has {len(seed)} bytes, must have {SEED_BYTES}")
        return seed
    try:
        return bytes(bip39.bip39_to_mini_secret(phrase or DEV_PHRASE, password))
    except ValueError:
        raise BadPhrase("phrase: is no BIP-39 mnemonic (unknown word, count or checksum)") from None


def _chain_code(junction: str) -> bytes:
    """A junction as 32 bytes."""
    if junction.isascii() and junction.isdigit() and int(junction) < 2**64:
        encoded = int(junction).to_bytes(8, "little")
    else:
        text = junction.encode()
        encoded = _compact(len(text)) + text
    return encoded.ljust(32, b"\0") if len(encoded) <= 32 else blake2b256(encoded)


def _compact(length: int) -> bytes:
    """A SCALE compact below 2^14: junctions are shorter than URI_CHARS_MAX characters of at most 4 bytes."""
    return bytes((length << 2,)) if length < 64 else (length << 2 | 1).to_bytes(2, "little")


def _derive_ed25519(seed: bytes, path: list[tuple[str, str]]) -> Pair:
    for kind, junction in path:
        if kind != "//":
            raise SoftJunction("secret URI: ed25519 keys have hard junctions (//) only")
        seed = blake2b256(_HARD_ED25519 + seed + _chain_code(junction))
    return from_seed(Scheme.ED25519, seed)


def _derive_sr25519(seed: bytes, path: list[tuple[str, str]]) -> Pair:
    public, secret = sr25519.pair_from_seed(seed)
    for kind, junction in path:
        derive = sr25519.hard_derive_keypair if kind == "//" else sr25519.derive_keypair
        _, public, secret = derive((_chain_code(junction), public, secret), b"")
    return Pair(Scheme.SR25519, bytes(public), bytes(secret))
